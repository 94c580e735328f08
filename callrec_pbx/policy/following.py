"""The policy's text goes along when people and places that it names are changed."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, cast

from sqlalchemy import Connection, select

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.policy.rules import PolicyText
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.following import MARK, Followed
from callrec_pbx.people.history import PEOPLE_CHANGE
from callrec_pbx.people.kinds import KIND_OF, KINDS, Thing
from callrec_pbx.people.lookup import bearing
from callrec_pbx.people.versions import current_version
from callrec_pbx.policy import naming, store
from callrec_pbx.policy.diff import changes
from callrec_pbx.policy.naming import Gone, Named, names_of, tenant_of
from callrec_pbx.policy.written import to_json

LISTED = 8
"""How many of those that name something are told."""


class PolicyFollowing:
    """Carries one change of people and places into the current text."""

    def __init__(self, connection: Connection, flush: Callable[[], None]) -> None:
        """Begin; nothing is read before something is renamed or removed.

        Args:
            connection: The change's, which keeps every other change out.
            flush: Writes what of the change still waits.
        """
        self._connection = connection
        self._flush = flush
        self._before: PolicyText | None = None
        self._text = PolicyText()
        self._named: Named | None = None
        self._remarks: list[str] = []

    @property
    def remarks(self) -> tuple[str, ...]:
        """The rules with patterns that fit something no longer."""
        return tuple(self._remarks)

    def renaming(self, old: Thing, new: Thing) -> None:
        """Carry another name into the text.

        Raises:
            PeopleError: A rule would be for others, too, or there are settings of that name.
        """
        entity = KIND_OF[type(old)].entity
        pairs = [
            (name, instead)
            for name, instead in naming.renamed_from(old, new)
            if self._names().may_be(entity, name)
        ]
        if not pairs:
            return
        self._flush()
        gone = [
            Gone(
                entity,
                tenant_of(old),
                name,
                self._tenants_with(entity, name, old),
                instead,
                self._tenants_with(entity, instead, old),
            )
            for name, instead in pairs
        ]
        text, problems = naming.carried(self._text, gone)
        if problems:
            raise PeopleError.one(
                KIND_OF[type(old)].label_of(old),
                f"the policy names it, and with the name {gone[0].new} of it {'; '.join(problems)}",
                "change the policy first, such as by a tenant in that rule",
            )
        self._remarks += naming.patterns_left(text, gone)
        self._become(text)

    def removing(self, things: Sequence[Thing], *, cascade: bool) -> None:
        """Take things out of the text.

        Raises:
            PeopleError: They are named, and it is not to cascade, or a rule is for them alone.
        """
        concerned = [
            (thing, name)
            for thing in things
            for name in names_of(thing)
            if (KIND_OF[type(thing)].entity, name) in self._names().exact
        ]
        if not concerned:
            return
        self._flush()
        gone = [
            Gone(
                KIND_OF[type(thing)].entity,
                tenant_of(thing),
                name,
                self._tenants_with(KIND_OF[type(thing)].entity, name, *things),
            )
            for thing, name in concerned
        ]
        label = KIND_OF[type(things[-1])].label_of(things[-1])
        found = naming.uses(self._text, gone)
        if found and not cascade:
            raise PeopleError.one(
                label,
                f"is named by the policy: {_listed(found)}",
                "take it out of the policy first, or give --cascade",
            )
        text, problems = naming.without(self._text, gone)
        if problems:
            raise PeopleError.one(
                label,
                f"is named by the policy: nothing else is in {_listed(problems)}, which would be "
                "for everybody without it",
                "change or remove that in the policy first",
            )
        self._become(text)

    def followed(self) -> Followed | None:
        """The text as it is now, and what has changed in it."""
        if self._before is None or self._text == self._before:
            return None
        lines = store.lines_of(changes(self._before, self._text))
        return Followed(tuple(f"{MARK}{line}" for line in lines), to_json(self._text))

    def _become(self, text: PolicyText) -> None:
        if text != self._text:
            self._text = text
            self._named = None

    def _names(self) -> Named:
        """What the text names, to be asked before all of it is looked through."""
        if self._before is None:
            version = current_version(self._connection)
            self._before = self._text = store.text_alone(self._connection, version)
        if self._named is None:
            self._named = naming.named(self._text)
        return self._named

    def _tenants_with(self, entity: Entity, name: str, *but: Thing) -> frozenset[str]:
        """The tenants in which others have a name."""
        kind = KINDS[entity]
        left_out = {kind.key_of(thing) for thing in but if isinstance(thing, kind.made)}
        return frozenset(
            tenant_of(thing)
            for thing in bearing(self._connection, entity, name)
            if kind.key_of(thing) not in left_out
        )


def brought_forward(
    connection: Connection, text: PolicyText, version: int
) -> tuple[PolicyText, tuple[str, ...]]:
    """A version's text with the names that its people and places have by now.

    Returns:
        The text, and what would be for others than before: then it must not be used.
    """
    problems: list[str] = []
    for renames in _renames_after(connection, version):
        # What is logged of a tenant's things names the tenant as it was called afterwards.
        for of_tenants in (True, False):
            gone = [
                Gone(
                    KIND_OF[type(old)].entity,
                    tenant_of(old),
                    name,
                    _others(connection, old, new, name),
                    instead,
                    _others(connection, old, new, instead),
                )
                for old, new in renames
                if (KIND_OF[type(old)].entity is Entity.TENANT) is of_tenants
                for name, instead in naming.renamed_from(old, new)
            ]
            if gone:
                text, wrong = naming.carried(text, gone)
                problems += wrong
    return text, tuple(dict.fromkeys(problems))


def _others(connection: Connection, old: Thing, new: Thing, name: str) -> frozenset[str]:
    """Other tenants in which something has a name by now."""
    entity = KIND_OF[type(old)].entity
    return frozenset(map(tenant_of, bearing(connection, entity, name))) - {
        tenant_of(old),
        tenant_of(new),
    }


def _renames_after(connection: Connection, version: int) -> Iterator[list[tuple[Thing, Thing]]]:
    """What was changed in each version after one, before and after, oldest version first."""
    query = (
        select(*(PEOPLE_CHANGE.c[name] for name in ("version", "entity", "before", "after")))
        .where(
            PEOPLE_CHANGE.c.version > version,
            PEOPLE_CHANGE.c.entity.in_(naming.CRITERIA),
            PEOPLE_CHANGE.c.before.is_not(None),
            PEOPLE_CHANGE.c.after.is_not(None),
        )
        .order_by(PEOPLE_CHANGE.c.version, PEOPLE_CHANGE.c.id)
    )
    for _, rows in groupby(connection.execute(query), key=lambda row: row.version):
        yield [(_thing(row.entity, row.before), _thing(row.entity, row.after)) for row in rows]


def _thing(entity: Entity, document: dict[str, Any]) -> Thing:
    """A thing as it was logged, as far as its names go."""
    kind = KINDS[entity]
    named_by = (*kind.key, *(("tenant", "endpoint") if entity is Entity.LINE else ("tenant",)))
    values = {name: document[name] for name in named_by if name in kind.by_name}
    return cast(Thing, kind.made(**values))


def _listed(found: Sequence[str]) -> str:
    more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
    return ", ".join(found[:LISTED]) + more
