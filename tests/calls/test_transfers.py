"""A call that is handed on: each agent's part is a recording of its own, and nothing is lost."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from callrec_pbx.domain.facts import CallFacts
from callrec_pbx.domain.words import Outcome
from tests.bed.far import Phone
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import everything, rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    LAG_MS,
    SECOND,
    SHORT,
    THIRD,
    Scene,
    both,
    running,
    talk,
    the_consent,
)

MAY_DECLINE = "46799000001"
"""A caller who is offered the star key."""

KEYING_MS = 800
"""While an agent keys a transfer nobody talks: his phone sends digits, and nobody is behind."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """Everything is recorded; outside callers hear a short announcement."""
    asked = rule("asked", "inbound", consent="opt_out", number="46799*", language=SHORT)
    rules = asked + everything("announce", language=SHORT, whisper=False)
    async with running(house, rules) as listener:
        yield listener


async def by_refer(scene: Scene, agent: Phone, to: str) -> None:
    """Transfer blindly with the phone's own button."""
    await agent.blind_transfer(to)


async def by_key(scene: Scene, agent: Phone, to: str) -> None:
    """Transfer blindly with the PBX's own key."""
    await scene.key_transfer(agent, scene.house.traits.blind_key, to)


def is_inbound(call: CallFacts) -> None:
    """See that it is the caller's one call, announced once, in the account as recorded."""
    assert (call.outcome, call.reason, call.a_number) == (
        Outcome.RECORDED,
        "rule",
        "46701234567",
    )
    assert the_consent(call).outcome.value == "announced"


@pytest.mark.parametrize("transfer", [by_refer, by_key])
@pytest.mark.parametrize("to", ["302", "600"])
async def test_blind(scene: Scene, transfer: object, to: str) -> None:
    assert callable(transfer)
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT))
    await transfer(scene, agent, to)
    second = await scene.answered("302")
    after = await talk((caller, CALLER), (second, SECOND))
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    is_inbound(call)
    assert call.queue == ("sales" if to == "600" else "")
    assert len(call.transfers) == 1
    one, two = await scene.takes()
    assert (one.owner, two.owner) == ("301", "302")
    one.whole(KEYING_MS if transfer is by_key else 0).holds(first)
    two.whole().holds(after)
    assert scene.prompts_heard() == 1


async def test_attended_by_refer(scene: Scene) -> None:
    """Three legs of lines, three recordings; the colleague's goes on when the caller comes."""
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT))
    await agent.hold()
    consulting = await scene.far.line_calls("301", "302")
    second = await scene.answered("302")
    await scene.recording("301", count=2)
    asked = await talk((consulting, AGENT), (second, SECOND))
    await agent.attended_transfer(consulting)
    await agent.wait_hangup()
    after = await talk((caller, CALLER), (second, SECOND))
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    is_inbound(call)
    assert len(call.pbx_ids) == 2
    # Those of one owner stay in the order of their beginning.
    one, two, three = sorted(await scene.takes(), key=lambda take: take.owner)
    assert len({take.facts.leg for take in (one, two, three)}) == 3
    assert (one.owner, two.owner, three.owner) == ("301", "301", "302")
    one.whole().holds(first)
    two.whole().holds(asked)
    three.whole().holds(both(asked, after), LAG_MS)
    assert scene.prompts_heard() == 1


async def test_attended_by_key(scene: Scene) -> None:
    """The agent keeps his leg: his recording has the caller and the colleague."""
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT))
    await scene.key_transfer(agent, scene.house.traits.consult_key, "302")
    second = await scene.answered("302")
    asked = await talk((agent, AGENT), (second, SECOND))
    await agent.hangup()
    await scene.together("trunk", "302")
    after = await talk((caller, CALLER), (second, SECOND))
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    is_inbound(call)
    one, two = await scene.takes()
    assert (one.owner, two.owner) == ("301", "302")
    one.whole(KEYING_MS).holds(both(first, asked), LAG_MS)
    two.whole().holds(both(asked, after), LAG_MS)
    assert scene.prompts_heard() == 1


