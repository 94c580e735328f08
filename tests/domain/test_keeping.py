"""How long a recording is kept, and tenants without room for more."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain.facts import Explanation, Inherited, RecordingFacts
from callrec_pbx.domain.people import Department, Line, People, Queue, Site, Tenant, User
from callrec_pbx.domain.plans import MAX_DAYS, UNLIMITED, Plan, PlanError, Unit, parse
from callrec_pbx.domain.policy import CallInQuestion, Place, Policy, PolicyText, Rule, Settings
from callrec_pbx.domain.policy.keeping import Plans
from callrec_pbx.domain.policy.settings import BUILT_IN
from callrec_pbx.domain.words import (
    ConsentMode,
    Direction,
    Mode,
    OnQuota,
    Outcome,
    Switch,
    Tried,
)
from tests.storage.samples import a_recording

LEVELS = ("rule", "user", "queue", "department", "site", "tenant")
PLANS = dict(zip(LEVELS, ("1 day", "2 days", "3 days", "4 days", "5 days", "6 days"), strict=True))
ORIGINS = {
    "rule": "rule all", "user": "user anna@x.se", "queue": "queue support",
    "department": "department Sales", "site": "site Oslo", "tenant": "tenant acme",
}  # fmt: skip
CALL = CallInQuestion(Direction.INBOUND, "301", queue="support")
ANNA = "anna@x.se"


def house(said: set[str], **tenant: object) -> Policy:
    """A tenant in which those levels have a plan, each another one."""
    plan = {level: PLANS[level] if level in said else "" for level in LEVELS}
    people = People.of(
        [replace(Tenant("acme", Switch.ON), **tenant)],  # type: ignore[arg-type]
        sites=[Site("acme", "Oslo")],
        departments=[Department("acme", "Sales", "Oslo")],
        users=[User("acme", ANNA, department="Sales", retention=plan["user"])],
        lines=[Line("acme", "301", user=ANNA)],
        queues=[Queue("acme", "support", retention=plan["queue"])],
    )
    settings = Settings(consent=ConsentMode.NONE, retention=plan["rule"] or None)
    places = [
        Place(kind, "acme", name, Settings(retention=plan[kind]))
        for kind, name in (("department", "Sales"), ("site", "Oslo"), ("tenant", ""))
        if plan[kind]
    ]
    text = PolicyText(tuple(places), (Rule("all", Mode.ALWAYS, settings),))
    return Policy("1", text, people=people, defaults=replace(BUILT_IN, retention="7 days"))


def recorded(policy: Policy) -> RecordingFacts:
    """A recording as that policy has it made."""
    decision = policy.decide(CALL)
    return a_recording(
        owner=decision.user,
        line="301",
        rule=decision.rule,
        tenant=decision.tenant,
        site=decision.site,
        department=decision.department,
        retention=decision.retention,
        explanation=decision.explanation,
    )


@given(st.sets(st.sampled_from(LEVELS)))
def test_the_first_level_that_says_it_counts_for_new_and_old(said: set[str]) -> None:
    policy = house(said)
    first = next((level for level in LEVELS if level in said), None)
    expected = Inherited(
        "retention", PLANS[first] if first else "7 days", ORIGINS[first] if first else "built in"
    )
    decision = policy.decide(CALL)
    assert expected in decision.explanation.settings
    assert decision.retention == expected.value
    assert Plans.of(policy).plan_of(recorded(house(set())), "support") == expected


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_gone_keeps_the_plan_it_gave(level: str) -> None:
    """A rule, user or place that is gone or renamed has said its last word."""
    made = recorded(house({level}))
    none = Policy("2", people=People.of([Tenant("other"), Tenant("third")]))
    assert Plans.of(none).plan_of(made, "support") is None
    moved = house(set(LEVELS) - {level})
    found = Plans.of(moved).plan_of(made, "support")
    assert found is not None, "it is there, and has no plan of its own any more"
    assert found.origin == ORIGINS[next(other for other in LEVELS if other != level)]


def test_of_a_recording_without_an_explanation_the_rule_must_be_there() -> None:
    made = replace(recorded(house({"tenant"})), explanation=Explanation())
    found = Plans.of(house({"site"})).plan_of(made, "")
    assert found is not None
    assert found.value == "5 days"
    assert Plans.of(house({"site"})).plan_of(replace(made, rule="gone"), "") is None


def test_a_tenant_without_room_stops() -> None:
    policy = house(set(), quota_gb=20, on_quota=OnQuota.STOP)
    full = replace(CALL, full=frozenset({"acme"}))
    decision = policy.decide(full)
    assert (decision.outcome, decision.reason) == (Outcome.LIMITED, "quota_full")
    assert (decision.consent, decision.whisper) == (ConsentMode.NONE, False)
    (step,) = (step for step in decision.explanation.steps if step.what == "quota")
    assert (step.result, step.detail) == (
        Tried.STOPPED, "acme: its recordings take all of 20 GB",
    )  # fmt: skip
    open_ = policy.decide(replace(CALL, full=frozenset({"another"})))
    assert open_.outcome is Outcome.RECORDED
    assert Tried.PASSED in [s.result for s in open_.explanation.steps if s.what == "quota"]


@given(st.sampled_from(Unit), st.integers(0, 100))
def test_a_plan_reads_back_and_is_never_over_before_it_began(unit: Unit, count: int) -> None:
    plan = Plan(count, unit if count else Unit.DAY)
    assert parse(str(plan)) == plan
    at = datetime(2026, 11, 30, 12, tzinfo=UTC)
    after, before = plan.after(at), plan.before(at)
    assert (after is None) == (before is None) == plan.unlimited
    if after is not None and before is not None:
        least = timedelta(days=count * {"day": 1, "month": 28, "year": 365}[unit])
        assert after - at >= least
        assert at - before >= least
        later = plan.after(at + timedelta(days=1))
        assert later is not None
        assert later >= after


@pytest.mark.parametrize(
    ("text", "plan"),
    [
        ("30 days", "30 days"), (" 3 Months", "3 months"), ("1 year", "1 year"), (90, "90 days"),
        ("90", "90 days"), ("Unlimited", UNLIMITED), ("2years", "2 years"), ("1 days", "1 day"),
    ],
)  # fmt: skip
def test_a_plan_is_read_as_people_write_it(text: str | int, plan: str) -> None:
    assert str(parse(text)) == plan


@pytest.mark.parametrize(
    "text", ["", "0", 0, -1, "ever", "1.5 years", "30 weeks", f"{MAX_DAYS + 1}", "01 day"]
)
def test_what_is_no_plan_is_refused_with_the_remedy(text: str | int) -> None:
    with pytest.raises(PlanError, match=r"retention .*; write .30 days."):
        parse(text)


def test_three_months_after_the_last_of_november_is_the_last_of_february() -> None:
    at = datetime(2026, 11, 30, 12, tzinfo=UTC)
    assert parse("3 months").after(at) == datetime(2027, 2, 28, 12, tzinfo=UTC)
