"""The listener frozen, killed or restarted at the worst moments: no call suffers, none is lost."""

import asyncio
import random
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from callrec_pbx.domain.words import Channels, Consent, Outcome, RecordingState
from tests.bed import measure
from tests.calls.balance import balance
from tests.calls.faults import (
    AGENT,
    CALLER,
    OTHER,
    PLAIN,
    SECRET,
    TOLERANCE_MS,
    chat,
    prepared,
    recorded_talk,
    running,
    starts,
    talk_of,
    the_call,
    the_recording,
    told,
    tone_ms,
    waits_ms,
)
from tests.calls.listener import Listener
from tests.calls.pbx import What
from tests.calls.proxy import Proxy
from tests.calls.rules import everything, rule

LONGEST_WAIT_MS = 550
"""Half a second, and what the PBX needs to notice on a busy machine."""

FROZEN_S = 5
LATE_MS = 1000

ASKING = rule("inbound", "inbound", consent="opt_out", whisper=False, notice="none")


async def test_frozen_while_offers_arrive(listener: Listener) -> None:
    """Calls go on by themselves; when it wakes up, each is recorded late or counted as missed."""
    far = listener.house.far
    asked = rule("asked", "inbound", consent="opt_out", line="302", whisper=False)
    await running(listener, asked + rule("plain", "inbound", whisper=False))
    mark = listener.house.mark()
    thawed = asyncio.get_running_loop().time() + FROZEN_S
    listener.send(signal.SIGSTOP)
    talks = [await talk_of(listener, line) for line in ("301", "302", "303")]
    short = await talk_of(listener, "304")
    await chat(1.2)
    await short.end()
    ringing = await far.call_in("46700000000", "305", tone_hz=CALLER)
    late_agent = await far.ringing("305")
    await chat(thawed - asyncio.get_running_loop().time())
    listener.send(signal.SIGCONT)
    await late_agent.answer(AGENT)
    await ringing.wait_up()
    await listener.recording("recording", 3)
    assert len(waits_ms(listener, mark)) == 5
    assert max(waits_ms(listener, mark)) <= LONGEST_WAIT_MS
    await chat()
    for talk in talks:
        await talk.end()
    await late_agent.hangup()
    calls = {call.c_number: call for call in await listener.ended(5)}
    assert len(calls) == len(listener.call_facts()) == 5
    await listener.recording("stored", 3)
    recordings = {recording.owner: recording for recording in listener.recording_facts()}
    for line in ("301", "303"):
        assert (calls[line].outcome, calls[line].reason) == (Outcome.RECORDED, "started_late")
        assert recordings[line].late_ms > LATE_MS
        assert tone_ms(listener, recordings[line], CALLER) > 0
    assert (calls["302"].outcome, calls["302"].reason) == (Outcome.MISSED, "consent_missing")
    assert "302" not in recordings
    assert calls["304"].outcome in (Outcome.FAILED, Outcome.MISSED)
    assert (calls["305"].outcome, recordings["305"].late_ms) == (Outcome.RECORDED, 0)
    assert sorted(one.endpoint for one in starts(listener, mark)) == ["301", "303", "305"]


async def test_killed_while_the_prompt_plays_and_star_comes_unheard(
    listener: Listener, prompts: Path
) -> None:
    """The refusal pressed while nobody listened is read from the channel, and believed."""
    far = listener.house.far
    await running(listener, ASKING)
    mark = listener.house.mark()
    caller = await far.call_in("46701", "301", tone_hz=CALLER, hear=listener.folder / "c.wav")
    await listener.told(What.ASKING, mark)
    # As soon as it has written anything of the call: whatever that is must be enough.
    await listener.until(
        lambda: bool(listener.rows("SELECT 1 FROM call") or listener.call_facts()), "the call"
    )
    listener.kill()
    await chat(0.3)
    await caller.press("*")
    await listener.told(What.CONSENT, mark)
    agent = await far.ringing("301", timeout=20)
    await agent.answer(AGENT)
    await caller.wait_up()
    await listener.up()
    await chat()
    await agent.hangup()
    call = await the_call(listener)
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    (evidence,) = call.consents
    assert (evidence.outcome, evidence.key) == (Consent.DECLINED, "*")
    assert 0 < evidence.played_ms < evidence.prompt_ms
    assert evidence.prompt_sha256
    assert listener.recording_facts() == []
    assert call.c_number == "301"
    await caller.wait_hangup()
    assert measure.heard(await caller.heard(), prompts / "declined.wav").score > 0.9


