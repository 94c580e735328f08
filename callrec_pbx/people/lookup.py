"""Finding people and places, and what refers to them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import Connection, func, or_, select

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.people.checking import check_values
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.kinds import KINDS, Key, Kind, Thing
from callrec_pbx.people.rows import LINE, TABLES, by_key, named, read, referring_to


@dataclass(frozen=True, slots=True)
class References:
    """Things of a kind that refer to a thing.

    Attributes:
        count: How many there are.
        names: Some of them.
    """

    kind: Kind
    count: int
    names: tuple[str, ...]

    def __str__(self) -> str:
        noun = self.kind.plural if self.count > 1 else self.kind.noun
        more = ", ..." if self.count > len(self.names) else ""
        return f"{self.count} {noun} ({', '.join(self.names)}{more})"


def checked_key(kind: Kind, key: Key) -> Key:
    """A key as it is kept.

    Raises:
        PeopleError: nothing can have it.
    """
    kept, problems = check_values(kind, dict(zip(kind.key, key, strict=True)))
    if problems:
        raise PeopleError(kind.label(key), problems)
    return tuple(kept.values())


def not_found(kind: Kind, key: Key) -> PeopleError:
    """The error of a key that nothing has."""
    remedy = f"callrec-pbx {kind.entity} list shows {kind.plural}"
    return PeopleError.one(kind.label(key), "is not there", remedy)


def find(connection: Connection, entity: Entity, key: Key) -> tuple[int, Thing]:
    """A thing with the id of its row.

    Raises:
        PeopleError: it is not there.
    """
    key = checked_key(KINDS[entity], key)
    for found in read(connection, entity, *by_key(entity, key)):
        return found
    raise not_found(KINDS[entity], key)


def bearing(connection: Connection, entity: Entity, name: str) -> list[Thing]:
    """The things of a kind that have that name, of all tenants; a line's endpoint is one, too."""
    where = named(entity, name)
    if entity is Entity.LINE:
        where = or_(where, LINE.c.endpoint == name)
    return [thing for _, thing in read(connection, entity, where)]


def listed(
    connection: Connection, entity: Entity, belonging: Mapping[Entity, str] | None = None
) -> list[Thing]:
    """The things of a kind.

    Args:
        connection: The catalogue's.
        entity: The kind.
        belonging: Only those that refer to these, by kind and name.
    """
    where = [referring_to(other, name) for other, name in (belonging or {}).items()]
    return [thing for _, thing in read(connection, entity, *where)]


def referring(entity: Entity) -> Iterator[tuple[Kind, str]]:
    """Kinds whose rows refer to rows of that one, each with the field that does."""
    for kind in KINDS.values():
        for field in kind.fields:
            if field.refers is entity and f"{field.name}_id" in TABLES[kind.entity].c:
                yield kind, field.name


def references(connection: Connection, entity: Entity, row_id: int, named: int) -> list[References]:
    """What refers to the thing of that row.

    Args:
        connection: The catalogue's.
        entity: The thing's kind.
        row_id: Its row.
        named: How many of each kind are named at the most.
    """
    found = []
    for kind, name in referring(entity):
        table = TABLES[kind.entity]
        where = table.c[f"{name}_id"] == row_id
        count = connection.execute(
            select(func.count()).select_from(table).where(where)
        ).scalar_one()
        if count:
            some = read(connection, kind.entity, where, limit=named)
            names = tuple(kind.key_of(thing)[-1] for _, thing in some)
            found.append(References(kind, count, names))
    return found
