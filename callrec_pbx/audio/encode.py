"""A WAV file to Opus in Ogg, MP3 or FLAC, block by block, and proof that it is the same sound."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from callrec_pbx.audio.sound import AudioError, Samples, Sound, opened
from callrec_pbx.domain.words import AudioFormat

SLACK_MS = 100
"""A codec that works in packets may leave the result longer or shorter by this much."""
SLACK_DB = 3.0
"""By this much an encoder may change the level of a channel."""
QUIET_DBFS = -60.0
"""Below this a channel is as good as silent, and its level is not compared."""

_FULL_SCALE = 32768.0

Tick = Callable[[], None]
"""Called between blocks; what it raises ends the work."""


class EncodeError(AudioError):
    """What was encoded is not the same sound as its source; the source is kept."""


@dataclass(frozen=True, slots=True)
class _Codec:
    """How libsndfile calls it, and the sample rates (Hz) that it takes; none: any.

    Source: libsndfile 1.2.2, src/ogg_opus.c and src/mpeg_l3_encode.c; observed.
    """

    container: str
    subtype: str
    rates: tuple[int, ...] = ()


_CODECS = {
    AudioFormat.OPUS: _Codec("OGG", "OPUS", (8000, 12000, 16000, 24000, 48000)),
    AudioFormat.MP3: _Codec(
        "MP3",
        "MPEG_LAYER_III",
        (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000),
    ),
    AudioFormat.FLAC: _Codec("FLAC", "PCM_16"),
}


def _no_tick() -> None:
    pass


def encode(source: Path, out: BinaryIO, kind: AudioFormat, tick: Tick = _no_tick) -> None:
    """Write a WAV file's sound in another format, with its channels.

    Args:
        source: 16 bits, any number of samples.
        out: Where it is written; it must be able to seek.
        kind: Anything but wav.
        tick: Called between blocks.

    Raises:
        AudioError: the source cannot be understood, or the encoder refuses it.
        OSError: the source cannot be read, or the result not be written.
    """
    codec = _CODECS[kind]
    sink = _Sink(out)
    with opened(source) as sound:
        if not sound.frames:
            raise AudioError(f"{source}: has no samples")
        rate = _rate(codec, sound.rate)
        try:
            with soundfile.SoundFile(
                sink, "w", rate, sound.channels, codec.subtype, format=codec.container
            ) as file:
                for block in _converted(sound, kind, rate):
                    tick()
                    file.write(block)
                    sink.check()
        except (soundfile.LibsndfileError, AssertionError) as error:
            sink.check()
            raise AudioError(f"{source}: cannot be encoded as {kind}: {error}") from None
        sink.check()


def _rate(codec: _Codec, rate: int) -> int:
    """The codec's rate that loses nothing, or its highest."""
    if not codec.rates:
        return rate
    return min((one for one in codec.rates if one >= rate), default=codec.rates[-1])


def _converted(sound: Sound, kind: AudioFormat, rate: int) -> Iterator[npt.NDArray[np.generic]]:
    """The blocks as the encoder is to be given them.

    To lossy ones as floating point: what libsndfile makes of two channels of 16 bits is half noise
    in MP3. Source: libsndfile 1.2.2, pull request 1106; observed.
    """
    if kind is AudioFormat.FLAC:
        yield from sound.blocks()
        return
    if rate == sound.rate:
        yield from (block.astype(np.float32) / np.float32(_FULL_SCALE) for block in sound.blocks())
        return
    resampler = soxr.ResampleStream(sound.rate, rate, sound.channels, dtype="float32")
    for block in sound.blocks():
        found = resampler.resample_chunk(block.astype(np.float32) / np.float32(_FULL_SCALE))
        if len(found):
            yield found
    yield resampler.resample_chunk(np.zeros((0, sound.channels), np.float32), last=True)


class _Sink:
    """A file for libsndfile, whose callbacks cannot raise: the error is kept until it is asked."""

    def __init__(self, out: BinaryIO) -> None:
        self._out = out
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write, or remember why not."""
        if self._error is None:
            try:
                return self._out.write(data)
            except OSError as error:
                self._error = error
        return 0

    def read(self, count: int) -> bytes:
        """Read nothing: encoders only write."""
        del count
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go elsewhere; the buffered bytes are written for that."""
        try:
            return self._out.seek(offset, whence)
        except OSError as error:
            self._error = self._error or error
            return 0

    def tell(self) -> int:
        """Where it is."""
        return self._out.tell()

    def check(self) -> None:
        """Raise what a callback could not."""
        if self._error is not None:
            raise self._error


def verify(source: Path, made: Path, kind: AudioFormat, tick: Tick = _no_tick) -> None:
    """See that an encoded file can be decoded to its end, and is the sound that it was made of.

    Channels, length and the level of each channel must agree; of FLAC every sample.

    Raises:
        EncodeError: it is not; the text says what differs.
        AudioError: it cannot be decoded.
        OSError: one of the two cannot be read.
    """
    with opened(source) as was, opened(made) as now:
        if was.channels != now.channels:
            raise EncodeError(f"{made}: has {now.channels} channels instead of {was.channels}")
        if kind is AudioFormat.FLAC:
            _same(was, now, made, tick)
        else:
            _alike(was, now, made, tick)


def _same(was: Sound, now: Sound, made: Path, tick: Tick) -> None:
    at = 0
    for block in was.blocks():
        tick()
        if was.rate != now.rate or not np.array_equal(block, now.read(len(block))):
            raise EncodeError(f"{made}: differs from its source after {at} samples")
        at += len(block)
    if len(now.read(1)):
        raise EncodeError(f"{made}: goes on after the {at} samples of its source")


def _alike(was: Sound, now: Sound, made: Path, tick: Tick) -> None:
    lengths, levels = zip(*(_measured(sound, tick) for sound in (was, now)), strict=True)
    before, after = (1000 * frames / sound.rate for frames, sound in zip(lengths, (was, now)))  # noqa: B905
    if abs(before - after) > SLACK_MS:
        raise EncodeError(f"{made}: is {after:.0f} ms long instead of {before:.0f}")
    for channel, (level, found) in enumerate(zip(*levels, strict=True)):
        loud = max(level, found) > QUIET_DBFS
        if loud and abs(max(level, QUIET_DBFS) - max(found, QUIET_DBFS)) > SLACK_DB:
            raise EncodeError(
                f"{made}: channel {channel} has {found:.1f} dBFS instead of {level:.1f}"
            )


def _measured(sound: Sound, tick: Tick) -> tuple[int, list[float]]:
    """Frames, and the level of each channel (RMS, dBFS)."""
    frames, power = 0, np.zeros(sound.channels)
    for block in sound.blocks():
        tick()
        frames += len(block)
        power += _power(block)
    rms = np.sqrt(power / max(frames, 1)) / _FULL_SCALE
    return frames, [float(level) for level in 20 * np.log10(np.maximum(rms, 1e-9))]


def _power(block: Samples) -> npt.NDArray[np.float64]:
    summed: npt.NDArray[np.float64] = np.square(block, dtype=np.float64).sum(axis=0)
    return summed
