"""Every pair of state and input is either in a table, or ignored here for a reason."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from itertools import product

import pytest

from callrec_pbx.domain import call as calls
from callrec_pbx.domain import consent
from callrec_pbx.domain import recording as recordings
from callrec_pbx.domain.commands import SaveRecording
from callrec_pbx.domain.facts import Decision
from callrec_pbx.domain.recording import Do, Input, Recording
from callrec_pbx.domain.words import CallState, Consent, Outcome
from callrec_pbx.domain.words import RecordingState as S

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
I = Input  # noqa: E741

RUNNING = {S.STARTING, S.RECORDING, S.PAUSING, S.PAUSED, S.RESUMING, S.STOPPING, S.DISCARDING}
BEFORE_STOP = RUNNING - {S.STOPPING, S.DISCARDING}
GONE = {S.PRUNING, S.PRUNED}

Reason = str
Ignored = list[tuple[Reason, Iterable[S], Iterable[Input]]]

RECORDING_IGNORED: Ignored = [
    ("confirmed before", [S.RECORDING, S.PAUSED], [I.STARTED]),
    ("confirmed before, so it was done after all", [S.RECORDING, S.PAUSED], [I.START_FAILED]),
    ("nothing was asked for yet", [S.STARTING], [I.PAUSED, I.RESUMED, I.RESUME_FAILED]),
    ("no pause is under way", [S.STARTING, S.RECORDING], [I.PAUSE_FAILED]),
    ("it is running already", [S.STARTING, S.RECORDING], [I.RESUME_WANTED]),
    ("it is running already", [S.RECORDING], [I.RESUMED, I.RESUME_FAILED]),
    ("as was thought", [S.RECORDING], [I.ADOPTED]),
    ("of an earlier press; the latest key counts", [S.PAUSING], [I.RESUMED, I.RESUME_FAILED]),
    ("asked for or done already", [S.PAUSING, S.PAUSED], [I.PAUSE_WANTED]),
    ("paused already", [S.PAUSED], [I.PAUSED]),
    ("no resume is under way", [S.PAUSED], [I.RESUME_FAILED]),
    ("asked for already", [S.RESUMING], [I.RESUME_WANTED]),
    ("no stop is under way", BEFORE_STOP, [I.STOP_FAILED]),
    ("it is to end, keys change nothing", [S.STOPPING, S.DISCARDING],
     [I.PAUSE_WANTED, I.RESUME_WANTED]),
    ("it is to end, so paused or not no longer counts", [S.STOPPING, S.DISCARDING],
     [I.PAUSED, I.PAUSE_FAILED, I.RESUMED, I.RESUME_FAILED]),
    ("it is to end already", [S.STOPPING, S.DISCARDING], [I.STOP_WANTED]),
    ("it is to end, whatever is in it", [S.STOPPING, S.DISCARDING], [I.AUDIO_MISSING]),
    ("asked for already", [S.DISCARDING], [I.DISCARD_WANTED]),
    ("the file is not closed yet", RUNNING, [I.STORED, I.SPOILED]),
    ("it is over", recordings.OVER,
     [I.STARTED, I.START_FAILED, I.PAUSE_WANTED, I.PAUSED, I.PAUSE_FAILED, I.RESUME_WANTED,
      I.RESUMED, I.RESUME_FAILED, I.STOP_WANTED, I.AUDIO_MISSING]),
    ("it was closed before", recordings.OVER - {S.FAILED},
     [I.ENDED, I.STOP_FAILED, I.PBX_DIED]),
    ("the PBX that wrote it is dead", [S.INTERRUPTED], [I.ADOPTED]),
    ("measured before", [S.STORED], [I.STORED, I.SPOILED]),
    ("stays what it is, with what was measured", [S.FAILED, S.INTERRUPTED], [I.STORED]),
    ("stays what it is", [S.FAILED], [I.SPOILED]),
    ("there is no audio any more", [S.DISCARDED], [I.STORED, I.SPOILED, I.DISCARD_WANTED]),
    ("retention has it; it has no leg", GONE,
     [I.STORED, I.SPOILED, I.DISCARD_WANTED, I.ADOPTED]),
    ("retention has it; it has no leg", [S.PRUNING], list(Input)),
]  # fmt: skip

CONSENT_IGNORED: list[tuple[Reason, Iterable[Consent], Iterable[str]]] = [
    ("being asked already", [Consent.ASKING], [consent.ASK]),
    ("asked before, once is enough",
     [Consent.ACCEPTED, Consent.DECLINED, Consent.NO_ANSWER], [consent.ASK]),
    ("nobody is being asked",
     [Consent.UNASKED, Consent.ANNOUNCED, Consent.ACCEPTED, Consent.DECLINED, Consent.NO_ANSWER],
     [consent.CANNOT_ASK]),
    ("the first answer counts, but for a refusal",
     [Consent.ANNOUNCED, Consent.ACCEPTED, Consent.NO_ANSWER],
     ["announced", "accepted", "no_answer"]),
    ("a refusal is final", [Consent.DECLINED],
     ["announced", "accepted", "declined", "no_answer"]),
    ("agreed before", [Consent.ACCEPTED], [consent.MENU_ACCEPTED]),
    ("a refusal is final", [Consent.DECLINED], [consent.MENU_ACCEPTED]),
    ("a word of rules and reports, never of a party", [Consent.NOT_REQUIRED],
     [consent.ASK, consent.CANNOT_ASK, consent.MENU_ACCEPTED,
      "announced", "accepted", "declined", "no_answer"]),
]  # fmt: skip

CALL_IGNORED: list[tuple[Reason, Iterable[CallState], Iterable[str]]] = [
    ("talking already", [CallState.TALKING], ["bridged"]),
    ("refused, talking or not", [CallState.REFUSED], ["bridged"]),
    ("refused already", [CallState.REFUSED], ["refused"]),
    ("an outcome is given once", [CallState.ENDED], ["bridged", "refused", "ended"]),
]


def check(
    table: Iterable[tuple[object, object]],
    ignored: list[tuple[Reason, Iterable[object], Iterable[object]]],
    states: Iterable[object],
    inputs: Iterable[object],
) -> None:
    """Fail for a pair that is in neither, and for one that is in both."""
    listed = set(table)
    skipped = {pair for _, some, what in ignored for pair in product(some, what)}
    everything = set(product(states, inputs))
    assert not everything - listed - skipped, "neither in the table nor ignored"
    assert not listed & skipped, "ignored, yet in the table"
    assert not (listed | skipped) - everything, "not a pair at all"


def test_recording_table() -> None:
    check(recordings.TABLE, list(RECORDING_IGNORED), S, Input)


def test_consent_table() -> None:
    reports = (Consent.ANNOUNCED, Consent.ACCEPTED, Consent.DECLINED, Consent.NO_ANSWER)
    inputs = [consent.ASK, consent.CANNOT_ASK, consent.MENU_ACCEPTED]
    inputs += [report.value for report in reports]
    check(consent.TABLE, list(CONSENT_IGNORED), Consent, inputs)


def test_call_table() -> None:
    check(calls.TABLE, list(CALL_IGNORED), CallState, ["bridged", "refused", "ended"])


def made(state: S) -> Recording:
    """A recording in that state."""
    return Recording(
        recording_id="r",
        call_id="c",
        leg="l",
        channel="PJSIP/301-1",
        owner="301",
        decision=Decision(Outcome.RECORDED, "rule"),
        created_at=AT,
        bridged_at=AT,
        state=state,
        ended_at=AT if state in recordings.OVER else None,
    )


@pytest.mark.parametrize(("state", "input_"), sorted(product(S, Input)))
def test_each_pair_does_what_the_table_says(state: S, input_: Input) -> None:
    recording = made(state)
    commands = recording.take(input_, AT + timedelta(seconds=2), "why")
    entry = recordings.TABLE.get((state, input_))
    if entry is None:
        assert (recording.state, recording.reason, commands) == (state, "", [])
        return
    after, todo = entry
    assert recording.state is after
    assert isinstance(commands[0], SaveRecording)
    assert (recording.ended_at is not None) == (after in recordings.OVER)
    sent = {type(command).__name__ for command in commands[1:]}
    expected: dict[Do, str] = {
        Do.SEND_PAUSE: "PauseRecording",
        Do.SEND_RESUME: "ResumeRecording",
        Do.SEND_STOP: "StopRecording",
        Do.CHECK_AUDIO: "CheckAudio",
        Do.FINISH: "FinishRecording",
        Do.DISCARD: "DiscardAudio",
    }
    assert sent == {expected[do] for do in todo if do in expected}
    for command in commands:
        assert command.recording.state is after  # type: ignore[union-attr]


def reachable(start: S, step: Callable[[S], Iterable[S]]) -> set[S]:
    """All states that can be reached."""
    found, new = {start}, [start]
    while new:
        new = [state for old in new for state in step(old) if state not in found]
        found |= set(new)
    return found


def test_every_state_is_reached_but_those_of_retention() -> None:
    def following(state: S) -> list[S]:
        return [after for (before, _), (after, _) in recordings.TABLE.items() if before is state]

    assert reachable(S.STARTING, following) == set(S) - GONE


@pytest.mark.parametrize("state", sorted(RUNNING))
def test_whatever_runs_ends_with_its_leg_and_with_its_pbx(state: S) -> None:
    for input_ in (I.ENDED, I.PBX_DIED):
        after, todo = recordings.TABLE[state, input_]
        assert after in recordings.OVER
        assert set(todo) & {Do.FINISH, Do.DISCARD}


@pytest.mark.parametrize("state", sorted(BEFORE_STOP))
def test_whatever_runs_can_be_stopped_and_discarded(state: S) -> None:
    assert recordings.TABLE[state, I.STOP_WANTED] == (S.STOPPING, (Do.SEND_STOP,))
    assert recordings.TABLE[state, I.DISCARD_WANTED] == (S.DISCARDING, (Do.SEND_STOP,))
