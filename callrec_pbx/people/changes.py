"""Changing people and places: all of a change or nothing, and one version for it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

from sqlalchemy import Connection, Engine, Table, insert, update

from callrec_pbx.catalogue.people_models import Entity, PeopleChangeRow, VersionKind
from callrec_pbx.domain.people import Line, Profile, Tenant, User
from callrec_pbx.domain.words import Switch
from callrec_pbx.people import checks
from callrec_pbx.people.acknowledgement import is_acknowledged
from callrec_pbx.people.auditing import trails_of
from callrec_pbx.people.batch import Batch
from callrec_pbx.people.change import Change
from callrec_pbx.people.checking import (
    cannot_be_set,
    check_new,
    check_values,
    not_there,
    problem,
    there_already,
)
from callrec_pbx.people.directory import Directory, Held
from callrec_pbx.people.errors import PeopleError, Problem, shown_value
from callrec_pbx.people.following import Follow, Followed
from callrec_pbx.people.kinds import (
    KIND_OF,
    KINDS,
    Key,
    Kind,
    Thing,
    changed,
    made,
    values_by_field,
)
from callrec_pbx.people.lookup import checked_key, not_found
from callrec_pbx.people.removing import check_unused, loosen, owned
from callrec_pbx.people.rows import PERSON, TABLES, values_of
from callrec_pbx.people.versions import lock, next_version

PEOPLE_CHANGE = cast(Table, PeopleChangeRow.__table__)
MOST_LINES = 100
"""How many changes a version tells in words; the log has all of them."""


class Changes:
    """A change in the making: what is asked of it is checked and done at once, or refused.

    Attributes:
        version: The number of the version that it made, once it is over; None if it made none.
    """

    def __init__(self, connection: Connection, author: str, follow: Follow) -> None:
        """Begin; `changing` does it.

        Args:
            connection: Of a writing transaction that is rolled back if anything is refused.
            author: Who makes the change.
            follow: Begins what goes along with it.
        """
        self.version: int | None = None
        self._connection = connection
        self._author = author
        self._kept = True
        self._touched: dict[int, Held] = {}
        lock(connection)
        self._batch = Batch(connection)
        self._directory = Directory(connection, self._batch.flush)
        self._following = follow(connection, self._batch.flush)

    def preload(self, entity: Entity) -> None:
        """Read a whole kind at once, before a change of many."""
        self._directory.preload(entity)

    def get(self, entity: Entity, key: Key) -> Thing | None:
        """The thing of that key as it is now; None if there is none."""
        held = self._directory.find(entity, key)
        return held.thing if held else None

    def missing(self, entity: Entity, values: Mapping[str, Any]) -> tuple[Problem, ...]:
        """What those values of a kind refer to and is not there."""
        self._batch.begin(entity)
        return self._references(KINDS[entity], values)[1]

    def tenants(self) -> tuple[str, ...]:
        """The names of all tenants."""
        return tuple(cast(Tenant, held.thing).name for held in self._directory.read(Entity.TENANT))

    def add(self, thing: Thing) -> Thing:
        """Add a thing.

        Returns:
            It, as it is kept.

        Raises:
            PeopleError: it is wrong, or there already, or refers to nothing.
        """
        kind = KIND_OF[type(thing)]
        kept, problems = check_values(kind, values_by_field(thing))
        if problems:
            missing = self.missing(kind.entity, kept)
            raise PeopleError(kind.label_of(thing), problems + missing)
        thing = made(kind, kept)
        held = Held(None, None, None)
        self._batch.begin(kind.entity)
        ids, missing = self._references(kind, values_by_field(thing))
        problems = (*check_new(kind, thing), *missing, *self._clashes(kind, held, thing))
        if problems:
            raise PeopleError(kind.label_of(thing), problems)
        self._batch.insert(held, values_of(thing, ids))
        self._put(held, thing)
        return thing

    def set(self, entity: Entity, key: Key, values: Mapping[str, Any]) -> Thing:
        """Change fields of a thing; another name is carried to all that refers to it.

        Returns:
            The thing as it is now.

        Raises:
            PeopleError: it is not there, or a value is wrong.
        """
        kind, held = KINDS[entity], self._known(entity, key)
        old = cast(Thing, held.thing)
        label = kind.label_of(old)
        kept, problems = check_values(kind, values)
        fixed = tuple(
            cannot_be_set(kind.by_name[name], value)
            for name, value in kept.items()
            if kind.by_name[name].instead and value != getattr(old, name)
        )
        if problems or fixed:
            raise PeopleError(label, problems + fixed)
        self._write(kind, held, changed(old, kept))
        return cast(Thing, held.thing)

    def remove(self, entity: Entity, key: Key, *, cascade: bool = False) -> None:
        """Remove a thing.

        A user's profiles go with the user.

        Args:
            entity: Its kind.
            key: What names it.
            cascade: Have what refers to it lose the reference, all that belongs to a tenant be
                removed with it, and the policy name it no longer; else it is refused.

        Raises:
            PeopleError: it is not there, or something refers to it, or a rule is for it alone.
        """
        held = self._known(entity, key)
        thing = cast(Thing, held.thing)
        if isinstance(thing, Tenant) and len(self.tenants()) == 1:
            raise PeopleError.one(
                KINDS[entity].label(key),
                "is the only tenant",
                "rename it: callrec-pbx tenant set --name, or add another first",
            )
        self._batch.flush()
        row_id = self._batch.row_id(held)
        if not cascade:
            check_unused(self._connection, self._directory, thing, row_id)
        belongings = list(owned(self._directory, thing, row_id))
        gone = [cast(Thing, one.thing) for _, _, several in belongings for one in several]
        self._following.removing([*gone, thing], cascade=cascade)
        for one, loose in loosen(self._connection, self._directory, thing, row_id, self._author):
            self._put(one, loose)
        for table, where, several in belongings:
            for one in several:
                self._put(one, None)
            self._connection.execute(table.delete().where(where))
        self._put(held, None)
        table = TABLES[entity]
        self._connection.execute(table.delete().where(table.c.id == row_id))

    def switch_recording(
        self, tenant: str, switch: Switch, *, text_version: str = "", text_sha256: str = ""
    ) -> None:
        """Switch recording on or off for a tenant.

        Args:
            tenant: Its name.
            switch: What it is to be.
            text_version: Of the text that has to be acknowledged before it is switched on.
            text_sha256: Its hash.

        Raises:
            PeopleError: it is to be on, and that text is not acknowledged.
        """
        held = self._known(Entity.TENANT, (tenant,))
        if switch is Switch.ON and not is_acknowledged(
            self._connection, self._batch.row_id(held), text_version, text_sha256
        ):
            raise PeopleError.one(
                KINDS[Entity.TENANT].label((tenant,)),
                f"what recording asks of it (text version {text_version or 'unknown'}) is not "
                "acknowledged",
                "read and acknowledge it: callrec-pbx tenant acknowledge",
                "recording",
                switch,
            )
        self._write(KINDS[Entity.TENANT], held, replace(cast(Tenant, held.thing), recording=switch))

    def discard(self) -> None:
        """Have nothing of it remain: it was only to be seen what it would do."""
        self._kept = False

    @property
    def kept(self) -> bool:
        """Whether it changes anything, and is to remain."""
        return self._kept and bool(self.done())

    def done(self) -> list[Change]:
        """What has changed so far."""
        return [
            Change(held.before, held.thing)
            for held in self._touched.values()
            if held.before != held.thing
        ]

    @property
    def followed(self) -> Followed | None:
        """What has changed so far in the policy's text, where it names what has changed."""
        return self._following.followed() if self.done() else None

    @property
    def remarks(self) -> tuple[str, ...]:
        """What may have to be changed by hand now."""
        return self._following.remarks

    def finish(self, comment: str) -> None:
        """Write what is left, and the version; `changing` does it."""
        self._batch.flush()
        if not self.kept:
            return
        changes = self.done()
        lines = [str(change) for change in changes[:MOST_LINES]]
        if len(changes) > MOST_LINES:
            lines.append(f"and {len(changes) - MOST_LINES} more")
        followed = self.followed
        self.version = next_version(
            self._connection,
            self._author,
            comment,
            VersionKind.PEOPLE_AND_POLICY if followed else VersionKind.PEOPLE,
            changes=[*lines, *followed.lines] if followed else lines,
            document=followed.document if followed else None,
            trails=trails_of(changes),
        )
        self._connection.execute(
            insert(PEOPLE_CHANGE),
            [change.document() | {"version": self.version} for change in changes],
        )

    def _known(self, entity: Entity, key: Key) -> Held:
        kind = KINDS[entity]
        key = checked_key(kind, key)
        held = self._directory.find(entity, key)
        if held is None:
            raise not_found(kind, key)
        return held

    def _write(self, kind: Kind, held: Held, thing: Thing) -> None:
        """Put a thing in the place of what it was."""
        old = cast(Thing, held.thing)
        if thing == old:
            return
        self._batch.begin(kind.entity)
        ids, missing = self._references(kind, values_by_field(thing))
        problems = missing + self._clashes(kind, held, thing)
        if problems:
            raise PeopleError(kind.label_of(old), problems)
        self._following.renaming(old, thing)
        self._batch.update(held, values_of(thing, ids))
        self._put(held, thing)
        if kind.key_of(thing) != kind.key_of(old):
            self._batch.flush()
            self._directory.carry(old, thing)
            self._carry_active(old, thing)

    def _put(self, held: Held, thing: Thing | None) -> None:
        self._directory.put(held, thing)
        self._touched.setdefault(id(held), held)

    def _clashes(self, kind: Kind, held: Held, thing: Thing) -> tuple[Problem, ...]:
        """What is unique and taken by another."""
        problems = []
        other = self._directory.find(kind.entity, kind.key_of(thing))
        if other is not None and other is not held:
            problems.append(there_already(kind, thing, cast(Thing, other.thing)))
        rival = self._directory.rival(thing)
        if rival is not None and rival is not held and rival is not other:
            problems.append(_taken(thing, cast(Thing, rival.thing)))
        return tuple(problems)

    def _references(
        self, kind: Kind, values: Mapping[str, Any]
    ) -> tuple[dict[str, int | None], tuple[Problem, ...]]:
        """The ids of what values refer to, by field, and what is not there."""
        ids: dict[str, int | None] = {}
        problems: list[Problem] = []
        for field in kind.fields:
            if field.refers is None or field.name not in values:
                continue
            name = values[field.name]
            key = (name,) if field.refers is Entity.TENANT else (values.get("tenant", ""), name)
            held = self._directory.find(field.refers, key) if name else None
            if name and held is None:
                problems.append(not_there(field.name, field.refers, name))
                if field.refers is Entity.TENANT:
                    # Nothing of it can be there then.
                    break
            ids[field.name] = self._batch.row_id(held) if held else None
        return ids, tuple(problems)

    def _carry_active(self, old: Thing, new: Thing) -> None:
        """A user whose active profile gets another name stays in it."""
        if not (isinstance(old, Profile) and isinstance(new, Profile)):
            return
        user = self._known(Entity.USER, (new.tenant, new.user))
        if cast(User, user.thing).profile != old.name:
            return
        self._connection.execute(
            update(PERSON).where(PERSON.c.id == self._batch.row_id(user)).values(profile=new.name)
        )
        # The active profile is not versioned: it was so before, too.
        user.before = user.before and replace(cast(User, user.before), profile=new.name)
        self._directory.put(user, replace(cast(User, user.thing), profile=new.name))


