"""The agent's keys: pause and resume, start on demand, discard."""

import pytest

from callrec_pbx.domain import commands as c
from callrec_pbx.domain.facts import PauseFacts
from callrec_pbx.domain.words import ConsentMode, Mode, Notice
from tests.domain.scene import Scene, rule

CALL = """
    0    caller  offered inbound 301     -> ask none + whisper
    5    caller  bridged
    5    301     bridged                 -> start 301
    5    301     started
"""
DEMAND = """
    0    caller  offered inbound 301     -> ask none + whisper
    5    caller  bridged
    5    301     bridged
"""


def test_pause_and_resume_toggle() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        10   301     pressed pause           -> pause 301
        10.1 301     paused                  -> tell 301 paused
        20   301     pressed pause           -> resume 301
        20.2 301     resumed                 -> tell 301 resumed
        30   301     pressed pause           -> pause 301
        30   301     paused                  -> tell 301 paused
        40   301     hung up                 -> finish 301
        40   caller  hung up
        """
    )
    assert scene.recording("301").pauses == (
        PauseFacts(5100, 15200),
        PauseFacts(25000, 35000),
    )
    assert scene.recording("301").state == "captured"


def test_keys_faster_than_the_pbx() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        10   301     pressed pause           -> pause 301
        10   301     pressed pause           -> resume 301
        10   301     paused
        10   301     resumed                 -> tell 301 resumed
        11   301     pressed pause           -> pause 301
        11   301     pressed pause           -> resume 301
        11   301     pressed pause           -> pause 301
        11   301     paused                  -> tell 301 paused
        11   301     resumed
        11   301     paused
        """
    )
    assert scene.recording("301").state == "paused"


def test_pause_before_the_start_is_confirmed() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged                 -> start 301
        5    301     pressed pause           -> pause 301
        5.1  301     started
        5.2  301     paused                  -> tell 301 paused
        """
    )
    assert scene.recording("301").pauses == (PauseFacts(100),)


def test_a_pause_that_fails_stops_the_recording_for_good() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        10   301     pressed pause           -> pause 301
        15   301     failed pause timeout    -> stop 301, tell 301 refused
        15   301     stopped                 -> finish 301
        16   301     pressed pause           -> tell 301 refused
        17   302     bridged                 -> start 302
        18   301     bridged
        19   301     pressed start           -> start 301, tell 301 started
        """
    )
    first = scene.saved["id2"]
    assert (first.state, first.reason) == ("captured", "pause_failed")


def test_a_pause_taken_back_that_fails_stops_too() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        10   301     pressed pause           -> pause 301
        10   301     pressed pause           -> resume 301
        15   301     failed pause timeout    -> stop 301, tell 301 refused
        15   301     failed resume timeout
        """
    )


def test_a_resume_that_fails_stays_paused() -> None:
    scene = Scene(rule(resume_after_s=30))
    scene.play(CALL)
    scene.play(
        """
        10   301     pressed pause           -> pause 301
        10   301     paused                  -> timer 30, tell 301 paused
        15   301     pressed pause           -> resume 301, no timer
        20   301     failed resume timeout   -> timer 20, tell 301 paused
        """
    )
    assert (scene.recording("301").state, scene.recording("301").reason) == ("paused", "")


def test_a_pause_ends_by_itself() -> None:
    scene = Scene(rule(resume_after_s=30))
    scene.play(CALL)
    scene.play(
        """
        10   301     pressed pause           -> pause 301
        10   301     paused                  -> timer 30, tell 301 paused
        40   301     timer                   -> resume 301, no timer
        40   301     timer
        40   301     resumed
        """
    )
    assert scene.recording("301").pauses == (PauseFacts(5000, 35000),)


def test_a_hangup_ends_pause_and_timer() -> None:
    scene = Scene(rule(resume_after_s=30))
    scene.play(CALL)
    scene.play(
        """
        10   301     pressed pause           -> pause 301
        10   301     paused                  -> timer 30, tell 301 paused
        20   301     hung up                 -> finish 301, no timer
        """
    )
    assert scene.recording("301").pauses == (PauseFacts(5000, 15000),)


def test_somebody_else_pauses_on_the_pbx() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        10   301     paused
        20   301     resumed
        """
    )
    assert scene.recording("301").pauses == (PauseFacts(5000, 15000),)
    assert scene.recording("301").state == "recording"