async def test_killed_while_the_prompt_plays_and_nothing_is_pressed(listener: Listener) -> None:
    """The announcement counts as heard; the recording is begun late, and says so."""
    far = listener.house.far
    await running(listener, ASKING)
    mark = listener.house.mark()
    caller = await far.call_in("46701", "301", tone_hz=CALLER)
    await listener.told(What.ASKING, mark)
    listener.kill()
    agent = await far.ringing("301", timeout=20)
    await agent.answer(AGENT)
    await caller.wait_up()
    await chat(1)
    await listener.up()
    await listener.recording("recording")
    await chat()
    await agent.hangup()
    call = await the_call(listener)
    recording = await the_recording(listener)
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "started_late")
    (evidence,) = call.consents
    assert evidence.outcome is Consent.ANNOUNCED
    assert evidence.played_ms == evidence.prompt_ms > 0
    assert recording.late_ms > LATE_MS
    assert tone_ms(listener, recording, CALLER) > 300


async def test_killed_and_restarted_while_the_prompt_plays(listener: Listener) -> None:
    """The new listener hears the star live, and knows what it is about."""
    far = listener.house.far
    await running(listener, ASKING)
    mark = listener.house.mark()
    caller = await far.call_in("46701", "301")
    await listener.told(What.ASKING, mark)
    listener.kill()
    await listener.up()
    assert told(listener, What.CONSENT, mark) == []
    await caller.press("*")
    agent = await far.ringing("301", timeout=20)
    await agent.answer(AGENT)
    await listener.told(What.JOINED, mark)
    await agent.hangup()
    call = await the_call(listener)
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    assert listener.recording_facts() == []
    assert (call.a_number, call.c_number) == ("46701", "301")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "restarted"])
async def test_gone_while_a_call_is_recorded(listener: Listener, number: signal.Signals) -> None:
    """The recording goes on without it and is adopted: one file, without a gap, one row."""
    await running(listener)
    mark = listener.house.mark()
    talk = await recorded_talk(listener)
    begun = listener.recording_facts()[0]
    if number is signal.SIGKILL:
        listener.kill()
    else:
        listener.stop()
    await talk.agent.talk(OTHER)
    await chat()
    await listener.up()
    await chat(0.3)
    assert listener.recording_facts()[0].state.value == "recording"
    await talk.end()
    call = await the_call(listener)
    recording = await the_recording(listener)
    assert recording.recording_id == begun.recording_id
    assert recording.started_at == begun.started_at
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "rule")
    assert len(starts(listener, mark)) == 1
    tones = measure.tone_segments(listener.audio(recording), [CALLER])
    assert len(tones) == 1, tones
    assert tone_ms(listener, recording, OTHER) > 500


async def test_killed_and_the_call_ends_before_it_is_back(listener: Listener) -> None:
    """What ended while nobody looked is measured, hashed and accounted for at the next start."""
    await running(listener)
    talk = await recorded_talk(listener)
    listener.kill()
    await chat(0.5)
    await talk.end()
    await listener.house.quiet()
    await listener.up()
    call = await the_call(listener)
    recording = await the_recording(listener)
    assert call.outcome is Outcome.RECORDED
    assert recording.audio_ms is not None
    assert tone_ms(listener, recording, CALLER) > 300


async def test_killed_while_a_recording_is_paused(listener: Listener) -> None:
    """It is still paused for the next listener, and the agent's next key resumes it."""
    await running(listener)
    talk = await recorded_talk(listener)
    await chat(0.3)
    await listener.key(talk.agent, "#1")
    paused = await listener.recording("paused")
    await talk.agent.talk(SECRET)
    listener.kill()
    await chat(0.3)
    await listener.up()
    await chat(0.3)
    assert listener.recording_facts()[0].state.value == "paused"
    await talk.agent.talk(OTHER)
    await listener.key(talk.agent, "#1")
    await listener.recording("recording")
    await chat()
    await talk.end()
    recording = await the_recording(listener)
    assert recording.recording_id == paused.recording_id
    assert tone_ms(listener, recording, SECRET) <= TOLERANCE_MS
    assert tone_ms(listener, recording, OTHER) > 400
    (pause,) = recording.pauses
    assert pause.to_ms is not None
    assert pause.to_ms - pause.from_ms > 500


async def test_killed_while_a_pause_that_ends_by_itself_runs(listener: Listener) -> None:
    """The new listener ends it when its time is up."""
    await running(listener, everything(whisper=False, notice="none", resume_after_s=3))
    talk = await recorded_talk(listener)
    await listener.key(talk.agent, "#1")
    await listener.recording("paused")
    listener.kill()
    await listener.up()
    await listener.recording("recording", timeout=6)
    await chat(0.3)
    await talk.end()
    recording = await the_recording(listener)
    (pause,) = recording.pauses
    assert pause.to_ms is not None
    assert pause.to_ms - pause.from_ms > 2900


