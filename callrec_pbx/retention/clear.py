"""What remains of a pruned recording and of a cleared call: no number, no name, no channel."""

from dataclasses import replace

from callrec_pbx.domain.facts import CallFacts, Explanation, RecordingFacts
from callrec_pbx.domain.words import RecordingState


def cleared_recording(recording: RecordingFacts) -> RecordingFacts:
    """The tombstone's facts: ids, times, length, size, checksum, rule."""
    return replace(
        recording,
        state=RecordingState.PRUNED,
        channel="",
        owner="",
        line="",
        # Its steps name users and lines.
        explanation=Explanation(),
        # Whatever people have written, and what is no more to be done.
        tags=(),
        to_do=(),
        follow_up_error="",
        named="",
        deletion_at=None,
        deletion_by="",
        deletion_why="",
    )


def cleared_call(call: CallFacts) -> CallFacts:
    """The call as the account needs it: times, direction, queue, outcome, consent outcomes."""
    return replace(
        call,
        a_number="",
        a_name="",
        b_number="",
        c_number="",
        ddi="",
        transfers=(),
        explanation=Explanation(),
        legs=tuple(replace(leg, channel="", line="", number="", name="") for leg in call.legs),
        consents=tuple(replace(consent, number="") for consent in call.consents),
    )
