"""`callrec-pbx tenant`: tenants, and whether they are recorded."""

from enum import StrEnum
from typing import Annotated, cast

import typer
from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.cli.common import plain, print_json, shown_time, site
from callrec_pbx.cli.people_common import (
    AuthorOption,
    CommentOption,
    JsonOption,
    tell,
    tenant_of,
)
from callrec_pbx.cli.people_kinds import group
from callrec_pbx.domain.people import Tenant
from callrec_pbx.domain.words import Switch
from callrec_pbx.people.acknowledgement import Acknowledgement, acknowledgements
from callrec_pbx.people.acknowledgement import acknowledge as keep
from callrec_pbx.people.lookup import find
from callrec_pbx.policy import acknowledgement
from callrec_pbx.policy.people import changing
from callrec_pbx.storage.serial import time_to_text

app = group(Entity.TENANT, "Tenants: the companies on this PBX.")

NameArgument = Annotated[
    str | None, typer.Argument(help="The tenant; not needed where there is only one.")
]


class State(StrEnum):
    """What recording can be switched to."""

    ON = "on"
    OFF = "off"


@app.command()
def recording(
    ctx: typer.Context,
    state: Annotated[State, typer.Argument(help="What it is to be.")],
    name: NameArgument = None,
    *,
    now: Annotated[
        bool, typer.Option("--now", help="With off: end the recordings that are running, too.")
    ] = False,
    author: AuthorOption,
    comment: CommentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Switch recording on or off for a tenant, by default for new calls only.

    It can only be switched on after `callrec-pbx tenant acknowledge`.
    """
    if now and state is State.ON:
        raise typer.BadParameter(
            "a call that is running is not recorded from its middle; leave it out, and recording "
            "is on for new calls",
            param_hint="--now",
        )
    off = Switch.OFF_NOW if now else Switch.OFF_NEW
    with site(ctx) as here:
        tenant = tenant_of(here.engine, name)
        with changing(here.engine, author=author, comment=comment) as changes:
            changes.switch_recording(
                tenant,
                Switch.ON if state is State.ON else off,
                text_version=acknowledgement.TEXT_VERSION,
                text_sha256=acknowledgement.TEXT_SHA256,
            )
    tell(changes, as_json=as_json)


@app.command()
def acknowledge(
    ctx: typer.Context,
    name: NameArgument = None,
    *,
    who: Annotated[str | None, typer.Option("--who", help="The person who answers for it.")] = None,
    text_version: Annotated[
        str | None, typer.Option("--text-version", help="The version of the text that was read.")
    ] = None,
    show: Annotated[bool, typer.Option("--show", help="Only show the text.")] = False,
    language: Annotated[
        str | None, typer.Option("--language", help="Language of the text; else the tenant's.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what recording asks of a tenant, or keep who has taken note of it.

    Without --text-version the text is shown, and who has acknowledged which version so far.
    """
    with site(ctx) as here:
        tenant = tenant_of(here.engine, name)
        if show or text_version is None:
            _show(here.engine, tenant, language, as_json=as_json)
            return
        if not who:
            raise typer.BadParameter("is missing; say who answers for it", param_hint="--who")
        if text_version != acknowledgement.TEXT_VERSION:
            raise typer.BadParameter(
                f"{text_version!r} is not the current version; read that one "
                f"(callrec-pbx tenant acknowledge --show) and give {acknowledgement.TEXT_VERSION}",
                param_hint="--text-version",
            )
        made = keep(
            here.engine,
            tenant,
            who=who,
            text_version=acknowledgement.TEXT_VERSION,
            text_sha256=acknowledgement.TEXT_SHA256,
        )
    if as_json:
        print_json(_document(made))
    else:
        typer.echo(plain(f"tenant {tenant}: {made.who} has acknowledged version {text_version}"))


def _show(engine: Engine, tenant: str, language: str | None, *, as_json: bool) -> None:
    with reading(engine).begin() as connection:
        _, found = find(connection, Entity.TENANT, (tenant,))
        made = acknowledgements(connection, tenant)
    text = acknowledgement.text(language or cast(Tenant, found).language or "en")
    if as_json:
        print_json(
            {
                "tenant": tenant,
                "text_version": acknowledgement.TEXT_VERSION,
                "text_sha256": acknowledgement.TEXT_SHA256,
                "text": text,
                "acknowledgements": [_document(one) for one in made],
            }
        )
        return
    typer.echo(text)
    version = acknowledgement.TEXT_VERSION
    typer.echo(f"text version {version}; whoever answers for it acknowledges it with")
    typer.echo(f"  callrec-pbx tenant acknowledge --who NAME --text-version {version}")
    for one in made:
        typer.echo(
            plain(f"version {one.text_version}: {one.who}, {shown_time(one.at)}, for {one.tenant}")
        )


def _document(made: Acknowledgement) -> dict[str, str]:
    return {
        "tenant": made.tenant,
        "at": time_to_text(made.at),
        "who": made.who,
        "text_version": made.text_version,
        "text_sha256": made.text_sha256,
    }
