"""What holds for every policy and every call."""

from dataclasses import replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain.facts import Decision, Explanation
from callrec_pbx.domain.people import (
    Ddi,
    Department,
    Line,
    People,
    Profile,
    Queue,
    Site,
    Tenant,
    User,
)
from callrec_pbx.domain.policy import (
    CallInQuestion,
    Holiday,
    Place,
    Policy,
    PolicyText,
    Rule,
    Settings,
    Window,
)
from callrec_pbx.domain.policy.asking import STRICTNESS
from callrec_pbx.domain.words import (
    ConsentMode,
    Device,
    Direction,
    Mode,
    OnHoliday,
    Outcome,
    Switch,
    Tried,
)

DEPARTMENTS = ("Sales", "Support")
SITES = ("Stockholm", "Berlin")
QUEUES = ("sales", "support", "sales-2")
DDIS = ("+4681001", "+4681002", "+49301")
NUMBERS = ("+46701", "+46702", "+49171", "")
EMAILS = ("anna@x.se", "bo@x.se", "cy@x.se")
LINES = ("301", "302", "303", "999")
NAMES = {
    "ddi": DDIS,
    "queue": QUEUES,
    "department": DEPARTMENTS,
    "user": EMAILS,
    "line": LINES,
    "site": SITES,
    "trunk": ("trunk-a", "trunk-b"),
    "profile": ("Lunch", "Abroad"),
    "number": NUMBERS[:3],
    "tenant": ("default", "other"),
}


def patterns(values: tuple[str, ...]) -> st.SearchStrategy[str]:
    value = st.sampled_from(values)
    return st.one_of(
        value,
        value.map(lambda text: text[:3] + "*"),
        value.map(lambda text: text[:-1] + "?"),
        value.map(lambda text: "*" + text[-2:]),
        st.just("*"),
    )