async def test_pause_pressed_while_the_listener_is_dead(listener: Listener) -> None:
    """The PBX stops the file by itself; the next key, answered again, begins a new one.

    A further listener must not take the stop of the first file for one of the second.
    """
    await running(listener)
    mark = listener.house.mark()
    talk = await recorded_talk(listener)
    await chat(0.3)
    listener.kill()
    await listener.key(talk.agent, "#1")
    stopped = await listener.told(What.STOPPED_BY_SCRIPT, mark)
    assert stopped.detail == "pause"
    await talk.agent.talk(SECRET)
    await chat(0.3)
    await listener.up()
    await listener.recording("stored")
    await chat(0.3)
    assert len(listener.recording_facts()) == 1
    await talk.agent.talk(OTHER)
    await listener.key(talk.agent, "#1")
    await listener.recording("recording")
    listener.kill()
    await listener.up()
    await chat(0.5)
    assert listener.recording_facts()[1].state is RecordingState.RECORDING
    await talk.end()
    call = await the_call(listener)
    await listener.recording("stored", 2)
    first, second = listener.recording_facts()
    assert call.outcome is Outcome.RECORDED
    assert tone_ms(listener, first, SECRET) + tone_ms(listener, second, SECRET) <= TOLERANCE_MS
    assert tone_ms(listener, first, AGENT) > 200
    assert tone_ms(listener, second, OTHER) > 400
    assert len(starts(listener, mark)) == 2


@pytest.mark.parametrize("presses", [1, 2, 3])
async def test_pause_pressed_while_it_is_frozen(listener: Listener, presses: int) -> None:
    """The same; keys that it learns of too late do no harm when it wakes up.

    An agent who hears no tone presses again; nothing may run that the next key does not reach.
    """
    await running(listener)
    mark = listener.house.mark()
    talk = await recorded_talk(listener)
    listener.send(signal.SIGSTOP)
    for _ in range(presses):
        await listener.key(talk.agent, "#1")
    await listener.told(What.STOPPED_BY_SCRIPT, mark)
    await talk.agent.talk(SECRET)
    await chat(0.3)
    listener.send(signal.SIGCONT)
    await listener.recording("stored")
    await chat(0.3)
    await talk.agent.talk(OTHER)
    await listener.key(talk.agent, "#1")
    await listener.recording("recording")
    await chat()
    await talk.end()
    await the_call(listener)
    await listener.recording("stored", 2)
    first, second = listener.recording_facts()
    assert tone_ms(listener, first, SECRET) + tone_ms(listener, second, SECRET) <= TOLERANCE_MS
    assert tone_ms(listener, first, AGENT) > 200
    assert tone_ms(listener, second, OTHER) > 400
    assert len(starts(listener, mark)) == 2


async def test_objection_while_the_listener_is_dead(listener: Listener) -> None:
    """Discard stops the file at once; when the listener is back its audio is deleted."""
    await running(listener)
    talk = await recorded_talk(listener)
    listener.kill()
    await listener.key(talk.agent, "#9")
    await listener.key(talk.agent, "#1")
    await listener.up()
    recording = await the_recording(listener, "discarded")
    await listener.until(lambda: not listener.audio(recording).exists(), "no audio")
    await listener.key(talk.agent, "#1")
    await talk.end()
    call = await the_call(listener)
    assert (call.outcome, call.reason) == (Outcome.DISCARDED, "consent_withdrawn")
    assert len(listener.recording_facts()) == 1


async def test_killed_between_sidecar_and_start(listener: Listener, proxy: Proxy) -> None:
    """The sidecar says that it starts, and the PBX never heard of it: it is begun again, late."""
    await running(listener)
    mark = listener.house.mark()
    proxy.hold(listener.house.traits.words.start)
    talk = await talk_of(listener)
    await asyncio.wait_for(proxy.held.wait(), 10)
    assert listener.recording_facts()[0].state.value == "starting"
    listener.kill()
    assert starts(listener, mark) == []
    await chat(1)
    await proxy_again(proxy, listener)
    await listener.recording("recording")
    await chat()
    await talk.end()
    call = await the_call(listener)
    assert len(starts(listener, mark)) == 1
    recording = await the_recording(listener)
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "started_late")
    assert recording.late_ms > LATE_MS
    assert tone_ms(listener, recording, CALLER) > 300


async def test_killed_between_start_and_its_confirmation(listener: Listener, proxy: Proxy) -> None:
    """The PBX records and nobody knows: the new listener finds the recording and adopts it."""
    await running(listener)
    mark = listener.house.mark()
    proxy.cut_in(listener.house.traits.words.started)
    talk = await talk_of(listener)
    await asyncio.wait_for(proxy.was_cut.wait(), 10)
    listener.kill()
    assert listener.recording_facts()[0].state.value == "starting"
    await proxy_again(proxy, listener)
    await listener.recording("recording")
    await chat()
    await talk.end()
    await the_call(listener)  # what it has to know of the end comes by the proxy
    recording = await the_recording(listener)
    assert len(starts(listener, mark)) == 1
    assert tone_ms(listener, recording, CALLER) > 300


