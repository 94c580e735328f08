"""Audio of any kind that is kept, read block by block as samples of 16 bits.

Nothing here holds more than a block of a file in memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile

from callrec_pbx.audio import wav

BLOCK = 1 << 14
"""Frames that are read at once."""

_WIDTH = 2
_FULL_SCALE = 32768.0

Samples = npt.NDArray[np.int16]
"""Frames by channels."""


class AudioError(ValueError):
    """The file is no audio that can be read, or it is cut off; the text names it and why."""


@dataclass(frozen=True, slots=True)
class Sound:
    """Audio that is open for reading.

    Attributes:
        rate: Samples per second (Hz).
        frames: Samples per channel, as far as they are known before they are read.
        read: Gives the next frames, as many as are asked for, fewer at the end, then none.
    """

    rate: int
    channels: int
    frames: int
    read: Callable[[int], Samples]

    def blocks(self, count: int = BLOCK) -> Iterator[Samples]:
        """All that is left, in blocks of that many frames; the last one may be shorter."""
        while len(block := self.read(count)):
            yield block


@contextmanager
def opened(path: Path) -> Iterator[Sound]:
    """Open a WAV file, measured rather than believed, or an encoded one.

    Raises:
        AudioError: it cannot be understood; reading raises it too.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        is_wav = file.read(4) == b"RIFF" or path.suffix == ".wav"
    with _wav(path) if is_wav else _encoded(path) as sound:
        yield sound


@contextmanager
def _wav(path: Path) -> Iterator[Sound]:
    try:
        with wav.opened(path) as (info, file):
            if info.sample_width != _WIDTH:
                raise AudioError(f"{path}: has {8 * info.sample_width} bits; only 16 can be read")
            left = info.frames

            def read(count: int) -> Samples:
                nonlocal left
                count = min(count, left)
                data = file.read(count * _WIDTH * info.channels)
                if len(data) < count * _WIDTH * info.channels:
                    raise AudioError(f"{path}: has become shorter while it was read")
                left -= count
                return np.frombuffer(data, dtype="<i2").reshape(-1, info.channels)

            yield Sound(info.rate, info.channels, info.frames, read)
    except wav.WavError as error:
        raise AudioError(str(error)) from None


@contextmanager
def _encoded(path: Path) -> Iterator[Sound]:
    try:
        with _Straight(str(path)) as file:
            exact = file.subtype == "PCM_16"

            def read(count: int) -> Samples:
                found = file.read(count, dtype="int16" if exact else "float32", always_2d=True)
                return found if exact else _rounded(found)

            yield Sound(file.samplerate, file.channels, file.frames, read)
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{path}: {error.error_string}") from None


class _Straight(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read from its beginning to its end.

    soundfile seeks after each read, to where it is already; an MP3 decoder stumbles over that, and
    one of Opus decodes a stretch again. Source: soundfile 0.14.0, `_cdata_io`; observed.
    """

    def seekable(self) -> bool:
        """Whether soundfile may seek: it need not."""
        return False


def _rounded(samples: npt.NDArray[np.float32]) -> Samples:
    scaled = np.rint(samples * _FULL_SCALE)
    found: Samples = np.clip(scaled, -_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    return found
