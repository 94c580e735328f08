"""Files as FreeSWITCH leaves them: one with both channels, and one of a switch that was killed."""

import struct
import wave
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from callrec_pbx.audio import wav
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import Channels, RecordingState
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.store import RecordingStore
from tests.storage.samples import a_recording

KILLED = {
    Channels.STEREO: "524946460800000057415645666d7420100000000100020040"
    "1f0000007d0000040010006461746100000000",
    Channels.MIXED: "524946460800000057415645666d7420100000000100010040"
    "1f0000803e0000020010006461746100000000",
}
"""The first 44 bytes of two files of a FreeSWITCH 1.11.1 that got SIGKILL while it wrote them."""

COUNT = {Channels.STEREO: 2, Channels.MIXED: 1}


def facts(channels: Channels, state: RecordingState) -> RecordingFacts:
    """A recording of which the audio has not been looked at."""
    known = a_recording(state=state, channels=channels)
    return replace(known, audio_ms=None, size=None, sha256="", delete_after=None)


def samples(channels: Channels) -> bytes:
    """A second of it; each channel has a value of its own."""
    return struct.pack(f"<{COUNT[channels]}h", *(1000, -1000)[: COUNT[channels]]) * 8000


def no_sleep(seconds: float) -> None:
    raise AssertionError(f"waited {seconds} s for channels that FreeSWITCH does not write apart")


@pytest.mark.parametrize("channels", list(COUNT))
def test_of_a_killed_switch(tmp_path: Path, channels: Channels) -> None:
    """The header says 0 of what was written; half a sample at the end is cut off."""
    store = RecordingStore(tmp_path)
    recording = facts(channels, RecordingState.INTERRUPTED)
    path = store.audio_path(recording)
    path.parent.mkdir(parents=True)
    path.write_bytes(bytes.fromhex(KILLED[channels]) + samples(channels) + b"\1")
    with capture_logs() as logs:
        done = finish(store, recording, wait_s=0, sleep=no_sleep)
    assert (done.state, done.audio_ms, done.repaired) == (RecordingState.INTERRUPTED, 1000, True)
    assert done.channels is channels
    with wave.open(str(path)) as file:
        assert (file.getnframes(), file.getnchannels()) == (8000, COUNT[channels])
        assert file.readframes(8000) == samples(channels)
    assert logs == []
    assert finish(store, done, wait_s=0) == done


def test_two_channels_in_one_file(tmp_path: Path) -> None:
    """Closed by FreeSWITCH: there is nothing to wait for, to join, or to complain of."""
    store = RecordingStore(tmp_path)
    recording = facts(Channels.STEREO, RecordingState.CAPTURED)
    path = store.audio_path(recording)
    path.parent.mkdir(parents=True)
    path.write_bytes(wav.header(8000, 2, 2, 8000) + samples(Channels.STEREO))
    with capture_logs() as logs:
        done = finish(store, recording, sleep=no_sleep)
    assert (done.state, done.channels) == (RecordingState.STORED, Channels.STEREO)
    assert (done.audio_ms, done.repaired) == (1000, False)
    assert logs == []
    assert [found.name for found in path.parent.iterdir()] == [path.name]


def test_one_in_which_nobody_was_heard(tmp_path: Path) -> None:
    """FreeSWITCH deletes a file without a sample by itself."""
    recording = facts(Channels.MIXED, RecordingState.CAPTURED)
    done = finish(RecordingStore(tmp_path), recording, wait_s=0)
    assert (done.state, done.reason) == (RecordingState.FAILED, "no_audio")
