"""Rules and policies as tests write them: settings and criteria side by side."""

from dataclasses import fields
from typing import Any

from callrec_pbx.domain.people import People
from callrec_pbx.domain.policy import Policy, PolicyText, Rule, Settings
from callrec_pbx.domain.words import ConsentMode, Mode

SETTINGS = {field.name for field in fields(Settings)}


def rule(name: str, mode: Mode = Mode.ALWAYS_PAUSABLE, /, **values: Any) -> Rule:
    """A rule that asks nobody, unless it says otherwise; `values` are settings and criteria."""
    settings = {key: value for key, value in values.items() if key in SETTINGS}
    criteria = {key: value for key, value in values.items() if key not in SETTINGS}
    settings.setdefault("consent", ConsentMode.NONE)
    return Rule(name, mode, Settings(**settings), **criteria)


def policy(
    *rules: Rule, excluded: tuple[str, ...] = (), people: People | None = None, **rest: Any
) -> Policy:
    """A policy of version 7; without people every call belongs to nobody."""
    text = PolicyText(rules=rules, excluded_numbers=excluded, **rest)
    return Policy("7", text, people=people)
