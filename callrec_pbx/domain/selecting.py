"""Whether a leg is recorded: the policy, the consent of its parties, and what stands against it."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from callrec_pbx.domain import steering
from callrec_pbx.domain.call import Call, CameBy, Hindrance, Leg
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
    return _decide(calls, call, question(calls, call, line))


def decide_unrefused(calls: "Calls", call: Call, line: str | None) -> Decision:
    """What the policy would say of it if nobody had refused."""
    return _decide(calls, call, replace(question(calls, call, line), declined=""))


def question(calls: "Calls", call: Call, line: str | None) -> CallInQuestion:
    """What is known of the call now, for the policy."""
    outside = [leg for leg in call.live.values() if leg.kind is LegKind.OUTSIDE]
    numbers = tuple(leg.number for leg in outside if leg.number)
    direction = direction_of(call)
    if call.direction is not Direction.INTERNAL:
        far = call.a_number if call.direction is Direction.INBOUND else call.b_number
        numbers = (far, *numbers)
    trunk: str | None = next((leg.trunk for leg in outside if leg.trunk), "")
    if not trunk and direction is Direction.OUTBOUND and call.answered_at is None:
        trunk = None
    return CallInQuestion(
        direction,
        line,
        call.ddi,
        call.queue,
        numbers,
        trunk,
        # A call that begins in office hours is not cut at their end.
        call.started_at,
        declined=call.refused_by,
        direct=not call.offered_queue,
        running=calls.running,
        full=calls.full,
    )


def _decide(calls: "Calls", call: Call, asked: CallInQuestion) -> Decision:
    call.policy = call.policy or calls.policy
    return call.policy.decide(asked)


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
    if leg.came_by is None:
        leg.came_by = CameBy(call.ddi, call.queue, not call.offered_queue)
    asked = replace(
        question(calls, call, leg.line),
        ddi=leg.came_by.ddi,
        queue=leg.came_by.queue,
        direct=leg.came_by.direct,
        endpoint=True,
    )
    if leg.recorded and leg.recording is not None:
        # What runs goes on as decided, unless the call has become another.
        leg.question = leg.question or asked
        same = leg.question == asked
        decision = (
            leg.recording.decision
            if same
            else _decide(calls, call, replace(asked, running=None, full=frozenset()))
        )
    else:
        decision = _decide(calls, call, replace(asked, demanded=leg.demanded))
    hindrance = _hindrance(calls, leg, decision, members)
    if leg.recording is not None and not leg.recording.over:
        if hindrance is None:
            return []
        return steering.take(leg.recording, Input.STOP_WANTED, at, hindrance.reason)
    if hindrance is not None:
        call.skipped[leg.leg] = hindrance
        return []
    if leg.offline_paused or leg.kept_off:
        return []
    if leg.recording is not None and leg.recording.closing:
        return []  # the PBX's word that the old one is closed would be taken for the new one's
    leg.question = asked
    return start(calls, leg, decision, at, since or at)


def _hindrance(
    calls: "Calls", leg: Leg, decision: Decision, members: dict[str, Leg]
) -> Hindrance | None:
    call = leg.call
    if calls.policy.is_off_now(decision, leg.line):
        return Hindrance(Outcome.NOT_SELECTED, "recording_off", decision)
    if call.refused:
        return Hindrance(Outcome.DECLINED, call.refused_by, decision)
    offered = call.decision
    if offered is not None and offered.outcome is Outcome.LIMITED and not leg.demanded:
        # Nobody was asked or told; a place that is free by now changes nothing.
        return Hindrance(offered.outcome, offered.reason, offered)
    if not decision.may_record:
        return Hindrance(decision.outcome, decision.reason, decision)
    if decision.mode is Mode.ON_DEMAND and not leg.demanded:
        return Hindrance(Outcome.NOT_SELECTED, "not_demanded", decision)
    if decision.consent is ConsentMode.NONE:
        return None
    parties = call.parties_of(members)
    if parties and all(call.satisfies(party, decision.consent) for party in parties):
        return None
    return unasked(call, decision)


def unasked(call: Call, decision: Decision) -> Hindrance:
    """What a call counts as whose consent is missing."""
    offered = call.decision
    if offered is not None and offered.outcome is Outcome.LIMITED:
        # Which is why nobody was asked.
        return Hindrance(offered.outcome, offered.reason, offered)
    return Hindrance(Outcome.MISSED, "consent_missing", decision)


def stop_switched_off(calls: "Calls", at: datetime) -> Commands:
    """Stop what runs for a tenant whose recording has been switched off at once."""
    commands: Commands = []
    for recording in list(calls.recordings.values()):
        if not recording.over and calls.policy.is_off_now(recording.decision, recording.line):
            commands += steering.take(recording, Input.STOP_WANTED, at, "recording_off")
    return commands


def start(
    calls: "Calls",
    leg: Leg,
    decision: Decision,
    at: datetime,
    since: datetime,
    *,
    line: str | None = None,
) -> Commands:
    """Begin a recording of the leg.

    Args:
        since: When the talk began.
        line: Whose it is, where that is not the line behind the leg.
    """
    call, line = leg.call, line or leg.line
    call.skipped.pop(leg.leg, None)
    if call.decision is None or not call.decision.may_record:
        call.decision = decision
    recording = Recording(
        recording_id=calls.new_id(at),
        call_id=call.call_id,
        leg=leg.leg,
        channel=leg.channel,
        owner=decision.user or line,
        line=line,
        decision=decision,
        created_at=at,
        bridged_at=since,
    )
    leg.recording = recording
    call.recordings.append(recording)
    calls.recordings[recording.recording_id] = recording
    return recording.start()
