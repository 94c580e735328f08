"""`callrec-pbx catalogue`: bring the catalogue back from the sidecars."""

from typing import Annotated

import typer

from callrec_pbx.catalogue.rebuild import rebuild as bring_back
from callrec_pbx.cli.common import plain, print_json, progress_bar, site
from callrec_pbx.storage.store import SpoolError

app = typer.Typer(help="The catalogue of calls and recordings.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """The catalogue of calls and recordings."""


@app.command()
def rebuild(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Write a row for every sidecar, also beside a running listener.

    Exit status 1 when a sidecar could not be used.
    """
    with site(ctx) as here, progress_bar(quiet=as_json) as bar:
        task = bar.add_task("sidecars", total=None)
        try:
            result = bring_back(
                here.engine,
                here.store,
                lambda done, total: bar.update(task, completed=done, total=total),
            )
        except OSError as error:
            folder = here.store.directory
            remedy = f"recordings.directory {str(folder)!r}: {error.strerror}; create or mount it"
            raise SpoolError(error.errno or 0, "spool_missing", remedy) from error
    if as_json:
        print_json(
            {
                "recordings": result.recordings,
                "calls": result.calls,
                "broken": [
                    {"path": str(broken.path), "error": broken.error} for broken in result.broken
                ],
            }
        )
    else:
        typer.echo(f"{result.recordings} recordings and {result.calls} calls are in the catalogue")
        for broken in result.broken:
            typer.echo(f"not used: {plain(broken.error)}", err=True)
    if result.broken:
        raise typer.Exit(1)
