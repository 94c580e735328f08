"""The two calls, as people would make them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from tests.bed.far import Phone
from tests.calls.pbx import What
from tests.demo.house import House

CALLER_HZ = 440
AGENT_HZ = 1000
CARD_HZ = 1500
"""What the agent sends while the recording is paused: it must be in no file."""

LINE = "301"
CALLER = "+49301234567"
REFUSER = "+49307654321"

TALK_S = 2.5
LISTEN_S = 1.5
"""How long the second caller listens to the announcement before pressing star."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What each side of a call heard, as WAV files of the phones themselves."""

    caller: Path
    agent: Path


async def stays_on(house: House) -> Heard:
    """Call (a): the caller hears the announcement and stays on; the agent pauses and resumes."""
    tell, listener = house.screen.happened, house.listener
    caller = await _call(house, CALLER, "Ann Example", "a-caller.wav")
    tell("caller", f"calls line {LINE} from outside and hears the announcement")
    agent = await house.bed.far.ringing(LINE, timeout=20)
    tell("caller", "stays on the line; the agent's phone rings")
    await _answer(house, agent, "a-agent.wav")
    tell("agent", "answers and hears the whisper, which the caller does not")
    await listener.recording("recording")
    tell("agent", f"talks ({TALK_S:g} s); the call is being recorded")
    await asyncio.sleep(TALK_S)
    await agent.silent()
    await agent.press("#1")
    await listener.recording("paused")
    tell("agent", "pressed #1: the recording is paused")
    await agent.talk(CARD_HZ)
    tell("agent", f"talks about a card number ({TALK_S:g} s)")
    await asyncio.sleep(TALK_S)
    await agent.silent()
    await agent.press("#1")
    await listener.recording("recording")
    tell("agent", "pressed #1: the recording goes on")
    await agent.talk(AGENT_HZ)
    await asyncio.sleep(TALK_S)
    await agent.hangup()
    tell("agent", "hangs up")
    await caller.wait_hangup()
    await listener.ended(1)
    await listener.recording("stored")
    return Heard(await caller.heard(), await agent.heard())


async def declines(house: House) -> Heard:
    """Call (b): the caller presses star; the call goes on and is not recorded."""
    tell, listener = house.screen.happened, house.listener
    caller = await _call(house, REFUSER, "Bob Example", "b-caller.wav")
    tell("caller", f"calls line {LINE} from outside and hears the announcement")
    await asyncio.sleep(LISTEN_S)
    await caller.press("*")
    tell("caller", "presses * and hears the confirmation")
    agent = await house.bed.far.ringing(LINE, timeout=20)
    tell("caller", "is put through; the agent's phone rings")
    await _answer(house, agent, "b-agent.wav")
    tell("agent", f"answers and talks ({TALK_S:g} s); nothing is recorded")
    await asyncio.sleep(TALK_S)
    await agent.hangup()
    tell("agent", "hangs up")
    await caller.wait_hangup()
    await listener.ended(2)
    return Heard(await caller.heard(), await agent.heard())


async def _call(house: House, number: str, name: str, file: str) -> Phone:
    bed = house.bed
    caller = await bed.far.call_in(number, LINE, name, CALLER_HZ, hear=bed.dir / file)
    return await caller.wait_up()


async def _answer(house: House, agent: Phone, file: str) -> None:
    await agent.hear(house.bed.dir / file)
    mark = house.calls.mark()
    await agent.answer(AGENT_HZ)
    await house.listener.told(What.JOINED, mark, count=2)
