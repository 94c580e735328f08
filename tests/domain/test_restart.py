"""The listener is restarted, the link was cut, the PBX died: what is known and what is so agree."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from callrec_pbx.domain import commands as c
from callrec_pbx.domain import events as e
from callrec_pbx.domain.calls import Calls
from callrec_pbx.domain.facts import CallFacts, PauseFacts, RecordingFacts
from callrec_pbx.domain.policy import Policy
from callrec_pbx.domain.words import (
    Consent,
    ConsentMode,
    Direction,
    Mode,
    Outcome,
    RecordingState,
)
from tests import rules
from tests.domain.scene import START, Scene, in_short, rule, who

NOW = START + timedelta(minutes=5)
CALL = """
    0    caller  created
    0    caller  offered inbound 301     -> ask none + whisper
    1    301     created
    5    caller  bridged
    5    301     bridged                 -> start 301
    5    301     started
"""


def seen(name: str, bridge: str = "b", **more: Any) -> e.LegSeen:
    """A leg of a snapshot."""
    leg = e.LegSeen(who(name), START, bridge)
    return replace(leg, **more)


def offer(name: str, direction: Direction, line: str | None) -> e.CallOffered:
    """An offer that the PBX still remembers."""
    return e.CallOffered(START, who(name), direction, line, "", "", line or "")


def snapshot(*legs: e.LegSeen, **more: Any) -> e.SnapshotTaken:
    """All that the PBX has."""
    return replace(e.SnapshotTaken(NOW, legs), **more)


def open_call(scene: Scene) -> CallFacts:
    """The call as its sidecar has it: what was saved last."""
    saved = [command.call for command in scene.commands if isinstance(command, c.SaveCall)]
    return saved[-1]


def restarted(scene: Scene) -> Scene:
    """The same configuration, a new process."""
    again = Scene(*scene.policy.text.rules, excluded=scene.policy.text.excluded_numbers)
    again.count = 100
    return again


def running(scene: Scene, state: RecordingState = RecordingState.RECORDING) -> RecordingFacts:
    """The sidecar of leg 301's recording, in that state."""
    return replace(scene.recording("301"), state=state)


def both(recording: str = "id2", **more: Any) -> tuple[e.LegSeen, e.LegSeen]:
    """Caller and agent in conversation, as the PBX has them."""
    return seen("caller"), seen("301", recording=recording, **more)


@pytest.mark.parametrize(
    ("state", "found", "commands"),
    [
        (RecordingState.STARTING, "id2", ""),
        (RecordingState.STARTING, "", "start 301"),
        (RecordingState.RECORDING, "id2", ""),
        (RecordingState.RECORDING, "", "finish 301, start 301"),
        (RecordingState.RECORDING, "other", "finish 301, start 301"),
        (RecordingState.PAUSING, "id2", "pause 301"),
        (RecordingState.PAUSED, "id2", "pause 301"),
        (RecordingState.RESUMING, "id2", "resume 301"),
        (RecordingState.STOPPING, "id2", "stop 301"),
        (RecordingState.STOPPING, "", "finish 301, start 301"),
        (RecordingState.DISCARDING, "id2", "stop 301"),
        (RecordingState.DISCARDING, "", "delete 301"),
        (RecordingState.CAPTURED, "", "finish 301, start 301"),
        (RecordingState.CAPTURED, "id2", "stop 301"),
        (RecordingState.INTERRUPTED, "", "finish 301, start 301"),
        (RecordingState.STORED, "id2", "stop 301"),
        (RecordingState.FAILED, "id2", "stop 301"),
        (RecordingState.FAILED, "", "finish 301, start 301"),
        (RecordingState.DISCARDED, "", "delete 301"),
        (RecordingState.DISCARDED, "id2", "stop 301"),
    ],
)
def test_a_new_listener_adopts(state: RecordingState, found: str, commands: str) -> None:
    before = Scene()
    before.play(CALL)
    scene = restarted(before)
    discard = state in (RecordingState.DISCARDING, RecordingState.DISCARDED)
    call = replace(open_call(before), reason="consent_withdrawn" if discard else "")
    event = snapshot(*both(found), unfinished=(running(before, state),), open_calls=(call,))
    assert ", ".join(scene.give(event)) == commands
    assert {known.call_id for known in scene.calls.calls.values()} == {"id1"}


