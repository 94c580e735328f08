"""Finds in the catalogue what a run has to look at, a batch at a time, the oldest first.

Each batch is read in a transaction of its own, after the key of the last one, so that neither
memory nor any lock grows with the number of rows that are due.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    and_,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import (
    CALL,
    RECORDING,
    calls_by_id,
    calls_of,
    chunks,
    recordings_of,
)
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.plans import UNLIMITED
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.retention.plan import NOTHING_KEPT, CallStanding

BATCH = 100
"""Recordings or calls that are worked on at a time: each is locked until the batch is done."""

WINDOW = 2000
"""Calls that one query looks through."""

S = RecordingState
Columns = tuple[ColumnElement[Any], ...]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A recording that may be due, with its call, as the rows have them."""

    recording: RecordingFacts
    call: CallFacts


@dataclass(frozen=True, slots=True)
class _Source:
    where: ColumnElement[bool]
    key: Columns


def _sources(now: datetime, *, only_deletions: bool) -> list[_Source]:
    by_id: Columns = (RECORDING.c.recording_id,)
    asked = _Source(
        and_(
            RECORDING.c.deletion_at.is_not(None),
            RECORDING.c.deletion_at <= now,
            RECORDING.c.state != S.PRUNED,
        ),
        (RECORDING.c.deletion_at, *by_id),
    )
    begun = _Source(RECORDING.c.state == S.PRUNING, by_id)
    if only_deletions:
        return [begun, asked]
    dated = [
        _Source(
            and_(RECORDING.c.state == state, RECORDING.c.delete_after <= now),
            (RECORDING.c.delete_after, *by_id),
        )
        for state in (S.STORED, S.INTERRUPTED, S.FAILED, S.DISCARDED)
    ]
    undated = [
        _Source(
            and_(
                RECORDING.c.state == state,
                RECORDING.c.delete_after.is_(None),
                RECORDING.c.retention != UNLIMITED,
            ),
            by_id,
        )
        for state in (S.FAILED, S.DISCARDED)
    ]
    return [begun, asked, *dated, *undated]


def count_due(engine: Engine, now: datetime, *, only_deletions: bool = False) -> int:
    """How many recordings may be due; those of which only the plan can tell are counted too."""
    with reading(engine).begin() as connection:
        return sum(
            connection.execute(select(func.count()).where(source.where)).scalar_one()
            for source in _sources(now, only_deletions=only_deletions)
        )


def due_batches(
    engine: Engine, now: datetime, *, only_deletions: bool = False
) -> Iterator[list[Candidate]]:
    """Recordings that may be due, in batches; the plan decides."""
    for source in _sources(now, only_deletions=only_deletions):
        yield from batches(engine, source.where, source.key)


def oldest_batches(engine: Engine, tenant: str) -> Iterator[list[Candidate]]:
    """The recordings of a tenant that may have audio, the oldest first, in batches."""
    where = and_(
        RECORDING.c.tenant == tenant, RECORDING.c.state.in_((S.STORED, S.INTERRUPTED, S.FAILED))
    )
    return batches(engine, where, (RECORDING.c.created_at, RECORDING.c.recording_id))


def batches(engine: Engine, where: ColumnElement[bool], key: Columns) -> Iterator[list[Candidate]]:
    """Recordings in the order of a key that ends with their id, in batches.

    Args:
        engine: The catalogue.
        where: Which ones.
        key: Columns; of no recording may one be NULL.
    """
    last: tuple[Any, ...] | None = None
    while True:
        query = select(RECORDING).where(where).order_by(*key).limit(BATCH)
        if last is not None:
            query = query.where(_after(key, last))
        with reading(engine).begin() as connection:
            rows = connection.execute(query).mappings().all()
            found = _candidates(connection, recordings_of(connection, rows)) if rows else []
        if found:
            yield found
        if len(rows) < BATCH:
            return
        last = tuple(rows[-1][str(column.key)] for column in key)


def _after(key: Columns, last: Sequence[Any]) -> ColumnElement[bool]:
    values = [literal(value, column.type) for column, value in zip(key, last, strict=True)]
    return tuple_(*key) > tuple_(*values)


def _candidates(connection: Connection, rows: Sequence[Any]) -> list[Candidate]:
    calls = calls_by_id(connection, (row.recording.call_id for row in rows))
    return [Candidate(row.recording, calls[row.recording.call_id].call) for row in rows]


def standings(engine: Engine, ids: set[str]) -> list[CallStanding]:
    """Calls of those ids, and those merged with them, that are not cleared yet."""
    with reading(engine).begin() as connection:
        return _standings(connection, ids)


