"""One test's calls on the shared PBX: who talked when by the PBX's clock, and what came of it."""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np

from callrec_pbx.audio.manifest import Prompt, PromptSet
from callrec_pbx.audio.prompts import import_prompt
from callrec_pbx.domain.facts import CallFacts, ConsentFacts, RecordingFacts
from tests.bed import measure
from tests.bed.ami import Message
from tests.bed.bed import write_tone
from tests.bed.far import Phone
from tests.bed.pbx_config import MOH_HZ
from tests.calls.balance import balance
from tests.calls.listener import Listener
from tests.calls.pbx import Happening, House, What
from tests.replay import keeping

CALLER, AGENT, SECOND, THIRD, SECRET = 740, 1000, 1500, 1900, 2400
"""What the parties talk (Hz): the outside one, the agents, and what must not be recorded; none of
them is in the tones of the PBX (350, 440, 480, 620)."""

TONES = (CALLER, AGENT, SECOND, THIRD, SECRET, MOH_HZ)
"""Every tone that a recording can hold, the PBX's music on hold among them."""

PROMPT_HZ = 2900
"""The short prompts' tone (Hz)."""

SHORT = "da"
"""The language that an administrator has added with short prompts."""

SHORT_MS = 600

EDGE_MS = 120
"""Tolerance of a piece of talk (ms), at its beginning and end together: usually two packets; six
where the machine is so busy that Asterisk drops some."""

LAG_MS = 300
"""Longest time (ms) from the first talk to the start of a recording on a busy machine; the
usual one is 2 ms."""

LIKE = 0.8
"""Likeness of what was heard and a prompt that it holds; other speech comes to 0.3 at the most."""

FAULTS = ("event_broke", "command_broke", "Traceback")
"""What no listener may print, whatever is done to it."""

_numbers = itertools.count(1)

Spans = list[tuple[float, float]]
"""From-to pairs in ms."""


def far_ms(message: Message) -> float:
    """When the far end raised an event, by its own clock (ms)."""
    return float(message["Timestamp"]) * 1000


Talk = dict[int, float]
"""How long (ms) each tone was talked."""


async def talk_for(phone: Phone, hz: int, ms: int = 1000) -> float:
    """Talk with a tone for that long, then fall silent: talking, not waiting for anything.

    Returns:
        How long it was by the far end's clock (ms).
    """
    begin = await phone.talk(hz)
    await asyncio.sleep(ms / 1000)
    return far_ms(await phone.silent()) - far_ms(begin)


async def talk(*parties: tuple[Phone, int], ms: int = 1000) -> Talk:
    """Let several talk at once, each with its own tone."""
    lengths = await asyncio.gather(*(talk_for(phone, hz, ms) for phone, hz in parties))
    return {hz: length for (_, hz), length in zip(parties, lengths, strict=True)}


async def listen(ms: int = 1000) -> None:
    """Let the parties hear what there is to hear for a while: no waiting for an event."""
    await asyncio.sleep(ms / 1000)


def both(one: Talk, other: Talk) -> Talk:
    """What was talked in two pieces of a conversation."""
    return {hz: one.get(hz, 0) + other.get(hz, 0) for hz in one | other}


def length_ms(spans: Spans) -> float:
    """How long they are together."""
    return sum(end - begin for begin, end in spans)


def common_ms(ones: Spans, others: Spans) -> float:
    """How long both go on at once."""
    both = ((max(a, c), min(b, d)) for a, b in ones for c, d in others)
    return sum(max(0.0, end - begin) for begin, end in both)


def without(ones: Spans, others: Spans) -> Spans:
    """What is left of the one when the others, in order, are cut out."""
    left: Spans = []
    for begin, end in ones:
        at = begin
        for cut, on in others:
            if at < cut < end:
                left.append((at, cut))
            if cut < end and on > at:
                at = min(on, end)
        if at < end:
            left.append((at, end))
    return left