def test_what_it_starts_anew_is_marked_late() -> None:
    before = Scene()
    before.play("0  caller  offered inbound 301  -> ask none + whisper")
    scene = restarted(before)
    assert scene.give(snapshot(*both(""), open_calls=(open_call(before),))) == ["start 301"]
    scene.play("301  301  started")
    assert scene.recording("301").late_ms == 301_000
    scene.play(
        """
        302  301     hung up                 -> finish 301
        302  caller  hung up
        303  301     finished
        """
    )
    assert scene.outcomes() == [("recorded", "started_late")]


def test_what_was_late_before_stays_late() -> None:
    before = Scene()
    before.play(CALL)
    scene = restarted(before)
    late = replace(running(before), late_ms=2000)
    scene.give(snapshot(*both(), unfinished=(late,), open_calls=(open_call(before),)))
    assert scene.calls.recordings["id2"].late_ms == 2000


def test_a_paused_recording_is_resumed_by_the_agents_next_key() -> None:
    before = Scene()
    before.play(CALL)
    scene = restarted(before)
    paused = replace(running(before, RecordingState.PAUSED), pauses=(PauseFacts(1000),))
    event = snapshot(*both(), unfinished=(paused,), open_calls=(open_call(before),))
    assert scene.give(event) == ["pause 301"]
    scene.play(
        """
        301  301     paused
        305  301     pressed pause           -> resume 301
        305  301     resumed                 -> tell 301 resumed
        """
    )
    assert scene.recording("301").pauses == (PauseFacts(1000, 300_000),)


def test_a_pause_that_ends_by_itself_does_so_after_a_restart_too() -> None:
    before = Scene(rule(resume_after_s=400))
    before.play(CALL)
    scene = restarted(before)
    paused = replace(running(before, RecordingState.PAUSED), pauses=(PauseFacts(5000),))
    event = snapshot(*both(), unfinished=(paused,), open_calls=(open_call(before),))
    assert scene.give(event) == ["pause 301", "timer 110"]


def test_a_pause_that_should_have_ended_ends_now() -> None:
    before = Scene(rule(resume_after_s=30))
    before.play(CALL)
    scene = restarted(before)
    paused = replace(running(before, RecordingState.PAUSED), pauses=(PauseFacts(5000),))
    event = snapshot(*both(), unfinished=(paused,), open_calls=(open_call(before),))
    assert scene.give(event) == ["pause 301", "timer 0"]


def test_a_recording_on_demand_goes_on() -> None:
    before = Scene(rule(Mode.ON_DEMAND))
    before.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged
        6    301     pressed start           -> start 301, tell 301 started
        """
    )
    scene = restarted(before)
    event = snapshot(*both(), unfinished=(running(before),), open_calls=(open_call(before),))
    assert scene.give(event) == []


def test_an_internal_recording_with_consent_goes_on() -> None:
    before = Scene(rule(consent=ConsentMode.OPT_OUT))
    before.play(
        """
        0    301     offered internal 302    -> ask opt_out + whisper
        5    301     heard opt_out
        6    302     bridged
        6    301     bridged                 -> start 302, start 301
        """
    )
    scene = restarted(before)
    legs = (
        seen("302", recording="id2"),
        seen("301", recording="id3", offer=offer("301", Direction.INTERNAL, "302")),
    )
    event = snapshot(
        *legs, unfinished=tuple(before.saved.values()), open_calls=(open_call(before),)
    )
    assert scene.give(event) == []
    assert all(r.state is RecordingState.RECORDING for r in scene.calls.recordings.values())


def test_what_the_sidecars_know_of_legs_is_kept() -> None:
    before = Scene(rule(consent=ConsentMode.OPT_OUT))
    before.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        4    301     created
        4.5  301     whispered
        5    caller  heard opt_out
        5    301     bridged
        5    caller  bridged                 -> start 301
        """
    )
    scene = restarted(before)
    scene.give(snapshot(*both(), unfinished=(running(before),), open_calls=(open_call(before),)))
    legs = {leg.leg: leg for leg in scene.call().facts().legs}
    assert legs["301"].whispered_at == START + timedelta(seconds=4.5)
    assert legs["301"].bridged_at == START + timedelta(seconds=5)
    assert scene.calls.legs["caller"].consent is Consent.ANNOUNCED
    assert scene.call().decision is not None
    assert scene.call().facts().rule == "anything"