def call_batches(
    engine: Engine, now: datetime, call_days: int | None, *, foresee: bool = False
) -> Iterator[list[CallStanding]]:
    """Calls not cleared yet of which nothing is kept, in batches; the plan decides.

    Args:
        foresee: Count what is due as if it were pruned already.
    """
    key: Columns = (CALL.c.ended_at, CALL.c.call_id)
    open_ = and_(CALL.c.pruned_at.is_(None), CALL.c.ended_at.is_not(None))
    wanted = _may_be_cleared(now, call_days, foresee=foresee)
    last: tuple[Any, ...] | None = None
    while True:
        bound = open_ if last is None else and_(open_, _after(key, last))
        with reading(engine).begin() as connection:
            window = select(*key).where(bound).order_by(*key).limit(WINDOW)
            seen = connection.execute(window).all()
            if not seen:
                return
            up_to = tuple_(*key) <= tuple_(
                literal(seen[-1][0], CALL.c.ended_at.type), literal(seen[-1][1])
            )
            ids = connection.execute(select(CALL.c.call_id).where(bound, up_to, wanted)).scalars()
            chosen = list(ids)
        for at in range(0, len(chosen), BATCH):
            found = standings(engine, set(chosen[at : at + BATCH]))
            if found:
                yield found
        if len(seen) < WINDOW:
            return
        last = tuple(seen[-1])


def _may_be_cleared(now: datetime, call_days: int | None, *, foresee: bool) -> ColumnElement[bool]:
    """Of no recording is anything kept, and there was one or the call is old enough."""
    of_call = RECORDING.c.call_id == CALL.c.call_id
    kept = and_(
        of_call,
        RECORDING.c.state.not_in(NOTHING_KEPT),
        # As `without_audio` has it.
        or_(
            RECORDING.c.state != S.FAILED,
            RECORDING.c.size.is_not(None),
            RECORDING.c.audio_ms.is_not(None),
        ),
    )
    if foresee:
        is_due = or_(
            RECORDING.c.state == S.PRUNING,
            RECORDING.c.delete_after <= now,
            RECORDING.c.deletion_at <= now,
            and_(RECORDING.c.state == S.FAILED, RECORDING.c.delete_after.is_(None)),
        )
        kept = and_(kept, ~func.coalesce(is_due, false()))
    wanted: ColumnElement[bool] = exists().where(of_call)
    if call_days is not None:
        wanted = or_(wanted, CALL.c.ended_at <= now - timedelta(days=call_days))
    return and_(wanted, ~exists().where(kept))


def _standings(connection: Connection, ids: set[str]) -> list[CallStanding]:
    relatives = _relatives(connection, ids)
    ids = ids | set(relatives)
    of_call = _recordings_of_calls(
        connection, ids | {other for others in relatives.values() for other in others}
    )
    found = []
    for chunk in chunks(sorted(ids)):
        query = select(CALL).where(CALL.c.call_id.in_(chunk), CALL.c.pruned_at.is_(None))
        query = query.order_by(CALL.c.ended_at, CALL.c.call_id)
        for item in calls_of(connection, connection.execute(query).mappings().all()):
            call_id = item.call.call_id
            related = [r for other in relatives.get(call_id, ()) for r in of_call.get(other, ())]
            found.append(CallStanding(item.call, tuple(of_call.get(call_id, ())), tuple(related)))
    return found


def _relatives(connection: Connection, ids: set[str]) -> dict[str, set[str]]:
    """For the calls and those merged with them, however far: all that each was merged with."""
    near: dict[str, set[str]] = {}
    known: set[str] = set()
    new = ids
    while new:
        known |= new
        found: set[str] = set()
        for chunk in chunks(sorted(new)):
            query = select(CALL.c.call_id, CALL.c.merged_into).where(
                CALL.c.merged_into != "",
                or_(CALL.c.call_id.in_(chunk), CALL.c.merged_into.in_(chunk)),
            )
            for call_id, merged_into in connection.execute(query):
                near.setdefault(call_id, set()).add(merged_into)
                near.setdefault(merged_into, set()).add(call_id)
                found |= {call_id, merged_into}
        new = found - known
    return {call_id: _reached(call_id, near) - {call_id} for call_id in near}


def _reached(start: str, near: dict[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    new = {start}
    while new:
        reached |= new
        new = {other for one in new for other in near[one]} - reached
    return reached


def _recordings_of_calls(connection: Connection, ids: set[str]) -> dict[str, list[RecordingFacts]]:
    found: dict[str, list[RecordingFacts]] = {}
    for chunk in chunks(sorted(ids)):
        query = select(RECORDING).where(RECORDING.c.call_id.in_(chunk))
        query = query.order_by(RECORDING.c.recording_id)
        for item in recordings_of(connection, connection.execute(query).mappings().all()):
            found.setdefault(item.recording.call_id, []).append(item.recording)
    return found
