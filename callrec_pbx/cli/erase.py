"""`callrec-pbx erase`: the right to erasure, by number."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.cli.common import (
    Site,
    check_tenant,
    console,
    plain,
    print_json,
    progress_bar,
    shown_time,
    site,
)
from callrec_pbx.cli.people_common import actor
from callrec_pbx.domain.holds import numbers_of
from callrec_pbx.retention import erase_record, erase_wipe
from callrec_pbx.retention.erase import (
    ErasePlan,
    begin_or_go_on,
    carry_out,
    forget_in_holds,
    plan_erasure,
)
from callrec_pbx.retention.erase_find import EraseError, Number, find, number_of, own_number
from callrec_pbx.retention.erase_record import Erasure

MOST_SHOWN = 50
"""Rows of a table before the rest is only counted."""


def erase(
    ctx: typer.Context,
    *,
    number: Annotated[
        str | None, typer.Option(help="The number, best with its country code.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="Only in the calls of this tenant.")] = "",
    reference: Annotated[
        str, typer.Option(help="What the request is called elsewhere, such as a ticket.")
    ] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be erased, and what stays.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    own: Annotated[
        bool, typer.Option("--own", help="Also where it is a line's or a DDI's of ours.")
    ] = False,
    catalogue_only: Annotated[
        bool, typer.Option("--catalogue-only", help="Do not read every sidecar; much quicker.")
    ] = False,
    vacuum: Annotated[
        bool, typer.Option("--vacuum", help="Then free the database of what rows were before.")
    ] = False,
    certificate: Annotated[
        Path | None, typer.Option(help="Write a certificate there: JSON if it ends in .json.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(help="Go on with this erasure, or write its certificate again.", metavar="ID"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Erase all calls with a number: their audio and personal data, now and for good.

    Exit status 1 when something that has the number, or may have it, stays.
    """
    if (number is None) is (resume is None):
        raise typer.BadParameter("give --number, or --resume with the id of an erasure")
    if certificate is not None and not dry_run:
        _check_writable(certificate)
    with site(ctx) as here:
        if resume is not None:
            _resume(here, resume, certificate, dry_run=dry_run, as_json=as_json)
            return
        check_tenant(here, tenant)
        wanted = number_of(here.place, number or "", tenant)
        _check(here, wanted, reference, own=own)
        plan = _plan(here, wanted, quiet=as_json, sidecars=not catalogue_only)
        if not as_json:
            _print_plan(here, plan)
        erasure = None
        remains = False
        if not dry_run:
            if not yes:
                _confirm(plan)
            erasure = _carry_out(here, plan, wanted, reference, quiet=as_json)
            forget_in_holds(here.place, wanted)
            remains = _wipe(here, plan, wanted, vacuum=vacuum)
        if as_json:
            print_json(_document(plan, erasure, remains=remains))
        elif erasure is not None:
            _print_done(erasure, remains=remains)
        if erasure is not None:
            _write_certificate(certificate, erasure)
    if plan.possible or (plan.stays if erasure is None else erasure.left):
        raise typer.Exit(1)


def _check(here: Site, number: Number, reference: str, *, own: bool) -> None:
    if number.stands_in(reference):
        raise EraseError(
            "--reference: names the number, and would keep it; give a ticket or file number"
        )
    whose = own_number(here.place, number)
    if whose and not own:
        raise EraseError(
            f"number {number.written!r}: is {whose} of ours, so that every call of it would be "
            "erased; give --own if that is what is meant"
        )


def _plan(here: Site, number: Number, *, quiet: bool, sidecars: bool) -> ErasePlan:
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("searching", total=None)
        found = find(here.place, number, sidecars=sidecars, progress=lambda: bar.advance(task))
    return plan_erasure(here.place, found)


def _confirm(plan: ErasePlan) -> None:
    count = len(plan.recordings)
    if not count and not plan.calls:
        return
    question = f"Type {count} to erase {count} recordings and {len(plan.calls)} calls for good"
    if typer.prompt(question, default="", show_default=False).strip() != str(count):
        typer.echo("nothing was changed")
        raise typer.Exit(1)


def _carry_out(
    here: Site, plan: ErasePlan, number: Number, reference: str, *, quiet: bool
) -> Erasure:
    erasure = begin_or_go_on(here.place, plan, number, actor(), reference.strip())
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("erasing", total=len(erasure.calls))
        return carry_out(here.place, erasure, plan.stays, lambda calls: bar.advance(task, calls))


