"""Reading the catalogue's calls, recorded or not."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Engine, literal, select, tuple_

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.queries import has_number, row_by_prefix
from callrec_pbx.catalogue.rows import (
    CALL,
    RECORDING,
    RecordingRow,
    calls_of,
    chunks,
    recordings_of,
)
from callrec_pbx.catalogue.search_terms import as_cursor, from_cursor
from callrec_pbx.domain.facts import CallFacts
from callrec_pbx.domain.words import Direction, Outcome
from callrec_pbx.storage.serial import Tombstone


@dataclass(frozen=True, slots=True)
class WantedCalls:
    """What calls to list; a criterion that is left open takes all.

    Attributes:
        start: Started at this time or later.
        end: Started before this time.
        number: A number of the call or of one of its legs; `*` stands for any characters.
        after: The cursor of the page before; None for the first.
    """

    start: datetime | None = None
    end: datetime | None = None
    number: str | None = None
    after: str | None = None
    outcomes: tuple[Outcome, ...] = ()
    reason: str | None = None
    direction: Direction | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class ListedCall:
    """A call, why it is cleared if it is, and the ids of its recordings, oldest first."""

    call: CallFacts
    tombstone: Tombstone | None
    recording_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FoundCall:
    """A call, why it is cleared if it is, and its recordings, oldest first."""

    call: CallFacts
    tombstone: Tombstone | None
    recordings: tuple[RecordingRow, ...]


def list_calls(engine: Engine, wanted: WantedCalls) -> list[ListedCall]:
    """The calls that are wanted, newest first; as in the account without those merged away."""
    return list_calls_page(engine, wanted)[0]


def list_calls_page(engine: Engine, wanted: WantedCalls) -> tuple[list[ListedCall], str | None]:
    """The same, with the cursor at which the next page begins; None at the end.

    Raises:
        SearchError: the cursor is none.
    """
    query = select(CALL).where(CALL.c.merged_into == "", *_conditions(wanted))
    query = query.order_by(CALL.c.started_at.desc(), CALL.c.call_id.desc())
    with reading(engine).begin() as connection:
        found = connection.execute(query.limit(wanted.limit + 1)).mappings().all()
        items = calls_of(connection, found[: wanted.limit])
        recordings = _recording_ids(connection, (item.call.call_id for item in items))
    listed = [
        ListedCall(item.call, item.tombstone, tuple(recordings.get(item.call.call_id, ())))
        for item in items
    ]
    if len(found) <= wanted.limit:
        return listed, None
    return listed, as_cursor(listed[-1].call.started_at, listed[-1].call.call_id)


def find_call(engine: Engine, prefix: str) -> FoundCall:
    """One call by its id or the beginning of it.

    Raises:
        NoSuchIdError: none has it, or several do.
    """
    with reading(engine).begin() as connection:
        (item,) = calls_of(connection, [row_by_prefix(connection, CALL, prefix)])
        query = select(RECORDING).where(RECORDING.c.call_id == item.call.call_id)
        query = query.order_by(RECORDING.c.created_at, RECORDING.c.recording_id)
        recordings = recordings_of(connection, connection.execute(query).mappings().all())
    return FoundCall(item.call, item.tombstone, tuple(recordings))


def _recording_ids(connection: Connection, calls: Iterable[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for chunk in chunks(calls):
        query = select(RECORDING.c.call_id, RECORDING.c.recording_id)
        query = query.where(RECORDING.c.call_id.in_(chunk))
        query = query.order_by(RECORDING.c.created_at, RECORDING.c.recording_id)
        for call_id, recording_id in connection.execute(query):
            found.setdefault(call_id, []).append(recording_id)
    return found


def _conditions(wanted: WantedCalls) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.start is not None:
        found.append(CALL.c.started_at >= wanted.start)
    if wanted.end is not None:
        found.append(CALL.c.started_at < wanted.end)
    if wanted.after is not None:
        at, call_id = from_cursor(wanted.after)
        place = tuple_(literal(at, CALL.c.started_at.type), literal(call_id, CALL.c.call_id.type))
        found.append(tuple_(CALL.c.started_at, CALL.c.call_id) < place)
    if wanted.outcomes:
        found.append(CALL.c.outcome.in_(wanted.outcomes))
    if wanted.reason is not None:
        found.append(CALL.c.reason == wanted.reason)
    if wanted.direction is not None:
        found.append(CALL.c.direction == wanted.direction)
    if wanted.number is not None:
        found.append(has_number(wanted.number))
    return found
