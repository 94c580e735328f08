"""What is due, and why."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.retention.plan import (
    CallStanding,
    ClearCall,
    Due,
    Reason,
    clearing,
    due,
)
from tests.storage.samples import START, a_call, a_recording, an_id, without_audio

S = RecordingState
ENDED = START + timedelta(seconds=65)
DAY = timedelta(days=1)
DUE = ENDED + 30 * DAY
BEFORE = DUE - timedelta(microseconds=1)


def clear(standing: CallStanding, now: datetime, call_days: int | None) -> ClearCall | None:
    """What is cleared after all that is due has been pruned."""
    return clearing(standing, lambda one: due(one, now) is not None, now, call_days)


def standing(
    call: CallFacts, *recordings: RecordingFacts, related: tuple[RecordingFacts, ...] = ()
) -> CallStanding:
    return CallStanding(call, recordings, related)


@pytest.mark.parametrize("state", list(S))
def test_only_what_nobody_works_on_is_due(state: S) -> None:
    over = state in (S.STORED, S.INTERRUPTED, S.FAILED, S.DISCARDED, S.PRUNING)
    assert bool(due(a_recording(state=state), DUE)) is over
    assert bool(due(a_recording(state=state), BEFORE)) is (state is S.PRUNING)


@pytest.mark.parametrize(
    ("changes", "is_due"),
    [
        ({}, True),
        ({"delete_after": None, "retention": "unlimited"}, False),
        ({"state": S.FAILED, "delete_after": None}, True),
        ({"state": S.DISCARDED, "delete_after": None, "retention": "unlimited"}, False),
        ({"state": S.FAILED, "delete_after": None, "retention": "31 days"}, False),
        ({"state": S.FAILED, "delete_after": None, "ended_at": None}, True),
        ({"state": S.INTERRUPTED, "audio_ms": None}, False),
    ],
)
def test_the_date_counts(changes: dict[str, Any], is_due: bool) -> None:
    assert bool(due(a_recording(**changes), DUE)) is is_due


def test_each_item_has_its_reason() -> None:
    recording, call = a_recording(), a_call()
    why = "kept for 30 days, until 2026-03-31 09:01 UTC"
    assert due(recording, DUE) == Due(Reason.RETENTION, why)
    cleared = ClearCall(call, (), "all its recordings are pruned")
    assert clear(standing(call, recording), DUE, None) == cleared
    assert clear(standing(call, recording), BEFORE, None) is None


def test_what_somebody_asked_for_is_due_at_its_time() -> None:
    asked = a_recording(
        deletion_at=BEFORE, deletion_by="jane", deletion_why="ticket", retention="unlimited"
    )
    assert due(asked, BEFORE) == Due(Reason.MANUAL, "ticket", "jane")
    assert due(asked, BEFORE - timedelta(seconds=1)) is None
    assert due(replace(asked, state=S.RECORDING), BEFORE) is None


def test_a_call_is_kept_as_long_as_one_of_its_recordings() -> None:
    gone, kept = a_recording(1), a_recording(2, a_call(1), delete_after=DUE + DAY)
    assert clear(standing(a_call(), gone, kept), DUE, 1) is None
    pruned = a_recording(1, state=S.PRUNED)
    assert clear(standing(a_call(), pruned, kept), DUE, 1) is None
    assert clear(standing(a_call(), pruned, kept), DUE + DAY, None) is not None


@pytest.mark.parametrize("state", [S.STARTING, S.RECORDING, S.CAPTURED, S.INTERRUPTED, S.PAUSED])
def test_a_recording_at_work_keeps_its_call(state: S) -> None:
    recording = a_recording(state=state, audio_ms=None)
    assert clear(standing(a_call(), recording), DUE, 1) is None


def test_what_failed_goes_with_the_call() -> None:
    failed = without_audio(2, a_call(1), state=S.FAILED, retention="unlimited", delete_after=None)
    found = clear(standing(a_call(), a_recording(1), failed), DUE, None)
    assert found is not None
    assert found.recordings == (failed,)


@pytest.mark.parametrize("missing", ["size", "audio_ms"])
def test_what_failed_with_audio_keeps_its_call(missing: str) -> None:
    nothing: dict[str, Any] = {missing: None}
    failed = a_recording(2, a_call(1), state=S.FAILED, delete_after=DUE + DAY, **nothing)
    assert clear(standing(a_call(), a_recording(1), failed), DUE, 1) is None
    pruned = a_recording(1, state=S.PRUNED)
    assert clear(standing(a_call(), pruned, failed), DUE + DAY, None) is not None


def test_calls_without_a_recording_are_cleared_by_age() -> None:
    call = a_call()
    assert clear(standing(call), ENDED + 30 * DAY, None) is None
    assert clear(standing(call), ENDED + 7 * DAY - timedelta(microseconds=1), 7) is None
    why = "ended more than 7 days ago and has no recording"
    assert clear(standing(call), ENDED + 7 * DAY, 7) == ClearCall(call, (), why)


def test_a_call_that_has_not_ended_is_left_alone() -> None:
    call = a_call(ended_at=None)
    pruned = a_recording(state=S.PRUNED)
    assert clear(standing(call, pruned), DUE, 1) is None


def test_merged_calls_are_cleared_when_none_of_them_has_a_recording_left() -> None:
    merged = a_call(1, merged_into=an_id(2, "c"))
    kept = a_recording(2, delete_after=DUE + DAY)
    assert clear(standing(merged, related=(kept,)), DUE, 1) is None
    found = clear(standing(merged, related=(kept,)), DUE + DAY, None)
    assert found == ClearCall(merged, (), "all its recordings are pruned")
