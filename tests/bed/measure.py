"""Measuring recordings: which tone sounds when, and which prompt was heard from when to when."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]

HOP_MS = 2.5
"""Step of the tone analysis, in ms."""

WINDOW_MS = 32.0
"""Length of the analysed piece, in ms: tones 100 Hz apart are told from each other."""

FLOOR = 0.08
"""Least amplitude of a tone (full scale is 1); a phone of the test bed sends 0.22."""

SHORTEST_MS = 20.0
"""A shorter piece is a click, and a shorter gap is none."""

BLOCK_MS = 20
"""Pieces in which a prompt is compared with what was heard."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A tone of `freq` Hz that sounds from `from_ms` to `to_ms` of the file."""

    freq: int
    from_ms: float
    to_ms: float

    @property
    def length_ms(self) -> float:
        """Its length in ms."""
        return self.to_ms - self.from_ms


@dataclass(frozen=True, slots=True)
class Match:
    """Where a prompt is in what was heard.

    Attributes:
        offset_ms: Where its beginning is, in ms of the file.
        length_ms: How much of it was heard, up to where it was cut off.
        score: Likeness of the part that was heard, 1 is the same.
    """

    offset_ms: float
    length_ms: float
    score: float


def read_wav(path: Path, channel: int | None = None) -> tuple[Samples, int]:
    """Read a 16-bit PCM WAV file, also one whose header was never completed.

    Args:
        path: The file.
        channel: Which one, from 0; None for all of them mixed.

    Returns:
        The samples, -1 to 1; and the rate in Hz.

    Raises:
        ValueError: Not such a file.
    """
    raw = path.read_bytes()
    if raw[:4] != b"RIFF" or raw[8:12] != b"WAVE":
        raise ValueError(f"{path} is not a WAV file: it begins with {raw[:12]!r}")
    place, channels, rate, bits = 12, 1, 0, 0
    while place + 8 <= len(raw):
        kind, size = raw[place : place + 4], struct.unpack_from("<I", raw, place + 4)[0]
        place += 8
        if kind == b"fmt ":
            _, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", raw, place)
        if kind == b"data":
            end = place + size if size and place + size <= len(raw) else len(raw)
            break
        place += size + size % 2
    else:
        raise ValueError(f"{path} has no data")
    if bits != 16:
        raise ValueError(f"{path} has {bits} bits a sample, not 16")
    end -= (end - place) % (2 * channels)
    frames = np.frombuffer(raw[place:end], "<i2").reshape(-1, channels)
    if channel is not None:
        if channel >= channels:
            raise ValueError(f"{path} has {channels} channels, no channel {channel}")
        return frames[:, channel] / 32768.0, rate
    return frames.mean(axis=1) / 32768.0, rate


def duration_ms(wav: Path) -> float:
    """Return the length of a WAV file in ms."""
    samples, rate = read_wav(wav)
    return len(samples) * 1000 / rate


def _amplitudes(samples: Samples, rate: int, freq: int) -> Samples:
    """Return the amplitude of one tone, one value per hop, window centred on the hop."""
    window = int(rate * WINDOW_MS / 1000)
    hop = int(rate * HOP_MS / 1000)
    shape = np.hanning(window)
    padded = np.pad(samples, (window // 2, window))
    carrier = np.exp(-2j * np.pi * freq / rate * np.arange(len(padded)))
    pieces = np.lib.stride_tricks.sliding_window_view(padded * carrier, window)[::hop]
    count = len(samples) // hop + 1
    found: Samples = np.abs(pieces[:count] @ shape) * 2 / shape.sum()
    return found


def tone_segments(
    wav: Path, freqs: list[int] | tuple[int, ...], channel: int | None = None
) -> list[Segment]:
    """Find where each tone sounds, alone or mixed with others; in one channel or in all.

    A tone begins and ends where its amplitude is half of its usual one, exact to 5 ms. Ask for
    tones at least 100 Hz apart.

    Returns:
        The pieces, in order of their beginning.
    """
    samples, rate = read_wav(wav, channel)
    found: list[Segment] = []
    for freq in freqs:
        amplitude = _amplitudes(samples, rate, freq)
        loud = amplitude[amplitude > FLOOR]
        if not len(loud):
            continue
        on = amplitude > max(FLOOR, float(np.percentile(loud, 80)) / 2)
        edges = np.flatnonzero(np.diff(np.concatenate(([0], on.astype(int), [0])))) * HOP_MS
        pieces = [(float(a), float(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]
        joined: list[tuple[float, float]] = []
        for begin, end in pieces:
            if joined and begin - joined[-1][1] < SHORTEST_MS:
                joined[-1] = (joined[-1][0], end)
            else:
                joined.append((begin, end))
        # An edge lies between the last hop without and the first hop with the tone.
        length = len(samples) * 1000 / rate
        found += [
            Segment(freq, max(0.0, begin - HOP_MS / 2), min(length, end - HOP_MS / 2))
            for begin, end in joined
            if end - begin >= SHORTEST_MS
        ]
    return sorted(found, key=lambda segment: (segment.from_ms, segment.freq))


def tone_ms(wav: Path, hz: int, channel: int | None = None) -> float:
    """Return for how many ms in all a tone sounds, in one channel or in all of them mixed."""
    return sum(segment.length_ms for segment in tone_segments(wav, [hz], channel))


def _likeness(one: Samples, other: Samples) -> float:
    norm = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / norm if norm > 0 else 0.0


def heard(wav: Path, prompt_wav: Path) -> Match:
    """Find a prompt in what was heard, whole or cut off before its end.

    Returns:
        The best place; the score tells whether it is one: over 0.8 for a prompt through a
        telephone codec, under 0.3 for none.

    Raises:
        ValueError: The files have different rates.
    """
    samples, rate = read_wav(wav)
    prompt, prompt_rate = read_wav(prompt_wav)
    if rate != prompt_rate:
        raise ValueError(f"{wav} has {rate} Hz, {prompt_wav} has {prompt_rate} Hz: use equal rates")
    size = 1 << (len(samples) + len(prompt)).bit_length()
    spectrum = np.fft.rfft(samples, size) * np.conj(np.fft.rfft(prompt, size))
    correlation = np.fft.irfft(spectrum, size)[: len(samples)]
    offset = int(np.argmax(correlation))
    length = _heard_length(samples[offset:], prompt, rate)
    score = _likeness(samples[offset : offset + length], prompt[:length])
    return Match(offset * 1000 / rate, length * 1000 / rate, score)


def _heard_length(samples: Samples, prompt: Samples, rate: int) -> int:
    """Return up to which sample the prompt is there; its own silences count as heard."""
    block = rate * BLOCK_MS // 1000
    quiet = 0.02 * float(np.abs(prompt).max(initial=0.0))
    end = missed = 0
    for begin in range(0, min(len(samples), len(prompt)), block):
        part = prompt[begin : begin + block]
        got = samples[begin : begin + len(part)]
        part = part[: len(got)]
        if np.abs(part).max(initial=0.0) <= quiet:
            end = begin + len(part) if not missed else end
        elif _likeness(part, got) > 0.5:
            end, missed = begin + len(part), 0
        else:
            missed += 1
            if missed >= 3:
                break
    return end
