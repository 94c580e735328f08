"""What became of a recording or call that a run has looked at."""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from callrec_pbx.domain.facts import CallFacts, RecordingFacts

MOST_FAILURES = 1000
"""Failures that a run remembers; the others are in the log, and counted."""


class Outcome(StrEnum):
    """What became of an item; in a dry run, what would."""

    PRUNED = "pruned"
    CLEARED = "cleared"
    HELD = "held"
    KEPT = "kept"
    SKIPPED = "skipped"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Done:
    """One recording or call, and what became of it.

    Attributes:
        kind: `recording` or `call`.
        at: When it was made.
        why: The reason, of whatever became of it.
        reason: Why it is deleted, in one word; empty where it is not.
        size: Bytes of audio that are deleted.
        along: Recordings without audio that went with a call.
    """

    kind: str
    id: str
    call_id: str
    tenant: str
    at: datetime
    outcome: Outcome
    why: str
    reason: str = ""
    size: int = 0
    along: int = 0


@dataclass(slots=True)
class Applied:
    """What came of a run.

    Attributes:
        held: Due, and kept by a legal hold.
        kept: Due by their date, and kept as their plan has no limit by now.
        skipped: Not due after all: the catalogue was behind the sidecars; or in use by somebody.
        histories: Lines of people's and profiles' histories that were deleted.
        failed: Items that could not be carried out; the next run tries again.
        failures: The first of them.
    """

    recordings: int = 0
    calls: int = 0
    held: int = 0
    kept: int = 0
    skipped: int = 0
    histories: int = 0
    failed: int = 0
    failures: list[Done] = field(default_factory=list)

    def count(self, done: Done) -> None:
        """Count an item."""
        if done.outcome is Outcome.PRUNED:
            self.recordings += 1
        elif done.outcome is Outcome.CLEARED:
            self.calls += 1
            self.recordings += done.along
        elif done.outcome is Outcome.HELD:
            self.held += 1
        elif done.outcome is Outcome.KEPT:
            self.kept += 1
        elif done.outcome is Outcome.SKIPPED:
            self.skipped += 1
        else:
            self.failed += 1
            if len(self.failures) < MOST_FAILURES:
                self.failures.append(done)


def of_recording(
    recording: RecordingFacts, outcome: Outcome, why: str = "", reason: str = "", size: int = 0
) -> Done:
    """What became of a recording."""
    return Done(
        "recording",
        recording.recording_id,
        recording.call_id,
        recording.tenant,
        recording.created_at,
        outcome,
        why,
        reason,
        size,
    )


def of_call(call: CallFacts, outcome: Outcome, why: str = "", along: int = 0) -> Done:
    """What became of a call."""
    return Done(
        "call",
        call.call_id,
        call.call_id,
        call.tenant,
        call.started_at,
        outcome,
        why,
        along=along,
    )
