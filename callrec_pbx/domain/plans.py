"""Retention plans: how long a recording is kept, as people say it."""

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum


class Unit(StrEnum):
    """What a plan counts."""

    DAY = "day"
    MONTH = "month"
    YEAR = "year"


MAX_DAYS = 36500
"""About a hundred years: a longer plan is a slip of the pen."""

REMEDY = 'write "30 days", "3 months", "2 years", "unlimited" or a number of days'

_TEXT = re.compile(r"([1-9][0-9]{0,4}) ?(day|month|year)s?")
_DAYS_IN = {Unit.DAY: 1, Unit.MONTH: 28, Unit.YEAR: 365}


class PlanError(ValueError):
    """A retention plan cannot be understood; the text names the value and the remedy.

    Attributes:
        problem: What is wrong with the value.
    """

    def __init__(self, value: object, problem: str) -> None:
        """Put it into words."""
        super().__init__(f"retention {value!r}: {problem}; {REMEDY}")
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Plan:
    """How long to keep: so many calendar days, months or years; 0 is without limit."""

    count: int = 0
    unit: Unit = Unit.DAY

    @property
    def unlimited(self) -> bool:
        """Whether nothing is ever pruned by this plan."""
        return self.count == 0

    def after(self, at: datetime) -> datetime | None:
        """When what ended at that time is due; None for never.

        Months and years are those of the calendar: three months after 30 November is the last day
        of February.
        """
        return None if self.unlimited else self._moved(at, 1)

    def before(self, at: datetime) -> datetime | None:
        """What ended before that is due at that time; None for nothing."""
        return None if self.unlimited else self._moved(at, -1)

    def _moved(self, at: datetime, sign: int) -> datetime:
        if self.unit is Unit.DAY:
            return at + timedelta(days=sign * self.count)
        months = sign * self.count * (12 if self.unit is Unit.YEAR else 1)
        year, month = divmod(at.year * 12 + at.month - 1 + months, 12)
        last = calendar.monthrange(year, month + 1)[1]
        return at.replace(year=year, month=month + 1, day=min(at.day, last))

    def __str__(self) -> str:
        """The plan as `parse` reads it."""
        if self.unlimited:
            return UNLIMITED
        return f"{self.count} {self.unit}{'' if self.count == 1 else 's'}"


UNLIMITED = "unlimited"
"""The plan that ends never."""


def parse(text: str | int) -> Plan:
    """Read a plan.

    Args:
        text: `30 days`, `3 months`, `1 year`, `unlimited`, or a number of days.

    Raises:
        PlanError: it is none.
    """
    found = str(text).strip().lower()
    if found == UNLIMITED:
        return Plan()
    match = _TEXT.fullmatch(found if not found.isdecimal() else f"{found} days")
    if match is None:
        raise PlanError(text, "is not a retention plan")
    plan = Plan(int(match[1]), Unit(match[2]))
    if plan.count * _DAYS_IN[plan.unit] > MAX_DAYS:
        raise PlanError(text, "is more than 100 years")
    return plan
