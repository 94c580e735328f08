"""The link to the PBX cut, silent, torn or slow in mid-call: noticed, mended, nothing twice."""

import asyncio

from callrec_pbx.domain.words import Outcome
from tests.bed import measure
from tests.calls.faults import (
    AGENT,
    CALLER,
    OTHER,
    SECRET,
    TOLERANCE_MS,
    chat,
    recorded_talk,
    running,
    starts,
    talk_of,
    the_call,
    the_recording,
    tone_ms,
    waits_ms,
)
from tests.calls.listener import Listener
from tests.calls.pbx import What
from tests.calls.proxy import Proxy

LINKED = '"pbx_linked"'
QUICK = {"pbx": "action_timeout_s = 1"}
"""A dead peer is noticed by a heartbeat that is not answered within this."""


async def linked(listener: Listener, times: int) -> None:
    """Wait until the listener has linked that many times."""
    await listener.until(lambda: listener.log_text().count(LINKED) >= times, f"{times} links", 20)


async def test_cut_and_restored_while_a_call_is_recorded(listener: Listener, proxy: Proxy) -> None:
    """The same recording goes on, without a gap; nothing is asked for a second time."""
    await running(listener)
    mark = listener.house.mark()
    talk = await recorded_talk(listener)
    await chat(0.3)
    proxy.cut()
    await linked(listener, 2)
    await chat()
    await talk.end()
    call = await the_call(listener)
    recording = await the_recording(listener)
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "rule")
    assert len(measure.tone_segments(listener.audio(recording), [CALLER])) == 1
    assert recording.audio_ms is not None
    assert recording.audio_ms > 800
    assert len(starts(listener, mark)) == 1
    assert proxy.times(listener.house.traits.words.start) == 1


async def test_cut_before_the_start_was_confirmed(listener: Listener, proxy: Proxy) -> None:
    """The start was asked for and may have happened: it did, and is adopted, not repeated."""
    await running(listener)
    mark = listener.house.mark()
    proxy.cut_in(listener.house.traits.words.started)
    talk = await talk_of(listener)
    await asyncio.wait_for(proxy.was_cut.wait(), 10)
    await linked(listener, 2)
    await listener.recording("recording")
    await chat()
    await talk.end()
    call = await the_call(listener)
    recording = await the_recording(listener)
    assert call.outcome is Outcome.RECORDED
    assert len(starts(listener, mark)) == 1
    assert proxy.times(listener.house.traits.words.start) == 1
    assert tone_ms(listener, recording, CALLER) > 400


async def test_cut_in_the_middle_of_a_message(listener: Listener, proxy: Proxy) -> None:
    """Half an event means nothing; after the reconnect the call is seen and recorded."""
    await running(listener)
    mark = listener.house.mark()
    proxy.cut_in(listener.house.traits.words.joined)
    talk = await talk_of(listener)
    await asyncio.wait_for(proxy.was_cut.wait(), 10)
    await linked(listener, 2)
    await listener.recording("recording")
    await chat()
    await talk.end()
    call = await the_call(listener)
    recording = await the_recording(listener)
    assert call.outcome is Outcome.RECORDED
    assert len(starts(listener, mark)) == 1
    assert tone_ms(listener, recording, CALLER) > 400


async def test_pause_pressed_while_the_link_is_away(listener: Listener, proxy: Proxy) -> None:
    """The PBX stops the file by itself; once linked again, the next key begins another."""
    await running(listener)
    mark = listener.house.mark()
    talk = await recorded_talk(listener)
    await chat(0.3)
    proxy.refusing = True
    proxy.cut()
    await listener.key(talk.agent, "#1")
    await listener.told(What.STOPPED_BY_SCRIPT, mark)
    await talk.agent.talk(SECRET)
    await chat(0.3)
    proxy.refusing = False
    await linked(listener, 2)
    await listener.recording("stored")
    await chat(0.3)
    await talk.agent.talk(OTHER)
    await listener.key(talk.agent, "#1")
    await listener.recording("recording")
    await chat()
    await talk.end()
    call = await the_call(listener)
    await listener.recording("stored", 2)
    first, second = listener.recording_facts()
    assert call.outcome is Outcome.RECORDED
    assert tone_ms(listener, first, AGENT) > 200
    assert tone_ms(listener, second, OTHER) > 400
    assert tone_ms(listener, first, SECRET) + tone_ms(listener, second, SECRET) <= TOLERANCE_MS
    assert len(starts(listener, mark)) == 2


async def test_cut_while_a_recording_is_paused(listener: Listener, proxy: Proxy) -> None:
    """It stays paused through the cut, and the agent's next key resumes it."""
    await running(listener)
    talk = await recorded_talk(listener)
    await listener.key(talk.agent, "#1")
    await listener.recording("paused")
    await talk.agent.talk(SECRET)
    proxy.cut()
    await linked(listener, 2)
    await chat(0.3)
    await talk.agent.talk(OTHER)
    await listener.key(talk.agent, "#1")
    await listener.recording("recording")
    await chat()
    await talk.end()
    recording = await the_recording(listener)
    assert tone_ms(listener, recording, SECRET) <= TOLERANCE_MS
    assert tone_ms(listener, recording, OTHER) > 400


async def test_a_dead_peer_is_noticed(listener: Listener, proxy: Proxy) -> None:
    """A connection that stays up and says nothing is given up, and calls do not wait for it."""
    await running(listener, **QUICK)
    mark = listener.house.mark()
    talk = await recorded_talk(listener)
    proxy.deaf = True
    other = await talk_of(listener, "302")
    await listener.until(lambda: proxy.connections >= 3, "two further attempts", 20)
    assert "pbx_not_linked" in listener.log_text()
    proxy.deaf = False
    await linked(listener, 2)
    await listener.recording("recording", 2)
    await chat(0.3)
    await talk.end()
    await other.end()
    await listener.ended(2)
    await listener.recording("stored", 2)
    late_ms = {recording.owner: recording.late_ms for recording in listener.recording_facts()}
    assert late_ms["301"] == 0
    assert late_ms["302"] > 1000
    assert max(waits_ms(listener, mark)) <= 550
    assert len(starts(listener, mark)) == 2


async def test_a_slow_link(listener: Listener, proxy: Proxy) -> None:
    """What arrives in drops is put together; pause and resume still work."""
    await running(listener)
    proxy.slice_s, proxy.slice_bytes = 0.01, listener.house.traits.slice_bytes
    talk = await recorded_talk(listener)
    await listener.key(talk.agent, "#1")
    await listener.recording("paused")
    await talk.agent.talk(SECRET)
    await chat(0.3)
    await talk.agent.talk(OTHER)
    await listener.key(talk.agent, "#1")
    await listener.recording("recording")
    await chat()
    await talk.end()
    call = await the_call(listener)
    recording = await the_recording(listener)
    assert call.outcome is Outcome.RECORDED
    assert proxy.connections == 1
    assert tone_ms(listener, recording, SECRET) <= TOLERANCE_MS
    assert tone_ms(listener, recording, OTHER) > 300