def test_the_pbx_remembers_offer_and_consent() -> None:
    """The listener was killed before it could write anything."""
    scene = Scene(rule(consent=ConsentMode.OPT_OUT))
    report = scene.event(START, "caller", ["heard", "opt_out"])
    assert isinstance(report, e.ConsentReported)
    offered = replace(offer("caller", Direction.INBOUND, "301"), queue="sales")
    asked = seen("caller", offer=offered, consent=report)
    assert scene.give(snapshot(asked, seen("301"))) == ["start 301"]
    facts = scene.call().facts()
    assert facts.queue == "sales"
    assert (facts.direction, facts.a_number, facts.rule) == ("inbound", "+46caller", "anything")
    assert facts.consents[0].outcome is Consent.ANNOUNCED


@pytest.mark.parametrize(
    ("mode", "report", "reason"),
    [
        (ConsentMode.OPT_OUT, "heard opt_out key=*", "declined"),
        (ConsentMode.OPT_IN, "heard opt_in", "no_answer"),
    ],
)
def test_a_refusal_is_held(mode: ConsentMode, report: str, reason: str) -> None:
    before = Scene(rule(line=("302",)), rule(consent=mode))
    before.play(
        f"""
        0    caller  offered inbound 301     -> ask {mode.value} + whisper
        5    caller  {report}
        """
    )
    scene = restarted(before)
    assert scene.give(snapshot(*both(""), open_calls=(open_call(before),))) == []
    scene.play(
        """
        310  302     bridged
        320  302     hung up
        320  301     hung up
        320  caller  hung up
        """
    )
    assert scene.outcomes() == [("declined", reason)]


def test_an_objection_is_held_and_its_work_finished() -> None:
    before = Scene()
    before.play(CALL)
    before.play("9  301  pressed discard  -> stop 301, tell 301 discarded")
    scene = restarted(before)
    event = snapshot(*both(), unfinished=(running(before),), open_calls=(open_call(before),))
    assert scene.give(event) == ["stop 301"]
    scene.play(
        """
        301  301     stopped                 -> delete 301
        301  301     finished
        305  301     hung up
        305  caller  hung up
        """
    )
    assert scene.outcomes() == [("discarded", "consent_withdrawn")]


def test_the_leg_hung_up_meanwhile() -> None:
    before = Scene()
    before.play(CALL)
    scene = restarted(before)
    event = snapshot(
        seen("caller", ""), unfinished=(running(before),), open_calls=(open_call(before),)
    )
    assert scene.give(event) == ["finish 301"]
    scene.play(
        """
        301  301     finished
        310  caller  hung up
        """
    )
    assert scene.outcomes() == [("recorded", "rule")]
    (call,) = scene.calls.closed.values()
    assert all(leg.ended_at is not None for leg in call.facts().legs)


@pytest.mark.parametrize(
    ("state", "wanted"),
    [
        (RecordingState.RECORDING, "finish 301"),
        (RecordingState.PAUSED, "finish 301"),
        (RecordingState.CAPTURED, "finish 301"),
        (RecordingState.INTERRUPTED, "finish 301"),
        (RecordingState.DISCARDING, "delete 301"),
    ],
)
def test_everybody_hung_up_meanwhile(state: RecordingState, wanted: str) -> None:
    before = Scene()
    before.play(CALL)
    scene = restarted(before)
    event = snapshot(unfinished=(running(before, state),), open_calls=(open_call(before),))
    assert scene.give(event) == [wanted]
    scene.play("301  301  finished")
    assert len(scene.outcomes()) == 1
    assert not scene.calls.calls


