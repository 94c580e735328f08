"""Recordings that fail, and what the call's outcome says of them."""

from datetime import timedelta

import pytest

from callrec_pbx.domain import commands as c
from callrec_pbx.domain.words import ConsentMode, Mode, OnTrouble
from tests.domain.scene import START, Scene, rule

CALL = """
    0    caller  offered inbound 301     -> ask none + whisper
    5    caller  bridged
    5    301     bridged                 -> start 301
"""
HANG_UP = rule(on_failure=OnTrouble.HANG_UP)


def test_a_start_that_fails() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        6    301     failed start disk_full  -> stop 301
        6    301     failed stop pbx_refused -> finish 301
        6    301     finished
        9    301     hung up                 -> finish 301
        9    caller  hung up
        """
    )
    assert scene.outcomes() == []
    scene.play("9  301  finished")
    assert scene.recordings() == [("301", "failed", "disk_full")]
    assert scene.outcomes() == [("failed", "disk_full")]


def test_a_start_that_fails_ends_the_call_where_that_is_wanted() -> None:
    scene = Scene(HANG_UP)
    scene.play(CALL)
    scene.play(
        """
        6    301     failed start disk_full  -> stop 301, hang up 2
        7    301     failed start disk_full
        """
    )
    (command,) = (found for found in scene.commands if isinstance(found, c.HangUpCall))
    assert command.channels == ("PJSIP/trunk-caller", "PJSIP/301-301")
    assert (command.prompt, command.language) == ("unavailable", "en")


def test_no_audio_arrives() -> None:
    scene = Scene(HANG_UP)
    scene.play(CALL)
    scene.play(
        """
        5    301     started
        13   301     silent                  -> stop 301, hang up 2
        13   301     silent
        14   301     stopped                 -> finish 301
        14   301     finished
        20   301     hung up                 -> finish 301
        20   301     finished
        20   caller  hung up
        """
    )
    assert scene.outcomes() == [("failed", "no_audio")]


@pytest.mark.parametrize("trouble", ["failed start leg_gone", "silent disk_full"])
def test_a_call_is_not_ended_for_a_recording_that_was_not_to_go_on(trouble: str) -> None:
    scene = Scene(rule(consent=ConsentMode.OPT_OUT, on_failure=OnTrouble.HANG_UP))
    scene.play(
        f"""
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out
        5    caller  bridged
        5    301     bridged                 -> start 301
        6    caller  heard opt_out key=*     -> stop 301
        7    301     {trouble}
        """
    )


def test_the_leg_is_gone_before_its_failure_is_known() -> None:
    scene = Scene(HANG_UP)
    scene.play(CALL)
    scene.play(
        """
        5.1  301     hung up                 -> finish 301
        5.2  301     failed start leg_gone
        """
    )


@pytest.mark.parametrize("refused", ["leg_gone", "pbx_refused"])
def test_a_refused_start_is_why_there_is_no_audio(refused: str) -> None:
    """Whichever of the answer and the hangup the PBX tells of first."""
    scene = Scene()
    scene.play(CALL)
    scene.play(
        f"""
        9    301     hung up                 -> finish 301
        9    301     failed start {refused}
        9    301     finished failed no_audio
        9    caller  hung up
        """
    )
    assert scene.recordings() == [("301", "failed", refused)]
    assert scene.outcomes() == [("failed", refused)]


def test_a_recording_that_has_audio_was_begun() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        9    301     hung up                 -> finish 301
        9    301     failed start pbx_refused
        9    301     finished
        """
    )
    assert scene.recordings() == [("301", "stored", "")]


def test_a_failed_recording_is_not_begun_again_before_it_is_closed() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        6    301     failed start timeout    -> stop 301
        7    302     bridged                 -> start 302
        8    301     stopped                 -> finish 301
        9    303     bridged                 -> start 301, start 303
        """
    )


def test_a_stop_that_fails_has_ended_as_far_as_can_be_told() -> None:
    scene = Scene(rule(consent=ConsentMode.OPT_OUT))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out
        5    caller  bridged
        5    301     bridged                 -> start 301
        6    caller  heard opt_out key=*     -> stop 301
        7    301     failed stop timeout     -> finish 301
        """
    )
    assert scene.recordings() == [("301", "captured", "declined")]