async def test_consultation_ends_and_the_agent_returns(scene: Scene) -> None:
    """The colleague hangs up; the agent's one recording has the caller, her, and him again."""
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT))
    await scene.key_transfer(agent, scene.house.traits.consult_key, "302")
    second = await scene.answered("302")
    asked = await talk((agent, AGENT), (second, SECOND))
    await second.hangup()
    await scene.together("trunk", "301", count=2)
    after = await talk((caller, CALLER), (agent, AGENT))
    await agent.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    is_inbound(call)
    one, two = await scene.takes()
    assert (one.owner, two.owner) == ("301", "302")
    one.whole(KEYING_MS).holds(both(first, both(asked, after)), LAG_MS)
    two.whole().holds(asked)


async def test_consultation_is_refused(scene: Scene) -> None:
    """Nobody answers the agent's second call; he takes the caller back from hold."""
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT))
    await agent.hold()
    consulting = await scene.far.line_calls("301", "302")
    second = await scene.far.ringing("302")
    await second.hangup()
    await consulting.wait_hangup()
    await agent.unhold()
    await scene.seen(What.UNHELD)
    await agent.silent()
    after = await talk((caller, CALLER), (agent, AGENT))
    await agent.hangup()
    await caller.wait_hangup()

    calls = await scene.over()
    assert [(call.outcome, call.reason) for call in calls] == [
        (Outcome.RECORDED, "rule"),
        (Outcome.NOT_SELECTED, "no_conversation"),
    ]
    (one,) = await scene.takes()
    one.whole().holds(both(first, after))


async def test_internal_call_handed_on(scene: Scene) -> None:
    """The leg that stays keeps its recording, which has both colleagues."""
    one = await scene.far.line_calls("301", "302")
    two = await scene.answered("302")
    await scene.recording("301")
    first = await talk((one, AGENT), (two, SECOND))
    await one.blind_transfer("303")
    three = await scene.answered("303")
    after = await talk((two, SECOND), (three, THIRD))
    await three.hangup()
    await two.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.consents) == (Outcome.RECORDED, ())
    takes = {take.owner: take for take in await scene.takes()}
    assert set(takes) == {"301", "302", "303"}
    takes["301"].whole().holds(first)
    takes["302"].whole().holds(both(first, after), LAG_MS)
    takes["303"].whole().holds(after)


async def decline(scene: Scene) -> tuple[Phone, Phone]:
    """A caller who presses star during the announcement, and agent 301, connected."""
    caller = await scene.call_in("301", MAY_DECLINE)
    await caller.wait_up()
    await caller.press("*")
    agent = await scene.far.ringing("301", timeout=20)
    await agent.answer()
    await scene.together("trunk", "301")
    return caller, agent


@pytest.mark.parametrize("transfer", [by_refer, by_key])
@pytest.mark.parametrize("to", ["302", "600"])
async def test_refusal_holds_when_handed_on(scene: Scene, transfer: object, to: str) -> None:
    assert callable(transfer)
    caller, agent = await decline(scene)
    await transfer(scene, agent, to)
    second = await scene.far.ringing("302")
    await second.answer()
    await scene.together("trunk", "302")
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    assert (the_consent(call).outcome.value, the_consent(call).key) == ("declined", "*")
    assert await scene.takes() == []


async def test_refusal_holds_through_a_consultation_by_key(scene: Scene) -> None:
    caller, agent = await decline(scene)
    await scene.key_transfer(agent, scene.house.traits.consult_key, "302")
    second = await scene.far.ringing("302")
    await second.answer()
    await second.wait_up()
    await agent.hangup()
    await scene.together("trunk", "302")
    await second.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    assert await scene.takes() == []


async def test_refusal_holds_through_a_consultation_by_refer(scene: Scene) -> None:
    """What two colleagues say before the caller comes is theirs; nothing with her is recorded."""
    caller, agent = await decline(scene)
    await agent.hold()
    consulting = await scene.far.line_calls("301", "302")
    second = await scene.answered("302")
    await scene.recording("301")
    asked = await talk((consulting, AGENT), (second, SECOND))
    await agent.attended_transfer(consulting)
    await agent.wait_hangup()
    await scene.seen(What.STOPPED, 2)
    await talk((caller, CALLER), (second, SECOND))
    await second.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "partly_declined")
    assert the_consent(call).outcome.value == "declined"
    takes = {take.owner: take for take in await scene.takes()}
    assert set(takes) == {"301", "302"}
    takes["301"].holds(asked)
    takes["302"].holds(asked)
