"""The waveform of a recording: the least and the greatest sample of each stretch, per channel.

The format is version 2 of audiowaveform's JSON with 8 bits, which peaks.js and wavesurfer.js read.

Source: audiowaveform 1.10, doc/DataFormat.md.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from callrec_pbx.audio.sound import BLOCK, Samples, opened

MOST = 4000
"""Stretches (pixels) at the most."""
PER_S = 20
"""Stretches in a second at the most."""

_TO_8_BITS = 256


def peaks(path: Path, tick: Callable[[], None] = lambda: None) -> bytes:
    """The waveform of a WAV or encoded file as JSON.

    Args:
        path: The file.
        tick: Called between blocks; what it raises ends the work.

    Raises:
        AudioError: it cannot be understood.
        OSError: it cannot be read.
    """
    with opened(path) as sound:
        stretch = max(-(-sound.frames // MOST), sound.rate // PER_S, 1)
        found = []
        for block in sound.blocks(max(1, BLOCK // stretch) * stretch):
            tick()
            found.append(_extremes(block, stretch))
        data = np.concatenate(found) if found else np.zeros((0, 2 * sound.channels), np.int16)
        document = {
            "version": 2,
            "channels": sound.channels,
            "sample_rate": sound.rate,
            "samples_per_pixel": stretch,
            "bits": 8,
            "length": len(data),
            "data": data.ravel().tolist(),
        }
    return json.dumps(document, separators=(",", ":")).encode("ascii")


def _extremes(block: Samples, stretch: int) -> npt.NDArray[np.int16]:
    """Least and greatest of each channel by turns, for each stretch of a block."""
    starts = np.arange(0, len(block), stretch)
    both = np.stack(
        [np.minimum.reduceat(block, starts), np.maximum.reduceat(block, starts)], axis=2
    )
    scaled = np.trunc(both / _TO_8_BITS).astype(np.int16)
    found: npt.NDArray[np.int16] = scaled.reshape(len(starts), -1)
    return found
