"""Recordings with two channels: left what the agent says, right what the agent hears."""

import numpy as np

from callrec_pbx.audio import wav
from callrec_pbx.domain.words import Channels, Outcome
from tests.bed import measure
from tests.bed.pbx_config import MOH_HZ
from tests.calls.listener import Listener
from tests.calls.pbx import What
from tests.calls.rules import rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    EDGE_MS,
    LAG_MS,
    SECOND,
    SECRET,
    both,
    listen,
    talk,
)
from tests.calls.stereo import LEFT, RIGHT, STEREO, begun, files, has, only, sound

KEYING_MS = 800


async def test_each_side_in_its_channel(listener: Listener) -> None:
    """Both at once, then one after the other: the two channels keep step."""
    scene = await begun(listener)
    caller, agent = await scene.conversation()
    at_once = await talk((caller, CALLER), (agent, AGENT), ms=700)
    question = await talk((caller, CALLER), ms=500)
    answer = await talk((agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    sound(take)
    said, heard = both(only(at_once, AGENT), answer), both(only(at_once, CALLER), question)
    has(take.audio, said, heard)
    asked = measure.tone_segments(take.audio, [CALLER], RIGHT)[-1]
    answered = measure.tone_segments(take.audio, [AGENT], LEFT)[-1]
    assert -EDGE_MS < answered.from_ms - asked.to_ms < LAG_MS


async def test_an_outbound_call_has_the_same_sides(listener: Listener) -> None:
    """Whoever called: left is the one whose recording it is."""
    scene = await begun(listener)
    agent = await scene.far.line_calls("301", "046701")
    party = await scene.far.trunk_ringing("46701")
    await party.answer()
    await scene.recording("301")
    talked = await talk((agent, AGENT), (party, CALLER), ms=600)
    await agent.hangup()
    await party.wait_hangup()
    (take,) = await scene.takes()
    has(sound(take).audio, only(talked, AGENT), only(talked, CALLER))


async def test_an_internal_call_has_two_recordings(listener: Listener) -> None:
    """One for each leg, each with its own user on the left."""
    scene = await begun(listener)
    one = await scene.far.line_calls("301", "302")
    two = await scene.answered("302")
    await scene.recording("301")
    talked = await talk((one, AGENT), (two, SECOND), ms=600)
    await one.hangup()
    await two.wait_hangup()
    takes = {take.owner: sound(take) for take in await scene.takes()}
    has(takes["301"].audio, only(talked, AGENT), only(talked, SECOND))
    has(takes["302"].audio, only(talked, SECOND), only(talked, AGENT))


async def test_music_is_on_the_side_that_hears_it(listener: Listener) -> None:
    """What the PBX plays to a leg is what that leg hears."""
    scene = await begun(listener)
    one = await scene.far.line_calls("301", "302")
    two = await scene.answered("302")
    await scene.recording("301")
    await one.hold()
    await scene.seen(What.MUSIC)
    await listen(600)
    await one.unhold()
    await one.hangup()
    await two.wait_hangup()
    takes = {take.owner: sound(take) for take in await scene.takes()}
    assert measure.tone_ms(takes["302"].audio, MOH_HZ, RIGHT) > 400
    assert measure.tone_ms(takes["302"].audio, MOH_HZ, LEFT) == 0
    has(takes["301"].audio, {}, {})


async def test_a_pause_is_in_neither(listener: Listener) -> None:
    scene = await begun(listener)
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await listener.key(agent, "#1")
    await scene.seen(What.PAUSED)
    await talk((caller, SECRET), (agent, SECRET), ms=700)
    await listener.key(agent, "#1")
    await scene.seen(What.RESUMED)
    after = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    talked = both(first, after)
    has(sound(take).audio, only(talked, AGENT), only(talked, CALLER))
    assert len(take.facts.pauses) == 1


async def test_somebody_else_comes(listener: Listener) -> None:
    """Where the recorder is opened anew, all three files go on, and in step."""
    scene = await begun(listener)
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT), ms=600)
    await scene.key_transfer(agent, scene.house.traits.consult_key, "302")
    second = await scene.answered("302")
    asked = await talk((agent, AGENT), (second, SECOND), ms=600)
    await agent.hangup()
    await scene.together("trunk", "302")
    after = await talk((caller, CALLER), (second, SECOND), ms=600)
    await second.hangup()
    await caller.wait_hangup()
    takes = {take.owner: take for take in await scene.takes()}
    sound(takes["302"])
    takes["301"].whole(KEYING_MS)
    consulted = both(only(first, AGENT), only(asked, AGENT))
    has(takes["301"].audio, consulted, both(only(first, CALLER), only(asked, SECOND)), LAG_MS)
    joined = both(only(asked, SECOND), only(after, SECOND))
    has(takes["302"].audio, joined, both(only(asked, AGENT), only(after, CALLER)), LAG_MS)


