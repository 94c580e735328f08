"""Reading keys of streams in order of time: some of one stream, or the next ones of many."""

# ruff: noqa: S608 - names are this module's own, values are bound

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from callrec_pbx.catalogue.search_streams import Criterion, Stream
from callrec_pbx.catalogue.search_times import INSTANT, Span

FEW = 6
"""Streams that are read side by side; of more, only those that come next."""

MOST_NEXT = 64
"""Streams that come next."""

SAMPLE = 8
"""Streams that are counted of many."""

LEAST = 32
"""Keys that are read at once of a stream, at the least."""

SWEPT = 2000
"""Keys of many spans or streams that are read and sorted at once."""

Moment = str | datetime
"""A time as the database has it: a text that sorts in SQLite, a time in PostgreSQL."""

Key = tuple[Any, str]
"""When a recording was created, as the database has it, and its id."""

_PLANNING = text(
    "SELECT "
    + ", ".join(
        f"set_config('{name}', 'off', true)"
        for name in (
            "enable_seqscan",
            "enable_bitmapscan",
            "enable_hashjoin",
            "enable_mergejoin",
            "jit",
        )
    )
)
"""The indexes are made for these statements: statistics, old or missing, choose no other way."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Some keys that have passed, in order.

    Attributes:
        upto: How far that is all there is; None: to the end of the spans.
        work: About how many keys were read.
    """

    keys: list[Key]
    upto: Key | None
    work: int


