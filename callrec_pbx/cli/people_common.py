"""What the commands of people and places share."""

import getpass
import os
from typing import Annotated, Any, cast

import typer
from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.cli.common import plain, print_json
from callrec_pbx.domain.people import Tenant
from callrec_pbx.people.changes import Changes
from callrec_pbx.people.lookup import listed
from callrec_pbx.people.tenants import which_tenant


def login_name() -> str:
    """Who is at the keyboard, also behind sudo."""
    try:
        return os.environ.get("SUDO_USER") or getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"


def actor() -> str:
    """Who is at the keyboard, as the audit trail names them."""
    return f"cli:{login_name()}"


JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TenantOption = Annotated[
    str | None,
    typer.Option("--tenant", help="The tenant; not needed where there is only one."),
]
AuthorOption = Annotated[
    str,
    typer.Option(
        "--author",
        help="Who makes the change, for the history.",
        default_factory=login_name,
        show_default="the login name",
    ),
]
CommentOption = Annotated[str, typer.Option("--comment", help="Why, for the history.")]


def tenant_of(engine: Engine, named: str | None) -> str:
    """The tenant that is named, or the only one."""
    with reading(engine).begin() as connection:
        tenants = listed(connection, Entity.TENANT)
    return which_tenant(named, [cast(Tenant, tenant).name for tenant in tenants])


def tell(changes: Changes, *, as_json: bool, dry_run: bool = False) -> None:
    """Print what was changed."""
    done = changes.done()
    followed = changes.followed.lines if changes.followed else ()
    if as_json:
        document: dict[str, Any] = {
            "dry_run": dry_run,
            "version": changes.version,
            "changes": [change.document() for change in done],
            "policy": list(followed),
            "remarks": list(changes.remarks),
        }
        print_json(document)
        return
    for line in (*map(str, done), *followed):
        typer.echo(plain(line))
    for remark in changes.remarks:
        typer.echo(plain(f"warning: {remark}; change the policy if it is to"), err=True)
    if dry_run:
        typer.echo("dry run: nothing was changed")
    elif changes.version is None:
        typer.echo("nothing to change")
    else:
        typer.echo(f"version {changes.version}")
