"""The audio that is shipped: all there, as the manifest says, fit to be played to people."""

import hashlib
import tomllib
from pathlib import Path

import numpy as np
import pytest

from callrec_pbx.audio.convert import clipped_at_s
from callrec_pbx.audio.prompts import PromptSet, shipped_prompts_dir, verify
from callrec_pbx.resources import resource_dir
from tests.audio.sounds import peak_dbfs, read_pcm

LANGUAGES = ("de", "en", "nb", "sv")
# Longest duration in ms per prompt: nobody should wait for a notice longer than this.
LONGEST_MS = {
    "announce": 5000,
    "announce_opt_out": 9000,
    "announce_opt_in": 9000,
    "declined": 3500,
    "accepted": 3500,
    "whisper": 4000,
    "started": 3000,
    "stopped": 3000,
    "paused": 3000,
    "resumed": 3000,
    "discarded": 3000,
    "unavailable": 9000,
    "profile_recorded": 5000,
    "profile_not_recorded": 5000,
    "profile_unknown": 3000,
    "profile_failed": 6000,
    "beep": 400,
    "beep_paused": 400,
    "beep_resumed": 400,
}
EVERY = [(language, name) for language in LANGUAGES for name in LONGEST_MS]

SHIPPED = PromptSet.load(shipped_prompts_dir())


def test_every_name_in_every_language_and_no_other() -> None:
    assert sorted((p.language, p.name) for p in SHIPPED.prompts) == sorted(EVERY)


def test_verify_finds_nothing_wrong() -> None:
    assert verify(shipped_prompts_dir()) == []
    assert verify(resource_dir("prompts")) == []


@pytest.mark.parametrize(("language", "name"), EVERY)
def test_file_is_what_the_manifest_says_and_can_be_played(language: str, name: str) -> None:
    prompt = SHIPPED.find(name, language)
    assert prompt is not None
    durations_ms = []
    for suffix, expected_hz in ((".wav", 8000), (".wav16", 16000)):
        path = shipped_prompts_dir() / language / (name + suffix)
        rate_hz, sound = read_pcm(path)
        assert rate_hz == expected_hz
        durations_ms.append(len(sound) * 1000 / rate_hz)
        assert -16 < peak_dbfs(sound) <= -2.9
        assert clipped_at_s(sound.reshape(-1, 1), rate_hz) is None
        assert abs(sound.mean()) < 0.005
        loud = np.flatnonzero(np.abs(sound) > 0.005)
        assert loud[0] < 0.1 * rate_hz
        assert len(sound) - loud[-1] < 0.1 * rate_hz
    assert hashlib.sha256(_read(language, name + ".wav")).hexdigest() == prompt.sha256
    assert hashlib.sha256(_read(language, name + ".wav16")).hexdigest() == prompt.sha256_wav16
    assert abs(durations_ms[0] - prompt.duration_ms) <= 0.5
    assert abs(durations_ms[0] - durations_ms[1]) <= 5
    assert 150 <= prompt.duration_ms <= LONGEST_MS[name]


def test_the_voices_are_equally_loud() -> None:
    loudness = []
    for language, name in EVERY:
        if name.startswith("beep"):
            continue
        _, sound = read_pcm(shipped_prompts_dir() / language / f"{name}.wav")
        power = (sound[: len(sound) // 160 * 160].reshape(-1, 160) ** 2).mean(axis=1)
        loudness.append(10 * np.log10(power[power > power.max() / 1000].mean()))
    assert max(loudness) - min(loudness) < 3


@pytest.mark.parametrize("language", LANGUAGES)
def test_manifest_and_texts_say_the_same(language: str) -> None:
    path = resource_dir("prompts") / "texts" / f"{language}.toml"
    texts = tomllib.loads(path.read_text(encoding="utf-8"))["prompts"]
    spoken = {p.name: p.text for p in SHIPPED.prompts if p.language == language and p.text}
    assert spoken == texts


@pytest.mark.parametrize(
    ("language", "name", "words"),
    [
        ("en", "announce_opt_out", ("star key", "tell the person")),
        ("de", "announce_opt_out", ("Sterntaste", "sagen Sie es")),
        ("sv", "announce_opt_out", ("stjärna", "säg det")),
        ("nb", "announce_opt_out", ("stjerne", "si fra")),
        ("en", "whisper", ("may be recorded", "hash one")),
        ("de", "whisper", ("eventuell aufgezeichnet", "Raute eins")),
        ("sv", "whisper", ("kan komma att spelas in", "fyrkant ett")),
        ("nb", "whisper", ("kan bli tatt opp", "firkant én")),
    ],
)
def test_wording_names_the_choices(language: str, name: str, words: tuple[str, ...]) -> None:
    prompt = SHIPPED.find(name, language)
    assert prompt is not None
    assert [word for word in words if word not in prompt.text] == []


def _read(language: str, file_name: str) -> bytes:
    path: Path = shipped_prompts_dir() / language / file_name
    return path.read_bytes()