class Reader:
    """Reads keys newest first or oldest first, in one transaction."""

    def __init__(self, connection: Connection, *, oldest_first: bool) -> None:
        """Prepare the transaction."""
        self._connection = connection
        self._sqlite = connection.dialect.name == "sqlite"
        self._oldest_first = oldest_first
        self._order = "ASC" if oldest_first else "DESC"
        if not self._sqlite:
            connection.execute(_PLANNING)

    def moment(self, at: datetime) -> Moment:
        """A time as the database has it."""
        at = at.astimezone(UTC)
        if not self._sqlite:
            return at
        return at.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")

    def time(self, moment: Moment) -> datetime:
        """What `moment` made, as a time."""
        if isinstance(moment, str):
            return datetime.fromisoformat(moment).replace(tzinfo=UTC)
        return moment.astimezone(UTC)

    def period(self) -> Span | None:
        """From the oldest recording to the newest, both included; None: there is none."""
        query = text(
            "SELECT (SELECT min(created_at) FROM recording),"
            " (SELECT max(created_at) FROM recording)"
        )
        oldest, newest = self._connection.execute(query).one()
        return None if oldest is None else Span(self.time(oldest), self.time(newest))

    def read(
        self, driver: Criterion, tests: Sequence[Criterion], spans: Sequence[Span], after: Key,
        wanted: int,
    ) -> Batch:  # fmt: skip
        """The next keys of the driver's streams.

        Args:
            driver: Whose streams are read.
            tests: What is looked at in each row.
            spans: Stretches of time, in the order of reading; one where there are many streams.
            after: The key before the first.
            wanted: About how many.
        """
        streams, work = driver.streams or (), 0
        ends: list[Key] = []
        if len(streams) > FEW:
            (whole,) = spans
            streams, ends, work = self._next_streams(driver, whole, after, wanted)
            limit = max(LEAST, 2 * wanted // max(1, len(streams)))
            found = self._read_many(
                driver, tests, streams, within=self._up_to(whole, ends), after=after, limit=limit
            )
            if found is not None:
                keys, more = found
                ends += more
                return self._batch(keys, ends, work + len(keys) + len(more) * limit)
        arms = [(stream, span) for span in spans for stream in streams]
        if not arms:
            return Batch([], None, work)
        limit = max(LEAST, 2 * wanted // len(arms))
        sql, values = self._arms(driver, tests, arms, after, limit)
        passed: set[Key] = set()
        for created_at, recording_id, last in self._connection.execute(text(sql), values):
            (ends.append if last else passed.add)((created_at, recording_id))
        return self._batch(passed, ends, work + len(arms) + len(ends) * limit)

    def _batch(self, passed: set[Key], ends: Sequence[Key], work: int) -> Batch:
        """Keys that have passed, up to where all streams have been read."""
        upto = (min if self._oldest_first else max)(ends) if ends else None
        ordered = sorted(passed, reverse=not self._oldest_first)
        if upto is not None:
            ordered = [key for key in ordered if not self._before(upto, key)]
        return Batch(ordered, upto, work)

    def sweep(
        self, driver: Criterion, tests: Sequence[Criterion], spans: Sequence[Span], after: Key
    ) -> Batch | None:
        """All keys of the driver's streams in many spans; None: there are too many to sort.

        Where little is in each span this costs much less than reading each of them.
        """
        k, table, on = _joined(driver, tests)
        values: dict[str, Any] = {}
        ends = [(self.moment(one.begin), self.moment(one.end)) for one in spans]
        if self._sqlite:
            values["spans"] = json.dumps(ends)
            given, low, high = "json_each(:spans) s", _field(0), _field(1)
        else:
            values |= {"begins": [one[0] for one in ends], "ends": [one[1] for one in ends]}
            given, low, high = (
                "unnest(CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[])) s(a, b)",
                *("s.a", "s.b"),
            )
        parts = []
        for number, stream in enumerate(driver.streams or ()):
            where = (
                f"{_equal(driver, stream, number, values, k)}{on}"
                f" AND {k}.created_at >= {low} AND {k}.created_at < {high}"
            )
            keys = _keys(k, tests, values)
            parts.append(f"SELECT * FROM ({self._each(given, keys, table, where)}) AS a{number}")
        rows = self._connection.execute(text(" UNION ALL ".join(parts)), values).all()
        if len(rows) >= SWEPT:
            return None
        # Not in SQL: of two ranges of one column SQLite may take the wrong one for the index.
        passed = {(r[0], r[1]) for r in rows if r[2] and self._before(after, (r[0], r[1]))}
        return self._batch(passed, (), len(rows) + len(spans) * len(parts))

    def _read_many(
        self,
        driver: Criterion,
        tests: Sequence[Criterion],
        streams: Sequence[Stream],
        *,
        within: Span,
        after: Key,
        limit: int,
    ) -> tuple[set[Key], list[Key]] | None:
        """Keys of many streams that have passed, and the last of each that may have more.

        None: SQLite has no LATERAL, and these are too many to read without limits.
        """
        k, table, on = _joined(driver, tests)
        bounds, values = self._bounds(within, after, 0, k)
        given, where = self._given(driver, streams, values, k)
        keys, where = _keys(k, tests, values), f"{where} {bounds}{on}"
        if self._sqlite:
            sql = self._each(given, keys, table, where)
            rows = self._connection.execute(text(sql), values).all()
            return None if len(rows) >= SWEPT else ({(r[0], r[1]) for r in rows if r[2]}, [])
        order = f"ORDER BY {k}.created_at {self._order}, {k}.recording_id {self._order}"
        sql = (
            f"SELECT s.n, x.* FROM {given} CROSS JOIN LATERAL"
            f" ({keys} FROM {table} WHERE {where} {order} LIMIT {limit}) x"
        )
        read: dict[int, list[Key]] = {}
        passed: set[Key] = set()
        for number, created_at, recording_id, hit in self._connection.execute(text(sql), values):
            read.setdefault(number, []).append((created_at, recording_id))
            if hit:
                passed.add((created_at, recording_id))
        last = min if not self._oldest_first else max
        return passed, [last(some) for some in read.values() if len(some) == limit]

    def _each(self, given: str, keys: str, table: str, where: str) -> str:
        """Keys for each row of what is given as `s`, but not more than can be sorted."""
        if self._sqlite:
            # It joins a CROSS JOIN from the left to the right.
            return f"{keys} FROM {given} CROSS JOIN {table} WHERE {where} LIMIT {SWEPT}"
        inner = f"{keys} FROM {table} WHERE {where} LIMIT {SWEPT}"
        return f"SELECT x.* FROM {given} CROSS JOIN LATERAL ({inner}) x LIMIT {SWEPT}"

    def _given(
        self, driver: Criterion, streams: Sequence[Stream], values: dict[str, Any], k: str = "k"
    ) -> tuple[str, str]:
        """Streams as rows of a table `s`, and the condition that joins their keys."""
        if self._sqlite:
            values["streams"] = json.dumps([list(stream) for stream in streams])
            fields = [_field(at) for at in range(len(driver.columns))]
            given = "json_each(:streams) s"
        else:
            arrays = []
            for at, kind in enumerate(driver.columns.values()):
                values[f"c{at}"] = [stream[at] for stream in streams]
                arrays.append(f"CAST(:c{at} AS {kind}[])")
            fields = [f"s.c{at}" for at in range(len(arrays))]
            named = ", ".join(f"c{at}" for at in range(len(arrays)))
            given = f"unnest({', '.join(arrays)}) WITH ORDINALITY AS s({named}, n)"
        equal = (f"{k}.{name} = {one}" for name, one in zip(driver.columns, fields, strict=True))
        return given, " AND ".join(equal)

    def head(self, driver: Criterion, within: Span, after: Key) -> datetime | None:
        """When the next key of all streams is; None: there is none."""
        found = self._heads(driver, driver.streams or (), within, after, 1)
        return self.time(found[0][1][0]) if found else None

    def estimate(self, criterion: Criterion, within: Span, after: Key, most: int) -> float:
        """About how many keys the streams have in a time; exact when they are few.

        Args:
            criterion: Whose streams.
            within: The time.
            after: The key after which they are counted.
            most: How many are counted of a stream; what is beyond is reckoned from these.
        """
        streams = criterion.streams or ()
        sample = streams[:: max(1, len(streams) // SAMPLE)][:SAMPLE]
        if not sample:
            return 0.0
        bounds, values = self._bounds(within, after, 0)
        parts = []
        for arm, stream in enumerate(sample):
            where = _equal(criterion, stream, arm, values)
            parts.append(
                f"SELECT {arm}, count(*), {'max' if self._oldest_first else 'min'}(created_at)"
                f" FROM (SELECT k.created_at FROM {criterion.table} k WHERE {where} {bounds}"
                f" ORDER BY k.created_at {self._order}, k.recording_id {self._order}"
                f" LIMIT {most}) AS a{arm}"
            )
        total, whole = 0.0, (within.end - within.begin).total_seconds()
        begin = within.begin if self._oldest_first else within.end
        for _, count, reach in self._connection.execute(text(" UNION ALL ".join(parts)), values):
            if count < most:
                total += count
            else:
                seconds = abs((self.time(reach) - begin).total_seconds())
                total += most * max(1.0, whole / max(seconds, 1.0))
        return total * len(streams) / len(sample)

    def _next_streams(
        self, driver: Criterion, within: Span, after: Key, wanted: int
    ) -> tuple[tuple[Stream, ...], list[Key], int]:
        """Those of many streams whose first keys come next, and how far no other has any."""
        streams = driver.streams or ()
        most = min(max(wanted, FEW), MOST_NEXT)
        heads = self._heads(driver, streams, within, after, most)
        ends = [heads[-1][1]] if len(heads) == most else []
        return tuple(streams[at] for at, _ in heads), ends, len(streams)

    def _heads(
        self, driver: Criterion, streams: Sequence[Stream], within: Span, after: Key, most: int
    ) -> list[tuple[int, Key]]:
        """The first keys of streams, each with the number of its stream, in order."""
        if not driver.columns:
            return [(0, key) for key in self.read(driver, (), (within,), after, most).keys[:most]]
        bounds, values = self._bounds(within, after, 0)
        given, where = self._given(driver, streams, values)
        order = self._order
        first = (
            f"FROM {driver.table} k WHERE {where} {bounds}"
            f" ORDER BY k.created_at {order}, k.recording_id {order} LIMIT 1"
        )
        if self._sqlite:
            sql = (
                f"SELECT s.key, (SELECT k.created_at || ' ' || k.recording_id {first})"
                f" FROM {given} ORDER BY 2 {order} NULLS LAST LIMIT {most}"
            )
            found = self._connection.execute(text(sql), values).all()
            split = [(row[0], row[1].rpartition(" ")) for row in found if row[1] is not None]
            return [(at, (created_at, one)) for at, (created_at, _, one) in split]
        sql = (
            f"SELECT s.n - 1, h.* FROM {given} CROSS JOIN LATERAL"
            f" (SELECT k.created_at, k.recording_id {first}) h"
            f" ORDER BY h.created_at {order}, h.recording_id {order} LIMIT {most}"
        )
        return [(row[0], (row[1], row[2])) for row in self._connection.execute(text(sql), values)]

    def _arms(
        self,
        driver: Criterion,
        tests: Sequence[Criterion],
        arms: Sequence[tuple[Stream, Span]],
        after: Key,
        limit: int,
    ) -> tuple[str, dict[str, Any]]:
        """One statement that reads some keys of each stream in each stretch of time."""
        values: dict[str, Any] = {}
        k, table, on = _joined(driver, tests)
        keys = _keys(k, tests, values)
        which = " WHERE hit = 1" if tests else ""
        order = f"ORDER BY {k}.created_at {self._order}, {k}.recording_id {self._order}"
        bounds: dict[Span, str] = {}
        parts = []
        for number, (stream, span) in enumerate(arms):
            if span not in bounds:
                bounds[span], more = self._bounds(span, after, len(bounds), k)
                values.update(more)
            where = f"{_equal(driver, stream, number, values, k)} {bounds[span]}"
            # The limit is for what is looked at, whether it passes or not.
            parts += [
                f"SELECT created_at, recording_id, 0 FROM ({keys} FROM {table}"
                f" WHERE {where}{on} {order} LIMIT {limit}) AS a{number}{which}",
                f"SELECT * FROM (SELECT {k}.created_at, {k}.recording_id, 1 FROM {driver.table} {k}"
                f" WHERE {where} {order} LIMIT 1 OFFSET {limit - 1}) AS b{number}",
            ]
        return " UNION ALL ".join(parts), values

    def _bounds(
        self, span: Span, after: Key, number: int, k: str = "k"
    ) -> tuple[str, dict[str, Any]]:
        """What keeps keys in a span and behind the key that was the last."""
        begin, end = self.moment(span.begin), self.moment(span.end)
        key = f"({k}.created_at, {k}.recording_id)"
        if self._oldest_first:
            first = max((begin, ""), after)
            sql = f"AND {key} > (:t{number}, :i{number}) AND {k}.created_at < :o{number}"
            other = end
        else:
            first = min((end, ""), after)
            sql = f"AND {key} < (:t{number}, :i{number}) AND {k}.created_at >= :o{number}"
            other = begin
        return sql, {f"t{number}": first[0], f"i{number}": first[1], f"o{number}": other}

    def _before(self, one: Key, other: Key) -> bool:
        return one < other if self._oldest_first else one > other

    def _up_to(self, within: Span, ends: Sequence[Key]) -> Span:
        """A time cut off where other streams begin."""
        if not ends:
            return within
        end = self.time(ends[0][0])
        return Span(within.begin, end + INSTANT) if self._oldest_first else Span(end, within.end)


def _keys(k: str, tests: Sequence[Criterion], values: dict[str, Any]) -> str:
    """What is read of a row: its key, and whether the tests have passed it."""
    for one in tests:
        values.update(one.values)
    passed = " AND ".join(f"({one.test})" for one in tests) or "true"
    return f"SELECT {k}.created_at, {k}.recording_id, CASE WHEN {passed} THEN 1 ELSE 0 END AS hit"


def _field(at: int) -> str:
    return f"json_extract(s.value, '$[{at}]')"


def _joined(driver: Criterion, tests: Sequence[Criterion]) -> tuple[str, str, str]:
    """The name of the streams' rows, their tables, and what joins the row of the recording."""
    if driver.table == "recording":
        return "r", "recording r", ""
    if not tests:
        return "k", f"{driver.table} k", ""
    joined = f"{driver.table} k CROSS JOIN recording r"
    return "k", joined, " AND r.recording_id = k.recording_id"


def _equal(
    criterion: Criterion, stream: Stream, number: int, values: dict[str, Any], k: str = "k"
) -> str:
    """The condition that makes a stream."""
    parts = []
    for at, (name, value) in enumerate(zip(criterion.columns, stream, strict=True)):
        parts.append(f"{k}.{name} = :v{number}_{at}")
        values[f"v{number}_{at}"] = value
    return " AND ".join(parts) or "true"
