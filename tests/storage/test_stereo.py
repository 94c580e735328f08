"""A stereo recording is made of three files, whatever is killed, missing or full on the way."""

import errno
import hashlib
import os
import wave
from array import array
from collections.abc import Callable, Iterator, MutableMapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import Channels, RecordingState
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.store import RecordingStore
from tests.storage.samples import a_call, a_recording

S = RecordingState
LEFT, RIGHT = 1111, 2222
MIXED = LEFT + RIGHT
FRAMES = 8000


class Killed(BaseException):
    """The process is no more."""


@pytest.fixture
def store(tmp_path: Path) -> RecordingStore:
    return RecordingStore(tmp_path)


@pytest.fixture
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as entries:
        yield entries


def captured(state: S = S.CAPTURED, **changes: Any) -> RecordingFacts:
    values: dict[str, Any] = {"audio_ms": None, "size": None, "sha256": "", "delete_after": None}
    return a_recording(state=state, channels=Channels.STEREO, **(values | changes))


def audio(path: Path, value: int, frames: int = FRAMES, *, broken: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(array("h", [value]).tobytes() * frames)
    if broken:
        with path.open("r+b") as raw:
            for at in (4, 40):
                raw.seek(at)
                raw.write(bytes(4))
    return path


def written(store: RecordingStore, *, broken: bool = False) -> RecordingFacts:
    """What the PBX has left of a recording that it has closed."""
    facts = captured()
    audio(store.audio_path(facts), MIXED, broken=broken)
    for path, value in zip(store.side_paths(facts), (LEFT, RIGHT), strict=True):
        audio(path, value, broken=broken)
    store.write_sidecar(facts, a_call())
    return facts


def names(store: RecordingStore) -> list[str]:
    """What there is besides sidecars, by what follows the id."""
    found = store.audio_path(captured()).parent.glob(f"{captured().recording_id}*")
    return sorted(p.name.partition(".")[2] for p in found if p.suffix != ".json")


def samples(path: Path) -> tuple[set[int], ...]:
    """The values in each channel."""
    with wave.open(str(path)) as file:
        count = file.getnchannels()
        both = array("h", file.readframes(file.getnframes()))
    return tuple(set(both[channel::count]) for channel in range(count))


def no_sleep(seconds: float) -> None:
    raise AssertionError("waited though nothing was to be waited for")


def test_it_is_joined_measured_and_alone(store: RecordingStore) -> None:
    facts = written(store)
    done = finish(store, facts, sleep=no_sleep)
    path = store.audio_path(facts)
    assert samples(path) == ({LEFT}, {RIGHT})
    assert names(store) == ["wav"]
    assert (done.state, done.channels, done.repaired) == (S.STORED, Channels.STEREO, False)
    assert (done.audio_ms, done.size) == (1000, 44 + 4 * FRAMES)
    assert done.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_mode & 0o777 == 0o660
    assert finish(store, facts, sleep=no_sleep) == done


STEPS = ("open", "fsync", "rename", "unlink")


def dying(patch: pytest.MonkeyPatch, steps: int) -> Callable[[], int]:
    """Kill the process before that many further steps on the disk; tells how many are left."""
    left = [steps]

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*args, **kwargs)

        return step

    for name in STEPS:
        patch.setattr(os, name, wrap(getattr(os, name)))
    return lambda: left[0]


@pytest.mark.parametrize("broken", [False, True], ids=["closed", "pbx_killed"])
def test_killed_at_any_step_it_is_finished_later(store: RecordingStore, broken: bool) -> None:
    """There is all that was said at any moment, and in the end what an undisturbed run leaves."""
    killed_at = []
    for steps in range(100):
        facts = replace(written(store, broken=broken), state=S.INTERRUPTED)
        with pytest.MonkeyPatch.context() as patch:
            left = dying(patch, steps)
            try:
                finish(store, facts, wait_s=0)
            except Killed:
                killed_at.append(names(store))
            else:
                assert left() == 0
                break
        assert samples_or_mixed(store.audio_path(facts)) in (({LEFT}, {RIGHT}), ({MIXED},))
        again = finish(store, facts, wait_s=0)
        assert (again.audio_ms, again.channels) == (1000, Channels.STEREO)
        assert names(store) == ["wav"]
        assert samples(store.audio_path(facts)) == ({LEFT}, {RIGHT})
        store.delete_audio(facts)
    assert killed_at == [
        ["left.wav", "right.wav", "wav"],
        ["left.wav", "right.wav", "wav", "wav.tmp"],
        ["left.wav", "right.wav", "wav", "wav.tmp"],
        ["left.wav", "right.wav", "wav"],
        ["left.wav", "right.wav", "wav"],
        ["left.wav", "right.wav", "wav"],
        ["right.wav", "wav"],
    ]


def samples_or_mixed(path: Path) -> tuple[set[int], ...]:
    """Also of a file whose header was never completed."""
    data = path.read_bytes()
    if int.from_bytes(data[40:44], "little"):
        return samples(path)
    return (set(array("h", data[44:])),)


