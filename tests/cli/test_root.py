"""The root command: options, errors, and that the manual mentions every command."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from callrec_pbx import __version__
from callrec_pbx.cli import COMMANDS, app, main

DOCS = Path(__file__).parents[2] / "docs"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line; returns exit status, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"callrec-pbx {__version__}\n", "")


def test_an_error_of_ours_is_one_message_and_status_2(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "callrec.toml"
    file.write_text("[asterisk]\nport = 'x'\n")
    status, out, err = run("--config", str(file), "migrate")
    assert (status, out) == (2, "")
    assert err.startswith(f"callrec-pbx: {file}: asterisk.port")
    assert "Traceback" not in err
    assert "Traceback" in run("--debug", "--config", str(file), "migrate")[2]


def test_any_other_error_is_status_1(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("oh")

    monkeypatch.setattr("callrec_pbx.cli.migrate.load_config", broken)
    assert run("migrate") == (1, "", "callrec-pbx: RuntimeError: oh (--debug shows where)\n")


def test_bad_usage_is_status_2(run: Run) -> None:
    assert run("--nonsense")[0] == 2
    assert run("nonsense")[0] == 2


def test_the_configuration_reaches_the_commands(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "callrec.toml"
    file.write_text(f"[catalogue]\nurl = 'sqlite:///{tmp_path}/c.db'\n")
    status, out, _ = run("--config", str(file), "migrate", "--json")
    assert status == 0
    first = json.loads(out)
    assert first["before"] is None
    assert first["changed"] is True
    again = json.loads(run("--config", str(file), "migrate", "--json")[1])
    assert again == {"before": first["after"], "after": first["after"], "changed": False}
    assert "already" in run("--config", str(file), "migrate")[1]


def test_run_needs_a_secret(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "callrec.toml"
    file.write_text("")
    status, _, err = run("--config", str(file), "run")
    assert status == 2
    assert "asterisk.secret" in err
    assert "setup asterisk" in err


def commands() -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    root: Any = typer.main.get_command(app)
    for name in root.list_commands(None):
        command = root.get_command(None, name)
        if hasattr(command, "commands"):
            for sub, part in command.commands.items():
                yield f"{name} {sub}", part
        else:
            yield name, command


@pytest.mark.parametrize("place", COMMANDS.values())
def test_each_command_is_where_it_should_be(place: str) -> None:
    module, _, name = place.partition(":")
    assert hasattr(importlib.import_module(module), name)


def test_the_manual_mentions_every_command_and_option() -> None:
    manual = "\n".join(path.read_text() for path in DOCS.rglob("*.md"))
    missing = []
    for name, command in commands():
        if f"callrec-pbx {name}" not in manual:
            missing.append(name)
        missing += [
            f"{name} {option}"
            for parameter in command.params
            for option in parameter.opts
            if option.startswith("--") and option != "--help" and f"`{option}" not in manual
        ]
    assert missing == []
