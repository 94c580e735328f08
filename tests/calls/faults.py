"""What the tests of faults have in common: calls, and what the PBX's own events say of them."""

import asyncio
from dataclasses import dataclass

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import Outcome
from tests.bed import measure
from tests.bed.far import Phone
from tests.calls.listener import Listener
from tests.calls.pbx import Happening, What
from tests.calls.rules import everything

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
    far = listener.house.far
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
    """Configure, and have the PBX take the listener for absent."""
    listener.configure(rules, **extra)
    await listener.house.set_heartbeat(0)


async def running(listener: Listener, rules: str = PLAIN, **extra: str) -> None:
    """Configure and start."""
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


def starts(listener: Listener, since: int) -> list[Happening]:
    """Every start of a recording on the PBX since the mark."""
    return told(listener, What.STARTED, since)


def told(listener: Listener, what: What, since: int) -> list[Happening]:
    """All that the PBX has reported of that since the mark."""
    return [one for one in listener.house.since(since) if one.what is what]


def waits_ms(listener: Listener, since: int) -> list[float]:
    """How long each offered call waited until it went on, by the PBX's own clock."""
    events = listener.house.since(since)
    return [
        next(
            one.at_ms - offer.at_ms
            for one in events[place:]
            if one.what is What.WENT_ON and one.leg == offer.leg
        )
        for place, offer in enumerate(events)
        if offer.what is What.OFFERED
    ]


def assert_harmless(listener: Listener, calls: list[CallFacts]) -> None:
    """Each call is recorded, and there is nothing but the listener's own files."""
    assert {(call.outcome, call.reason) for call in calls} == {(Outcome.RECORDED, "rule")}
    states = [recording.state.value for recording in listener.recording_facts()]
    assert states == ["stored"] * len(calls)
    known = {"recordings", "callrec.toml", "listener.log", "listener.pid", "catalogue.db"}
    known |= {"catalogue.db-wal", "catalogue.db-shm"}
    assert {path.name for path in listener.folder.iterdir()} <= known
    assert not any(any(spool.iterdir()) for spool in listener.house.spools if spool.exists())
    assert not any(path.name == "x" for path in listener.recordings.rglob("*"))
