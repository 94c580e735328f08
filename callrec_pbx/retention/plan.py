"""What retention would do, with a reason for each item. Pure: rows and a time in, a plan out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
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


@dataclass(frozen=True, slots=True)
class PruneRecording:
    """Delete the audio of a recording and clear its personal data."""

    recording: RecordingFacts
    why: str


@dataclass(frozen=True, slots=True)
class ClearCall:
    """Clear the personal data of a call, and of what is left of its recordings.

    Attributes:
        recordings: Its recordings without audio (see `without_audio`) that go with it.
        after: Ids of recordings that the same plan prunes, and without which it is not done.
    """

    call: CallFacts
    recordings: tuple[RecordingFacts, ...]
    after: tuple[str, ...]
    why: str


Item = PruneRecording | ClearCall


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


def plan(
    recordings: Iterable[RecordingFacts],
    calls: Iterable[CallStanding],
    now: datetime,
    call_days: int | None,
) -> tuple[Item, ...]:
    """Say what is to be done, in order; what nothing is to be done about is left out.

    Args:
        recordings: Recordings that may be due.
        calls: Calls that may be due, with all their recordings.
        now: The time to judge by.
        call_days: Days after its end at which a call without a kept recording is cleared; None
            keeps it until a recording of it is pruned, or for ever if it has none.
    """
    pruned: dict[str, PruneRecording] = {}
    for recording in recordings:
        why = why_due(recording, now)
        if why:
            pruned[recording.recording_id] = PruneRecording(recording, why)
    cleared: list[ClearCall] = []
    for standing in calls:
        why = _why_clear(standing, pruned, now, call_days)
        if why:
            left = tuple(
                recording
                for recording in standing.recordings
                if recording.recording_id not in pruned
                and recording.state is not RecordingState.PRUNED
            )
            after = tuple(r.recording_id for r in standing.all if r.recording_id in pruned)
            cleared.append(ClearCall(standing.call, left, after, why))
    return (*pruned.values(), *cleared)


def without_audio(recording: RecordingFacts) -> bool:
    """Whether a recording has no audio to keep: nothing, or nothing that was ever measured."""
    if recording.state is RecordingState.FAILED:
        return recording.size is None and recording.audio_ms is None
    return recording.state in NOTHING_KEPT


def why_due(recording: RecordingFacts, now: datetime) -> str:
    """Why a recording is to be pruned now; empty when it is not."""
    if recording.state is RecordingState.PRUNING:
        return "pruning was begun and not finished"
    if recording.state not in _OVER:
        return ""
    if recording.state is RecordingState.INTERRUPTED and recording.audio_ms is None:
        return ""
    date = recording.delete_after
    if date is None and recording.retention_days is not None:
        # One that was discarded, or failed without audio, may never have been dated.
        ended = recording.ended_at or recording.created_at
        date = ended + timedelta(days=recording.retention_days)
    if date is None or date > now:
        return ""
    return f"kept for {recording.retention_days} days, until {date:%Y-%m-%d %H:%M} UTC"


def _why_clear(
    standing: CallStanding,
    pruned: dict[str, PruneRecording],
    now: datetime,
    call_days: int | None,
) -> str:
    call = standing.call
    if call.ended_at is None or _any_kept(standing.all, pruned):
        return ""
    if any(_is_pruned(r, pruned) for r in standing.all):
        return "all its recordings are pruned"
    if call_days is not None and call.ended_at + timedelta(days=call_days) <= now:
        return f"ended more than {call_days} days ago and has no recording"
    return ""


def _is_pruned(recording: RecordingFacts, pruned: dict[str, PruneRecording]) -> bool:
    return recording.state is RecordingState.PRUNED or recording.recording_id in pruned


def _any_kept(recordings: Sequence[RecordingFacts], pruned: dict[str, PruneRecording]) -> bool:
    return any(
        not without_audio(recording) and recording.recording_id not in pruned
        for recording in recordings
    )
