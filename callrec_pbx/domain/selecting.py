"""Whether a leg is recorded: the policy, the consent of its parties, and what stands against it."""

from datetime import datetime
from typing import TYPE_CHECKING

from callrec_pbx.domain import consent, steering
from callrec_pbx.domain.call import Call, Leg
from callrec_pbx.domain.commands import Command
from callrec_pbx.domain.facts import Decision
from callrec_pbx.domain.policy import CallInQuestion
from callrec_pbx.domain.recording import Input, Recording
from callrec_pbx.domain.words import ConsentMode, Direction, LegKind, Mode, Outcome

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls

Commands = list[Command]


def decide(calls: "Calls", call: Call, line: str | None) -> Decision:
    """What the policy says of a call as far as that line is concerned."""
    outside = tuple(
        leg.number for leg in call.live.values() if leg.kind is LegKind.OUTSIDE and leg.number
    )
    far = call.a_number if call.direction is Direction.INBOUND else call.b_number
    numbers = (far, *outside) if call.direction is not Direction.INTERNAL else outside
    question = CallInQuestion(direction_of(call), line, call.ddi, call.queue, numbers)
    return calls.policy.decide(question)


def direction_of(call: Call) -> Direction:
    """As offered; without an offer, told from which leg came first.

    An outside party makes any call more than internal.
    """
    if call.direction not in (None, Direction.INTERNAL):
        return call.direction
    legs = [leg for leg in call.live.values() if leg.kind is not LegKind.OTHER]
    if not any(leg.kind is LegKind.OUTSIDE for leg in legs):
        return Direction.INTERNAL
    if call.direction is Direction.INTERNAL:
        return Direction.OUTBOUND
    return Direction.INBOUND if legs[0].kind is LegKind.OUTSIDE else Direction.OUTBOUND


def consider_all(calls: "Calls", call: Call, at: datetime) -> Commands:
    """Look anew at every leg of a call that is in a conversation."""
    commands: Commands = []
    for leg in list(call.live.values()):
        commands += consider(calls, leg, at)
    return commands


def consider(calls: "Calls", leg: Leg, at: datetime, since: datetime | None = None) -> Commands:
    """Start the recording of a leg that should have one; stop one that may not go on.

    Args:
        since: When the talk began, where that is known to be before `at`.
    """
    call = leg.call
    if call.refused and leg.recording is not None and not leg.recording.over:
        return steering.take(leg.recording, Input.STOP_WANTED, at, call.refused_by)
    members = calls.bridges.get(leg.bridge, {})
    if leg.kind is not LegKind.LINE or len(members) < 2:  # noqa: PLR2004 - a conversation
        return []
    decision = decide(calls, call, leg.line)
    hindrance = _hindrance(leg, decision, members)
    if leg.recording is not None and not leg.recording.over:
        if hindrance is None:
            return []
        return steering.take(leg.recording, Input.STOP_WANTED, at, hindrance[1])
    if hindrance is not None:
        call.skipped[leg.leg] = hindrance
        return []
    if leg.offline_paused or leg.kept_off:
        return []
    if leg.recording is not None and leg.recording.closing:
        return []  # the PBX's word that the old one is closed would be taken for the new one's
    return start(calls, leg, decision, at, since or at)


def _hindrance(leg: Leg, decision: Decision, members: dict[str, Leg]) -> tuple[Outcome, str] | None:
    call = leg.call
    if call.refused:
        return Outcome.DECLINED, call.refused_by
    if not decision.may_record:
        return decision.outcome, decision.reason
    if decision.mode is Mode.ON_DEMAND and not leg.demanded:
        return Outcome.NOT_SELECTED, "not_demanded"
    if decision.consent is ConsentMode.NONE:
        return None
    parties = call.parties_of(members)
    if parties and all(consent.satisfies(p.consent, decision.consent) for p in parties):
        return None
    return Outcome.MISSED, "consent_missing"


def start(calls: "Calls", leg: Leg, decision: Decision, at: datetime, since: datetime) -> Commands:
    """Begin a recording of the leg; `since` is when the talk began."""
    call = leg.call
    call.skipped.pop(leg.leg, None)
    if call.decision is None or not call.decision.may_record:
        call.decision = decision
    recording = Recording(
        recording_id=calls.new_id(at),
        call_id=call.call_id,
        leg=leg.leg,
        channel=leg.channel,
        owner=leg.line,
        decision=decision,
        created_at=at,
        bridged_at=since,
    )
    leg.recording = recording
    call.recordings.append(recording)
    calls.recordings[recording.recording_id] = recording
    return recording.start()
