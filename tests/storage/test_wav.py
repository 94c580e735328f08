"""Measuring WAV files, and mending what a killed PBX leaves behind."""

import hashlib
import os
import struct
import wave
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrec_pbx.audio import wav
from callrec_pbx.audio.wav import WavError, WavInfo

SAMPLES = bytes(range(256)) * 50


def make(
    path: Path,
    samples: bytes = SAMPLES,
    *,
    riff: int | None = None,
    data: int | None = None,
    channels: int = 1,
    after: bytes = b"",
    before: bytes = b"",
) -> Path:
    fmt = struct.pack("<IHHIIHH", 16, 1, channels, 8000, 16000 * channels, 2 * channels, 16)
    body = b"WAVEfmt " + fmt + before + b"data"
    body += struct.pack("<I", len(samples) if data is None else data) + samples + after
    path.write_bytes(b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body)
    return path


def samples_of(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        return bytes(file.readframes(file.getnframes()))


def test_a_whole_file_is_measured_and_left_alone(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav")
    before = path.read_bytes()
    assert wav.inspect(path) == WavInfo(8000, 1, 2, 6400, 800, header_ok=True)
    assert wav.repair(path) is False
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("riff", "data"),
    [(0, 0), (8, 0), (36, 0), (None, 0), (0, None), (None, 400), (None, 99_999_999), (1, 1)],
)
def test_wrong_lengths_are_mended_without_losing_a_sample(
    tmp_path: Path, riff: int | None, data: int | None
) -> None:
    path = make(tmp_path / "a.wav", riff=riff, data=data)
    info = wav.inspect(path)
    assert (info.frames, info.header_ok) == (6400, False)
    assert wav.repair(path) is True
    assert samples_of(path) == SAMPLES
    assert path.read_bytes() == make(tmp_path / "b.wav").read_bytes()
    assert wav.repair(path) is False


def test_silence_after_a_zero_length_is_not_taken_for_chunks(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", bytes(8000), riff=0, data=0)
    assert wav.inspect(path).frames == 4000
    assert wav.repair(path)
    assert samples_of(path) == bytes(8000)


@pytest.mark.parametrize(("channels", "odd"), [(1, 1), (2, 1), (2, 2), (2, 3)])
def test_an_incomplete_last_sample_is_dropped(tmp_path: Path, channels: int, odd: int) -> None:
    path = make(tmp_path / "a.wav", SAMPLES + b"x" * odd, riff=0, data=0, channels=channels)
    assert wav.repair(path)
    assert samples_of(path) == SAMPLES
    assert wav.inspect(path).header_ok


def test_chunks_before_and_after_the_samples_are_respected(tmp_path: Path) -> None:
    info = b"LIST" + struct.pack("<I", 5) + b"INFOx\0"
    path = make(tmp_path / "a.wav", before=info, after=info)
    assert wav.inspect(path) == WavInfo(8000, 1, 2, 6400, 800, header_ok=True)
    assert wav.repair(path) is False


def test_a_header_lost_with_the_power_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(bytes(44) + SAMPLES)
    with pytest.raises(WavError):
        wav.inspect(path)
    assert wav.repair(path)
    assert path.read_bytes() == make(tmp_path / "b.wav").read_bytes()


@pytest.mark.parametrize("point", ["ftruncate", "pwrite", "pwrite2", "fsync"])
def test_killed_while_mending_it_is_mended_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, point: str
) -> None:
    path = make(tmp_path / "a.wav", SAMPLES + b"x", riff=0, data=0)
    calls: list[str] = []

    def kill_at(name: str) -> None:
        real = getattr(os, name)

        def step(*arguments: object) -> object:
            calls.append(name)
            if point in (name, f"{name}{calls.count(name)}"):
                raise KeyboardInterrupt
            return real(*arguments)

        monkeypatch.setattr(os, name, step)

    for name in ("ftruncate", "pwrite", "fsync"):
        kill_at(name)
    with pytest.raises(KeyboardInterrupt):
        wav.repair(path)
    monkeypatch.undo()
    wav.repair(path)
    assert samples_of(path) == SAMPLES
    assert wav.inspect(path).header_ok


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"RIFF",
        b"RIFF\0\0\0\0WAVE",
        b"RIFF\0\0\0\0WAVEdata\0\0\0\0",
        b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0\1",
        b"ID3" + bytes(100),
    ],
)
def test_what_is_no_wav_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(WavError, match=r"a\.wav"):
        wav.inspect(path)
    with pytest.raises(WavError):
        wav.repair(path)
    assert path.read_bytes() == content


def test_compressed_audio_is_not_taken_for_samples(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav")
    with path.open("r+b") as file:
        file.seek(20)
        file.write(struct.pack("<H", 49))
    with pytest.raises(WavError, match="format 49"):
        wav.inspect(path)


@settings(deadline=None)
@given(data=st.binary(max_size=200), start=st.sampled_from([b"", b"RIFF\0\0\0\0WAVEfmt "]))
def test_no_content_breaks_it(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, start: bytes
) -> None:
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    path.write_bytes(start + data)
    try:
        wav.repair(path)
    except WavError:
        assert path.read_bytes() == start + data
    else:
        assert wav.inspect(path).header_ok


def test_a_file_past_four_gigabytes_is_measured(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav", riff=0, data=0)
    os.truncate(path, 44 + 2**32 + 16_000)  # sparse
    assert wav.inspect(path).frames == (2**32 + 16_000) // 2
    assert wav.repair(path)
    assert wav.inspect(path) == WavInfo(8000, 1, 2, 2**31 + 8000, 268_436_456, header_ok=True)


def test_the_checksum_is_of_the_whole_file(tmp_path: Path) -> None:
    path = make(tmp_path / "a.wav")
    assert wav.sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()