def times_heard(heard: Path, prompt: Path, begin: float = 0, end: float = 1) -> int:
    """Count how often a prompt is in what was heard, from its beginning to its end.

    Speech ends in a tenth of a second of silence, which a hangup may cut off.

    Args:
        begin: Which part of the prompt is looked for, as a share of its length.
        end: Where that part ends.
    """
    samples, rate = measure.read_wav(heard)
    wanted, wanted_rate = measure.read_wav(prompt)
    assert rate == wanted_rate
    if len(wanted) > rate:
        wanted = wanted[: -rate // 10]
    wanted = wanted[round(begin * len(wanted)) : round(end * len(wanted))]
    if len(samples) < len(wanted):
        return 0
    size = 1 << (len(samples) + len(wanted)).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.conj(np.fft.rfft(wanted, size))
    places = len(samples) - len(wanted) + 1
    products = np.fft.irfft(spectrum, size)[:places]
    energy = np.concatenate(([0.0], np.cumsum(samples**2)))
    norm = np.sqrt(np.maximum(energy[len(wanted) :] - energy[:places], 1e-3))
    alike = np.flatnonzero(products / (norm * np.sqrt(wanted @ wanted)) > LIKE)
    return sum(1 for a, b in pairwise([-len(wanted), *alike]) if b - a > len(wanted) // 2)


@dataclass(frozen=True, slots=True)
class Take:
    """A recording, and what the PBX's own events say of its leg.

    Attributes:
        talk: When the leg was in a bridge with somebody, and could be recorded.
        written: When the PBX recorded it; what is muted is silence in the file.
        muted: When it was paused.
        keyed_ms: How much longer it may be by what its phone has keyed.
    """

    facts: RecordingFacts
    audio: Path
    talk: Spans
    written: Spans
    muted: Spans
    keyed_ms: float = 0

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.facts.owner

    @property
    def lost_ms(self) -> float:
        """Talk that the PBX did not record, as it had not begun to or had ended already."""
        return length_ms(self.talk) - common_ms(self.talk, self.written)

    def whole(self, no_packets_ms: float = 0, lag_ms: float = LAG_MS) -> "Take":
        """See that the file is as long as it was written, and that no talk is missing.

        Args:
            no_packets_ms: For how long neither side may have sent any packet, as when a phone
                sends digits while the other hears music: nothing is written then.
            lag_ms: For how long they may have talked before it began.
        """
        facts = self.facts
        assert facts.state.value == "stored", facts
        assert facts.audio_ms is not None
        assert facts.late_ms == 0
        assert abs(measure.duration_ms(self.audio) - facts.audio_ms) <= 1
        missing = length_ms(self.written) - facts.audio_ms
        edges_ms = EDGE_MS * (len(self.written) + 2 * len(self.muted))
        assert -edges_ms - self.keyed_ms <= missing <= edges_ms + no_packets_ms, (
            facts.audio_ms,
            self.written,
        )
        assert self.lost_ms <= lag_ms, (self.talk, self.written)
        return self

    def holds(self, talked: Talk, tolerance_ms: float = EDGE_MS) -> "Take":
        """See that it has what was talked, as long as it was talked, and no other tone."""
        found = {hz: round(measure.tone_ms(self.audio, hz)) for hz in TONES}
        for hz, ms in found.items():
            assert abs(ms - talked.get(hz, 0)) <= tolerance_ms, (self.owner, hz, found, talked)
        return self

    def prompts(self) -> int:
        """How many short prompts are in it."""
        return len(measure.tone_segments(self.audio, [PROMPT_HZ]))


@dataclass
class Scene:
    """What happens on the PBX from now on, and what the listener makes of it."""

    listener: Listener
    mark: int = field(init=False)

    def __post_init__(self) -> None:
        self.house = self.listener.house
        self.far = self.house.far
        self.mark = self.house.mark()
        self.folder = self.listener.folder / f"scene{next(_numbers)}"
        self.folder.mkdir()

    async def call_in(self, to: str, number: str = "46701234567", hear: str = "caller") -> Phone:
        """An outside caller, silent until told to talk; see `heard` for what he hears."""
        return await self.far.call_in(number, to, "Bob", hear=self.file(hear))

    async def answered(self, line: str, hear: str = "") -> Phone:
        """Answer that line's ringing phone and wait until the PBX records it."""
        phone = await self.far.ringing(line, timeout=20)
        if hear:
            await phone.hear(self.file(hear))
        await phone.answer()
        await self.recording(line)
        return phone

    async def conversation(self, number: str = "46701234567") -> tuple[Phone, Phone]:
        """An outside caller and agent 301, connected, recorded, and still silent."""
        caller = await self.call_in("301", number)
        return caller, await self.answered("301", hear="agent")

    def file(self, name: str) -> Path:
        """Where to write what a phone hears."""
        return self.folder / f"{name}.wav"

    def events(self, *kinds: What, leg: str = "", endpoint: str = "") -> list[Happening]:
        """What the PBX has reported so far: of these kinds, of that leg or endpoint."""
        return [
            one
            for one in self.house.since(self.mark)
            if one.what in kinds and leg in ("", one.leg) and endpoint in ("", one.endpoint)
        ]

    async def seen(self, what: What, count: int = 1, detail: str = "") -> Happening:
        """Wait until the PBX has reported that so many times; return the last one."""
        return await self.listener.told(what, self.mark, count, detail)

    async def recording(self, line: str, count: int = 1) -> None:
        """Wait until the PBX has begun to record that many legs of that line."""
        await self.listener.until(
            lambda: len({one.leg for one in self.events(What.STARTED, endpoint=line)}) >= count,
            f"recording of {line}",
        )

    async def together(self, one: str, other: str, count: int = 1) -> None:
        """Wait until legs of two endpoints have come into one bridge for the `count`th time."""

        def met() -> int:
            places: dict[str, set[str]] = {}
            times = 0
            for told in self.events(What.JOINED, What.LEFT):
                members = places.setdefault(told.detail, set())
                if told.what is What.LEFT:
                    members.discard(told.endpoint)
                    continue
                members.add(told.endpoint)
                times += told.endpoint in (one, other) and {one, other} <= members
            return times

        await self.listener.until(lambda: met() >= count, f"{one} and {other} together", 15)

    def kept_on_hold(self, talked: Talk) -> Talk:
        """What is in a recording of what was talked while its own phone had the other on hold."""
        return talked if self.house.traits.writes_on_hold else {}

    async def key_transfer(self, agent: Phone, key: str, to: str) -> None:
        """Key a transfer and the extension, when the PBX has put the other one on hold."""
        before = len(self.events(What.MUSIC))
        await agent.press(key)
        await self.seen(What.MUSIC, before + 1)
        await agent.press(to)

    async def over(self) -> list[CallFacts]:
        """Wait until all these calls are over and settled; return them, merged ones left out."""
        await self.listener.until(self._gone, "the end of all legs")
        await self.listener.until(self._told, "the outcome of all calls")
        await self.listener.idle()
        return self.calls()

    def _legs(self) -> set[str]:
        return {one.leg for one in self.events(What.CREATED)}

    def _gone(self) -> bool:
        return self._legs() <= {one.leg for one in self.events(What.GONE)}

    def _told(self) -> bool:
        calls = self.listener.call_facts()
        told = {leg.leg for call in calls if call.outcome is not None for leg in call.legs}
        return self._legs() <= told

    def calls(self) -> list[CallFacts]:
        """What was written of these calls."""
        legs = self._legs()
        found = [
            call
            for call in self.listener.call_facts()
            if not call.merged_into and legs & {leg.leg for leg in call.legs}
        ]
        for call in found:  # what only plays something into a conversation is in no account
            assert {leg.leg for leg in call.legs} <= legs, call
        return found

    async def call(self) -> CallFacts:
        """The only call, when it is over."""
        calls = await self.over()
        assert len(calls) == 1, calls
        return calls[0]

    async def takes(self) -> list[Take]:
        """All recordings in the order of their beginning, when the calls are over.

        The catalogue must tell the same as the sidecars, and each file must belong to one.
        """
        await self.over()
        legs = self._legs()
        found = [facts for facts in self.listener.recording_facts() if facts.leg in legs]
        calls = {call.call_id for call in self.calls()}
        assert {facts.call_id for facts in found} <= calls
        known = {facts.recording_id for facts in self.listener.recording_facts()}
        assert {path.stem for path in self.listener.recordings.rglob("*.wav")} <= known
        await self.listener.until(lambda: self._in_rows(found), "the rows of all recordings")
        return [self._take(facts) for facts in found]

    def _in_rows(self, found: list[RecordingFacts]) -> bool:
        sql = "SELECT recording_id, owner, state, audio_ms FROM recording"
        rows = {row["recording_id"]: tuple(row.values()) for row in self.listener.rows(sql)}
        return all(
            rows.get(facts.recording_id)
            == (facts.recording_id, facts.owner, facts.state.value, facts.audio_ms)
            for facts in found
        )

    def _take(self, facts: RecordingFacts) -> Take:
        path = self.listener.audio(facts)
        # Of a leg that was never offered nor dialled no PBX has to say that its recording stops.
        ends = (What.STOPPED, What.GONE)
        written, talk = self._spans(facts.leg, What.STARTED, ends), self.talk(facts.leg)
        if not self.house.traits.writes_on_hold:
            held = self._spans(facts.leg, What.HELD, (What.UNHELD, *ends))
            written, talk = without(written, held), without(talk, held)
        muted = self._spans(facts.leg, What.PAUSED, (What.RESUMED, *ends))
        digits = len(self.events(What.DIGIT, leg=facts.leg))
        digits += 2 * len(self.events(What.KEY, leg=facts.leg))
        keyed_ms = digits * self.house.traits.digit_ms
        return Take(facts, path, talk, written, muted, keyed_ms)

    def talk(self, leg: str) -> Spans:
        """When a leg was in a bridge with somebody, by the PBX's clock."""
        places: dict[str, set[str]] = {}
        spans: Spans = []
        since: float | None = None
        for told in self.events(What.JOINED, What.LEFT):
            members = places.setdefault(told.detail, set())
            if told.what is What.JOINED:
                members.add(told.leg)
            else:
                members.discard(told.leg)
            talks = any(leg in members and len(members) > 1 for members in places.values())
            if talks and since is None:
                since = told.at_ms
            elif not talks and since is not None:
                spans.append((since, told.at_ms))
                since = None
        return spans

    def _spans(self, leg: str, begin: What, ends: tuple[What, ...]) -> Spans:
        """From each beginning to the next end, of a leg."""
        spans: Spans = []
        since: float | None = None
        for told in self.events(begin, *ends, leg=leg):
            if told.what is begin and since is None:
                since = told.at_ms
            elif told.what in ends and since is not None:
                spans.append((since, told.at_ms))
                since = None
        return spans

    def prompts_heard(self, name: str = "caller") -> int:
        """How often a phone has heard a whole short prompt."""
        heard = measure.tone_segments(self.file(name), [PROMPT_HZ])
        assert all(abs(piece.length_ms - SHORT_MS) <= EDGE_MS for piece in heard), heard
        return len(heard)


def the_consent(call: CallFacts) -> ConsentFacts:
    """The only evidence of a call."""
    assert len(call.consents) == 1, call.consents
    return call.consents[0]


def prompt_in_manifest(house: House, name: str, language: str) -> Prompt:
    """A prompt as the manifest on the PBX has it."""
    found = PromptSet.load(house.sounds).find(name, language)
    assert found is not None
    return found


def new_listener(house: House) -> Listener:
    """A listener with recordings directory and catalogue of its own; not configured yet."""
    folder = house.dir / f"listener{next(_numbers)}"
    folder.mkdir()
    listener = Listener(house, folder)
    keeping.watch(listener)
    return listener


def assert_sound(listener: Listener) -> None:
    """See that the listener has printed nothing that it never may."""
    text = listener.log.read_text(errors="replace") if listener.log.exists() else ""
    for fault in FAULTS:
        assert fault not in text, f"the listener printed {fault}:\n{text[-4000:]}"


def add_short_prompts(house: House) -> None:
    """Import short tones as prompts of the language `SHORT`, as an administrator would."""
    tone = house.dir / "short.wav"
    write_tone(tone, PROMPT_HZ, SHORT_MS)
    sounds = house.sounds
    if not (sounds / SHORT).exists():
        for name in ("announce", "announce_opt_out", "announce_opt_in", "accepted", "declined"):
            import_prompt(tone, name=name, language=SHORT, target=sounds)


@asynccontextmanager
async def running(house: House, rules: str, **extra: str) -> AsyncIterator[Listener]:
    """A listener with these rules beside the PBX, for all tests of a file."""
    add_short_prompts(house)
    listener = new_listener(house)
    listener.configure(rules, **extra)
    try:
        await listener.up()
        yield listener
        await house.quiet()
        await balance(listener)
    finally:
        await house.quiet()
        listener.stop()
    await balance(listener)
    assert_sound(listener)
    keeping.keep(listener)
