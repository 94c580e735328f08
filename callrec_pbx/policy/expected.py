"""Whether rules ask of the other party what its country, and the user's, expects."""

from collections.abc import Collection, Iterable, Sequence

from callrec_pbx.domain.policy.rules import Rule
from callrec_pbx.domain.words import ConsentMode, Direction
from callrec_pbx.numbers import Numbers
from callrec_pbx.policy.countries import (
    Confidence,
    Countries,
    Expectation,
    Expected,
    falls_short,
    stricter,
)
from callrec_pbx.policy.places import Asked, Group, Spot
from callrec_pbx.policy.warning import LISTED, PolicyWarning, Severity, Warnings, hint, listed

SILENT = Asked(ConsentMode.NONE, "", "")


class ConsentCheck:
    """Compares what rules ask with the table of countries.

    Args:
        named: Countries that callers come from beside the home country.
    """

    def __init__(self, table: Countries, numbers: Numbers, named: Collection[str]) -> None:
        self._table = table
        self._numbers = numbers
        self._named = tuple(named)

    def of_rule(self, rule: Rule, groups: Iterable[Group]) -> Warnings:
        """Where a rule asks for less than expected, and what else a country expects."""
        short: dict[tuple[Asked, str], list[tuple[Direction, Spot]]] = {}
        entries: dict[str, Expectation] = {}
        for group in groups:
            expected = self._expected(rule, group)
            if not expected:
                continue
            entries |= {entry.code: entry for entry in expected}
            strictest = _strictest(expected)
            if falls_short(group.asked.consent, strictest):
                asking = Asked(group.asked.consent, group.asked.origin, "")
                places = short.setdefault((asking, strictest.code), [])
                places.extend((group.direction, spot) for spot in group.spots)
            elif group.asked.consent is ConsentMode.NONE and self._states(strictest):
                short.setdefault((SILENT, strictest.code), [])
        for (asking, code), places in short.items():
            entry = entries[code]
            yield _too_weak(rule, asking, entry, places) if places else self._differ(rule, entry)
        for entry in entries.values():
            yield from _also(rule, entry)

    def _expected(self, rule: Rule, group: Group) -> tuple[Expectation, ...]:
        """What may be expected of the rule there, by those inside and those outside."""
        internal = group.direction is Direction.INTERNAL
        others = [group.home] if internal else self._callers(rule, group.home)
        codes = dict.fromkeys((group.country, *others))
        return tuple(self._table.expectation(code) for code in codes if code)

    def _callers(self, rule: Rule, home: str) -> list[str]:
        """Whose numbers the rule is for; where they do not tell, the home country and those named.

        It may be for the numbers of any country if only one of its patterns does not tell.
        """
        found = [self._numbers.countries_of(pattern, home) for pattern in rule.number]
        those = [country for one in found for country in one]
        return those if found and all(found) else [*those, home, *self._named]

    def _states(self, entry: Expectation) -> str:
        return ", ".join(state.code for state in self._table.states_of(entry.code))

    def _differ(self, rule: Rule, entry: Expectation) -> PolicyWarning:
        return hint(
            "states_differ",
            rule.name,
            f"nothing is announced; that is enough for {entry.name} as a whole, not for "
            f"{self._states(entry)}",
            'set consent = "announce", or name the states that matter with --country',
        )


def _strictest(entries: Iterable[Expectation]) -> Expectation:
    first, *others = entries
    for other in others:
        first = stricter(first, other)
    return first


def _too_weak(
    rule: Rule, asked: Asked, entry: Expectation, places: Sequence[tuple[Direction, Spot]]
) -> PolicyWarning:
    opt_out = asked.consent is ConsentMode.OPT_OUT and entry.opt_out_is_consent is False
    why = "; opt-out is not consent there" if opt_out else ""
    sure = "disputed" if entry.disputed else f"confidence {entry.confidence}"
    first = [f"{direction} {spot}".strip() for direction, spot in places[:LISTED]]
    unsure = entry.confidence is Confidence.LOW or entry.disputed
    return PolicyWarning(
        Severity.WARNING if unsure else Severity.SERIOUS,
        "weaker_than_expected",
        rule.name,
        f"consent {asked.consent} (from {asked.origin}) is less than what is expected in "
        f"{entry.name} ({entry.code}): {entry.expectation}, at least {entry.weakest}{why} "
        f"({sure}); concerns {listed(first, len(places))}",
        f'set consent = "{entry.weakest}" for these calls, or make sure of another basis; see '
        f"`callrec-pbx policy countries {entry.code}`",
    )


def _also(rule: Rule, entry: Expectation) -> Warnings:
    if not entry.known:
        yield hint(
            "country_unknown",
            rule.name,
            f"the table of countries has no entry for {entry.code}",
            "find out what is expected there",
        )
    elif entry.expectation is Expected.WRITTEN:
        yield hint(
            "written_basis",
            rule.name,
            f"{entry.name} ({entry.code}) expects a basis in writing, which no announcement gives",
            f"see `callrec-pbx policy countries {entry.code}`",
        )
