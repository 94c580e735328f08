"""`callrec-pbx setup freeswitch` on the command line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from callrec_pbx.setup import reload_freeswitch
from tests.cli.test_root import Run, run
from tests.setup.freeswitch_host import OPEN, FsHost, switch

__all__ = ["run", "switch"]


@pytest.fixture
def fs_cli(switch: FsHost, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An `fs_cli` that lets in who has the password in the file `lets_in` beside it.

    It writes down what it is told; the module, loaded anew, takes what the configuration says.
    """
    program = tmp_path_factory.mktemp("bin") / "fs_cli"
    lets_in = program.with_name("lets_in")
    lets_in.write_text("theirs-12345")
    settings = f"/<!-- <param/d; s/.*name=.password. value=.([^ ]*)\"..*/\\1/p' {switch.socket}"
    program.write_text(f"""#!/bin/sh
password=$(sed -n 's/^password => //p' "$HOME/.fs_cli_conf")
if [ "$password" != "$(cat {lets_in})" ]; then
    echo 'Error Connecting []' >&2
    exit 255
fi
shift $(($# - 1))
echo "$1" >> {program.parent}/told
case "$1" in
*mod_event_socket)
    sed -nE '{settings} > {lets_in};;
esac
echo '+OK [Success]'
""")
    program.chmod(0o755)
    return program


def told(fs_cli: Path) -> list[str]:
    return fs_cli.with_name("told").read_text().splitlines()


def base(switch: FsHost, fs_cli: Path | str = "fs_cli") -> tuple[str, ...]:
    return ("--config", str(switch.toml), "setup", "freeswitch", "--fs-cli", str(fs_cli))


