"""Calls with what only FreeSWITCH has: its API commands, its masking, an administrator's own use.

What every PBX does is in `tests/calls`, run against FreeSWITCH too: queues (mod_callcenter), pickup
(intercept), parking (valet_park), transfers by REFER and by key (att_xfer), a killed switch.
"""

import signal
from pathlib import Path

import numpy as np
import pytest

from callrec_pbx.domain.words import Outcome
from tests.bed import measure
from tests.bed.esl import Esl
from tests.calls.listener import Listener
from tests.calls.on_freeswitch import FreeSwitchHouse
from tests.calls.pbx import Happening, What
from tests.calls.rules import everything, rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    SECOND,
    SECRET,
    SHORT,
    Scene,
    add_short_prompts,
    both,
    far_ms,
    listen,
    talk,
)

PLAIN = everything(whisper=False, notice="none")

SHORTEST_MS = 100
"""A run of zeros that is shorter is no silence: a tone has some."""

FIRST_MS = 300
"""Until when nobody may have said anything yet."""

EDGE_MS = 60
"""How much longer or shorter a piece may be: a packet, and FreeSWITCH's clock, at each end."""


async def begun(listener: Listener, rules: str = PLAIN) -> tuple[Scene, Esl]:
    """Start the listener, and return the scene and the bed's event socket."""
    listener.configure(rules)
    await listener.up()
    assert isinstance(listener.house, FreeSwitchHouse)
    return Scene(listener), listener.house.bed.esl


async def leg_of(scene: Scene, endpoint: str) -> str:
    """The only leg of an endpoint, once FreeSWITCH has told of it."""

    def found() -> list[Happening]:
        return scene.events(What.CREATED, endpoint=endpoint)

    await scene.listener.until(lambda: len(found()) > 0, f"a leg of {endpoint}")
    return found()[0].leg


def silences_ms(wav: Path) -> list[tuple[float, float]]:
    """From where to where (ms) there is nothing but zeros."""
    samples, rate = measure.read_wav(wav)
    silent = np.concatenate(([0], samples == 0, [0])).astype(int)
    edges = np.flatnonzero(np.diff(silent)) * 1000 / rate
    found = zip(edges[::2], edges[1::2], strict=True)
    return [(float(a), float(b)) for a, b in found if b - a >= SHORTEST_MS]


async def test_what_is_masked_is_silent_to_the_sample(listener: Listener) -> None:
    """Both talk on through the pause: in between there are zeros, and not one other sample."""
    scene, _ = await begun(listener)
    caller, agent = await scene.conversation()
    for phone, hz in ((caller, CALLER), (agent, AGENT)):
        await phone.talk(hz)
    await listen(600)
    await listener.key(agent, "#1")
    await scene.seen(What.PAUSED)
    await listen(900)
    await listener.key(agent, "#1")
    await scene.seen(What.RESUMED)
    await listen(600)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    (pause,) = take.muted
    silences = [b - a for a, b in silences_ms(take.audio) if a > FIRST_MS]
    assert len(silences) == 1
    assert -EDGE_MS <= silences[0] - (pause[1] - pause[0]) <= EDGE_MS + take.keyed_ms


async def test_a_one_way_recording_is_masked_at_once(listener: Listener) -> None:
    """On a leg with nobody at the other end FreeSWITCH would keep half a second and write it."""
    settings = {"consent": "announce", "language": SHORT, "whisper": False, "voicemail": True}
    add_short_prompts(listener.house)
    scene, esl = await begun(listener, rule("all", "inbound", **settings))
    caller = await scene.call_in("4301")
    await scene.recording("trunk")
    (recording,) = listener.recording_facts()
    await caller.talk(CALLER)
    await listen(1500)
    path = listener.audio(recording)
    await esl.api(f"uuid_record {recording.leg} mask {path}", check=True)
    await caller.talk(SECRET)
    await listen(900)
    begin = await caller.silent()
    await listen(300)
    await esl.api(f"uuid_record {recording.leg} unmask {path}", check=True)
    spoken = far_ms(await caller.talk(SECOND)) - far_ms(begin)
    await listen(700)
    await caller.hangup()
    (take,) = await scene.takes()
    assert spoken > 0
    assert measure.tone_ms(take.audio, SECRET) == 0
    assert measure.tone_ms(take.audio, SECOND) > 500
    (pause,) = take.muted
    longest = max(silences_ms(take.audio), key=lambda span: span[1] - span[0])
    assert longest[1] - longest[0] >= pause[1] - pause[0] - EDGE_MS


