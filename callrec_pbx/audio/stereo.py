"""Two mono files, one for each direction of a conversation, to one file of two channels.

Nothing here holds more than a block of a file in memory.
"""

from array import array
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from callrec_pbx.audio import wav
from callrec_pbx.audio.wav import WavError

BLOCK = 1 << 16
"""Frames that are joined at once."""

_WIDTH = 2
_PATTERN = ".wav"


def sides(path: str) -> tuple[str, str]:
    """The files beside a recording in the making that get its left and its right channel.

    Left is what the recorded leg's user says, right is what that leg hears.
    """
    stem = path.removesuffix(_PATTERN)
    return f"{stem}.left{_PATTERN}", f"{stem}.right{_PATTERN}"


def join(left: Path | None, right: Path | None, out: BinaryIO) -> None:
    """Write the two side by side as a whole WAV file; the shorter one is silent at its end.

    Args:
        left: Mono, 16 bits; None for silence.
        right: Likewise, and of the same rate.
        out: Where it is written.

    Raises:
        WavError: they cannot be joined.
        OSError: one cannot be read, or the result not be written.
    """
    with ExitStack() as stack:
        found = [_Side(path, stack) if path is not None else None for path in (left, right)]
        infos = [side.info for side in found if side is not None]
        if len({info.rate for info in infos}) != 1:
            raise WavError(f"{left}, {right}: no two files of one rate")
        frames = max(info.frames for info in infos)
        out.write(wav.header(infos[0].rate, len(found), _WIDTH, frames))
        for at in range(0, frames, BLOCK):
            count = min(BLOCK, frames - at)
            block = array("h", bytes(len(found) * _WIDTH * count))
            for channel, side in enumerate(found):
                if side is not None:
                    block[channel :: len(found)] = side.read(count)
            out.write(block)


class _Side:
    """One of the two, from its first sample on, and silence after its last."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.info, self._file = stack.enter_context(wav.opened(path))
        if (self.info.channels, self.info.sample_width) != (1, _WIDTH):
            raise WavError(f"{path}: is not mono with 16 bits")
        self._left = self.info.frames

    def read(self, count: int) -> "array[int]":
        data = self._file.read(_WIDTH * min(count, self._left))
        self._left -= min(count, self._left)
        return array("h", data.ljust(_WIDTH * count, b"\0"))