async def test_killed_while_a_recording_is_discarded(listener: Listener, proxy: Proxy) -> None:
    """Begun and not done: the next listener finishes it, and nothing more is recorded."""
    await running(listener)
    mark = listener.house.mark()
    talk = await recorded_talk(listener)
    proxy.hold(listener.house.traits.words.stop)
    await talk.agent.press("#9")
    await asyncio.wait_for(proxy.held.wait(), 10)
    listener.kill()
    assert listener.recording_facts()[0].state.value == "discarding"
    await proxy_again(proxy, listener)
    recording = await the_recording(listener, "discarded")
    await listener.until(lambda: not listener.audio(recording).exists(), "no audio")
    await chat(0.3)
    await talk.end()
    call = await the_call(listener)
    assert (call.outcome, call.reason) == (Outcome.DISCARDED, "consent_withdrawn")
    assert len(starts(listener, mark)) == 1
    assert list(listener.recordings.rglob("*.wav")) == []


async def test_killed_between_hangup_and_finish(listener: Listener) -> None:
    """Killed as soon as the file is closed, the next start completes the row."""
    await running(listener)
    mark = listener.house.mark()
    talk = await recorded_talk(listener)
    await chat(0.3)
    # Frozen, it has the end of the call in its socket; killed there, it never reads it.
    listener.send(signal.SIGSTOP)
    await talk.end()
    await listener.told(What.STOPPED, mark)
    listener.kill()
    assert listener.recording_facts()[0].state.value == "recording"
    await listener.up()
    recording = await the_recording(listener)
    call = await the_call(listener)
    assert call.outcome is Outcome.RECORDED
    assert recording.sha256
    (row,) = listener.rows("SELECT state, sha256 FROM recording")
    assert tuple(row.values()) == ("stored", recording.sha256)


async def test_killed_between_closed_file_and_checksum(listener: Listener) -> None:
    """The sidecar says that the file is closed, and no more: the next start does the rest."""
    await running(listener)
    talk = await recorded_talk(listener)
    await talk.end()
    done = await the_recording(listener)
    ended = await the_call(listener)
    await listener.idle()
    listener.kill()
    # This is what it leaves on the disk when it is killed there.
    store = listener.store()
    opened = replace(ended, ended_at=None, outcome=None, reason="")
    store.write_call(opened)
    captured = replace(
        done, state=RecordingState.CAPTURED, audio_ms=None, size=None, sha256="", delete_after=None
    )
    store.write_sidecar(captured, opened)
    assert len(listener.markers()) == 2
    await listener.up()
    recording = await the_recording(listener)
    call = await the_call(listener)
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "rule")
    assert (recording.sha256, recording.audio_ms) == (done.sha256, done.audio_ms)


async def test_started_when_a_call_runs_already(listener: Listener) -> None:
    """A call that should be recorded is, from now on, and is marked as late."""
    await prepared(listener, PLAIN)
    talk = await talk_of(listener)
    await chat(1.2)
    await listener.up()
    await listener.recording("recording")
    await chat(0.3)
    await talk.end()
    call = await the_call(listener)
    recording = await the_recording(listener)
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "started_late")
    assert recording.late_ms > LATE_MS
    # What was offered, and not answered, is read from the channel.
    assert (call.a_number, call.b_number, call.direction) == ("46701234567", "301", "inbound")
    assert call.ddi == "301"


@pytest.mark.parametrize("seed", [1])
async def test_killed_again_and_again_right_after_hangups(listener: Listener, seed: int) -> None:
    """Whatever it was at with the calls that have just ended, the next one goes on from there."""
    chance = random.Random(seed)
    stereo = everything(whisper=False, notice="none", channels="stereo")
    await running(listener, stereo, follow_up="threads = 1")
    lines = ("301", "302", "303", "304")
    for kills in range(1, 7):
        talks = [await talk_of(listener, line) for line in lines]
        await listener.recording("recording", len(lines))
        await asyncio.gather(*(talk.end() for talk in talks))
        await chat(chance.uniform(0, 0.5))
        listener.kill()
        await listener.up()
        await listener.ended(kills * len(lines))
    await balance(listener)
    recordings = listener.recording_facts()
    assert len(recordings) == len(listener.call_facts()) == 6 * len(lines)
    assert {recording.channels for recording in recordings} == {Channels.STEREO}
    await listener.until(
        lambda: not listener.rows("SELECT 1 FROM recording WHERE to_do <> ''"), "the waveforms"
    )
    assert "24 recordings and 24 calls agree" in listener.cli("catalogue", "check", "--checksums")


async def proxy_again(proxy: Proxy, listener: Listener) -> None:
    """Let everything through again, and start the next listener."""
    proxy.held.clear()
    await listener.up()
