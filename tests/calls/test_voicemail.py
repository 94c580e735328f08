"""Messages on the voicemail: 4301 is the voicemail of 301, after which 306 rings."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Consent, Outcome
from tests.bed import measure
from tests.bed.far import Phone
from tests.calls.balance import balance
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import rule
from tests.calls.scene import (
    CALLER,
    EDGE_MS,
    LAG_MS,
    SECOND,
    SHORT,
    Scene,
    Take,
    running,
    talk,
    talk_for,
    the_consent,
)

RECORDED, LIVE, STAR = (f"4670{n}000006" for n in range(3))
"""Callers whose messages are recorded after an announcement; whose calls are recorded, but not
their messages; who may refuse."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """A rule for each kind of caller."""
    short = {"language": SHORT, "whisper": False}
    rules = (
        rule("all", "inbound", consent="announce", number=RECORDED, voicemail=True, **short)
        + rule("live", "inbound", number=LIVE, **short)
        + rule("star", "inbound", consent="opt_out", number=STAR, voicemail=True, **short)
    )
    async with running(house, rules) as listener:
        yield listener


LEFT_MS = 40
"""Talk (ms) that the message may still have: it is closed as soon as the PBX has told of the
bridge and the sidecar is written, which is before the first packet where the disk is idle."""


async def at_voicemail(scene: Scene, number: str) -> Phone:
    """A caller who has heard the tone and may leave a message."""
    house = scene.house
    before = house.messages_taken()
    caller = await scene.call_in("4301", number)
    await scene.seen(What.VOICEMAIL)
    await caller.wait_up()
    await scene.listener.until(lambda: house.messages_taken() > before, "the tone")
    return caller


async def recording(scene: Scene) -> None:
    """Wait until the PBX records the caller's own leg."""
    await scene.recording("trunk")


def said(take: Take) -> float:
    """How long (ms) the caller is in a recording."""
    return measure.tone_ms(take.audio, CALLER)


async def test_a_message_is_recorded(scene: Scene) -> None:
    """From the voicemail on: the announcement before it is not in the file."""
    caller = await at_voicemail(scene, RECORDED)
    await recording(scene)
    talked = await talk_for(caller, CALLER, 1500)
    await caller.hangup()

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "rule")
    assert call.answered_at is None
    assert the_consent(call).outcome is Consent.ANNOUNCED
    (take,) = await scene.takes()
    take.whole()
    assert (take.owner, take.facts.line, take.facts.rule) == ("301", "301", "all")
    assert take.facts.leg == call.legs[0].leg
    assert said(take) == pytest.approx(talked, abs=EDGE_MS)
    assert take.prompts() == 0
    assert scene.prompts_heard() == 1
    rows = scene.listener.rows(f"SELECT owner, state FROM recording WHERE call_id='{call.call_id}'")
    assert rows == [{"owner": "301", "state": "stored"}]


async def test_a_rule_without_voicemail(scene: Scene) -> None:
    """Live calls are recorded, messages are not, and the account says so."""
    caller = await at_voicemail(scene, LIVE)
    await talk_for(caller, CALLER, 500)
    await caller.hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.NOT_SELECTED, "voicemail")
    assert await scene.takes() == []


async def test_a_caller_who_refuses(scene: Scene) -> None:
    caller = await scene.call_in("4301", STAR)
    await scene.seen(What.ASKING)
    await caller.press("*")
    await scene.seen(What.VOICEMAIL)
    await talk_for(caller, CALLER, 500)
    await caller.hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    assert await scene.takes() == []


async def test_a_caller_who_goes_on_to_an_agent(scene: Scene) -> None:
    """The message ends there; the talk with the agent is a recording of the agent's own."""
    caller = await at_voicemail(scene, RECORDED)
    await recording(scene)
    message = await talk_for(caller, CALLER, 700)
    await caller.press("#")
    agent = await scene.answered("306")
    talked = await talk((caller, CALLER), (agent, SECOND), ms=700)
    await agent.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert call.outcome is Outcome.RECORDED
    takes = {take.owner: take for take in await scene.takes()}
    assert set(takes) == {"301", "306"}
    assert takes["301"].facts.reason == "voicemail_left"
    assert said(takes["301"]) == pytest.approx(message, abs=EDGE_MS)
    assert measure.tone_ms(takes["301"].audio, SECOND) <= LEFT_MS
    takes["306"].whole().holds(talked)


async def test_the_listener_is_restarted_during_a_message(scene: Scene) -> None:
    """The recording goes on, and the new listener finishes it."""
    listener = scene.listener
    await balance(listener)  # what it still has to write about the calls before
    caller = await at_voicemail(scene, RECORDED)
    await recording(scene)
    first = await talk_for(caller, CALLER, 500)
    await listener.recording("recording")
    listener.kill()
    second = await talk_for(caller, CALLER, 500)
    await listener.up()
    third = await talk_for(caller, CALLER, 500)
    await caller.hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "rule")
    (take,) = await scene.takes()
    take.whole()
    assert said(take) == pytest.approx(first + second + third, abs=2 * EDGE_MS)


async def test_nobody_listens_when_the_message_begins(scene: Scene) -> None:
    """What is said after the listener is back is recorded, and counts as late."""
    listener = scene.listener
    await balance(listener)  # what it still has to write about the calls before
    caller = await scene.call_in("4301", RECORDED)
    await scene.seen(What.ANNOUNCING)
    listener.kill()
    await scene.seen(What.VOICEMAIL)
    await caller.wait_up()
    await talk_for(caller, SECOND, 1500)
    await listener.up()
    await recording(scene)
    talked = await talk_for(caller, CALLER, 700)
    await caller.hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "started_late")
    (take,) = await scene.takes()
    assert take.facts.late_ms > 1000
    assert said(take) == pytest.approx(talked, abs=EDGE_MS)


async def test_the_recording_begins_with_the_greeting(scene: Scene) -> None:
    """Nobody waits for the listener; it is quick enough not to lose the first word."""
    caller = await at_voicemail(scene, RECORDED)
    await recording(scene)
    reached, begun = (scene.events(what)[0] for what in (What.VOICEMAIL, What.STARTED))
    await caller.hangup()
    await scene.over()
    assert begun.at_ms - reached.at_ms <= LAG_MS
