"""In-call keys of the agent: pause and resume, discard; what nobody else can do with them."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Consent, Outcome
from tests.bed import measure
from tests.bed.far import Phone
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import everything, rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    EDGE_MS,
    LAG_MS,
    SECOND,
    SECRET,
    SHORT,
    Scene,
    both,
    far_ms,
    length_ms,
    listen,
    running,
    talk,
    talk_for,
    the_consent,
    times_heard,
)

BEEPS, SPOKEN, SILENT, FOR_A_WHILE, ALWAYS = (f"4670{n}000002" for n in range(5))
"""Callers of rules that confirm a key by beep, announcement or nothing; whose pause ends by
itself; and whose recording nobody may pause."""

PAUSE_MS = 40
"""How much paused talk (ms) a recording may hold, or talk it may lack, at each end of a pause."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """A rule for each kind of caller."""
    rules = (
        rule("beeps", "inbound", number=BEEPS, whisper=False)
        + rule("spoken", "inbound", number=SPOKEN, notice="announcement", whisper=False)
        + rule("silent", "inbound", number=SILENT, notice="none", whisper=False)
        + rule("for a while", "inbound", number=FOR_A_WHILE, resume_after_s=1, whisper=False)
        + rule("always", "inbound", "always", number=ALWAYS, whisper=False)
        + everything("announce", language=SHORT, notice="none", whisper=False)
    )
    async with running(house, rules) as listener:
        yield listener


def prompt_file(name: str) -> Path:
    """The shipped English audio of a prompt."""
    return Path(__file__).parents[2] / "prompts" / "audio" / "en" / f"{name}.wav"


async def press(scene: Scene, phone: Phone, digits: str) -> None:
    """Use an in-call key, and wait until the PBX has done with it, its confirmation included."""
    await scene.listener.key(phone, digits)


def seen_to_ms(scene: Scene) -> float:
    """For how long in all the PBX ran the script of the keys, by its own clock (ms)."""
    begins = [one.at_ms for one in scene.events(What.KEY)]
    ends = [one.at_ms for one in scene.events(What.KEY_OVER)]
    return sum(ends) - sum(begins)


async def test_two_pauses(scene: Scene) -> None:
    """Nothing that is said in a pause is in the file, and all else is, to 40 ms."""
    caller, agent = await scene.conversation(SILENT)
    begin = await caller.talk(CALLER)
    pieces = [await talk((agent, AGENT), ms=500)]
    for number in (1, 2):
        await press(scene, agent, "#1")
        await scene.seen(What.PAUSED, number)
        await talk_for(agent, SECRET, 700)
        await press(scene, agent, "#1")
        await scene.seen(What.RESUMED, number)
        pieces.append(await talk((agent, AGENT), ms=500))
    end = await caller.silent()
    await agent.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert call.outcome is Outcome.RECORDED
    (take,) = await scene.takes()
    stops = [one.at_ms for one in scene.events(What.PAUSED)]
    starts = [one.at_ms for one in scene.events(What.RESUMED)]
    paused = list(zip(stops, starts, strict=True))
    assert take.facts.started_at is not None
    zero = take.facts.started_at.timestamp() * 1000
    told = [(zero + pause.from_ms, zero + (pause.to_ms or 0)) for pause in take.facts.pauses]
    assert np.array(told) == pytest.approx(np.array(paused), abs=scene.house.traits.mark_ms)
    said_ms = far_ms(end) - far_ms(begin) - length_ms(paused)
    take.whole()
    assert measure.tone_ms(take.audio, SECRET) == 0
    # While the PBX sees to a key, the agent does not hear the caller: 20 to 40 ms each.
    found_ms = measure.tone_ms(take.audio, CALLER)
    assert found_ms <= said_ms + 4 * PAUSE_MS
    assert found_ms >= said_ms - 4 * PAUSE_MS - seen_to_ms(scene)
    agent_ms = sum(piece[AGENT] for piece in pieces)
    assert measure.tone_ms(take.audio, AGENT) == pytest.approx(agent_ms, abs=EDGE_MS)


async def test_beeps(scene: Scene) -> None:
    """The agent hears a tone for each key, and the caller nothing, not even the keys."""
    caller, agent = await scene.conversation(BEEPS)
    first = await talk((caller, CALLER), (agent, SECOND), ms=500)
    await press(scene, agent, "#1")
    await talk((caller, SECRET), (agent, SECRET), ms=500)
    await press(scene, agent, "#1")
    after = await talk((caller, CALLER), (agent, SECOND), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    take.whole()
    said = both(first, after)
    assert measure.tone_ms(take.audio, CALLER) == pytest.approx(said[CALLER], abs=EDGE_MS)
    assert measure.tone_ms(take.audio, SECRET) == 0
    for name in ("beep_paused", "beep_resumed"):
        assert times_heard(scene.file("agent"), prompt_file(name)) == 1
        assert times_heard(scene.file("caller"), prompt_file(name)) == 0
    assert caller.digits == ""


async def test_spoken_confirmation(scene: Scene) -> None:
    """The agent hears what has become of the key; the caller and the recording do not."""
    caller, agent = await scene.conversation(SPOKEN)
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await press(scene, agent, "#1")
    await talk((caller, SECRET), (agent, SECRET), ms=500)
    await press(scene, agent, "#1")
    after = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    take.whole().holds(both(first, after))
    for name in ("paused", "resumed"):
        assert times_heard(scene.file("agent"), prompt_file(name)) == 1
        assert times_heard(scene.file("caller"), prompt_file(name)) == 0
    assert times_heard(take.audio, prompt_file("paused")) == 0


async def test_no_confirmation(scene: Scene) -> None:
    caller, agent = await scene.conversation(SILENT)
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await press(scene, agent, "#1")
    await talk((caller, SECRET), ms=500)
    await press(scene, agent, "#1")
    after = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    take.whole().holds(both(first, after))
    assert len(take.facts.pauses) == 1
    for name in ("beep_paused", "beep_resumed", "paused", "resumed"):
        assert times_heard(scene.file("agent"), prompt_file(name)) == 0


async def test_the_call_ends_in_a_pause(scene: Scene) -> None:
    """The pause ends with the recording; what was said in it is nowhere."""
    caller, agent = await scene.conversation(SILENT)
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await press(scene, agent, "#1")
    await talk((caller, SECRET), (agent, SECRET), ms=500)
    await caller.hangup()
    await agent.wait_hangup()
    (take,) = await scene.takes()
    take.whole().holds(first)
    (pause,) = take.facts.pauses
    assert pause.to_ms is not None


async def key_through(scene: Scene, caller: Phone, agent: Phone, keys: str, sent: str) -> None:
    """Press the caller's keys, and wait until the PBX has passed them on; `sent` is all so far."""
    await caller.press(keys)
    if scene.house.traits.all_digits:
        await agent.wait_digits(sent)
        return

    def had() -> str:
        return "".join(one.detail for one in scene.events(What.DIGIT, endpoint="trunk"))

    await scene.listener.until(lambda: had() == sent, f"digits {sent}")


