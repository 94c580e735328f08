"""What changes around a call that is under way, and what of it concerns that call."""

import gc
import weakref
from datetime import UTC, datetime

from callrec_pbx.domain import events as e
from callrec_pbx.domain.people import Line, People, Profile, Tenant, User
from callrec_pbx.domain.policy import CallInQuestion, Policy, PolicyText
from callrec_pbx.domain.words import (
    Consent,
    ConsentMode,
    Direction,
    Mode,
    OnQuota,
    Outcome,
    Switch,
)
from tests.domain.scene import START, Scene
from tests.rules import policy, rule

NOW = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)
TALK = """
    0    caller  offered inbound 301     -> ask none + whisper
    6    caller  bridged
    6    301     bridged                 -> start 301
    6.1  301     started
"""


def test_a_new_version_is_for_calls_that_begin_after_it() -> None:
    scene = Scene(rule("anything"))
    scene.play("0  caller  offered inbound 301  -> ask none + whisper")
    assert scene.calls.adopt(policy(rule("no", Mode.NEVER)), NOW) == []
    scene.play(
        """
        6    caller  bridged
        6    301     bridged                     -> start 301
        7    other@2 offered inbound 302         -> ask none
        8    other@2 bridged b2
        8    302@2   bridged b2
        """
    )
    assert [call.decision.rule for call in scene.calls.calls.values() if call.decision] == [
        "anything",
        "no",
    ]


def test_an_agent_who_consults_another_queue() -> None:
    """The consult is part of the call for the PBX; what runs came by the first queue."""
    scene = Scene(
        rule("support", queue=("support",)), rule("billing", Mode.NEVER, queue=("billing",))
    )
    scene.play(
        """
        0    caller  offered inbound - queue=support   -> ask none + whisper
        6    caller  bridged
        6    301     bridged                           -> start 301
        6.1  301     started
        9    301     left
        10   local   offered internal - queue=billing  -> ask none
        11   local   bridged b2
        11   301     bridged b2
        15   301     left b2
        16   301     bridged
        """
    )
    assert scene.recordings() == [("301", "recording", "")]


def abroad(*, direct: bool) -> People:
    return People.of(
        [Tenant("default", Switch.ON)],
        users=[User("default", "anna@x.se")],
        profiles=[Profile("default", "anna@x.se", "Lunch", record_direct=direct)],
        lines=[Line("default", "301", user="anna@x.se")],
    )


def test_a_profile_is_for_calls_that_begin_after_the_switch() -> None:
    scene = Scene()
    scene.calls.policy = Policy("1", PolicyText(rules=(rule("all"),)), people=abroad(direct=False))
    scene.play("0  caller  offered inbound 301  -> ask none + whisper")
    lunch = Profile("default", "anna@x.se", "Lunch", record_direct=False)
    scene.calls.handle(e.ProfileSwitched(NOW, lunch))
    scene.play(
        """
        6    caller  bridged
        6    301     bridged                     -> start 301
        6.1  301     started
        8    third   bridged
        9    other@2 offered inbound 301         -> ask none
        """
    )
    reasons = [call.decision.reason for call in scene.calls.calls.values() if call.decision]
    assert reasons == ["rule", "profile"]


def test_what_was_announced_stays_so_while_the_party_is_asked_for_more() -> None:
    scene = Scene(
        rule("told", line=("301",), consent=ConsentMode.ANNOUNCE),
        rule("asked", line=("302",), consent=ConsentMode.OPT_OUT),
    )
    scene.play(
        """
        0    caller  offered inbound 301  -> ask announce + whisper
        5    caller  heard announce
        6    caller  bridged
        6    301     bridged              -> start 301
        6.1  301     started
        7    caller  left
        7    301     left
        7    caller  offered inbound 302  -> ask opt_out + whisper
        8    caller  unanswered
        9    caller  bridged
        9    301     bridged
        """
    )
    assert scene.recordings() == [("301", "recording", "")]
    assert scene.call().live["caller"].consent is Consent.UNASKED


