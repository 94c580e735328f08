"""Made-up calls, and what is expected of them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from callrec_pbx.domain.people import Belonging, Tenant
from callrec_pbx.domain.policy import CallInQuestion, Policy
from callrec_pbx.domain.policy.rules import Window
from callrec_pbx.domain.policy.schedule import Calendar
from callrec_pbx.domain.policy.settings import BUILT_IN
from callrec_pbx.domain.words import Direction, Mode, Outcome
from callrec_pbx.policy import explaining
from callrec_pbx.policy.cases import CallPart, CaseError, decide, parse_cases, question_of, run
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.load import compiled
from tests.policy.house import people

FILE = "cases.toml"
NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
TEXT = parse(
    """
excluded_numbers = ["+49 30 123*"]
[[tenant]]
name = "default"
consent = "opt_out"
[[rule]]
name = "abroad"
profile = "Lunch"
mode = "never"
[[rule]]
name = "support"
queue = "support"
mode = "always_pausable"
retention = "30 days"
[[rule]]
name = "office"
direction = "inbound"
mode = "always"
[[rule.when]]
days = "mon-fri"
from = "08:00"
to = "17:00"
""",
    "policy.toml",
)


@pytest.fixture
def policy() -> Policy:
    return compiled("7", TEXT, people(), BUILT_IN, NOW.date())


def a_call(**given: Any) -> CallPart:
    return CallPart.model_validate({name.rstrip("_"): value for name, value in given.items()})


INBOUND, OUTBOUND, INTERNAL = Direction.INBOUND, Direction.OUTBOUND, Direction.INTERNAL


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({}, (INBOUND, None, "", "", ())),
        ({"from_": "+461", "to": "301"}, (INBOUND, "301", "", "", ("+461",))),
        ({"from_": "+461", "to": "+46812345"}, (INBOUND, None, "+46812345", "", ("+461",))),
        ({"from_": "+461", "to": "301", "queue": "q"}, (INBOUND, None, "", "q", ("+461",))),
        ({"queue": "q", "line": "301"}, (INBOUND, "301", "", "q", ())),
        ({"to": "1", "ddi": "2", "line": "9"}, (INBOUND, "9", "2", "", ())),
        ({"user": "Bernd@example.org"}, (INBOUND, "bernd-desk", "", "", ())),
        ({"from_": "301", "to": "+461"}, (OUTBOUND, "301", "", "", ("+461",))),
        ({"to": "+461", "direction": "outbound"}, (OUTBOUND, None, "", "", ("+461",))),
        ({"from_": "301", "to": "302"}, (INTERNAL, "302", "", "", ())),
        ({"from_": "301", "direction": "internal"}, (INTERNAL, "301", "", "", ())),
        ({"from_": "301", "to": "302", "user": "anna@example.org"}, (INTERNAL, "301", "", "", ())),
    ],
)
def test_what_is_left_out_is_told_from_the_rest(
    given: dict[str, str], asked: tuple[Any, ...]
) -> None:
    question = question_of(a_call(**given), people(), NOW)
    assert asked == (
        question.direction,
        question.line,
        question.ddi,
        question.queue,
        question.numbers,
    )


def test_a_trunk_that_is_not_given_may_be_any() -> None:
    assert question_of(a_call(from_="301", to="+461"), people(), NOW).trunk is None
    assert question_of(a_call(from_="301", to="+461", trunk="t"), people(), NOW).trunk == "t"
    assert question_of(a_call(from_="+461"), people(), NOW).trunk is None
    assert question_of(a_call(from_="+461", trunk="t"), people(), NOW).trunk == "t"
    assert question_of(a_call(from_="301", to="302"), people(), NOW).trunk == ""


@pytest.mark.parametrize("call", [{"from_": "+461", "to": "301"}, {"from_": "301", "to": "+461"}])
def test_a_rule_of_a_trunk_may_match_in_both_directions(call: dict[str, str]) -> None:
    text = parse("[[rule]]\nname = 'a'\nmode = 'always'\nconsent = 'opt_in'\ntrunk = 'one'", "p")
    policy = compiled("7", text, people(), BUILT_IN, NOW.date())
    question, decision = decide(policy, a_call(**call), NOW)
    assert decision.rule == "a"
    assert explaining.steps(question, decision, text)[-2].detail == (
        "a: whether trunk is one is not known (--trunk)"
    )
    assert "rules that name a trunk may match" in explaining.remarks(question, people())[-1]
    assert decide(policy, a_call(**call, trunk="two"), NOW)[1].rule == ""
    question, decision = decide(policy, a_call(**call, trunk="one"), NOW)
    assert decision.rule == "a"
    assert explaining.remarks(question, people()) == ()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"to": "399"}, "399 is no line in people and places: it is taken for a direct number"),
        ({"line": "399"}, "399 is no line in people and places: it has no user"),
        ({"to": "301"}, ""),
        ({"to": "+46812345"}, ""),
        ({"to": "+46899999999"}, ""),
        ({"to": "399", "line": "301"}, ""),
    ],
)
def test_a_line_that_is_not_there_is_told(given: dict[str, str], said: str) -> None:
    question = question_of(a_call(from_="+461", trunk="t", **given), people(), NOW)
    found = explaining.remarks(question, people())
    assert len(found) == bool(said)
    assert said in "".join(found)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, NOW),
        ({"at": "2026-07-01T10:00"}, datetime(2026, 7, 1, 8, tzinfo=UTC)),
        ({"at": datetime(2026, 7, 1, 10), "line": "302"}, datetime(2026, 7, 1, 8, tzinfo=UTC)),  # noqa: DTZ001
        ({"at": "2026-07-01T10:00+00:00"}, datetime(2026, 7, 1, 10, tzinfo=UTC)),
    ],
)
def test_a_time_is_by_the_sites_clock(given: dict[str, Any], meant: datetime) -> None:
    assert question_of(a_call(**given), people(), NOW).at == meant


def test_what_stands_above_the_rules() -> None:
    call = a_call(declined=True, running=3)
    question = question_of(call, people(), NOW)
    assert question.declined == "declined"
    assert question.running is not None
    assert question.running("default") == 3
    assert question_of(a_call(), people(), NOW).running is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"user": "x@example.org"}, "user 'x@example.org': there is none"),
        ({"user": "carl@example.org"}, "has no line"),
        ({"line": "301", "profile": "Holiday"}, "known are Abroad, Lunch"),
        ({"profile": "Lunch"}, "the line has no user"),
    ],
)
def test_who_is_not_there_is_named(policy: Policy, given: dict[str, Any], said: str) -> None:
    with pytest.raises(CaseError, match=said):
        decide(policy, a_call(**given), NOW)


def test_a_profile_counts_for_that_call_alone(policy: Policy) -> None:
    at_line = {"line": "301", "from_": "+461"}
    assert decide(policy, a_call(**at_line, profile="Lunch"), NOW)[1].rule == "abroad"
    assert decide(policy, a_call(**at_line, profile="Abroad"), NOW)[1].reason == "profile"
    assert decide(policy, a_call(**at_line), NOW)[1].rule == "office"


CASES = """
[[case]]
name = "support is asked"
from = "+4670123"
queue = "support"
expect = { outcome = "recorded", mode = "always_pausable", retention = "30 days" }

