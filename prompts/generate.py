"""Make prompts/audio and prompts/manifest.json from prompts/texts and prompts/tones.toml.

Needs espeak-ng on the PATH and callrec_pbx importable:

    python prompts/generate.py

With one version of espeak-ng the files are the same, byte for byte, on every run. The audio is
kept in the repository, so only a change of wording calls for this.
"""

import io
import subprocess
import sys
import tomllib
import wave
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from callrec_pbx.audio.convert import Converted, encode
from callrec_pbx.audio.manifest import (
    SET_VERSION,
    SUFFIX_OF_RATE,
    Prompt,
    PromptSet,
    check_language,
    check_name,
    check_text,
    layout,
    replace_files,
    sha256_of,
)

HERE = Path(__file__).resolve().parent

PEAK_DBFS = -3.0
# Voices differ in how far their peaks stand out; those that stand out least are turned down.
LOUDNESS_DBFS = -21.5
# A tone is all loudness and no pauses: at the peak of speech it would hurt.
TONE_PEAK_DBFS = -14.0
TONE_RATE_HZ = 48000
FADE_MS = 8
# Asterisk leaves out the last 44 bytes of a WAV: without this a beep would end in a click.
# Source: seen on Asterisk 22.10.1 with `file convert`.
TONE_TAIL_MS = 10
# The silence around the words, and how far below the peak words end.
MARGIN_MS = 60
QUIET_DB = -45.0

Samples = npt.NDArray[np.float64]


def main() -> int:
    """Generate everything, and remove audio that no text asks for any more."""
    place = layout(HERE)
    tones = _toml(HERE / "tones.toml")["tones"]
    prompts: list[Prompt] = []
    contents: dict[Path, bytes] = {}
    for path in sorted((HERE / "texts").glob("*.toml")):
        language = path.stem
        check_language(language)
        document = _toml(path)
        made = {name: ("", tone(parts)) for name, parts in tones.items()}
        for name, text in document["prompts"].items():
            check_text(text)
            made[name] = (text, speech(text, document["voice"]))
        for name, (text, sound) in sorted(made.items()):
            check_name(name)
            for rate, data in sound.wav_of_rate.items():
                contents[HERE / "audio" / language / (name + SUFFIX_OF_RATE[rate])] = data
            prompts.append(_prompt(name, language, text, sound))
            print(f"{language} {name:18} {sound.duration_ms / 1000:6.2f} s")
    for folder in {path.parent for path in contents}:
        folder.mkdir(parents=True, exist_ok=True)
    contents[place.manifest] = PromptSet(SET_VERSION, tuple(prompts)).to_json().encode()
    replace_files(contents)
    for path in (HERE / "audio").glob("*/*"):
        if path not in contents:
            path.unlink()
    print(f"{len(prompts)} prompts, {sum(map(len, contents.values())) / 1e6:.1f} MB")
    return 0


def speech(text: str, voice: dict[str, Any]) -> Converted:
    """Speak a text, cut the silence around it and set its level."""
    command = ["espeak-ng", "-v", voice["name"], "-s", str(voice["words_per_minute"])]
    command += ["-p", str(voice["pitch"]), "-b", "1", "--stdin", "--stdout"]
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True)
    with wave.open(io.BytesIO(_with_lengths(done.stdout)), "rb") as stream:
        rate_hz = stream.getframerate()
        sound = np.frombuffer(stream.readframes(stream.getnframes()), dtype="<i2") / 32768.0
    loud = np.flatnonzero(np.abs(sound) > np.abs(sound).max() * 10 ** (QUIET_DB / 20))
    margin = rate_hz * MARGIN_MS // 1000
    sound = np.pad(sound, margin)[loud[0] : loud[-1] + 2 * margin]
    peak_dbfs = min(PEAK_DBFS, LOUDNESS_DBFS + _peak_over_loudness_db(sound, rate_hz))
    return _at_level(_faded(sound, rate_hz), rate_hz, peak_dbfs)


def tone(parts: list[dict[str, int]]) -> Converted:
    """Make a beep of sine waves, each faded in and out so that it does not click."""
    sines = []
    for part in parts:
        t = np.arange(TONE_RATE_HZ * part["ms"] // 1000) / TONE_RATE_HZ
        sines.append(_faded(np.sin(2 * np.pi * part["hz"] * t), TONE_RATE_HZ))
    tail = np.zeros(TONE_RATE_HZ * TONE_TAIL_MS // 1000)
    return _at_level(np.concatenate([*sines, tail]), TONE_RATE_HZ, TONE_PEAK_DBFS)


def _peak_over_loudness_db(sound: Samples, rate_hz: int) -> float:
    """Return how far the peak stands above the mean power of the blocks that hold speech."""
    block = rate_hz // 50
    power = (sound[: len(sound) // block * block].reshape(-1, block) ** 2).mean(axis=1)
    spoken = power[power > power.max() / 1000].mean()
    return float(10 * np.log10((sound**2).max() / spoken))


def _at_level(sound: Samples, rate_hz: int, peak_dbfs: float) -> Converted:
    # Far above the ceiling first, so that `encode` brings the resampled peak exactly to it.
    return encode(sound / np.abs(sound).max() * 2, rate_hz, ceiling_dbfs=peak_dbfs)


def _faded(sound: Samples, rate_hz: int) -> Samples:
    count = rate_hz * FADE_MS // 1000
    ramp = 0.5 - 0.5 * np.cos(np.pi * np.arange(count) / count)
    faded = sound.copy()
    faded[:count] *= ramp
    faded[-count:] *= ramp[::-1]
    return faded


def _with_lengths(data: bytes) -> bytes:
    # To a pipe espeak-ng writes a 44-byte header without the lengths.
    size = len(data) - 44
    return (
        data[:4]
        + (size + 36).to_bytes(4, "little")
        + data[8:40]
        + size.to_bytes(4, "little")
        + data[44:]
    )


def _prompt(name: str, language: str, text: str, sound: Converted) -> Prompt:
    return Prompt(
        name=name,
        language=language,
        text=text,
        sha256=sha256_of(sound.wav_of_rate[8000]),
        duration_ms=sound.duration_ms,
        version=SET_VERSION,
        sha256_wav16=sha256_of(sound.wav_of_rate[16000]),
    )


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
