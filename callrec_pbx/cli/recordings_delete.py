"""`callrec-pbx recordings delete` and `undelete`: deletion with a while to think again."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.catalogue.amend import NotSettledError
from callrec_pbx.catalogue.queries import Found, find_recording
from callrec_pbx.catalogue.search import every
from callrec_pbx.cli.call_facts import Fact
from callrec_pbx.cli.common import (
    Site,
    console,
    plain,
    print_json,
    progress_bar,
    shown,
    shown_length,
    shown_time,
    site,
)
from callrec_pbx.cli.people_common import actor
from callrec_pbx.cli.search_options import Chosen, takes_search
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.retention.deletion import (
    Asked,
    DeletionPlan,
    ask,
    check_why,
    plan_deletion,
    takes_effect,
    undo,
    waiting,
)
from callrec_pbx.storage.holds import HeldError
from callrec_pbx.storage.serial import time_to_text
from callrec_pbx.storage.store import SpoolError

MOST_SHOWN = 50
"""Rows of a table before the rest is only counted."""

IdsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="[ID]...", help="Ids, or the beginnings of them."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@takes_search
def delete(
    ctx: typer.Context,
    ids: IdsArgument = None,
    *,
    chosen: Chosen,
    why: Annotated[str, typer.Option(help="Why; it is kept with what remains.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted.")
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete recordings, by ids or by filter; `undelete` takes it back for a while.

    What is under a legal hold, or still being made, is listed and left out. Exit status 1 when
    something could not be done.
    """
    if chosen.nothing is not bool(ids):
        raise typer.BadParameter("give ids, or filters such as --owner and --from, and not both")
    with site(ctx) as here:
        # One that is pruned matches by its time, and is nothing to delete.
        wanted = [
            found
            for found in _wanted(here, ids, chosen)
            if ids or found.recording.state is not RecordingState.PRUNED
        ]
        check_why(why, (found.call for found in wanted))
        plan = plan_deletion(here.store, wanted)
        at = takes_effect(datetime.now(UTC), here.config.retention.undo_minutes)
        if not as_json:
            _print_plan(plan, wanted)
        failures: list[dict[str, str]] = []
        if plan.recordings and not dry_run:
            if not yes:
                _confirm(len(plan.recordings), by_filter=not ids)
                at = takes_effect(datetime.now(UTC), here.config.retention.undo_minutes)
            failures = _ask_all(here, plan.recordings, Asked(actor(), why.strip(), at), as_json)
    done = 0 if dry_run else len(plan.recordings) - len(failures)
    if as_json:
        print_json(_document(plan, at, failures, dry_run=dry_run))
    elif dry_run:
        typer.echo(f"{len(plan.recordings)} would be deleted; nothing was changed")
    else:
        typer.echo(f"{done} will be deleted at {shown_time(at)}" if done else "nothing to delete")
        if done:
            typer.echo("until then: callrec-pbx recordings undelete")
    _report(failures)


