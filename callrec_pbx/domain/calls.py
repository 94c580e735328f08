"""All calls of one PBX: takes events, finds the call and leg they speak of, returns commands.

Here is who is where: legs, bridges, calls that merge and end. What follows from it stands beside:
`asking` (offer and consent), `selecting` (whether to record), `steering` and `progress` (what is
done to a recording, and what came of it), `telling` (of it to the parties), `keys`, `voicemail`,
`profiles`, `restart`.

Nothing here raises for an event that comes late, twice, or about something unknown; such events
are counted in `Calls.ignored`.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable
from datetime import datetime
from functools import partial

from callrec_pbx.domain import (
    asking,
    events,
    keys,
    profiles,
    progress,
    restart,
    selecting,
    steering,
    voicemail,
)
from callrec_pbx.domain.call import Call, Leg
from callrec_pbx.domain.commands import (
    Command,
    SaveCall,
    SaveRecording,
)
from callrec_pbx.domain.facts import PromptBook
from callrec_pbx.domain.policy import Policy
from callrec_pbx.domain.recording import Input, Recording
from callrec_pbx.domain.words import (
    CallState,
    Consent,
    LegKind,
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
        self.full: frozenset[str] = frozenset()
        """Tenants without room for more recordings; see `CallInQuestion.full`."""
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
            events.CallOffered: partial(asking.call_offered, self),
            events.OfferUnanswered: partial(asking.offer_unanswered, self),
            events.ConsentReported: partial(asking.consent_reported, self),
            events.WhisperPlayed: partial(asking.whisper_played, self),
            events.LegBridged: self._leg_bridged,
            events.LegUnbridged: self._leg_unbridged,
            events.CallTransferred: self._call_transferred,
            events.KeyPressed: self._key_pressed,
            events.VoicemailReached: partial(voicemail.reached, self),
            events.ProfileDialled: partial(profiles.dialled, self),
            events.ProfileSwitched: partial(profiles.switched, self),
            events.RecordingStarted: partial(progress.recording_started, self),
            events.RecordingPaused: partial(progress.recording_paused, self),
            events.RecordingResumed: partial(progress.recording_resumed, self),
            events.RecordingStopped: partial(progress.recording_stopped, self),
            events.CommandFailed: partial(progress.command_failed, self),
            events.AudioMissing: partial(progress.audio_missing, self),
            events.RecordingFinished: partial(progress.recording_finished, self),
            events.TimerFired: partial(progress.timer_fired, self),
            events.LegHungUp: self._leg_hung_up,
            events.SnapshotTaken: partial(restart.take_snapshot, self),
        }

    def handle(self, event: events.Event) -> Commands:
        """Take one event and say what is to be done, in order."""
        return self._handlers[type(event)](event)

    def adopt(self, policy: Policy, at: datetime) -> Commands:
        """Decide new calls by another policy; calls under way keep theirs.

        Only a tenant's recording that has been switched off at once ends recordings that run.
        """
        self.policy = policy
        return selecting.stop_switched_off(self, at)

    def running(self, tenant: str) -> int:
        """How many recordings of that tenant the PBX writes now."""
        count = 0
        for recording in self.recordings.values():
            if not recording.over:
                # By the name it began under, too: a call may go on under an older policy.
                owner = self.policy.tenant_of(recording.decision, recording.line)
                count += tenant in (recording.decision.tenant, owner.name if owner else "")
        return count

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
        leg = Leg(
            leg=who.leg,
            channel=who.channel,
            kind=who.kind,
            line=who.line,
            number=who.number,
            name=who.name,
            created_at=at,
            call=call,
            trunk=who.trunk,
        )
        self.legs[who.leg] = leg
        self.departed.pop(who.leg, None)
        call.live[who.leg] = leg
        return leg

    def _leg_created(self, event: events.LegCreated) -> Commands:
        if not self.has_left(event.who.leg, "created"):
            self.leg_of(event.who, event.at)
        return []

    def has_left(self, leg: str, what: str) -> bool:
        """Whether an event comes too late, after the leg's hangup; counted if it does."""
        if leg not in self.departed:
            return False
        self.ignored[f"{what}: leg has hung up"] += 1
        return True

    def known(self, leg: str, what: str) -> Leg | None:
        """The living leg of that id; counted if there is none."""
        found = self.legs.get(leg)
        if found is None:
            self.ignored[f"{what}: unknown leg"] += 1
        return found

    def _leg_bridged(self, event: events.LegBridged) -> Commands:
        if self.has_left(event.who.leg, "bridged"):
            return []
        leg = self.leg_of(event.who, event.at)
        commands = voicemail.left(leg, event.at)
        self.enter_bridge(leg, event.bridge, event.holding, event.at)
        if not leg.bridge:
            return commands
        commands += self.merge_by(leg, event.who.ref, event.at)
        bridge = self.bridges[event.bridge]
        for member in list(bridge.values()):
            commands += self.merge(leg.call, member.call, event.at)
        answered = len(bridge) > 1 and leg.call.answered_at is None
        if answered:
            leg.call.answer(event.at)
            if leg.call.direction is None:
                self.note_unoffered(leg.call)
        for member in list(bridge.values()):
            commands += selecting.consider(self, member, event.at)
        # So that a listener that is restarted knows of a call that nobody offered.
        return [*commands, SaveCall(leg.call.facts())] if answered else commands

    def note_unoffered(self, call: Call) -> None:
        """Without an offer (passive mode): as the legs tell, in the order of their creation."""
        call.direction = selecting.direction_of(call)
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
        leg = self.known(event.leg, "unbridged")
        if leg is None or leg.bridge != event.bridge:
            return []
        self._leave_bridge(leg)
        return self._consider_bridge(event.bridge, event.at)

    def _consider_bridge(self, bridge: str, at: datetime) -> Commands:
        """Who stood against a recording may just have left those who still talk."""
        commands: Commands = []
        for member in list(self.bridges.get(bridge, {}).values()):
            commands += selecting.consider(self, member, at)
        return commands

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
            commands += steering.discard_all(older, at)
        if older.refused:
            commands += selecting.consider_all(self, older, at)
        return commands

    def _remember(self, call: Call) -> None:
        self.closed[call.call_id] = call
        if len(self.closed) > CLOSED_KEPT:
            self.closed.popitem(last=False)

    def _call_transferred(self, event: events.CallTransferred) -> Commands:
        leg = self.known(event.leg, "transferred")
        if leg is not None:
            leg.call.transfers.append(f"{event.kind}:{event.target}")
        return []

    def _key_pressed(self, event: events.KeyPressed) -> Commands:
        leg = self.known(event.leg, "key")
        return [] if leg is None else keys.press(self, leg, event.key, event.at)

    def _leg_hung_up(self, event: events.LegHungUp) -> Commands:
        leg = self.known(event.leg, "hangup")
        return [] if leg is None else self.end_leg(leg, Input.ENDED, event.at)

    def end_leg(self, leg: Leg, input_: Input, at: datetime) -> Commands:
        """The leg is gone; so is what was recorded on it, and with the last leg the call."""
        commands: Commands = []
        if leg.recording is not None:
            commands += steering.take(leg.recording, input_, at)
        if leg.consent is Consent.ASKING:
            leg.consent = Consent.NO_ANSWER
        bridge = leg.bridge
        self._leave_bridge(leg)
        leg.ended_at = at
        call = leg.call
        call.gone.append(leg.facts())
        call.live.pop(leg.leg, None)
        self.legs.pop(leg.leg, None)
        self.departed[leg.leg] = None
        if len(self.departed) > DEPARTED_KEPT:
            self.departed.popitem(last=False)
        commands += self._consider_bridge(bridge, at)
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
