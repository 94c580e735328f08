"""Whether what a policy names is there: tenants, sites, departments, languages, announcements."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches

from callrec_pbx.config.errors import Problem
from callrec_pbx.config.explain import shown_value
from callrec_pbx.domain.patterns import compiled, prefix_of
from callrec_pbx.domain.people import People
from callrec_pbx.domain.policy.rules import Place, PolicyText, Rule
from callrec_pbx.domain.policy.settings import SUPPRESS, Settings
from callrec_pbx.domain.words import Mode
from callrec_pbx.policy.errors import PolicyFileError

VARIANTS = ("", "_opt_out", "_opt_in")
"""What follows the name of an announcement in the names of its prompts."""

LISTED = 8
"""How many names a remedy lists."""


@dataclass(frozen=True, slots=True)
class Known:
    """What a policy may name.

    Attributes:
        languages: Languages there are prompts in; None: they are not known here.
        prompts: Names of the prompts there are; None: they are not known here.
    """

    people: People
    languages: frozenset[str] | None = None
    prompts: frozenset[str] | None = None


@dataclass(frozen=True, slots=True)
class Resolved:
    """A policy of which every place names its tenant, and what looks odd about it."""

    text: PolicyText
    warnings: tuple[Problem, ...]


def resolve(text: PolicyText, known: Known, source: str) -> Resolved:
    """Fill in the tenant where there is only one, and look for everything that is named.

    Raises:
        PolicyFileError: Something is named that is not there, or a rule that records lacks
            consent; it names all problems at once.
    """
    tenants = known.people.tenants
    only = next(iter(tenants)) if len(tenants) == 1 else ""
    text = replace(
        text,
        places=tuple(
            place if place.tenant else replace(place, tenant=only) for place in text.places
        ),
    )
    problems = [
        *_places(text, known, source),
        *_holidays(text, known.people, source),
        *_prompts(text, known, source),
        *_consents(text, known.people, source),
    ]
    if problems:
        raise PolicyFileError(problems)
    return Resolved(text, tuple(_idle_criteria(text.rules, known.people, source)))


def _numbered(text: PolicyText) -> Iterator[tuple[str, Place]]:
    """The places, each with what an error message calls it."""
    count: dict[str, int] = {}
    for place in text.places:
        count[place.kind] = count.get(place.kind, 0) + 1
        name = place.name or place.tenant
        yield f"{place.kind} {count[place.kind]} {shown_value(name)}".removesuffix(' ""'), place


def _places(text: PolicyText, known: Known, source: str) -> Iterator[Problem]:
    people = known.people
    seen: dict[tuple[str, str, str], str] = {}
    for key, place in _numbered(text):
        field = f"{key} name" if place.kind == "tenant" else f"{key} tenant"
        if not place.tenant:
            yield Problem(source, field, None, "is missing", _one_of(people.tenants))
            continue
        if place.tenant not in people.tenants:
            yield _absent(source, field, "tenant", place.tenant, people.tenants)
            continue
        names = _names_of(place, people)
        if place.kind != "tenant" and place.name not in names:
            yield _absent(source, f"{key} name", place.kind, place.name, names)
        same = (place.kind, place.tenant, place.name)
        if same in seen:
            yield Problem(
                source,
                key,
                None,
                f"is the same {place.kind} as {seen[same]}",
                f"put all settings of one {place.kind} into one [[{place.kind}]]",
            )
        seen.setdefault(same, key)


def _names_of(place: Place, people: People) -> set[str]:
    """The names of the sites or departments of a place's tenant."""
    keys = [*people.sites] if place.kind == "site" else [*people.departments]
    return {name for tenant, name in keys if tenant == place.tenant}


def _holidays(text: PolicyText, people: People, source: str) -> Iterator[Problem]:
    for number, holiday in enumerate(text.holidays, 1):
        key = f"holiday {number} {shown_value(holiday.name)}".removesuffix(' ""')
        if holiday.tenant and holiday.tenant not in people.tenants:
            yield _absent(source, f"{key} tenant", "tenant", holiday.tenant, people.tenants)
            continue
        names = {name for tenant, name in people.sites if holiday.tenant in ("", tenant)}
        for site in holiday.sites:
            if site not in names:
                yield _absent(source, f"{key} sites", "site", site, names)


