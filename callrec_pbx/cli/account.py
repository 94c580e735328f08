"""`callrec-pbx account`: what became of every call of a period."""

from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from callrec_pbx.catalogue.account import Account
from callrec_pbx.catalogue.account import account as draw_up
from callrec_pbx.cli.common import (
    beginning,
    check_order,
    console,
    ending,
    print_json,
    shown,
    shown_time,
    site,
    today,
)
from callrec_pbx.domain.facts import CallFacts
from callrec_pbx.storage.serial import call_to_dict, time_to_text


def account(
    ctx: typer.Context,
    start: Annotated[
        str | None, typer.Option("--from", help="Date or time (local); today without it.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Date (included) or time (local); today without it.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Exit status 1 when a call failed or was missed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Count the calls that ended in a period by outcome, and list the failed and the missed.

    Exit status 1 when the account does not add up.
    """
    here_and_now = today().isoformat()
    first = beginning(start or here_and_now, "--from")
    last = ending(end or here_and_now, "--to")
    assert first is not None and last is not None  # noqa: S101, PT018 - for the type checker
    check_order(first, last, end or here_and_now)
    with site(ctx) as here:
        found = draw_up(here.engine, first, last)
    if as_json:
        print_json(_document(found))
    else:
        _print(found)
    if not found.balanced or (check and (found.failed or found.missed)):
        raise typer.Exit(1)


def _document(found: Account) -> dict[str, Any]:
    return {
        "from": time_to_text(found.start),
        "to": time_to_text(found.end),
        "ended": found.ended,
        "still_open": found.still_open,
        "balanced": found.balanced,
        "outcomes": [
            {"outcome": line.outcome, "reason": line.reason, "calls": line.calls}
            for line in found.lines
        ],
        "failed": [call_to_dict(call) for call in found.failed],
        "missed": [call_to_dict(call) for call in found.missed],
        "unaccounted": [call_to_dict(call) for call in found.unaccounted],
    }


def _print(found: Account) -> None:
    out = console()
    table = Table("Outcome", "Reason", "Calls", title=_period(found), title_justify="left")
    table.columns[2].justify = "right"
    table.show_footer = True
    table.columns[0].footer, table.columns[2].footer = "ended", str(found.ended)
    for line in found.lines:
        table.add_row(line.outcome, shown(line.reason), str(line.calls))
    out.print(table)
    out.print(f"still open: {found.still_open}")
    for title, calls in (
        ("Failed", found.failed),
        ("Missed", found.missed),
        ("Without an outcome (please report this)", found.unaccounted),
    ):
        _print_calls(out, title, calls)
    if not found.balanced:
        out.print("the account does not add up")
    if found.lines:
        out.print("which calls, and why: callrec-pbx calls list --outcome OUTCOME")


def _period(found: Account) -> str:
    return f"Calls that ended from {shown_time(found.start)} until {shown_time(found.end)}"


def _print_calls(out: Console, title: str, calls: tuple[CallFacts, ...]) -> None:
    if not calls:
        return
    table = Table("Ended", "Direction", "From", "To", "Rule", "Reason", "Call", title=title)
    table.title_justify = "left"
    for call in calls:
        table.add_row(
            shown_time(call.ended_at),
            call.direction or "",
            shown(call.a_number),
            shown(call.c_number or call.b_number),
            shown(call.rule),
            shown(call.reason),
            call.call_id,
        )
    out.print(table)
