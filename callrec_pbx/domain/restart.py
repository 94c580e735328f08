"""After a (re)connect: bring what we know and what the PBX has into agreement.

The same path serves a listener that was restarted (it knows only the sidecars), a link that was
cut for a while (it knows the calls of then), and a PBX that was restarted under us.
"""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from callrec_pbx.domain import asking, keys, selecting, steering, voicemail
from callrec_pbx.domain.call import Call, Leg
from callrec_pbx.domain.commands import Command, DiscardAudio, FinishRecording, SaveCall
from callrec_pbx.domain.events import LegSeen, SnapshotTaken
from callrec_pbx.domain.facts import CallFacts, Decision, RecordingFacts
from callrec_pbx.domain.recording import PAUSE_FAILED, Input, Recording
from callrec_pbx.domain.words import LegKind, Notice, Outcome, RecordingState

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls

Orphans = list[Recording]


def take_snapshot(calls: "Calls", event: SnapshotTaken) -> list[Command]:
    """Adopt what still runs, start what should run, finish what ended meanwhile."""
    commands: list[Command] = []
    for call_facts in event.open_calls:
        if call_facts.call_id not in calls.calls:
            _restore_call(calls, call_facts)
    orphans = [
        _restore_recording(calls, facts)
        for facts in event.unfinished
        if facts.recording_id not in calls.recordings
    ]
    cut_off = [orphan for orphan in orphans if orphan.over]
    seen = {leg.who.leg for leg in event.legs}
    missing = [] if event.partial else [leg for leg in calls.legs.values() if leg.leg not in seen]
    for leg in missing:
        died = event.pbx_started_at is not None and leg.created_at < event.pbx_started_at
        commands += calls.end_leg(leg, Input.PBX_DIED if died else Input.ENDED, event.at)
    talking_since: dict[str, datetime] = {}
    homes = {facts.leg: call for call in calls.calls.values() for facts in call.gone}
    for leg_seen in event.legs:
        leg = _see(calls, leg_seen, homes.get(leg_seen.who.leg))
        # Of a leg not known before only its creation is known: rather called late than in time.
        talking_since[leg.leg] = leg.bridged_at or leg.created_at
        commands += _enter(calls, leg, leg_seen, event.at)
        commands += _agree(calls, leg, leg_seen, orphans, event.at)
    for bridge in list(calls.bridges.values()):
        members = list(bridge.values())
        for member in members[1:]:
            commands += calls.merge(members[0].call, member.call, event.at)
    for orphan in orphans:
        found = calls.legs.get(orphan.leg)
        adopted = found is not None and found.recording is orphan
        if event.partial and not orphan.over:
            continue
        if not adopted or (orphan in cut_off and not orphan.closing):
            commands += _finish_orphan(orphan, event)
    former = {facts.call_id: facts for facts in event.open_calls}
    for call in list(calls.calls.values()):
        if call.direction is None and call.answered_at is not None:
            calls.note_unoffered(call)
        if call.decision is None and call.direction is not None:
            call.decision = _decided(calls, call, former.get(call.call_id))
        if call.withdrawn:
            commands += steering.discard_all(call, event.at)
    for leg in list(calls.legs.values()):
        commands += selecting.consider(calls, leg, event.at, talking_since[leg.leg])
    for leg_seen in event.legs:
        commands += _at_voicemail(calls, leg_seen, event.at)
    for call in list(calls.calls.values()):
        call.close_gone(event.at)
        if not call.live:
            call.unseen = call.unseen or call.ended_at is None
            call.ended_at = call.ended_at or event.at
            commands += calls.settle(call)
        elif call.facts() not in event.open_calls:
            commands.append(SaveCall(call.facts()))
    return commands


def _decided(calls: "Calls", call: Call, before: CallFacts | None) -> Decision:
    """What the policy says now; where that is the rule of before, the decision of then counts."""
    decision = selecting.decide(calls, call, call.line)
    if before is None or not before.rule or before.rule != decision.rule:
        return decision
    return replace(decision, policy_version=before.policy_version, explanation=before.explanation)


def _restore_call(calls: "Calls", facts: CallFacts) -> None:
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
        ended_at=facts.ended_at,
        outcome=facts.outcome,
        consents=list(facts.consents),
        transfers=list(facts.transfers),
        gone=list(facts.legs),
    )
    if facts.answered_at is not None:
        call.answer(facts.answered_at)
    if facts.outcome is not None:
        call.reason = facts.reason
    elif facts.reason:
        call.refuse(facts.reason)
        call.withdrawn = facts.reason == "consent_withdrawn"
    calls.calls[call.call_id] = call
    for ref in facts.pbx_ids:
        calls.by_ref.setdefault(ref, call)


def _restore_recording(calls: "Calls", facts: RecordingFacts) -> Recording:
    call = calls.calls.get(facts.call_id)
    if call is None:
        call = Call(facts.call_id, [], facts.created_at)
        call.answer(facts.created_at)
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
        retention=facts.retention,
        format=facts.format,
        keep_wav=facts.keep_wav,
        language=facts.language,
        start_stop=_start_stop(facts),
        channels=facts.channels,
        tenant=facts.tenant,
        site=facts.site,
        department=facts.department,
        user=facts.owner if facts.owner != facts.line else "",
        explanation=facts.explanation,
    )
    recording = Recording(
        recording_id=facts.recording_id,
        call_id=facts.call_id,
        leg=facts.leg,
        channel=facts.channel,
        owner=facts.owner,
        line=facts.line,
        decision=decision,
        created_at=facts.created_at,
        bridged_at=(facts.started_at or facts.created_at) - timedelta(milliseconds=facts.late_ms),
        state=facts.state,
        started_at=facts.started_at,
        ended_at=facts.ended_at,
        reason=facts.reason,
        pauses=list(facts.pauses),
        # What was measured before is kept: nothing is left to be done about that file.
        measured=facts if facts.size is not None else None,
    )
    call.decision = call.decision or decision
    if facts.reason == "consent_withdrawn":
        # Written before the call's own sidecar, which may not have come to it.
        call.withdrawn = True
        call.refuse(facts.reason)
    call.recordings.append(recording)
    calls.recordings[recording.recording_id] = recording
    return recording


