"""Reading the catalogue: lists, one recording with all that belongs to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, and_, exists, or_, select

from callrec_pbx.catalogue.database import CatalogueError, reading
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
from callrec_pbx.storage.serial import Tombstone


class NoSuchRecordingError(CatalogueError):
    """No recording, or more than one, has that id; the user gives another or a longer one."""


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