[[case]]
name = "office at night"
from = "+4670123"
to = "301"
at = 2026-03-02T20:00:00
expect.outcome = "not_selected"
expect.reason = "no_rule"

[[case]]
name = "wrong"
from = "+493012345"
expect = { outcome = "recorded", whisper = true, retention = "unlimited", rule = "x" }
"""


def test_cases_are_put_to_the_policy(policy: Policy) -> None:
    found = run(policy, parse_cases(CASES, FILE), NOW)
    assert [one.case.name for one in found] == ["support is asked", "office at night", "wrong"]
    assert [bool(one.differences) for one in found] == [False, False, True]
    assert found[0].decision.mode is Mode.ALWAYS_PAUSABLE
    wrong = found[2]
    assert wrong.decision.outcome is Outcome.EXCLUDED
    assert [(d.field, d.expected, d.got) for d in wrong.differences] == [
        ("outcome", "recorded", "excluded"),
        ("rule", "x", ""),
        ("whisper", "true", "false"),
    ]


def test_a_case_is_decided_by_the_policy_itself(policy: Policy) -> None:
    (one, *_) = run(policy, parse_cases(CASES, FILE), NOW)
    assert one.call == CallInQuestion(INBOUND, None, "", "support", ("+4670123",), None, NOW)
    assert policy.decide(one.call, every=True) == one.decision


CASE = "[[case]]\nname = 'a'\n"
EXPECT = "expect = { outcome = 'recorded' }\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("", ["case: is missing", "[[case]]"]),
        ("[case]\nname = 'a'", ["write [[case]], not [case]"]),
        ("[[cases]]", ["cases: there is no such setting", "did you mean case?"]),
        (CASE, ['case 1 "a" expect: is missing', "outcome"]),
        (CASE + "expect = {}", ['case 1 "a" expect', "expects nothing"]),
        (CASE + "expect = { outcom = 'x' }", ['"a" expect.outcom', "did you mean outcome?"]),
        (CASE + "expect = { outcome = 'x' }", ['"a" expect.outcome = "x"', "recorded, declined"]),
        (CASE + "expect = { retention = 0 }", ["retention = 0", "unlimited"]),
        (CASE + "expect = { explanation = 'x' }", ["expect.explanation", "no such setting"]),
        (CASE + EXPECT + "form = '1'", ['case 1 "a" form', "did you mean from?"]),
        (CASE + EXPECT + "from = 1", ['case 1 "a" from = 1', "string"]),
        (CASE + EXPECT + "at = 2026-03-02", ['case 1 "a" at', "is not a time"]),
        (CASE + EXPECT + "at = 'now'", ['case 1 "a" at = "now"', "is not a time"]),
        (CASE + EXPECT + "at = 0001-01-01T00:10:00", ["at", "is not in the years 1970 to 2999"]),
        (CASE + EXPECT + "at = 9999-12-31T23:59:59Z", ["at", "is not in the years 1970 to 2999"]),
        (CASE + EXPECT + "running = '1'", ['running = "1": is not a whole number']),
        (CASE + EXPECT + "running = -1", ['case 1 "a" running = -1']),
        (CASE + EXPECT + "direction = 'in'", ['"a" direction = "in"', "inbound"]),
        (CASE + EXPECT + CASE + EXPECT, ['case 2 "a" name', "case 1 has that name"]),
    ],
)
def test_a_bad_file_names_case_value_and_remedy(text: str, parts: list[str]) -> None:
    with pytest.raises(PolicyFileError) as caught:
        parse_cases(text, FILE)
    for part in (f"{FILE}: ", *parts):
        assert part in str(caught.value)


@pytest.mark.parametrize("zone", ["Europe/Stockholm", "America/New_York"])
@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)])
def test_the_first_and_the_last_day_of_all_are_decided_too(at: datetime, zone: str) -> None:
    calendar = Calendar({}, ())
    belonging = Belonging(tenant=Tenant("default", time_zone=zone))
    night = Window(from_minute=22 * 60, to_minute=6 * 60)
    assert calendar.is_open((night,), at, belonging) in (True, False)


def test_a_case_about_nobody_is_named(policy: Policy) -> None:
    with pytest.raises(CaseError, match=r"case .a.: user 'x': there is none"):
        run(policy, parse_cases(CASE + EXPECT + "user = 'x'", FILE), NOW)


DECOMPOSED = "Mu\u0308nchen"
COMPOSED = "M\u00fcnchen"


def test_names_are_compared_as_people_have_them() -> None:
    (case,) = parse_cases(
        f"""