@contextmanager
def changing(
    engine: Engine, *, author: str, comment: str = "", dry_run: bool = False, follow: Follow
) -> Iterator[Changes]:
    """Change people and places, in one transaction that makes one version.

    `policy.people.changing` is for everybody who changes them: it has the policy follow.

    Nothing is written when an error leaves the block, or nothing has changed in the end.

    Args:
        engine: The catalogue.
        author: Who makes the change.
        comment: Why.
        dry_run: Write nothing, whatever comes of it.
        follow: Begins what goes along with the change.

    Raises:
        PeopleError: author or comment cannot be kept.
    """
    author = _said("author", checks.author, author)
    comment = _said("comment", checks.text, comment)
    with engine.connect() as connection, connection.begin() as transaction:
        changes = Changes(connection, author, follow)
        if dry_run:
            changes.discard()
        yield changes
        changes.finish(comment)
        if not changes.kept:
            transaction.rollback()


def _said(name: str, check: Any, value: str) -> str:
    try:
        return cast(str, check(value))
    except ValueError as error:
        raise PeopleError("change", [problem(name, value, cast(Any, error))]) from None


def _taken(thing: Thing, rival: Thing) -> Problem:
    """The problem of an endpoint or code that another has."""
    owner = KIND_OF[type(rival)].label_of(rival)
    if isinstance(thing, Line):
        return Problem(
            "endpoint",
            shown_value(thing.endpoint or thing.extension),
            f"is that of {owner} already",
            "give the endpoint by which the PBX tells them apart",
        )
    return Problem(
        "code",
        shown_value(cast(Profile, thing).code),
        f"is that of {owner} already",
        "choose another code",
    )