def few(strategy: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.one_of(st.just(()), st.lists(strategy, min_size=1, max_size=2).map(tuple))


consents = st.one_of(st.none(), st.sampled_from(list(ConsentMode)))
settings = st.builds(
    Settings,
    consent=consents,
    announcement=st.sampled_from([None, None, "acme", "suppress"]),
    announce_inbound=st.sampled_from([None, True, False]),
    announce_outbound=st.sampled_from([None, True, False]),
    reminder_s=st.sampled_from([None, 0, 15]),
    retention=st.sampled_from([None, "unlimited", "30 days"]),
    whisper=st.sampled_from([None, True, False]),
)
windows = st.builds(
    Window,
    days=st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
    from_minute=st.integers(0, 1439),
    to_minute=st.integers(1, 1440),
    holidays=st.sampled_from(list(OnHoliday)),
)
moments = st.datetimes(
    datetime(2026, 1, 1),  # noqa: DTZ001 - hypothesis wants them so
    datetime(2026, 12, 31),  # noqa: DTZ001
    timezones=st.just(UTC),
)


@st.composite
def rule_lists(draw: st.DrawFn) -> tuple[Rule, ...]:
    found = []
    for number in range(draw(st.integers(0, 7))):
        asked = draw(st.sets(st.sampled_from(sorted(NAMES)), max_size=2))
        criteria = {name: draw(few(patterns(NAMES[name]))) for name in asked}
        found.append(
            Rule(
                f"rule {number}",
                draw(st.sampled_from(list(Mode))),
                draw(settings),
                enabled=draw(st.sampled_from([True, True, True, False])),
                direction=draw(st.sampled_from([(), (), (Direction.INBOUND,)])),
                device=draw(st.sampled_from([(), (), (), (Device.MOBILE,)])),
                when=draw(st.one_of(st.just(()), st.tuples(windows))),
                valid_from=draw(st.one_of(st.none(), st.none(), moments)),
                valid_to=draw(st.one_of(st.none(), st.none(), moments)),
                **criteria,
            )
        )
    return tuple(found)


@st.composite
def peoples(draw: st.DrawFn) -> People:
    def one(*values: str) -> str:
        return draw(st.sampled_from(values))

    zone = one("UTC", "Europe/Stockholm")
    tenants = [
        Tenant(
            "default",
            draw(st.sampled_from([Switch.ON, Switch.ON, Switch.ON, Switch.OFF_NEW])),
            user_switch=draw(st.booleans()),
            concurrent_limit=draw(st.sampled_from([None, None, 0, 3])),
            time_zone=zone,
            holidays="SE",
        )
    ]
    if draw(st.booleans()):
        tenants.append(Tenant("other", Switch.ON))
    return People.of(
        tenants,
        sites=[Site("default", name) for name in SITES],
        departments=[Department("default", name, one("", *SITES)) for name in DEPARTMENTS],
        users=[
            User(
                "default",
                email,
                department=one("", *DEPARTMENTS),
                site=one("", *SITES),
                recording=draw(st.booleans()),
                profile=one("", "Lunch", "Abroad"),
            )
            for email in EMAILS
        ],
        profiles=[
            Profile("default", email, name, record_direct=draw(st.booleans()))
            for email in EMAILS
            for name in ("Lunch", "Abroad")
        ],
        lines=[
            Line("default", line, user=one("", *EMAILS), device=draw(st.sampled_from(list(Device))))
            for line in LINES[:3]
        ],
        ddis=[Ddi("default", number, one("", *SITES)) for number in DDIS[:2]],
        queues=[Queue("default", name, one("", *SITES), one("", *DEPARTMENTS)) for name in QUEUES],
    )


texts = st.builds(
    PolicyText,
    places=st.tuples(
        settings.map(lambda given: Place("tenant", "default", "", given)),
        settings.map(lambda given: Place("site", "default", "Berlin", given)),
        settings.map(lambda given: Place("department", "default", "Sales", given)),
    ),
    rules=rule_lists(),
    holidays=moments.map(lambda at: (Holiday(at.date()),)),
    excluded_numbers=few(patterns(NUMBERS[:3])),
)
policies = st.builds(lambda text, people: Policy("7", text, people=people), texts, peoples())
questions = st.builds(
    CallInQuestion,
    direction=st.sampled_from(list(Direction)),
    line=st.one_of(st.none(), st.sampled_from(LINES)),
    ddi=st.sampled_from(("", *DDIS)),
    queue=st.sampled_from(("", *QUEUES)),
    numbers=st.lists(st.sampled_from(NUMBERS), max_size=2).map(tuple),
    trunk=st.sampled_from([None, "", "trunk-a"]),
    at=moments,
    declined=st.sampled_from(["", "", "declined_by_caller"]),
    demanded=st.booleans(),
    running=st.sampled_from([None, lambda _: 0, lambda _: 3]),
)


def bare(decision: Decision) -> Decision:
    return replace(decision, explanation=Explanation())


@given(policies, questions)
def test_an_explanation_and_the_decision_agree(policy: Policy, call: CallInQuestion) -> None:
    """Looking at every rule comes to what the index comes to, and says so."""
    decided, explained = policy.decide(call), policy.decide(call, every=True)
    assert bare(decided) == bare(explained)
    assert decided.explanation.settings == explained.explanation.settings
    told = [step for step in decided.explanation.steps if step.result is not Tried.NO_MATCH]
    full = [step for step in explained.explanation.steps if step.result is not Tried.NO_MATCH]
    # Rules alike but for the people they name are tried once while nobody has answered.
    if call.line is not None:
        assert told == full
    assert_told(decided)
    assert_told(explained)


def assert_told(decision: Decision) -> None:
    """The last step that is no miss says what the decision is."""
    steps = decision.explanation.steps
    stopped = [step for step in steps if step.result is Tried.STOPPED]
    if decision.reason in ("rule", "concurrent_limit"):
        named = [s.detail for s in steps if s.result in (Tried.MATCHED, Tried.POSSIBLE)]
        assert decision.rule in named
        assert bool(stopped) == (decision.outcome is Outcome.LIMITED)
    elif decision.reason == "no_rule":
        assert not stopped
        assert not any(step.result is Tried.MATCHED for step in steps)
    else:
        assert [step.what for step in stopped] == [steps[-1].what]
    for item in decision.explanation.settings:
        assert item.origin


@given(policies, questions)
def test_an_excluded_number_is_never_recorded(policy: Policy, call: CallInQuestion) -> None:
    decision = policy.decide(call)
    listed = any(
        fnmatchcase(number, pattern)
        for number in call.numbers
        if number
        for pattern in policy.text.excluded_numbers
    )
    if listed:
        assert not decision.may_record
        assert decision.reason in ("excluded_number", "recording_off", "tenant_unknown")
    else:
        assert decision.reason != "excluded_number"


@given(policies, questions, rule_lists(), st.data())
def test_a_rule_below_the_one_that_matched_changes_nothing(
    policy: Policy, call: CallInQuestion, more: tuple[Rule, ...], data: st.DataObject
) -> None:
    decision = policy.decide(call, every=True)
    matched = any(s.result is Tried.MATCHED for s in decision.explanation.steps)
    rules = policy.text.rules
    names = [rule.name for rule in rules]
    tried = [s.detail.partition(":")[0] for s in decision.explanation.steps if s.what == "rule"]
    first = names.index(tried[-1]) + 1 if matched else len(rules)
    if decision.reason not in ("rule", "concurrent_limit") or not matched:
        return
    at = data.draw(st.integers(first, len(rules)))
    added = tuple(replace(rule, name=f"new {rule.name}") for rule in more)
    text = replace(policy.text, rules=(*rules[:at], *added, *rules[at:]))
    again = Policy("7", text, people=policy.people).decide(call, every=True)
    assert again == decision


@given(policies, questions)
def test_whoever_answers_is_asked_for_no_more_than_was_announced(
    policy: Policy, call: CallInQuestion
) -> None:
    """While nobody has answered the announcement asks as the strictest that may answer."""
    offered = policy.decide(replace(call, line=None))
    for line in LINES:
        answered = policy.decide(replace(call, line=line))
        if answered.may_record and call.queue and offered.reason in ("rule", "no_rule"):
            assert offered.may_record
            assert STRICTNESS.index(offered.consent) >= STRICTNESS.index(answered.consent)


@given(policies, questions)
def test_a_refusal_is_never_recorded(policy: Policy, call: CallInQuestion) -> None:
    assert not policy.decide(replace(call, declined="declined_by_caller")).may_record


@given(policies, questions, texts, st.booleans(), st.booleans())
def test_what_is_taken_over_from_the_policy_before_changes_nothing(
    before: Policy, call: CallInQuestion, text: PolicyText, rules: bool, excluded: bool
) -> None:
    if rules:
        text = replace(text, rules=before.text.rules)
    if excluded:
        text = replace(text, excluded_numbers=before.text.excluded_numbers)
    anew = Policy("8", text, people=before.people)
    before.decide(call)
    assert Policy("8", text, people=before.people, like=before).decide(call) == anew.decide(call)
