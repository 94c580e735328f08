"""Scenarios as text: a line is a time, a leg, what it does, and after `->` what must come of it.

    0.0  caller  offered inbound 301   -> ask opt_out, whisper
    5.1  caller  heard opt_out         ->
    9.0  caller  bridged
    9.0  301     bridged               -> start 301

Legs are named by what stands behind them: digits are lines (`301b` is another leg of line 301),
`local` is neither line nor outside, everything else is an outside party. `@2` behind a leg puts
it into the PBX's call 2. Commands that only save facts or look after the audio are left out of
what must come.
"""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from callrec_pbx.domain import commands as c
from callrec_pbx.domain import events as e
from callrec_pbx.domain.call import Call
from callrec_pbx.domain.calls import Calls
from callrec_pbx.domain.facts import PromptBook, PromptFacts, RecordingFacts
from callrec_pbx.domain.policy import Rule
from callrec_pbx.domain.words import (
    Consent,
    ConsentMode,
    Direction,
    Key,
    LegKind,
    Mode,
    RecordingState,
)
from tests import rules

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
PROMPT_MS = 5000
PROMPTS = PromptBook(
    {
        ("en", name): PromptFacts(name, "en", f"sha-{name}", PROMPT_MS, "1")
        for name in ("announce", "announce_opt_out", "announce_opt_in")
    }
)


def rule(mode: Mode = Mode.ALWAYS_PAUSABLE, /, **values: object) -> Rule:
    """A rule that records everything, but for what is said otherwise."""
    return rules.rule("anything", mode, **values)


ANYTHING = rule()


def who(name: str) -> e.Who:
    """What the PBX says of a leg with that name."""
    leg, _, ref = name.partition("@")
    line = re.match(r"\d+", leg)
    if line:
        kind, end = LegKind.LINE, line[0]
    else:
        kind, end = (LegKind.OTHER, "local") if leg == "local" else (LegKind.OUTSIDE, "trunk")
    number = "" if kind is LegKind.OTHER else (f"49{line[0]}" if line else f"+46{leg}")
    return e.Who(
        leg=leg,
        channel=f"PJSIP/{end}-{leg}",
        ref=f"call{ref or 1}",
        kind=kind,
        line=line[0] if line else "",
        number=number,
        name=leg.title(),
        trunk="trunk" if kind is LegKind.OUTSIDE else "",
    )


