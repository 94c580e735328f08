"""Encoded audio: the same sound, as programs of others see it, in bounded memory."""

import io
import json
import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest

from callrec_pbx.audio import wav
from callrec_pbx.audio.encode import EncodeError, encode, verify
from callrec_pbx.audio.peaks import MOST, peaks
from callrec_pbx.audio.sound import AudioError, opened
from callrec_pbx.domain.words import AudioFormat
from tests.audio.sounds import Samples, sine, write_wav

F = AudioFormat
KINDS = [F.OPUS, F.MP3, F.FLAC]
CODEC = {F.OPUS: "opus", F.MP3: "mp3", F.FLAC: "flac"}
LEFT_HZ, RIGHT_HZ = 440, 1250


def talk(path: Path, rate: int = 8000, channels: int = 2, seconds: float = 3.0) -> Path:
    """Left talks in the first half, right all the time and more softly; other samples are odd."""
    half = sine(LEFT_HZ, seconds, rate, 0.4)
    half[len(half) // 2 :] = 0
    soft = sine(RIGHT_HZ, seconds, rate, 0.1)
    return write_wav(path, rate, *((half, soft) if channels == 2 else (half + soft,)))


def encoded(source: Path, kind: F) -> Path:
    target = source.with_suffix(f".{kind}")
    with target.open("wb") as out:
        encode(source, out, kind)
    return target


def decoded(path: Path, rate: int) -> Samples:
    """What ffmpeg makes of it, frames by channels."""
    raw = path.with_suffix(".decoded.wav")
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(path), "-ar", str(rate)]
    done = subprocess.run([*command, str(raw)], check=True, capture_output=True, timeout=60)
    assert not done.stderr
    with wave.open(str(raw), "rb") as stream:
        data = stream.readframes(stream.getnframes())
        return np.frombuffer(data, "<i2").reshape(-1, stream.getnchannels()) / 32768


def level(sound: Samples, hz: float, rate: int) -> float:
    """Amplitude of a tone."""
    turned = np.exp(-2j * np.pi * hz * np.arange(len(sound)) / rate)
    return float(2 * abs(np.dot(sound, turned)) / len(sound))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (8000, 2), (16000, 2), (44100, 2)])
def test_the_same_sound(kind: F, rate: int, channels: int, tmp_path: Path) -> None:
    source = talk(tmp_path / "talk.wav", rate, channels, 3.0173)
    target = encoded(source, kind)
    verify(source, target, kind)
    sound = decoded(target, rate)
    frames = wav.inspect(source).frames
    assert abs(len(sound) - frames) <= rate // 10
    assert sound.shape[1] == channels
    first = sound[rate // 2 : rate]
    last = sound[rate * 2 : rate * 5 // 2]
    left, right = (0, 0) if channels == 1 else (0, 1)
    assert level(first[:, left], LEFT_HZ, rate) == pytest.approx(0.4, abs=0.03)
    assert level(last[:, left], LEFT_HZ, rate) < 0.01
    assert level(last[:, right], RIGHT_HZ, rate) == pytest.approx(0.1, abs=0.02)
    if channels == 2:
        assert level(first[:, left], RIGHT_HZ, rate) < 0.01
        assert level(first[:, right], LEFT_HZ, rate) < 0.01
    if kind is F.FLAC:
        with opened(source) as was:
            assert np.array_equal(was.read(frames), np.rint(sound * 32768).astype(np.int16))


@pytest.mark.parametrize("kind", KINDS)
def test_ffprobe_names_the_codec(kind: F, tmp_path: Path) -> None:
    target = encoded(talk(tmp_path / "talk.wav"), kind)
    shown = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-show_format", "-of", "json", str(target)],
        check=True,
        capture_output=True,
        timeout=60,
    )
    document = json.loads(shown.stdout)
    (stream,) = document["streams"]
    assert (stream["codec_name"], stream["channels"]) == (CODEC[kind], 2)
    assert float(document["format"]["duration"]) == pytest.approx(3, abs=0.3)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 7, 160, 16384, 16385])