def test_it_shows_and_asks_and_does_nothing_unasked(
    run: Run, switch: FsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = switch.snapshot()
    status, out, _ = run(*base(switch), "--dry-run", "--secure-event-socket")
    assert status == 0
    assert '-    <param name="password" value="********"/>' in out
    assert f"create {switch.data}/scripts/callrec_offer.lua" in out
    assert f"create {switch.password_file}" in out
    monkeypatch.setattr("callrec_pbx.cli.setup.typer.confirm", lambda _: False)
    status, out, _ = run(*base(switch))
    assert (status, out.endswith("nothing was changed\n")) == (1, True)
    assert run(*base(switch), "--json")[0] == 2
    assert switch.snapshot() == before


def test_it_does_it_and_says_what_is_next(run: Run, switch: FsHost) -> None:
    before = switch.snapshot()
    status, out, _ = run(*base(switch), "--yes")
    assert status == 0
    assert 'data="callrec_offer.lua inbound' in out
    assert "    fs_cli -x 'reloadxml'\n" in out
    assert "mod_event_socket" not in out
    assert "\n    callrec-pbx tenant acknowledge" in out
    status, out, _ = run(*base(switch), "--yes")
    assert (status, out) == (0, "nothing to change: everything is in place\n")
    status, out, _ = run(*base(switch), "--undo", "--yes")
    assert status == 0
    assert "Take the calls of callrec_... out" in out
    assert switch.snapshot() == before


def test_reload(run: Run, switch: FsHost, fs_cli: Path) -> None:
    status, out, _ = run(*base(switch, fs_cli), "--yes", "--reload", "--json")
    assert status == 0
    document = json.loads(out)
    assert document["applied"] is True
    assert document["reloaded"] == [{"command": "reloadxml", "output": "+OK [Success]"}]
    assert told(fs_cli) == ["reloadxml"]
    assert switch.password() == "theirs-12345"
    assert switch.password() not in out


def test_a_changed_event_socket_is_loaded_anew(run: Run, switch: FsHost, fs_cli: Path) -> None:
    words = (*base(switch, fs_cli), "--yes")
    status, out, _ = run(*words, "--secure-event-socket")
    assert status == 0
    assert "    fs_cli -x 'reload mod_event_socket'\n" in out
    status, out, _ = run(*words, "--reload")  # in place already; FreeSWITCH has the old password
    assert status == 0
    assert "reload mod_event_socket: +OK" in out
    both = ["reloadxml", "bgapi reload mod_event_socket", "status"]
    assert told(fs_cli) == both
    run(*words, "--reload")
    assert told(fs_cli) == [*both, "reloadxml"]
    run(*words, "--undo", "--reload")
    assert told(fs_cli) == [*both, "reloadxml", *both]
    assert fs_cli.with_name("lets_in").read_text().strip() == "theirs-12345"


def test_a_dry_run_reloads_nothing(run: Run, switch: FsHost, fs_cli: Path) -> None:
    assert run(*base(switch, fs_cli), "--dry-run", "--reload")[0] == 0
    assert not fs_cli.with_name("told").exists()


def test_a_freeswitch_that_does_not_run(run: Run, switch: FsHost, fs_cli: Path) -> None:
    fs_cli.with_name("lets_in").write_text("another-one")
    status, _, err = run(*base(switch, fs_cli), "--yes", "--reload")
    assert status == 2
    assert "Error Connecting" in err
    assert "the files are in place" in err
    status, _, err = run(*base(switch, fs_cli.with_name("none")), "--yes", "--reload")
    assert (status, "name the program with --fs-cli" in err) == (2, True)


def test_a_module_that_does_not_come_back(
    run: Run, switch: FsHost, fs_cli: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fs_cli.write_text(fs_cli.read_text().replace("sed -nE", "echo"))
    monkeypatch.setattr(reload_freeswitch, "WAIT_S", 0.0)
    status, _, err = run(*base(switch, fs_cli), "--yes", "--reload", "--secure-event-socket")
    assert status == 2
    assert "Error Connecting []; the files are in place, start FreeSWITCH again" in err


def test_json(run: Run, switch: FsHost) -> None:
    switch.socket.write_text(OPEN)
    status, out, _ = run(*base(switch), "--json", "--dry-run")
    document = json.loads(out)
    assert status == 0
    assert document["applied"] is False
    assert {entry["action"] for entry in document["changes"]} == {"create"}
    assert len(document["notes"]) == 2


def test_without_a_configuration_it_makes_one(
    run: Run, switch: FsHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch.toml.unlink()
    switch.toml.parent.rmdir()
    switch.socket.write_text(OPEN.replace("$${esl_port}", "8044"))
    before = switch.snapshot()
    monkeypatch.setenv("CALLREC_FREESWITCH__CONFIG_DIR", str(switch.etc))
    monkeypatch.setenv("CALLREC_FREESWITCH__SCRIPTS_DIR", str(switch.data / "scripts"))
    monkeypatch.setenv("CALLREC_FREESWITCH__SOUNDS_DIR", str(switch.data / "sounds"))
    monkeypatch.setenv("CALLREC_RECORDINGS__DIRECTORY", str(switch.root / "spool"))
    words = (*base(switch), "--yes")
    assert run(*words, "--secure-event-socket")[0] == 0
    assert switch.toml.stat().st_mode & 0o777 == 0o640
    config = switch.config()
    assert (config.pbx, config.freeswitch.port) == ("freeswitch", 8044)
    assert len(config.freeswitch.password.get_secret_value()) >= 24
    assert "nothing to change" in run(*words)[1]
    assert run(*words, "--undo")[0] == 0
    assert switch.snapshot() == before


def test_the_other_pbx_is_refused(run: Run, switch: FsHost) -> None:
    before = switch.snapshot()
    status, _, err = run("--config", str(switch.toml), "setup", "asterisk", "--yes")
    assert status == 2
    assert "callrec-pbx setup freeswitch" in err
    assert switch.snapshot() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_the_unit_is_freeswitchs(run: Run, switch: FsHost) -> None:
    os.chown(switch.etc / "freeswitch.xml", 1, 1)
    program = switch.root / "callrec-pbx"
    program.write_text("#!/bin/sh\n")
    words = ("--config", str(switch.toml), "setup", "systemd", "--units", str(switch.root))
    status, out, _ = run(*words, "--program", str(program), "--yes")
    assert status == 0
    assert "run `callrec-pbx setup freeswitch` first" in out
    unit = (switch.root / "callrec-pbx.service").read_text()
    assert "After=network-online.target freeswitch.service postgresql.service\n" in unit
    assert "\nUser=daemon\nGroup=daemon\n" in unit