def test_failures_of_nothing() -> None:
    scene = Scene()
    scene.play(CALL)
    failed = scene.event(scene.recording("301").created_at, "301", ["failed", "start"])
    silent = scene.event(scene.recording("301").created_at, "301", ["silent"])
    finished = scene.event(scene.recording("301").created_at, "301", ["finished"])
    scene.play(
        """
        6    301     hung up                 -> finish 301
        6    caller  hung up
        6    301     finished
        """
    )
    assert scene.give(failed) == scene.give(silent) == scene.give(finished) == []


def test_a_call_too_short_to_be_recorded_has_not_failed() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        5.2  301     hung up                 -> finish 301
        5.2  caller  hung up
        5.3  301     failed start leg_gone
        5.3  301     finished failed leg_gone
        """
    )
    assert scene.outcomes() == [("not_selected", "no_conversation")]


def test_talk_without_a_recording_has_failed() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        9    301     hung up                 -> finish 301
        9    caller  hung up
        9    301     finished failed no_audio
        """
    )
    assert scene.outcomes() == [("failed", "no_audio")]


def test_a_late_start() -> None:
    scene = Scene()
    scene.play(CALL)
    scene.play(
        """
        7.5  301     started
        9    301     hung up                 -> finish 301
        9    caller  hung up
        9    301     finished
        """
    )
    assert scene.recording("301").late_ms == 2500
    assert scene.outcomes() == [("recorded", "started_late")]


def test_one_of_two_legs_missed() -> None:
    scene = Scene(rule(consent=ConsentMode.NONE, line=("301",)), rule(consent=ConsentMode.OPT_IN))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    301     bridged                 -> start 301
        6    302     bridged
        9    301     hung up                 -> finish 301
        9    301     finished
        9    302     hung up
        9    caller  hung up
        """
    )
    assert scene.outcomes() == [("recorded", "partly_missed")]


def test_nobody_answers() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        1    301     created
        20   301     hung up
        20   caller  hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "no_conversation")]


def test_an_excluded_number() -> None:
    scene = Scene(excluded=("+46caller",))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none
        1    301     created
        20   301     hung up
        20   caller  hung up
        """
    )
    assert scene.outcomes() == [("excluded", "excluded_number")]


def test_an_excluded_number_that_talks() -> None:
    scene = Scene(excluded=("+46caller",))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none
        5    caller  bridged
        5    301     bridged
        20   301     hung up
        20   caller  hung up
        """
    )
    assert scene.outcomes() == [("excluded", "excluded_number")]


def test_no_rule_wants_it() -> None:
    scene = Scene(rule(ddi=("49*",)))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none
        5    caller  bridged
        5    301     bridged
        20   301     hung up
        20   caller  hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "no_rule")]


def test_no_leg_to_record() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        5    caller  bridged
        5    callee  bridged
        20   callee  hung up
        20   caller  hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "no_recordable_leg")]


def test_a_decision_against_recording_with_no_leg_to_record() -> None:
    scene = Scene(rule(Mode.NEVER))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none
        5    caller  bridged
        5    callee  bridged
        20   callee  hung up
        20   caller  hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "rule")]


def test_the_account_balances() -> None:
    """Every call is in it once; `limited` awaits a limit on recordings at one time."""
    scene = Scene(
        rule(Mode.NEVER, line=("302",)),
        rule(consent=ConsentMode.OPT_OUT),
        excluded=("+46doctor",),
    )
    for number, (leg, line, asked, ends) in enumerate(
        [
            ("a", "301", "heard opt_out", ["finished"]),
            ("b", "301", "heard opt_out key=*", []),
            ("doctor", "301", "created", []),
            ("d", "302", "created", []),
            ("e", "301", "heard opt_out", ["failed start x", "finished"]),
            ("f", "301", "created", []),
            ("g", "301", "heard opt_out", ["pressed discard", "finished"]),
        ]
    ):
        caller, agent = f"{leg}@{number}", f"{line}{leg}@{number}"
        rows = [
            f"{caller} offered inbound {line}",
            f"{caller} {asked}",
            f"{caller} bridged b{number}",
            f"{agent} bridged b{number}",
            *(f"{agent} {end}" for end in ends if end != "finished"),
            f"{agent} hung up",
            f"{caller} hung up",
            *(f"{agent} {end}" for end in ends if end == "finished"),
        ]
        for second, row in enumerate(rows):
            name, *words = row.split()
            scene.give(scene.event(START + timedelta(seconds=second), name, words))
    assert not scene.calls.calls
    assert [outcome for outcome, _ in scene.outcomes()] == [
        "recorded",
        "declined",
        "excluded",
        "not_selected",
        "failed",
        "missed",
        "discarded",
    ]
