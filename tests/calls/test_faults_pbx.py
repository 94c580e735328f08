"""The PBX killed or restarted in mid-call, and callers who hang up at the worst moments."""

import asyncio
import contextlib
import struct

from callrec_pbx.domain.words import Consent, Outcome, RecordingState
from tests.bed.ami import AmiError
from tests.bed.asterisk import BedError
from tests.calls.faults import (
    CALLER,
    OTHER,
    PLAIN,
    chat,
    recorded_talk,
    running,
    starts,
    the_call,
    the_recording,
    tone_ms,
)
from tests.calls.listener import Listener
from tests.calls.pbx import What
from tests.calls.rules import everything

ATTEMPTS = 20
AT_ONCE = 4


WRITTEN = 64_000
"""So much (bytes, 4 s) is to be on the disk when the PBX is killed.

FreeSWITCH writes each frame at once. Asterisk keeps up to 32 KiB of a file to itself. Source:
Asterisk 22, main/file.c, the buffer of a file stream; both observed.
"""


async def some_written(listener: Listener) -> None:
    """Wait until the PBX has written a good piece of the one recording."""
    audio = listener.audio(listener.recording_facts()[0])
    await listener.until(lambda: audio.stat().st_size > WRITTEN, "audio on the disk")


async def test_killed_in_mid_recording(doomed: Listener) -> None:
    """The header is mended, what was written can be heard, and the row says `interrupted`."""
    await running(doomed)
    talk = await recorded_talk(doomed)
    await talk.agent.talk(OTHER)
    written = doomed.audio(doomed.recording_facts()[0])
    await some_written(doomed)
    doomed.house.kill()
    size = written.stat().st_size
    assert struct.unpack("<I", written.read_bytes()[40:44]) == (0,)
    await doomed.until(lambda: "pbx_link_lost" in doomed.log_text(), "pbx_link_lost")
    await doomed.house.restart()
    await doomed.until(lambda: doomed.log_text().count('"pbx_linked"') == 2, "linked again")
    call = await the_call(doomed)
    recording = await the_recording(doomed, "interrupted")
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "interrupted")
    assert recording.repaired
    assert recording.size == size
    assert recording.audio_ms == (size - 44) * 1000 // 16000
    assert recording.audio_ms > 2000
    assert tone_ms(doomed, recording, OTHER) > 1500
    for phone in (talk.agent, talk.caller):
        await phone.hangup()
    again = await recorded_talk(doomed, "302")
    await again.end()
    await doomed.recording("stored")


async def test_restarted_gracefully_in_mid_recording(doomed: Listener) -> None:
    """The PBX closes the file by itself: whole, whichever way the listener learns of it."""
    await running(doomed)
    talk = await recorded_talk(doomed)
    await chat(1)
    await doomed.house.restart()
    await talk.caller.wait_hangup()
    await doomed.until(lambda: doomed.log_text().count('"pbx_linked"') == 2, "linked again")
    call = await the_call(doomed)
    (recording,) = doomed.recording_facts()
    assert recording.state in (RecordingState.STORED, RecordingState.INTERRUPTED)
    assert call.outcome is Outcome.RECORDED
    assert not recording.repaired
    assert tone_ms(doomed, recording, CALLER) > 700


async def test_killed_together_with_the_listener(doomed: Listener) -> None:
    """A power failure: both come back, and what was recorded is there."""
    await running(doomed)
    await recorded_talk(doomed)
    await some_written(doomed)
    doomed.house.kill()
    doomed.kill()
    await doomed.house.restart()
    await doomed.up()
    call = await the_call(doomed)
    recording = await the_recording(doomed, "interrupted")
    assert (call.outcome, call.reason) == (Outcome.RECORDED, "interrupted")
    assert recording.repaired
    assert tone_ms(doomed, recording, CALLER) > 700


async def test_hung_up_during_the_prompt(listener: Listener) -> None:
    """The evidence says how far it was played, and that nobody agreed."""
    await running(listener, everything("opt_out"))
    mark = listener.house.mark()
    caller = await listener.house.far.call_in("46701", "301")
    await listener.told(What.ASKING, mark)
    await chat(0.5)
    await caller.hangup()
    call = await the_call(listener)
    assert (call.outcome, call.reason) == (Outcome.NOT_SELECTED, "no_conversation")
    (evidence,) = call.consents
    assert evidence.outcome is Consent.NO_ANSWER
    assert 0 < evidence.played_ms < 3000 < evidence.prompt_ms
    assert listener.recording_facts() == []


async def test_hung_up_during_the_whisper(listener: Listener) -> None:
    """The agent hears the whisper, the caller is gone: no conversation, no recording."""
    await running(listener, everything())
    mark = listener.house.mark()
    caller = await listener.house.far.call_in("46701", "301")
    agent = await listener.house.far.ringing("301")
    await agent.answer()
    await listener.told(What.WHISPERING, mark)
    await caller.hangup()
    call = await the_call(listener)
    assert (call.outcome, call.reason) == (Outcome.NOT_SELECTED, "no_conversation")
    assert listener.recording_facts() == []
    assert starts(listener, mark) == []


async def test_hung_up_in_the_instant_of_the_answer(listener: Listener) -> None:
    """Whoever is first: each call gets one outcome, and no recording stays started."""
    await running(listener, PLAIN)
    lines = ("301", "302", "303", "304")

    async def attempt(number: int) -> None:
        line = lines[number % AT_ONCE]
        caller = await listener.house.far.call_in(f"4670{number:04}", line)
        agent = await listener.house.far.ringing(line)

        async def leave() -> None:
            # From 30 ms before to 160 ms after the answer.
            await asyncio.sleep(number * 0.01)
            await caller.hangup()

        async def answer() -> None:
            await asyncio.sleep(0.03)
            # Whoever has hung up first can no longer be answered.
            with contextlib.suppress(BedError, AmiError):
                await agent.answer()

        await asyncio.gather(leave(), answer())
        await agent.hangup()

    for first in range(0, ATTEMPTS, AT_ONCE):
        await asyncio.gather(*(attempt(first + n) for n in range(AT_ONCE)))
    calls = await listener.ended(ATTEMPTS)
    await listener.idle()
    assert len(listener.call_facts()) == ATTEMPTS
    assert len({call.a_number for call in calls}) == ATTEMPTS
    outcomes = {(call.outcome, call.reason) for call in calls}
    allowed = {(Outcome.NOT_SELECTED, "no_conversation"), (Outcome.RECORDED, "rule")}
    assert outcomes <= allowed
    over = {recording.state for recording in listener.recording_facts()}
    assert over <= {RecordingState.STORED, RecordingState.FAILED}
