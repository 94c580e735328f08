"""Keys and hang-ups at the worst moment; nothing is left on FreeSWITCH after them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from callrec_pbx.domain.words import Outcome
from tests.bed import measure
from tests.calls.listener import Listener
from tests.calls.on_freeswitch import FreeSwitchHouse
from tests.calls.pbx import What
from tests.calls.rules import everything, rule
from tests.calls.scene import CALLER, SECOND, SECRET, Scene, talk

PLAIN = everything(whisper=False, notice="none")
CARD = "4111111111111111"


async def begun(listener: Listener, rules: str = PLAIN) -> Scene:
    listener.configure(rules)
    listener.cli("migrate")
    await listener.up()
    return Scene(listener)


def threads(scene: Scene) -> int:
    """How many threads FreeSWITCH has."""
    house = scene.house
    assert isinstance(house, FreeSwitchHouse)
    pid = house.bed.pbx.pid
    assert pid is not None
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


async def test_who_talks_next_after_a_pause_can_pause(listener: Listener) -> None:
    """The first agent hands the call on while it is paused; the next one's keys are his own."""
    scene = await begun(listener)
    caller, agent = await scene.conversation()
    await listener.key(agent, "#1")
    await listener.recording("paused")
    await talk((caller, SECRET), ms=300)
    second = await scene.far.line_calls("301", "302")
    third = await scene.answered("302")
    await second.wait_up()
    assert await agent.attended_transfer(second) == "SUCCESS"
    await scene.together("trunk", "302")
    spoken = await talk((caller, CALLER), (third, SECOND), ms=500)
    mark = scene.house.mark()
    await third.press("#1")
    key = await listener.told(What.KEY, mark)
    assert key.endpoint == "302"
    await scene.seen(What.PAUSED, 2)
    await talk((caller, SECRET), (third, SECRET), ms=300)
    mark = scene.house.mark()
    await third.press("#9")
    assert (await listener.told(What.KEY, mark)).endpoint == "302"
    await listener.recording("discarded")
    await third.hangup()
    await caller.wait_hangup()
    await scene.over()
    assert spoken
    for wav in listener.recordings.rglob("*.wav"):
        assert measure.tone_ms(wav, SECRET) == 0


@pytest.mark.parametrize("steps", ["#1", "#1#1", "#1#9", "#9", "#2#1"])
async def test_a_key_and_a_hang_up_at_once(listener: Listener, steps: str) -> None:
    scene = await begun(listener)
    caller = await scene.call_in("301")
    agent = await (await scene.far.ringing("301")).answer()
    await caller.wait_up()
    await agent.press(steps)
    await asyncio.sleep(0.2)  # FreeSWITCH takes digits up one after the other
    await agent.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    assert call.outcome in (Outcome.RECORDED, Outcome.DISCARDED)
    if "#9" in steps:
        assert call.outcome is Outcome.DISCARDED


async def test_callers_who_hang_up_at_every_step(listener: Listener) -> None:
    """Of many calls that end at any moment no channel, script or task is left."""
    rules = rule("in", "inbound", consent="opt_out", language="en", reminder_s=10)
    scene = await begun(listener, rules)
    house = scene.house
    assert isinstance(house, FreeSwitchHouse)
    esl = house.bed.esl
    await asyncio.sleep(1)
    before = threads(scene)

    async def one(after_s: float) -> None:
        caller = await scene.call_in("301", hear=f"caller{after_s}")
        await asyncio.sleep(after_s)
        await caller.hangup()

    for group in ((0.05, 0.15, 0.25), (0.4, 0.6, 1.0), (3.0, 4.0)):
        await asyncio.gather(*map(one, group))
    await scene.over()
    assert "0 total" in await esl.api("show channels")
    await asyncio.sleep(2)
    assert threads(scene) <= before + 3
    tasks = await esl.api("show tasks")
    assert "uuid_displace" not in tasks


async def test_a_card_number_keyed_while_paused(listener: Listener) -> None:
    """With the variable of the manual FreeSWITCH keeps no digits either, but for the last one."""
    scene = await begun(listener)
    house = scene.house
    assert isinstance(house, FreeSwitchHouse)
    esl = house.bed.esl
    async with house.one_clock():
        caller, agent = await scene.conversation()
    legs = {one.leg for one in scene.events(What.CREATED)}
    for leg in legs:
        await esl.api(f"uuid_setvar {leg} digits_dialed_filter (.+)", check=True)
    await listener.key(agent, "#1")
    await listener.recording("paused")
    for one, other in ((caller, agent), (agent, caller)):
        await one.press(CARD)
        await other.wait_digits(CARD)
    for leg in legs:
        dump = await esl.api(f"uuid_dump {leg}")
        assert CARD[:2] not in re.findall(r"digits?\w*: (.*)", dump)
    await agent.hangup()
    await caller.wait_hangup()
    await scene.over()
    for event in esl.log:
        if event["Unique-ID"] in legs:
            assert CARD[:6] not in "".join(map(str, dict(event).values()))