async def test_the_administrators_own_recording_stays_as_it_is(listener: Listener) -> None:
    """Neither pause nor objection touches another recording of the same leg."""
    scene, esl = await begun(listener)
    caller, agent = await scene.conversation()
    own = scene.folder / "own.wav"
    await esl.api(f"uuid_record {await leg_of(scene, '301')} start {own}", check=True)
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await listener.key(agent, "#1")
    secret = await talk((caller, SECRET), ms=500)
    await listener.key(agent, "#9")
    await listener.recording("discarded")
    after = await talk((caller, SECOND), ms=500)
    await agent.hangup()
    await caller.wait_hangup()
    assert (await scene.call()).outcome is Outcome.DISCARDED
    for hz, ms in (both(first, both(secret, after))).items():
        assert measure.tone_ms(own, hz) == pytest.approx(ms, abs=EDGE_MS), hz


@pytest.mark.parametrize("name", ["recording_follow_transfer", "recording_follow_attxfer"])
async def test_recordings_that_follow_transfers(listener: Listener, name: str) -> None:
    """An administrator wants his own to move; ours stay where they are, whole, one for each leg."""
    scene, esl = await begun(listener)
    caller = await scene.call_in("301")
    ringing = await scene.far.ringing("301")
    for endpoint in ("trunk", "301"):
        await esl.api(f"uuid_setvar {await leg_of(scene, endpoint)} {name} true", check=True)
    agent = await ringing.answer()
    await scene.recording("301")
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await agent.blind_transfer("302")
    second = await scene.answered("302")
    after = await talk((caller, CALLER), (second, SECOND), ms=500)
    await second.hangup()
    await caller.wait_hangup()
    one, two = await scene.takes()
    assert (one.owner, two.owner) == ("301", "302")
    one.whole().holds(first)
    two.whole().holds(after)


async def test_transferred_by_api(listener: Listener) -> None:
    """As an operator's panel does it: `uuid_transfer` of the caller, and `uuid_bridge`."""
    scene, esl = await begun(listener)
    caller, agent = await scene.conversation()
    first = await talk((caller, CALLER), (agent, AGENT), ms=500)
    outside = await leg_of(scene, "trunk")
    await esl.api(f"uuid_transfer {outside} 302 XML default", check=True)
    second = await scene.answered("302")
    after = await talk((caller, CALLER), (second, SECOND), ms=500)
    third = await scene.far.line_calls("303", "304")
    fourth = await scene.answered("304")
    await esl.api(f"uuid_bridge {outside} {await leg_of(scene, '304')}", check=True)
    await scene.together("trunk", "304")
    last = await talk((caller, CALLER), (fourth, AGENT), ms=500)
    await fourth.hangup()
    for phone in (caller, second, third):
        await phone.wait_hangup()
    takes = {take.owner: take for take in await scene.takes()}
    assert set(takes) == {"301", "302", "303", "304"}
    takes["301"].whole().holds(first)
    takes["302"].whole().holds(after)
    takes["304"].whole().holds(last)


@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGKILL])
async def test_nobody_listens_in_the_middle_of_the_prompt(
    listener: Listener, number: signal.Signals
) -> None:
    """The prompt goes on, the star is believed, and the agent's phone rings without a delay."""
    scene, _ = await begun(listener, rule("in", "inbound", consent="opt_out", whisper=False))
    caller = await scene.call_in("301")
    await scene.seen(What.ASKING)
    listener.send(number)
    await caller.press("*")
    agent = await scene.far.ringing("301")
    told = await scene.seen(What.CONSENT)
    await leg_of(scene, "301")
    rung = scene.events(What.CREATED, endpoint="301")[0]
    confirmation_ms = measure.duration_ms(listener.house.sounds / "en" / "declined.wav")
    assert rung.at_ms - told.at_ms <= confirmation_ms + 500
    await agent.answer()
    await scene.together("trunk", "301")
    await talk((caller, SECRET), (agent, SECRET), ms=300)
    if number is signal.SIGSTOP:
        listener.send(signal.SIGCONT)
    else:
        listener.kill()
        await listener.up()
    await agent.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    assert await scene.takes() == []


async def test_the_first_call_after_a_start_of_freeswitch(doomed: Listener) -> None:
    """No phone registers here: without us its first presence event holds all events back then."""
    scene, _ = await begun(doomed)
    assert isinstance(doomed.house, FreeSwitchHouse)
    server = doomed.house.bed.freeswitch
    server.wakes = False
    await doomed.house.restart()
    await doomed.until(lambda: doomed.log_text().count('"pbx_linked"') == 2, "linked again")
    await server.events_pass()
    caller, agent = await scene.conversation()
    await talk((caller, CALLER), (agent, AGENT), ms=300)
    await agent.hangup()
    await caller.wait_hangup()
    assert (await scene.call()).outcome is Outcome.RECORDED
