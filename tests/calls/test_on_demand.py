"""Recording on demand: nothing before the agent's key, everything after it."""

from collections.abc import AsyncIterator

import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.bed.far import Phone
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import rule
from tests.calls.scene import AGENT, CALLER, SHORT, Scene, both, running, talk


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """Outside calls are recorded when the agent wants it."""
    settings = {"consent": "announce", "language": SHORT, "notice": "none", "whisper": False}
    async with running(house, rule("demand", "inbound", "on_demand", **settings)) as listener:
        yield listener


async def connected(scene: Scene) -> tuple[Phone, Phone]:
    """A caller and agent 301 who talk, unrecorded."""
    caller = await scene.call_in("301")
    agent = await scene.far.ringing("301", timeout=20)
    await agent.answer()
    await scene.together("trunk", "301")
    return caller, agent


async def test_from_the_key_on(scene: Scene) -> None:
    """Talk before the key is nowhere; the recording can be paused like any other."""
    caller, agent = await connected(scene)
    await talk((caller, CALLER), (agent, AGENT), ms=500)
    assert scene.events(What.STARTED) == []
    await scene.listener.key(agent, "#2")
    await scene.recording("301")
    first = await talk((caller, CALLER), (agent, AGENT), ms=700)
    await scene.listener.key(agent, "#1")
    await talk((caller, CALLER), (agent, AGENT), ms=300)
    await scene.listener.key(agent, "#1")
    after = await talk((caller, CALLER), (agent, AGENT), ms=300)
    await agent.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.rule) == (Outcome.RECORDED, "demand")
    (take,) = await scene.takes()
    assert (take.owner, take.facts.mode.value) == ("301", "on_demand")
    take.holds(both(first, after))
    assert take.facts.late_ms == 0


async def test_a_key_too_much(scene: Scene) -> None:
    """A second `#2` starts no second recording."""
    caller, agent = await connected(scene)
    await scene.listener.key(agent, "#2")
    await scene.recording("301")
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await scene.listener.key(agent, "#2")
    after = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    take.holds(both(first, after))


async def test_not_demanded(scene: Scene) -> None:
    """Pause without a recording does nothing; the account says that nobody asked for one."""
    caller, agent = await connected(scene)
    await scene.listener.key(agent, "#1")
    await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.NOT_SELECTED, "not_demanded")
    assert await scene.takes() == []
