"""Parts of the week as stretches of time, day by day, whatever the clocks on the wall do."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, tzinfo

from callrec_pbx.catalogue.search_terms import Hours

DAY = timedelta(days=1)
INSTANT = timedelta(microseconds=1)
MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of time, the end not included."""

    begin: datetime
    end: datetime


def spans(hours: Iterable[Hours], zone: tzinfo, within: Span) -> list[Span]:
    """Stretches that have every moment of a period which lies in the hours, oldest first.

    On a day on which the clocks are changed they may have some moments more: `include` decides.

    Args:
        hours: Parts of the week.
        zone: Whose clocks count.
        within: The period; none of the stretches goes beyond it.
    """
    found: list[Span] = []
    day = within.begin.astimezone(zone).date() - DAY
    last = within.end.astimezone(zone).date()
    listed = tuple(hours)
    while day <= last:
        for one in listed:
            if day.weekday() not in one.days:
                continue
            length = one.to_minute - one.from_minute
            if length <= 0:
                length += MINUTES_A_DAY
            begin = datetime.combine(day, time()) + timedelta(minutes=one.from_minute)
            both = (_moments(begin, zone), _moments(begin + timedelta(minutes=length), zone))
            found.append(Span(max(min(both[0]), within.begin), min(max(both[1]), within.end)))
        day += DAY
    return _joined(span for span in found if span.begin < span.end)


def _moments(clock: datetime, zone: tzinfo) -> tuple[datetime, datetime]:
    """What a clock's time can mean: two moments when it comes twice, or is left out."""
    return (
        clock.replace(tzinfo=zone, fold=0).astimezone(UTC),
        clock.replace(tzinfo=zone, fold=1).astimezone(UTC),
    )


def _joined(found: Iterable[Span]) -> list[Span]:
    joined: list[Span] = []
    for span in sorted(found, key=lambda one: one.begin):
        if joined and span.begin <= joined[-1].end:
            joined[-1] = Span(joined[-1].begin, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined
