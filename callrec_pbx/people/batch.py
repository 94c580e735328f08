"""Writing many rows of one kind with few statements."""

from typing import Any, cast

from sqlalchemy import Connection, bindparam, func, insert, select, update

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.people.directory import Held
from callrec_pbx.people.kinds import KIND_OF, KINDS
from callrec_pbx.people.rows import TABLES, read


class Batch:
    """Rows that wait to be written: of one kind at a time, changed ones before new ones.

    So a value that one row gives up can be taken by a row after it.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._entity: Entity | None = None
        self._updates: list[dict[str, Any]] = []
        self._inserts: list[tuple[Held, dict[str, Any]]] = []
        self._unidentified: dict[Entity, tuple[int, list[Held]]] = {}

    def begin(self, entity: Entity) -> None:
        """Have rows of other kinds written, so that those of this one can refer to them."""
        if entity is not self._entity:
            self.flush()
            self._entity = entity

    def insert(self, held: Held, values: dict[str, Any]) -> None:
        """Have a new row of the kind begun written."""
        self._inserts.append((held, values))

    def update(self, held: Held, values: dict[str, Any]) -> None:
        """Have a row of the kind begun changed."""
        self._updates.append(values | {"row_id": self.row_id(held)})

    def row_id(self, held: Held) -> int:
        """The id of a thing's row, which is written if it still waits."""
        if held.row_id is None:
            self.flush()
            self._identify(KIND_OF[type(held.thing)].entity)
        return cast(int, held.row_id)

    def flush(self) -> None:
        """Write what waits."""
        if self._entity is None:
            return
        table = TABLES[self._entity]
        if self._updates:
            updates, self._updates = self._updates, []
            changed = update(table).where(table.c.id == bindparam("row_id"))
            self._connection.execute(changed, updates)
        if self._inserts:
            inserts, self._inserts = self._inserts, []
            if self._entity not in self._unidentified:
                last = self._connection.execute(select(func.max(table.c.id))).scalar_one() or 0
                self._unidentified[self._entity] = (last, [])
            self._connection.execute(insert(table), [values for _, values in inserts])
            self._unidentified[self._entity][1].extend(held for held, _ in inserts)

    def _identify(self, entity: Entity) -> None:
        """Learn the ids of rows that were written: asking for them then makes writing slow."""
        last, several = self._unidentified.pop(entity)
        table, key_of = TABLES[entity], KINDS[entity].key_of
        ids = {
            key_of(thing): row_id
            for row_id, thing in read(self._connection, entity, table.c.id > last)
        }
        for held in several:
            if held.thing is not None:
                held.row_id = ids[key_of(held.thing)]
