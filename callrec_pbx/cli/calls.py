"""`callrec-pbx calls`: list calls, recorded or not, and show one with why that is so."""

from typing import Annotated

import typer
from rich.table import Table

from callrec_pbx.catalogue.queries_calls import (
    FoundCall,
    ListedCall,
    WantedCalls,
    find_call,
    list_calls_page,
)
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
from callrec_pbx.domain.words import Direction, Outcome
from callrec_pbx.storage.serial import tombstone_to_dict

app = typer.Typer(help="Calls, recorded or not, and why.", no_args_is_help=True)

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
    number: Annotated[
        str | None, typer.Option(help="A number of the call; * stands for any digits.")
    ] = None,
    outcome: Annotated[
        list[Outcome] | None, typer.Option(help="Only with this outcome; repeatable.")
    ] = None,
    reason: Annotated[str | None, typer.Option(help="Only with this reason.")] = None,
    direction: Annotated[Direction | None, typer.Option(help="Only in this direction.")] = None,
    after: Annotated[
        str | None, typer.Option(help="Go on behind the list that ended with this cursor.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List calls by when they started, newest first."""
    check_limit(limit)
    wanted = WantedCalls(
        start=beginning(start, "--from"),
        end=ending(end, "--to"),
        number=number,
        after=after,
        outcomes=tuple(outcome or ()),
        reason=reason,
        direction=direction,
        limit=limit,
    )
    check_order(wanted.start, wanted.end, end)
    with site(ctx) as here:
        found, cursor = list_calls_page(here.engine, wanted)
    if as_json:
        print_json(
            {
                "calls": [
                    {
                        "call": call_document(one.call, whole=False),
                        "tombstone": tombstone_to_dict(one.tombstone),
                        "recording_ids": one.recording_ids,
                    }
                    for one in found
                ],
                "next_cursor": cursor,
            }
        )
    else:
        _print_table(found)
        if cursor is not None:
            typer.echo(f"there are more: --after {cursor}")


@app.command()
def show(
    ctx: typer.Context,
    call: Annotated[str, typer.Argument(help="Its id, or the beginning of it.")],
    as_json: JsonOption = False,
) -> None:
    """Show one call with its legs, consents and recordings, and why it was (not) recorded."""
    with site(ctx) as here:
        found = find_call(here.engine, call)
        if as_json:
            print_json(
                {
                    "call": call_document(found.call, whole=True),
                    "tombstone": tombstone_to_dict(found.tombstone),
                    "recordings": [
                        recording_document(one.recording, one.tombstone, here.store)
                        for one in found.recordings
                    ],
                }
            )
        else:
            _print_one(found)


def _print_table(found: list[ListedCall]) -> None:
    table = Table("Started", "Direction", "From", "To", "DDI / queue", "Outcome", "Reason")
    for name in ("Rule", "Policy", "Recordings", "Id"):
        table.add_column(name, justify="right" if name == "Recordings" else "left")
    for one in found:
        call = one.call
        table.add_row(
            shown_time(call.started_at),
            call.direction or "",
            shown(call.a_number),
            shown(call.c_number or call.b_number),
            shown(" / ".join(via for via in (call.ddi, call.queue) if via)),
            call.outcome or "open",
            shown(call.reason),
            shown(call.rule),
            shown(call.policy_version),
            str(len(one.recording_ids)),
            call.call_id,
        )
    console().print(table if found else "no calls")


def _print_one(found: FoundCall) -> None:
    call = found.call
    print_facts(
        (
            ("call", call.call_id),
            ("part of", call.merged_into),
            ("PBX ids", shown(", ".join(call.pbx_ids))),
            ("started", shown_time(call.started_at)),
            ("answered", shown_time(call.answered_at)),
            ("ended", shown_time(call.ended_at)),
            ("tenant", shown(call.tenant)),
            *party_facts(call),
            ("rule", shown_rule(call)),
            *cleared_facts("call", found.tombstone),
        )
    )
    print_legs(call.legs)
    print_consents(call.consents)
    recordings = Table("Recording", "Owner", "State", "Reason", "Length")
    recordings.columns[-1].justify = "right"
    for one in found.recordings:
        recordings.add_row(
            one.recording.recording_id,
            shown(one.recording.owner),
            one.recording.state,
            shown(one.recording.reason),
            shown_length(one.recording.audio_ms),
        )
    print_filled(recordings)
    if not call.explanation.steps:
        console().print("no explanation is kept of this call")
    print_steps(call.explanation.steps)
    print_settings(call.explanation.settings)
