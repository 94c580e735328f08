"""Calls out and calls in the house: who is told, who may refuse, whose recordings there are."""

from collections.abc import AsyncIterator

import pytest_asyncio

from callrec_pbx.domain.words import Consent, Direction, Outcome
from tests.bed import measure
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    SECOND,
    SHORT,
    THIRD,
    Scene,
    prompt_in_manifest,
    running,
    talk,
    the_consent,
)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """The called hear an announcement, some may refuse; colleagues 301 to 304 are recorded."""
    rules = (
        rule("may refuse", "outbound", consent="opt_out", number="046199*", language=SHORT)
        + rule("out", "outbound", consent="announce", language=SHORT)
        + rule("told", "internal", line="304", consent="announce", language=SHORT)
        + rule("first", "internal", line="301")
        + rule("second", "internal", line="302")
        + rule("third", "internal", line="303")
    )
    async with running(house, rules) as listener:
        yield listener


async def test_the_called_hears_the_announcement(scene: Scene) -> None:
    """It plays on answer to the called alone; the agent's leg is recorded, without it."""
    agent = await scene.far.line_calls("301", "0461234567", hear=scene.file("agent"))
    called = await scene.far.trunk_ringing("461234567")
    await called.hear(scene.file("called"))
    await called.answer()
    await scene.recording("301")
    talked = await talk((called, CALLER), (agent, AGENT))
    await called.hangup()
    await agent.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.direction) == (Outcome.RECORDED, Direction.OUTBOUND)
    assert (call.a_number, call.b_number) == ("301", "0461234567")
    consent = the_consent(call)
    assert (consent.outcome, consent.key) == (Consent.ANNOUNCED, "")
    assert consent.party in {leg.leg for leg in call.legs if leg.kind == "outside"}
    assert consent.prompt_sha256 == prompt_in_manifest(scene.house, "announce", SHORT).sha256
    (take,) = await scene.takes()
    assert (take.owner, take.facts.rule) == ("301", "out")
    take.whole().holds(talked)
    assert take.prompts() == 0
    assert (scene.prompts_heard("called"), scene.prompts_heard("agent")) == (1, 0)


async def test_the_called_may_refuse(scene: Scene) -> None:
    agent = await scene.far.line_calls("301", "0461990001")
    called = await scene.far.trunk_ringing("461990001")
    await called.answer()
    await called.press("*")
    await scene.together("trunk", "301")
    await talk((called, CALLER), (agent, AGENT))
    await agent.hangup()
    await called.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    consent = the_consent(call)
    assert (consent.outcome, consent.key) == (Consent.DECLINED, "*")
    assert consent.party in {leg.leg for leg in call.legs if leg.kind == "outside"}
    assert await scene.takes() == []


async def test_the_called_does_not_answer(scene: Scene) -> None:
    agent = await scene.far.line_calls("301", "0461234567")
    called = await scene.far.trunk_ringing("461234567")
    await agent.hangup()
    await called.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.NOT_SELECTED, "no_conversation")
    assert call.consents == ()


async def test_a_service_code_is_offered_as_it_was_dialled(scene: Scene) -> None:
    """Its signs tell it from a number: #31#070... is none of the Netherlands."""
    agent = await scene.far.line_calls("301", "046*31#0701234567")
    offered = await scene.seen(What.OFFERED)
    assert offered.detail.split("/")[0] == "outbound"
    assert offered.detail.split("/")[4] == "046*31#0701234567"
    await agent.hangup()
    await scene.call()


async def test_two_recorded_colleagues(scene: Scene) -> None:
    """An internal call between two recorded users gives two rows, each with both voices."""
    one = await scene.far.line_calls("301", "302")
    two = await scene.answered("302")
    await scene.recording("301")
    talked = await talk((one, AGENT), (two, SECOND))
    await two.hangup()
    await one.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.direction) == (Outcome.RECORDED, Direction.INTERNAL)
    assert call.consents == ()
    takes = {take.owner: take for take in await scene.takes()}
    assert set(takes) == {"301", "302"}
    for take in takes.values():
        assert take.facts.call_id == call.call_id
        take.whole().holds(talked)


async def test_a_rule_for_one_of_two(scene: Scene) -> None:
    """305 has no rule: only 303 has a recording, whoever of them calls."""
    for caller, called in (("305", "303"), ("303", "305")):
        scene = Scene(scene.listener)
        one = await scene.far.line_calls(caller, called)
        two = await (await scene.far.ringing(called)).answer()
        await scene.recording("303")
        talked = await talk((one, SECOND), (two, THIRD))
        await two.hangup()
        await one.wait_hangup()

        call = await scene.call()
        assert call.outcome is Outcome.RECORDED
        (take,) = await scene.takes()
        assert take.owner == "303"
        take.whole().holds(talked)


async def test_a_colleague_is_told(scene: Scene) -> None:
    """A rule that announces internal calls: who placed the call hears it."""
    one = await scene.far.line_calls("305", "304", hear=scene.file("caller"))
    two = await scene.answered("304")
    talked = await talk((one, SECOND), (two, THIRD))
    await two.hangup()
    await one.wait_hangup()
    call = await scene.call()
    assert the_consent(call).outcome is Consent.ANNOUNCED
    (take,) = await scene.takes()
    assert take.owner == "304"
    take.whole().holds(talked)
    assert scene.prompts_heard() == 1


async def test_colleagues_hand_a_call_on_to_the_outside(scene: Scene) -> None:
    """The customer who comes in is asked like any other, and hears no whisper; star is believed."""
    first = await scene.far.line_calls("301", "302")
    second = await scene.answered("302")
    await scene.together("301", "302")
    await scene.recording("301")
    await scene.recording("302")
    await second.blind_transfer("0461990002")
    called = await scene.far.trunk_ringing("461990002")
    await called.hear(scene.file("called"))
    await called.answer()
    await called.press("*")
    await scene.together("trunk", "301")
    await talk((called, CALLER), (first, AGENT))
    await first.hangup()
    await called.wait_hangup()

    call = await scene.call()
    consent = the_consent(call)
    assert (consent.outcome, consent.key) == (Consent.DECLINED, "*")
    assert call.direction is Direction.OUTBOUND
    takes = await scene.takes()
    assert sorted({take.owner for take in takes}) == ["301", "302"]
    # What the colleagues said is there; of the customer there is not a word.
    for take in takes:
        assert measure.tone_ms(take.audio, CALLER) == 0
