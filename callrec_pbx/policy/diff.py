"""What two policies differ in, for people and for programs."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from callrec_pbx.domain.policy.rules import PolicyText
from callrec_pbx.policy.written import KINDS, to_document

NUMBERS_SHOWN = 5
"""How many excluded numbers a change names."""

NOTHING = "(none)"


class Did(StrEnum):
    """What happened to a part of the policy; the value is its sign in a list."""

    ADDED = "+"
    REMOVED = "-"
    CHANGED = "~"
    MOVED = ">"


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field as it is written before and after; None: not written."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True)
class Change:
    """One part of the policy that is not as it was.

    Attributes:
        kind: `rule`, `tenant`, `site`, `department`, `holiday` or `excluded`.
        name: Which one; empty for excluded numbers.
        fields: What was changed in it, or all of what was added.
        position: Of a rule, counted from 1, before; 0 when it was not there.
        new_position: Of a rule, after.
        follows: Of a rule that was moved, the one before it now; empty when it is the first.
        numbers: Excluded numbers, all of them.
    """

    did: Did
    kind: str
    name: str = ""
    fields: tuple[FieldChange, ...] = ()
    position: int = 0
    new_position: int = 0
    follows: str = ""
    numbers: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.kind == "excluded":
            shown = ", ".join(self.numbers[:NUMBERS_SHOWN])
            more = ", ..." if len(self.numbers) > NUMBERS_SHOWN else ""
            count = len(self.numbers)
            plural = "" if count == 1 else "s"
            return f"{self.did} {count} excluded number{plural}: {shown}{more}"
        what = f"{self.did} {self.kind} {self.name}"
        if self.did is Did.MOVED:
            return f"{what}: now after {self.follows}" if self.follows else f"{what}: now first"
        if self.did is Did.REMOVED:
            return what
        if self.did is Did.ADDED:
            said = ", ".join(f"{field.name} {value_text(field.new)}" for field in self.fields)
        else:
            said = "; ".join(
                f"{field.name} {value_text(field.old)} -> {value_text(field.new)}"
                for field in self.fields
            )
        return f"{what}: {said}" if said else what


def changes(old: PolicyText, new: PolicyText) -> tuple[Change, ...]:
    """What has to be done to `old` to make it `new`; nothing when both say the same.

    The order of rules counts, that of everything else does not.
    """
    before, after = to_document(old), to_document(new)
    found: list[Change] = []
    several = len({place.tenant for place in (*old.places, *new.places)}) > 1
    for kind in KINDS:
        found += _of_tables(
            kind, _places(kind, before, several), _places(kind, after, several), {"name", "tenant"}
        )
    found += _of_tables("holiday", _holidays(before), _holidays(after), set())
    found += _of_rules(before.get("rule", []), after.get("rule", []))
    found += _of_numbers(old.excluded_numbers, new.excluded_numbers)
    return tuple(found)


def change_document(change: Change) -> dict[str, Any]:
    """A change as JSON-able values."""
    document: dict[str, Any] = {"did": change.did.name.lower(), "kind": change.kind}
    if change.kind == "excluded":
        return document | {
            "count": len(change.numbers),
            "first": list(change.numbers[:NUMBERS_SHOWN]),
        }
    document["name"] = change.name
    if change.did is not Did.REMOVED and change.did is not Did.MOVED:
        document["fields"] = [
            {"field": field.name, "old": _plain(field.old), "new": _plain(field.new)}
            for field in change.fields
        ]
    if change.kind == "rule":
        document |= {
            "position": change.position or None,
            "new_position": change.new_position or None,
        }
    if change.did is Did.MOVED:
        document["after"] = change.follows or None
    return document


def value_text(value: Any) -> str:
    """A value of the document in a line for people."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):  # a window of the week
        times = f"{value.get('from', '00:00')}-{value.get('to', '24:00')}"
        holidays = f"holidays {value['holidays']}" if "holidays" in value else ""
        days = value_text(value["days"]) if "days" in value else ""
        return " ".join(part for part in (days, times, holidays) if part)
    if isinstance(value, list):
        return " | ".join(value_text(part) for part in value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value) or '""'


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    return value


Tables = dict[str, dict[str, Any]]


def _places(kind: str, document: dict[str, Any], several: bool) -> Tables:
    found = {}
    for table in document.get(kind, []):
        tenant, name = table.get("tenant", ""), table.get("name", "")
        found[f"{tenant}/{name}" if several and kind != "tenant" else name] = table
    return found


def _holidays(document: dict[str, Any]) -> Tables:
    found: Tables = {}
    for table in document.get("holiday", []):
        words = [
            value_text(table["date"]),
            table.get("name", ""),
            f"of {table['tenant']}" if "tenant" in table else "",
            f"in {value_text(table['sites'])}" if "sites" in table else "",
        ]
        # It is known by all that it says, so it is never changed, only added or removed.
        found[" ".join(word for word in words if word)] = {}
    return found


def _of_tables(kind: str, before: Tables, after: Tables, keys: set[str]) -> Iterator[Change]:
    for name, table in before.items():
        if name not in after:
            yield Change(Did.REMOVED, kind, name)
        elif fields := _fields(table, after[name], keys):
            yield Change(Did.CHANGED, kind, name, fields)
    for name, table in after.items():
        if name not in before:
            yield Change(Did.ADDED, kind, name, _fields({}, table, keys))


def _fields(
    before: dict[str, Any], after: dict[str, Any], keys: set[str]
) -> tuple[FieldChange, ...]:
    names = [name for name in dict.fromkeys((*after, *before)) if name not in keys]
    return tuple(
        FieldChange(name, before.get(name), after.get(name))
        for name in names
        if before.get(name) != after.get(name)
    )


def _of_rules(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> Iterator[Change]:
    old = {rule["name"]: (place, rule) for place, rule in enumerate(before, 1)}
    new = {rule["name"]: (place, rule) for place, rule in enumerate(after, 1)}
    for name, (place, _) in old.items():
        if name not in new:
            yield Change(Did.REMOVED, "rule", name, position=place)
    common = [name for name in old if name in new]
    stay = set(_longest_rising([new[name][0] for name in common]))
    for name, (place, rule) in new.items():
        if name not in old:
            fields = _fields({}, rule, {"name"})
            yield Change(Did.ADDED, "rule", name, fields, new_position=place)
            continue
        was, old_rule = old[name]
        if place not in stay:
            follows = after[place - 2]["name"] if place > 1 else ""
            yield Change(Did.MOVED, "rule", name, (), was, place, follows)
        if fields := _fields(old_rule, rule, {"name"}):
            yield Change(Did.CHANGED, "rule", name, fields, was, place)


def _longest_rising(places: Sequence[int]) -> Iterator[int]:
    """The most of them that are in order already, so that the fewest count as moved."""
    ends: list[int] = []
    end_at: list[int] = []
    before: list[int | None] = []
    for at, place in enumerate(places):
        length = bisect_left(ends, place)
        before.append(end_at[length - 1] if length else None)
        ends[length : length + 1] = [place]
        end_at[length : length + 1] = [at]
    at_last = end_at[-1] if end_at else None
    while at_last is not None:
        yield places[at_last]
        at_last = before[at_last]


def _of_numbers(before: Iterable[str], after: Iterable[str]) -> Iterator[Change]:
    old, new = set(before), set(after)
    if removed := old - new:
        yield Change(Did.REMOVED, "excluded", numbers=tuple(sorted(removed)))
    if added := new - old:
        yield Change(Did.ADDED, "excluded", numbers=tuple(sorted(added)))
