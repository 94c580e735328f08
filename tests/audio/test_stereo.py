"""Two mono files become one of two channels, sample by sample, in little memory."""

import io
import tracemalloc
import wave
from array import array
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callrec_pbx.audio import stereo, wav
from callrec_pbx.audio.wav import WavError

SAMPLES = st.lists(st.integers(-32768, 32767), min_size=1, max_size=50)


def mono(path: Path, samples: "array[int]", *, rate: int = 8000, width: int = 2) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return path


def channels_of(data: bytes) -> tuple[list[int], list[int]]:
    with wave.open(io.BytesIO(data)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 8000)
        both = array("h", file.readframes(file.getnframes()))
    return both[0::2].tolist(), both[1::2].tolist()


def joined(left: Path | None, right: Path | None) -> bytes:
    out = io.BytesIO()
    stereo.join(left, right, out)
    return out.getvalue()


@given(SAMPLES, SAMPLES, st.sampled_from([1, 3, 1 << 16]))
@settings(max_examples=60)
def test_each_sample_goes_to_its_channel(
    tmp_path_factory: pytest.TempPathFactory, left: list[int], right: list[int], block: int
) -> None:
    folder = tmp_path_factory.mktemp("join")
    paths = [
        mono(folder / name, array("h", samples))
        for name, samples in (("left.wav", left), ("right.wav", right))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stereo, "BLOCK", block)
        found = channels_of(joined(paths[0], paths[1]))
    length = max(len(left), len(right))
    assert found == (
        left + [0] * (length - len(left)),
        right + [0] * (length - len(right)),
    )


def test_the_file_is_whole(tmp_path: Path) -> None:
    path = mono(tmp_path / "a.wav", array("h", [1, 2, 3]))
    target = tmp_path / "both.wav"
    target.write_bytes(joined(path, path))
    assert wav.inspect(target) == wav.WavInfo(8000, 2, 2, 3, 0, header_ok=True)


def test_a_missing_one_is_silent(tmp_path: Path) -> None:
    path = mono(tmp_path / "a.wav", array("h", [1, 2, 3]))
    assert channels_of(joined(path, None)) == ([1, 2, 3], [0, 0, 0])
    assert channels_of(joined(None, path)) == ([0, 0, 0], [1, 2, 3])


def test_what_follows_the_samples_is_left_out(tmp_path: Path) -> None:
    """And a header that a killed PBX never completed is not believed."""
    path = mono(tmp_path / "a.wav", array("h", [1, 2, 3]))
    listed = path.read_bytes() + b"LIST\x04\x00\x00\x00odd!"
    path.write_bytes(listed[:4] + (len(listed) - 8).to_bytes(4, "little") + listed[8:])
    killed = mono(tmp_path / "b.wav", array("h", [4, 5, 6]))
    killed.write_bytes(killed.read_bytes()[:40] + bytes(4) + killed.read_bytes()[44:] + b"x")
    assert channels_of(joined(path, killed)) == ([1, 2, 3], [4, 5, 6])


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    good = mono(tmp_path / "a.wav", array("h", [1, 2]))
    fast = mono(tmp_path / "b.wav", array("h", [1, 2]), rate=16000)
    narrow = mono(tmp_path / "c.wav", array("h", [1, 2]), width=1)
    for left, right in ((good, fast), (narrow, good), (None, None)):
        with pytest.raises(WavError):
            joined(left, right)
    with pytest.raises(FileNotFoundError):
        joined(good, tmp_path / "none.wav")


def test_a_long_one_needs_no_more_memory_than_a_short_one(tmp_path: Path) -> None:
    """Ten minutes of each side, 19 MB together."""
    path = mono(tmp_path / "a.wav", array("h", bytes(2 * 8000 * 600)))
    tracemalloc.start()
    try:
        with (tmp_path / "both.wav").open("wb") as out:
            stereo.join(path, path, out)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 << 20
    assert wav.inspect(tmp_path / "both.wav").duration_ms == 600_000


def test_the_sides_lie_beside_the_file() -> None:
    assert stereo.sides("/r/2026/03/01/one.wav") == (
        "/r/2026/03/01/one.left.wav",
        "/r/2026/03/01/one.right.wav",
    )
