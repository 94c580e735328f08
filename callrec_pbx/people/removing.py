"""What must be known, and done, before a thing can be removed."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Table, select, update

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.people import Profile, Tenant, User
from callrec_pbx.people.directory import Directory, Held
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.kinds import KIND_OF, KINDS, Key, Thing, changed
from callrec_pbx.people.lookup import references, referring
from callrec_pbx.people.profiles import log_switch
from callrec_pbx.people.rows import PERSON, PROFILE, TABLES, by_key

NAMED = 3
"""How many of those that refer to a thing are named in a message."""


def check_unused(connection: Connection, directory: Directory, thing: Thing, row_id: int) -> None:
    """Refuse to remove what something refers to; profiles are no more than a part of a user.

    Raises:
        PeopleError: it names what refers to it.
    """
    label = KIND_OF[type(thing)].label_of(thing)
    if isinstance(thing, Profile):
        if _active_user(directory, thing) is not None:
            remedy = "switch to another first (callrec-pbx profile switch), or give --cascade"
            raise PeopleError.one(label, "is active", remedy)
        return
    found = [
        str(one)
        for one in references(connection, KIND_OF[type(thing)].entity, row_id, NAMED)
        if not (isinstance(thing, User) and one.kind.entity is Entity.PROFILE)
    ]
    if found:
        several = " and ".join(found)
        text = f"has {several}" if isinstance(thing, Tenant) else f"is referred to by {several}"
        raise PeopleError.one(label, text, "change or remove them first, or give --cascade")


def loosen(
    connection: Connection, directory: Directory, thing: Thing, row_id: int, author: str
) -> Iterator[tuple[Held, Thing]]:
    """Have everything that can be without the thing lose its reference.

    Returns:
        What lost it, each as it is without.
    """
    if isinstance(thing, Profile):
        _leave_profile(connection, directory, thing, author)
        return
    for kind, name in referring(KIND_OF[type(thing)].entity):
        if kind.by_name[name].instead:
            continue
        table = TABLES[kind.entity]
        where = table.c[f"{name}_id"] == row_id
        for held in directory.read(kind.entity, where):
            yield held, changed(cast(Thing, held.thing), {name: ""})
        connection.execute(update(table).where(where).values({f"{name}_id": None}))


def owned(
    directory: Directory, thing: Thing, row_id: int
) -> Iterator[tuple[Table, ColumnElement[bool], list[Held]]]:
    """What cannot be without the thing, in an order in which it can be deleted."""
    if isinstance(thing, User):
        where: Any = PROFILE.c.user_id == row_id
        yield PROFILE, where, directory.read(Entity.PROFILE, where)
    if isinstance(thing, Tenant):
        users = select(PERSON.c.id).where(PERSON.c.tenant_id == row_id)
        for entity in reversed(KINDS):
            if entity is Entity.TENANT:
                continue
            table = TABLES[entity]
            where = (
                PROFILE.c.user_id.in_(users)
                if entity is Entity.PROFILE
                else table.c.tenant_id == row_id
            )
            yield table, where, directory.read(entity, where)


def _active_user(directory: Directory, profile: Profile) -> Held | None:
    key: Key = (profile.tenant, profile.user)
    for held in directory.read(Entity.USER, *by_key(Entity.USER, key)):
        if cast(User, held.thing).profile == profile.name:
            return held
    return None


def _leave_profile(
    connection: Connection, directory: Directory, profile: Profile, author: str
) -> None:
    held = _active_user(directory, profile)
    if held is None:
        return
    without = replace(cast(User, held.thing), profile="")
    connection.execute(update(PERSON).where(PERSON.c.id == held.row_id).values(profile=""))
    # Which profile is active is not versioned, so there is nothing to be told of.
    held.before = held.before and replace(cast(User, held.before), profile="")
    directory.put(held, without)
    log_switch(connection, profile.tenant, profile.user, "", author)