def test_the_pbx_died_and_so_did_the_listener() -> None:
    before = Scene()
    before.play(CALL)
    scene = restarted(before)
    died = snapshot(
        unfinished=(running(before),),
        open_calls=(open_call(before),),
        pbx_started_at=START + timedelta(minutes=1),
    )
    assert scene.give(died) == ["finish 301"]
    scene.play("301  301  finished")
    assert scene.recordings() == [("301", "interrupted", "")]
    assert scene.outcomes() == [("recorded", "interrupted")]


def test_the_pbx_died_under_a_listener_that_lives() -> None:
    scene = Scene()
    scene.play(CALL)
    assert scene.give(snapshot(pbx_started_at=START + timedelta(minutes=1))) == ["finish 301"]
    scene.play("301  301  finished")
    assert scene.outcomes() == [("recorded", "interrupted")]


def test_a_call_on_a_pbx_that_has_not_died() -> None:
    scene = Scene()
    scene.play(CALL)
    assert scene.give(snapshot(pbx_started_at=START - timedelta(minutes=1))) == ["finish 301"]
    assert scene.recordings() == [("301", "captured", "")]


def test_the_link_was_cut_and_nothing_happened() -> None:
    scene = Scene()
    scene.play(CALL)
    assert scene.give(snapshot(*both())) == []
    assert scene.give(snapshot(*both())) == []
    scene.play(
        """
        310  301     hung up                 -> finish 301
        310  caller  hung up
        310  301     finished
        """
    )
    assert scene.outcomes() == [("recorded", "rule")]


def test_legs_moved_while_the_link_was_cut() -> None:
    scene = Scene()
    scene.play(CALL)
    event = snapshot(
        seen("caller", "c"), seen("302", "c"), seen("303@9", "d"), seen("301", "", recording="id2")
    )
    assert scene.give(event) == ["start 302"]
    assert scene.calls.legs["301"].bridge == ""
    assert "b" not in scene.calls.bridges


def test_calls_were_merged_while_the_link_was_cut() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        9    301b@2  offered internal 302    -> ask none + whisper
        12   301b@2  bridged c
        12   302@2   bridged c               -> start 301b, start 302
        """
    )
    event = snapshot(
        seen("caller", "c"), seen("302@1", "c", recording=scene.recording("302").recording_id)
    )
    assert scene.give(event) == ["finish 301", "finish 301b"]
    assert len(scene.calls.calls) == 1
    assert scene.recording("302").call_id == "id1"


def test_a_stop_that_was_lost_with_the_link_is_asked_for_again() -> None:
    scene = Scene(rule(consent=ConsentMode.OPT_OUT))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out
        5    caller  bridged
        5    301     bridged                 -> start 301
        6    caller  heard opt_out key=*     -> stop 301
        7    301     failed stop link_lost   -> finish 301
        8    301     finished
        """
    )
    assert scene.give(snapshot(*both())) == ["stop 301"]
    scene.play(
        """
        301  301     stopped                 -> finish 301
        """
    )
    assert scene.give(snapshot(*both())) == []


