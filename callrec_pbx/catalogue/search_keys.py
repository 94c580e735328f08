"""Reading keys of streams in order of time: some of one stream, or the next ones of many."""

# ruff: noqa: S608 - names are this module's own, values are bound

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from callrec_pbx.catalogue.search_streams import Criterion, Stream
from callrec_pbx.catalogue.search_times import Span

FEW = 16
"""Streams that are read side by side; of more, only those that come next."""

LEAST = 32
"""Keys that are read at once of a stream, at the least."""

SWEPT = 2000
"""Keys in many spans that are read and sorted at once."""

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
            spans: Stretches of time, in the order of reading.
            after: The key before the first.
            wanted: About how many.
        """
        streams, work = driver.streams or (), 0
        ends: list[Key] = []
        if len(streams) > FEW:
            streams, ends, work = self._next_streams(driver, spans, after, wanted)
        arms = [(stream, span) for span in spans for stream in streams]
        if not arms:
            return Batch([], None, work)
        limit = max(LEAST, 2 * wanted // len(arms))
        sql, values = self._arms(driver, tests, arms, after, limit)
        passed: set[Key] = set()
        for created_at, recording_id, last in self._connection.execute(text(sql), values):
            (ends.append if last else passed.add)((created_at, recording_id))
        upto = (min if self._oldest_first else max)(ends) if ends else None
        keys = sorted(passed, reverse=not self._oldest_first)
        if upto is not None:
            keys = [key for key in keys if not self._before(upto, key)]
        return Batch(keys, upto, work + len(arms) + len(ends) * limit)

    def sweep(
        self, driver: Criterion, tests: Sequence[Criterion], spans: Sequence[Span], after: Key
    ) -> Batch | None:
        """All keys of the driver's streams in many spans; None: there are too many to sort.

        Where little is in each span this costs much less than reading each of them.
        """
        passed = " AND ".join(f"({one.test})" for one in tests) or "true"
        k, table, on = _joined(driver, tests)
        whole = Span(min(one.begin for one in spans), max(one.end for one in spans))
        bounds, values = self._bounds(whole, after, 0, k)
        for one in tests:
            values.update(one.values)
        ends = [(self.moment(one.begin), self.moment(one.end)) for one in spans]
        keys = (
            f"SELECT {k}.created_at, {k}.recording_id, CASE WHEN {passed} THEN 1 ELSE 0 END AS hit"
        )
        parts = []
        for number, stream in enumerate(driver.streams or ()):
            where = f"WHERE {_equal(driver, stream, number, values, k)} {bounds}{on}"
            if self._sqlite:
                # It joins a CROSS JOIN from the left to the right.
                inner = (
                    f"{keys} FROM json_each(:spans) s CROSS JOIN {table} {where}"
                    f" AND {k}.created_at >= json_extract(s.value, '$[0]')"
                    f" AND {k}.created_at < json_extract(s.value, '$[1]')"
                )
            else:
                inner = (
                    "SELECT x.* FROM unnest(CAST(:begins AS timestamptz[]),"
                    " CAST(:ends AS timestamptz[])) s(a, b) CROSS JOIN LATERAL"
                    f" ({keys} FROM {table} {where} AND {k}.created_at >= s.a"
                    f" AND {k}.created_at < s.b LIMIT {SWEPT}) x"
                )
            parts.append(f"SELECT * FROM ({inner} LIMIT {SWEPT}) AS a{number}")
        if self._sqlite:
            values["spans"] = json.dumps(ends)
        else:
            values |= {"begins": [one[0] for one in ends], "ends": [one[1] for one in ends]}
        rows = self._connection.execute(text(" UNION ALL ".join(parts)), values).all()
        if len(rows) >= SWEPT:
            return None
        found = {(row[0], row[1]) for row in rows if row[2]}
        ordered = sorted(found, reverse=not self._oldest_first)
        return Batch(ordered, None, len(rows) + len(spans) * len(parts))

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
        step = max(1, len(streams) // FEW)
        sample = streams[::step][:FEW]
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
        self, driver: Criterion, spans: Sequence[Span], after: Key, wanted: int
    ) -> tuple[tuple[Stream, ...], list[Key], int]:
        """Those of many streams whose first keys come next, and how far no other has any."""
        streams = driver.streams or ()
        within = Span(min(s.begin for s in spans), max(s.end for s in spans))
        most = min(max(wanted, FEW), 4 * FEW)
        heads = self._heads(driver, streams, within, after, most)
        ends = [heads[-1][1]] if len(heads) == most else []
        return tuple(streams[at] for at, _ in heads), ends, len(streams)

    def _heads(
        self, driver: Criterion, streams: Sequence[Stream], within: Span, after: Key, most: int
    ) -> list[tuple[int, Key]]:
        """The first keys of streams, each with the number of its stream, in order."""
        bounds, values = self._bounds(within, after, 0)
        order, table = self._order, driver.table
        names = list(driver.columns)
        if self._sqlite:
            where = [
                f"k.{name} = json_extract(s.value, '$[{at}]')" for at, name in enumerate(names)
            ]
            values["streams"] = json.dumps([list(stream) for stream in streams])
            sql = (
                "SELECT s.key, (SELECT k.created_at || ' ' || k.recording_id"
                f" FROM {table} k WHERE {' AND '.join([*where, 'true'])} {bounds}"
                f" ORDER BY k.created_at {order}, k.recording_id {order} LIMIT 1)"
                f" FROM json_each(:streams) s ORDER BY 2 {order} NULLS LAST LIMIT {most}"
            )
            found = self._connection.execute(text(sql), values).all()
            split = [(row[0], row[1].rpartition(" ")) for row in found if row[1] is not None]
            return [(at, (created_at, one)) for at, (created_at, _, one) in split]
        if not names:
            return [(0, key) for key in self.read(driver, (), (within,), after, most).keys[:most]]
        for at in range(len(names)):
            values[f"c{at}"] = [stream[at] for stream in streams]
        arrays = ", ".join(
            f"CAST(:c{at} AS {kind}[])" for at, kind in enumerate(driver.columns.values())
        )
        fields = ", ".join(f"c{at}" for at in range(len(names)))
        where = [f"k.{name} = s.c{at}" for at, name in enumerate(names)]
        sql = (
            "SELECT s.n - 1, h.created_at, h.recording_id"
            f" FROM unnest({arrays}) WITH ORDINALITY AS s({fields}, n) CROSS JOIN LATERAL"
            f" (SELECT k.created_at, k.recording_id FROM {table} k"
            f" WHERE {' AND '.join(where)} {bounds}"
            f" ORDER BY k.created_at {order}, k.recording_id {order} LIMIT 1) h"
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
        for one in tests:
            values.update(one.values)
        passed = " AND ".join(f"({one.test})" for one in tests)
        k, table, on = _joined(driver, tests)
        hit = f", CASE WHEN {passed} THEN 1 ELSE 0 END AS hit" if passed else ""
        which = " WHERE hit = 1" if passed else ""
        order = f"ORDER BY {k}.created_at {self._order}, {k}.recording_id {self._order}"
        key = f"{k}.created_at, {k}.recording_id"
        bounds: dict[Span, str] = {}
        parts = []
        for number, (stream, span) in enumerate(arms):
            if span not in bounds:
                bounds[span], more = self._bounds(span, after, len(bounds), k)
                values.update(more)
            where = f"{_equal(driver, stream, number, values, k)} {bounds[span]}"
            # The limit is for what is looked at, whether it passes or not.
            parts += [
                f"SELECT created_at, recording_id, 0 FROM (SELECT {key}{hit} FROM {table}"
                f" WHERE {where}{on} {order} LIMIT {limit}) AS a{number}{which}",
                f"SELECT * FROM (SELECT {key}, 1 FROM {driver.table} {k}"
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
