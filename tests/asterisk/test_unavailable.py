"""Nobody decides: calls go on within half a second, or are ended after a notice, as configured."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.asterisk.conftest import install
from tests.asterisk.listener import Listener
from tests.asterisk.rules import everything
from tests.asterisk.scene import (
    AGENT,
    CALLER,
    SECRET,
    Scene,
    assert_sound,
    at_ms,
    both,
    new_listener,
    talk,
    times_heard,
)
from tests.bed.bed import Bed
from tests.bed.pbx_config import PbxOptions

OFFER_MS = 550
"""Longest time (ms) that a call may wait for a decision: 500, and the dialplan's own."""

AT_ONCE_MS = 50

SETTINGS = {
    "offer": 'on_unavailable = "hang_up"',
    "keys": 'pause = "*5"\nstart = "*6"\ndiscard = "*7"',
}
"""What setup writes into the dialplan of the second PBX."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def strict_bed() -> AsyncIterator[Bed]:
    """A PBX where calls that cannot be recorded end, and with other keys."""
    bed = Bed(PbxOptions(callrec=True))
    install(bed, **SETTINGS)
    async with bed:
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def strict(strict_bed: Bed) -> AsyncIterator[Listener]:
    """A listener beside it."""
    listener = new_listener(strict_bed)
    listener.configure(everything(whisper=False, notice="none"), **SETTINGS)
    listener.cli("migrate")
    yield listener
    await strict_bed.quiet()
    listener.stop()
    assert_sound(listener)


async def frozen(listener: Listener) -> Scene:
    """A listener that runs, and then does nothing any more."""
    await listener.up()
    await listener.until(lambda: heartbeats(listener.bed) > 0, "a heartbeat")
    scene = Scene(listener)
    listener.send(signal.SIGSTOP)
    return scene


def heartbeats(bed: Bed) -> int:
    """How many heartbeats the PBX has had."""
    return sum("CALLREC_HEARTBEAT" in m["Variable"] for m in bed.pbx_ami.log)


async def offer_ms(scene: Scene) -> float:
    """How long the call waited for a decision, by the PBX's own clock."""
    offered = await scene.seen("UserEvent", UserEvent="CallrecOffer")
    went_on = await scene.seen("UserEvent", UserEvent="CallrecUnanswered")
    return at_ms(went_on) - at_ms(offered)


async def test_frozen_and_the_call_goes_on(listener: Listener) -> None:
    """The caller waits for less than 550 ms and is put through; nothing is recorded."""
    listener.configure(everything("opt_out"))
    listener.cli("migrate")
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
    listener.cli("migrate")
    await listener.up()
    listener.kill()
    scene = Scene(listener)
    await scene.ami.action("Setvar", Variable="CALLREC_HEARTBEAT", Value="1")
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
        await scene.ami.action("Setvar", Variable="CALLREC_HEARTBEAT", Value="1")
    caller = await scene.call_in("301")
    waited_ms = await offer_ms(scene)
    assert waited_ms < (AT_ONCE_MS if stale else OFFER_MS)
    await caller.wait_hangup(20)
    assert times_heard(scene.file("caller"), prompts / "unavailable.wav") == 1
    # nobody's phone rang
    assert len(scene.events("Newchannel")) == 1


async def test_other_keys(strict: Listener) -> None:
    """Keys as configured: `*5` pauses and resumes, and `#1` goes through to the caller."""
    await strict.up()
    scene = Scene(strict)
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.press("#1")
    await caller.wait_digits("#1")
    await strict.key(agent, "*5")
    await talk((caller, SECRET), (agent, SECRET), ms=500)
    await strict.key(agent, "*5")
    after = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    take.holds(both(first, after))
    assert len(take.facts.pauses) == 1