def test_a_start_that_was_lost_with_the_link_is_made_good() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged                 -> start 301
        6    301     failed start link_lost  -> stop 301
        6    301     failed stop link_lost   -> finish 301
        6    301     finished failed no_audio
        """
    )
    assert scene.give(snapshot(*both())) == ["stop 301"]
    scene.play("301  301  stopped  -> finish 301, start 301")


def test_keys_pressed_while_nobody_listened() -> None:
    before = Scene()
    before.play(CALL)
    facts = {"unfinished": (running(before),), "open_calls": (open_call(before),)}
    paused = restarted(before)
    assert paused.give(snapshot(*both(offline_pause=True), **facts)) == ["finish 301"]
    paused.play("305  301  pressed pause  -> start 301, tell 301 resumed")
    discarded = restarted(before)
    legs = both(offline_discard=True)
    assert discarded.give(snapshot(*legs, **facts)) == ["finish 301", "delete 301"]
    assert discarded.give(snapshot(*legs)) == []
    discarded.play("305  301  pressed start  -> tell 301 refused")


def test_a_failed_pause_is_not_forgotten() -> None:
    before = Scene()
    before.play(CALL)
    before.play(
        """
        10   301     pressed pause           -> pause 301
        15   301     failed pause timeout    -> stop 301, tell 301 refused
        """
    )
    scene = restarted(before)
    event = snapshot(
        *both(), unfinished=(before.recording("301"),), open_calls=(open_call(before),)
    )
    assert scene.give(event) == ["stop 301"]
    scene.play("301  301  stopped  -> finish 301")


def test_passive_calls_are_found_again_without_a_sidecar_of_their_own() -> None:
    before = Scene()
    before.play(
        """
        0    caller  created
        1    301     bridged
        1    caller  bridged                 -> start 301
        """
    )
    scene = restarted(before)
    assert scene.give(snapshot(*both("id2"), unfinished=(running(before),))) == []
    (call,) = scene.calls.calls.values()
    assert (call.direction, call.a_number) == ("inbound", "+46caller")
    assert scene.recording("301").call_id == call.call_id
    scene.play(
        """
        310  301     hung up                 -> finish 301
        310  caller  hung up
        310  301     finished
        """
    )
    assert scene.outcomes() == [("recorded", "rule")]


def test_a_call_saved_as_ended_keeps_its_outcome() -> None:
    before = Scene()
    before.play(CALL)
    before.play(
        """
        9    301     hung up                 -> finish 301
        9    caller  hung up
        """
    )
    captured = before.recording("301")
    before.play("9  301  finished")
    ended = open_call(before)
    assert ended.outcome is Outcome.RECORDED
    scene = restarted(before)
    assert scene.give(snapshot(unfinished=(captured,), open_calls=(ended,))) == ["finish 301"]
    scene.play("301  301  finished failed no_audio")
    assert [call.facts().outcome for call in scene.calls.closed.values()] == [Outcome.RECORDED]


def test_finished_recordings_of_an_open_call_count() -> None:
    before = Scene()
    before.play(CALL)
    before.play(
        """
        9    caller  left
        9    301     hung up                 -> finish 301
        9    301     finished
        """
    )
    scene = restarted(before)
    facts = {"unfinished": (before.recording("301"),), "open_calls": (open_call(before),)}
    assert scene.give(snapshot(seen("caller", ""), **facts)) == ["finish 301"]
    scene.play(
        """
        301  301     finished
        310  caller  hung up
        """
    )
    assert scene.outcomes() == [("recorded", "rule")]


def test_a_second_snapshot_restores_nothing_twice() -> None:
    before = Scene()
    before.play(CALL)
    scene = restarted(before)
    event = snapshot(*both(), unfinished=(running(before),), open_calls=(open_call(before),))
    assert scene.give(event) == []
    assert scene.give(event) == []
    assert len(scene.call().recordings) == 1


def test_two_unfinished_recordings_of_one_leg() -> None:
    """The first was closed for an offline pause; killed before it was measured."""
    before = Scene()
    before.play(CALL)
    before.play(
        """
        10   301     stopped pause           -> finish 301
        20   301     pressed pause           -> start 301, tell 301 resumed
        """
    )
    scene = restarted(before)
    event = snapshot(
        *both("id3"), unfinished=tuple(before.saved.values()), open_calls=(open_call(before),)
    )
    assert scene.give(event) == ["finish 301"]
    leg = scene.calls.legs["301"]
    assert leg.recording is not None
    assert (leg.recording.recording_id, leg.recording.state) == ("id3", RecordingState.RECORDING)


def test_a_leg_seen_again_after_its_hangup_lives() -> None:
    scene = Scene()
    scene.play(
        """
        0    301     created
        0    302     created
        1    301     hung up
        """
    )
    scene.give(snapshot(seen("301", ""), seen("302", "")))
    scene.play(
        """
        301  301     bridged
        301  302     bridged                 -> start 301, start 302
        """
    )


def test_nothing_at_all() -> None:
    scene = Scene()
    assert [in_short(command) for command in scene.calls.handle(snapshot())] == []
    assert isinstance(scene.calls, Calls)


def test_what_is_as_it_was_is_not_saved_again() -> None:
    before = Scene()
    before.play("0  caller  offered inbound 301  -> ask none + whisper")
    scene = restarted(before)
    event = snapshot(seen("caller", ""), open_calls=(open_call(before),))
    assert scene.calls.handle(event) == []


@pytest.mark.parametrize(("found", "wanted"), [("id2", "stop 301"), ("", "finish 301, start 301")])
def test_a_failed_recording_whose_stop_was_not_answered(found: str, wanted: str) -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play("13  301  silent  -> stop 301")
    assert ", ".join(scene.give(snapshot(*both(found)))) == wanted


def test_a_start_that_was_not_answered() -> None:
    """The recorder drops the link then, and says nothing."""
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged                 -> start 301
        """
    )
    assert scene.give(snapshot(*both(""))) == ["start 301"]
    assert scene.give(snapshot(*both("id2"))) == []
    assert scene.recording("301").state == "recording"