async def test_discarded_while_it_runs(listener: Listener) -> None:
    """No file is left of it, mixed or apart."""
    scene = await begun(listener)
    caller, agent = await scene.conversation()
    await talk((caller, CALLER), (agent, AGENT), ms=500)
    assert files(listener) == list(scene.house.traits.stereo_files)
    await listener.key(agent, "#9")
    await listener.recording("discarded")
    await listener.until(lambda: not files(listener), "no audio")
    await agent.hangup()
    await caller.wait_hangup()
    assert (await scene.call()).outcome is Outcome.DISCARDED
    assert files(listener) == []


async def test_killed_and_adopted(listener: Listener) -> None:
    """The next listener finds out that it is a stereo one, also when it opens it anew."""
    scene = await begun(listener)
    caller = await scene.far.line_calls("301", "302")
    agent = await scene.answered("302")
    await scene.recording("301")
    first = await talk((caller, AGENT), (agent, SECOND), ms=500)
    listener.kill()
    unheard = await talk((caller, AGENT), (agent, SECOND), ms=500)
    await listener.up()
    await caller.blind_transfer("303")
    third = await scene.answered("303")
    after = await talk((agent, SECOND), (third, CALLER), ms=500)
    await third.hangup()
    await agent.wait_hangup()
    takes = {take.owner: take for take in await scene.takes()}
    assert {sound(take).facts.channels for take in takes.values()} == {Channels.STEREO}
    before = both(first, unheard)
    has(takes["301"].audio, only(before, AGENT), only(before, SECOND))
    said = both(only(before, SECOND), only(after, SECOND))
    has(takes["302"].audio, said, both(only(before, AGENT), only(after, CALLER)), LAG_MS)
    has(takes["303"].audio, only(after, CALLER), only(after, SECOND))


async def test_killed_and_over_before_the_next_one(listener: Listener) -> None:
    """What the PBX has left in parts is joined by the next listener."""
    scene = await begun(listener)
    caller, agent = await scene.conversation()
    talked = await talk((caller, CALLER), (agent, AGENT), ms=700)
    listener.kill()
    await agent.hangup()
    await caller.wait_hangup()
    await listener.house.quiet()
    assert files(listener) == list(scene.house.traits.stereo_files)
    await listener.up()
    (take,) = await scene.takes()
    has(sound(take).audio, only(talked, AGENT), only(talked, CALLER))


async def test_the_reminder_tone_is_in_neither(listener: Listener) -> None:
    rules = rule("in", "inbound", reminder_s=10, whisper=False, channels="stereo")
    scene = await begun(listener, rules)
    caller, agent = await scene.conversation()
    await listen(1500)
    talked = await talk((caller, CALLER), (agent, AGENT), ms=300)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    has(sound(take).audio, only(talked, AGENT), only(talked, CALLER))
    heard, rate = measure.read_wav(await caller.heard())
    assert np.abs(heard[:rate]).max() > 0.03
    for channel in (LEFT, RIGHT):
        samples, rate = measure.read_wav(take.audio, channel)
        assert np.abs(samples[:rate]).max() < 0.01


async def test_a_mixed_one_beside_it(listener: Listener) -> None:
    """The rule decides; a mixed recording is one file from the beginning."""
    mixed = rule("one", "inbound", whisper=False, line="302", channels="mixed")
    scene = await begun(listener, mixed + STEREO)
    one, first = await scene.conversation()
    two = await scene.call_in("302", "46702")
    second = await scene.answered("302")
    assert files(listener) == [*scene.house.traits.stereo_files, "wav"]
    talked = await talk((one, CALLER), (first, AGENT), (two, CALLER), (second, SECOND), ms=500)
    for phone in (first, second):
        await phone.hangup()
    for phone in (one, two):
        await phone.wait_hangup()
    takes = {take.owner: take.whole() for take in await scene.takes()}
    has(takes["301"].audio, only(talked, AGENT), only(talked, CALLER))
    assert takes["302"].facts.channels is Channels.MIXED
    assert wav.inspect(takes["302"].audio).channels == 1
    takes["302"].holds(only(talked, CALLER, SECOND))