async def test_the_callers_own_keys_do_nothing(scene: Scene) -> None:
    """They go through to the agent as any digit does."""
    caller, agent = await scene.conversation(BEEPS)
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    for keys, sent in (("#1", "#1"), ("#9", "#1#9"), ("#2", "#1#9#2")):
        await key_through(scene, caller, agent, keys, sent)
    await listen(300)  # the PBX may still be sending it
    after = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    assert scene.events(What.PAUSED, What.RESUMED) == []
    assert (await scene.call()).outcome is Outcome.RECORDED
    (take,) = await scene.takes()
    take.whole(no_packets_ms=LAG_MS).holds(both(first, after))
    assert take.facts.pauses == ()


async def test_a_pause_ends_by_itself(scene: Scene) -> None:
    caller, agent = await scene.conversation(FOR_A_WHILE)
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await press(scene, agent, "#1")
    paused = await scene.seen(What.PAUSED)
    await talk((caller, SECRET), ms=400)
    resumed = await scene.seen(What.RESUMED)
    assert resumed.at_ms - paused.at_ms == pytest.approx(1000, abs=100)
    after = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    take.whole().holds(both(first, after))


async def test_a_recording_that_must_not_be_paused(scene: Scene) -> None:
    """Mode `always`: neither pause nor start on demand does anything."""
    caller, agent = await scene.conversation(ALWAYS)
    await press(scene, agent, "#1")
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await press(scene, agent, "#2")
    after = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    assert scene.events(What.PAUSED, What.RESUMED) == []
    (take,) = await scene.takes()
    take.whole(no_packets_ms=2 * LAG_MS).holds(both(first, after))


async def test_the_next_agents_keys(scene: Scene) -> None:
    """After a transfer the pause of the first agent is over, and the next one has the keys."""
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await press(scene, agent, "#1")
    await talk((caller, SECRET), ms=300)
    await agent.blind_transfer("302")
    second = await scene.answered("302")
    mine = await talk((caller, CALLER), (second, SECOND), ms=500)
    await press(scene, second, "#1")
    await talk((caller, SECRET), (second, SECRET), ms=500)
    await press(scene, second, "#1")
    after = await talk((caller, CALLER), (second, SECOND), ms=500)
    await second.hangup()
    await caller.wait_hangup()
    one, two = await scene.takes()
    one.whole().holds(first)
    two.whole().holds(both(mine, after))
    assert (len(one.facts.pauses), len(two.facts.pauses)) == (1, 1)


