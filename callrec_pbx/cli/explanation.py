"""Printing why a decision is what it is."""

from collections.abc import Iterable

from rich.table import Table

from callrec_pbx.cli.common import console, shown
from callrec_pbx.domain.facts import Inherited, Step
from callrec_pbx.domain.words import Tried

RESULTS = {
    Tried.PASSED: "passed",
    Tried.STOPPED: "stopped",
    Tried.MATCHED: "matched",
    Tried.NO_MATCH: "no match",
    Tried.POSSIBLE: "possible",
}


def print_steps(steps: Iterable[Step], *, not_tried: int = 0) -> None:
    """What was looked at, in order."""
    table = Table("Step", "Result", "Detail")
    for step in steps:
        table.add_row(shown(step.what), RESULTS[step.result], shown(step.detail))
    if not_tried:
        table.add_row("rule", "not tried", f"{not_tried} after that one")
    if table.row_count:
        console().print(table)


def print_settings(settings: Iterable[Inherited]) -> None:
    """What counts, and where it comes from."""
    table = Table("Setting", "Value", "From")
    for one in settings:
        table.add_row(shown(one.setting), shown(one.value), shown(one.origin))
    if table.row_count:
        console().print(table)
