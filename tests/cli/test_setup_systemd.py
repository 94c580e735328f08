"""`callrec-pbx setup systemd`: a unit that systemd takes, and its removal."""

from __future__ import annotations

import configparser
import grp
import json
import os
import pwd
import shutil
import subprocess
from pathlib import Path

import pytest

from callrec_pbx.recorder import service
from tests.cli.test_root import Run, run
from tests.setup.conftest import Host, host

__all__ = ["host", "run"]

USER = pwd.getpwuid(os.getuid()).pw_name
GROUP = grp.getgrgid(os.getgid()).gr_name
UNIT = "callrec-pbx.service"


@pytest.fixture
def units(host: Host) -> Path:
    folder = host.root / "units"
    folder.mkdir()
    return folder


@pytest.fixture
def told(
    host: Host, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A systemctl that writes down what it is told, and whether the unit was there then."""
    program = tmp_path_factory.mktemp("bin") / "systemctl"
    unit, log = host.root / "units" / UNIT, program.with_name("told")
    program.write_text(f'#!/bin/sh\necho "$*" $(ls {unit} 2>/dev/null | wc -l) >> {log}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    return log


def base(host: Host, units: Path) -> tuple[str, ...]:
    program = host.root / "callrec-pbx"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return (
        *("--config", str(host.toml), "setup", "systemd", "--units", str(units)),
        *("--user", USER, "--group", GROUP, "--program", str(program)),
    )


def read(file: Path) -> configparser.ConfigParser:
    found = configparser.ConfigParser(interpolation=None, delimiters="=")
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(file.read_text())
    return found


def test_it_shows_first(run: Run, host: Host, units: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = base(host, units)
    before = host.snapshot()
    status, out, _ = run(*words, "--dry-run")
    assert status == 0
    assert f"create {units / UNIT}" in out
    assert "ProtectSystem=strict" in out
    monkeypatch.setattr("callrec_pbx.cli.setup.typer.confirm", lambda _: False)
    assert run(*words)[0] == 1
    assert host.snapshot() == before


def test_the_unit(run: Run, host: Host, units: Path) -> None:
    (host.root / "spool").mkdir()
    words = base(host, units)
    status, out, _ = run(*words, "--yes")
    assert (status, "systemctl enable callrec-pbx.service" in out) == (0, True)
    file = units / UNIT
    unit = read(file)
    assert "@" not in file.read_text().replace("@system-service", "")
    section = unit["Service"]
    assert section["Type"] == "notify"
    assert (section["User"], section["Group"]) == (USER, GROUP)
    assert section["ExecStart"].endswith(f"callrec-pbx --config {host.toml} run")
    assert section["ReadWritePaths"] == f"{host.root}/spool {host.root}"
    assert int(section["TimeoutStartSec"]) > 2 * service.READY_S
    assert int(section["TimeoutStopSec"]) > 2 * service.STOP_S
    assert "RestrictSUIDSGID" not in section  # folders of recordings are made with that bit
    assert "asterisk.service" in unit["Unit"]["After"]
    assert run(*words, "--yes")[1].endswith("nothing to change: everything is in place\n")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_takes_it(run: Run, host: Host, units: Path) -> None:
    (host.root / "spool").mkdir()
    run(*base(host, units), "--yes")
    done = subprocess.run(
        ["systemd-analyze", "verify", units / UNIT], capture_output=True, text=True, check=False
    )
    ours = [line for line in done.stderr.splitlines() if UNIT in line]
    assert (done.returncode, ours) == (0, [])


def test_started_and_stopped(run: Run, host: Host, units: Path, told: Path) -> None:
    (host.root / "spool").mkdir()
    words = base(host, units)
    before = host.snapshot()
    run(*words, "--now", "--dry-run")
    assert not told.exists()
    status, out, _ = run(*words, "--now", "--yes", "--json")
    assert (status, json.loads(out)["applied"]) == (0, True)
    assert run(*words, "--undo", "--now", "--yes")[0] == 0
    assert told.read_text().splitlines() == [
        "daemon-reload 1",
        f"enable {UNIT} 1",
        f"restart {UNIT} 1",
        f"disable --now {UNIT} 1",
        "daemon-reload 0",
    ]
    assert host.snapshot() == before


def test_what_somebody_has_changed_is_left_alone(run: Run, host: Host, units: Path) -> None:
    words = base(host, units)
    run(*words, "--yes")
    file = units / UNIT
    file.write_text(file.read_text() + "Nice=5\n")
    status, _, err = run(*words, "--yes")
    assert status == 2
    assert "systemctl edit callrec-pbx" in err
    status, out, _ = run(*words, "--undo", "--yes")
    assert status == 0
    assert "stays" in out
    assert file.exists()
    file.unlink()
    status, _, err = run(*words, "--undo", "--yes")
    assert (status, "nothing to undo" in err) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--user", "nobody-of-that-name"), "make that user or group first"),
        (("--group", "no-such-group"), "make that user or group first"),
        (("--user", "a\nb"), "not the name of a user"),
        (("--program", "/opt/a b/callrec-pbx"), "cannot be written into a unit"),
        (("--program", "/opt/%n/callrec-pbx"), "cannot be written into a unit"),
        (("--json",), "give --dry-run or --yes"),
    ],
)
def test_what_cannot_be(
    run: Run, host: Host, units: Path, words: tuple[str, ...], said: str
) -> None:
    before = base(host, units), host.snapshot()
    yes = () if words == ("--json",) else ("--yes",)
    status, _, err = run(*before[0], *words, *yes)
    assert status == 2
    assert said in err
    assert host.snapshot() == before[1]


def test_systemctl_refuses(
    run: Run, host: Host, units: Path, told: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = shutil.which("systemctl")
    assert program is not None
    Path(program).write_text("#!/bin/sh\necho no bus >&2; exit 1\n")
    status, _, err = run(*base(host, units), "--now", "--yes")
    assert status == 2
    assert "systemctl daemon-reload: no bus" in err
    assert (units / UNIT).exists()