def test_always_cannot_be_paused() -> None:
    scene = Scene(rule(Mode.ALWAYS))
    scene.play(CALL)
    scene.play("10  301  pressed pause  -> tell 301 refused")


def test_there_is_nothing_to_pause() -> None:
    scene = Scene(rule(Mode.NEVER))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none
        1    301     created
        1    301     pressed pause           -> tell 301 refused
        """
    )


def test_on_demand() -> None:
    scene = Scene(rule(Mode.ON_DEMAND))
    scene.play(DEMAND)
    scene.play(
        """
        9    301     pressed start           -> start 301, tell 301 started
        9    301     started
        9    301     pressed start           -> tell 301 refused
        20   301     hung up                 -> finish 301
        """
    )
    assert scene.recording("301").late_ms == 0


def test_on_demand_not_demanded() -> None:
    scene = Scene(rule(Mode.ON_DEMAND))
    scene.play(DEMAND)
    scene.play(
        """
        20   301     hung up
        20   caller  hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "not_demanded")]


def test_on_demand_still_needs_consent() -> None:
    scene = Scene(rule(Mode.ON_DEMAND, consent=ConsentMode.OPT_IN))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_in + whisper
        1    caller  unanswered
        5    caller  bridged
        5    301     bridged
        6    301     pressed start           -> tell 301 refused
        """
    )
    assert not scene.calls.legs["301"].demanded


def test_start_outside_a_conversation() -> None:
    scene = Scene(rule(Mode.ON_DEMAND))
    scene.play(
        """
        0    301     created
        1    301     pressed start           -> tell 301 refused
        2    301     bridged
        3    caller  bridged
        """
    )


def test_discard_deletes_every_recording_of_the_call_and_records_no_more() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        9    301     transferred blind 302
        9    caller  left
        9    301     hung up                 -> finish 301
        9    301     finished
        12   caller  bridged
        12   302     bridged                 -> start 302
        12   302     started
        20   302     pressed discard         -> delete 301, stop 302, tell 302 discarded
        20   302     stopped                 -> delete 302
        20   301     finished
        20   302     finished
        21   302     pressed start           -> tell 302 refused
        22   302     hung up
        23   303     bridged
        24   303     hung up
        24   caller  hung up
        """
    )
    assert scene.recordings() == [
        ("301", "discarded", "consent_withdrawn"),
        ("302", "discarded", "consent_withdrawn"),
    ]
    assert scene.recording("301").audio_ms is None
    assert scene.outcomes() == [("discarded", "consent_withdrawn")]
    (call,) = scene.calls.closed.values()
    (evidence,) = call.facts().consents
    assert (evidence.party, evidence.outcome, evidence.mode) == ("caller", "declined", "none")


