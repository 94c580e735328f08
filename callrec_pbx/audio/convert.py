"""From any audio file to what the PBX plays: 16-bit mono PCM at 8 and 16 kHz.

ffmpeg decodes, soxr resamples. pydub reads the decoded samples but does not resample: its
`set_frame_rate` has no filter, so that what lies above half the new rate comes back as noise.
"""

import io
import shutil
import subprocess
import tempfile
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soxr

from callrec_pbx.audio._pydub import AudioSegment
from callrec_pbx.audio.manifest import SUFFIX_OF_RATE, PromptError

MAX_DURATION_S = 60
SILENCE_DBFS = -50.0
MIN_SOUND_MS = 100
PEAK_CEILING_DBFS = -1.0

# A run of this many equal samples at the top of the scale is cut off: speech of 0 dBFS, linear or
# mu-law, has none. MP3 and the like bend the flat tops of a clipped recording until they stand
# above full scale; clean speech of 0 dBFS has at most 0.002 % there, clipped by 6 dB up to 1 %.
_CLIPPED_RUN = 4
_MAX_OVER_FULL_SCALE = 0.001
# 32124 is the top of mu-law, 32256 that of A-law.
_FULL_SCALE = 32100 / 32768
_MIN_RATE_HZ, _MAX_RATE_HZ = 4000, 768_000
_DECODE_TIMEOUT_S = 60
# Eight channels at 96 kHz for a minute are 187 MB.
_MAX_DECODED_BYTES = 256 * 1024 * 1024
# ffmpeg turns down by this factor, a power of two and so exact, to keep what is over full scale.
_HEADROOM = 4
# Audio containers alone: a playlist (hls, concat, sdp, dash) would make ffmpeg open other files.
_DEMUXERS = (
    "wav,w64,aiff,au,caf,mp3,ogg,flac,mov,matroska,asf,amr,aac,ac3,eac3,avi,flv,"
    "gsm,wv,tta,ape,voc,alaw,mulaw,g722,sln,mpeg,mpegts"
)
_FORMATS = "WAV, MP3, OGG, FLAC or M4A"

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Converted:
    """One prompt as the PBX wants it: a WAV file per sample rate in Hz."""

    wav_of_rate: dict[int, bytes]
    duration_ms: int


def convert(source: Path) -> Converted:
    """Convert an audio file, refusing what cannot serve as a prompt.

    Raises:
        PromptError: unreadable, no audio, empty, over 60 s, clipped or silent.
    """
    rate_hz, channels = read(source)
    if not channels.shape[0]:
        raise PromptError("file", source, "holds no sound at all (0 s)", "record it again")
    if channels.shape[0] > MAX_DURATION_S * rate_hz:
        raise PromptError(
            "file",
            source,
            f"is longer than {MAX_DURATION_S} s",
            "cut it; nobody listens to a longer announcement",
        )
    clipped_at = clipped_at_s(channels, rate_hz)
    if clipped_at is not None:
        raise PromptError(
            "file",
            source,
            f"is clipped (overdriven) at {clipped_at:.2f} s",
            "record it again at a lower level",
        )
    sound = encode(channels.mean(axis=1), rate_hz, ceiling_dbfs=PEAK_CEILING_DBFS)
    refuse_silence(source, decode_wav(sound.wav_of_rate[8000]), 8000)
    return sound


def read(source: Path) -> tuple[int, Samples]:
    """Decode at most a little over a minute of an audio file.

    Returns:
        The sample rate in Hz, and samples from -1 to 1 as (frame, channel).

    Raises:
        PromptError: not a file, or not audio that can be read.
    """
    if not source.is_file():
        raise PromptError("file", source, "is not a file that exists", "check the path")
    try:
        with source.open("rb") as stream:
            head = stream.read(1)
    except OSError as error:
        raise PromptError(
            "file", source, f"cannot be read ({error.strerror})", "check its permissions"
        ) from error
    if not head:
        raise PromptError("file", source, "is empty (0 bytes)", f"give a {_FORMATS} file")
    with tempfile.TemporaryDirectory(prefix="callrec-prompt-") as scratch:
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            return _read_pcm_wav(source)
        decoded = Path(scratch) / "decoded.wav"
        _run_ffmpeg(ffmpeg, source, decoded)
        rate_hz, channels = _read_wav(decoded, source, f"give a {_FORMATS} file")
        return rate_hz, channels * _HEADROOM


