"""All calls of one PBX: takes events, finds the call and leg they speak of, returns commands.

Nothing here raises for an event that comes late, twice, or about something unknown; such events
are counted in `Calls.ignored`.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import datetime

from callrec_pbx.domain import consent, events, keys, restart
from callrec_pbx.domain.call import Call, Leg
from callrec_pbx.domain.commands import (
    AnswerOffer,
    CancelTimer,
    Command,
    HangUpCall,
    SaveCall,
    SaveRecording,
    SetTimer,
)
from callrec_pbx.domain.facts import ConsentFacts, Decision, PromptBook
from callrec_pbx.domain.policy import CallInQuestion, Policy
from callrec_pbx.domain.recording import PAUSE_FAILED, Input, Recording
from callrec_pbx.domain.words import (
    CallState,
    Consent,
    ConsentMode,
    Direction,
    LegKind,
    Mode,
    OnTrouble,
    Outcome,
    RecordingState,
)

Commands = list[Command]

CLOSED_KEPT = 1000
"""Calls remembered after their end, for what is still written about them."""

DEPARTED_KEPT = 10_000
"""Legs remembered after their hangup, so that a late event does not bring one back to life."""


class Calls:
    """The calls of one PBX.

    Args:
        policy: Decides; may be replaced at any time.
        prompts: The announcements that are installed.
        new_id: Makes an id of our own from the time; injected, as randomness is not pure.
    """

    def __init__(
        self, policy: Policy, prompts: PromptBook, new_id: Callable[[datetime], str]
    ) -> None:
        self.policy = policy
        self.prompts = prompts
        self.new_id = new_id
        self.calls: dict[str, Call] = {}
        self.legs: dict[str, Leg] = {}
        self.by_ref: dict[str, Call] = {}
        self.bridges: dict[str, dict[str, Leg]] = {}
        self.recordings: dict[str, Recording] = {}
        self.closed: OrderedDict[str, Call] = OrderedDict()
        self.departed: OrderedDict[str, None] = OrderedDict()
        self.ignored: Counter[str] = Counter()
        self._handlers: dict[type, Callable[..., Commands]] = {
            events.LegCreated: self._leg_created,
            events.CallOffered: self._call_offered,
            events.OfferUnanswered: self._offer_unanswered,
            events.ConsentReported: self._consent_reported,
            events.WhisperPlayed: self._whisper_played,
            events.LegBridged: self._leg_bridged,
            events.LegUnbridged: self._leg_unbridged,
            events.CallTransferred: self._call_transferred,
            events.KeyPressed: self._key_pressed,
            events.RecordingStarted: self._recording_started,
            events.RecordingPaused: self._recording_paused,
            events.RecordingResumed: self._recording_resumed,
            events.RecordingStopped: self._recording_stopped,
            events.CommandFailed: self._command_failed,
            events.AudioMissing: self._audio_missing,
            events.RecordingFinished: self._recording_finished,
            events.TimerFired: self._timer_fired,
            events.LegHungUp: self._leg_hung_up,
            events.SnapshotTaken: self._snapshot_taken,
        }

    def handle(self, event: events.Event) -> Commands:
        """Take one event and say what is to be done, in order."""
        return self._handlers[type(event)](event)

    # legs

    def leg_of(self, who: events.Who, at: datetime, call: Call | None = None) -> Leg:
        """The leg spoken of; when it is new, made in that call or in the one the PBX names."""
        leg = self.legs.get(who.leg)
        if leg is not None:
            leg.number = leg.number or who.number
            leg.name = leg.name or who.name
            leg.channel = who.channel
            if leg.recording is not None:
                leg.recording.channel = who.channel
            return leg
        call = call or self.by_ref.get(who.ref)
        if call is None or call.ended_at is not None:
            call = Call(self.new_id(at), [who.ref], at)
            self.calls[call.call_id] = call
            self.by_ref[who.ref] = call
        leg = Leg(who.leg, who.channel, who.kind, who.line, who.number, who.name, at, call)
        self.legs[who.leg] = leg
        self.departed.pop(who.leg, None)
        call.live[who.leg] = leg
        return leg

    def _leg_created(self, event: events.LegCreated) -> Commands:
        if not self._has_left(event.who.leg, "created"):
            self.leg_of(event.who, event.at)
        return []

    def _has_left(self, leg: str, what: str) -> bool:
        if leg not in self.departed:
            return False
        self.ignored[f"{what}: leg has hung up"] += 1
        return True

    def _known(self, leg: str, what: str) -> Leg | None:
        found = self.legs.get(leg)
        if found is None:
            self.ignored[f"{what}: unknown leg"] += 1
        return found

    # the offer and the consent

    def _call_offered(self, event: events.CallOffered) -> Commands:
        if self._has_left(event.who.leg, "offered"):
            return []
        leg = self.leg_of(event.who, event.at)
        call = leg.call
        self.note_offer(call, leg, event)
        decision = call.decision = self.decide(call, event.line)
        outbound = call.direction is Direction.OUTBOUND
        asks = ConsentMode.NONE
        if decision.may_record and not call.refused:
            asks = decision.consent
        prompt = self.prompts.find(consent.PROMPT_FOR.get(asks, ""), decision.language)
        if prompt is None:
            asks = ConsentMode.NONE  # fail closed: without an announcement nobody was asked
        ask_caller = asks if self._is_to_be_asked(call, leg) else ConsentMode.NONE
        if ask_caller is not ConsentMode.NONE:
            leg.consent = consent.after(leg.consent, consent.ASK)
        whisper = "whisper" if decision.whisper and not call.refused and not outbound else ""
        answer = AnswerOffer(
            leg=leg.leg,
            channel=leg.channel,
            ask=ask_caller,
            ask_callee=asks if outbound else ConsentMode.NONE,
            callee=LegKind.OUTSIDE if outbound else LegKind.LINE,
            prompt=prompt.name if prompt else "",
            whisper=whisper,
            language=prompt.language if prompt else decision.language,
            on_refusal=decision.on_refusal,
        )
        return [answer, SaveCall(call.facts())]

    def _is_to_be_asked(self, call: Call, leg: Leg) -> bool:
        """Whether the leg that is offered is the party whose consent counts, and is not asked yet.

        An agent who consults a colleague about an outside call is not, nor is a local channel.
        """
        if leg.consent is not Consent.UNASKED or leg.kind is LegKind.OTHER:
            return False
        if leg.kind is LegKind.OUTSIDE:
            return True
        outside = any(party.kind is LegKind.OUTSIDE for party in call.live.values())
        return call.direction is Direction.INTERNAL and not outside

    def note_offer(self, call: Call, leg: Leg, event: events.CallOffered) -> None:
        """Keep what an offer says; a trunk leg never begins an internal call."""
        direction = event.direction
        if leg.kind is LegKind.OUTSIDE and direction is Direction.INTERNAL:
            direction = Direction.INBOUND
        if call.direction is None:
            call.direction = direction
            call.offering_leg = leg.leg
            call.a_number = leg.number if leg.kind is not LegKind.LINE else (leg.line or leg.number)
            call.a_name = leg.name
            call.b_number = event.dialled or event.ddi or (event.line or "")
            call.ddi = event.ddi
        call.queue = event.queue or call.queue
        call.line = event.line

    def _offer_unanswered(self, event: events.OfferUnanswered) -> Commands:
        leg = self._known(event.leg, "offer unanswered")
        if leg is not None:
            leg.consent = consent.after(leg.consent, consent.CANNOT_ASK)
        return []

    def _consent_reported(self, event: events.ConsentReported) -> Commands:
        leg = self._known(event.leg, "consent")
        if leg is None or not self.note_consent(leg, event):
            return []
        commands: Commands = [SaveCall(leg.call.facts())]
        return commands + self.consider_all(leg.call, event.at)

    def note_consent(self, leg: Leg, event: events.ConsentReported) -> bool:
        """Keep what came of asking a party, and say whether that changes anything."""
        call = leg.call
        evidence = self._evidence(leg, event)
        before = leg.consent
        leg.consent = consent.after(before, evidence.outcome.value)
        if leg.consent is before:
            return False
        call.consents = [c for c in call.consents if c.party != leg.leg] + [evidence]
        refusal = consent.refusal(leg.consent, event.mode, event.completed)
        if refusal:
            call.refuse(refusal)
        return True

    def _evidence(self, leg: Leg, event: events.ConsentReported) -> ConsentFacts:
        prompt = self.prompts.find(event.prompt, event.language)
        prompt_ms = prompt.duration_ms if prompt else 0
        elapsed = round((event.played_to - event.played_from).total_seconds() * 1000)
        played_ms = max(0, min(elapsed, prompt_ms))
        return ConsentFacts(
            party=leg.leg,
            number=leg.number or leg.line,
            mode=event.mode,
            outcome=consent.meaning(event.mode, event.key, played_ms, prompt_ms, event.completed),
            prompt=event.prompt,
            prompt_sha256=prompt.sha256 if prompt else "",
            prompt_version=prompt.version if prompt else "",
            language=prompt.language if prompt else event.language,
            played_from=event.played_from,
            played_to=event.played_to,
            played_ms=played_ms,
            prompt_ms=prompt_ms,
            key=event.key,
        )

    def _whisper_played(self, event: events.WhisperPlayed) -> Commands:
        leg = self._known(event.leg, "whisper")
        if leg is not None:
            leg.whispered_at = event.at
        return []

    # bridges

    def _leg_bridged(self, event: events.LegBridged) -> Commands:
        if self._has_left(event.who.leg, "bridged"):
            return []
        leg = self.leg_of(event.who, event.at)
        self.enter_bridge(leg, event.bridge, event.holding, event.at)
        if not leg.bridge:
            return []
        commands = self.merge_by(leg, event.who.ref, event.at)
        bridge = self.bridges[event.bridge]
        for member in list(bridge.values()):
            commands += self.merge(leg.call, member.call, event.at)
        answered = len(bridge) > 1 and leg.call.answered_at is None
        if answered:
            leg.call.answer(event.at)
            if leg.call.direction is None:
                self.note_unoffered(leg.call)
        for member in list(bridge.values()):
            commands += self.consider(member, event.at)
        # So that a listener that is restarted knows of a call that nobody offered.
        return [*commands, SaveCall(leg.call.facts())] if answered else commands

    def note_unoffered(self, call: Call) -> None:
        """Without an offer (passive mode): as the legs tell, in the order of their creation."""
        call.direction = self.direction_of(call)
        legs = [leg for leg in call.live.values() if leg.kind is not LegKind.OTHER]
        legs.sort(key=lambda leg: leg.created_at)
        for leg in legs[:1]:
            call.offering_leg = leg.leg
            call.a_number, call.a_name = leg.line or leg.number, leg.name
        for leg in legs[1:2]:
            call.b_number = call.c_number = leg.line or leg.number

    def enter_bridge(self, leg: Leg, bridge: str, holding: bool, at: datetime) -> None:
        """Note where a leg is; in a holding bridge, or none (empty), nobody talks."""
        self._leave_bridge(leg)
        if holding or not bridge:
            return
        leg.bridge = bridge
        leg.bridged_at = leg.bridged_at or at
        self.bridges.setdefault(bridge, {})[leg.leg] = leg
        if leg.leg != leg.call.offering_leg and leg.kind is not LegKind.OTHER:
            leg.call.c_number = leg.call.c_number or leg.line or leg.number

    def _leave_bridge(self, leg: Leg) -> None:
        members = self.bridges.get(leg.bridge)
        if members is not None:
            members.pop(leg.leg, None)
            if not members:
                del self.bridges[leg.bridge]
        leg.bridge = ""

    def _leg_unbridged(self, event: events.LegUnbridged) -> Commands:
        leg = self._known(event.leg, "unbridged")
        if leg is not None and leg.bridge == event.bridge:
            self._leave_bridge(leg)
        return []

    def merge_by(self, leg: Leg, ref: str, at: datetime) -> Commands:
        """Make one call of that leg's and the one that the PBX now says it belongs to."""
        other = self.by_ref.get(ref)
        if other is None or other.ended_at is not None:
            leg.call.add_ref(ref)
            self.by_ref[ref] = leg.call
            return []
        return self.merge(leg.call, other, at)

    def merge(self, one: Call, two: Call, at: datetime) -> Commands:
        """Make one call of two whose legs talk to each other; the older one goes on."""
        if one is two or one.ended_at is not None or two.ended_at is not None:
            return []
        older, younger = sorted((one, two), key=lambda call: (call.started_at, call.call_id))
        moved = younger.recordings
        older.absorb(younger)
        younger.ended_at = at
        younger.close()
        for ref in younger.refs:
            self.by_ref[ref] = older
        self.calls.pop(younger.call_id, None)
        self._remember(younger)
        commands: Commands = [SaveCall(older.facts()), SaveCall(younger.facts())]
        commands += [SaveRecording(recording.facts()) for recording in moved]
        if older.withdrawn:
            commands += self.discard_all(older, at)
        if older.refused:
            commands += self.consider_all(older, at)
        return commands

    def _remember(self, call: Call) -> None:
        self.closed[call.call_id] = call
        if len(self.closed) > CLOSED_KEPT:
            self.closed.popitem(last=False)

    def _call_transferred(self, event: events.CallTransferred) -> Commands:
        leg = self._known(event.leg, "transferred")
        if leg is not None:
            leg.call.transfers.append(f"{event.kind}:{event.target}")
        return []

    # whether to record

    def decide(self, call: Call, line: str | None) -> Decision:
        """What the policy says of a call as far as that line is concerned."""
        outside = tuple(
            leg.number for leg in call.live.values() if leg.kind is LegKind.OUTSIDE and leg.number
        )
        far = call.a_number if call.direction is Direction.INBOUND else call.b_number
        numbers = (far, *outside) if call.direction is not Direction.INTERNAL else outside
        question = CallInQuestion(self.direction_of(call), line, call.ddi, call.queue, numbers)
        return self.policy.decide(question)

    def direction_of(self, call: Call) -> Direction:
        """As offered; without an offer, told from which leg came first."""
        if call.direction is not None:
            return call.direction
        legs = [leg for leg in call.live.values() if leg.kind is not LegKind.OTHER]
        if not any(leg.kind is LegKind.OUTSIDE for leg in legs):
            return Direction.INTERNAL
        return Direction.INBOUND if legs[0].kind is LegKind.OUTSIDE else Direction.OUTBOUND

    def consider_all(self, call: Call, at: datetime) -> Commands:
        """Look anew at every leg of a call that is in a conversation."""
        commands: Commands = []
        for leg in list(call.live.values()):
            commands += self.consider(leg, at)
        return commands

    def consider(self, leg: Leg, at: datetime, since: datetime | None = None) -> Commands:
        """Start the recording of a leg that should have one; stop one that may not go on.

        Args:
            since: When the talk began, where that is known to be before `at`.
        """
        call = leg.call
        if call.refused and leg.recording is not None and not leg.recording.over:
            return self.take(leg.recording, Input.STOP_WANTED, at, call.refused_by)
        members = self.bridges.get(leg.bridge, {})
        if leg.kind is not LegKind.LINE or len(members) < 2:  # noqa: PLR2004 - a conversation
            return []
        decision = self.decide(call, leg.line)
        hindrance = self._hindrance(leg, decision, members)
        if leg.recording is not None and not leg.recording.over:
            if hindrance is None:
                return []
            return self.take(leg.recording, Input.STOP_WANTED, at, hindrance[1])
        if hindrance is not None:
            call.skipped[leg.leg] = hindrance
            return []
        if leg.offline_paused or leg.kept_off:
            return []
        if leg.recording is not None and leg.recording.closing:
            return []  # the PBX's word that the old one is closed would be taken for the new one's
        return self.start(leg, decision, at, since or at)

    def _hindrance(
        self, leg: Leg, decision: Decision, members: dict[str, Leg]
    ) -> tuple[Outcome, str] | None:
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

    def start(self, leg: Leg, decision: Decision, at: datetime, since: datetime) -> Commands:
        """Begin a recording of the leg; `since` is when the talk began."""
        call = leg.call
        call.skipped.pop(leg.leg, None)
        if call.decision is None or not call.decision.may_record:
            call.decision = decision
        recording = Recording(
            recording_id=self.new_id(at),
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
        self.recordings[recording.recording_id] = recording
        return recording.start()

    # recordings

    def discard_all(self, call: Call, at: datetime) -> Commands:
        """Delete the audio of a whole call and keep the fact."""
        commands: Commands = []
        for recording in call.recordings:
            commands += self.take(recording, Input.DISCARD_WANTED, at, "consent_withdrawn")
        return commands

    def take(self, recording: Recording, input_: Input, at: datetime, reason: str = "") -> Commands:
        """Move a recording, and set or forget the timer that ends its pause."""
        was_paused = recording.state is RecordingState.PAUSED
        commands = recording.take(input_, at, reason)
        is_paused = recording.state is RecordingState.PAUSED
        key = f"resume:{recording.recording_id}"
        limit_s = recording.decision.resume_after_s
        if is_paused and limit_s and (not was_paused or input_ is Input.ADOPTED):
            # An adopted pause has lasted a while; its timer may have gone with the listener.
            commands.append(SetTimer(key, max(0.0, limit_s - recording.paused_s(at))))
        elif was_paused and not is_paused and limit_s:
            commands.append(CancelTimer(key))
        return commands

    def _on_leg(self, leg_id: str, input_: Input, at: datetime) -> Commands:
        leg = self._known(leg_id, input_.value)
        if leg is None or leg.recording is None:
            return []
        before = leg.recording.state
        commands = self.take(leg.recording, input_, at)
        if not commands:
            self.ignored[f"{input_.value}: {before.value}"] += 1
        return commands + self._after_stop(leg, before, at)

    def _after_stop(self, leg: Leg, before: RecordingState, at: datetime) -> Commands:
        """What stood against a recording may be gone by the time that it has been stopped."""
        recording = leg.recording
        if recording is None or not recording.over or recording.closing:
            return []
        if before is RecordingState.STOPPING or recording.doubtful:
            return self.consider(leg, at)
        return []

    def _recording_started(self, event: events.RecordingStarted) -> Commands:
        return self._on_leg(event.leg, Input.STARTED, event.at)

    def _recording_paused(self, event: events.RecordingPaused) -> Commands:
        commands = self._on_leg(event.leg, Input.PAUSED, event.at)
        return commands + keys.confirm(self, event.leg)

    def _recording_resumed(self, event: events.RecordingResumed) -> Commands:
        commands = self._on_leg(event.leg, Input.RESUMED, event.at)
        return commands + keys.confirm(self, event.leg)

    def _recording_stopped(self, event: events.RecordingStopped) -> Commands:
        leg = self.legs.get(event.leg)
        commands: Commands = []
        if leg is not None and event.offline_discard:
            commands += keys.withdraw(self, leg.call, event.at)
        elif leg is not None and event.offline_pause:
            leg.offline_paused = True
        return commands + self._on_leg(event.leg, Input.ENDED, event.at)

    def _command_failed(self, event: events.CommandFailed) -> Commands:
        recording = self.recordings.get(event.recording)
        if recording is None:
            return []
        failed, before = Input(f"{event.command}_failed"), recording.state
        # A recording that cannot be resumed or stopped has not failed, and one that has keeps why.
        reason = {Input.START_FAILED: event.reason, Input.PAUSE_FAILED: PAUSE_FAILED}.get(failed)
        commands = self.take(recording, failed, event.at, reason or "")
        leg = self.legs.get(recording.leg)
        if leg is None or leg.recording is not recording:
            return commands
        if commands and failed is Input.PAUSE_FAILED:
            leg.kept_off = True
        commands += keys.confirm(self, recording.leg)
        if failed is Input.START_FAILED and recording.state is not before:
            commands += self._on_failure(recording)
        return commands + self._after_stop(leg, before, event.at)

    def _audio_missing(self, event: events.AudioMissing) -> Commands:
        recording = self.recordings.get(event.recording)
        if recording is None:
            return []
        commands = self.take(recording, Input.AUDIO_MISSING, event.at, event.reason)
        return commands + self._on_failure(recording) if commands else []

    def _on_failure(self, recording: Recording) -> Commands:
        leg = self.legs.get(recording.leg)
        if leg is None or recording.decision.on_failure is not OnTrouble.HANG_UP:
            return []
        if leg.call.refused or recording.state is not RecordingState.FAILED:
            return []  # it was not to go on anyway
        members = self.bridges.get(leg.bridge, {leg.leg: leg})
        channels = tuple(member.channel for member in members.values())
        return [HangUpCall(channels, "unavailable", recording.decision.language)]

    def _recording_finished(self, event: events.RecordingFinished) -> Commands:
        recording = self.recordings.get(event.recording.recording_id)
        if recording is None:
            return []
        commands = recording.finished(event.recording)
        call = self.calls.get(recording.call_id)
        return commands + self.settle(call) if call is not None else commands

    def _timer_fired(self, event: events.TimerFired) -> Commands:
        recording = self.recordings.get(event.key.removeprefix("resume:"))
        if recording is None or recording.state is not RecordingState.PAUSED:
            return []
        return self.take(recording, Input.RESUME_WANTED, event.at)

    # keys, end and restart

    def _key_pressed(self, event: events.KeyPressed) -> Commands:
        leg = self._known(event.leg, "key")
        return [] if leg is None else keys.press(self, leg, event.key, event.at)

    def _leg_hung_up(self, event: events.LegHungUp) -> Commands:
        leg = self._known(event.leg, "hangup")
        return [] if leg is None else self.end_leg(leg, Input.ENDED, event.at)

    def end_leg(self, leg: Leg, input_: Input, at: datetime) -> Commands:
        """The leg is gone; so is what was recorded on it, and with the last leg the call."""
        commands: Commands = []
        if leg.recording is not None:
            commands += self.take(leg.recording, input_, at)
        if leg.consent is Consent.ASKING:
            leg.consent = Consent.NO_ANSWER
        self._leave_bridge(leg)
        leg.ended_at = at
        call = leg.call
        call.gone.append(leg.facts())
        call.live.pop(leg.leg, None)
        self.legs.pop(leg.leg, None)
        self.departed[leg.leg] = None
        if len(self.departed) > DEPARTED_KEPT:
            self.departed.popitem(last=False)
        if not call.live:
            call.ended_at = at
            commands += self.settle(call)
        return commands

    def settle(self, call: Call) -> Commands:
        """Close a call when its last leg is gone and its audio is finished."""
        if call.ended_at is None or not call.settled or call.state is CallState.ENDED:
            return []
        call.close()
        self.calls.pop(call.call_id, None)
        self._remember(call)
        for ref in call.refs:
            if self.by_ref.get(ref) is call:
                del self.by_ref[ref]
        for recording in call.recordings:
            self.recordings.pop(recording.recording_id, None)
        return [SaveCall(call.facts())]

    def _snapshot_taken(self, event: events.SnapshotTaken) -> Commands:
        return restart.take_snapshot(self, event)
