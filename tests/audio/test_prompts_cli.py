"""`callrec-pbx prompts` as an administrator and as a program use it."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callrec_pbx.audio.prompts import import_prompt
from callrec_pbx.cli.prompts import app
from tests.audio.sounds import sine, write_wav

RUNNER = CliRunner()
KEYS = {
    "name",
    "language",
    "text",
    "sha256",
    "duration_ms",
    "version",
    "sha256_wav16",
    "imported",
}


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    directory = tmp_path / "callrec"
    directory.mkdir()
    tone = write_wav(tmp_path / "tone.wav", 8000, sine(440, 1, 8000))
    import_prompt(tone, name="beep", language="en", target=directory, text="a [b]beep[/b]")
    return directory


def test_import_list_check(installed: Path, tmp_path: Path) -> None:
    tone = write_wav(tmp_path / "own.wav", 44100, sine(440, 1.5, 44100))
    words = ["--name", "announce", "--language", "de", "--text", "Grüß Gott"]
    done = RUNNER.invoke(app, ["import", str(tone), *words, "--dir", str(installed)])
    assert done.exit_code == 0, done.output
    assert done.output.startswith("de/announce: 1.5 s, version i")

    listed = RUNNER.invoke(app, ["list", "--json", "--dir", str(installed)])
    assert listed.exit_code == 0
    prompts = json.loads(listed.output)["prompts"]
    assert [set(p) for p in prompts] == [KEYS, KEYS]
    assert [(p["language"], p["name"], p["duration_ms"], p["text"]) for p in prompts] == [
        ("de", "announce", 1500, "Grüß Gott"),
        ("en", "beep", 1000, "a [b]beep[/b]"),
    ]

    checked = RUNNER.invoke(app, ["check", "--json", "--dir", str(installed)])
    assert checked.exit_code == 0
    assert json.loads(checked.output) == {
        "directory": str(installed),
        "ok": True,
        "problems": [],
    }


def test_the_table_shows_the_words_as_they_are(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    done = RUNNER.invoke(app, ["list", "--dir", str(installed)])
    assert done.exit_code == 0
    assert "a [b]beep[/b]" in done.output


def test_list_and_check_without_dir_are_about_the_shipped_prompts() -> None:
    listed = json.loads(RUNNER.invoke(app, ["list", "--json"]).output)["prompts"]
    assert {p["language"] for p in listed} == {"de", "en", "nb", "sv"}
    assert {p["imported"] for p in listed} == {False}
    done = RUNNER.invoke(app, ["check"])
    assert done.exit_code == 0, done.output


def test_check_exits_1_and_names_the_file(installed: Path) -> None:
    (installed / "en/beep.wav16").unlink()
    done = RUNNER.invoke(app, ["check", "--dir", str(installed)])
    assert done.exit_code == 1
    assert "en/beep.wav16: missing" in done.output
    as_json = RUNNER.invoke(app, ["check", "--json", "--dir", str(installed)])
    assert as_json.exit_code == 1
    assert json.loads(as_json.output)["ok"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--name", "Bad Name", "--language", "de"], "error: name 'Bad Name': is not a prompt"),
        (["--name", "beep", "--language", "DE"], "error: language 'DE': is not a language"),
        (["--name", "beep", "--language", "de"], "error: file '"),
        (["--language", "de"], "Missing option '--name'"),
    ],
)
def test_refusal_exits_2(words: list[str], said: str, installed: Path, tmp_path: Path) -> None:
    silent = write_wav(tmp_path / "silent.wav", 8000, 0 * sine(440, 1, 8000))
    before = {p: p.read_bytes() for p in installed.rglob("*") if p.is_file()}
    done = RUNNER.invoke(app, ["import", str(silent), *words, "--dir", str(installed)])
    assert done.exit_code == 2
    assert said in done.output
    assert {p: p.read_bytes() for p in installed.rglob("*") if p.is_file()} == before


def test_list_of_a_folder_without_manifest_exits_2(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["list", "--dir", str(tmp_path)])
    assert done.exit_code == 2
    assert "error: manifest '" in done.output