def _resume(
    here: Site, erasure_id: str, certificate: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    erasure = erase_record.read(here.store.directory, erasure_id)
    if erasure.finished_at is None and not dry_run:
        erasure = carry_out(here.place, erasure)
        erase_wipe.settle(here.engine)
    if as_json:
        print_json({"dry_run": dry_run, "certificate": erase_record.to_document(erasure)})
    else:
        typer.echo(plain_lines(erase_record.as_text(erasure)))
    if not dry_run:
        _write_certificate(certificate, erasure)
    if erasure.left:
        raise typer.Exit(1)


def _wipe(here: Site, plan: ErasePlan, number: Number, *, vacuum: bool) -> bool:
    """Leave nothing in the database's file; returns whether something is still there."""
    erase_wipe.settle(here.engine)
    if vacuum:
        erase_wipe.vacuum(here.engine)
    if plan.stays:
        return False
    spellings = {number.written, number.meant}
    for match in plan.matches:
        call = match.call.call
        spellings |= {one for one in numbers_of(call) if number.fits(one, call.tenant)}
    return erase_wipe.remains(here.engine, spellings)


def _print_plan(here: Site, plan: ErasePlan) -> None:
    calls = {match.call.call.call_id: match.call.call for match in plan.matches}
    rows = [
        ("audio and personal data", one.created_at, one.recording_id) for one in plan.recordings
    ]
    rows += [
        ("personal data of the call", calls[call_id].started_at, call_id) for call_id in plan.calls
    ]
    table = Table("Erase", "Of", "Id")
    for what, at, item in rows[:MOST_SHOWN]:
        table.add_row(what, shown_time(at), item)
    console().print(table if rows else "nothing has the number")
    if len(rows) > MOST_SHOWN:
        typer.echo(f"and {len(rows) - MOST_SHOWN} more")
    _print_some(f"stays: {one.kind} {one.subject}: {one.why}" for one in plan.stays)
    _print_some(
        f"may be the number: {text} in {len(ids)} calls ({ids[0]}); to erase it too: "
        f"callrec-pbx erase --number '{text}'"
        for text, ids in plan.possible.items()
    )
    for erasure in erase_record.unfinished(here.store.directory):
        typer.echo(
            f"erasure {erasure.erasure_id} was cut off; to go on: "
            f"callrec-pbx erase --resume {erasure.erasure_id}"
        )
    typer.echo(f"{len(plan.recordings)} recordings and {len(plan.calls)} calls to erase")


def _print_some(lines: Iterable[str]) -> None:
    listed = list(lines)
    for line in listed[:MOST_SHOWN]:
        typer.echo(plain(line))
    if len(listed) > MOST_SHOWN:
        typer.echo(f"and {len(listed) - MOST_SHOWN} more")


def _print_done(erasure: Erasure, *, remains: bool) -> None:
    calls = sum(bool(call["cleared_at"]) for call in erasure.calls)
    gone = sum(bool(one["erased_at"]) for call in erasure.calls for one in call["recordings"])
    typer.echo(f"erasure {erasure.erasure_id}: {gone} recordings pruned, {calls} calls cleared")
    _print_some(f"not erased: {one['kind']} {one['id']}: {one['why']}" for one in erasure.left)
    if remains:
        typer.echo(
            "the database file has the number in parts that are free, from before it overwrote "
            "them; run again with --vacuum when there are few calls",
            err=True,
        )


def _document(plan: ErasePlan, erasure: Erasure | None, *, remains: bool) -> dict[str, Any]:
    return {
        "dry_run": erasure is None,
        "recordings": [one.recording_id for one in plan.recordings],
        "calls": list(plan.calls),
        "stays": [{"kind": one.kind, "id": one.subject, "why": one.why} for one in plan.stays],
        "possible": plan.possible,
        "remains_in_file": remains,
        "certificate": None if erasure is None else erase_record.to_document(erasure),
    }


def _check_writable(path: Path) -> None:
    folder = path.parent
    if path.is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
        raise typer.BadParameter(
            f"{str(path)!r} cannot be written; give a file in a folder that is there",
            param_hint="--certificate",
        )


def _write_certificate(path: Path | None, erasure: Erasure) -> None:
    if path is None:
        return
    if path.suffix == ".json":
        text = json.dumps(erase_record.to_document(erasure), indent=2) + "\n"
    else:
        text = erase_record.as_text(erasure)
    path.write_text(text)


def plain_lines(text: str) -> str:
    """Text of several lines, safe to print."""
    return "\n".join(map(plain, text.splitlines()))
