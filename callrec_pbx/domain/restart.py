"""After a (re)connect: bring what we know and what the PBX has into agreement.

The same path serves a listener that was restarted (it knows only the sidecars), a link that was
cut for a while (it knows the calls of then), and a PBX that was restarted under us.
"""

from typing import TYPE_CHECKING

from callrec_pbx.domain.call import Call, Leg
from callrec_pbx.domain.commands import Command, SaveCall
from callrec_pbx.domain.events import LegSeen, SnapshotTaken
from callrec_pbx.domain.facts import CallFacts, Decision, RecordingFacts
from callrec_pbx.domain.recording import OVER, Input, Recording
from callrec_pbx.domain.words import Consent, Outcome, RecordingState

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls


def take_snapshot(calls: "Calls", event: SnapshotTaken) -> list[Command]:
    """Adopt what still runs, start what should run, finish what ended meanwhile."""
    commands: list[Command] = []
    for call_facts in event.open_calls:
        _restore_call(calls, call_facts)
    orphans = [_restore_recording(calls, facts) for facts in event.unfinished]
    seen = {leg.who.leg for leg in event.legs}
    for leg in [leg for leg in calls.legs.values() if leg.leg not in seen]:
        died = event.pbx_started_at is not None and leg.created_at < event.pbx_started_at
        commands += calls.end_leg(leg, Input.PBX_DIED if died else Input.ENDED, event.at)
    for leg_seen in event.legs:
        commands += _see(calls, leg_seen, event)
    for bridge in list(calls.bridges.values()):
        members = list(bridge.values())
        for member in members[1:]:
            commands += calls.merge(members[0].call, member.call, event.at)
    for orphan in orphans:
        if orphan is not None and orphan.leg not in seen:
            commands += _finish_orphan(calls, orphan, event)
    for leg in list(calls.legs.values()):
        commands += calls.consider(leg, event.at)
    for call in list(calls.calls.values()):
        if not call.live:
            call.ended_at = call.ended_at or event.at
            commands += calls.settle(call)
        elif call.facts() not in event.open_calls:
            commands.append(SaveCall(call.facts()))
    return commands


def _restore_call(calls: "Calls", facts: CallFacts) -> None:
    if facts.call_id in calls.calls or facts.ended_at is not None:
        return
    call = Call(
        call_id=facts.call_id,
        refs=list(facts.pbx_ids),
        started_at=facts.started_at,
        direction=facts.direction,
        a_number=facts.a_number,
        a_name=facts.a_name,
        b_number=facts.b_number,
        c_number=facts.c_number,
        ddi=facts.ddi,
        queue=facts.queue,
        answered_at=facts.answered_at,
        consents=list(facts.consents),
        transfers=list(facts.transfers),
        gone=list(facts.legs),
    )
    if facts.answered_at is not None:
        call.move("bridged")
    for evidence in facts.consents:
        if evidence.outcome is Consent.DECLINED:
            call.refuse("declined")
    calls.calls[call.call_id] = call
    for ref in facts.pbx_ids:
        calls.by_ref.setdefault(ref, call)


def _restore_recording(calls: "Calls", facts: RecordingFacts) -> Recording | None:
    if facts.recording_id in calls.recordings:
        return None
    call = calls.calls.get(facts.call_id)
    if call is None:
        call = Call(facts.call_id, [], facts.created_at, answered_at=facts.created_at)
        call.move("bridged")
        calls.calls[call.call_id] = call
    decision = Decision(
        outcome=Outcome.RECORDED,
        reason="rule",
        rule=facts.rule,
        policy_version=facts.policy_version,
        mode=facts.mode,
        consent=facts.consent,
        on_failure=facts.on_failure,
        notice=facts.notice,
        resume_after_s=facts.resume_after_s,
        retention_days=facts.retention_days,
        language=facts.language,
    )
    recording = Recording(
        recording_id=facts.recording_id,
        call_id=facts.call_id,
        leg=facts.leg,
        channel=facts.channel,
        owner=facts.owner,
        decision=decision,
        created_at=facts.created_at,
        bridged_at=facts.created_at,
        state=facts.state,
        started_at=facts.started_at,
        ended_at=facts.ended_at,
        reason=facts.reason,
        pauses=list(facts.pauses),
    )
    call.decision = call.decision or decision
    call.recordings.append(recording)
    calls.recordings[recording.recording_id] = recording
    return recording


def _see(calls: "Calls", seen: LegSeen, event: SnapshotTaken) -> list[Command]:
    known = seen.who.leg in calls.legs
    leg = calls.leg_of(seen.who, seen.created_at)
    call = leg.call
    call.gone = [facts for facts in call.gone if facts.leg != leg.leg]
    if seen.offer is not None and call.direction is None:
        calls.note_offer(call, leg, seen.offer)
    if not known:
        evidence = call.consent_of(leg.leg)
        if evidence is not None:
            leg.consent = evidence.outcome
    commands: list[Command] = []
    if seen.bridge:
        calls.enter_bridge(leg, seen.bridge, seen.holding, event.at)
        if not seen.holding and call.answered_at is None:
            call.answered_at = event.at
            call.move("bridged")
    if seen.consent is not None:
        commands += calls.handle(seen.consent)
    leg.offline_paused = leg.offline_paused or seen.offline_pause
    return commands + _compare(calls, leg, seen, event)


def _compare(calls: "Calls", leg: Leg, seen: LegSeen, event: SnapshotTaken) -> list[Command]:
    """What the PBX records of this leg, beside what we thought."""
    recording = leg.recording
    if recording is None:
        recording = next(
            (r for r in leg.call.recordings if r.leg == leg.leg and r.state not in OVER), None
        )
        leg.recording = recording
    if recording is None or recording.over:
        return []
    running = seen.recording == recording.recording_id and not seen.offline_pause
    return calls.take(recording, Input.ADOPTED if running else Input.ENDED, event.at)


def _finish_orphan(calls: "Calls", recording: Recording, event: SnapshotTaken) -> list[Command]:
    """A recording whose leg is gone: it ended while nobody looked."""
    if recording.state in (RecordingState.CAPTURED, RecordingState.FAILED):
        recording.state = RecordingState.RECORDING
        recording.ended_at = None
    died = event.pbx_started_at is not None and recording.created_at < event.pbx_started_at
    return calls.take(recording, Input.PBX_DIED if died else Input.ENDED, event.at)
