"""What a caller has answered in the administrator's own menu: 1301 has accepted, 2301 declined."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Consent, ConsentMode, Outcome
from tests.bed.far import Phone
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    LAG_MS,
    SECOND,
    SHORT,
    Scene,
    running,
    talk,
    the_consent,
)

AGREE, UNASKED, MUST_AGREE = (f"4670{n}000004" for n in range(3))
"""Callers who must agree, who are not asked, and who are hung up on when they do not agree."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """A rule for each kind of caller."""
    short = {"language": SHORT, "whisper": False}
    rules = (
        rule("agree", "inbound", consent="opt_in", number=AGREE, **short)
        + rule("unasked", "inbound", number=UNASKED, **short)
        + rule(
            "must agree",
            "inbound",
            consent="opt_in",
            number=MUST_AGREE,
            on_refusal="hang_up",
            **short,
        )
    )
    async with running(house, rules) as listener:
        yield listener


async def connected(scene: Scene, to: str, number: str) -> tuple[Phone, Phone]:
    """A caller who has come through the menu, and agent 301, who may be recorded or not."""
    caller = await scene.call_in(to, number)
    agent = await scene.far.ringing("301", timeout=20)
    await agent.answer()
    await scene.together("trunk", "301")
    return caller, agent


async def test_accepted(scene: Scene) -> None:
    """Not asked again, and recorded; the evidence says that the menu was not ours."""
    caller, agent = await connected(scene, "1301", AGREE)
    await scene.recording("301")
    talked = await talk((caller, CALLER), (agent, AGENT))
    await caller.hangup()

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "rule")
    consent = the_consent(call)
    assert (consent.outcome, consent.mode) == (Consent.ACCEPTED, ConsentMode.OPT_IN)
    assert (consent.prompt, consent.number) == ("outer_menu", AGREE)
    assert (consent.played_from, consent.played_to, consent.played_ms) == (None, None, 0)
    assert (consent.key, consent.prompt_sha256) == ("", "")
    assert consent.party == scene.events(What.CREATED)[0].leg
    (take,) = await scene.takes()
    take.whole().holds(talked)
    assert scene.prompts_heard() == 0


async def test_accepted_through_a_transfer(scene: Scene) -> None:
    """The next agent's line is recorded too, and the caller hears no announcement there."""
    caller, agent = await connected(scene, "1301", AGREE)
    await scene.recording("301")
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.blind_transfer("302")
    second = await scene.answered("302")
    after = await talk((caller, CALLER), (second, SECOND), ms=500)
    await caller.hangup()

    call = await scene.call()
    assert the_consent(call).outcome is Consent.ACCEPTED
    one, two = await scene.takes()
    assert (one.owner, two.owner) == ("301", "302")
    one.whole().holds(first)
    two.whole().holds(after)
    assert scene.prompts_heard() == 0


@pytest.mark.parametrize("number", [AGREE, UNASKED])
async def test_declined(scene: Scene, number: str) -> None:
    """Also where the rule asks nobody, and after a transfer; the call itself goes on."""
    caller, agent = await connected(scene, "2301", number)
    await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.blind_transfer("302")
    second = await (await scene.far.ringing("302")).answer()
    await scene.together("trunk", "302")
    await talk((caller, CALLER), (second, SECOND), ms=500)
    await caller.hangup()

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined_by_menu")
    consent = the_consent(call)
    assert (consent.outcome, consent.prompt) == (Consent.DECLINED, "outer_menu")
    assert await scene.takes() == []
    assert scene.prompts_heard() == 0


async def test_declined_where_that_ends_the_call(scene: Scene) -> None:
    """The caller is told that nothing is recorded, and the agent's phone does not ring."""
    caller = await scene.call_in("2301", MUST_AGREE)
    await caller.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined_by_menu")
    assert [one.endpoint for one in scene.events(What.CREATED)] == ["trunk"]
    assert scene.prompts_heard() == 1


async def test_accepted_where_a_refusal_would_end_the_call(scene: Scene) -> None:
    caller, agent = await connected(scene, "1301", MUST_AGREE)
    await scene.recording("301")
    talked = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await caller.hangup()
    (take,) = await scene.takes()
    take.whole().holds(talked)


@pytest.mark.parametrize("number", ["accepted", "declined", "1/1/1/1/1/accepted"])
async def test_a_caller_cannot_answer_in_its_place(scene: Scene, number: str) -> None:
    """Whatever is sent as number or name, the offer says that no menu was answered."""
    caller = await scene.far.call_in(number, "301", "CALLREC_CONSENT=accepted")
    agent = await (await scene.far.ringing("301")).answer()
    await scene.together("trunk", "301")
    (offer,) = scene.events(What.OFFERED)
    assert offer.detail == "inbound/301/301//301/"
    await agent.hangup()
    await caller.wait_hangup()
    assert (await scene.call()).consents == ()


@pytest.mark.parametrize(
    ("to", "outcome"),
    [
        ("1301", (Outcome.RECORDED, "started_late")),
        ("2301", (Outcome.DECLINED, "declined_by_menu")),
    ],
)
async def test_nobody_listened_when_the_menu_was_answered(
    listener: Listener, to: str, outcome: tuple[Outcome, str]
) -> None:
    """The PBX keeps the answer with the offer, for a listener that comes back in mid-call."""
    listener.configure(rule("agree", "inbound", consent="opt_in", whisper=False))
    await listener.up()
    listener.kill()
    scene = Scene(listener)
    caller, agent = await connected(scene, to, AGREE)
    await talk((caller, CALLER), (agent, AGENT), ms=1200)
    await listener.up()
    talked = None
    if to == "1301":
        await scene.recording("301")
        talked = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await caller.hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == outcome
    assert the_consent(call).prompt == "outer_menu"
    takes = await scene.takes()
    assert len(takes) == (talked is not None)
    for take in takes:
        assert talked is not None
        assert take.facts.late_ms > 1000
        take.holds(talked, LAG_MS)


async def test_restarted_in_mid_call(listener: Listener) -> None:
    """Nothing is forgotten: after a transfer the next line is not recorded either."""
    listener.configure(rule("plain", "inbound", whisper=False))
    await listener.up()
    scene = Scene(listener)
    caller, agent = await connected(scene, "2301", UNASKED)
    await talk((caller, CALLER), (agent, AGENT), ms=300)
    listener.kill()
    await listener.up()
    await agent.blind_transfer("302")
    second = await (await scene.far.ringing("302")).answer()
    await scene.together("trunk", "302")
    await talk((caller, CALLER), (second, SECOND), ms=500)
    await caller.hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined_by_menu")
    assert await scene.takes() == []
