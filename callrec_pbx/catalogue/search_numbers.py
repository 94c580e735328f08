"""Which recording has which numbers: written so that nobody's number outlives its recordings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

from sqlalchemy import Connection, Table, bindparam, delete, exists, select
from sqlalchemy.dialects import postgresql, sqlite

from callrec_pbx.catalogue.search_models import NumberPart, NumberRow, RecordingNumber

NUMBER = cast(Table, NumberRow.__table__)
PART = cast(Table, NumberPart.__table__)
RECORDING_NUMBER = cast(Table, RecordingNumber.__table__)

CHUNK = 500
"""How many values one query names."""

Place = tuple[datetime, str]
"""When a recording was created, and its id."""


@dataclass(slots=True)
class NumberChanges:
    """Numbers that recordings get and lose."""

    added: list[tuple[str, Place]] = field(default_factory=list)
    removed: list[tuple[str, Place]] = field(default_factory=list)

    def note(self, place: Place, numbers: str, before: Place | None, numbers_before: str) -> None:
        """Take over what a recording has, and what it had before."""
        if before == place and numbers == numbers_before:
            return
        now = {(number, place) for number in numbers.split()}
        had = {(number, before) for number in numbers_before.split() if before is not None}
        self.added += sorted(now - had)
        self.removed += sorted(had - now)

    def write(self, connection: Connection) -> None:
        """Carry them out."""
        if self.added:
            ids = _ids(connection, {number for number, _ in self.added})
            connection.execute(
                insert_new(RECORDING_NUMBER, connection),
                [_row(ids[number], place) for number, place in self.added],
            )
        if self.removed:
            ids = _known(connection, {number for number, _ in self.removed}, lock=False)
            gone = [_row(ids[number], place) for number, place in self.removed if number in ids]
            if gone:
                table = RECORDING_NUMBER
                # Named apart from the columns, as SQLAlchemy wants it.
                mine = (column == bindparam(f"of_{column.name}") for column in table.primary_key)
                connection.execute(
                    delete(table).where(*mine),
                    [{f"of_{name}": value for name, value in row.items()} for row in gone],
                )
                _forget(connection, {row["number_id"] for row in gone})


def ends(number: str) -> list[str]:
    """All ends of a number, the whole one first."""
    return [number[at:] for at in range(len(number))]


def _row(number_id: int, place: Place) -> dict[str, Any]:
    return {"number_id": number_id, "created_at": place[0], "recording_id": place[1]}


def _ids(connection: Connection, numbers: set[str]) -> dict[str, int]:
    """The ids of numbers; of those that are new, too."""
    found = _known(connection, numbers, lock=True)
    while missing := sorted(numbers - found.keys()):
        # What another transaction inserts or deletes at this moment is waited for, and is none
        # of ours: the next round finds it, or inserts it again.
        insert = insert_new(NUMBER, connection).returning(NUMBER.c.id, NUMBER.c.digits)
        new = connection.execute(insert, [{"digits": number} for number in missing]).all()
        if new:
            connection.execute(
                PART.insert(),
                [{"part": end, "number_id": row.id} for row in new for end in ends(row.digits)],
            )
            found |= {row.digits: row.id for row in new}
        found |= _known(connection, numbers - found.keys(), lock=True)
    return found


def _known(connection: Connection, numbers: Iterable[str], *, lock: bool) -> dict[str, int]:
    """The ids of those that are there; locked, nobody deletes them until we are done."""
    found: dict[str, int] = {}
    listed = sorted(numbers)
    for at in range(0, len(listed), CHUNK):
        query = select(NUMBER.c.digits, NUMBER.c.id)
        query = query.where(NUMBER.c.digits.in_(listed[at : at + CHUNK])).order_by(NUMBER.c.id)
        if lock:
            query = query.with_for_update(read=True, key_share=True)
        found |= {row.digits: row.id for row in connection.execute(query)}
    return found


def _forget(connection: Connection, ids: set[int]) -> None:
    """Delete those of the numbers that no recording has any more."""
    listed = sorted(ids)
    for at in range(0, len(listed), CHUNK):
        chunk = listed[at : at + CHUNK]
        mine = NUMBER.c.id.in_(chunk)
        # First the locks, then a look: who was about to use one of them has then done so.
        connection.execute(
            select(NUMBER.c.id).where(mine).order_by(NUMBER.c.id).with_for_update()
        ).all()
        used = exists().where(RECORDING_NUMBER.c.number_id == NUMBER.c.id)
        orphans = connection.execute(select(NUMBER.c.id, NUMBER.c.digits).where(mine, ~used)).all()
        if not orphans:
            continue
        connection.execute(
            delete(PART).where(
                PART.c.part == bindparam("end"), PART.c.number_id == bindparam("id_of_it")
            ),
            [{"end": end, "id_of_it": row.id} for row in orphans for end in ends(row.digits)],
        )
        connection.execute(delete(NUMBER).where(NUMBER.c.id.in_([row.id for row in orphans])))


def insert_new(table: Table, connection: Connection) -> Any:
    """Insert what is not there yet."""
    insert: Mapping[str, Any] = {"postgresql": postgresql.insert, "sqlite": sqlite.insert}
    return insert[connection.dialect.name](table).on_conflict_do_nothing()
