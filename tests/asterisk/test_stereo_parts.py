"""Recordings with two channels, which Asterisk writes in three files and the listener joins."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest_asyncio

from callrec_pbx.audio import wav
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import Channels, RecordingState
from callrec_pbx.storage.store import RecordingStore
from tests.bed import measure
from tests.bed.pbx_config import PbxOptions
from tests.calls.balance import balance
from tests.calls.listener import Listener, install
from tests.calls.on_asterisk import AsteriskHouse
from tests.calls.scene import (
    AGENT,
    CALLER,
    Scene,
    assert_sound,
    new_listener,
    talk,
)
from tests.calls.stereo import LEFT, RIGHT, begun, has, only, sound

BUFFER_MS = 2048
"""What a killed Asterisk can have kept to itself of each file (32 KiB)."""


def parts(listener: Listener, recording: RecordingFacts) -> tuple[Path, ...]:
    """Where Asterisk writes while it records: mixed, left and right."""
    store = RecordingStore(listener.recordings)
    return store.audio_path(recording), *store.side_paths(recording)


async def test_what_had_no_room_is_joined_by_the_next_one(listener: Listener) -> None:
    """Stored as a mixed one, its channels beside it, and long over: nothing else of it changes."""
    scene = await begun(listener)
    caller, agent = await scene.conversation()
    talked = await talk((caller, CALLER), (agent, AGENT), ms=500)
    listener.kill()
    await agent.hangup()
    await caller.wait_hangup()
    await listener.house.quiet()
    kept = {p: p.read_bytes() for p in parts(listener, listener.recording_facts()[0])}
    await listener.up()
    (take,) = await scene.takes()
    call, done = await scene.call(), take.facts
    listener.stop()
    # This is what a full disk leaves.
    for path, data in kept.items():
        path.write_bytes(data)
    listener.store().write_sidecar(replace(done, channels=Channels.MIXED, sha256="00"), call)
    assert len(listener.markers()) == 1
    await listener.up()
    await listener.idle()
    (again,) = await scene.takes()
    assert (again.facts, await scene.call()) == (done, call)
    has(sound(again).audio, only(talked, AGENT), only(talked, CALLER))


@pytest_asyncio.fixture(loop_scope="session")
async def wideband() -> AsyncIterator[Listener]:
    """A listener beside a PBX of its own, whose phones speak G.722."""
    house = AsteriskHouse(PbxOptions(callrec=True, codecs="g722"))
    install(house)
    async with house:
        listener = new_listener(house)
        try:
            yield listener
            await house.quiet()
            await balance(listener)
        finally:
            listener.stop()
        assert_sound(listener)


async def test_wideband_and_a_killed_asterisk(wideband: Listener) -> None:
    """With 16 kHz in the call each channel is still right; killed, the PBX leaves both as long."""
    scene = await begun(wideband)
    caller, agent = await scene.conversation()
    talked = await talk((caller, CALLER), (agent, AGENT), ms=600)
    await agent.hangup()
    await caller.wait_hangup()
    (take,) = await scene.takes()
    has(sound(take).audio, only(talked, AGENT), only(talked, CALLER))

    caller, agent = await Scene(wideband).conversation("46702")
    await asyncio.gather(caller.talk(CALLER), agent.talk(AGENT))
    recording = wideband.recording_facts()[1]
    halves = parts(wideband, recording)
    await wideband.until(
        lambda: all(path.stat().st_size > 16 * BUFFER_MS for path in halves), "audio on the disk"
    )
    wideband.house.kill()
    frames = (halves[1].stat().st_size - wav.PLAIN_HEADER) // 2
    await wideband.house.restart()
    await wideband.until(lambda: bool(wideband.recording_facts()[1].sha256), "its checksum")
    recording = wideband.recording_facts()[1]
    assert recording.state is RecordingState.INTERRUPTED
    assert recording.channels is Channels.STEREO
    assert recording.repaired
    audio = wideband.audio(recording)
    assert (wav.inspect(audio).channels, wav.inspect(audio).frames) == (2, frames)
    assert measure.tone_ms(audio, AGENT, LEFT) > 1500
    assert measure.tone_ms(audio, CALLER, RIGHT) > 1500
    assert measure.tone_ms(audio, CALLER, LEFT) == measure.tone_ms(audio, AGENT, RIGHT) == 0
    assert not any(path.exists() for path in halves[1:])
    for phone in (agent, caller):
        await phone.hangup()
