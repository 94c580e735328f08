"""Recordings and calls that nobody has finished, finished. Pure."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import Outcome, RecordingState

NEVER_FINISHED = "never_finished"
"""Reason of a recording or call that was cut off, and found by a check."""
FOUND = "found_without_sidecar"
"""Reason of a recording of which only the audio was found."""

_S = RecordingState
_CLOSED = frozenset({_S.CAPTURED, _S.INTERRUPTED, _S.FAILED})
_KEPT = frozenset({_S.CAPTURED, _S.STORED, _S.INTERRUPTED})
_GONE = frozenset({_S.DISCARDED, _S.PRUNED, _S.PRUNING})


def end_recording(facts: RecordingFacts, at: datetime) -> RecordingFacts:
    """A recording that is not over, as it is before its audio is measured.

    Args:
        facts: The recording.
        at: When its audio was last written.
    """
    if facts.state is _S.STORED:
        return replace(facts, state=_S.CAPTURED)
    if facts.state in _CLOSED:
        return facts
    ended_at = facts.ended_at or max(at, facts.started_at or facts.created_at)
    began = facts.started_at or facts.created_at
    offset_ms = max(0, round((ended_at - began).total_seconds() * 1000))
    return replace(
        facts,
        state=_S.DISCARDED if facts.state is _S.DISCARDING else _S.INTERRUPTED,
        reason=facts.reason or NEVER_FINISHED,
        ended_at=ended_at,
        pauses=tuple(
            pause
            if pause.to_ms is not None
            else replace(pause, to_ms=max(offset_ms, pause.from_ms))
            for pause in facts.pauses
        ),
    )


def end_call(call: CallFacts, recordings: Sequence[RecordingFacts]) -> CallFacts:
    """A call without an end, with the latest that it can be known to have had, and an outcome."""
    times = [call.started_at, call.answered_at]
    times += [at for leg in call.legs for at in (leg.created_at, leg.bridged_at, leg.ended_at)]
    times += [at for one in recordings for at in (one.created_at, one.ended_at)]
    ended_at = max(at for at in times if at is not None)
    outcome, reason = (call.outcome, call.reason) if call.outcome else _outcome(call, recordings)
    return replace(
        call,
        ended_at=ended_at,
        outcome=outcome,
        reason=reason,
        legs=tuple(
            leg
            if leg.ended_at is not None
            else replace(leg, ended_at=max(ended_at, leg.created_at))
            for leg in call.legs
        ),
    )


def _outcome(call: CallFacts, recordings: Sequence[RecordingFacts]) -> tuple[Outcome, str]:
    states = {one.state for one in recordings}
    if call.reason == "consent_withdrawn":
        return Outcome.DISCARDED, call.reason
    if states & _KEPT:
        return Outcome.RECORDED, "partly_declined" if call.reason else NEVER_FINISHED
    if call.reason:
        return Outcome.DECLINED, call.reason
    if _S.FAILED in states:
        return Outcome.FAILED, NEVER_FINISHED
    if states & _GONE:
        # What was pruned had been recorded; what was discarded had not to be.
        gone = states <= {_S.DISCARDED}
        return (Outcome.DISCARDED if gone else Outcome.RECORDED), NEVER_FINISHED
    return Outcome.MISSED, NEVER_FINISHED


def is_stub(call: CallFacts) -> bool:
    """Whether a row knows no more of a call than that a recording names it."""
    return not call.pbx_ids and call.direction is None and call.ended_at is None
