"""Searching recordings: a page at a time, at a cost that grows with the page.

page = find(engine, Search(owners=("anna@example.com",)), limit=50)
page = find(engine, search, after=page.next_cursor)
for found in every(engine, search): ...
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.queries import Found, recordings_by_id
from callrec_pbx.catalogue.search_keys import FEW, Batch, Key, Reader
from callrec_pbx.catalogue.search_plan import Plan, planned
from callrec_pbx.catalogue.search_terms import (
    Hours,
    Search,
    SearchError,
    as_cursor,
    from_cursor,
)
from callrec_pbx.catalogue.search_times import DAY, INSTANT, Span, spans

__all__ = ["Found", "Hours", "Page", "Search", "SearchError", "every", "find", "find_all"]

MOST_WORK = 20_000
"""Keys that are looked at for one page at the most, about: then it is given out as it is."""

SIDE_BY_SIDE = 4
"""Stretches of time that are read each in its order; more are swept, if there is little in them."""

MOST_ARMS = 512
"""Stretches of time, by streams, that are swept at once."""

_MORE = 4
"""How much more is looked at each time that too little was found."""
_MOST_AT_ONCE = 5000
_FIRST = datetime(1, 1, 2, tzinfo=UTC)
_LAST = datetime(9999, 12, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Page:
    """A part of what a search finds.

    Attributes:
        found: In the order of the search.
        next_cursor: Where the next page begins; None at the end. There can be a next page after
            one that is not full: so much has been looked through without finding more.
    """

    found: tuple[Found, ...]
    next_cursor: str | None


def find(engine: Engine, search: Search, *, after: str | None = None, limit: int = 50) -> Page:
    """One page of the recordings that are wanted, newest first or oldest first.

    Recordings that are written meanwhile make no recording come twice, or be left out.

    Args:
        engine: The catalogue.
        search: What is wanted.
        after: `next_cursor` of the page before; None for the first.
        limit: How many at the most.

    Raises:
        SearchError: the search or the cursor makes no sense.
    """
    begin = None if after is None else from_cursor(after)
    with reading(engine).begin() as connection:
        keys, end = _Walk(connection, search, begin).page(limit)
        found = recordings_by_id(connection, [key[1] for key in keys])
    return Page(tuple(found), None if end is None else as_cursor(*end))


def find_all(
    engine: Engine, search: Search, *, after: str | None = None, limit: int = 50
) -> tuple[list[Found], str | None]:
    """A page that is full where there are enough, however long that takes, and the next cursor."""
    found: list[Found] = []
    while True:
        page = find(engine, search, after=after, limit=limit - len(found))
        found += page.found
        after = page.next_cursor
        if after is None or len(found) >= limit:
            return found, after


def every(engine: Engine, search: Search, *, page: int = 500) -> Iterator[Found]:
    """All recordings that are wanted, page by page, each in a short transaction of its own."""
    cursor: str | None = None
    while True:
        part = find(engine, search, after=cursor, limit=page)
        yield from part.found
        if (cursor := part.next_cursor) is None:
            return


class _Walk:
    """Goes through the keys that a search may mean, from a place on, until a page is full."""

    def __init__(
        self, connection: Connection, search: Search, begin: tuple[datetime, str] | None
    ) -> None:
        self._search = search
        self._connection = connection
        self._reader = Reader(connection, oldest_first=search.oldest_first)
        start, end = search.start or _FIRST, search.end or _LAST
        self._whole = Span(start.astimezone(UTC), end.astimezone(UTC))
        first = self._whole.begin if search.oldest_first else self._whole.end
        at, recording_id = begin or (first, "")
        self._at: Key = (self._reader.moment(at), recording_id)
        self._edge = first

    def page(self, limit: int) -> tuple[list[Key], tuple[datetime, str] | None]:
        """The keys of a page, and the place at which the next one begins, if there is one."""
        plan = planned(
            self._reader,
            self._connection,
            self._search,
            whole=self._whole,
            after=self._at,
            limit=limit,
        )
        if plan is None:
            return [], None
        within = plan.within
        self._edge = within.begin if self._search.oldest_first else within.end
        by_hours = bool(self._search.hours) and len(plan.driver.streams or ()) <= FEW
        hits: list[Key] = []
        wanted, days, work = limit + 1, 1, 0
        most = max(1, MOST_ARMS // len(plan.driver.streams or (1,)))
        while True:
            stretch, rest = self._stretch(within, days) if by_hours else ([within], None)
            batch = self._read(plan, stretch, wanted, days)
            if batch is None:
                most = days = max(1, days // _MORE)
                continue
            hits += [key for key in batch.keys if self._in_hours(key)]
            if len(hits) > limit:
                return hits[:limit], self._named(hits[limit - 1])
            days = min(days * _MORE, most)
            if batch.upto is not None:
                self._at, days = batch.upto, 1
                self._edge = self._behind(batch.upto)
            elif rest is None:
                return hits, None
            else:
                self._at, self._edge = (self._reader.moment(rest), ""), rest
                if not batch.keys and not self._skip(plan):
                    return hits, None
            work += batch.work
            if work >= MOST_WORK:
                return hits, self._named(self._at)
            if plan.tests or self._search.hours:
                wanted = min(wanted * _MORE, _MOST_AT_ONCE)

    def _read(self, plan: Plan, stretch: list[Span], wanted: int, days: int) -> Batch | None:
        """Some keys of a stretch; None: it has too much in it, fewer days have to do."""
        if days == 1 or len(stretch) < SIDE_BY_SIDE:
            return self._reader.read(plan.driver, plan.tests, stretch, self._at, wanted)
        return self._reader.sweep(plan.driver, plan.tests, stretch, self._at)

    def _stretch(self, within: Span, days: int) -> tuple[list[Span], datetime | None]:
        """What lies in the hours of the next days, and where it goes on behind these."""
        hours, zone = self._search.hours, self._search.zone
        if self._search.oldest_first:
            rest = min(self._edge + days * DAY, within.end)
            found = spans(hours, zone, Span(self._edge, rest))
            return found, rest if rest < within.end else None
        rest = max(self._edge - days * DAY, within.begin)
        found = spans(hours, zone, Span(rest, self._edge))
        return found[::-1], rest if rest > within.begin else None

    def _skip(self, plan: Plan) -> bool:
        """Go to the next key there is, at whatever hour; False: there is none."""
        found = self._reader.head(plan.driver, plan.within, self._at)
        if found is None:
            return False
        self._edge = found if self._search.oldest_first else found + INSTANT
        return True

    def _behind(self, key: Key) -> datetime:
        """The edge of the days that still have keys behind this one."""
        at = self._reader.time(key[0])
        return at if self._search.oldest_first else at + INSTANT

    def _in_hours(self, key: Key) -> bool:
        if not self._search.hours:
            return True
        local = self._reader.time(key[0]).astimezone(self._search.zone)
        return any(hours.include(local) for hours in self._search.hours)

    def _named(self, key: Key) -> tuple[datetime, str]:
        return self._reader.time(key[0]), key[1]
