"""What is due, and why."""

from datetime import timedelta
from typing import Any

import pytest

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.retention.plan import (
    CallStanding,
    ClearCall,
    PruneRecording,
    plan,
    why_due,
)
from tests.storage.samples import START, a_call, a_recording, an_id, without_audio

S = RecordingState
ENDED = START + timedelta(seconds=65)
DAY = timedelta(days=1)
DUE = ENDED + 30 * DAY
BEFORE = DUE - timedelta(microseconds=1)


def standing(
    call: CallFacts, *recordings: RecordingFacts, related: tuple[RecordingFacts, ...] = ()
) -> CallStanding:
    return CallStanding(call, recordings, related)


@pytest.mark.parametrize("state", list(S))
def test_only_what_nobody_works_on_is_due(state: S) -> None:
    due = state in (S.STORED, S.INTERRUPTED, S.FAILED, S.DISCARDED, S.PRUNING)
    assert bool(why_due(a_recording(state=state), DUE)) is due
    assert bool(why_due(a_recording(state=state), BEFORE)) is (state is S.PRUNING)


@pytest.mark.parametrize(
    ("changes", "due"),
    [
        ({}, True),
        ({"delete_after": None, "retention_days": None}, False),
        ({"state": S.FAILED, "delete_after": None}, True),
        ({"state": S.DISCARDED, "delete_after": None, "retention_days": None}, False),
        ({"state": S.FAILED, "delete_after": None, "retention_days": 31}, False),
        ({"state": S.FAILED, "delete_after": None, "ended_at": None}, True),
        ({"state": S.INTERRUPTED, "audio_ms": None}, False),
    ],
)
def test_the_date_counts(changes: dict[str, Any], due: bool) -> None:
    assert bool(why_due(a_recording(**changes), DUE)) is due


def test_each_item_has_its_reason() -> None:
    recording, call = a_recording(), a_call()
    assert plan([recording], [standing(call, recording)], DUE, None) == (
        PruneRecording(recording, "kept for 30 days, until 2026-03-31 09:01 UTC"),
        ClearCall(call, (), (an_id(1),), "all its recordings are pruned"),
    )
    assert plan([recording], [standing(call, recording)], BEFORE, None) == ()


def test_a_call_is_kept_as_long_as_one_of_its_recordings() -> None:
    due, kept = a_recording(1), a_recording(2, a_call(1), delete_after=DUE + DAY)
    items = plan([due, kept], [standing(a_call(), due, kept)], DUE, 1)
    assert items == (PruneRecording(due, why_due(due, DUE)),)
    pruned = a_recording(1, state=S.PRUNED)
    assert plan([kept], [standing(a_call(), pruned, kept)], DUE, 1) == ()
    assert len(plan([kept], [standing(a_call(), pruned, kept)], DUE + DAY, None)) == 2


@pytest.mark.parametrize("state", [S.STARTING, S.RECORDING, S.CAPTURED, S.INTERRUPTED, S.PAUSED])
def test_a_recording_at_work_keeps_its_call(state: S) -> None:
    recording = a_recording(state=state, audio_ms=None)
    assert plan([recording], [standing(a_call(), recording)], DUE, 1) == ()


def test_what_failed_goes_with_the_call() -> None:
    due = a_recording(1)
    failed = without_audio(2, a_call(1), state=S.FAILED, retention_days=None, delete_after=None)
    _, clear = plan([due], [standing(a_call(), due, failed)], DUE, None)
    assert isinstance(clear, ClearCall)
    assert (clear.recordings, clear.after) == ((failed,), (an_id(1),))


@pytest.mark.parametrize("missing", ["size", "audio_ms"])
def test_what_failed_with_audio_keeps_its_call(missing: str) -> None:
    due = a_recording(1)
    nothing: dict[str, Any] = {missing: None}
    failed = a_recording(2, a_call(1), state=S.FAILED, delete_after=DUE + DAY, **nothing)
    assert plan([due], [standing(a_call(), due, failed)], DUE, 1) == (
        PruneRecording(due, why_due(due, DUE)),
    )
    pruned = a_recording(1, state=S.PRUNED)
    assert len(plan([failed], [standing(a_call(), pruned, failed)], DUE + DAY, None)) == 2


def test_calls_without_a_recording_are_cleared_by_age() -> None:
    call = a_call()
    assert plan([], [standing(call)], ENDED + 30 * DAY, None) == ()
    assert plan([], [standing(call)], ENDED + 7 * DAY - timedelta(microseconds=1), 7) == ()
    assert plan([], [standing(call)], ENDED + 7 * DAY, 7) == (
        ClearCall(call, (), (), "ended more than 7 days ago and has no recording"),
    )


def test_a_call_that_has_not_ended_is_left_alone() -> None:
    call = a_call(ended_at=None)
    pruned = a_recording(state=S.PRUNED)
    assert plan([], [standing(call, pruned)], DUE, 1) == ()


def test_merged_calls_are_cleared_when_none_of_them_has_a_recording_left() -> None:
    merged = a_call(1, merged_into=an_id(2, "c"))
    kept = a_recording(2, delete_after=DUE + DAY)
    assert plan([kept], [standing(merged, related=(kept,))], DUE, 1) == ()
    items = plan([kept], [standing(merged, related=(kept,))], DUE + DAY, None)
    assert items[1] == ClearCall(merged, (), (an_id(2),), "all its recordings are pruned")