def test_a_limited_call_stays_limited() -> None:
    """A place that becomes free in mid-call changes nothing: nobody was told."""
    limited = People.of([Tenant("default", Switch.ON, concurrent_limit=1)])
    scene = Scene()
    scene.calls.policy = Policy("1", PolicyText(rules=(rule("all"),)), people=limited)
    scene.play(TALK)
    scene.play(
        """
        7    other@2 offered inbound 302         -> ask none
        8    other@2 bridged b2
        8    302@2   bridged b2
        9    301     hung up                     -> finish 301
        10   302@2   left b2
        11   302@2   bridged b2
        """
    )
    (call,) = (call for call in scene.calls.calls.values() if "other" in call.live)
    assert [h.outcome for h in call.skipped.values()] == [Outcome.LIMITED]


def test_what_runs_goes_on_when_there_is_no_room_left() -> None:
    scene = Scene()
    people = People.of([Tenant("default", Switch.ON, quota_gb=1, on_quota=OnQuota.STOP)])
    scene.calls.policy = Policy("1", PolicyText(rules=(rule("all"),)), people=people)
    scene.play(TALK)
    scene.calls.full = frozenset({"default"})
    scene.play(
        """
        7    other@2 offered inbound 302         -> ask none
        8    other@2 bridged b2
        8    302@2   bridged b2
        """
    )
    assert scene.recordings() == [("301", "recording", "")]
    (call,) = (call for call in scene.calls.calls.values() if "other" in call.live)
    assert {h.reason for h in call.skipped.values()} == {"quota_full"}


def test_recordings_that_are_over_do_not_count_for_the_limit() -> None:
    limited = People.of([Tenant("default", Switch.ON, concurrent_limit=1)])
    scene = Scene()
    scene.calls.policy = Policy("1", PolicyText(rules=(rule("all"),)), people=limited)
    scene.play(TALK)
    assert scene.calls.running("default") == 1
    scene.play("9  301  hung up  -> finish 301")
    assert scene.calls.running("default") == 0


def test_closed_calls_do_not_keep_old_policies() -> None:
    scene = Scene()
    old = weakref.ref(scene.calls.policy)
    scene.policy = policy(rule("new"))
    scene.play(TALK)
    scene.calls.adopt(scene.policy, NOW)
    scene.play("9  301  hung up  -> finish 301\n9  caller  hung up\n9.1  301  finished")
    assert len(scene.calls.closed) == 1
    gc.collect()
    assert old() is None


def test_a_tenant_that_is_not_to_be_found_is_not_off() -> None:
    """The line is nobody's, and the tenant has another name by now."""
    before = People.of([Tenant("acme", Switch.ON), Tenant("other", Switch.ON)])
    after = People.of([Tenant("acme2", Switch.ON), Tenant("other", Switch.OFF_NOW)])
    old = Policy("1", PolicyText(rules=(rule("all"),)), people=before)
    decision = old.decide(CallInQuestion(Direction.INBOUND, "777"))
    assert not Policy("2", PolicyText(), people=after).is_off_now(decision, "777")


def test_an_outbound_call_whose_trunk_is_not_chosen_yet() -> None:
    """The first rule may match; the second must, over any other trunk."""
    rules = (
        rule("own trunk", trunk=("trunk-a",)),
        rule("others", consent=ConsentMode.OPT_OUT),
    )
    asked = CallInQuestion(Direction.OUTBOUND, "301", numbers=("+4670",), trunk=None)
    decision = policy(*rules).decide(asked)
    assert (decision.rule, decision.consent) == ("own trunk", ConsentMode.OPT_OUT)


def test_the_number_dialled_is_known_with_the_first_offer_that_has_it() -> None:
    scene = Scene(rule("board", Mode.NEVER, ddi=("468",)), rule("rest"))
    scene.play(
        """
        0    caller  offered inbound - queue=ivr   -> ask none + whisper
        2    caller  offered inbound 301 ddi=468   -> ask none
        """
    )
    facts = scene.call().facts()
    assert (facts.ddi, facts.queue, facts.rule) == ("468", "ivr", "board")
    assert facts.started_at == START
