"""Reading the catalogue: recordings with all that belongs to them. `search` finds their ids."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    chunks,
    recordings_of,
)
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
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


def recordings_by_id(connection: Connection, ids: Sequence[str]) -> list[Found]:
    """Recordings in that order; an id that is not known is left out."""
    found: dict[str, RecordingRow] = {}
    for chunk in chunks(ids):
        query = select(RECORDING).where(RECORDING.c.recording_id.in_(chunk))
        items = recordings_of(connection, connection.execute(query).mappings().all())
        found |= {item.recording.recording_id: item for item in items}
    listed = [found[one] for one in ids if one in found]
    calls = calls_by_id(connection, (item.recording.call_id for item in listed))
    return [_found(item, calls[item.recording.call_id]) for item in listed]


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


def _like(column: ColumnElement[str], number: str) -> ColumnElement[bool]:
    if "*" not in number:
        return column == number
    pattern = number.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
    return column.like(pattern.replace("*", "%"), escape="\\")
