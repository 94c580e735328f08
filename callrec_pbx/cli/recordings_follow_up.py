"""`callrec-pbx recordings follow-up`: what is still to be done, and what was set aside."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.catalogue.amend import NotSettledError
from callrec_pbx.catalogue.queries import find_recording
from callrec_pbx.cli.common import (
    Site,
    console,
    print_json,
    progress_bar,
    shown,
    shown_time,
    site,
)
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.followup import waiting
from callrec_pbx.storage.serial import time_to_text

if TYPE_CHECKING:
    from callrec_pbx.followup.steps import Work
    from callrec_pbx.followup.tries import Came

AT_ONCE = 200
MOST_SHOWN = 200
"""Rows of a table before the rest is only counted."""


@dataclass(slots=True)
class _Done:
    """What came of `--retry` and `--run`, by ids."""

    retried: list[str]
    came: dict[str, "Came"]


def follow_up(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Only these, by ids or the beginnings of them."),
    ] = None,
    *,
    retry: Annotated[
        bool, typer.Option("--retry", help="Have what was set aside tried again.")
    ] = False,
    run: Annotated[
        bool, typer.Option("--run", help="Do the work now, here, also without a listener.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """List the recordings with work still to be done: encode, waveform, name.

    After three tries a recording is set aside with the reason. Exit status 1 when `--run` could
    not do all.
    """
    # It takes time that the other commands on recordings do not need.
    from callrec_pbx.followup.runner import work_of  # noqa: PLC0415

    done = _Done([], {})
    with site(ctx) as here:
        work = work_of(here.config, here.engine, here.store)
        if retry:
            done.retried = _retry(work, _chosen(here, ids, set_aside=True))
        if run:
            done.came = _run(work, *_to_run(here, ids), quiet=as_json)
        left = _chosen(here, ids, set_aside=None)
    if as_json:
        print_json(_document(left, done))
    else:
        _print(left, done)
    if not all(came.is_well for came in done.came.values()):
        raise typer.Exit(1)


def _chosen(here: Site, ids: list[str] | None, *, set_aside: bool | None) -> list[RecordingFacts]:
    if not ids:
        return waiting.unfinished(here.engine, set_aside=set_aside)
    found = [find_recording(here.engine, one).recording for one in ids]
    return [
        facts for facts in found if facts.to_do and set_aside in (None, waiting.is_set_aside(facts))
    ]


def _retry(work: "Work", chosen: list[RecordingFacts]) -> list[str]:
    from callrec_pbx.followup.tries import retry  # noqa: PLC0415

    done = []
    for facts in chosen:
        try:
            retry(work, facts.recording_id)
        except NotSettledError:
            continue  # gone meanwhile
        done.append(facts.recording_id)
    return done


def _to_run(here: Site, ids: list[str] | None) -> tuple[Iterable[str], int]:
    """Ids to work on, and how many they are."""
    if not ids:
        return _waiting(here), waiting.count(here.engine, set_aside=False)
    chosen = [facts.recording_id for facts in _chosen(here, ids, set_aside=False)]
    return chosen, len(chosen)


def _waiting(here: Site) -> Iterator[str]:
    """All that waits, each once, a part at a time."""
    seen: set[str] = set()
    while new := [
        one for one in waiting.waiting(here.engine, AT_ONCE + len(seen)) if one not in seen
    ]:
        yield from new
        # What has gone through is no longer found.
        seen = seen.union(new).intersection(
            waiting.waiting(here.engine, AT_ONCE + len(seen) + len(new))
        )


def _run(work: "Work", waits: Iterable[str], total: int, *, quiet: bool) -> "dict[str, Came]":
    from callrec_pbx.followup.tries import carry_out  # noqa: PLC0415

    came = {}
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("recordings", total=total)
        for recording_id in waits:
            came[recording_id] = carry_out(work, recording_id)
            bar.advance(task)
    return came


def _document(left: list[RecordingFacts], done: _Done) -> dict[str, Any]:
    return {
        "recordings": [
            {
                "id": facts.recording_id,
                "created_at": time_to_text(facts.created_at),
                "to_do": list(facts.to_do),
                "tries": facts.tries,
                "set_aside": waiting.is_set_aside(facts),
                "error": waiting.why(facts),
            }
            for facts in left
        ],
        "retried": done.retried,
        "run": [{"id": one, "came": came} for one, came in done.came.items()],
    }


def _print(left: list[RecordingFacts], done: _Done) -> None:
    if done.retried:
        typer.echo(f"{len(done.retried)} are tried again")
    for word, count in Counter(done.came.values()).items():
        typer.echo(f"{count} {word.replace('_', ' ')}")
    if not left:
        typer.echo("nothing is to be done")
        return
    table = Table("Started", "To do", "Tries", "", "Reason", "Id")
    for facts in left[:MOST_SHOWN]:
        table.add_row(
            shown_time(facts.created_at),
            " ".join(facts.to_do),
            str(facts.tries),
            "set aside" if waiting.is_set_aside(facts) else "",
            shown(waiting.why(facts)),
            facts.recording_id,
        )
    console().print(table)
    if len(left) > MOST_SHOWN:
        typer.echo(f"and {len(left) - MOST_SHOWN} more")
