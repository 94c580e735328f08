"""`callrec-pbx migrate`: brings the catalogue to the schema that this version needs."""

import json
from typing import Annotated

import typer

from callrec_pbx.catalogue import migrate as schema
from callrec_pbx.config import load_config


def migrate(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Create the catalogue where it is missing, and bring it to this version's schema."""
    url = load_config(ctx.obj).catalogue.url
    before = schema.current(url)
    schema.upgrade(url)
    after = schema.current(url)
    if as_json:
        typer.echo(json.dumps({"before": before, "after": after, "changed": before != after}))
    elif before == after:
        typer.echo(f"the catalogue is at {after} already")
    else:
        typer.echo(f"the catalogue is at {after} now; it was {before or 'empty'}")
