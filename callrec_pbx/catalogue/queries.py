"""Reading the catalogue: lists, one recording with all that belongs to it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Table,
    and_,
    exists,
    or_,
    select,
)

from callrec_pbx.catalogue.engine import CatalogueError, reading
from callrec_pbx.catalogue.rows import (
    CALL,
    LEG,
    RECORDING,
    RecordingRow,
    calls_by_id,
    recordings_of,
)
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.storage.serial import CallSidecar, Tombstone


class NoSuchIdError(CatalogueError):
    """Nothing, or more than one, has that id; the user gives another or a longer one."""


@dataclass(frozen=True, slots=True)
class Found:
    """A recording with its call, and why they are cleared if they are."""

    recording: RecordingFacts
    call: CallFacts
    tombstone: Tombstone | None
    call_tombstone: Tombstone | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """What recordings to list; a criterion that is left open takes all.

    Attributes:
        start: Created at this time or later.
        end: Created before this time.
        number: A number of the call or of one of its legs; `*` stands for any characters.
    """

    start: datetime | None = None
    end: datetime | None = None
    owner: str | None = None
    number: str | None = None
    states: tuple[RecordingState, ...] = ()
    limit: int = 50


def list_recordings(engine: Engine, wanted: Wanted) -> list[Found]:
    """The recordings that are wanted, newest first."""
    query = select(RECORDING).join(CALL, CALL.c.call_id == RECORDING.c.call_id)
    query = query.where(*_conditions(wanted)).limit(wanted.limit)
    query = query.order_by(RECORDING.c.created_at.desc(), RECORDING.c.recording_id.desc())
    with reading(engine).begin() as connection:
        items = recordings_of(connection, connection.execute(query).mappings().all())
        calls = calls_by_id(connection, (item.recording.call_id for item in items))
    return [_found(item, calls[item.recording.call_id]) for item in items]


def find_recording(engine: Engine, prefix: str) -> Found:
    """One recording by its id or the beginning of it.

    Raises:
        NoSuchIdError: none has it, or several do.
    """
    with reading(engine).begin() as connection:
        (item,) = recordings_of(connection, [row_by_prefix(connection, RECORDING, prefix)])
        calls = calls_by_id(connection, [item.recording.call_id])
    return _found(item, calls[item.recording.call_id])


def row_by_prefix(connection: Connection, table: Table, prefix: str) -> RowMapping:
    """The one row of a table of calls or recordings whose id is or begins with that.

    Raises:
        NoSuchIdError: none has it, or several do.
    """
    (key,) = table.primary_key.columns
    # Ids are made of 0-9 and a-z; `{` is the character after `z`.
    query = select(table).where(key >= prefix, key < prefix + "{").order_by(key).limit(2)
    rows = connection.execute(query).mappings().all()
    if not prefix or not rows:
        raise NoSuchIdError(
            f"{table.name} {prefix!r}: there is none; callrec-pbx {table.name}s list shows the ids"
        )
    if len(rows) > 1 and rows[0][key.name] != prefix:
        raise NoSuchIdError(
            f"{table.name} {prefix!r}: more than one begins so; give more of the id"
        )
    return rows[0]


def has_number(number: str) -> ColumnElement[bool]:
    """Whether a number of the call or of one of its legs is that; `*`: any characters."""
    of_a_leg = exists().where(and_(LEG.c.call_id == CALL.c.call_id, _like(LEG.c.number, number)))
    of_the_call = (CALL.c.a_number, CALL.c.b_number, CALL.c.c_number, CALL.c.ddi)
    return or_(*(_like(column, number) for column in of_the_call), of_a_leg)


def _found(item: RecordingRow, call: CallSidecar) -> Found:
    return Found(item.recording, call.call, item.tombstone, call.tombstone)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.start is not None:
        found.append(RECORDING.c.created_at >= wanted.start)
    if wanted.end is not None:
        found.append(RECORDING.c.created_at < wanted.end)
    if wanted.owner is not None:
        found.append(RECORDING.c.owner == wanted.owner)
    if wanted.states:
        found.append(RECORDING.c.state.in_(wanted.states))
    if wanted.number is not None:
        found.append(has_number(wanted.number))
    return found


def _like(column: ColumnElement[str], number: str) -> ColumnElement[bool]:
    if "*" not in number:
        return column == number
    pattern = number.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(pattern.replace("*", "%"), escape="\\")
