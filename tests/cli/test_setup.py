"""`callrec-pbx setup asterisk` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.test_root import Run, run
from tests.setup.conftest import Host, freepbx, host

__all__ = ["freepbx", "host", "run"]


@pytest.fixture
def asterisk(tmp_path: Path) -> str:
    """A program that says its version and writes down what it is told."""
    program = tmp_path / "asterisk"
    program.write_text(
        '#!/bin/sh\n[ "$1" = -V ] && echo "Asterisk 22.10.1" && exit\n'
        f'echo "$2" >> {tmp_path}/told\necho done\n'
    )
    program.chmod(0o755)
    return str(program)


def test_it_shows_and_asks_and_does_nothing_unasked(
    run: Run, host: Host, asterisk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = host.snapshot()
    base = ("--config", str(host.toml), "setup", "asterisk", "--asterisk", asterisk)
    status, out, _ = run(*base, "--dry-run")
    assert status == 0
    assert '+#include "callrec/extensions.conf"' in out
    assert f"create {host.etc}/callrec/manager.conf" in out
    assert host.snapshot() == before
    monkeypatch.setattr("callrec_pbx.cli.setup.typer.confirm", lambda _: False)
    status, out, _ = run(*base)
    assert status == 1
    assert out.endswith("nothing was changed\n")
    assert host.snapshot() == before


def test_it_does_it_and_says_what_is_next(run: Run, host: Host, asterisk: str) -> None:
    before = host.snapshot()
    base = ("--config", str(host.toml), "setup", "asterisk", "--asterisk", asterisk)
    status, out, _ = run(*base, "--yes")
    assert status == 0
    assert "callrec-offer,s,1(" in out
    assert 'asterisk -rx "dialplan reload"' in out
    for command in ("migrate", "policy apply", "tenant acknowledge", "tenant recording on", "run"):
        assert f"\n    callrec-pbx {command}" in out
    status, out, _ = run(*base, "--yes")
    assert (status, out) == (0, "nothing to change: everything is in place\n")
    status, _, _ = run(*base, "--undo", "--yes")
    assert status == 0
    assert host.snapshot() == before


def test_reload(run: Run, host: Host, asterisk: str) -> None:
    base = ("--config", str(host.toml), "setup", "asterisk", "--asterisk", asterisk)
    status, out, _ = run(*base, "--yes", "--reload", "--json")
    assert status == 0
    document = json.loads(out)
    assert document["applied"] is True
    assert [entry["command"] for entry in document["reloaded"]] == [
        "manager reload",
        "dialplan reload",
        "module reload features",
    ]
    told = (Path(asterisk).parent / "told").read_text()
    assert told == "manager reload\ndialplan reload\nmodule reload features\n"


def test_json(run: Run, host: Host, asterisk: str) -> None:
    base = ("--config", str(host.toml), "setup", "asterisk", "--asterisk", asterisk, "--json")
    assert run(*base)[0] == 2
    status, out, _ = run(*base, "--dry-run")
    document = json.loads(out)
    assert status == 0
    assert document["applied"] is False
    assert {entry["action"] for entry in document["changes"]} == {"create", "change"}
    assert set(document) == {
        *("changes", "folders_made", "folders_removed", "notes", "applied", "reloaded")
    }


def test_without_a_configuration_it_makes_one(
    run: Run, host: Host, asterisk: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.toml.unlink()
    host.toml.parent.rmdir()
    elsewhere = host.root / "share"
    elsewhere.mkdir()
    (host.etc / "asterisk.conf").write_text(f"[directories](!)\nastdatadir => {elsewhere}\n")
    before = host.snapshot()
    monkeypatch.setenv("CALLREC_ASTERISK__CONFIG_DIR", str(host.etc))
    monkeypatch.setenv("CALLREC_RECORDINGS__DIRECTORY", str(host.root / "spool"))
    base = ("--config", str(host.toml), "setup", "asterisk", "--asterisk", asterisk, "--yes")
    assert run(*base)[0] == 0
    assert host.toml.stat().st_mode & 0o777 == 0o640
    config = host.config()
    assert config.asterisk.data_dir == elsewhere
    assert (elsewhere / "sounds" / "callrec" / "manifest.json").exists()
    assert config.asterisk.secret.get_secret_value()
    assert "nothing to change" in run(*base)[1]
    assert run(*base, "--undo")[0] == 0
    assert host.snapshot() == before


def test_an_asterisk_that_does_not_run(run: Run, host: Host, tmp_path: Path) -> None:
    base = ("--config", str(host.toml), "setup", "asterisk", "--yes", "--reload")
    status, _, err = run(*base, "--asterisk", str(tmp_path / "none"))
    assert status == 2
    assert "the files are in place" in err
