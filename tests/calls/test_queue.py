"""Queues: who answers is recorded, in a recording that is his, whoever else has rung."""

from collections.abc import AsyncIterator

import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.calls.listener import Listener
from tests.calls.pbx import House
from tests.calls.rules import everything, rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    LAG_MS,
    SECOND,
    SHORT,
    THIRD,
    Scene,
    running,
    talk,
    the_consent,
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """Everything is recorded; outside callers hear a short announcement."""
    late = rule("late", "inbound", queue="support", consent="announce", language=SHORT)
    rules = late + everything("announce", language=SHORT)
    async with running(house, rules) as listener:
        yield listener


async def test_only_who_answers(scene: Scene) -> None:
    """Both agents ring; the one who answers has a recording, and the other has none."""
    caller = await scene.call_in("600")
    other = await scene.far.ringing("301", timeout=20)
    agent = await scene.answered("302")
    await other.wait_hangup()
    talked = await talk((caller, CALLER), (agent, SECOND))
    await caller.hangup()
    await agent.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.queue, call.b_number) == (Outcome.RECORDED, "sales", "600")
    assert call.c_number == "302"
    assert the_consent(call).outcome.value == "announced"
    (take,) = await scene.takes()
    assert take.owner == "302"
    take.whole().holds(talked)
    assert scene.prompts_heard() == 1


async def test_two_callers_at_once(scene: Scene) -> None:
    """Each caller has his agent, and each agent a recording with his own caller only."""
    one = await scene.call_in("600", "46701000001", hear="one")
    first = await scene.answered("301")
    two = await scene.call_in("600", "46701000002", hear="two")
    second = await scene.answered("302")
    talked = await talk((one, CALLER), (first, AGENT), (two, THIRD), (second, SECOND))
    await first.hangup()
    await second.hangup()
    await one.wait_hangup()
    await two.wait_hangup()

    calls = {call.a_number: call for call in await scene.over()}
    assert {call.outcome for call in calls.values()} == {Outcome.RECORDED}
    takes = {take.owner: take for take in await scene.takes()}
    assert takes["301"].facts.call_id == calls["46701000001"].call_id
    assert takes["302"].facts.call_id == calls["46701000002"].call_id
    takes["301"].whole().holds({hz: talked[hz] for hz in (CALLER, AGENT)})
    takes["302"].whole().holds({hz: talked[hz] for hz in (THIRD, SECOND)})
    assert (scene.prompts_heard("one"), scene.prompts_heard("two")) == (1, 1)


async def test_one_agent_hands_on_to_the_other(scene: Scene) -> None:
    caller = await scene.call_in("600")
    agent = await scene.answered("301")
    first = await talk((caller, CALLER), (agent, AGENT))
    await agent.blind_transfer("302")
    second = await scene.answered("302")
    after = await talk((caller, CALLER), (second, SECOND))
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.queue, call.c_number) == (Outcome.RECORDED, "sales", "301")
    one, two = await scene.takes()
    assert (one.owner, two.owner) == ("301", "302")
    one.whole().holds(first)
    two.whole().holds(after)
    assert scene.prompts_heard() == 1


async def test_member_behind_the_dialplan(scene: Scene) -> None:
    """A member that is reached through the dialplan: its line's leg is recorded, once.

    The channel between queue and dialplan is there for a moment and then replaced by the caller's.
    """
    async with scene.house.behind_dialplan("support", "305"):
        caller = await scene.call_in("601")
        agent = await scene.answered("305")
        talked = await talk((caller, CALLER), (agent, AGENT))
        await agent.hangup()
        await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.queue) == (Outcome.RECORDED, "support")
    assert the_consent(call).outcome.value == "announced"
    (take,) = await scene.takes()
    assert (take.owner, take.facts.rule) == ("305", "late")
    take.whole().holds(talked, LAG_MS)
    assert scene.prompts_heard() == 1
