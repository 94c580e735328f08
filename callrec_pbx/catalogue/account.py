"""The account: every call that ended in a period, by outcome and reason, and whether it adds up."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Engine, Select, func, select

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import CALL, calls_of
from callrec_pbx.domain.facts import CallFacts
from callrec_pbx.domain.words import Outcome


@dataclass(frozen=True, slots=True)
class Line:
    """How many calls ended so."""

    outcome: Outcome
    reason: str
    calls: int


@dataclass(frozen=True, slots=True)
class Account:
    """What became of the calls that ended in a period; a call merged into another is not counted.

    Attributes:
        ended: Calls that ended in the period. The lines and `unaccounted` add up to it.
        still_open: Calls that began before the end of the period and have not ended.
        failed: Calls whose recording failed.
        missed: Calls that should have been recorded and were not.
        unaccounted: Calls that ended without an outcome: a fault of ours.
    """

    start: datetime
    end: datetime
    ended: int
    lines: tuple[Line, ...]
    still_open: int
    failed: tuple[CallFacts, ...]
    missed: tuple[CallFacts, ...]
    unaccounted: tuple[CallFacts, ...]

    @property
    def balanced(self) -> bool:
        """Whether every call that ended has an outcome, and the lines add up."""
        return not self.unaccounted and sum(line.calls for line in self.lines) == self.ended


def account(engine: Engine, start: datetime, end: datetime) -> Account:
    """Draw up the account of a period, from `start` on and before `end`."""
    counted = CALL.c.merged_into == ""
    ended = (counted, CALL.c.ended_at >= start, CALL.c.ended_at < end)
    kinds = select(CALL.c.outcome, CALL.c.reason, func.count()).where(*ended)
    kinds = kinds.where(CALL.c.outcome.is_not(None)).group_by(CALL.c.outcome, CALL.c.reason)
    running = select(func.count()).where(
        counted, CALL.c.ended_at.is_(None), CALL.c.started_at < end
    )
    some = select(CALL).where(*ended).order_by(CALL.c.ended_at, CALL.c.call_id)
    with reading(engine).begin() as connection:
        lines = [Line(*row) for row in connection.execute(kinds)]
        return Account(
            start=start,
            end=end,
            ended=connection.execute(select(func.count()).where(*ended)).scalar_one(),
            lines=tuple(sorted(lines, key=_order)),
            still_open=connection.execute(running).scalar_one(),
            failed=_calls(connection, some.where(CALL.c.outcome == Outcome.FAILED)),
            missed=_calls(connection, some.where(CALL.c.outcome == Outcome.MISSED)),
            unaccounted=_calls(connection, some.where(CALL.c.outcome.is_(None))),
        )


def _order(line: Line) -> tuple[int, int, str]:
    return list(Outcome).index(line.outcome), -line.calls, line.reason


def _calls(connection: Connection, query: Select[tuple[object, ...]]) -> tuple[CallFacts, ...]:
    rows = connection.execute(query).mappings().all()
    return tuple(item.call for item in calls_of(connection, rows))
