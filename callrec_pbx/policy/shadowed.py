"""Rules that can never match, because an earlier one always wins."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from callrec_pbx.domain.patterns import is_exact, prefix_of
from callrec_pbx.domain.policy.index import CRITERIA, INDEXED
from callrec_pbx.domain.policy.rules import Rule

Criteria = Mapping[str, tuple[str, ...]]
_Entry = tuple[int, Rule, Criteria]

TELLING = (*INDEXED, *(name for name in CRITERIA if name not in INDEXED), "direction")
"""The criteria, those first that few rules have in common."""


def shadowed(
    rules: Iterable[Rule], at: datetime, numbers: Callable[[str], str]
) -> Iterator[tuple[Rule, Rule]]:
    """Rules that can never match, each with the first of those that take its calls.

    Args:
        at: The moment that it is asked for; rules that are over by then are left out.
        numbers: Gives the spelling in which patterns of numbers are compared.
    """
    earlier = _Earlier()
    for position, rule in enumerate(rules):
        if not rule.enabled or is_over(rule, at):
            continue
        criteria = _criteria(rule, numbers)
        by = earlier.covering(rule, criteria, at)
        if by is not None:
            yield rule, by
        else:
            # What a rule that never matches would cover, the one before it covers.
            earlier.add(position, rule, criteria)


def is_over(rule: Rule, at: datetime) -> bool:
    """Whether the rule's time is over."""
    return rule.valid_to is not None and rule.valid_to <= at


def covers(wide: str, narrow: str) -> bool:
    """Whether everything that fits the narrow pattern fits the wide one."""
    if is_exact(wide):
        return wide == narrow
    # The narrow one's `*` may be any number of characters, so that a single `?` is not enough.
    signs = {"*": ".*", "?": "[^*]"}
    expression = "".join(signs.get(sign) or re.escape(sign) for sign in wide)
    return re.fullmatch(expression, narrow, re.DOTALL) is not None


def _criteria(rule: Rule, numbers: Callable[[str], str]) -> Criteria:
    found: dict[str, tuple[str, ...]] = {}
    if rule.direction:
        found["direction"] = rule.direction
    for name in CRITERIA:
        if values := getattr(rule, name):
            found[name] = tuple(map(numbers, values)) if name == "number" else values
    return found


class _Earlier:
    """The rules so far, found by what the values of one of their criteria begin with."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], list[_Entry]] = {}
        self._prefix: dict[tuple[str, str], list[_Entry]] = {}
        self._others: list[_Entry] = []

    def add(self, position: int, rule: Rule, criteria: Criteria) -> None:
        entry = (position, rule, criteria)
        for name in TELLING:
            values = criteria.get(name)
            if not values or not all(map(prefix_of, values)):
                continue
            for value in values:
                if is_exact(value):
                    self._exact.setdefault((name, value), []).append(entry)
                else:
                    self._prefix.setdefault((name, prefix_of(value)), []).append(entry)
            return
        self._others.append(entry)

    def covering(self, rule: Rule, criteria: Criteria, at: datetime) -> Rule | None:
        """The first rule that takes all calls of this one."""
        found = list(self._others)
        for name, values in criteria.items():
            # Whoever covers this one covers each of its values, so the first one too.
            first = values[0]
            found += self._exact.get((name, first), ())
            for length in range(1, len(first) + 1):
                found += self._prefix.get((name, first[:length]), ())
        for _, other, wide in sorted(found, key=lambda entry: entry[0]):
            if _all_covered(wide, criteria) and _always_then(other, rule, at):
                return other
        return None


def _all_covered(wide: Criteria, narrow: Criteria) -> bool:
    return all(
        name in narrow
        and all(any(covers(value, other) for value in values) for other in narrow[name])
        for name, values in wide.items()
    )


def _always_then(wide: Rule, narrow: Rule, at: datetime) -> bool:
    """Whether one counts whenever the other does, from that moment on."""
    if wide.when and set(wide.when) != set(narrow.when):
        return False
    begins = max(at, narrow.valid_from) if narrow.valid_from else at
    if wide.valid_from is not None and wide.valid_from > begins:
        return False
    return wide.valid_to is None or (
        narrow.valid_to is not None and narrow.valid_to <= wide.valid_to
    )
