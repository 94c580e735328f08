"""`callrec-pbx catalogue`: bring it back from the sidecars; see that it agrees with them."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.rebuild import rebuild as bring_back
from callrec_pbx.cli import catalogue_copy
from callrec_pbx.cli.common import (
    Site,
    beginning,
    check_order,
    check_tenant,
    ending,
    plain,
    print_json,
    progress_bar,
    site,
)
from callrec_pbx.reconcile import memory
from callrec_pbx.reconcile.check import Check, Checked, Scope
from callrec_pbx.reconcile.finding import Finding
from callrec_pbx.reconcile.mend import Way
from callrec_pbx.reconcile.nightly import LOCK
from callrec_pbx.storage import locks
from callrec_pbx.storage.locks import BusyError
from callrec_pbx.storage.store import SpoolError

LEFT, MENDED = 1, 3
"""Exit statuses: a person must see to something; everything that was found is mended."""

app = typer.Typer(help="The catalogue of calls and recordings.", no_args_is_help=True)
app.command()(catalogue_copy.copy)


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


@app.command()
def check(
    ctx: typer.Context,
    *,
    mend: Annotated[
        bool, typer.Option("--mend", help="Mend what can be without losing anything.")
    ] = False,
    checksums: Annotated[
        bool, typer.Option("--checksums", help="Also read all audio and compare its checksums.")
    ] = False,
    tenant: Annotated[str, typer.Option("--tenant", help="Only this tenant's.")] = "",
    start: Annotated[
        str | None, typer.Option("--from", help="From this date (UTC days) or time on.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="Up to and with this date.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Compare rows, sidecars and files with each other, also beside a running listener.

    Exit status 0 when all agrees, 3 when everything that was found is mended, 1 when a person must
    see to something.
    """
    from_, to = beginning(start, "--from"), ending(end, "--to")
    check_order(from_, to, end)
    verify = memory.Everything() if checksums else None
    found: list[Finding] = []
    with site(ctx) as here:
        check_tenant(here, tenant)
        way = Way(
            mend=mend,
            by="callrec-pbx catalogue check",
            names=bool(here.config.names.on_disk),
            retention=here.config.retention.default,
        )
        result = _check(here, way, Scope(from_, to, tenant, verify), found, quiet=as_json)
    if as_json:
        print_json(_document(found, result))
    else:
        typer.echo(_summary(result))
    if result.left:
        raise typer.Exit(LEFT)
    if result.found:
        raise typer.Exit(MENDED)


def _check(here: Site, way: Way, scope: Scope, found: list[Finding], *, quiet: bool) -> Checked:
    def tell(one: Finding) -> None:
        if quiet:
            found.append(one)
        else:
            typer.echo(_line(one))

    directory = here.store.directory
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("days", total=None)
        checking = Check(
            Place(here.engine, here.store),
            way,
            scope,
            on_finding=tell,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )
        if not scope.whole or not directory.is_dir():
            return checking.run()
        try:
            with locks.held(directory, LOCK, wait=False):
                result = checking.run()
                now = datetime.now(UTC)
                last = memory.after(memory.load(directory), result, way.by, now)
                if scope.verify is not None:
                    last = memory.whole_round(last, now)
                memory.save(directory, last)
        except BusyError:
            typer.echo(
                "callrec-pbx: another check is at work; wait until it has finished", err=True
            )
            raise typer.Exit(LEFT) from None
    return result


def _line(one: Finding) -> str:
    outcome = "mended" if one.mended else f"not mended: {one.error}" if one.error else ""
    said = [f"{one.kind}: {one.what} {plain(one.item)}"]
    said += [plain(text) for text in (one.detail, outcome) if text]
    return "; ".join(said)


def _summary(result: Checked) -> str:
    looked = f"{result.recordings} recordings and {result.calls} calls"
    if not result.found:
        return f"{looked} agree"
    mended, left = result.mended.total(), result.left.total()
    return f"{looked}: {result.found.total()} findings, {mended} mended, {left} left"


def _document(found: list[Finding], result: Checked) -> dict[str, object]:
    return {
        "recordings": result.recordings,
        "calls": result.calls,
        "verified_bytes": result.verified_bytes,
        "found": {str(kind): count for kind, count in sorted(result.found.items())},
        "left": {str(kind): count for kind, count in sorted(result.left.items())},
        "findings": [
            {
                "kind": str(one.kind),
                "what": str(one.what),
                "id": one.item,
                "detail": one.detail,
                "mended": one.mended,
                "error": one.error,
            }
            for one in found
        ],
    }