def _prompts(text: PolicyText, known: Known, source: str) -> Iterator[Problem]:
    named: list[tuple[str, Settings]] = [
        (key, place.settings) for key, place in _numbered(text)
    ] + [(_rule_key(number, rule), rule.settings) for number, rule in enumerate(text.rules, 1)]
    for key, settings in named:
        language = settings.language
        if known.languages is not None and language and language not in known.languages:
            yield Problem(
                source,
                f"{key} language",
                shown_value(language),
                "there are no prompts in that language",
                f"use one of {', '.join(sorted(known.languages))}, or import some with "
                "`callrec-pbx prompts import`",
            )
        name = settings.announcement
        if known.prompts is None or not name or name == SUPPRESS:
            continue
        if not any(name + variant in known.prompts for variant in VARIANTS):
            yield Problem(
                source,
                f"{key} announcement",
                shown_value(name),
                "there is no prompt of that name",
                f"import {name}, {name}_opt_out or {name}_opt_in, as consent asks for, with "
                "`callrec-pbx prompts import`",
            )


def _consents(text: PolicyText, people: People, source: str) -> Iterator[Problem]:
    having = {
        place.tenant
        for place in text.places
        if place.kind == "tenant" and place.settings.consent is not None
    }
    for number, rule in enumerate(text.rules, 1):
        if rule.mode is Mode.NEVER or rule.settings.consent is not None:
            continue
        lacking = [
            tenant
            for tenant in people.tenants
            if tenant not in having and (not rule.tenant or _fits(tenant, rule.tenant))
        ]
        if lacking:
            yield Problem(
                source,
                _rule_key(number, rule),
                None,
                "consent is missing from a rule that records",
                'say what the other party is asked: consent = "none", "announce", "opt_out" or '
                f'"opt_in", here or in the [[tenant]] {", ".join(lacking[:LISTED])}',
            )


def _idle_criteria(rules: tuple[Rule, ...], people: People, source: str) -> Iterator[Problem]:
    """Criteria that nothing known fits now; it may be there later, so this is no error."""
    known = {
        "tenant": _Names(people.tenants),
        "site": _Names(name for _, name in people.sites),
        "department": _Names(name for _, name in people.departments),
        "user": _Names(email for _, email in people.users),
        "profile": _Names(name for profiles in people.profiles.values() for name in profiles),
        "ddi": _Names(people.ddis),
        "queue": _Names(people.queues),
    }
    for number, rule in enumerate(rules, 1):
        for criterion, names in known.items():
            if not rule.enabled or (criterion in ("ddi", "queue") and names.none):
                continue  # who keeps no DDIs and queues here can still name them
            for pattern in getattr(rule, criterion):
                if not names.fit(pattern):
                    yield Problem(
                        source,
                        f"{_rule_key(number, rule)} {criterion}",
                        shown_value(pattern),
                        f"fits no {criterion} that is known",
                        "see that it is spelt right",
                    )


class _Names:
    """Names among which patterns look for one that fits."""

    def __init__(self, names: Iterable[str]) -> None:
        self._sorted = sorted(set(names))
        self._asked: dict[str, bool] = {}
        self.none = not self._sorted

    def fit(self, pattern: str) -> bool:
        """Whether a name fits the pattern."""
        found = self._asked.get(pattern)
        if found is None:
            found = self._asked[pattern] = self._look(pattern)
        return found

    def _look(self, pattern: str) -> bool:
        prefix = prefix_of(pattern)
        regex = compiled(pattern)
        for at in range(bisect_left(self._sorted, prefix), len(self._sorted)):
            name = self._sorted[at]
            if not name.startswith(prefix):
                return False
            if regex.fullmatch(name):
                return True
        return False


def _fits(name: str, patterns: tuple[str, ...]) -> bool:
    return any(compiled(pattern).fullmatch(name) for pattern in patterns)


def _rule_key(number: int, rule: Rule) -> str:
    return f"rule {number} {shown_value(rule.name)}"


def _absent(source: str, key: str, kind: str, name: str, names: Iterable[str]) -> Problem:
    near = get_close_matches(name, list(names), 1)
    remedy = f"did you mean {near[0]}?" if near else f"{_one_of(names)}, or add it first"
    return Problem(source, key, shown_value(name), f"there is no such {kind}", remedy)


def _one_of(names: Iterable[str]) -> str:
    listed = sorted(names)
    if not listed:
        return "add one first"
    more = ", ..." if len(listed) > LISTED else ""
    return f"give one of {', '.join(listed[:LISTED])}{more}"
