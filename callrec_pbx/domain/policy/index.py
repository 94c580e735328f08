"""The rules in a form that finds those that may match without looking at the others."""

import heapq
from collections.abc import Callable, Iterable, Iterator

from callrec_pbx.domain.patterns import Patterns, is_exact, prefix_of
from callrec_pbx.domain.policy.question import PERSONAL, Looked
from callrec_pbx.domain.policy.rules import Rule
from callrec_pbx.domain.policy.schedule import Calendar
from callrec_pbx.domain.policy.settings import SUPPRESS
from callrec_pbx.domain.words import Mode

CRITERIA = (
    "tenant",
    "ddi",
    "queue",
    "department",
    "user",
    "line",
    "site",
    "trunk",
    "profile",
    "device",
    "number",
)
"""Criteria that are patterns, in the order in which they are looked at."""

INDEXED = ("ddi", "queue", "line", "user", "number", "department", "site", "profile")
"""Criteria by which rules are found: of those that a rule has, the first, as it tells most."""


class CompiledRule:
    """A rule with its patterns ready.

    Args:
        numbers: Gives the spellings in which numbers are compared.
    """

    __slots__ = ("criteria", "named", "position", "rule")

    def __init__(
        self, position: int, rule: Rule, numbers: Callable[[Iterable[str]], set[str]]
    ) -> None:
        self.position = position
        self.rule = rule
        self.criteria = tuple(
            (name, Patterns(numbers(values) if name == "number" else values))
            for name in CRITERIA
            if (values := getattr(rule, name))
        )
        self.named = frozenset(name for name, _ in self.criteria)

    def misfit(self, call: Looked, calendar: Calendar) -> str:
        """The first criterion that does not fit, empty if all do.

        Criteria that cannot be answered yet are taken to fit.
        """
        rule = self.rule
        if not rule.enabled:
            return "enabled"
        if rule.direction and call.direction not in rule.direction:
            return "direction"
        for name, patterns in self.criteria:
            if name not in call.open and not patterns.fit(call.values[name]):
                return name
        return self._misfit_in_time(call, calendar)

    def _misfit_in_time(self, call: Looked, calendar: Calendar) -> str:
        rule, at = self.rule, call.at
        if rule.valid_from is not None and (at is None or at < rule.valid_from):
            return "valid_from"
        if rule.valid_to is not None and (at is None or at >= rule.valid_to):
            return "valid_to"
        if not rule.when:
            return ""
        places = call.anywhere or (call.belonging,)
        if at is None or not any(calendar.is_open(rule.when, at, place) for place in places):
            return "when"
        return ""

    def is_certain(self, call: Looked, calendar: Calendar) -> bool:
        """Whether a rule that fits will also fit when all is known."""
        if not call.open.isdisjoint(self.named):
            return False
        rule, at = self.rule, call.at
        if not rule.when or at is None:
            return True
        return all(calendar.is_open(rule.when, at, place) for place in call.anywhere)


class RuleIndex:
    """Rules by the values that their most telling criterion asks for."""

    def __init__(self, rules: Iterable[Rule], numbers: Callable[[Iterable[str]], set[str]]) -> None:
        self.rules = tuple(
            CompiledRule(position, rule, numbers) for position, rule in enumerate(rules)
        )
        self._general: list[int] = []
        self._exact: dict[str, dict[str, list[int]]] = {name: {} for name in INDEXED}
        self._prefix: dict[str, dict[str, list[int]]] = {name: {} for name in INDEXED}
        self._personal: list[int] = []
        alike: set[tuple[object, ...]] = set()
        for compiled in self.rules:
            rule = compiled.rule
            if not rule.enabled:
                continue
            name = next((name for name in INDEXED if getattr(rule, name)), "")
            if not name:
                self._general.append(compiled.position)
                continue
            values = getattr(rule, name)
            self._enter(name, numbers(values) if name == "number" else values, compiled.position)
            # For a call that nobody has taken yet, rules that differ only in the people they
            # name are one: the first of them stands for all.
            key = _unknown_key(rule)
            if name in PERSONAL and key not in alike:
                alike.add(key)
                self._personal.append(compiled.position)
        self._lengths = {
            name: sorted({len(prefix) for prefix in found}) for name, found in self._prefix.items()
        }

    def _enter(self, name: str, values: Iterable[str], position: int) -> None:
        listed = tuple(values)
        if any(not is_exact(value) and not prefix_of(value) for value in listed):
            self._general.append(position)
            return
        for value in dict.fromkeys(listed):
            if is_exact(value):
                self._exact[name].setdefault(value, []).append(position)
            else:
                self._prefix[name].setdefault(prefix_of(value), []).append(position)

    def candidates(self, call: Looked) -> Iterator[CompiledRule]:
        """The enabled rules that may match, in order."""
        lists = [self._general]
        for name in INDEXED:
            if call.unknown and name in PERSONAL:
                continue
            exact, prefixes = self._exact[name], self._prefix[name]
            for value in call.values[name]:
                if (found := exact.get(value)) is not None:
                    lists.append(found)
                for length in self._lengths[name]:
                    if length > len(value):
                        break
                    if (found := prefixes.get(value[:length])) is not None:
                        lists.append(found)
        if call.unknown:
            lists.append(self._personal)
        last = -1
        for position in heapq.merge(*lists):
            if position != last:
                last = position
                yield self.rules[position]


def _unknown_key(rule: Rule) -> tuple[object, ...]:
    """What a rule asks for when nobody knows who will take the call.

    Its other settings do not matter: they are taken of the first rule that fits.
    """
    settings = rule.settings
    return (
        rule.mode is Mode.NEVER,
        settings.consent,
        settings.announcement and settings.announcement == SUPPRESS,
        settings.announce_inbound,
        settings.announce_outbound,
        rule.direction,
        rule.when,
        rule.valid_from,
        rule.valid_to,
        *(getattr(rule, name) for name in CRITERIA if name not in PERSONAL),
    )
