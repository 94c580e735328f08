"""Rules that can never match are found, and no others."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callrec_pbx.domain.patterns import compiled
from callrec_pbx.domain.policy.rules import Rule, Window
from callrec_pbx.domain.words import Device, Direction, Mode
from callrec_pbx.numbers import Numbers
from callrec_pbx.policy.shadowed import covers, shadowed

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
IN, OUT, _ = Direction


def e164(pattern: str) -> str:
    return Numbers().pattern_e164(pattern, "SE")


def rule(name: str, mode: Mode = Mode.ALWAYS, **criteria: Any) -> Rule:
    return replace(Rule(name, mode), **criteria)


ALL = rule("all")
QUEUES = rule("queues", queue=("s*", "hilfe"))


@pytest.mark.parametrize(
    ("first", "second", "never"),
    [
        (ALL, rule("b", queue=("support",)), True),
        (rule("a", Mode.NEVER), rule("b"), True),
        (QUEUES, rule("b", queue=("support",)), True),
        (QUEUES, rule("b", queue=("su*",), user=("anna@*",)), True),
        (QUEUES, rule("b", queue=("support", "hilfe")), True),
        (QUEUES, rule("b", queue=("*",)), False),
        (QUEUES, rule("b", user=("anna@*",)), False),
        (rule("a", direction=(IN, OUT)), rule("b", direction=(IN,)), True),
        (rule("a", direction=(IN,)), rule("b", direction=(IN, OUT)), False),
        (rule("a", direction=(IN,)), rule("b"), False),
        (rule("a", device=(Device.DESK,)), rule("b", device=(Device.DESK,)), True),
        (rule("a", number=("070-1*",)), rule("b", number=("+467012*",)), True),
        (rule("a", number=("0046701234567",)), rule("b", number=("070-123 45 67",)), True),
        (rule("a", number=("+4670*",)), rule("b", number=("070-1*", "+45*")), False),
        (rule("a", enabled=False), rule("b"), False),
        (rule("a", valid_to=NOW), rule("b"), False),
        (rule("a", valid_to=NOW + DAY), rule("b"), False),
        (rule("a", valid_to=NOW + DAY), rule("b", valid_to=NOW + DAY), True),
        (rule("a", valid_from=NOW + DAY), rule("b"), False),
        (rule("a", valid_from=NOW + DAY), rule("b", valid_from=NOW + DAY), True),
        (rule("a", valid_from=NOW - DAY), rule("b"), True),
        (rule("a", when=(Window(),)), rule("b"), False),
        (rule("a", when=(Window(),)), rule("b", when=(Window(),)), True),
        (ALL, rule("b", enabled=False), False),
    ],
)
def test_a_rule_that_can_never_match(first: Rule, second: Rule, never: bool) -> None:
    found = [(one.name, by.name) for one, by in shadowed((first, second), NOW, e164)]
    assert found == ([("b", first.name)] if never else [])


def test_the_first_of_those_before_it_is_named() -> None:
    rules = (rule("x", queue=("support",)), ALL, rule("b"), rule("c"))
    assert [(one.name, by.name) for one, by in shadowed(rules, NOW, e164)] == [
        ("b", "all"),
        ("c", "all"),
    ]


PATTERNS = st.text("ab*?", max_size=5)


@given(PATTERNS, PATTERNS, st.text("ab", max_size=4))
@example("?", "*", "ab")
@example("a?", "a*", "a")
def test_what_covers_a_pattern_fits_all_that_it_fits(wide: str, narrow: str, value: str) -> None:
    if covers(wide, narrow) and compiled(narrow).fullmatch(value):
        assert compiled(wide).fullmatch(value)
