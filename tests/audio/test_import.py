"""Importing a prompt: real files in, what the PBX plays out, and refusals that change nothing."""

import json
import os
import shutil
import threading
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soxr

from callrec_pbx.audio.prompts import (
    PromptError,
    PromptSet,
    import_prompt,
    shipped_prompts_dir,
    verify,
)
from tests.audio.sounds import Samples, peak_dbfs, read_pcm, sine, spectrum_dbfs, transcode
from tests.audio.sounds import write_wav as write

Tree = dict[str, bytes]


def tree(directory: Path) -> Tree:
    files = sorted(p for p in directory.rglob("*") if p.is_file())
    return {str(p.relative_to(directory)): p.read_bytes() for p in files}


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A prompts directory as it is installed on a PBX, with one prompt."""
    directory = tmp_path / "callrec"
    directory.mkdir()
    source = write(tmp_path / "first.wav", 8000, sine(440, 1, 8000))
    import_prompt(source, name="announce", language="de", target=directory, text="Erste")
    return directory


def speechlike(seconds: float, rate_hz: int) -> Samples:
    rng = np.random.default_rng(7)
    return np.clip(rng.normal(0, 0.08, round(seconds * rate_hz)), -0.5, 0.5)


def test_a_tone_keeps_its_frequency_level_and_length(tmp_path: Path, target: Path) -> None:
    tone = sine(1000, 2.5, 44100)
    source = write(tmp_path / "tone.wav", 44100, tone, tone)
    prompt = import_prompt(source, name="beep", language="sv", target=target)
    assert prompt.duration_ms == 2500
    for suffix, rate_hz in ((".wav", 8000), (".wav16", 16000)):
        got_hz, sound = read_pcm(target / "sv" / f"beep{suffix}")
        assert got_hz == rate_hz
        assert len(sound) == 2.5 * rate_hz
        hz, dbfs = spectrum_dbfs(sound[800:-800], rate_hz)
        assert abs(hz[dbfs.argmax()] - 1000) < 1
        assert abs(dbfs.max() - -6.02) < 0.3
        assert dbfs[np.abs(hz - 1000) > 50].max() < -70


def test_what_a_telephone_cannot_carry_leaves_no_alias(tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "mix.wav", 48000, sine(6000, 2, 48000, 0.4) + sine(500, 2, 48000))
    import_prompt(source, name="beep", language="en", target=target)
    rate_hz, narrow = read_pcm(target / "en" / "beep.wav")
    hz, dbfs = spectrum_dbfs(narrow[800:-800], rate_hz)
    assert dbfs[np.abs(hz - 500) > 50].max() < -70  # 6 kHz would come back at 2 kHz
    rate_hz, wide = read_pcm(target / "en" / "beep.wav16")
    hz, dbfs = spectrum_dbfs(wide[800:-800], rate_hz)
    assert dbfs[np.abs(hz - 6000) < 20].max() > -9


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 48000, 96000])
def test_both_rates_have_one_length(tmp_path: Path, target: Path, rate_hz: int) -> None:
    source = write(tmp_path / "x.wav", rate_hz, speechlike(1.2345, rate_hz))
    prompt = import_prompt(source, name="whisper", language="nb", target=target)
    assert abs(prompt.duration_ms - 1234.5) <= 1
    _, narrow = read_pcm(target / "nb" / "whisper.wav")
    _, wide = read_pcm(target / "nb" / "whisper.wav16")
    assert len(wide) == 2 * len(narrow)


@pytest.mark.parametrize(
    ("file_name", "options"),
    [
        ("x.mp3", ["-b:a", "96k"]),
        ("x.ogg", ["-c:a", "libvorbis"]),
        ("x.opus", ["-c:a", "libopus"]),
        ("x.flac", []),
        ("x.m4a", ["-c:a", "aac"]),
        ("x.webm", ["-c:a", "libopus"]),
        ("x.aiff", []),
        ("x.au", []),
        ("x24.wav", ["-c:a", "pcm_s24le"]),
        ("xfloat.wav", ["-c:a", "pcm_f32le"]),
        ("xu8.wav", ["-c:a", "pcm_u8"]),
        ("xulaw.wav", ["-c:a", "pcm_mulaw", "-ar", "8000"]),
        ("xsurround.wav", ["-ac", "6"]),
        ("no-extension", ["-f", "mp3"]),
    ],
)
def test_formats(tmp_path: Path, target: Path, file_name: str, options: list[str]) -> None:
    plain = write(tmp_path / "plain.wav", 48000, sine(700, 1.5, 48000, 0.3))
    source = transcode(plain, tmp_path / file_name, *options)
    prompt = import_prompt(source, name="started", language="en", target=target)
    assert abs(prompt.duration_ms - 1500) < 60
    rate_hz, sound = read_pcm(target / "en" / "started.wav")
    hz, dbfs = spectrum_dbfs(sound[1600:-1600], rate_hz)
    assert abs(hz[dbfs.argmax()] - 700) < 2
    assert verify(target) == []


def test_a_hot_but_clean_file_stays_clean(tmp_path: Path, target: Path) -> None:
    # Full scale before the filter is over full scale behind it.
    rng = np.random.default_rng(3)
    noise = rng.uniform(-1, 1, 48000)
    source = write(tmp_path / "hot.wav", 48000, 0.9999 * noise / np.abs(noise).max())
    import_prompt(source, name="started", language="en", target=target)
    for suffix in (".wav", ".wav16"):
        _, sound = read_pcm(target / "en" / f"started{suffix}")
        assert peak_dbfs(sound) <= -0.99


@pytest.mark.parametrize(
    ("suffix", "options"),
    [
        (".wav", []),
        (".mp3", ["-b:a", "64k"]),
        (".ogg", ["-c:a", "libvorbis"]),
        (".m4a", ["-b:a", "64k"]),
        (".wav", ["-c:a", "pcm_mulaw", "-ar", "8000"]),
    ],
)
def test_speech_of_full_level_is_not_taken_for_clipped(
    suffix: str, options: list[str], tmp_path: Path, target: Path
) -> None:
    source = write(tmp_path / "loud.wav", 44100, shipped_speech(44100, 0))
    loud = transcode(source, tmp_path / f"made{suffix}", *options)
    import_prompt(loud, name="announce", language="de", target=target)


def test_it_takes_the_place_of_the_one_before(tmp_path: Path, target: Path) -> None:
    before = PromptSet.load(target).find("announce", "de")
    source = write(tmp_path / "second.wav", 16000, speechlike(2, 16000))
    prompt = import_prompt(source, name="announce", language="de", target=target, text="Zweite")
    loaded = PromptSet.load(target)
    assert loaded.prompts == (prompt,)
    assert prompt.text == "Zweite"
    assert prompt.duration_ms == 2000
    assert before is not None
    assert before.version != prompt.version
    assert prompt.version != loaded.version
    assert verify(target) == []
    again = import_prompt(source, name="announce", language="de", target=target, text="Zweite")
    assert again == prompt


def test_in_the_source_tree_s_layout(tmp_path: Path) -> None:
    prompts = tmp_path / "prompts"
    audio = prompts / "audio"
    audio.mkdir(parents=True)
    (prompts / "manifest.json").write_text('{"version": "1", "prompts": []}')
    source = write(tmp_path / "x.wav", 8000, speechlike(1, 8000))
    for target in (audio, prompts):
        import_prompt(source, name="paused", language="de-at", target=target)
        assert (audio / "de-at" / "paused.wav16").is_file()
        assert [p.language for p in PromptSet.load(target).prompts] == ["de-at"]
        assert verify(target) == []
    assert not (audio / "manifest.json").exists()


def test_the_pbx_can_read_the_files_whatever_the_umask(tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "x.wav", 8000, speechlike(1, 8000))
    old = os.umask(0o077)
    try:
        import_prompt(source, name="paused", language="fr", target=target)
    finally:
        os.umask(old)
    assert (target / "fr").stat().st_mode & 0o777 == 0o755
    for path in (target / "fr/paused.wav", target / "fr/paused.wav16", target / "manifest.json"):
        assert path.stat().st_mode & 0o777 == 0o644


def test_imports_at_one_time_keep_each_other(tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "x.wav", 8000, speechlike(1, 8000))
    names = [f"own_{number}" for number in range(8)]

    def one(name: str) -> None:
        import_prompt(source, name=name, language="en", target=target)

    threads = [threading.Thread(target=one, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {p.name for p in PromptSet.load(target).prompts} == {"announce", *names}


def test_without_ffmpeg_a_pcm_wav_still_works(
    tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = write(tmp_path / "plain.wav", 44100, sine(700, 1, 44100, 0.3))
    deep = transcode(plain, tmp_path / "u8.wav", "-c:a", "pcm_u8")
    floating = transcode(plain, tmp_path / "float.wav", "-c:a", "pcm_f32le", "-ac", "3")
    mp3 = transcode(plain, tmp_path / "x.mp3")
    monkeypatch.setenv("PATH", "/nonexistent")
    for source in (plain, deep):
        prompt = import_prompt(source, name="beep", language="en", target=target)
        assert prompt.duration_ms == 1000
    before = tree(target)
    for source in (floating, mp3):
        with pytest.raises(PromptError, match="install ffmpeg, or give a PCM WAV"):
            import_prompt(source, name="beep", language="en", target=target)
    assert tree(target) == before


# Hostile and useless files: what makes them, and what must be said.

Maker = Callable[[Path], Path]


def _clipped_one_channel(path: Path) -> Path:
    loud = np.clip(2 * sine(300, 1, 44100, 1.0), -1, 1)
    return write(path.with_suffix(".wav"), 44100, 0 * loud, loud)


def _clipped_mulaw(path: Path) -> Path:
    loud = np.clip(3 * sine(300, 1, 8000, 1.0), -1, 1)
    source = write(path.with_suffix(".wav"), 8000, loud)
    return transcode(source, path.with_name("mulaw.wav"), "-c:a", "pcm_mulaw")


def _over_full_scale_float(path: Path) -> Path:
    plain = write(path.with_suffix(".wav"), 44100, sine(300, 1, 44100, 0.9))
    options = ["-af", "aformat=sample_fmts=flt,volume=12dB", "-c:a", "pcm_f32le"]
    return transcode(plain, path.with_name("float.wav"), *options)


def shipped_speech(rate_hz: int, gain_db: float) -> Samples:
    """Speech whose peak is at full scale, or as far above as `gain_db` says and cut off there."""
    _, speech = read_pcm(shipped_prompts_dir() / "de" / "announce_opt_out.wav16")
    louder: Samples = soxr.resample(speech, 16000, rate_hz)
    louder *= 10 ** (gain_db / 20) / np.abs(louder).max()
    return np.clip(louder, -1, 32767 / 32768)


def _clipped_then_encoded(path: Path) -> Path:
    source = write(path.with_suffix(".wav"), 44100, shipped_speech(44100, 12))
    return transcode(source, path.with_suffix(".m4a"), "-b:a", "64k")


def _opposite_channels(path: Path) -> Path:
    tone = sine(300, 1, 44100)
    return write(path.with_suffix(".wav"), 44100, tone, -tone)


def _click(path: Path) -> Path:
    sound = np.zeros(44100)
    sound[20000:20040] = 0.5
    return write(path.with_suffix(".wav"), 44100, sound)


def _bytes(content: bytes, suffix: str) -> Maker:
    def make(path: Path) -> Path:
        made = path.with_suffix(suffix)
        made.write_bytes(content)
        return made

    return make


def _sound(suffix: str, rate_hz: int, sound: Samples) -> Maker:
    return lambda path: write(path.with_suffix(suffix), rate_hz, sound)


def _video_without_sound(path: Path) -> Path:
    made = path.with_suffix(".avi")
    plain = ["-f", "lavfi", "-i", "color=c=black:s=32x32:d=0.2", "-map", "1:v", "-c:v", "mjpeg"]
    source = write(path.with_suffix(".wav"), 8000, sine(300, 0.2, 8000))
    return transcode(source, made, *plain)


def _playlist(suffix: str, content: str) -> Maker:
    def make(path: Path) -> Path:
        victim = write(path.with_name("victim.wav"), 8000, sine(300, 1, 8000))
        transcode(victim, path.with_name("victim.mp3"))
        made = path.with_suffix(suffix)
        made.write_text(content)
        return made

    return make


def _fifo(path: Path) -> Path:
    os.mkfifo(path)
    return path


def _truncated_mp3(path: Path) -> Path:
    whole = write(path.with_suffix(".wav"), 44100, sine(300, 1, 44100))
    made = transcode(whole, path.with_suffix(".mp3"))
    made.write_bytes(made.read_bytes()[:120])
    return made


REFUSED: dict[str, tuple[Maker, str]] = {
    "digital silence": (_sound(".wav", 44100, np.zeros(44100)), "is silent"),
    "noise floor": (_sound(".wav", 44100, sine(300, 1, 44100, 0.002)), "is silent"),
    "direct current": (_sound(".wav", 44100, np.full(44100, 0.5)), "is silent"),
    "ultrasound": (_sound(".wav", 44100, sine(15000, 1, 44100)), "is silent"),
    "channels that cancel": (_opposite_channels, "is silent"),
    "one click": (_click, "is silent"),
    "clipped": (_sound(".wav", 44100, 2 * sine(300, 1, 44100, 1.0)), r"is clipped .* at 0\.00 s"),
    "clipped in one channel": (_clipped_one_channel, "is clipped"),
    "clipped before mu-law": (_clipped_mulaw, "is clipped"),
    "clipped before AAC": (_clipped_then_encoded, "is clipped"),
    "float over full scale": (_over_full_scale_float, "is clipped"),
    "a minute and a bit": (_sound(".wav", 8000, sine(300, 60.1, 8000)), "longer than 60 s"),
    "an hour": (_sound(".wav", 8000, np.zeros(3600 * 8000)), "longer than 60 s"),
    "no frames": (_sound(".wav", 8000, np.zeros(0)), r"no sound at all|not audio"),
    "no bytes": (_bytes(b"", ".wav"), "is empty"),
    "text": (_bytes(b"Ansage\n" * 100, ".mp3"), "not audio that can be read"),
    "a program": (_bytes(b"\x7fELF" + bytes(5000), ".wav"), "not audio that can be read"),
    "header alone": (_bytes(b"RIFF\xff\xff\xff\x7fWAVE", ".wav"), "not audio that can be read"),
    "start of an mp3": (_truncated_mp3, "not audio|no sound|silent"),
    "a film without sound": (_video_without_sound, "not audio that can be read"),
    "hls playlist": (
        _playlist(
            ".m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nvictim.mp3\n#EXT-X-ENDLIST\n"
        ),
        "not audio that can be read",
    ),
    "concat list": (
        _playlist(".ffconcat", "ffconcat version 1.0\nfile victim.wav\n"),
        "not audio that can be read",
    ),
    "a pipe": (_fifo, "is not a file"),
    "a folder": (lambda path: path.parent, "is not a file"),
    "nothing": (lambda path: path / "none.wav", "is not a file"),
    "a protocol": (lambda _: Path("http://127.0.0.1:9/x.wav"), "is not a file"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_and_nothing_changed(case: str, tmp_path: Path, target: Path) -> None:
    make, said = REFUSED[case]
    folder = tmp_path / "source"
    folder.mkdir()
    source = make(folder / "bad")
    before = tree(target)
    with pytest.raises(PromptError, match=said) as refusal:
        import_prompt(source, name="announce", language="de", target=target)
    message = str(refusal.value)
    assert message.startswith("file '")
    assert "; " in message  # the remedy
    assert "\n" not in message
    assert tree(target) == before
    assert {p.name for p in target.iterdir()} == {"manifest.json", "de"}


@pytest.mark.parametrize("channels", [1, 2])
def test_without_ffmpeg_damaged_wavs_are_refused_too(
    channels: int, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tone = sine(300, 0.2, 8000)
    good = write(tmp_path / "good.wav", 8000, *[tone] * channels).read_bytes()
    monkeypatch.setenv("PATH", "/nonexistent")
    rng = np.random.default_rng(1)
    for _ in range(150):
        bad = bytearray(good)
        for position in rng.integers(0, 44, 3):
            bad[position] = int(rng.integers(0, 256))
        source = tmp_path / "bad.wav"
        source.write_bytes(bytes(bad[: rng.integers(10, 60)]))
        with pytest.raises(PromptError):
            import_prompt(source, name="announce", language="de", target=target)


@pytest.mark.parametrize(
    "name",
    ["", "Announce", "9lives", "../x", "a/b", "a.b", "a" * 41, "a\n", "_a", "a\x00", "é", "a b"],
)
def test_bad_name(name: str, tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "x.wav", 8000, speechlike(1, 8000))
    before = tree(tmp_path)
    with pytest.raises(PromptError, match=r"^name '.* lower-case letter"):
        import_prompt(source, name=name, language="de", target=target)
    assert tree(tmp_path) == before


@pytest.mark.parametrize(
    "language", ["", "d", "DE", "de_AT", "de-AT", "deu", "..", "de/..", "de-", "de\n", "de-at-x"]
)
def test_bad_language(language: str, tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "x.wav", 8000, speechlike(1, 8000))
    before = tree(tmp_path)
    with pytest.raises(PromptError, match=r"^language '.* two lower-case letters"):
        import_prompt(source, name="beep", language=language, target=target)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("text", ["a\r\nAction: Originate", "a\x00", "x" * 1001])
def test_bad_text(text: str, tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "x.wav", 8000, speechlike(1, 8000))
    with pytest.raises(PromptError, match=r"^text '"):
        import_prompt(source, name="beep", language="de", target=target, text=text)


def test_a_folder_that_is_no_prompts_folder_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "sounds"
    target.mkdir()
    (target / "hello.wav").write_bytes(b"somebody else's")
    source = write(tmp_path / "x.wav", 8000, speechlike(1, 8000))
    for wrong, field in ((target, "manifest"), (tmp_path / "none", "dir"), (source, "dir")):
        before = tree(tmp_path)
        with pytest.raises(PromptError, match=f"^{field} '"):
            import_prompt(source, name="beep", language="de", target=wrong)
        assert tree(tmp_path) == before


@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_a_full_disk_changes_nothing(
    fail_at: int, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write(tmp_path / "x.wav", 8000, speechlike(1, 8000))
    before = tree(target)
    calls = 0
    real = os.fsync

    def fsync(handle: int) -> None:
        nonlocal calls
        calls += 1
        if calls == fail_at:
            raise OSError(28, "No space left on device")
        real(handle)

    monkeypatch.setattr("callrec_pbx.audio.manifest.os.fsync", fsync)
    with pytest.raises(PromptError, match=r"^dir '.*No space left.*free space"):
        import_prompt(source, name="beep", language="fr", target=target)
    assert tree(target) == before
    assert not (target / "fr").exists()


def test_verify_tells_what_is_wrong(tmp_path: Path, target: Path) -> None:
    source = write(tmp_path / "x.wav", 8000, speechlike(1, 8000))
    for name in ("one", "two", "three"):
        import_prompt(source, name=name, language="en", target=target)
    (target / "en/one.wav").unlink()
    with (target / "en/two.wav16").open("ab") as stream:
        stream.write(b"x")
    shutil.copy(target / "en/three.wav", target / "en/stray.wav")
    problems = verify(target)
    assert [line.partition(": ")[0] for line in problems] == [
        str(target / "en/one.wav"),
        str(target / "en/two.wav16"),
        str(target / "en/stray.wav"),
    ]
    words = ("missing", "differs from the manifest", "not in the manifest")
    assert [w for w, line in zip(words, problems, strict=True) if w not in line] == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b"\xff\xfe",
        b'{"version": "1"}',
        b'{"version": 1, "prompts": []}',
        b'{"version": "1", "prompts": [7]}',
        b'{"version": "1", "prompts": [{"name": "a"}]}',
    ],
)
def test_a_manifest_that_is_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(PromptError, match=r"^manifest '.*install the prompts again"):
        PromptSet.load(tmp_path)
    assert len(verify(tmp_path)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../../etc/passwd"},
        {"language": ".."},
        {"sha256": "x"},
        {"duration_ms": -1},
        {"duration_ms": True},
        {"text": None},
    ],
)
def test_a_manifest_entry_that_is_none(change: dict[str, object], target: Path) -> None:
    document = json.loads((target / "manifest.json").read_text())
    document["prompts"][0].update(change)
    (target / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(PromptError, match=r"^manifest '.*entry 1"):
        PromptSet.load(target)


def test_a_manifest_that_names_a_prompt_twice(target: Path) -> None:
    document = json.loads((target / "manifest.json").read_text())
    document["prompts"] *= 2
    (target / "manifest.json").write_text(json.dumps(document))
    with pytest.raises(PromptError, match="lists de/announce twice"):
        PromptSet.load(target)


def test_find_wants_name_and_language_exactly(target: Path) -> None:
    prompts = PromptSet.load(target)
    assert prompts.find("announce", "de") is prompts.prompts[0]
    assert prompts.find("announce", "en") is None
    assert prompts.find("whisper", "de") is None


def test_the_wav_header_is_the_plain_one_asterisk_knows(target: Path) -> None:
    data = (target / "de/announce.wav").read_bytes()
    assert data[:4] + data[8:16] + data[36:40] == b"RIFFWAVEfmt data"
    with wave.open(str(target / "de/announce.wav16")) as stream:
        assert stream.getframerate() == 16000
