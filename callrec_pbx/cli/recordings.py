"""`callrec-pbx recordings`: list recordings, and show one."""

from typing import Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.catalogue.queries import Found, Wanted, find_recording, list_recordings
from callrec_pbx.cli.common import (
    Site,
    beginning,
    check_order,
    console,
    ending,
    print_json,
    shown,
    shown_length,
    shown_time,
    site,
)
from callrec_pbx.cli.explanation import print_settings, print_steps
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.storage.serial import (
    call_to_dict,
    recording_to_dict,
    tombstone_to_dict,
)

MOST = 10_000

app = typer.Typer(help="Recordings and what is known of them.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("list")
def list_(
    ctx: typer.Context,
    *,
    start: Annotated[
        str | None, typer.Option("--from", help="Date or time (local) of the first.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Date (included) or time (local) of the last.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Whose they are.")] = None,
    number: Annotated[
        str | None, typer.Option(help="A number of the call; * stands for any digits.")
    ] = None,
    state: Annotated[
        list[RecordingState] | None, typer.Option(help="Only in this state; repeatable.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List recordings, newest first."""
    if not 1 <= limit <= MOST:
        raise typer.BadParameter(f"{limit}: give 1 to {MOST}", param_hint="--limit")
    wanted = Wanted(
        start=beginning(start, "--from"),
        end=ending(end, "--to"),
        owner=owner,
        number=number,
        states=tuple(state or ()),
        limit=limit,
    )
    check_order(wanted.start, wanted.end, end)
    with site(ctx) as here:
        found = list_recordings(here.engine, wanted)
        if as_json:
            print_json({"recordings": [_document(one, here, whole=False) for one in found]})
        else:
            _print_table(found)


@app.command()
def show(
    ctx: typer.Context,
    recording: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: JsonOption = False,
) -> None:
    """Show one recording with its call, legs, consents and pauses, and why it was made."""
    with site(ctx) as here:
        found = find_recording(here.engine, recording)
        if as_json:
            print_json(_document(found, here, whole=True))
        else:
            _print_one(found, here)


def _document(found: Found, here: Site, *, whole: bool) -> dict[str, Any]:
    call = call_to_dict(found.call)
    if not whole:
        del call["legs"], call["consents"]
    audio = here.store.audio_path(found.recording)
    return {
        "recording": recording_to_dict(found.recording),
        "tombstone": tombstone_to_dict(found.tombstone),
        "call": call,
        "call_tombstone": tombstone_to_dict(found.call_tombstone),
        "audio": str(audio),
        "audio_exists": audio.is_file(),
    }


def _print_table(found: list[Found]) -> None:
    table = Table("Started", "Owner", "Direction", "From", "To", "Length", "State", "Reason", "Id")
    table.columns[5].justify = "right"
    for one in found:
        recording, call = one.recording, one.call
        table.add_row(
            shown_time(recording.created_at),
            shown(recording.owner),
            call.direction or "",
            shown(call.a_number),
            shown(call.c_number or call.b_number),
            shown_length(recording.audio_ms),
            recording.state,
            shown(recording.reason),
            recording.recording_id,
        )
    console().print(table if found else "no recordings")


def _print_one(found: Found, here: Site) -> None:
    out = console()
    recording, call = found.recording, found.call
    audio = here.store.audio_path(recording)
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("recording", recording.recording_id),
        ("state", f"{recording.state} {shown(recording.reason)}"),
        ("owner", shown(recording.owner)),
        ("started", shown_time(recording.started_at or recording.created_at)),
        ("ended", shown_time(recording.ended_at)),
        ("late", f"{recording.late_ms} ms" if recording.late_ms else ""),
        ("length", shown_length(recording.audio_ms)),
        ("mode", recording.mode),
        ("rule", f"{shown(recording.rule)} (policy {shown(recording.policy_version)})"),
        ("kept until", shown_time(recording.delete_after) or "without limit"),
        ("audio", shown(str(audio)) + ("" if audio.is_file() else " (not there)")),
        ("size", "" if recording.size is None else f"{recording.size} bytes"),
        ("sha256", recording.sha256),
        ("repaired", "yes" if recording.repaired else ""),
        ("call", call.call_id),
        ("direction", call.direction or ""),
        ("A number", shown(f"{call.a_number} {call.a_name}")),
        ("B number", shown(call.b_number)),
        ("C number", shown(call.c_number)),
        ("DDI", shown(call.ddi)),
        ("queue", shown(call.queue)),
        ("outcome", f"{call.outcome or 'open'} {shown(call.reason)}"),
        ("transfers", shown(", ".join(call.transfers))),
    ):
        if value.strip():
            facts.add_row(name, value)
    for what, tombstone in (("pruned", found.tombstone), ("call", found.call_tombstone)):
        if tombstone is not None:
            cleared = f"{shown_time(tombstone.pruned_at)} by {tombstone.pruned_by}: {tombstone.why}"
            facts.add_row(f"{what} cleared", shown(cleared))
    out.print(facts)
    _print_parts(found)


def _print_parts(found: Found) -> None:
    legs = Table("Leg", "Kind", "Line", "Number", "Name", "Channel", "Bridged", "Ended")
    for leg in found.call.legs:
        legs.add_row(
            shown(leg.leg),
            leg.kind,
            shown(leg.line),
            shown(leg.number),
            shown(leg.name),
            shown(leg.channel),
            shown_time(leg.bridged_at),
            shown_time(leg.ended_at),
        )
    consents = Table("Consent of", "Number", "Asked", "Outcome", "Key", "Prompt", "Played")
    for consent in found.call.consents:
        consents.add_row(
            shown(consent.party),
            shown(consent.number),
            consent.mode,
            consent.outcome,
            shown(consent.key),
            shown(f"{consent.language} {consent.prompt} {consent.prompt_sha256[:12]}".strip()),
            f"{consent.played_ms} of {consent.prompt_ms} ms",
        )
    pauses = Table("Paused from", "to", "for")
    for pause in found.recording.pauses:
        ended = pause.to_ms
        pauses.add_row(
            shown_length(pause.from_ms),
            shown_length(ended) or "still",
            "" if ended is None else f"{(ended - pause.from_ms) / 1000:.1f} s",
        )
    for table in (legs, consents, pauses):
        if table.row_count:
            console().print(table)
    explanation = found.recording.explanation
    if not explanation.steps:
        explanation = found.call.explanation
    print_steps(explanation.steps)
    print_settings(explanation.settings)
