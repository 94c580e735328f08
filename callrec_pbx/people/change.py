"""What a change did to one thing, for people and for the log."""

from dataclasses import dataclass
from typing import Any

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.people.kinds import KIND_OF, KINDS, Key, Thing, values_by_field


@dataclass(frozen=True, slots=True)
class Difference:
    """A field that has changed, its values as texts."""

    field: str
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.field} {self.old or 'empty'} -> {self.new or 'empty'}"


@dataclass(frozen=True, slots=True)
class Change:
    """A thing before and after; None where it was not there, or is no more."""

    before: Thing | None
    after: Thing | None

    @property
    def entity(self) -> Entity:
        """The kind of thing."""
        return KIND_OF[type(self._one)].entity

    @property
    def key(self) -> Key:
        """What named it before, or, if it was added, names it now."""
        return KINDS[self.entity].key_of(self._one)

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return KINDS[self.entity].label(self.key)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """The fields that have changed."""
        if self.before is None or self.after is None:
            return ()
        return differences(self.before, self.after)

    def document(self) -> dict[str, Any]:
        """The change as JSON-able values."""
        return {
            "entity": str(self.entity),
            "key": "/".join(self.key),
            "before": None if self.before is None else document(self.before),
            "after": None if self.after is None else document(self.after),
        }

    def __str__(self) -> str:
        if self.before is None:
            return f"{self.label} added"
        if self.after is None:
            return f"{self.label} removed"
        return f"{self.label}: " + ", ".join(map(str, self.differences))

    @property
    def _one(self) -> Thing:
        one = self.before or self.after
        assert one is not None, "a change is of something"  # noqa: S101
        return one


def differences(before: Thing, after: Thing) -> tuple[Difference, ...]:
    """The fields in which two of a kind differ."""
    return tuple(
        Difference(
            field.name,
            field.show(getattr(before, field.name)),
            field.show(getattr(after, field.name)),
        )
        for field in KIND_OF[type(before)].fields
        if getattr(before, field.name) != getattr(after, field.name)
    )


def document(thing: Thing) -> dict[str, Any]:
    """A thing as JSON-able values, keys as its fields."""
    return {
        name: str(value) if isinstance(value, str) else value
        for name, value in values_by_field(thing).items()
    }