def test_any_length(kind: F, frames: int, tmp_path: Path) -> None:
    source = write_wav(tmp_path / "short.wav", 8000, sine(LEFT_HZ, frames / 8000, 8000))
    verify(source, encoded(source, kind), kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_header_that_says_another_length(kind: F, tmp_path: Path) -> None:
    """What a PBX that was killed, or a file of 4 GB and more, leaves there."""
    whole = talk(tmp_path / "whole.wav")
    for name, length in (("zero", bytes(4)), ("max", b"\xff" * 4)):
        source = tmp_path / f"{name}.wav"
        shutil.copy(whole, source)
        with source.open("r+b") as file:
            for at in (4, 40):
                file.seek(at)
                file.write(length)
        target = encoded(source, kind)
        verify(whole, target, kind)


@pytest.mark.parametrize("kind", [F.OPUS, F.MP3])
def test_noise_and_silence_pass(kind: F, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """And no decoder complains of how it is read."""
    noise = np.random.default_rng(1).normal(0, 0.1, 8000 * 20)
    source = write_wav(tmp_path / "noise.wav", 8000, noise, noise * 0)
    target = encoded(source, kind)
    verify(source, target, kind)
    peaks(target)
    assert capfd.readouterr() == ("", "")


def spoil(sound: tuple[Samples, Samples], how: str) -> tuple[Samples, ...]:
    left, right = sound
    return {
        "shorter": (left[:-1600], right[:-1600]),
        "longer": (np.append(left, left[:1600]), np.append(right, right[:1600])),
        "softer": (left / 2, right),
        "swapped": (right, left),
        "mono": (left,),
        "silent": (left * 0, right * 0),
    }[how]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["shorter", "longer", "softer", "swapped", "mono", "silent"])
def test_another_sound_is_refused(kind: F, how: str, tmp_path: Path) -> None:
    sound = (sine(LEFT_HZ, 2, 8000, 0.4), sine(RIGHT_HZ, 2, 8000, 0.1))
    source = write_wav(tmp_path / "source.wav", 8000, *sound)
    other = encoded(write_wav(tmp_path / "other.wav", 8000, *spoil(sound, how)), kind)
    with pytest.raises(EncodeError):
        verify(source, other, kind)


def test_one_sample_of_flac_counts(tmp_path: Path) -> None:
    source = talk(tmp_path / "source.wav")
    data = bytearray(source.read_bytes())
    data[-1000] ^= 1
    other = tmp_path / "other.wav"
    other.write_bytes(data)
    with pytest.raises(EncodeError, match="differs from its source"):
        verify(source, encoded(other, F.FLAC), F.FLAC)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_is_cut_off_is_refused(kind: F, tmp_path: Path) -> None:
    source = talk(tmp_path / "source.wav")
    target = encoded(source, kind)
    os.truncate(target, target.stat().st_size // 2)
    with pytest.raises(AudioError):
        verify(source, target, kind)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFFxxxxWAVE", b"OggS" + bytes(60), b"x" * 200])
def test_what_is_no_audio_is_refused(data: bytes, tmp_path: Path) -> None:
    source = tmp_path / "poison.wav"
    source.write_bytes(data)
    for kind in KINDS:
        with pytest.raises(AudioError):
            encode(source, io.BytesIO(), kind)
    with pytest.raises(AudioError):
        peaks(source)


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_told(kind: F, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source = talk(tmp_path / "talk.wav", seconds=20)
    with (
        Path("/dev/full").open("wb", buffering=0) as full,
        pytest.raises(OSError, match="No space"),
    ):
        encode(source, full, kind)
    assert capfd.readouterr() == ("", "")


class StopError(Exception):
    """Somebody wants the work to end."""


def test_the_work_can_be_ended_between_blocks(tmp_path: Path) -> None:
    source = talk(tmp_path / "talk.wav", seconds=20)

    def stop() -> None:
        raise StopError

    with pytest.raises(StopError):
        encode(source, io.BytesIO(), F.OPUS, stop)
    with pytest.raises(StopError):
        verify(source, source, F.FLAC, stop)
    with pytest.raises(StopError):
        peaks(source, stop)


MEMORY = """
import resource, sys
from pathlib import Path
from callrec_pbx.audio.encode import encode, verify
from callrec_pbx.audio.peaks import peaks
source, target, kind = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with target.open("wb") as out:
    encode(source, out, kind)
verify(source, target, kind)
peaks(target)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "minutes"), [(F.OPUS, 5), (F.MP3, 10), (F.FLAC, 60)])
def test_memory_does_not_grow_with_the_length(kind: F, minutes: int, tmp_path: Path) -> None:
    """That of the codecs too; of silence, as the content does not matter."""
    source = tmp_path / "long.wav"
    frames = minutes * 60 * 8000
    with source.open("wb") as file:
        file.write(wav.header(8000, 2, 2, frames))
        file.truncate(44 + 4 * frames)
    grown = subprocess.run(
        [sys.executable, "-c", MEMORY, str(source), str(tmp_path / "out"), kind],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert int(grown.stdout) < min(source.stat().st_size >> 11, 20_000), "KiB more than before"


def test_peaks_are_those_of_the_sound(tmp_path: Path) -> None:
    source = talk(tmp_path / "talk.wav", seconds=4)
    document = json.loads(peaks(source))
    assert {name: document[name] for name in document if name != "data"} == {
        "version": 2,
        "channels": 2,
        "sample_rate": 8000,
        "samples_per_pixel": 400,
        "bits": 8,
        "length": 80,
    }
    data = np.array(document["data"]).reshape(80, 2, 2)
    assert (data[:40, 0] == [-51, 51]).all()
    assert (data[40:, 0] == 0).all()
    assert (np.abs(data[:, 1]) == 12).all()


@pytest.mark.parametrize("kind", KINDS)
def test_peaks_of_an_encoded_file_are_nearly_the_same(kind: F, tmp_path: Path) -> None:
    source = talk(tmp_path / "talk.wav", seconds=4)
    was, now = (json.loads(peaks(path)) for path in (source, encoded(source, kind)))
    assert (was["length"], was["channels"]) == (now["length"], now["channels"])
    apart = np.abs(np.array(was["data"]) - np.array(now["data"])).reshape(80, 4)
    assert np.median(apart) <= 2


@pytest.mark.parametrize(("frames", "pixels", "stretch"), [(0, 0, 400), (1, 1, 400), (401, 2, 400)])
def test_peaks_of_little(frames: int, pixels: int, stretch: int, tmp_path: Path) -> None:
    source = write_wav(tmp_path / "short.wav", 8000, np.full(frames, 0.5))
    document = json.loads(peaks(source))
    assert (document["length"], document["samples_per_pixel"]) == (pixels, stretch)
    assert document["data"] == [64, 64] * pixels


def test_peaks_of_a_long_recording_are_limited(tmp_path: Path) -> None:
    source = tmp_path / "long.wav"
    frames = MOST * 400 + 1
    with source.open("wb") as file:
        file.write(wav.header(8000, 1, 2, frames))
        file.truncate(44 + 2 * frames)
    document = json.loads(peaks(source))
    assert (document["samples_per_pixel"], document["length"]) == (401, 3991)