def test_the_headers_may_come_late(store: RecordingStore) -> None:
    facts = written(store)
    right = audio(store.side_paths(facts)[1], RIGHT, broken=True)
    waits: list[float] = []

    def the_pbx_closes_it(seconds: float) -> None:
        waits.append(seconds)
        audio(right, RIGHT)

    done = finish(store, facts, sleep=the_pbx_closes_it)
    assert (done.channels, done.repaired, len(waits)) == (Channels.STEREO, False, 1)


def test_a_killed_pbx_leaves_them_of_different_lengths(store: RecordingStore) -> None:
    """What one has more than the other is kept, beside silence."""
    facts = replace(written(store, broken=True), state=S.INTERRUPTED, reason="pbx_died")
    left, right = store.side_paths(facts)
    audio(left, LEFT, FRAMES + 400, broken=True)
    right.write_bytes(right.read_bytes() + b"x")
    done = finish(store, facts, wait_s=0, sleep=no_sleep)
    assert (done.state, done.reason, done.repaired) == (S.INTERRUPTED, "pbx_died", True)
    assert (done.channels, done.audio_ms) == (Channels.STEREO, 1050)
    assert samples(store.audio_path(facts)) == ({LEFT}, {RIGHT, 0})


def test_a_power_failure_leaves_zeros_in_place_of_a_header(store: RecordingStore) -> None:
    facts = replace(written(store, broken=True), state=S.INTERRUPTED)
    for path in store.side_paths(facts):
        path.write_bytes(bytes(44) + path.read_bytes()[44:])
    done = finish(store, facts, wait_s=0)
    assert (done.channels, done.audio_ms) == (Channels.STEREO, 1000)
    assert samples(store.audio_path(facts)) == ({LEFT}, {RIGHT})


