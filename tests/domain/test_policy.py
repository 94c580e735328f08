"""Which rule decides, and what its decision says."""

from dataclasses import replace

import pytest

from callrec_pbx.domain.policy import CallInQuestion, Rule
from callrec_pbx.domain.words import ConsentMode, Direction, Mode, Notice, OnTrouble, Outcome
from tests.rules import policy, rule

CALL = CallInQuestion(
    Direction.INBOUND, "301", ddi="4930123", queue="sales", numbers=("+4670123", "")
)


def decided(call: CallInQuestion, *rules: Rule, excluded: tuple[str, ...] = ()) -> str:
    """The name of the rule that decides, or the reason."""
    decision = policy(*rules, excluded=excluded).decide(call)
    assert decision.policy_version == "7"
    return decision.rule or decision.reason


@pytest.mark.parametrize(
    ("criteria", "matches"),
    [
        ({}, True),
        ({"direction": (Direction.INBOUND,)}, True),
        ({"direction": (Direction.OUTBOUND, Direction.INTERNAL)}, False),
        ({"ddi": ("4930*",)}, True),
        ({"ddi": ("4930",)}, False),
        ({"queue": ("support", "sales")}, True),
        ({"queue": ("support",)}, False),
        ({"line": ("3?1",)}, True),
        ({"line": ("302",)}, False),
        ({"number": ("+46*",)}, True),
        ({"number": ("*",)}, True),
        ({"number": ("+49*",)}, False),
        ({"queue": ("sales",), "line": ("302",)}, False),
    ],
)
def test_criteria(criteria: dict[str, tuple[str, ...]], matches: bool) -> None:
    assert decided(CALL, rule("it", Mode.ALWAYS, **criteria)) == ("it" if matches else "no_rule")


def test_an_empty_value_matches_no_pattern() -> None:
    nothing = CallInQuestion(Direction.INBOUND, "301")
    assert decided(nothing, rule("it", Mode.ALWAYS, number=("*",))) == "no_rule"
    assert decided(nothing, rule("it", Mode.ALWAYS, ddi=("*",))) == "no_rule"


def test_the_first_rule_that_matches() -> None:
    other = rule("other", Mode.ALWAYS, line=("302",))
    assert decided(CALL, other, rule("a", Mode.ALWAYS), rule("b", Mode.NEVER)) == "a"


def test_an_excluded_number_stops_before_all_rules() -> None:
    assert decided(CALL, rule("a", Mode.ALWAYS), excluded=("+4670*",)) == "excluded_number"
    assert decided(CALL, rule("a", Mode.ALWAYS), excluded=("+49*",)) == "a"


def test_never_is_a_decision_not_to_record() -> None:
    decision = policy(rule("n", Mode.NEVER, consent=ConsentMode.OPT_OUT)).decide(CALL)
    assert (decision.outcome, decision.reason) == (Outcome.NOT_SELECTED, "rule")
    assert (decision.consent, decision.whisper) == (ConsentMode.NONE, False)
    assert not decision.may_record


def test_a_decision_carries_all_that_the_rule_says() -> None:
    given = rule(
        "all",
        Mode.ON_DEMAND,
        consent=ConsentMode.OPT_IN,
        on_refusal=OnTrouble.HANG_UP,
        on_failure=OnTrouble.HANG_UP,
        whisper=False,
        notice=Notice.ANNOUNCEMENT,
        reminder_s=15,
        resume_after_s=60,
        retention="30 days",
        language="sv",
    )
    decision = policy(given).decide(CALL)
    assert (decision.outcome, decision.rule, decision.may_record) == (
        Outcome.RECORDED,
        "all",
        True,
    )
    for name in ("consent", "on_refusal", "on_failure", "whisper", "notice", "language"):
        assert getattr(decision, name) == getattr(given.settings, name)
    for name in ("reminder_s", "resume_after_s", "retention"):
        assert getattr(decision, name) == getattr(given.settings, name)


QUEUED = replace(CALL, line=None)
NAMED = rule("named", Mode.ALWAYS, consent=ConsentMode.ANNOUNCE, line=("301",))
NEVER = rule("never", Mode.NEVER, line=("302",))
REST = rule("rest", Mode.ALWAYS, consent=ConsentMode.OPT_IN)


@pytest.mark.parametrize(
    ("rules", "name", "consent"),
    [
        ((NAMED,), "named", ConsentMode.ANNOUNCE),
        ((NAMED, REST), "named", ConsentMode.OPT_IN),
        ((NEVER, NAMED), "named", ConsentMode.ANNOUNCE),
        ((NEVER,), "no_rule", ConsentMode.NONE),
        ((NEVER, REST), "rest", ConsentMode.OPT_IN),
        ((replace(NEVER, line=()), REST), "never", ConsentMode.NONE),
        ((NAMED, replace(NEVER, line=()), REST), "named", ConsentMode.ANNOUNCE),
        ((replace(NAMED, queue=("support",)), REST), "rest", ConsentMode.OPT_IN),
    ],
)
def test_while_the_line_is_not_known(
    rules: tuple[Rule, ...], name: str, consent: ConsentMode
) -> None:
    decision = policy(*rules).decide(QUEUED)
    assert (decision.rule or decision.reason, decision.consent) == (name, consent)
