"""Announcements that a rule or department suppresses, or a direction leaves out."""

from typing import Any

import pytest

from callrec_pbx.domain.people import Department, Line, People, Queue, Tenant, User
from callrec_pbx.domain.policy import CallInQuestion, Place, Policy, PolicyText, Settings
from callrec_pbx.domain.policy.settings import SUPPRESS
from callrec_pbx.domain.words import ConsentMode, Direction, Switch
from tests.rules import rule

INBOUND, OUTBOUND = Direction.INBOUND, Direction.OUTBOUND
ANNOUNCE = ConsentMode.ANNOUNCE
TOLD = ConsentMode.ANNOUNCE
NOT_TOLD = ConsentMode.NONE
ASKING = (ConsentMode.OPT_OUT, ConsentMode.OPT_IN)

PEOPLE = People.of(
    [Tenant("default", Switch.ON)],
    departments=[Department("default", "quiet"), Department("default", "sales")],
    users=[
        User("default", "q@x.se", department="quiet"),
        User("default", "s@x.se", department="sales"),
    ],
    lines=[
        Line("default", "301", user="q@x.se"),
        Line("default", "302", user="s@x.se"),
        Line("default", "303"),
    ],
    queues=[
        Queue("default", "support", department="quiet"),
        Queue("default", "orders", department="sales"),
    ],
)


def department(name: str, **settings: object) -> Place:
    return Place("department", "default", name, Settings(**settings))  # type: ignore[arg-type]


def tenant(**settings: object) -> Place:
    return Place("tenant", "default", "", Settings(**settings))  # type: ignore[arg-type]


QUIET = department("quiet", announcement=SUPPRESS)
ACME = tenant(announcement="acme")


def asked(
    policy: Policy, line: str | None, queue: str = "", direction: Direction = INBOUND
) -> ConsentMode:
    """What the other party is asked; recorded it is in any case."""
    decision = policy.decide(CallInQuestion(direction, line, queue=queue))
    assert decision.may_record
    return decision.consent


def policy(*places: Place, consent: ConsentMode | None = ANNOUNCE, **settings: object) -> Policy:
    rules = (rule("all", consent=consent, **settings),)
    return Policy("1", PolicyText(places=places, rules=rules), people=PEOPLE)


@pytest.mark.parametrize(
    ("line", "queue", "consent"),
    [
        ("301", "", NOT_TOLD),
        ("301", "support", NOT_TOLD),
        ("302", "", TOLD),
        ("302", "support", TOLD),
        ("303", "", TOLD),
        # While nobody has answered: somebody may who does not suppress it.
        (None, "", TOLD),
        (None, "orders", TOLD),
        (None, "support", TOLD),
    ],
)
def test_suppressed_in_a_department(line: str | None, queue: str, consent: ConsentMode) -> None:
    assert asked(policy(ACME, QUIET), line, queue) is consent


def test_who_is_told_in_place_of_the_department_hears_what_the_tenant_has() -> None:
    """The announcement is not lost with the one that the queue's department suppresses."""
    decision = policy(ACME, QUIET).decide(CallInQuestion(INBOUND, "302", queue="support"))
    assert decision.announcement == "acme"
    suppressed = policy(ACME, QUIET).decide(CallInQuestion(INBOUND, "301"))
    assert suppressed.announcement == ""
    last = suppressed.explanation.settings[-1]
    assert (last.setting, last.value, last.origin) == ("consent", "none", "announcement suppressed")


@pytest.mark.parametrize("queue", ["", "orders", "support"])
def test_suppressed_by_the_rule(queue: str) -> None:
    """A rule stands above every place: nobody is told, whoever answers."""
    found = policy(ACME, announcement=SUPPRESS)
    assert asked(found, None, queue) is NOT_TOLD
    assert asked(found, "302", queue) is NOT_TOLD


def test_a_rules_own_announcement_stands_above_a_department_that_suppresses() -> None:
    found = policy(ACME, QUIET, announcement="rule")
    assert asked(found, None, "support") is TOLD
    assert asked(found, "301") is TOLD
    # Also where only that department is to be told at all.
    quiet = department("quiet", announcement=SUPPRESS, consent=ANNOUNCE)
    nobody = tenant(consent=ConsentMode.NONE)
    found = policy(nobody, quiet, consent=None, announcement="rule")
    assert (asked(found, None), asked(found, "301"), asked(found, "302")) == (TOLD, TOLD, NOT_TOLD)
    found = policy(nobody, quiet, consent=None)
    assert (asked(found, None), asked(found, "301")) == (NOT_TOLD, NOT_TOLD)


@pytest.mark.parametrize("consent", ASKING)
def test_a_question_is_never_suppressed(consent: ConsentMode) -> None:
    off = tenant(announce_inbound=False, announce_outbound=False, announcement="acme")
    for found in (
        policy(off, QUIET, consent=consent),
        policy(off, QUIET, consent=consent, announcement=SUPPRESS),
    ):
        for line in ("301", "302", None):
            for direction in (INBOUND, OUTBOUND):
                assert asked(found, line, direction=direction) is consent


def test_a_department_that_asks_is_asked_for_though_another_suppresses() -> None:
    found = policy(
        QUIET, department("sales", consent=ConsentMode.OPT_IN), tenant(consent=ANNOUNCE),
        consent=None,
    )  # fmt: skip
    assert asked(found, None, "support") is ConsentMode.OPT_IN
    assert asked(found, "301") is NOT_TOLD
    assert asked(found, "302") is ConsentMode.OPT_IN
    assert asked(found, "303") is TOLD
    sales = department("sales", consent=ConsentMode.OPT_IN)
    found = policy(sales, tenant(consent=ANNOUNCE), consent=None, announcement=SUPPRESS)
    assert asked(found, None, "support") is ConsentMode.OPT_IN
    assert asked(found, "301") is NOT_TOLD


@pytest.mark.parametrize("line", ["302", None])
@pytest.mark.parametrize(
    ("inbound", "outbound"), [(None, None), (True, False), (False, True), (False, False)]
)
def test_a_direction_that_is_not_announced(
    inbound: bool | None, outbound: bool | None, line: str | None
) -> None:
    switched: dict[str, Any] = {"announce_inbound": inbound, "announce_outbound": outbound}
    for found in (policy(tenant(**switched)), policy(**switched)):
        assert asked(found, line) is (NOT_TOLD if inbound is False else TOLD)
        assert asked(found, line, direction=OUTBOUND) is (NOT_TOLD if outbound is False else TOLD)


def test_a_direction_that_one_department_does_not_announce() -> None:
    """It is announced while somebody of another may answer; a rule or department overrides."""
    sales = department("sales", announce_inbound=False)
    assert asked(policy(sales), "302") is NOT_TOLD
    assert asked(policy(sales), "301") is TOLD
    assert asked(policy(sales), None, "orders") is TOLD
    off = tenant(announce_inbound=False)
    again = department("sales", announce_inbound=True)
    assert asked(policy(off, again), "302") is TOLD
    assert asked(policy(off, again), "301") is NOT_TOLD
    assert asked(policy(off, again), None, "support") is TOLD
    assert asked(policy(off), None, "support") is NOT_TOLD
    assert asked(policy(off, announce_inbound=True), None, "support") is TOLD
