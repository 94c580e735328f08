"""What became of people and places, version by version."""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Table, select

from callrec_pbx.catalogue.people_models import Entity, PeopleChangeRow
from callrec_pbx.people.kinds import KINDS

PEOPLE_CHANGE = cast(Table, PeopleChangeRow.__table__)


@dataclass(frozen=True, slots=True)
class Logged:
    """One thing before and after a version, as it was written down then.

    Attributes:
        key: Its tenant and name, separated by `/`.
        before: Its fields; None when it was added.
        after: Its fields; None when it was removed.
    """

    version: int
    entity: Entity
    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None

    def __str__(self) -> str:
        label = f"{KINDS[self.entity].noun} {self.key}"
        if self.before is None or self.after is None:
            return f"{label} {'added' if self.before is None else 'removed'}"
        return f"{label}: " + ", ".join(
            f"{name} {_shown(self.before.get(name))} -> {_shown(value)}"
            for name, value in self.after.items()
            if value != self.before.get(name)
        )


def changes_of(connection: Connection, version: int) -> list[Logged]:
    """All changes of people and places that made a version, in their order."""
    columns = [PEOPLE_CHANGE.c[name] for name in Logged.__dataclass_fields__]
    query = select(*columns).where(PEOPLE_CHANGE.c.version == version)
    return [Logged(*row) for row in connection.execute(query.order_by(PEOPLE_CHANGE.c.id))]


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "empty" if value in (None, "") else str(value)
