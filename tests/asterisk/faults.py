"""What the tests of faults have in common: calls, and what the PBX's own events say of them."""

import asyncio
from dataclasses import dataclass

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from tests.asterisk.listener import Listener
from tests.asterisk.rules import everything
from tests.bed import measure
from tests.bed.ami import Message, event
from tests.bed.far import Phone

CALLER, AGENT, SECRET, OTHER = 440, 1000, 1500, 2100
"""What the parties talk (Hz); `SECRET` is what must be in no file."""

TOLERANCE_MS = 40
TALK_S = 0.6
NUMBER = "46701234567"

PLAIN = everything(whisper=False, notice="none")
"""Everything is recorded, nobody is asked, and nothing is played."""


@dataclass(frozen=True, slots=True)
class Talk:
    """A caller from outside and an agent who talk to each other."""

    caller: Phone
    agent: Phone

    async def end(self) -> None:
        """Both hang up."""
        await self.agent.hangup()
        await self.caller.wait_hangup()


async def talk_of(
    listener: Listener, line: str = "301", number: str = NUMBER, name: str = ""
) -> Talk:
    """Call that line from outside, and have it answered; return when they talk."""
    far = listener.bed.far
    caller = await far.call_in(number, line, name, tone_hz=CALLER)
    agent = await far.ringing(line, timeout=20)
    await agent.answer(AGENT)
    await caller.wait_up()
    return Talk(caller, agent)


async def recorded_talk(listener: Listener, line: str = "301") -> Talk:
    """The same; return when the listener knows that it is recorded, and something was said."""
    before = len(listener.recording_facts())
    talk = await talk_of(listener, line)
    await listener.until(lambda: len(listener.recording_facts()) > before, "a recording")
    await listener.recording("recording")
    await chat(0.3)
    return talk


async def chat(seconds: float = TALK_S) -> None:
    """Let the parties go on talking for a while; this waits for nothing."""
    await asyncio.sleep(seconds)


async def prepared(listener: Listener, rules: str = PLAIN, **extra: str) -> None:
    """Configure and migrate, and have the PBX take the listener for absent."""
    listener.configure(rules, **extra)
    listener.cli("migrate")
    await listener.bed.pbx_ami.action("Setvar", Variable="CALLREC_HEARTBEAT", Value="0")


async def running(listener: Listener, rules: str = PLAIN, **extra: str) -> None:
    """Configure, migrate and start."""
    await prepared(listener, rules, **extra)
    await listener.up()


async def the_call(listener: Listener) -> CallFacts:
    """The only call, ended; the account of everything balances."""
    (call,) = await listener.ended(1)
    return call


async def the_recording(listener: Listener, state: str = "stored") -> RecordingFacts:
    """The only recording, in that state."""
    await listener.recording(state)
    found = listener.recording_facts()
    assert len(found) == 1, listener.tail()
    return found[0]


def tone_ms(listener: Listener, recording: RecordingFacts, hz: int) -> float:
    """How long a tone sounds in a recording."""
    return measure.tone_ms(listener.audio(recording), hz)


def at_ms(message: Message) -> float:
    """When Asterisk raised the event, by its own clock."""
    return float(message["Timestamp"]) * 1000


def starts(listener: Listener, since: int) -> list[Message]:
    """Every start of a recording on the PBX since the mark."""
    wanted = event("MixMonitorStart")
    return [m for m in listener.bed.pbx_ami.since(since) if wanted(m)]


def user_events(listener: Listener, name: str, since: int) -> list[Message]:
    """Every UserEvent of that name since the mark."""
    wanted = event("UserEvent", UserEvent=name)
    return [m for m in listener.bed.pbx_ami.since(since) if wanted(m)]


async def seen(listener: Listener, name: str, since: int, **headers: str) -> Message:
    """Wait for an event of the PBX."""
    return await listener.bed.pbx_ami.wait_for(event(name, **headers), 20, since=since)


def waits_ms(listener: Listener, since: int) -> list[float]:
    """How long each offered call waited until it went on, by the PBX's own clock."""
    waited: list[float] = []
    events = list(listener.bed.pbx_ami.since(since))
    for place, offer in enumerate(events):
        if offer["UserEvent"] != "CallrecOffer":
            continue
        went_on = next(
            message
            for message in events[place:]
            if message.event == "Newexten"
            and message["Uniqueid"] == offer["Uniqueid"]
            and (message["Application"] == "Return" or message["Context"] != "callrec-offer")
        )
        waited.append(at_ms(went_on) - at_ms(offer))
    return waited
