"""`callrec-pbx catalogue copy`: moves the catalogue to another database."""

from typing import Annotated

import typer

from callrec_pbx.catalogue.copying import copy as copy_rows
from callrec_pbx.catalogue.engine import shown
from callrec_pbx.cli.common import plain, print_json, progress_bar, site


def copy(
    ctx: typer.Context,
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="Address of the other, empty, database.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Copy all rows into another database, such as from SQLite to PostgreSQL, all or nothing.

    The listener must not run meanwhile, and nobody change people or the policy.
    """
    with site(ctx) as here, progress_bar(quiet=as_json) as bar:
        tasks = {}

        def tell(table: str, done: int, total: int) -> None:
            if table not in tasks:
                tasks[table] = bar.add_task(table, total=total)
            bar.update(tasks[table], completed=done)

        rows = copy_rows(here.engine, to, tell)
    where = shown(to)
    if as_json:
        print_json({"rows": rows, "to": where})
        return
    typer.echo(f"{rows} rows are in {plain(where)} now")
    typer.echo("write that address into catalogue.url, and start the listener")