class Scene:
    """The domain with a policy, and a clock that starts at `START`.

    Attributes:
        saved: The latest facts of each recording.
        commands: All commands so far.
    """

    def __init__(
        self, *given: Rule, excluded: tuple[str, ...] = (), prompts: PromptBook = PROMPTS
    ) -> None:
        self.policy = rules.policy(*(given or (ANYTHING,)), excluded=excluded)
        self.prompts = prompts
        self.count = 0
        self.commands: list[c.Command] = []
        self.saved: dict[str, RecordingFacts] = {}
        self.calls = self._domain()

    def _domain(self) -> Calls:
        return Calls(self.policy, self.prompts, self._new_id)

    def _new_id(self, _: datetime) -> str:
        self.count += 1
        return f"id{self.count}"

    def play(self, text: str) -> None:
        """Play a scenario and compare what comes of each line."""
        for line in filter(None, map(str.strip, text.splitlines())):
            happens, _, wanted = line.partition("->")
            seconds, leg, *words = happens.split()
            found = self.give(self.event(START + timedelta(seconds=float(seconds)), leg, words))
            expected = [part.strip() for part in wanted.split(",") if part.strip()]
            assert found == expected, f"{line}\n  gave: {', '.join(found)}"

    def give(self, event: e.Event) -> list[str]:
        """Hand over one event; returns what it came to, in short words."""
        if isinstance(event, e.SnapshotTaken):
            self.saved |= {facts.recording_id: facts for facts in event.unfinished}
        commands = self.calls.handle(event)
        self.commands += commands
        for command in commands:
            if isinstance(command, c.SaveRecording):
                self.saved[command.recording.recording_id] = command.recording
        return [text for text in map(in_short, commands) if text]

    def recording(self, leg: str) -> RecordingFacts:
        """The latest recording of a leg."""
        return [r for r in self.saved.values() if r.leg == leg][-1]

    def recordings(self) -> list[tuple[str, str, str]]:
        """Owner, state and reason of all recordings."""
        return [(r.owner, r.state.value, r.reason) for r in self.saved.values()]

    def call(self, number: int = 0) -> Call:
        """A call of which one leg still lives, oldest first."""
        return list(self.calls.calls.values())[number]

    def outcomes(self) -> list[tuple[str, str]]:
        """Outcome and reason of the calls that have ended, but for those merged into others."""
        ended = [call for call in self.calls.closed.values() if not call.merged_into]
        return [(call.outcome.value, call.reason) for call in ended if call.outcome]

    def event(self, at: datetime, leg: str, words: list[str]) -> e.Event:
        """Make an event of the words of a line."""
        make = getattr(self, f"_{words[0]}", None)
        assert make is not None, f"unknown word {words[0]!r}"
        event: e.Event = make(at, who(leg), *words[1:])
        return event

    def _created(self, at: datetime, leg: e.Who) -> e.Event:
        return e.LegCreated(at, leg)

    def _offered(
        self, at: datetime, leg: e.Who, direction: str, line: str = "", *more: str
    ) -> e.Event:
        extra = dict(word.split("=") for word in more)
        ddi, queue = extra.get("ddi", ""), extra.get("queue", "")
        dialled = extra.get("dialled", line)
        menu = Consent(extra["menu"]) if "menu" in extra else None
        return e.CallOffered(
            at, leg, Direction(direction), line.strip("-") or None, ddi, queue, dialled, menu
        )

    def _unanswered(self, at: datetime, leg: e.Who) -> e.Event:
        return e.OfferUnanswered(at, leg.leg)

    def _heard(self, at: datetime, leg: e.Who, mode: str, *more: str) -> e.Event:
        extra = dict(word.split("=") for word in more)
        name = mode if mode == "announce" else f"announce_{mode}"
        name = extra.get("prompt", name)
        begun = at - timedelta(milliseconds=int(extra.get("ms", PROMPT_MS)))
        completed = extra.get("cut", "no") == "no"
        return e.ConsentReported(
            at, leg.leg, ConsentMode(mode), name, "en", extra.get("key", ""), begun, at, completed
        )

    def _whispered(self, at: datetime, leg: e.Who) -> e.Event:
        return e.WhisperPlayed(at, leg.leg)

    def _bridged(self, at: datetime, leg: e.Who, bridge: str = "b") -> e.Event:
        return e.LegBridged(at, leg, bridge, holding=False)

    def _parked(self, at: datetime, leg: e.Who) -> e.Event:
        return e.LegBridged(at, leg, "parking", holding=True)

    def _left(self, at: datetime, leg: e.Who, bridge: str = "b") -> e.Event:
        return e.LegUnbridged(at, leg.leg, bridge)

    def _transferred(self, at: datetime, leg: e.Who, kind: str, target: str) -> e.Event:
        return e.CallTransferred(at, leg.leg, kind, target)

    def _voicemail(self, at: datetime, leg: e.Who, line: str = "") -> e.Event:
        return e.VoicemailReached(at, leg, line or None)

    def _dialled(self, at: datetime, leg: e.Who, code: str) -> e.Event:
        return e.ProfileDialled(at, leg, code)

    def _pressed(self, at: datetime, leg: e.Who, key: str) -> e.Event:
        return e.KeyPressed(at, leg.leg, Key(key))

    def _started(self, at: datetime, leg: e.Who) -> e.Event:
        return e.RecordingStarted(at, leg.leg)

    def _paused(self, at: datetime, leg: e.Who) -> e.Event:
        return e.RecordingPaused(at, leg.leg)

    def _resumed(self, at: datetime, leg: e.Who) -> e.Event:
        return e.RecordingResumed(at, leg.leg)

    def _stopped(self, at: datetime, leg: e.Who, by: str = "") -> e.Event:
        return e.RecordingStopped(at, leg.leg, by == "pause", by == "discard")

    def _failed(self, at: datetime, leg: e.Who, command: str, reason: str = "x") -> e.Event:
        """`301 failed start reason`: a command about the leg's latest recording."""
        return e.CommandFailed(at, self.recording(leg.leg).recording_id, command, reason)

    def _silent(self, at: datetime, leg: e.Who, reason: str = "no_audio") -> e.Event:
        return e.AudioMissing(at, self.recording(leg.leg).recording_id, reason)

    def _finished(self, at: datetime, leg: e.Who, state: str = "", reason: str = "") -> e.Event:
        """`301 finished`: the follow-up work on the leg's latest recording."""
        facts = self.recording(leg.leg)
        usual = {RecordingState.CAPTURED: RecordingState.STORED}.get(facts.state, facts.state)
        done = RecordingState(state) if state else usual
        measured = replace(facts, state=done, reason=reason or facts.reason, audio_ms=4000)
        return e.RecordingFinished(at, measured)

    def _timer(self, at: datetime, leg: e.Who) -> e.Event:
        return e.TimerFired(at, f"resume:{self.recording(leg.leg).recording_id}")

    def _hung(self, at: datetime, leg: e.Who, up: str) -> e.Event:
        assert up == "up"
        return e.LegHungUp(at, leg.leg)


def in_short(command: c.Command) -> str:
    """A command in short words; empty for those that only save or look after."""
    if isinstance(command, c.AnswerOffer):
        asked = [f"ask {command.ask.value}"]
        if command.ask_callee is not ConsentMode.NONE:
            asked = [f"ask callee {command.ask_callee.value}"]
        asked += ["refused"] if command.refused else []
        return " + ".join([*asked, *filter(None, [command.whisper])])
    if isinstance(command, c.AnswerKey):
        all_ = f" + all {command.tell}" if command.tell else ""
        return f"tell {command.leg} {command.result.value}{all_}"
    if isinstance(command, c.TellParties):
        return f"tell all with {command.leg} {command.prompt}"
    if isinstance(command, c.SwitchProfile):
        return f"switch {command.line} {command.code} {command.language}"
    if isinstance(command, c.HangUpCall):
        return f"hang up {len(command.channels)}"
    if isinstance(command, c.SetTimer):
        return f"timer {command.after_s:g}"
    if isinstance(command, c.CancelTimer):
        return "no timer"
    if isinstance(command, c.SaveRecording | c.SaveCall | c.CheckAudio):
        return ""
    verbs = {c.FinishRecording: "finish", c.DiscardAudio: "delete"}
    verb = verbs.get(type(command)) or type(command).__name__.removesuffix("Recording").lower()
    return f"{verb} {command.recording.leg}"
