"""Nobody decides: calls go on within half a second, or are ended after a notice, as configured."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.calls.houses import new_house
from tests.calls.listener import Listener, install
from tests.calls.pbx import House, What
from tests.calls.rules import everything
from tests.calls.scene import (
    AGENT,
    CALLER,
    SECRET,
    Scene,
    assert_sound,
    both,
    new_listener,
    talk,
    times_heard,
)

OFFER_MS = 550
"""Longest time (ms) that a call may wait for a decision: 500, and the dialplan's own."""

AT_ONCE_MS = 50

SETTINGS = {
    "offer": 'on_unavailable = "hang_up"',
    "keys": 'pause = "75"\nstart = "76"\ndiscard = "77"',
}
"""What setup writes into the dialplan of the second PBX."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict_house() -> AsyncIterator[House]:
    """A PBX where calls that cannot be recorded end, and with other keys."""
    house = new_house()
    install(house, **SETTINGS)
    async with house:
        yield house


@pytest_asyncio.fixture(loop_scope="session")
async def strict(strict_house: House) -> AsyncIterator[Listener]:
    """A listener beside it."""
    listener = new_listener(strict_house)
    listener.configure(everything(whisper=False, notice="none"), **SETTINGS)
    yield listener
    await strict_house.quiet()
    listener.stop()
    assert_sound(listener)


async def frozen(listener: Listener) -> Scene:
    """A listener that runs, and then does nothing any more."""
    await listener.up()
    scene = Scene(listener)
    await scene.seen(What.BEAT)
    listener.send(signal.SIGSTOP)
    return scene


async def offer_ms(scene: Scene) -> float:
    """How long the call waited for a decision, by the PBX's own clock."""
    offered = await scene.seen(What.OFFERED)
    went_on = await scene.seen(What.UNANSWERED)
    return went_on.at_ms - offered.at_ms


async def test_frozen_and_the_call_goes_on(listener: Listener) -> None:
    """The caller waits for less than 550 ms and is put through; nothing is recorded."""
    listener.configure(everything("opt_out"))
    scene = await frozen(listener)
    caller = await scene.call_in("301")
    agent = await (await scene.far.ringing("301")).answer()
    await scene.together("trunk", "301")
    waited_ms = await offer_ms(scene)
    assert 400 < waited_ms < OFFER_MS
    await talk((caller, SECRET), (agent, SECRET), ms=300)
    await agent.hangup()
    await caller.wait_hangup()
    listener.send(signal.SIGCONT)
    call = await scene.call()
    assert call.outcome is Outcome.MISSED
    assert await scene.takes() == []


async def test_stale_and_the_call_goes_on(listener: Listener) -> None:
    """When the last heartbeat is long ago, a call does not wait at all."""
    listener.configure(everything("announce"))
    await listener.up()
    listener.kill()
    scene = Scene(listener)
    await scene.house.set_heartbeat(1)
    caller = await scene.call_in("301")
    agent = await (await scene.far.ringing("301")).answer()
    await scene.together("trunk", "301")
    assert await offer_ms(scene) < AT_ONCE_MS
    await agent.hangup()
    await caller.wait_hangup()


@pytest.mark.parametrize("stale", [False, True])
async def test_the_call_ends_after_a_notice(strict: Listener, stale: bool, prompts: Path) -> None:
    scene = await frozen(strict)
    if stale:
        await scene.house.set_heartbeat(1)
    caller = await scene.call_in("301")
    waited_ms = await offer_ms(scene)
    assert waited_ms < (AT_ONCE_MS if stale else OFFER_MS)
    await caller.wait_hangup(20)
    assert times_heard(scene.file("caller"), prompts / "unavailable.wav") == 1
    # nobody's phone rang
    assert len(scene.events(What.CREATED)) == 1


async def test_other_keys(strict: Listener) -> None:
    """Keys as configured: `75` pauses and resumes, and `#1` goes through to the caller."""
    await strict.up()
    scene = Scene(strict)
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.press("#1")
    await caller.wait_digits("#1")
    await strict.key(agent, "75")
    await talk((caller, SECRET), (agent, SECRET), ms=500)
    await strict.key(agent, "75")
    after = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    take.holds(both(first, after))
    assert len(take.facts.pauses) == 1
