"""Which of the criteria of a search is to lead it, and which are looked at row by row."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from callrec_pbx.catalogue.search_keys import FEW, MOST_NEXT, Key, Reader
from callrec_pbx.catalogue.search_streams import Criterion, as_kept, base_of, criteria_of
from callrec_pbx.catalogue.search_terms import Search
from callrec_pbx.catalogue.search_times import INSTANT, Span

COUNTED = 500
"""Keys that are counted of a stream; what is beyond is reckoned from how far these reach."""

SEEK = 4.0
"""To find where a stream begins costs as much as so many rows that lie together."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a search is gone about.

    Attributes:
        driver: Whose streams are read.
        tests: What is looked at in each row.
        within: The time in which there can be recordings.
    """

    driver: Criterion
    tests: tuple[Criterion, ...]
    within: Span


def planned(
    reader: Reader, connection: Connection, search: Search, *, whole: Span, after: Key, limit: int
) -> Plan | None:
    """How to go about a search from a key on; None: there is nothing to be found.

    Of several criteria that one leads which leaves the fewest rows to look at.
    """
    search = as_kept(search, connection.dialect)
    base, criteria = base_of(search), criteria_of(connection, search)
    if any(criterion.streams == () for criterion in (base, *criteria)):
        return None
    within = _within(reader, search, whole, after)
    if within is None:
        return None
    driver = base
    if len(criteria) == 1 and 0 < len(criteria[0].streams or ()) <= FEW:
        (driver,) = criteria
    elif criteria:
        best = _best(reader, base, criteria, within=within, after=after, limit=limit)
        if best is None:
            return None
        driver = best
    tests = [one for one in criteria if one is not driver or not one.exact]
    if base.test and "tenant" not in driver.columns:
        tests.append(base)
    return Plan(driver, tuple(tests), within)


def _within(reader: Reader, search: Search, whole: Span, after: Key) -> Span | None:
    """From the first to the last moment at which there can be something; None: at none."""
    period = reader.period()
    if period is None:
        return None
    at = reader.time(after[0])
    begin, end = max(whole.begin, period.begin), min(whole.end, period.end + INSTANT)
    if search.oldest_first:
        begin = max(begin, at)
    else:
        end = min(end, at + INSTANT)
    return Span(begin, end) if begin < end else None


def _best(
    reader: Reader,
    base: Criterion,
    criteria: Sequence[Criterion],
    *,
    within: Span,
    after: Key,
    limit: int,
) -> Criterion | None:
    """The one that costs least, as if the criteria had nothing to do with each other."""
    # Of many streams a sample is counted, and none in it does not mean none at all.
    total = reader.estimate(base, within, after, COUNTED)
    if not total and len(base.streams or ()) <= FEW:
        return None
    shares: list[tuple[Criterion, float]] = [(base, 1.0)]
    among = 1.0
    for one in criteria:
        if one.streams is None:
            continue
        found = reader.estimate(one, within, after, COUNTED)
        if not found and len(one.streams) <= FEW:
            return None
        share = min(1.0, max(found, 1.0) / max(total, 1.0))
        among *= share
        shares.append((one, share))

    def cost(one: Criterion, share: float) -> float:
        """Rows that are looked at, or what costs as much."""
        rows = limit * share / among
        streams = len(one.streams or ())
        return rows if streams <= FEW else rows + streams * SEEK * max(1.0, rows / MOST_NEXT)

    return min(shares, key=lambda pair: cost(*pair))[0]
