"""A small PBX and a disk, in memory, for feeding the domain with what can happen to it.

The PBX carries commands out when it is told to, leg by leg in order as the recorder has them
carried out, and may refuse them or do them without saying so. Events wait in a line and can be
doubled, lost, or swapped on their way. It keeps what a real one keeps: after a stop the channel
still names the last file.
"""

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from callrec_pbx.domain import commands as c
from callrec_pbx.domain import events as e
from callrec_pbx.domain.calls import Calls
from callrec_pbx.domain.facts import CallFacts, PromptBook, PromptFacts, RecordingFacts
from callrec_pbx.domain.policy import Policy
from callrec_pbx.domain.words import (
    Consent,
    ConsentMode,
    Direction,
    Key,
    LegKind,
    RecordingState,
)

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
PROMPT_MS = 5000
PROMPTS = PromptBook(
    {
        ("en", name): PromptFacts(name, "en", f"sha-{name}", PROMPT_MS, "1")
        for name in ("announce", "announce_opt_out", "announce_opt_in")
    }
)
CLOSED = {RecordingState.STORED, RecordingState.FAILED}


def is_closed(recording: RecordingFacts) -> bool:
    """Whether nothing is left to be done about it."""
    measured = recording.state is RecordingState.INTERRUPTED and recording.audio_ms is not None
    return recording.state in CLOSED or measured


@dataclass
class Channel:
    """A leg as the PBX has it."""

    who: e.Who
    created_at: datetime
    bridge: str = ""
    holding: bool = False
    monitor: str = ""
    muted: bool = False
    last_file: str = ""
    stopped_by: Key | None = None
    offer: e.CallOffered | None = None
    consent: e.ConsentReported | None = None
    voicemail: e.VoicemailReached | None = None


