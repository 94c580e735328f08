"""A call that is handed on: each agent's part is a recording of its own, and nothing is lost."""

from collections.abc import AsyncIterator

import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.asterisk.listener import Listener
from tests.asterisk.rules import everything
from tests.asterisk.scene import length_ms, AGENT, CALLER, SECOND, SHORT, Scene, chat, running
from tests.bed.ami import event
from tests.bed.bed import Bed
from tests.bed.far import Phone


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(installed_bed: Bed) -> AsyncIterator[Listener]:
    """Everything is recorded; outside callers hear a short announcement."""
    async with running(installed_bed, everything("announce", language=SHORT)) as listener:
        yield listener


async def talking(scene: Scene, hear: str = "caller") -> tuple[Phone, Phone]:
    """An outside caller and agent 301 who talk."""
    caller = await scene.far.call_in(
        "46701234567", "301", "Bob", tone_hz=CALLER, hear=scene.file(hear)
    )
    agent = await scene.far.ringing("301", timeout=20)
    await agent.answer(AGENT)
    await scene.recording("301")
    await chat()
    return caller, agent


async def test_blind_by_refer(scene: Scene) -> None:
    caller, agent = await talking(scene)
    await agent.blind_transfer("302")
    second = await scene.far.ringing("302")
    await second.answer(SECOND)
    await scene.recording("302")
    await chat()
    await second.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    for t in await scene.takes(): print(t, t.lost_ms, [(f,t.tone_ms(f)) for f in (CALLER,AGENT,SECOND,620)])
    print(call)

async def test_blind_by_key(scene: Scene) -> None:
    caller, agent = await talking(scene)
    mark = scene.ami.mark()
    await agent.press("*1")
    await scene.ami.wait_for(event("MusicOnHoldStart"), since=mark)
    await agent.press("302")
    second = await scene.far.ringing("302")
    await second.answer(SECOND)
    await scene.recording("302")
    await chat()
    await second.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    for t in await scene.takes(): print(t, t.lost_ms, [(f,t.tone_ms(f)) for f in (CALLER,AGENT,SECOND,620)])
    print(call)


async def test_attended_by_refer(scene: Scene) -> None:
    caller, agent = await talking(scene)
    await agent.hold()
    consultation = await scene.far.line_calls("301", "302", tone_hz=AGENT)
    second = await scene.far.ringing("302")
    await second.answer(SECOND)
    await scene.recording("302")
    await chat()
    await agent.attended_transfer(consultation)
    await chat()
    await second.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    for t in await scene.takes(): print(t, t.lost_ms, [(f,t.tone_ms(f)) for f in (CALLER,AGENT,SECOND,620)])
    print(call)

async def test_attended_by_key(scene: Scene) -> None:
    caller, agent = await talking(scene)
    mark = scene.ami.mark()
    await agent.press("*2")
    await scene.ami.wait_for(event("MusicOnHoldStart"), since=mark)
    await agent.hear(scene.file("agent"))
    await agent.press("302")
    second = await scene.far.ringing("302")
    await second.answer(SECOND)
    await scene.recording("302")
    await chat()
    await agent.hangup()
    await chat()
    await second.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    for t in await scene.takes(): print(t, t.lost_ms, [(f,t.tone_ms(f)) for f in (CALLER,AGENT,SECOND,620)])
    print(call)
    from tests.bed import measure
    print('agent heard', [(f,measure.tone_ms(await agent.heard(),f)) for f in (CALLER,620,AGENT,SECOND)])