def test_discard_keeps_what_was_played_in_the_evidence() -> None:
    scene = Scene(rule(consent=ConsentMode.OPT_OUT))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out
        5    caller  bridged
        5    301     bridged                 -> start 301
        9    301     pressed discard         -> stop 301, tell 301 discarded
        """
    )
    (evidence,) = scene.call().facts().consents
    assert (evidence.outcome, evidence.played_ms) == ("declined", 5000)


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ("", "stop 301"),
        ("10 301 pressed pause -> pause 301", "stop 301"),
        ("10 301 pressed pause -> pause 301\n11 301 paused -> tell 301 paused", "stop 301"),
        (
            "10 301 pressed pause -> pause 301\n11 301 pressed pause -> resume 301",
            "stop 301",
        ),
        ("10 301 silent disk_full -> stop 301", "delete 301"),
        ("10 301 stopped -> finish 301", "delete 301"),
        ("10 301 stopped -> finish 301\n11 301 finished", "delete 301"),
    ],
)
def test_discard_in_any_state(before: str, wanted: str) -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(before)
    scene.play(f"20  301  pressed discard  -> {wanted}, tell 301 discarded")


def test_discard_while_the_file_is_being_measured() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play("10  301  stopped  -> finish 301")
    late = scene.event(scene.recording("301").created_at, "301", ["finished"])
    scene.play("11  301  pressed discard  -> delete 301, tell 301 discarded")
    scene.give(late)
    scene.play("12  301  finished")
    recording = scene.calls.recordings["id2"]
    assert (recording.state, recording.reason) == ("discarded", "consent_withdrawn")


def test_an_internal_objection_is_held_without_an_outside_party() -> None:
    scene = Scene()
    scene.play(
        """
        0    301     offered internal 302    -> ask none + whisper
        1    301     bridged
        1    302     bridged                 -> start 301, start 302
        2    302     pressed discard         -> stop 301, stop 302, tell 302 discarded
        """
    )
    assert scene.call().facts().reason == "consent_withdrawn"


def test_keys_that_nobody_answered_in_time() -> None:
    """The dialplan has stopped the recording by itself."""
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        10   301     pressed pause           -> pause 301
        10   301     stopped                 -> finish 301
        10   301     stopped pause
        11   301     failed pause            -> tell 301 refused
        12   302     bridged                 -> start 302
        20   301     pressed pause           -> start 301, tell 301 resumed
        """
    )


def test_a_pause_offline_where_nothing_may_go_on() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        10   301     stopped pause           -> finish 301
        11   caller  left
        20   301     pressed pause           -> tell 301 refused
        """
    )


def test_an_objection_offline() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        10   301     stopped                 -> finish 301
        10   301     stopped discard         -> delete 301
        11   301     pressed start           -> tell 301 refused
        """
    )


@pytest.mark.parametrize(
    ("notice", "prompts"),
    [
        (Notice.BEEP, ["beep_paused", "beep_resumed"]),
        (Notice.ANNOUNCEMENT, ["paused", "resumed"]),
        (Notice.NONE, ["", ""]),
    ],
)
def test_how_a_key_is_confirmed(notice: Notice, prompts: list[str]) -> None:
    scene = Scene(rule(notice=notice, language="sv"))
    scene.play(CALL)
    scene.play(
        """
        10   301     pressed pause           -> pause 301
        10   301     paused                  -> tell 301 paused
        11   301     pressed pause           -> resume 301
        11   301     resumed                 -> tell 301 resumed
        """
    )
    answers = [command for command in scene.commands if isinstance(command, c.AnswerKey)]
    assert [answer.prompt for answer in answers] == prompts
    assert {answer.language for answer in answers} == {"sv"}


def test_a_refused_key_is_not_confirmed_by_a_beep() -> None:
    scene = Scene(rule(Mode.ALWAYS))
    scene.play(CALL)
    scene.play("10  301  pressed pause  -> tell 301 refused")
    assert isinstance(scene.commands[-1], c.AnswerKey)
    assert scene.commands[-1].prompt == ""


def test_a_key_on_a_leg_of_which_nothing_is_decided() -> None:
    scene = Scene()
    scene.play(
        """
        0    301     created
        0    301     pressed pause           -> tell 301 refused
        """
    )
    assert isinstance(scene.commands[-1], c.AnswerKey)
    assert scene.commands[-1].language == ""


def test_a_key_while_the_recording_is_being_stopped() -> None:
    scene = Scene(rule(consent=ConsentMode.OPT_OUT))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out
        5    caller  bridged
        5    301     bridged                 -> start 301
        9    third   bridged                 -> stop 301
        9    301     pressed pause           -> tell 301 refused
        """
    )


def test_a_discarded_call_is_over_when_its_audio_is_deleted() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        9    301     stopped                 -> finish 301
        9    301     finished
        10   301     pressed discard         -> delete 301, tell 301 discarded
        11   301     hung up
        11   caller  hung up
        """
    )
    assert scene.outcomes() == []
    scene.play("12  301  finished")
    assert scene.outcomes() == [("discarded", "consent_withdrawn")]
