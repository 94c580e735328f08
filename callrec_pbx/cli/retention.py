"""`callrec-pbx retention`: prune what is past its date."""

from typing import Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.cli.common import (
    console,
    plain,
    print_json,
    progress_bar,
    shown,
    shown_time,
    site,
)
from callrec_pbx.retention.apply import Applied, item_id
from callrec_pbx.retention.plan import Item, PruneRecording
from callrec_pbx.retention.run import RetentionBusyError, make_plan
from callrec_pbx.retention.run import run as apply_now
from callrec_pbx.storage.serial import time_to_text

app = typer.Typer(help="What is deleted when.", no_args_is_help=True)


@app.callback()
def group() -> None:
    """What is deleted when."""


@app.command()
def run(
    ctx: typer.Context,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted, and why.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Delete recordings past their date, and the personal data of calls without any.

    Exit status 1 when something could not be deleted, or another run is at work.
    """
    plan: tuple[Item, ...] = ()
    result: Applied | None = None
    with site(ctx) as here, progress_bar(quiet=as_json) as bar:
        call_days = here.config.retention.call_days
        if dry_run:
            plan = make_plan(here.engine, call_days)
        else:
            task = bar.add_task("pruning", total=None)

            def planned(items: tuple[Item, ...]) -> None:
                nonlocal plan
                plan = items
                bar.update(task, total=len(items))

            try:
                result = apply_now(
                    here.engine,
                    here.store,
                    call_days,
                    by="callrec-pbx retention run",
                    planned=planned,
                    progress=lambda _item: bar.advance(task),
                )
            except RetentionBusyError as busy:
                typer.echo(f"callrec-pbx: {busy}; wait until it has finished", err=True)
                raise typer.Exit(1) from None
    if as_json:
        print_json(_document(plan, result))
    else:
        _print(plan, result)
    if result is not None and result.failures:
        raise typer.Exit(1)


def _document(plan: tuple[Item, ...], result: Applied | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "dry_run": result is None,
        "items": [_item(item) for item in plan],
    }
    if result is not None:
        document |= {
            "recordings": result.recordings,
            "calls": result.calls,
            "skipped": result.skipped,
            "failures": [
                {**_item(failure.item), "error": failure.error} for failure in result.failures
            ],
        }
    return document


def _item(item: Item) -> dict[str, Any]:
    of_recording = isinstance(item, PruneRecording)
    call_id = item.recording.call_id if isinstance(item, PruneRecording) else item.call.call_id
    return {
        "kind": "recording" if of_recording else "call",
        "id": item_id(item),
        "call_id": call_id,
        "at": time_to_text(_time(item)),
        "why": item.why,
    }


def _time(item: Item) -> Any:
    return item.recording.created_at if isinstance(item, PruneRecording) else item.call.started_at


def _print(plan: tuple[Item, ...], result: Applied | None) -> None:
    if result is None:
        table = Table("Delete", "Of", "Why", "Id")
        for item in plan:
            kind = (
                "audio and personal data"
                if isinstance(item, PruneRecording)
                else "personal data of the call"
            )
            table.add_row(kind, shown_time(_time(item)), shown(item.why), item_id(item))
        console().print(table if plan else "nothing is due")
        return
    typer.echo(f"{result.recordings} recordings pruned, {result.calls} calls cleared")
    if result.skipped:
        typer.echo(f"{result.skipped} were not due: the catalogue was behind their sidecars")
    for failure in result.failures:
        typer.echo(f"not done: {item_id(failure.item)}: {plain(failure.error)}", err=True)
