"""Things as they are in the middle of a change: read when asked for, or a whole kind at once."""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.people import Line, Profile
from callrec_pbx.people.kinds import KIND_OF, KINDS, Key, Thing, changed
from callrec_pbx.people.rows import by_key, by_unique, read


class Held:
    """A thing in hand.

    Attributes:
        row_id: Its row; None where that is not known, see `Batch.row_id`.
        thing: As it is now; None when it is removed.
        before: As it was before the change; None when it was not there.
    """

    __slots__ = ("before", "row_id", "thing")

    def __init__(self, row_id: int | None, thing: Thing | None, before: Thing | None) -> None:
        self.row_id = row_id
        self.thing = thing
        self.before = before


class Directory:
    """Finds things by what is unique to them; knows what was changed and is not written yet."""

    def __init__(self, connection: Connection, flush: Callable[[], None]) -> None:
        """Begin with nothing read.

        Args:
            connection: Of the change's transaction.
            flush: Writes what waits to be written; called before reading.
        """
        self._connection = connection
        self._flush = flush
        self._by_key: dict[Entity, dict[Key, Held]] = {entity: {} for entity in KINDS}
        self._by_unique: dict[Entity, dict[Key, Held]] = {entity: {} for entity in KINDS}
        self._complete: set[Entity] = set()

    def preload(self, entity: Entity) -> None:
        """Read a whole kind, for a change of many."""
        if entity not in self._complete:
            self.read(entity)
            self._complete.add(entity)

    def find(self, entity: Entity, key: Key) -> Held | None:
        """The thing of that key."""
        held = self._by_key[entity].get(key)
        if held is not None or entity in self._complete:
            return held
        return next(iter(self.read(entity, *by_key(entity, key))), None)

    def rival(self, thing: Thing) -> Held | None:
        """What has the endpoint, or the code, that this thing claims, if that must be unique."""
        entity, unique = KIND_OF[type(thing)].entity, _unique(thing)
        if unique is None:
            return None
        if entity in self._complete:
            return self._by_unique[entity].get(unique)
        return next(iter(self.read(entity, *by_unique(thing))), None)

    def read(self, entity: Entity, *where: Any, limit: int | None = None) -> list[Held]:
        """Things from the database; one that is in hand already is given as it is there."""
        self._flush()
        found = []
        key_of = KINDS[entity].key_of
        for row_id, thing in read(self._connection, entity, *where, limit=limit):
            held = self._by_key[entity].get(key_of(thing))
            if held is None:
                held = Held(row_id, thing, thing)
                self._enter(held, thing)
            held.row_id = row_id
            found.append(held)
        return found

    def put(self, held: Held, thing: Thing | None) -> None:
        """Note that a thing is now so, or is no more."""
        if held.thing is not None:
            self._leave(held.thing)
        held.thing = thing
        if thing is not None:
            self._enter(held, thing)

    def carry(self, old: Thing, new: Thing) -> None:
        """Have everything in hand that refers to a thing refer to it by its new name."""
        entity = KIND_OF[type(old)].entity
        for kind in KINDS.values():
            names = [field.name for field in kind.fields if field.refers is entity]
            for name in names:
                for held in list(self._by_key[kind.entity].values()):
                    carried = held.thing and _carried(held.thing, name, old, new)
                    if carried is not held.thing:
                        self.put(held, carried)
                    held.before = held.before and _carried(held.before, name, old, new)

    def _enter(self, held: Held, thing: Thing) -> None:
        kind = KIND_OF[type(thing)]
        self._by_key[kind.entity][kind.key_of(thing)] = held
        unique = _unique(thing)
        if unique is not None:
            self._by_unique[kind.entity][unique] = held

    def _leave(self, thing: Thing) -> None:
        kind = KIND_OF[type(thing)]
        self._by_key[kind.entity].pop(kind.key_of(thing), None)
        unique = _unique(thing)
        if unique is not None:
            self._by_unique[kind.entity].pop(unique, None)


def _unique(thing: Thing) -> Key | None:
    """What no other may have, beside the key."""
    if isinstance(thing, Line):
        return (thing.endpoint or thing.extension,)
    if isinstance(thing, Profile) and thing.code:
        return (thing.tenant, thing.user, thing.code)
    return None


def _carried(thing: Thing, name: str, old: Thing, new: Thing) -> Thing:
    old_key, new_key = KIND_OF[type(old)].key_of(old), KIND_OF[type(new)].key_of(new)
    same_tenant = name == "tenant" or getattr(thing, "tenant", "") == old_key[0]
    if same_tenant and getattr(thing, name) == old_key[-1]:
        return changed(thing, {name: new_key[-1]})
    return thing
