"""Passive mode: no change to the dialplan, only a way in; what can be recorded then is."""

from collections.abc import AsyncIterator

import pytest_asyncio

from callrec_pbx.domain.words import Direction, Outcome
from tests.bed.pbx_config import PbxOptions
from tests.calls.houses import new_house
from tests.calls.listener import Listener, install
from tests.calls.rules import rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    LAG_MS,
    SECOND,
    Scene,
    both,
    running,
    talk,
)

ASKED = "46799000003"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Listener]:
    """A PBX whose dialplan calls nothing of ours."""
    house = new_house(PbxOptions(callrec=False))
    install(house)
    rules = (
        rule("asked", "inbound", consent="announce", number=ASKED)
        + rule("in", "inbound")
        + rule("out", "outbound", consent="opt_out")
        + rule("inside", "internal", line="302")
    )
    async with house, running(house, rules) as listener:
        yield listener


async def test_recorded_from_the_first_word(scene: Scene) -> None:
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT))
    await agent.blind_transfer("302")
    second = await scene.answered("302")
    after = await talk((caller, CALLER), (second, SECOND))
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.reason, call.direction) == (
        Outcome.RECORDED,
        "rule",
        Direction.INBOUND,
    )
    assert (call.a_number, call.c_number, call.consents) == ("46701234567", "301", ())
    one, two = await scene.takes()
    assert (one.owner, two.owner) == ("301", "302")
    one.whole().holds(first)
    two.whole().holds(after)


async def test_through_a_queue_and_a_consultation(scene: Scene) -> None:
    caller = await scene.call_in("600")
    agent = await scene.answered("301")
    first = await talk((caller, CALLER), (agent, AGENT))
    await agent.hold()
    consulting = await scene.far.line_calls("301", "302")
    second = await scene.answered("302")
    asked = await talk((consulting, AGENT), (second, SECOND))
    await agent.attended_transfer(consulting)
    await agent.wait_hangup()
    after = await talk((caller, CALLER), (second, SECOND))
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.direction) == (Outcome.RECORDED, Direction.INBOUND)
    takes = {take.owner: take for take in await scene.takes()}
    assert set(takes) == {"301", "302"}
    takes["301"].whole().holds(first)
    takes["302"].whole().holds(both(asked, after), LAG_MS)


async def test_nobody_can_be_asked(scene: Scene) -> None:
    """A rule that announces does not record, and the account says why; calls out alike."""
    caller = await scene.call_in("301", ASKED)
    agent = await (await scene.far.ringing("301")).answer()
    await scene.together("trunk", "301")
    await talk((caller, CALLER), (agent, AGENT))
    await agent.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.MISSED, "consent_missing")
    assert call.consents == ()

    agent = await scene.far.line_calls("301", "0461234567")
    called = await (await scene.far.trunk_ringing("461234567")).answer()
    await scene.together("trunk", "301")
    await talk((called, CALLER), (agent, AGENT))
    await agent.hangup()
    await called.wait_hangup()
    calls = await scene.over()
    assert [(call.direction, call.outcome, call.reason) for call in calls] == [
        (Direction.INBOUND, Outcome.MISSED, "consent_missing"),
        (Direction.OUTBOUND, Outcome.MISSED, "consent_missing"),
    ]
    assert await scene.takes() == []


async def test_internal(scene: Scene) -> None:
    one = await scene.far.line_calls("301", "302")
    two = await scene.answered("302")
    talked = await talk((one, AGENT), (two, SECOND))
    await two.hangup()
    await one.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.direction) == (Outcome.RECORDED, Direction.INTERNAL)
    assert (call.a_number, call.b_number) == ("301", "302")
    (take,) = await scene.takes()
    assert take.owner == "302"
    take.whole().holds(talked)