def _start_stop(facts: RecordingFacts) -> Notice:
    """Who is told of a stop is in the explanation alone."""
    settings = {item.setting: item.value for item in facts.explanation.settings}
    told = settings.get("start_stop", "")
    return Notice(told) if told in list(Notice) else Notice.NONE


def _see(calls: "Calls", seen: LegSeen, home: Call | None) -> Leg:
    """The leg, as known before, or as the PBX and the sidecar of its call describe it."""
    known = seen.who.leg in calls.legs
    leg = calls.leg_of(seen.who, seen.created_at, home)
    call = leg.call
    if not known:
        for facts in call.gone:
            if facts.leg == leg.leg:
                leg.bridged_at, leg.whispered_at = facts.bridged_at, facts.whispered_at
        call.gone = [facts for facts in call.gone if facts.leg != leg.leg]
        evidence = call.consent_of(leg.leg)
        if evidence is not None:
            leg.consent = evidence.outcome
    if seen.offer is not None:
        if call.direction is None:
            asking.note_offer(call, leg, seen.offer)
        elif call.offering_leg in ("", leg.leg) and leg.kind is not LegKind.OTHER:
            call.line, call.offered_queue = seen.offer.line, seen.offer.queue
        call.offering_leg = call.offering_leg or leg.leg
        asking.note_menu(calls, leg, seen.offer)
    if seen.consent is not None:
        asking.note_consent(calls, leg, seen.consent)
    leg.offline_paused = leg.offline_paused or seen.offline_pause
    return leg


def _at_voicemail(calls: "Calls", seen: LegSeen, at: datetime) -> list[Command]:
    """Whoever came to a voicemail, or left one, while nobody listened."""
    leg = calls.legs[seen.who.leg]
    if seen.bridge:
        return voicemail.left(leg, at)
    if seen.voicemail is None or (leg.bridged_at and leg.bridged_at >= seen.voicemail.at):
        return []  # the PBX remembers the voicemail longer than the caller is there
    if any(recording.leg == leg.leg for recording in leg.call.recordings):
        return []
    return voicemail.consider(calls, leg, seen.voicemail, at)


def _enter(calls: "Calls", leg: Leg, seen: LegSeen, at: datetime) -> list[Command]:
    calls.enter_bridge(leg, seen.bridge, seen.holding, at)
    if not leg.bridge:
        return []
    if leg.call.answered_at is None:
        leg.call.answer(at)
    return calls.merge_by(leg, seen.who.ref, at)


def _agree(
    calls: "Calls", leg: Leg, seen: LegSeen, orphans: Orphans, at: datetime
) -> list[Command]:
    """What the PBX records of this leg, beside what we thought."""
    commands: list[Command] = []
    if leg.recording is None:
        commands += _adopt(calls, leg, seen, orphans, at)
    recording = leg.recording
    stopped = seen.offline_pause or seen.offline_discard
    if recording is not None:
        running = seen.recording == recording.recording_id and not stopped
        idle = leg.bridge and not running and not stopped and not leg.call.refused
        if idle and recording.state is RecordingState.STARTING:
            commands += recording.start()  # the PBX never heard of it
        elif not recording.over or recording.closing:
            input_ = Input.ADOPTED if running else Input.ENDED
            commands += steering.take(recording, input_, at)
        elif running and recording.unstopped:
            commands += steering.take(recording, Input.ADOPTED, at)
    if seen.offline_discard and not leg.call.withdrawn:
        commands += keys.withdraw(leg.call, at)
    return commands


def _adopt(
    calls: "Calls", leg: Leg, seen: LegSeen, orphans: Orphans, at: datetime
) -> list[Command]:
    """Give the leg the recording that an earlier listener began on it."""
    own = [
        r for r in orphans if r.leg == leg.leg and (not r.over or r.recording_id == seen.recording)
    ]
    if not own:
        return []
    recording = next((r for r in own if r.recording_id == seen.recording), own[-1])
    recording.unstopped = recording.over  # whether its stop was answered is not in the sidecar
    leg.recording = recording
    leg.demanded = True  # where that is needed, it was there when the recording began
    leg.kept_off = recording.reason == PAUSE_FAILED
    call = calls.calls[recording.call_id]
    # The call's own sidecar may be missing: then this is how its recording finds back to it.
    return calls.merge(leg.call, call, at)


def _finish_orphan(recording: Recording, event: SnapshotTaken) -> list[Command]:
    """A recording that ended while nobody looked, or of which the follow-up work was cut off."""
    if recording.state is RecordingState.DISCARDED:
        return [DiscardAudio(recording.facts())]
    if recording.measured is not None:
        return []
    if recording.over:
        return [FinishRecording(recording.facts())]
    died = event.pbx_started_at is not None and recording.created_at < event.pbx_started_at
    return steering.take(recording, Input.PBX_DIED if died else Input.ENDED, event.at)