[[case]]
name = "x"
user = " Anna@Example.org"
expect = {{ user = "ANNA@example.org", site = "{DECOMPOSED}", department = "{DECOMPOSED} " }}
""",
        FILE,
    )
    assert case.call.user == "anna@example.org"
    assert case.expected == {
        "user": "anna@example.org", "site": COMPOSED, "department": COMPOSED,
    }  # fmt: skip
    text = parse(
        f"""
[[site]]
name = "{DECOMPOSED}"
[[department]]
name = " {DECOMPOSED}"
tenant = "{DECOMPOSED}"
[[holiday]]
date = 2026-12-24
sites = "{DECOMPOSED}"
[[rule]]
name = "{DECOMPOSED}"
site = "{DECOMPOSED}"
department = "{DECOMPOSED}*"
tenant = "?{DECOMPOSED}"
profile = "{DECOMPOSED}"
user = ["{DECOMPOSED}@X.se ", "*@EXAMPLE.org"]
mode = "never"
""",
        FILE,
    )
    assert [(place.tenant, place.name) for place in text.places] == [
        ("", COMPOSED), (COMPOSED, COMPOSED),
    ]  # fmt: skip
    assert text.holidays[0].sites == (COMPOSED,)
    rule = text.rules[0]
    assert (rule.name, rule.site, rule.department, rule.tenant, rule.profile) == (
        COMPOSED, (COMPOSED,), (f"{COMPOSED}*",), (f"?{COMPOSED}",), (COMPOSED,),
    )  # fmt: skip
    assert rule.user == (f"{COMPOSED.lower()}@x.se", "*@example.org")


@pytest.mark.parametrize("name", ["x", "n" * 120])
def test_a_case_has_a_name(name: str) -> None:
    (case,) = parse_cases(f"[[case]]\nname='{name}'\nexpect={{rule='r'}}", FILE)
    assert case.name == name


@pytest.mark.parametrize("name", ["", " ", "n" * 121])
def test_a_case_without_a_name_is_refused(name: str) -> None:
    with pytest.raises(PolicyFileError, match="is not a name for a case; use 1 to 120") as raised:
        parse_cases(f"[[case]]\nname='{name}'\nexpect={{rule='r'}}", FILE)
    assert "name for a rule" not in str(raised.value)