def test_without_its_channels_it_stays_mixed(
    store: RecordingStore, logged: list[MutableMapping[str, Any]]
) -> None:
    """Missing, empty, no WAV, too short, of another rate: what the mixed file has is kept."""

    def gone(left: Path, right: Path) -> None:
        left.unlink()
        right.unlink()

    def empty(left: Path, right: Path) -> None:
        audio(left, LEFT, 0)
        right.write_bytes(b"")

    def one(left: Path, right: Path) -> None:
        left.unlink()

    def garbage(left: Path, right: Path) -> None:
        left.write_bytes(b"x" * 1000)

    def short(left: Path, right: Path) -> None:
        audio(right, RIGHT, FRAMES // 2)

    def fast(left: Path, right: Path) -> None:
        left.write_bytes(left.read_bytes().replace(b"\x40\x1f\0\0", b"\x80\x3e\0\0", 1))

    for spoil in (gone, empty, one, garbage, short, fast):
        facts = written(store)
        spoil(*store.side_paths(facts))
        done = finish(store, facts, wait_s=0)
        assert (done.state, done.channels) == (S.STORED, Channels.MIXED), spoil
        assert samples(store.audio_path(facts)) == ({MIXED},)
        assert done.sha256
        assert names(store) == ["wav"]
    assert [entry["event"] for entry in logged] == ["stereo_not_made"] * 6
    assert len({entry["reason"] for entry in logged}) > 3


def test_when_the_mixed_file_is_lost_they_have_it_all(store: RecordingStore) -> None:
    """It is missing, shorter, or no WAV any more."""

    def gone(path: Path) -> None:
        path.unlink()

    def short(path: Path) -> None:
        audio(path, MIXED, FRAMES // 4)

    def garbage(path: Path) -> None:
        path.write_bytes(b"x" * 1000)

    for spoil in (gone, short, garbage):
        facts = written(store)
        spoil(store.audio_path(facts))
        done = finish(store, facts, wait_s=0)
        assert (done.state, done.channels, done.audio_ms) == (S.STORED, Channels.STEREO, 1000)
        assert names(store) == ["wav"]
    for spoil in (gone, garbage):
        facts = written(store)
        spoil(store.audio_path(facts))
        gone(store.side_paths(facts)[0])
        finish(store, facts, wait_s=0)
        assert samples(store.audio_path(facts)) == ({0}, {RIGHT})


def test_a_very_short_one_keeps_both_parties(store: RecordingStore) -> None:
    """With one channel missing: it has never been there, or was joined and is deleted already."""
    facts = written(store)
    audio(store.audio_path(facts), MIXED, 100)
    for path, value in zip(store.side_paths(facts), (LEFT, RIGHT), strict=True):
        audio(path, value, 100)
    _, right = store.side_paths(facts)
    kept = right.read_bytes()
    finish(store, facts)
    right.write_bytes(kept)
    assert finish(store, facts).channels is Channels.STEREO
    assert samples(store.audio_path(facts)) == ({LEFT}, {RIGHT})
    audio(store.audio_path(facts), MIXED, 100)
    right.write_bytes(kept)
    assert finish(store, facts).channels is Channels.MIXED
    assert samples(store.audio_path(facts)) == ({MIXED},)


def test_nothing_that_only_one_file_has_is_deleted(store: RecordingStore) -> None:
    """The mixed file is shorter than one channel, and the other is missing: nothing replaces it."""
    facts = written(store)
    audio(store.audio_path(facts), MIXED, FRAMES // 2)
    store.side_paths(facts)[1].unlink()
    done = finish(store, facts, wait_s=0)
    assert (done.channels, done.audio_ms) == (Channels.MIXED, 500)
    assert names(store) == ["left.wav", "wav"]


def test_without_any_audio_it_has_failed(store: RecordingStore) -> None:
    facts = written(store)
    for path in (store.audio_path(facts), *store.side_paths(facts)):
        path.write_bytes(b"")
    done = finish(store, facts, wait_s=0)
    assert (done.state, done.reason) == (S.FAILED, "no_audio")
    assert names(store) == ["wav"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_on_a_full_disk_the_next_start_makes_it(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """Until then it is a mixed one, whole and stored; its channels wait."""
    facts = written(store)

    def full(handle: int) -> None:
        raise OSError(number, os.strerror(number))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        done = finish(store, facts, wait_s=0)
    assert (done.state, done.channels, done.audio_ms) == (S.STORED, Channels.MIXED, 1000)
    assert names(store) == ["left.wav", "right.wav", "wav"]
    store.write_sidecar(done, a_call())
    (again,) = RecordingStore(store.directory).unfinished()
    assert (again.state, again.channels, again.sha256) == (S.CAPTURED, Channels.STEREO, "")
    done = finish(store, again, wait_s=0)
    assert (done.state, done.channels) == (S.STORED, Channels.STEREO)
    assert names(store) == ["wav"]
    store.write_sidecar(done, a_call())
    assert RecordingStore(store.directory).unfinished() == []
    store.written(done)
    assert not list((store.directory / "open").glob("[!.]*"))


def test_a_disk_that_fails_is_worth_trying_again(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = written(store)

    def broken(handle: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        with pytest.raises(OSError, match="Input/output"):
            finish(store, facts, wait_s=0)
    assert names(store) == ["left.wav", "right.wav", "wav"]
    assert finish(store, facts).channels is Channels.STEREO


@pytest.mark.parametrize("state", [S.FAILED, S.INTERRUPTED])
def test_whatever_it_is_called_its_channels_are_not_forgotten(
    store: RecordingStore, state: S
) -> None:
    """Failed or interrupted, and killed before it was finished."""
    facts = written(store)
    store.write_sidecar(replace(facts, state=state, reason="disk_full"), a_call())
    (again,) = RecordingStore(store.directory).unfinished()
    assert (again.state, again.reason) == (state, "disk_full")
    done = finish(store, again, wait_s=0)
    assert (done.state, done.reason, done.channels) == (state, "disk_full", Channels.STEREO)
    assert names(store) == ["wav"]


@pytest.mark.parametrize("state", [S.DISCARDED, S.PRUNING])
def test_discarded_while_it_is_joined(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch, state: S
) -> None:
    """What is being joined at that moment does not come back."""
    facts = written(store)
    fsync = os.fsync

    def flushed(handle: int) -> None:
        fsync(handle)
        monkeypatch.undo()
        gone = replace(facts, state=state)
        store.write_sidecar(gone, a_call())
        assert store.delete_audio(gone)
        store.audio_path(facts).with_suffix(".wav.tmp").touch()  # open, it was deleted too

    monkeypatch.setattr(os, "fsync", flushed)
    finish(store, facts, wait_s=0)
    assert names(store) == []


def test_every_file_of_it_is_deleted(store: RecordingStore) -> None:
    facts = replace(written(store), state=S.DISCARDED)
    store.audio_path(facts).with_suffix(".wav.tmp").touch()
    store.write_sidecar(facts, a_call())
    assert store.delete_audio(facts, durable=True)
    assert names(store) == []
    assert not store.delete_audio(facts)


@pytest.mark.parametrize("name", ["left.wav", "right.wav", "wav", "wav.tmp"])
def test_a_discard_cut_off_by_a_crash_is_finished(store: RecordingStore, name: str) -> None:
    facts = replace(written(store), state=S.DISCARDED)
    store.delete_audio(facts)
    (store.audio_path(facts).parent / f"{facts.recording_id}.{name}").touch()
    store.write_sidecar(facts, a_call())
    assert RecordingStore(store.directory).unfinished() == []
    assert names(store) == []
    store.written(facts)
    assert not list((store.directory / "open").glob("[!.]*"))


def test_a_mixed_recording_is_one_file_as_ever(store: RecordingStore) -> None:
    facts = replace(captured(), channels=Channels.MIXED)
    path = audio(store.audio_path(facts), MIXED)
    before = path.stat()
    done = finish(store, facts, sleep=no_sleep)
    assert (done.state, done.channels) == (S.STORED, Channels.MIXED)
    assert path.stat().st_ino == before.st_ino
    assert samples(path) == ({MIXED},)
