"""What is done when the PBX has closed a file."""

import hashlib
import wave
from datetime import timedelta
from pathlib import Path

import pytest

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.store import RecordingStore
from tests.storage.samples import START, a_recording

S = RecordingState


@pytest.fixture
def store(tmp_path: Path) -> RecordingStore:
    return RecordingStore(tmp_path)


def captured(state: S = S.CAPTURED, reason: str = "") -> RecordingFacts:
    return a_recording(
        state=state, reason=reason, audio_ms=None, size=None, sha256="", delete_after=None
    )


def audio(store: RecordingStore, *, frames: int = 8000, broken: bool = False) -> Path:
    path = store.audio_path(captured())
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(range(200)) * (frames * 2 // 200))
    if broken:
        with path.open("r+b") as raw:
            raw.seek(4)
            raw.write(bytes(4))
            raw.seek(40)
            raw.write(bytes(4))
    return path


def no_sleep(seconds: float) -> None:
    raise AssertionError("waited though nothing was to be waited for")


def test_a_captured_recording_is_stored(store: RecordingStore) -> None:
    path = audio(store)
    done = finish(store, captured(), sleep=no_sleep)
    assert done.state is S.STORED
    assert (done.audio_ms, done.size, done.repaired) == (1000, 16_044, False)
    assert done.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert done.delete_after == START + timedelta(seconds=65, days=30)


def test_an_interrupted_recording_is_mended_and_stays_interrupted(store: RecordingStore) -> None:
    path = audio(store, broken=True)
    done = finish(store, captured(S.INTERRUPTED, "pbx_died"), wait_s=0, sleep=no_sleep)
    assert (done.state, done.reason) == (S.INTERRUPTED, "pbx_died")
    assert (done.audio_ms, done.repaired) == (1000, True)
    with wave.open(str(path)) as file:
        assert file.getnframes() == 8000
    assert finish(store, done, wait_s=0) == done


def test_the_header_may_come_late(store: RecordingStore) -> None:
    audio(store, broken=True)
    waits: list[float] = []

    def the_pbx_writes_it(seconds: float) -> None:
        waits.append(seconds)
        audio(store)

    done = finish(store, captured(), sleep=the_pbx_writes_it)
    assert (done.state, done.repaired, len(waits)) == (S.STORED, False, 1)


def test_without_audio_it_has_failed(store: RecordingStore) -> None:
    done = finish(store, captured(), wait_s=0)
    assert (done.state, done.reason) == (S.FAILED, "no_audio")
    audio(store, frames=0)
    done = finish(store, captured(S.INTERRUPTED), wait_s=0)
    assert (done.state, done.reason) == (S.FAILED, "no_audio")
    assert done.delete_after is not None


def test_a_file_that_is_no_wav_is_kept_and_said_so(store: RecordingStore) -> None:
    path = audio(store)
    path.write_bytes(b"x" * 100)
    done = finish(store, captured(), wait_s=0)
    assert (done.state, done.reason, done.size) == (S.FAILED, "unreadable_audio", 100)
    assert path.read_bytes() == b"x" * 100


def test_a_failure_keeps_its_own_reason(store: RecordingStore) -> None:
    failed = captured(S.FAILED, "disk_full")
    assert finish(store, failed, wait_s=0).reason == "disk_full"
    audio(store)
    done = finish(store, failed, wait_s=0)
    assert (done.state, done.reason, done.audio_ms) == (S.FAILED, "disk_full", 1000)


def test_without_a_limit_it_is_kept(store: RecordingStore) -> None:
    audio(store)
    kept = a_recording(state=S.CAPTURED, retention="unlimited", delete_after=None)
    assert finish(store, kept).delete_after is None


@pytest.mark.parametrize("state", [S.DISCARDED, S.PRUNED, S.RECORDING, S.STORED])
def test_others_are_left_alone(store: RecordingStore, state: S) -> None:
    facts = a_recording(state=state)
    assert finish(store, facts, sleep=no_sleep) == facts
