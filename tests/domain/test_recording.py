"""What one recording gathers on its way."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from callrec_pbx.domain.facts import Decision, PauseFacts
from callrec_pbx.domain.recording import LATE_MS, Input, Recording
from callrec_pbx.domain.words import Outcome, RecordingState

AT = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)


def after(ms: int) -> datetime:
    """A time so many ms later."""
    return AT + timedelta(milliseconds=ms)


@pytest.fixture
def recording() -> Recording:
    """One that has been asked for."""
    decision = Decision(Outcome.RECORDED, "rule", "sales", "7", retention="90 days", reminder_s=15)
    return Recording("r", "c", "l", "PJSIP/301-1", "301", decision, AT, AT)


@pytest.mark.parametrize(("ms", "late"), [(0, 0), (LATE_MS, 0), (LATE_MS + 1, LATE_MS + 1)])
def test_late(recording: Recording, ms: int, late: int) -> None:
    assert recording.late_ms == 0
    recording.take(Input.STARTED, after(ms))
    assert recording.facts().late_ms == late


def test_pauses_before_and_after_the_start_was_confirmed(recording: Recording) -> None:
    recording.take(Input.PAUSE_WANTED, after(10))
    recording.take(Input.PAUSED, after(20))
    assert recording.pauses == [PauseFacts(20)]
    assert recording.paused_s(after(1020)) == 1
    recording.take(Input.RESUME_WANTED, after(2000))
    recording.take(Input.PAUSED, after(2001))
    assert recording.pauses == [PauseFacts(20)]
    recording.take(Input.RESUMED, after(2020))
    assert recording.pauses == [PauseFacts(20, 2020)]


def test_a_clock_that_goes_back(recording: Recording) -> None:
    recording.take(Input.STARTED, after(1000))
    recording.take(Input.PAUSED, after(500))
    recording.take(Input.RESUMED, after(400))
    assert recording.pauses == [PauseFacts(0, 0)]


def test_not_paused_yet(recording: Recording) -> None:
    assert recording.paused_s(after(1000)) == 0


def test_what_was_measured_is_taken_over(recording: Recording) -> None:
    recording.take(Input.STARTED, AT)
    recording.take(Input.ENDED, after(5000))
    measured = replace(
        recording.facts(),
        state=RecordingState.STORED,
        audio_ms=4990,
        size=79884,
        sha256="abc",
        repaired=True,
        delete_after=after(90 * 86_400_000),
    )
    (saved,) = recording.finished(measured)
    assert recording.facts() == measured == saved.recording  # type: ignore[union-attr]
    assert recording.finished(measured) == [saved]
    assert recording.finished(replace(measured, state=RecordingState.FAILED)) == []


def test_discarding_forgets_what_was_measured(recording: Recording) -> None:
    recording.take(Input.ENDED, after(5000))
    recording.finished(replace(recording.facts(), state=RecordingState.STORED, audio_ms=4990))
    recording.take(Input.DISCARD_WANTED, after(6000), "consent_withdrawn")
    assert recording.facts().audio_ms is None
    recording.finished(recording.facts())
    assert recording.measured is not None
    assert recording.facts().audio_ms is None
