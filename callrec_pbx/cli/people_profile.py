"""`callrec-pbx profile`: the profiles of users, and switching them."""

from typing import Annotated

import typer
from rich.table import Table

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.cli.common import console, plain, print_json, shown, shown_time, site
from callrec_pbx.cli.people_common import JsonOption, TenantOption, login_name, tenant_of
from callrec_pbx.cli.people_kinds import group
from callrec_pbx.people.profiles import ProfileSwitch, newest_switches, switch_profile
from callrec_pbx.storage.serial import time_to_text

MOST = 10_000

app = group(Entity.PROFILE, "Profiles: what a user is doing, and what is recorded meanwhile.")


@app.command()
def switch(
    ctx: typer.Context,
    user: Annotated[str, typer.Argument(help="E-mail of the user.")],
    profile: Annotated[str | None, typer.Argument(help="The profile to be active.")] = None,
    *,
    none: Annotated[bool, typer.Option("--none", help="No profile is to be active.")] = False,
    tenant: TenantOption = None,
    as_json: JsonOption = False,
) -> None:
    """Switch a user to a profile; it counts for calls that begin after that."""
    if (profile is None) is not none:
        raise typer.BadParameter("give the name of a profile, or --none", param_hint="PROFILE")
    with site(ctx) as here:
        of_tenant = tenant_of(here.engine, tenant)
        switched = switch_profile(
            here.engine, of_tenant, user, profile or "", f"cli:{login_name()}"
        )
    if as_json:
        print_json({"switched": switched})
    elif switched:
        typer.echo(plain(f"{user} is in profile {profile} now" if profile else f"{user} has none"))
    else:
        typer.echo("nothing to change")


@app.command()
def log(
    ctx: typer.Context,
    *,
    user: Annotated[str | None, typer.Option(help="E-mail of the user.")] = None,
    tenant: TenantOption = None,
    limit: Annotated[int, typer.Option(help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """Show who was switched to which profile, newest first."""
    if not 1 <= limit <= MOST:
        raise typer.BadParameter(f"{limit}: give 1 to {MOST}", param_hint="--limit")
    with site(ctx) as here, reading(here.engine).begin() as connection:
        found = newest_switches(connection, tenant=tenant, user=user, limit=limit)
    if as_json:
        print_json({"switches": [_document(one) for one in found]})
        return
    table = Table("At", "Tenant", "User", "Profile", "By")
    for one in found:
        row = (shown_time(one.at), one.tenant, one.user, one.profile, one.by)
        table.add_row(*map(shown, row))
    console().print(table if found else "no switches")


def _document(one: ProfileSwitch) -> dict[str, str | int]:
    return {
        "id": one.id,
        "at": time_to_text(one.at),
        "tenant": one.tenant,
        "user": one.user,
        "profile": one.profile,
        "by": one.by,
    }
