"""Hold, parking and pickup: what is said is recorded, wherever the call is taken up again."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.bed.pbx_config import MOH_HZ
from tests.calls.houses import TRAITS
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import everything
from tests.calls.scene import (
    AGENT,
    CALLER,
    LAG_MS,
    SECOND,
    SHORT,
    Scene,
    both,
    listen,
    running,
    talk,
    the_consent,
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """Everything is recorded; outside callers hear a short announcement."""
    async with running(house, everything("announce", language=SHORT)) as listener:
        yield listener


async def test_hold_and_unhold(scene: Scene) -> None:
    """One recording. While the agent holds her, what she says is in it; her music is not."""
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT))
    await agent.hold()
    await scene.seen(What.HELD)
    on_hold = await talk((caller, CALLER))
    await agent.unhold()
    await scene.seen(What.UNHELD)
    await agent.silent()
    after = await talk((caller, CALLER), (agent, AGENT))
    await agent.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert call.outcome is Outcome.RECORDED
    (take,) = await scene.takes()
    take.whole().holds(both(first, both(scene.kept_on_hold(on_hold), after)))
    assert take.facts.pauses == ()


async def test_colleague_on_hold(scene: Scene) -> None:
    """In an internal call, who is held hears the music, so his own recording has it."""
    one = await scene.far.line_calls("301", "302")
    two = await scene.answered("302")
    await scene.recording("301")
    first = await talk((one, AGENT), (two, SECOND))
    await one.hold()
    await scene.seen(What.MUSIC)
    await listen()
    await one.unhold()
    await scene.seen(What.MUSIC_OVER)
    await one.silent()
    after = await talk((one, AGENT), (two, SECOND))
    await one.hangup()
    await two.wait_hangup()

    begin, end = scene.events(What.MUSIC)[0], scene.events(What.MUSIC_OVER)[0]
    music_ms = end.at_ms - begin.at_ms
    takes = {take.owner: take for take in await scene.takes()}
    assert set(takes) == {"301", "302"}
    takes["301"].whole().holds(both(first, after))
    takes["302"].whole().holds(both(first, after) | {MOH_HZ: music_ms}, LAG_MS)


async def test_parked_and_picked_up(scene: Scene) -> None:
    """The agent parks, a colleague takes the call from its place: a recording for each.

    The first one ends with the place, which the PBX tells the agent.
    """
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT))
    await agent.blind_transfer(scene.house.traits.park)
    parked = await scene.seen(What.PARKED)
    second = await scene.far.line_calls("302", parked.detail)
    await second.wait_up()
    await scene.recording("302")
    after = await talk((caller, CALLER), (second, SECOND))
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "rule")
    assert the_consent(call).outcome.value == "announced"
    one, two = await scene.takes()
    assert (one.owner, two.owner) == ("301", "302")
    assert one.facts.call_id == two.facts.call_id == call.call_id
    one.whole(no_packets_ms=500).holds(first, LAG_MS)
    two.whole().holds(after)
    assert scene.prompts_heard() == 1


@pytest.mark.parametrize("extension", TRAITS.pickups)
async def test_picked_up_while_ringing(scene: Scene, extension: str) -> None:
    """A colleague takes the call that rings at 301: the recording is the colleague's."""
    caller = await scene.call_in("301")
    ringing = await scene.far.ringing("301", timeout=20)
    second = await scene.far.line_calls("302", extension)
    await second.wait_up()
    await ringing.wait_hangup()
    await scene.recording("302")
    talked = await talk((caller, CALLER), (second, SECOND))
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.c_number) == (Outcome.RECORDED, "302")
    (take,) = await scene.takes()
    assert take.owner == "302"
    take.whole().holds(talked)
    assert scene.prompts_heard() == 1