def _run_ffmpeg(ffmpeg: str, source: Path, target: Path) -> None:
    # "file:" and an absolute path, so that no file name is read as an option or as a protocol.
    command = [ffmpeg, "-nostdin", "-v", "error", "-y", "-protocol_whitelist", "file"]
    command += ["-format_whitelist", _DEMUXERS, "-i", f"file:{source.absolute()}"]
    command += ["-map", "0:a:0", "-t", str(MAX_DURATION_S + 1), "-c:a", "pcm_s32le"]
    command += ["-af", f"volume={1 / _HEADROOM}:precision=double"]
    command += ["-fs", str(_MAX_DECODED_BYTES), "-f", "wav", f"file:{target}"]
    try:
        done = subprocess.run(  # noqa: S603 (a list, no shell; the source is one argument)
            command, capture_output=True, timeout=_DECODE_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise PromptError(
            "file",
            source,
            f"could not be decoded within {_DECODE_TIMEOUT_S} s",
            f"give a {_FORMATS} file",
        ) from error
    if done.returncode:
        lines = done.stderr.decode("utf-8", errors="replace").split("\n")
        reasons = [line.strip() for line in lines if line.strip()] or ["ffmpeg failed"]
        raise _unreadable(source, reasons[-1], f"give a {_FORMATS} file")
    if target.stat().st_size >= _MAX_DECODED_BYTES:
        raise PromptError("file", source, "is too large", "give a mono or stereo file")


def _read_pcm_wav(source: Path) -> tuple[int, Samples]:
    remedy = "install ffmpeg, or give a PCM WAV file"
    try:
        # pydub would take the floating-point samples of an extensible WAV for integers.
        wave.open(str(source), "rb").close()
    except Exception as error:  # a damaged header leads wave, too, to errors of any kind
        raise _unreadable(source, error, remedy) from error
    return _read_wav(source, source, remedy)


def _read_wav(path: Path, source: Path, remedy: str) -> tuple[int, Samples]:
    if path.stat().st_size > _MAX_DECODED_BYTES:
        raise PromptError("file", source, "is too large", "give a mono or stereo file")
    try:
        segment = AudioSegment(data=path.read_bytes())
        values = np.frombuffer(segment.raw_data, dtype=f"<i{segment.sample_width}")
        channels, rate_hz = int(segment.channels), int(segment.frame_rate)
        frames = values[: len(values) // channels * channels].reshape(-1, channels)
    except Exception as error:  # pydub's reader raises whatever a damaged header leads to
        raise _unreadable(source, error, remedy) from error
    if not _MIN_RATE_HZ <= rate_hz <= _MAX_RATE_HZ:
        raise _unreadable(source, f"sample rate {rate_hz} Hz", remedy)
    return rate_hz, frames / float(1 << (8 * segment.sample_width - 1))


def _unreadable(source: Path, reason: object, remedy: str) -> PromptError:
    shown = "".join(c for c in str(reason) if c.isprintable())[-200:] or "damaged header"
    return PromptError("file", source, f"is not audio that can be read ({shown})", remedy)


def clipped_at_s(channels: Samples, rate_hz: int) -> float | None:
    """Return when a channel is first cut off at full scale, in seconds, or None."""
    first: int | None = None
    for channel in channels.T:
        over = np.abs(channel) > 1
        if np.count_nonzero(over) > _MAX_OVER_FULL_SCALE * len(channel):
            at = int(over.argmax())
            first = at if first is None else min(first, at)
        full = np.abs(channel) >= _FULL_SCALE
        # Position i is set when samples i and i+1 are one flat piece at full scale.
        flat = full[1:] & (channel[1:] == channel[:-1])
        needed = _CLIPPED_RUN - 1
        if len(flat) < needed:
            continue
        runs = np.flatnonzero(np.convolve(flat, np.ones(needed), "valid") >= needed)
        if len(runs):
            first = int(runs[0]) if first is None else min(first, int(runs[0]))
    return None if first is None else first / rate_hz


def refuse_silence(source: Path, mono: Samples, rate_hz: int) -> None:
    """Raise PromptError when hardly anything can be heard at telephone bandwidth."""
    frame = rate_hz // 50
    blocks = mono[: len(mono) // frame * frame].reshape(-1, frame)
    # Without its own mean, a block of direct current counts as the silence it is.
    peaks = np.abs(blocks - blocks.mean(axis=1, keepdims=True)).max(axis=1, initial=0.0)
    sound_ms = 20 * int(np.count_nonzero(peaks > _amplitude(SILENCE_DBFS)))
    if sound_ms < MIN_SOUND_MS:
        raise PromptError(
            "file",
            source,
            f"is silent (under {MIN_SOUND_MS} ms above {SILENCE_DBFS:.0f} dBFS below 4 kHz)",
            "check the recording and its level",
        )


def encode(mono: Samples, rate_hz: int, *, ceiling_dbfs: float) -> Converted:
    """Resample to the PBX's rates, lowering the level where the peak is above the ceiling.

    Both files get the same gain and the same length to one sample of the lower rate.
    """
    frames_8k = round(len(mono) * 8000 / rate_hz)
    sounds = {rate: _resample(mono, rate_hz, rate, frames_8k * rate // 8000) for rate in _RATES}
    peak = max(float(np.abs(sound).max(initial=0.0)) for sound in sounds.values())
    gain = min(1.0, _amplitude(ceiling_dbfs) / peak) if peak else 1.0
    return Converted(
        {rate: pcm_wav(sound * gain, rate) for rate, sound in sounds.items()},
        round(frames_8k / 8),
    )


def pcm_wav(mono: Samples, rate_hz: int) -> bytes:
    """Return a 16-bit mono WAV file; the same samples always give the same bytes."""
    values = np.clip(np.rint(mono * 32768), -32768, 32767).astype("<i2")
    target = io.BytesIO()
    with wave.open(target, "wb") as stream:
        stream.setnchannels(1)
        stream.setsampwidth(2)
        stream.setframerate(rate_hz)
        stream.writeframes(values.tobytes())
    return target.getvalue()


def decode_wav(data: bytes) -> Samples:
    """Return the samples, from -1 to 1, of a WAV file that `pcm_wav` made."""
    with wave.open(io.BytesIO(data), "rb") as stream:
        raw = stream.readframes(stream.getnframes())
    return np.frombuffer(raw, dtype="<i2") / 32768.0


def _resample(mono: Samples, rate_hz: int, to_hz: int, frames: int) -> Samples:
    sound = np.asarray(soxr.resample(mono, rate_hz, to_hz, quality="VHQ"), dtype=np.float64)
    return np.pad(sound[:frames], (0, max(0, frames - len(sound))))


def _amplitude(dbfs: float) -> float:
    return float(10 ** (dbfs / 20))


_RATES = tuple(SUFFIX_OF_RATE)
