"""Sounds to import, made on the spot, and what to measure in what comes out."""

import subprocess
import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt

Samples = npt.NDArray[np.float64]


def sine(hz: float, seconds: float, rate_hz: int, peak: float = 0.5) -> Samples:
    return peak * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate_hz)) / rate_hz)


def write_wav(path: Path, rate_hz: int, *channels: Samples) -> Path:
    values = np.clip(np.rint(np.stack(channels, axis=1) * 32768), -32768, 32767)
    with wave.open(str(path), "wb") as stream:
        stream.setnchannels(len(channels))
        stream.setsampwidth(2)
        stream.setframerate(rate_hz)
        stream.writeframes(values.astype("<i2").tobytes())
    return path


def transcode(source: Path, target: Path, *options: str) -> Path:
    command = ["ffmpeg", "-nostdin", "-v", "error", "-y", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True, timeout=60)
    return target


def read_pcm(path: Path) -> tuple[int, Samples]:
    """Read a 16-bit mono WAV and refuse any other."""
    with wave.open(str(path), "rb") as stream:
        assert stream.getnchannels() == 1
        assert stream.getsampwidth() == 2
        raw = stream.readframes(stream.getnframes())
        return stream.getframerate(), np.frombuffer(raw, dtype="<i2") / 32768.0


def spectrum_dbfs(sound: Samples, rate_hz: int) -> tuple[Samples, Samples]:
    """Return frequencies in Hz and the amplitude there, 0 dB being a full-scale sine."""
    window = np.hanning(len(sound))
    amplitude = np.abs(np.fft.rfft(sound * window)) / (window.sum() / 2)
    hz: Samples = np.fft.rfftfreq(len(sound), 1 / rate_hz).astype(np.float64)
    dbfs: Samples = 20 * np.log10(np.maximum(amplitude, 1e-9))
    return hz, dbfs


def peak_dbfs(sound: Samples) -> float:
    return float(20 * np.log10(max(float(np.abs(sound).max()), 1e-9)))
