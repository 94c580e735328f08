"""`callrec-pbx recordings`: list recordings, and show one."""

from typing import Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.catalogue.queries import Found, find_recording
from callrec_pbx.catalogue.search import find_all
from callrec_pbx.cli.call_facts import (
    call_document,
    check_limit,
    cleared_facts,
    party_facts,
    print_consents,
    print_facts,
    print_filled,
    print_legs,
    recording_document,
    shown_rule,
)
from callrec_pbx.cli.common import (
    Site,
    console,
    print_json,
    shown,
    shown_length,
    shown_time,
    site,
)
from callrec_pbx.cli.explanation import print_settings, print_steps
from callrec_pbx.cli.recordings_delete import (
    delete,
    deletion_facts,
    short_deletion,
    undelete,
)
from callrec_pbx.cli.recordings_download import download
from callrec_pbx.cli.recordings_follow_up import follow_up
from callrec_pbx.cli.recordings_mark import flag, tag
from callrec_pbx.cli.search_options import Chosen, takes_search
from callrec_pbx.storage.serial import tombstone_to_dict

app = typer.Typer(help="Recordings and what is known of them.", no_args_is_help=True)
app.command()(delete)
app.command()(undelete)
app.command()(download)
app.command("follow-up")(follow_up)
app.command()(tag)
app.command()(flag)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("list")
@takes_search
def list_(
    ctx: typer.Context,
    *,
    chosen: Chosen,
    oldest_first: Annotated[
        bool, typer.Option("--oldest-first", help="The oldest first, not the newest.")
    ] = False,
    after: Annotated[
        str | None, typer.Option(help="Go on behind the list that ended with this cursor.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List recordings, newest first."""
    check_limit(limit)
    with site(ctx) as here:
        search = chosen.search(here.engine, oldest_first=oldest_first)
        found, cursor = find_all(here.engine, search, after=after, limit=limit)
        if as_json:
            documents = [_document(one, here, whole=False) for one in found]
            print_json({"recordings": documents, "next_cursor": cursor})
            return
        _print_table(found)
        if cursor is not None:
            typer.echo(f"there are more: --after {cursor}")


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
    return recording_document(found.recording, found.tombstone, here.store) | {
        "call": call_document(found.call, whole=whole),
        "call_tombstone": tombstone_to_dict(found.call_tombstone),
        "held": here.store.holds.reason(found.recording, found.call),
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
            shown(recording.reason or short_deletion(recording)),
            recording.recording_id,
        )
    console().print(table if found else "no recordings")


def _print_one(found: Found, here: Site) -> None:
    recording, call = found.recording, found.call
    audio = here.store.listen_path(recording)
    print_facts(
        (
            ("recording", recording.recording_id),
            ("state", f"{recording.state} {shown(recording.reason)}"),
            ("owner", shown(recording.owner)),
            ("line", shown(recording.line)),
            ("tenant", shown(recording.tenant)),
            ("site", shown(recording.site)),
            ("department", shown(recording.department)),
            ("started", shown_time(recording.started_at or recording.created_at)),
            ("ended", shown_time(recording.ended_at)),
            ("late", f"{recording.late_ms} ms" if recording.late_ms else ""),
            ("length", shown_length(recording.audio_ms)),
            ("channels", recording.channels),
            ("tags", shown(", ".join(recording.tags))),
            ("flagged", "yes" if recording.flagged else ""),
            ("evaluated", "yes" if recording.evaluated else ""),
            ("mode", recording.mode),
            ("rule", shown_rule(recording)),
            ("kept until", shown_time(recording.delete_after) or "without limit"),
            *deletion_facts(here, recording, call),
            ("audio", shown(str(audio)) + ("" if audio.is_file() else " (not there)")),
            ("size", "" if recording.size is None else f"{recording.size} bytes"),
            ("sha256", recording.sha256),
            ("format", recording.format),
            ("encoded", f"{recording.encoded_size} bytes" if recording.encoded else ""),
            ("encoded sha256", recording.encoded_sha256),
            ("WAV file", "" if recording.has_wav else "replaced"),
            ("to do", shown(" ".join(recording.to_do))),
            ("not done", shown(recording.follow_up_error)),
            ("named", shown(recording.named)),
            ("repaired", "yes" if recording.repaired else ""),
            ("call", call.call_id),
            *party_facts(call),
            *cleared_facts("recording", found.tombstone),
            *cleared_facts("call", found.call_tombstone),
        )
    )
    print_legs(call.legs)
    print_consents(call.consents)
    pauses = Table("Paused from", "to", "for")
    for pause in recording.pauses:
        ended = pause.to_ms
        pauses.add_row(
            shown_length(pause.from_ms),
            shown_length(ended) or "still",
            "" if ended is None else f"{(ended - pause.from_ms) / 1000:.1f} s",
        )
    print_filled(pauses)
    explanation = recording.explanation if recording.explanation.steps else call.explanation
    print_steps(explanation.steps)
    print_settings(explanation.settings)