def undelete(
    ctx: typer.Context,
    ids: IdsArgument = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every deletion that waits.")] = False,
    all_of: Annotated[
        str | None, typer.Option("--all-of", help="Every one that this person asked for.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Take deletions back that have not taken effect.

    Exit status 1 when one was too late, or could not be taken back.
    """
    if [bool(ids), everything, all_of is not None].count(True) != 1:
        raise typer.BadParameter("give ids, or --all, or --all-of with who asked for them")
    back: list[str] = []
    failures: list[dict[str, str]] = []
    with site(ctx) as here:
        if ids:
            wanted = [found.recording for found in _by_ids(here, ids)]
        else:
            wanted = waiting(here.engine, all_of or "")
        for recording in wanted:
            try:
                if undo(here.place, recording.recording_id, actor()):
                    back.append(recording.recording_id)
                else:
                    failures.append(_failure(recording, "no deletion was waiting"))
            except (NotSettledError, SpoolError) as error:
                failures.append(_failure(recording, str(error)))
    if as_json:
        print_json({"undeleted": back, "failures": failures})
    else:
        typer.echo(f"{len(back)} deletions taken back")
    _report(failures)


def deletion_facts(here: Site, recording: RecordingFacts, call: CallFacts) -> tuple[Fact, ...]:
    """What `show` says of a deletion that waits, and of legal holds."""
    held = here.store.holds.reason(recording, call)
    return (("will be deleted", shown(said_deletion(recording))), ("held", shown(held)))


def short_deletion(recording: RecordingFacts) -> str:
    """When it will be deleted, for a list."""
    if not said_deletion(recording):
        return ""
    return f"will be deleted at {shown_time(recording.deletion_at)}"


def said_deletion(recording: RecordingFacts) -> str:
    """When it will be deleted, by whom and why; empty where nobody has asked for it."""
    if recording.deletion_at is None or recording.state is RecordingState.PRUNED:
        return ""
    at = shown_time(recording.deletion_at)
    return f"at {at}, asked for by {recording.deletion_by}: {recording.deletion_why}"


def _wanted(here: Site, ids: list[str] | None, chosen: Chosen) -> Iterable[Found]:
    if ids:
        return _by_ids(here, ids)
    return every(here.engine, chosen.search(here.engine, oldest_first=True))


def _by_ids(here: Site, ids: Iterable[str]) -> list[Found]:
    found = [find_recording(here.engine, one) for one in ids]
    return list({one.recording.recording_id: one for one in found}.values())


def _ask_all(
    here: Site, recordings: tuple[RecordingFacts, ...], asked: Asked, as_json: bool
) -> list[dict[str, str]]:
    failures = []
    with progress_bar(quiet=as_json) as bar:
        task = bar.add_task("deleting", total=len(recordings))
        for recording in recordings:
            try:
                ask(here.place, recording.recording_id, asked)
            except (NotSettledError, HeldError, SpoolError) as error:
                failures.append(_failure(recording, str(error)))
            bar.advance(task)
    return failures


def _confirm(count: int, *, by_filter: bool) -> None:
    """Ask; what a filter has chosen is confirmed by its number, so that somebody has looked."""
    if by_filter:
        question = f"Type {count} to delete {count} recordings"
        answer = typer.prompt(question, default="", show_default=False)
        agreed = answer.strip() == str(count)
    else:
        agreed = typer.confirm(f"Delete {count} recordings?")
    if not agreed:
        typer.echo("nothing was changed")
        raise typer.Exit(1)


def _print_plan(plan: DeletionPlan, wanted: list[Found]) -> None:
    calls = {found.recording.recording_id: found.call for found in wanted}
    table = Table("Delete", "Owner", "From", "To", "Length", "Id")
    for recording in plan.recordings[:MOST_SHOWN]:
        call = calls[recording.recording_id]
        table.add_row(
            shown_time(recording.created_at),
            shown(recording.owner),
            shown(call.a_number),
            shown(call.c_number or call.b_number),
            shown_length(recording.audio_ms),
            recording.recording_id,
        )
    if table.row_count:
        console().print(table)
    if len(plan.recordings) > MOST_SHOWN:
        typer.echo(f"and {len(plan.recordings) - MOST_SHOWN} more")
    for left in plan.left[:MOST_SHOWN]:
        typer.echo(plain(f"left out: {left.recording.recording_id}: {left.why}"))
    if len(plan.left) > MOST_SHOWN:
        typer.echo(f"and {len(plan.left) - MOST_SHOWN} more left out")


def _document(
    plan: DeletionPlan, at: datetime, failures: list[dict[str, str]], *, dry_run: bool
) -> dict[str, Any]:
    failed = {failure["id"] for failure in failures}
    ids = [recording.recording_id for recording in plan.recordings]
    return {
        "dry_run": dry_run,
        "deletion_at": time_to_text(at),
        "recordings": [one for one in ids if one not in failed],
        "left": [
            {"id": left.recording.recording_id, "why": left.why, "held": left.held}
            for left in plan.left
        ],
        "failures": failures,
    }


def _failure(recording: RecordingFacts, error: str) -> dict[str, str]:
    return {"id": recording.recording_id, "error": error}


def _report(failures: list[dict[str, str]]) -> None:
    for failure in failures:
        typer.echo(plain(f"not done: {failure['id']}: {failure['error']}"), err=True)
    if failures:
        raise typer.Exit(1)
