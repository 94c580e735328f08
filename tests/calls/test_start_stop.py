"""All parties are told when a recording starts or stops in mid-call; it is in no recording."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.bed.far import Phone
from tests.calls.balance import balance
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    SECOND,
    Scene,
    both,
    running,
    talk,
    talk_for,
    times_heard,
)

BEEP, SPOKEN, SWEDISH, ALONE, ALWAYS = (f"4670{n}000005" for n in range(5))
"""Callers of rules that tell by a beep, in words, in Swedish words, that tell the agent alone; and
one that is recorded from the beginning and told in words."""

KEYED_MS = 1000
"""How long it may take until an agent has pressed the key that starts the recording."""

PROMPTS = Path(__file__).parents[2] / "prompts" / "audio"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """A rule for each kind of caller; colleagues are recorded, and told in words."""
    demand = {"whisper": False}
    rules = (
        rule("beep", "inbound", "on_demand", number=BEEP, start_stop="beep", **demand)
        + rule("spoken", "inbound", "on_demand", number=SPOKEN, start_stop="announcement", **demand)
        + rule(
            "swedish",
            "inbound",
            "on_demand",
            number=SWEDISH,
            start_stop="announcement",
            language="sv",
            **demand,
        )
        + rule("alone", "inbound", "on_demand", number=ALONE, notice="announcement", **demand)
        + rule(
            "always",
            "inbound",
            number=ALWAYS,
            start_stop="announcement",
            notice="none",
            whisper=False,
        )
        + rule("out", "outbound", "on_demand", start_stop="announcement")
        + rule("colleagues", "internal", start_stop="announcement", whisper=False)
    )
    async with running(house, rules) as listener:
        yield listener


async def connected(scene: Scene, number: str) -> tuple[Phone, Phone]:
    """A caller and agent 301, both of whom we hear with."""
    caller = await scene.call_in("301", number)
    agent = await scene.far.ringing("301", timeout=20)
    await agent.hear(scene.file("agent"))
    await agent.answer()
    await scene.together("trunk", "301")
    return caller, agent


async def told(scene: Scene, times: int = 1, parties: int = 2) -> None:
    """Wait until every party has heard that many notices to their end."""
    await scene.seen(What.TOLD, parties * times)
    assert len(scene.events(What.TELLING)) == parties * times


@asynccontextmanager
async def switched_off(listener: Listener) -> AsyncIterator[None]:
    """The administrator has switched all recording off at once; at the end it is on again."""
    await switch(listener, "off", "--now")
    try:
        yield
    finally:
        await switch(listener, "on")


async def switch(listener: Listener, *state: str) -> None:
    """Switch, and wait until the listener goes by it."""
    before = listener.log_text().count('"policy_loaded"')
    listener.cli("tenant", "recording", *state, "--author", "test")
    await listener.until(
        lambda: listener.log_text().count('"policy_loaded"') > before, "the new policy"
    )


def heard(scene: Scene, prompt: str, language: str = "en") -> tuple[int, int]:
    """How often caller and agent have heard a prompt.

    Of a spoken one either half: a busy machine may lose a packet, and what follows comes too early.
    """
    audio = PROMPTS / language / f"{prompt}.wav"
    parts = ((0.0, 1.0),) if prompt == "beep" else ((0.0, 0.5), (0.5, 1.0))
    caller, agent = (
        max(times_heard(scene.file(name), audio, *part) for part in parts)
        for name in ("caller", "agent")
    )
    return caller, agent


@pytest.mark.parametrize(
    ("number", "prompt", "language"),
    [(BEEP, "beep", "en"), (SPOKEN, "started", "en"), (SWEDISH, "started", "sv")],
)
async def test_started_by_the_agent(scene: Scene, number: str, prompt: str, language: str) -> None:
    """Both hear it once and whole, it is not in the recording, and they go on talking."""
    caller, agent = await connected(scene, number)
    await scene.listener.key(agent, "#2")
    await told(scene)
    talked = await talk((caller, CALLER), (agent, AGENT))
    await agent.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "rule")
    assert len(call.legs) == 2
    assert heard(scene, prompt, language) == (1, 1)
    (take,) = await scene.takes()
    take.whole(lag_ms=KEYED_MS).holds(talked)
    assert times_heard(take.audio, PROMPTS / language / f"{prompt}.wav") == 0


async def test_they_go_on_talking_meanwhile(scene: Scene) -> None:
    """What both say while they hear the notice is in the recording, as long as it was said."""
    caller, agent = await connected(scene, SPOKEN)
    await scene.listener.key(agent, "#2")
    await scene.recording("301")
    talked = await talk((caller, CALLER), (agent, AGENT), ms=2500)
    await told(scene)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    take.whole(lag_ms=KEYED_MS).holds(talked)


async def test_started_in_a_call_to_the_outside(scene: Scene) -> None:
    """There the agent's leg is the one that called."""
    agent = await scene.far.line_calls("301", "0461234567", hear=scene.file("agent"))
    called = await scene.far.trunk_ringing("461234567")
    await called.hear(scene.file("caller"))
    await called.answer()
    await scene.together("trunk", "301")
    await scene.listener.key(agent, "#2")
    await told(scene)
    talked = await talk((called, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await called.wait_hangup()
    assert (await scene.call()).outcome is Outcome.RECORDED
    assert heard(scene, "started") == (1, 1)
    (take,) = await scene.takes()
    take.whole(lag_ms=KEYED_MS).holds(talked)


async def test_the_agents_own_notice(scene: Scene) -> None:
    """Without `start_stop` the caller hears nothing of it."""
    caller, agent = await connected(scene, ALONE)
    await scene.listener.key(agent, "#2")
    await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    await scene.over()
    assert heard(scene, "started") == (0, 1)
    assert scene.events(What.TELLING) == []


async def test_discarded_by_the_agent(scene: Scene) -> None:
    """Who has objected hears that the recording has been deleted."""
    caller, agent = await connected(scene, ALWAYS)
    await scene.recording("301")
    await talk((caller, CALLER), (agent, AGENT), ms=500)
    await scene.listener.key(agent, "#9")
    await told(scene)
    await talk((caller, CALLER), (agent, AGENT), ms=300)
    await agent.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DISCARDED, "consent_withdrawn")
    assert heard(scene, "discarded") == (1, 1)
    assert heard(scene, "stopped") == (0, 0)


async def test_nothing_is_told_at_the_beginning_nor_at_the_end(scene: Scene) -> None:
    """A pause is the agent's business, too."""
    caller, agent = await connected(scene, ALWAYS)
    await scene.recording("301")
    first = await talk((caller, CALLER), (agent, AGENT), ms=300)
    await scene.listener.key(agent, "#1")
    await talk_for(caller, SECOND, 300)
    await scene.listener.key(agent, "#1")
    after = await talk((caller, CALLER), (agent, AGENT), ms=300)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    take.whole().holds(both(first, after))
    for prompt in ("started", "stopped", "beep"):
        assert heard(scene, prompt) == (0, 0)
    assert scene.events(What.TELLING) == []


async def test_stopped_by_the_administrator(scene: Scene) -> None:
    """The tenant's recording is switched off at once: both are told, and the call goes on."""
    listener = scene.listener
    caller, agent = await connected(scene, ALWAYS)
    await scene.recording("301")
    talked = await talk((caller, CALLER), (agent, AGENT), ms=500)
    async with switched_off(listener):
        await scene.seen(What.STOPPED)
        await told(scene)
    await talk((caller, SECOND), (agent, SECOND), ms=500)
    assert not caller.is_over
    await agent.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert call.outcome is Outcome.RECORDED
    assert len(call.legs) == 2
    assert heard(scene, "stopped") == (1, 1)
    (take,) = await scene.takes()
    assert take.facts.reason == "recording_off"
    take.holds(talked)
    # The key by which the listener has them told is in nobody's ear.
    assert (caller.digits, agent.digits) == ("", "")


async def test_stopped_after_a_restart_of_the_listener(scene: Scene) -> None:
    """The one that comes back knows from the sidecar that they are to be told."""
    listener = scene.listener
    await balance(listener)  # what it still has to write about the calls before
    caller, agent = await connected(scene, ALWAYS)
    await scene.recording("301")
    await listener.recording("recording")
    listener.kill()
    await listener.up()
    async with switched_off(listener):
        await scene.seen(What.STOPPED)
        await told(scene)
    await agent.hangup()
    await caller.wait_hangup()
    assert (await scene.call()).outcome is Outcome.RECORDED
    assert heard(scene, "stopped") == (1, 1)


async def test_two_recordings_of_one_conversation(scene: Scene) -> None:
    """Two colleagues, each recorded: they are told once that it has stopped."""
    listener = scene.listener
    one = await scene.far.line_calls("301", "302", hear=scene.file("caller"))
    two = await scene.far.ringing("302")
    await two.hear(scene.file("agent"))
    await two.answer()
    await scene.recording("301")
    await scene.recording("302")
    await talk((one, AGENT), (two, SECOND), ms=300)
    async with switched_off(listener):
        await scene.seen(What.STOPPED, 2)
        await told(scene)
    await two.hangup()
    await one.wait_hangup()
    await scene.over()
    assert heard(scene, "stopped") == (1, 1)
