"""Whose a call is, and what may be asked while nobody has answered it."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from callrec_pbx.domain.people import (
    Ddi,
    Line,
    People,
    Profile,
    Queue,
    Site,
    Tenant,
    User,
)
from callrec_pbx.domain.policy import CallInQuestion, Place, Policy, PolicyText, Settings, Window
from callrec_pbx.domain.words import ConsentMode, Direction, Outcome, Switch
from tests.domain.scene import Scene
from tests.rules import rule

ON = Switch.ON
INBOUND = CallInQuestion(Direction.INBOUND, None, queue="support")


def test_an_extension_belongs_to_the_tenant_whose_number_was_dialled() -> None:
    people = People.of(
        [Tenant("a", ON), Tenant("b", Switch.OFF_NEW)],
        lines=[Line("a", "301"), Line("b", "301", endpoint="b-301")],
        ddis=[Ddi("b", "+468")],
    )
    found = people.line_of("301", "b")
    assert found is not None
    assert found.endpoint == "b-301"
    policy = Policy("1", PolicyText(rules=(rule("all"),)), people=people)
    offered = CallInQuestion(Direction.INBOUND, "301", ddi="+468")
    assert policy.decide(offered).reason == "recording_off"
    assert policy.decide(replace(offered, ddi="")).tenant == "a"
    # The PBX's own word for the leg is the line, whoever's number brought the call.
    assert policy.decide(replace(offered, endpoint=True)).tenant == "a"
    assert policy.decide(replace(offered, line="b-301", endpoint=True)).tenant == "b"


def test_a_line_of_nobody_with_a_number_of_somebody() -> None:
    people = People.of(
        [Tenant("a", ON), Tenant("b", ON)], lines=[Line("a", "301")], ddis=[Ddi("b", "+468")]
    )
    policy = Policy("1", PolicyText(rules=(rule("all"),)), people=people)
    assert policy.decide(CallInQuestion(Direction.INBOUND, "301", ddi="+468")).tenant == "b"
    assert policy.decide(CallInQuestion(Direction.INBOUND, "999")).reason == "tenant_unknown"


def test_patterns_of_endpoints_by_what_they_begin_with() -> None:
    lines = [Line("a", str(n), endpoint=f"dev{n}-*") for n in range(1, 3000)]
    people = People.of([Tenant("a", ON)], lines=[*lines, Line("a", "9", endpoint="*-last")])
    found = people.line_of("dev2999-abc")
    assert found is not None
    assert found.extension == "2999"
    last = people.line_of("x-last")
    assert last is not None
    assert last.extension == "9"
    assert people.line_of("dev0-abc") is None


@pytest.mark.parametrize("renamed", [False, True])
def test_off_at_once_reaches_a_tenant_that_was_renamed(renamed: bool) -> None:
    people = People.of([Tenant("old", ON)], lines=[Line("old", "301")])
    policy = Policy("1", PolicyText(rules=(rule("all"),)), people=people)
    scene = Scene()
    scene.calls.policy = policy
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        6    caller  bridged
        6    301     bridged                 -> start 301
        6.1  301     started
        """
    )
    name = "new" if renamed else "old"
    off = People.of([Tenant(name, Switch.OFF_NOW)], lines=[Line(name, "301")])
    assert scene.calls.running("old") == 1
    after = Policy("2", policy.text, people=off)
    assert scene.calls.adopt(after, datetime(2026, 3, 1, 9, 1, tzinfo=UTC))
    assert scene.calls.running(name) == 1  # until the PBX has stopped


def office(*rules: object) -> Policy:
    """A tenant by UTC whose site in New York answers, too."""
    people = People.of(
        [Tenant("default", ON, time_zone="UTC")],
        sites=[Site("default", "New York", time_zone="America/New_York")],
        users=[User("default", "ny@example.com", site="New York")],
        lines=[Line("default", "301", user="ny@example.com")],
        queues=[Queue("default", "support")],
    )
    return Policy("1", PolicyText(rules=rules), people=people)  # type: ignore[arg-type]


HOURS = (Window(from_minute=8 * 60, to_minute=17 * 60),)
OPEN_IN_NEW_YORK = datetime(2026, 3, 4, 20, tzinfo=UTC)


def test_hours_of_a_site_that_may_answer() -> None:
    """Nobody knows whose clock will count: asked as if the window were open."""
    policy = office(rule("hours", when=HOURS, consent=ConsentMode.OPT_OUT))
    offered = policy.decide(replace(INBOUND, at=OPEN_IN_NEW_YORK))
    assert (offered.outcome, offered.consent) == (Outcome.RECORDED, ConsentMode.OPT_OUT)
    answered = replace(INBOUND, at=OPEN_IN_NEW_YORK, line="301", endpoint=True)
    assert policy.decide(answered).consent is ConsentMode.OPT_OUT
    assert policy.decide(replace(answered, line="302")).reason == "no_rule"
    night = policy.decide(replace(INBOUND, at=OPEN_IN_NEW_YORK.replace(hour=23)))
    assert night.reason == "no_rule"


def test_hours_do_not_hide_what_counts_outside_them() -> None:
    policy = office(
        rule("hours", when=HOURS), rule("else", consent=ConsentMode.OPT_IN), rule("never reached")
    )
    offered = policy.decide(replace(INBOUND, at=OPEN_IN_NEW_YORK))
    assert (offered.rule, offered.consent) == ("hours", ConsentMode.OPT_IN)


def test_many_rules_for_people_cost_little_while_nobody_has_answered() -> None:
    """All that differs among them is who: as many places as there may be, one is looked at."""
    people = People.of([Tenant("default", ON)])
    rules = tuple(
        rule(
            f"rule {n}", user=(f"u{n}@x.se",), reminder_s=10 + n % 80, consent=ConsentMode.ANNOUNCE
        )
        for n in range(2000)
    )
    places = tuple(
        Place("department", "default", f"d{n}", Settings(announcement=f"own{n}"))
        for n in range(200)
    )
    policy = Policy("1", PolicyText(rules=rules, places=places), people=people)
    decision = policy.decide(INBOUND)
    assert decision.consent is ConsentMode.ANNOUNCE
    tried = [step for step in decision.explanation.steps if step.what == "rule"]
    assert len(tried) == 1


def test_a_queue_call_that_is_handed_on_is_a_direct_one_for_the_next() -> None:
    people = People.of(
        [Tenant("default", ON)],
        users=[User("default", "anna@x.se", profile="Abroad")],
        profiles=[Profile("default", "anna@x.se", "Abroad", record_direct=False)],
        lines=[Line("default", "301"), Line("default", "302", user="anna@x.se")],
    )
    scene = Scene()
    scene.calls.policy = Policy(
        "1", PolicyText(rules=(rule("queues", queue=("*",)),)), people=people
    )
    scene.play(
        """
        0    caller  offered inbound - queue=support   -> ask none + whisper
        1    caller  bridged
        1    301     bridged                           -> start 301
        1.1  301     started
        5    301     hung up                           -> finish 301
        6    caller  offered inbound 302               -> ask none
        7    caller  bridged
        7    302     bridged
        """
    )
    (call,) = scene.calls.calls.values()
    assert [(h.outcome, h.reason) for h in call.skipped.values()] == [
        (Outcome.NOT_SELECTED, "profile")
    ]
