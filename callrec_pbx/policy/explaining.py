"""Telling people why a decision is what it is, with more words than are kept with a call."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

from callrec_pbx.domain.facts import Decision, Step
from callrec_pbx.domain.people import People
from callrec_pbx.domain.policy import CallInQuestion, PolicyText, Rule
from callrec_pbx.domain.policy.question import PERSONAL
from callrec_pbx.domain.words import Tried
from callrec_pbx.numbers import Numbers
from callrec_pbx.policy.countries import Expectation, expectation, falls_short, stricter
from callrec_pbx.policy.diff import value_text
from callrec_pbx.policy.written import window_document

EXTENSION = re.compile(r"[0-9]{2,6}")
"""What people dial inside; a direct number has more digits."""


@dataclass(frozen=True, slots=True)
class Party:
    """What a party of the call may expect, by its country.

    Attributes:
        who: `other party` or `user`.
        country: Empty when it cannot be told.
    """

    who: str
    country: str
    expectation: Expectation | None


@dataclass(frozen=True, slots=True)
class Expected:
    """What both parties may expect, and whether the decision is less than that.

    Attributes:
        strictest: Of those that are known the one that asks for more; None when none is.
    """

    parties: tuple[Party, ...]
    strictest: Expectation | None
    falls_short: bool


def expected(call: CallInQuestion, decision: Decision, people: People) -> Expected:
    """What the countries of both sides expect of a decision."""
    belonging = people.belonging(call.line, call.ddi, call.queue)
    user, site, tenant = belonging.user, belonging.site, belonging.tenant
    of_place = (site.country if site else "") or (tenant.country if tenant else "")
    own = (user.country if user else "") or of_place
    others = [Numbers().country_of(number, of_place) for number in call.numbers]
    parties = tuple(
        Party(who, country, expectation(country) if country else None)
        for who, country in (*(("other party", country) for country in others), ("user", own))
    )
    strictest: Expectation | None = None
    for party in parties:
        if party.expectation is not None:
            strictest = stricter(strictest or party.expectation, party.expectation)
    short = strictest is not None and falls_short(decision.consent, strictest)
    return Expected(parties, strictest, decision.may_record and short)


def steps(call: CallInQuestion, decision: Decision, text: PolicyText) -> tuple[Step, ...]:
    """The steps of a decision; of rules that did not match with what would have.

    Of rules that may match it says what is not known of the call.
    """
    rules = {rule.name: rule for rule in text.rules}
    return tuple(_told(step, rules, call) for step in decision.explanation.steps)


def remarks(call: CallInQuestion, people: People) -> tuple[str, ...]:
    """What is not known of a made-up call, and what that means for what is decided."""
    return tuple(_remarks(call, people))


def _remarks(call: CallInQuestion, people: People) -> Iterator[str]:
    belonging = people.belonging(call.line, call.ddi, call.queue)
    if call.line and belonging.line is None:
        yield (
            f"{call.line} is no line in people and places: it has no user, department or kind of "
            f"phone, and rules that name those do not match; `callrec-pbx line add {call.line}` "
            "adds it"
        )
    if call.line is None and belonging.ddi is None and EXTENSION.fullmatch(call.ddi):
        yield (
            f"{call.ddi} is no line in people and places: it is taken for a direct number (DDI) "
            "that nobody has answered yet, so that rules that name people may all match, and the "
            f"caller is asked as the strictest of them asks; `callrec-pbx line add {call.ddi}` "
            "adds it, and --line decides for a line that is not there"
        )
    if call.trunk is None:
        yield "the trunk is not known: rules that name a trunk may match; give it with --trunk"


def rules_not_tried(decision: Decision, text: PolicyText) -> int:
    """How many rules come after the one that decided."""
    tried = [step for step in decision.explanation.steps if step.what == "rule"]
    if not tried or tried[-1].result is not Tried.MATCHED:
        return 0
    return len(text.rules) - len(tried)


def _told(step: Step, rules: dict[str, Rule], call: CallInQuestion) -> Step:
    if step.what == "rule" and step.result is Tried.POSSIBLE and step.detail in rules:
        return Step(step.what, step.result, f"{step.detail}: {_open(rules[step.detail], call)}")
    name, colon, criterion = step.detail.rpartition(": ")
    rule = rules.get(name)
    if step.what != "rule" or step.result is not Tried.NO_MATCH or not colon or rule is None:
        return step
    return Step(step.what, step.result, f"{name}: {_misfit(rule, criterion)}")


def _open(rule: Rule, call: CallInQuestion) -> str:
    """What would have to be known to say whether a rule matches."""
    found = []
    if call.line is None and any(getattr(rule, name) for name in PERSONAL):
        found.append("who answers is not known")
    if call.trunk is None and rule.trunk:
        found.append(f"whether trunk is {value_text(list(rule.trunk))} is not known (--trunk)")
    return ", ".join(found)


def _misfit(rule: Rule, criterion: str) -> str:
    if criterion == "enabled":
        return "is switched off"
    if criterion == "valid_from":
        return f"counts from {value_text(rule.valid_from)} on"
    if criterion == "valid_to":
        return f"counted before {value_text(rule.valid_to)}"
    if criterion == "when":
        windows = " | ".join(value_text(window_document(window)) for window in rule.when)
        return f"when is not {windows}"
    return f"{criterion} is not {value_text(list(getattr(rule, criterion)))}"


def document(
    call: CallInQuestion, decision: Decision, text: PolicyText, people: People
) -> dict[str, Any]:
    """A decision with its explanation as JSON-able values."""
    found = expected(call, decision, people)
    return {
        "call": {
            "direction": call.direction,
            "line": call.line,
            "ddi": call.ddi,
            "queue": call.queue,
            "numbers": list(call.numbers),
            "trunk": call.trunk,
            "at": None if call.at is None else call.at.isoformat(),
        },
        "decision": {
            field.name: getattr(decision, field.name)
            for field in fields(decision)
            if field.name != "explanation"
        },
        "steps": [
            {"what": step.what, "result": step.result, "detail": step.detail}
            for step in steps(call, decision, text)
        ],
        "remarks": list(remarks(call, people)),
        "rules_not_tried": rules_not_tried(decision, text),
        "settings": [
            {"setting": one.setting, "value": one.value, "origin": one.origin}
            for one in decision.explanation.settings
        ],
        "countries": [
            {
                "who": party.who,
                "country": party.country or None,
                "expectation": party.expectation and party.expectation.expectation,
                "weakest": party.expectation and party.expectation.weakest,
            }
            for party in found.parties
        ],
        "falls_short": found.falls_short,
    }