@dataclass
class World:
    """The PBX, the disk, and the domain between them.

    Attributes:
        lossless: Whether every event has reached the domain once and in order.
    """

    policy: Policy
    now: datetime = START
    channels: dict[str, Channel] = field(default_factory=dict)
    events: deque[e.Event] = field(default_factory=deque)
    past: list[e.Event] = field(default_factory=list)
    queues: dict[str, deque[c.Command]] = field(default_factory=dict)
    work: deque[RecordingFacts] = field(default_factory=deque)
    timers: dict[str, float] = field(default_factory=dict)
    recordings: dict[str, RecordingFacts] = field(default_factory=dict)
    calls_saved: dict[str, CallFacts] = field(default_factory=dict)
    outcomes: dict[str, set[tuple[str, str]]] = field(default_factory=dict)
    closed: Counter[str] = field(default_factory=Counter)
    withdrawn: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    merged: dict[str, str] = field(default_factory=dict)
    linked: bool = True
    pbx_started_at: datetime = START - timedelta(days=1)
    lossless: bool = True
    torn: bool = False
    numbers: int = 0

    def __post_init__(self) -> None:
        self.domain = Calls(self.policy, PROMPTS, self.new_id)

    def number(self) -> int:
        """A number never used before."""
        self.numbers += 1
        return self.numbers

    def new_id(self, _: datetime) -> str:
        """An id of our own."""
        return f"{self.number():026d}"

    def pass_time(self, seconds: float) -> None:
        """Let time go by; timers fire."""
        self.now += timedelta(seconds=seconds)
        for key in [key for key, left in self.timers.items() if left <= seconds]:
            del self.timers[key]
            self.handle(e.TimerFired(self.now, key))
        self.timers = {key: left - seconds for key, left in self.timers.items()}

    # what happens on the PBX

    def leg(self, kind: LegKind, ref: str = "", line: str = "") -> Channel:
        """A new channel."""
        number = self.number()
        leg = f"{number}"
        technology = {LegKind.LINE: line, LegKind.OUTSIDE: "trunk", LegKind.OTHER: "local"}
        who = e.Who(
            leg=leg,
            channel=f"PJSIP/{technology[kind]}-{number:08x}",
            ref=ref or leg,
            kind=kind,
            line=line if kind is LegKind.LINE else "",
            number=f"0{number}",
        )
        channel = self.channels[leg] = Channel(who, self.now)
        self.say(e.LegCreated(self.now, who))
        return channel

    def offer(
        self,
        channel: Channel,
        direction: Direction,
        line: str | None,
        menu: Consent | None = None,
    ) -> None:
        """The dialplan asks what to do, and says what the party has answered in a menu."""
        event = e.CallOffered(self.now, channel.who, direction, line, "", "", line or "", menu)
        channel.offer, channel.voicemail = event, None
        self.say(event)

    def voicemail(self, channel: Channel, line: str | None) -> None:
        """The dialplan is about to let a caller leave a message."""
        channel.voicemail = e.VoicemailReached(self.now, channel.who, line)
        self.say(channel.voicemail)

    def ask(self, channel: Channel, mode: ConsentMode, key: str, heard_ms: int) -> None:
        """A party hears the announcement for so long, and presses a key or none."""
        name = {ConsentMode.ANNOUNCE: "announce"}.get(mode, f"announce_{mode.value}")
        begun = self.now - timedelta(milliseconds=heard_ms)
        event = e.ConsentReported(
            self.now, channel.who.leg, mode, name, "en", key, begun, self.now, heard_ms > 0
        )
        channel.consent = event
        self.say(event)

    def bridge(self, channel: Channel, bridge: str, holding: bool = False) -> None:
        """A channel enters a bridge."""
        self.leave(channel)
        channel.bridge, channel.holding = bridge, holding
        self.say(e.LegBridged(self.now, channel.who, bridge, holding))

    def leave(self, channel: Channel) -> None:
        """A channel leaves its bridge."""
        if channel.bridge:
            self.say(e.LegUnbridged(self.now, channel.who.leg, channel.bridge))
        channel.bridge, channel.holding = "", False

    def relink(self, channel: Channel, ref: str) -> None:
        """The PBX gives a channel the id of another call, as after an attended transfer."""
        channel.who = replace(channel.who, ref=ref)

    def press(self, channel: Channel, key: Key) -> None:
        """An agent's key; without a listener the PBX itself stops writing."""
        self.say(e.KeyPressed(self.now, channel.who.leg, key))
        if channel.who.kind is not LegKind.LINE:
            return  # nothing is recorded of it, and what it asks for does not count
        if not self.linked and key is not Key.START:
            self._close(channel)
            channel.stopped_by = key
            pause = key is Key.PAUSE
            self.say(e.RecordingStopped(self.now, channel.who.leg, pause, not pause))

    def hang_up(self, channel: Channel) -> None:
        """A channel ends, and with it its recording."""
        self.leave(channel)
        self._close(channel)
        self.say(e.LegHungUp(self.now, channel.who.leg))
        self.channels.pop(channel.who.leg, None)

    def _close(self, channel: Channel) -> None:
        if channel.monitor:
            channel.monitor, channel.muted = "", False
            self.say(e.RecordingStopped(self.now, channel.who.leg))

    def say(self, event: e.Event) -> None:
        """Put an event in the line; without a link nobody hears it."""
        if self.linked:
            self.events.append(event)

    # between PBX and domain

    def deliver(self, count: int = 1_000_000) -> None:
        """Hand events on."""
        while self.events and count > 0:
            event = self.events.popleft()
            self.past.append(event)
            self.handle(event)
            count -= 1

    def handle(self, event: e.Event) -> None:
        """Give the domain one event and take its commands."""
        self._note_refusal(event)
        commands = self.domain.handle(event)
        self._note_menus(event)
        for command in commands:
            self._take(command)

    def _note_menus(self, event: e.Event) -> None:
        """The same for those who have declined in a menu, as the domain hears of it."""
        offers = [event] if isinstance(event, e.CallOffered) else []
        if isinstance(event, e.SnapshotTaken):
            offers = [seen.offer for seen in event.legs if seen.offer is not None]
        for offer in offers:
            leg = self.domain.legs.get(offer.who.leg)
            if leg is not None and offer.outer_consent is Consent.DECLINED:
                self.refused.add(leg.call.call_id)

    def adopt(self, policy: Policy) -> None:
        """The administrator has changed the policy."""
        self.policy = policy
        for command in self.domain.adopt(policy, self.now):
            self._take(command)

    def _note_refusal(self, event: e.Event) -> None:
        """Keep our own account of who refused, to hold the domain's against."""
        leg = self.domain.legs.get(getattr(event, "leg", ""))
        if leg is None:
            return
        declined = isinstance(event, e.ConsentReported) and (
            (event.mode is ConsentMode.OPT_OUT and event.key == "*")
            or (event.mode is ConsentMode.OPT_IN and event.key == "2")
        )
        discarded = (
            isinstance(event, e.KeyPressed)
            and event.key is Key.DISCARD
            and leg is not None
            and leg.kind is LegKind.LINE
        )
        discarded = discarded or (isinstance(event, e.RecordingStopped) and event.offline_discard)
        if declined or discarded:
            self.refused.add(leg.call.call_id)
        if discarded:
            self.withdrawn.add(leg.call.call_id)

    def call_of(self, call_id: str) -> str:
        """The call that this one has become part of."""
        while call_id in self.merged:
            call_id = self.merged[call_id]
        return call_id

    def is_withdrawn(self, call_id: str) -> bool:
        """Whether the audio of what is one call now is to be deleted."""
        return self.call_of(call_id) in {self.call_of(withdrawn) for withdrawn in self.withdrawn}

    def is_refused(self, call_id: str) -> bool:
        """Whether anybody in what is one call now has refused."""
        return self.call_of(call_id) in {self.call_of(refused) for refused in self.refused}

    def _take(self, command: c.Command) -> None:
        if isinstance(command, c.SaveCall):
            self._save_call(command.call)
        elif isinstance(command, c.SetTimer):
            assert command.after_s >= 0
            self.timers[command.key] = command.after_s
        elif isinstance(command, c.CancelTimer):
            self.timers.pop(command.key, None)
        elif isinstance(command, c.FinishRecording):
            self.work.append(command.recording)
        elif isinstance(command, c.TellParties):
            recorded = self.domain.legs[command.leg].recorded
            assert recorded == (command.prompt == "started"), "told what is not so"
        elif isinstance(command, c.SwitchProfile):
            assert self.domain.legs[command.leg].line == command.line
        elif isinstance(command, c.AnswerOffer | c.AnswerKey | c.HangUpCall | c.CheckAudio):
            pass
        else:
            self._queue(command)

    def _save_call(self, call: CallFacts) -> None:
        self.calls_saved[call.call_id] = call
        if call.merged_into:
            self.merged[call.call_id] = call.merged_into
        if call.outcome is not None:
            self.outcomes.setdefault(call.call_id, set()).add((call.outcome, call.reason))
            self.closed[call.call_id] += 1
            assert call.reason
            assert self.closed[call.call_id] == 1, "an outcome twice"

    def _queue(
        self,
        command: c.SaveRecording
        | c.StartRecording
        | c.PauseRecording
        | c.ResumeRecording
        | c.StopRecording
        | c.DiscardAudio,
    ) -> None:
        recording = command.recording
        if isinstance(command, c.StartRecording):
            starts = [q for q in self.queues.get(recording.leg, ()) if type(q) is type(command)]
            assert recording.recording_id not in {q.recording.recording_id for q in starts}
            assert not self.is_refused(recording.call_id), "recorded after a refusal"
        if isinstance(command, c.StartRecording | c.PauseRecording | c.ResumeRecording):
            waiting = self.queues.get(recording.leg, deque())
            saved = [q for q in waiting if isinstance(q, c.SaveRecording)]
            ours = [q for q in saved if q.recording.recording_id == recording.recording_id]
            assert ours, "not saved before"
        self.queues.setdefault(recording.leg, deque()).append(command)

    # carrying commands out

    def carry_out(self, leg: str, how: str = "done") -> None:
        """Carry out the next command for that leg.

        Args:
            how: `done`; `refused`, and not done; `silent`, done but not answered; `lost`, neither
                done nor answered. Without an answer the recorder drops the link.
        """
        queue = self.queues[leg]
        command = queue.popleft()
        if not queue:
            del self.queues[leg]
        assert hasattr(command, "recording")
        recording = command.recording
        if isinstance(command, c.SaveRecording):
            self.recordings[recording.recording_id] = recording
        elif isinstance(command, c.DiscardAudio):
            self.deleted.add(recording.recording_id)
            self.handle(e.RecordingFinished(self.now, recording))
        else:
            self._steer(command, recording, how)

    def _steer(self, command: c.Command, recording: RecordingFacts, how: str) -> None:
        what = type(command).__name__.removesuffix("Recording").lower()
        channel = self.channels.get(recording.leg)
        if not self.linked:
            return  # not sent: what the PBX shows when we look again decides
        unknown = what != "start" and channel and channel.monitor != recording.recording_id
        if channel is None or unknown:
            how = "refused"
        elif how == "refused" and what == "stop":
            how = "done"  # there is no reason to refuse it
        if channel is not None and how in ("done", "silent"):
            self._do(what, channel, recording)
        if how == "refused":
            self.deliver()
            failed = e.CommandFailed(self.now, recording.recording_id, what, "pbx_refused")
            self.handle(failed)
        elif how != "done":
            self.cut()

    def _do(self, what: str, channel: Channel, recording: RecordingFacts) -> None:
        leg = recording.leg
        if what == "start":
            assert not channel.monitor, "two recordings on one leg"
            channel.monitor = channel.last_file = recording.recording_id
            channel.muted, channel.stopped_by = False, None
            self.say(e.RecordingStarted(self.now, leg))
        elif what == "pause":
            channel.muted = True
            self.say(e.RecordingPaused(self.now, leg))
        elif what == "resume":
            channel.muted = False
            self.say(e.RecordingResumed(self.now, leg))
        else:
            self._close(channel)

    def finish(self, good: bool) -> None:
        """Do the follow-up work on the next closed file."""
        facts = self.work.popleft()
        if facts.state is RecordingState.CAPTURED:
            facts = replace(facts, state=RecordingState.STORED)
        elif facts.state is RecordingState.STORED:
            good = True  # it was done before
        if not good:
            facts = replace(facts, state=RecordingState.FAILED, reason="no_audio")
        self.handle(e.RecordingFinished(self.now, replace(facts, audio_ms=1000, sha256="s")))

    def settle(self) -> None:
        """Let everything under way come to its end without fault."""
        if not self.linked:
            self.look()
        self.deliver()
        while self.queues or self.work:
            while self.queues:
                self.carry_out(next(iter(self.queues)))
                self.deliver()
            while self.work:
                self.finish(True)
                self.deliver()

    # link and processes

    def cut(self) -> None:
        """The link is lost: what the PBX has said is still read, later events are not heard."""
        self.deliver()
        self.linked = False

    def look(
        self, unfinished: tuple[RecordingFacts, ...] = (), calls: tuple[CallFacts, ...] = ()
    ) -> None:
        """Connect again and take a snapshot; nothing asked for before is under way by then."""
        self.cut()
        while self.queues:
            self.carry_out(next(iter(self.queues)))
        self.linked = True
        self.events.clear()
        self.handle(
            e.SnapshotTaken(
                at=self.now,
                legs=tuple(self._seen(channel) for channel in self.channels.values()),
                pbx_started_at=self.pbx_started_at,
                unfinished=unfinished,
                open_calls=calls,
            )
        )

    def _seen(self, channel: Channel) -> e.LegSeen:
        return e.LegSeen(
            who=channel.who,
            created_at=channel.created_at,
            bridge=channel.bridge,
            holding=channel.holding,
            offer=channel.offer,
            consent=channel.consent,
            voicemail=channel.voicemail,
            recording=channel.last_file,
            offline_pause=channel.stopped_by is Key.PAUSE,
            offline_discard=channel.stopped_by is Key.DISCARD,
        )

    def restart(self, torn: bool = False) -> None:
        """The listener is killed and started again: only what was written is known.

        Args:
            torn: Whether writing to the disk was behind, too.
        """
        self.torn = self.torn or torn
        for command in (command for queue in self.queues.values() for command in queue):
            if isinstance(command, c.SaveRecording) and not torn:
                self.recordings[command.recording.recording_id] = command.recording
        self.queues.clear()
        self.closed.clear()
        self.work.clear()
        self.timers.clear()
        self.domain = Calls(self.policy, PROMPTS, self.new_id)
        unfinished = [r for r in self.recordings.values() if not is_closed(r)]
        owners = {recording.call_id for recording in unfinished}
        calls = [
            call
            for call in self.calls_saved.values()
            if call.ended_at is None or call.call_id in owners
        ]
        ids = {call.call_id for call in calls}
        others = [r for r in self.recordings.values() if is_closed(r) and r.call_id in ids]
        self.look((*unfinished, *others), tuple(calls))

    def die(self) -> None:
        """The PBX is killed and started again: no channel is left, nothing was said."""
        self.cut()
        self.channels.clear()
        self.pass_time(5)
        self.pbx_started_at = self.now