async def test_both_colleagues_have_keys(scene: Scene) -> None:
    """In an internal call each pauses his own recording."""
    one = await scene.far.line_calls("301", "302")
    two = await scene.answered("302")
    await scene.recording("301")
    first = await talk((one, AGENT), (two, SECOND), ms=500)
    await press(scene, one, "#1")
    secret = await talk((one, AGENT), (two, SECOND), ms=500)
    await press(scene, one, "#1")
    await press(scene, two, "#1")
    other = await talk((one, AGENT), (two, SECOND), ms=500)
    await two.hangup()
    await one.wait_hangup()
    takes = {take.owner: take for take in await scene.takes()}
    takes["301"].whole().holds(both(first, other))
    takes["302"].whole().holds(both(first, secret))


async def test_a_phone_with_two_calls(scene: Scene) -> None:
    """The keys count for the call in which they are pressed, and for no other."""
    caller, agent = await scene.conversation(SILENT)
    waiting = await scene.call_in("301", ALWAYS, hear="waiting")
    again = await (await scene.far.ringing("301", timeout=20)).answer()
    await scene.recording("301", 2)
    await press(scene, agent, "#1")
    first = await talk((caller, SECRET), (agent, SECRET), (waiting, SECOND), ms=500)
    await press(scene, agent, "#9")
    after = await talk((caller, SECRET), (agent, SECRET), (waiting, AGENT), ms=500)
    for phone in (agent, again):
        await phone.hangup()
    for phone in (caller, waiting):
        await phone.wait_hangup()

    ended = {call.a_number: call.outcome for call in await scene.over()}
    assert ended == {SILENT: Outcome.DISCARDED, ALWAYS: Outcome.RECORDED}
    takes = {take.facts.state.value: take for take in await scene.takes()}
    assert set(takes) == {"discarded", "stored"}
    assert not takes["discarded"].audio.exists()
    takes["stored"].whole().holds({SECOND: first[SECOND], AGENT: after[AGENT]})
    assert not takes["stored"].facts.pauses


async def test_discard(scene: Scene) -> None:
    """The caller objects in words: all audio of the call goes, of the earlier agent's leg too."""
    caller, agent = await scene.conversation()
    await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.blind_transfer("302")
    second = await scene.answered("302")
    await talk((caller, CALLER), (second, SECOND), ms=500)
    await press(scene, second, "#9")
    await scene.seen(What.STOPPED, 2)
    await talk((caller, SECRET), (second, SECRET), ms=500)
    await second.blind_transfer("303")
    third = await (await scene.far.ringing("303")).answer()
    await scene.together("trunk", "303")
    await listen(300)
    await third.hangup()
    await caller.wait_hangup()

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DISCARDED, "consent_withdrawn")
    assert the_consent(call).outcome is Consent.DECLINED
    assert the_consent(call).played_ms > 0
    one, two = await scene.takes()
    assert (one.owner, two.owner) == ("301", "302")
    for take in (one, two):
        assert (take.facts.state.value, take.facts.reason) == ("discarded", "consent_withdrawn")
        assert take.facts.audio_ms is None
        assert not take.audio.exists()
    sql = f"SELECT outcome FROM call WHERE call_id = '{call.call_id}'"
    await scene.listener.until(
        lambda: scene.listener.rows(sql) == [{"outcome": "discarded"}], "the row of the call"
    )


async def test_a_pause_outlasts_a_transfer(scene: Scene) -> None:
    """The leg that stays when its call is handed on stays paused, until its own agent resumes."""
    one = await scene.far.line_calls("301", "302")
    two = await scene.answered("302")
    first = await talk((one, AGENT), (two, SECOND), ms=500)
    await press(scene, two, "#1")
    await one.blind_transfer("303")
    three = await scene.answered("303")
    secret = await talk((two, SECRET), (three, CALLER), ms=500)
    await press(scene, two, "#1")
    after = await talk((two, SECOND), (three, CALLER), ms=500)
    await three.hangup()
    await two.wait_hangup()
    takes = {take.owner: take for take in await scene.takes()}
    takes["301"].whole().holds(first)
    takes["302"].holds(both(first, after))
    takes["303"].whole().holds(both(secret, after))
    assert len(takes["302"].facts.pauses) == 1
