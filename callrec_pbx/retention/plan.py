"""What is due, and why. Pure: facts and a time in, a reason out."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.plans import parse
from callrec_pbx.domain.words import RecordingState

_OVER = frozenset(
    {
        RecordingState.STORED,
        RecordingState.INTERRUPTED,
        RecordingState.FAILED,
        RecordingState.DISCARDED,
    }
)
"""States in which nobody else works on a recording."""

NOTHING_KEPT = frozenset({RecordingState.DISCARDED, RecordingState.PRUNED})
"""States in which there is no audio that anybody listens to.

A recording that failed may have some, when it failed on the way (see `without_audio`).
"""

SPARED = timedelta(days=1)
"""A quota takes nothing that ended later than this ago: somebody may just be about to hear it."""


class Reason(StrEnum):
    """Why a recording is deleted, in one word."""

    RETENTION = "retention"
    MANUAL = "manual"
    QUOTA = "quota"
    ERASURE = "erasure"
    WITH_CALL = "with_call"
    UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class Due:
    """That a recording is to be pruned.

    Attributes:
        why: The reason for its tombstone.
        by: Who asked for it; empty: nobody did.
    """

    reason: Reason
    why: str
    by: str = ""


Judge = Callable[[RecordingFacts], Due | None]
"""Says whether a recording, as its sidecar has it, is to be pruned."""


@dataclass(frozen=True, slots=True)
class ClearCall:
    """Clear the personal data of a call, and of what is left of its recordings.

    Attributes:
        recordings: Its recordings without audio (see `without_audio`) that go with it.
    """

    call: CallFacts
    recordings: tuple[RecordingFacts, ...]
    why: str


@dataclass(frozen=True, slots=True)
class CallStanding:
    """A call that is not cleared yet, with what decides whether it may be.

    Attributes:
        recordings: Its own recordings.
        related: Those of the calls that were merged into it, or that it was merged into.
    """

    call: CallFacts
    recordings: tuple[RecordingFacts, ...]
    related: tuple[RecordingFacts, ...] = ()

    @property
    def all(self) -> tuple[RecordingFacts, ...]:
        """Own and related recordings."""
        return (*self.recordings, *self.related)


def without_audio(recording: RecordingFacts) -> bool:
    """Whether a recording has no audio to keep: nothing, or nothing that was ever measured."""
    if recording.state is RecordingState.FAILED:
        return recording.size is None and recording.audio_ms is None
    return recording.state in NOTHING_KEPT


def kept_bytes(recording: RecordingFacts) -> int:
    """Bytes of audio that are kept of a recording: its WAV while it is there, its encoded file."""
    if recording.state not in _OVER or recording.state is RecordingState.DISCARDED:
        return 0
    wav = recording.size or 0 if recording.has_wav else 0
    return wav + (recording.encoded_size or 0)


def due(recording: RecordingFacts, now: datetime) -> Due | None:
    """Why a recording is to be pruned now; None when it is not."""
    if recording.state is RecordingState.PRUNING:
        return Due(Reason.UNFINISHED, "pruning was begun and not finished")
    if not _is_over(recording):
        return None
    if recording.deletion_at is not None and recording.deletion_at <= now:
        return Due(Reason.MANUAL, recording.deletion_why, recording.deletion_by)
    date = recording.delete_after
    if date is None:
        # One that was discarded, or failed without audio, may never have been dated.
        date = parse(recording.retention).after(recording.ended_at or recording.created_at)
    if date is None or date > now:
        return None
    return Due(Reason.RETENTION, f"kept for {recording.retention}, until {date:%Y-%m-%d %H:%M} UTC")


def over_quota(recording: RecordingFacts, now: datetime, why: str) -> Due | None:
    """Why a recording is to be pruned to make room; None when it has no audio, or is spared."""
    ended = recording.ended_at or recording.created_at
    if not _is_over(recording) or not kept_bytes(recording) or ended > now - SPARED:
        return None
    return Due(Reason.QUOTA, why)


def with_call(recording: RecordingFacts, why: str) -> Due | None:
    """Why a recording goes with its call, before its own date: only one without audio does."""
    return Due(Reason.WITH_CALL, why) if without_audio(recording) else None


def clearing(
    standing: CallStanding,
    goes: Callable[[RecordingFacts], bool],
    now: datetime,
    call_days: int | None,
) -> ClearCall | None:
    """What of a call is to be cleared now; None when nothing is.

    Args:
        goes: Whether a recording is to count as pruned, although it is not yet.
        call_days: Days after its end at which a call without a kept recording is cleared; None
            keeps it until a recording of it is pruned, or for ever if it has none.
    """
    gone = {r.recording_id for r in standing.all if r.state is RecordingState.PRUNED or goes(r)}
    why = _why_clear(standing, gone, now, call_days)
    if not why:
        return None
    left = tuple(r for r in standing.recordings if r.recording_id not in gone)
    return ClearCall(standing.call, left, why)


def _is_over(recording: RecordingFacts) -> bool:
    if recording.state is RecordingState.INTERRUPTED and recording.audio_ms is None:
        return False
    return recording.state in _OVER


def _why_clear(standing: CallStanding, gone: set[str], now: datetime, call_days: int | None) -> str:
    call = standing.call
    if call.ended_at is None:
        return ""
    if any(r.recording_id not in gone and not without_audio(r) for r in standing.all):
        return ""
    if gone:
        return "all its recordings are pruned"
    if call_days is not None and call.ended_at + timedelta(days=call_days) <= now:
        return f"ended more than {call_days} days ago and has no recording"
    return ""