def test_an_objection_to_a_failed_recording_whose_stop_was_not_answered() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        13   301     silent                  -> stop 301
        14   301     pressed discard         -> delete 301, tell 301 discarded
        """
    )
    assert scene.give(snapshot(*both())) == ["stop 301"]
    scene.play("301  301  stopped  -> delete 301")
    assert scene.give(snapshot(*both())) == []


def test_a_failed_recording_whose_pbx_died_before_the_stop_was_answered() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play("13  301  silent disk_full  -> stop 301")
    assert scene.give(snapshot(pbx_started_at=START + timedelta(minutes=1))) == ["finish 301"]
    scene.play("301  301  finished")
    assert scene.outcomes() == [("failed", "disk_full")]


def test_who_is_found_in_one_bridge_is_in_one_call() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play("9  302@2  created")
    assert scene.give(snapshot(seen("caller", "c"), seen("302@2", "c"))) == [
        "finish 301",
        "start 302",
    ]
    assert len(scene.calls.calls) == 1


def test_the_line_of_an_offer_decides_after_a_restart_too() -> None:
    before = Scene(rule(Mode.NEVER, line=("302",)), rule())
    before.play("0  caller  offered inbound 302  -> ask none")
    scene = restarted(before)
    ringing = seen("caller", "", offer=offer("caller", Direction.INBOUND, "302"))
    scene.give(snapshot(replace(ringing), open_calls=()))
    decision = scene.call().decision
    assert decision is not None
    assert decision.outcome is Outcome.NOT_SELECTED


def test_what_runs_goes_on_whatever_the_policy_says_by_now() -> None:
    """A new version came while nobody listened: what it decided runs on, what begins does not."""
    before = Scene()
    before.play(CALL)
    after = restarted(before)
    after.calls.policy = rules.policy(rules.rule("no", Mode.NEVER))
    left = snapshot(*both(), open_calls=(open_call(before),), unfinished=(running(before),))
    assert after.give(left) == []
    after.play("20  caller  left\n21  caller  bridged")
    assert after.recordings() == [("301", "recording", "")]


def test_the_line_and_the_decision_of_an_offer_before_the_restart() -> None:
    first = rule(line=("301",), voicemail=True, consent=ConsentMode.NONE)
    before = Scene(first)
    before.play("0  caller  offered inbound 301  -> ask none + whisper")
    known = open_call(before)
    after = restarted(before)
    after.calls.policy = Policy("8", before.policy.text)
    there = seen("caller", "", offer=offer("caller", Direction.INBOUND, "301"))
    after.give(snapshot(there, open_calls=(known,)))
    call = after.call()
    assert call.line == "301"
    assert call.facts().policy_version == "7"
    assert call.facts().explanation == known.explanation
    after.play("3  caller  voicemail  -> start caller")
