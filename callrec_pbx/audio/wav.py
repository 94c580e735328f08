"""WAV files as a PBX writes them: measure, and mend the header that a killed PBX left behind.

Nothing here holds more than a block of a file in memory.
"""

import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

PLAIN_HEADER = 44
"""Bytes before the samples in a file of PCM without further chunks, as both PBXes write it.

Source: Asterisk 22.10.1, formats/format_wav.c; FreeSWITCH 1.11.1 with libsndfile; observed.
"""

_MAX_LENGTH = 0xFFFFFFFF
_RIFF_HEAD = 12
_CHUNK_HEAD = 8
_FORMAT = 16
_PCM = 1
_EXTENSIBLE = 0xFFFE
# Chunks that may follow the samples. Anything else there is taken for samples.
_TRAILING = frozenset({b"LIST", b"bext", b"cue ", b"fact", b"id3 ", b"ID3 ", b"JUNK", b"PAD "})


class WavError(ValueError):
    """The file is no PCM WAV file that could be measured or mended; the text names it and why."""


@dataclass(frozen=True, slots=True)
class WavInfo:
    """What a file holds, measured by its size rather than believed from its header.

    Attributes:
        rate: Samples per second (Hz).
        sample_width: Bytes of one sample of one channel.
        frames: Samples per channel.
        header_ok: Whether the lengths in the header agree with the file.
    """

    rate: int
    channels: int
    sample_width: int
    frames: int
    duration_ms: int
    header_ok: bool


@dataclass(frozen=True, slots=True)
class _Layout:
    rate: int
    channels: int
    sample_width: int
    data_at: int
    data_length: int
    riff_length: int
    size: int

    @property
    def block(self) -> int:
        return self.channels * self.sample_width


def inspect(path: Path) -> WavInfo:
    """Measure a file.

    Raises:
        WavError: it is not PCM WAV.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return _measured(file, _layout(file, path))


@contextmanager
def opened(path: Path) -> Iterator[tuple[WavInfo, BinaryIO]]:
    """Measure a file and hold it open at its first sample. Raises as `inspect` does."""
    with path.open("rb") as file:
        layout = _layout(file, path)
        info = _measured(file, layout)
        file.seek(layout.data_at)
        yield info, file


def header(rate: int, channels: int, sample_width: int, frames: int) -> bytes:
    """What stands before the samples of a file of that format and length."""
    block = channels * sample_width
    fmt = struct.pack("<IHHIIHH", 16, _PCM, channels, rate, rate * block, block, 8 * sample_width)
    length = frames * block
    riff_length = length + PLAIN_HEADER - 8
    if riff_length > _MAX_LENGTH:
        length = riff_length = _MAX_LENGTH
    lengths = struct.pack("<I", riff_length), struct.pack("<I", length)
    return b"RIFF" + lengths[0] + b"WAVEfmt " + fmt + b"data" + lengths[1]


def _measured(file: BinaryIO, layout: _Layout) -> WavInfo:
    consistent = _consistent(file, layout)
    length = layout.data_length if consistent else layout.size - layout.data_at
    if layout.data_length == _MAX_LENGTH:
        length = layout.size - layout.data_at
    frames = length // layout.block
    return WavInfo(
        rate=layout.rate,
        channels=layout.channels,
        sample_width=layout.sample_width,
        frames=frames,
        duration_ms=frames * 1000 // layout.rate,
        header_ok=consistent,
    )


def repair(path: Path) -> bool:
    """Make the header of a closed file say what the file holds.

    Only the two lengths are written, in place, and bytes of an incomplete last sample are cut off;
    no sample is touched. Killed on the way, it is done again the next time with the same result.

    Returns:
        Whether anything had to be changed.

    Raises:
        WavError: it is not PCM WAV, so that there is nothing to go by.
        OSError: it cannot be read or written.
    """
    with path.open("r+b", buffering=0) as file:
        changed = _write_lost_header(file)
        layout = _layout(file, path)
        if _consistent(file, layout):
            return changed
        samples = (layout.size - layout.data_at) // layout.block * layout.block
        end = layout.data_at + samples
        if end != layout.size:
            os.ftruncate(file.fileno(), end)
        length = struct.pack("<I", min(samples, _MAX_LENGTH))
        os.pwrite(file.fileno(), length, layout.data_at - 4)
        os.pwrite(file.fileno(), struct.pack("<I", min(end - 8, _MAX_LENGTH)), 4)
        os.fsync(file.fileno())
    return True


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _layout(file: BinaryIO, path: Path) -> _Layout:
    """Find format and samples; lengths are read, not believed."""
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(_RIFF_HEAD)
    if len(head) < _RIFF_HEAD or head[:4] != b"RIFF" or head[8:] != b"WAVE":
        raise WavError(f"{path}: does not begin as a WAV file does ({size} bytes)")
    format_: tuple[int, int, int] | None = None
    at = _RIFF_HEAD
    while True:
        file.seek(at)
        chunk = file.read(_CHUNK_HEAD)
        if len(chunk) < _CHUNK_HEAD:
            raise WavError(f"{path}: no samples found ({size} bytes)")
        name, length = chunk[:4], int.from_bytes(chunk[4:], "little")
        if name == b"data":
            break
        if name == b"fmt ":
            format_ = _format(file.read(_FORMAT), path)
        at += _CHUNK_HEAD + length + length % 2
    if format_ is None:
        raise WavError(f"{path}: samples come before their format")
    riff_length = int.from_bytes(head[4:8], "little")
    return _Layout(*format_, at + _CHUNK_HEAD, length, riff_length, size)


def _format(body: bytes, path: Path) -> tuple[int, int, int]:
    if len(body) < _FORMAT:
        raise WavError(f"{path}: the format chunk is cut off")
    tag, channels, rate, _, _, bits = struct.unpack("<HHIIHH", body)
    if tag not in (_PCM, _EXTENSIBLE) or not channels or not rate or bits not in (8, 16, 24, 32):
        raise WavError(
            f"{path}: format {tag}, {channels} channels, {rate} Hz, {bits} bits is not PCM"
        )
    return rate, channels, bits // 8


def _consistent(file: BinaryIO, layout: _Layout) -> bool:
    """Whether both lengths agree with the file, other chunks after the samples included."""
    if layout.size - 8 > _MAX_LENGTH:
        return layout.riff_length == _MAX_LENGTH == layout.data_length
    if layout.riff_length != layout.size - 8 or layout.data_length % layout.block:
        return False
    at = layout.data_at + layout.data_length + layout.data_length % 2
    while at < layout.size:
        file.seek(at)
        chunk = file.read(_CHUNK_HEAD)
        if len(chunk) < _CHUNK_HEAD or chunk[:4] not in _TRAILING:
            return False
        length = int.from_bytes(chunk[4:], "little")
        at += _CHUNK_HEAD + length + length % 2
    return at == layout.size


def _write_lost_header(file: BinaryIO) -> bool:
    """Write the header of Asterisk's `wav` where a power failure left nothing but zeros."""
    file.seek(0)
    if file.read(PLAIN_HEADER) != bytes(PLAIN_HEADER):
        return False
    os.pwrite(file.fileno(), header(8000, 1, 2, 0), 0)
    return True
