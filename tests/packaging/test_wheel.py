"""The wheel, alone in a clean environment, can do what an administrator needs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.bed.asterisk import REPOSITORY
from tests.bed.bed import Bed
from tests.setup.freeswitch_host import FILES, make

CONFIG = """\
[asterisk]
port = {port}
trunks = ["trunk"]
config_dir = "{etc}"
data_dir = "{data}"

[recordings]
directory = "{folder}/recordings"
min_free_mb = 1

[catalogue]
url = "sqlite:///{folder}/catalogue.db"
"""

Run = Callable[..., subprocess.CompletedProcess[str]]


def clean_environment() -> dict[str, str]:
    """Return the environment without what would let the checkout or the venv of the tests in."""
    drop = ("PYTHON", "VIRTUAL_ENV", "CALLREC_CONFIG")
    return {name: value for name, value in os.environ.items() if not name.startswith(drop)}


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built through the sdist as a release is."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--outdir", folder, REPOSITORY],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="session")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`callrec-pbx` in an environment that has nothing but the wheel and what it asks for."""
    venv = tmp_path_factory.mktemp("installed") / "venv"
    subprocess.run(
        [REPOSITORY / "docker" / "install-callrec.sh", venv, wheel],
        check=True,
        env=clean_environment(),
    )
    return venv / "bin" / "callrec-pbx"


@pytest.fixture
def run(program: Path, tmp_path: Path) -> Run:
    """Runs `callrec-pbx` with the configuration in `tmp_path`, from a folder without a checkout."""

    def call(*arguments: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [program, "--config", tmp_path / "callrec.toml", *arguments],
            cwd=tmp_path,
            env=clean_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done

    return call


def write_config(folder: Path, etc: Path, data: Path, port: int = 1) -> None:
    text = CONFIG.format(port=port, etc=etc, data=data, folder=folder)
    (folder / "callrec.toml").write_text(text)


def content(folder: Path) -> Mapping[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture
def pbx(tmp_path: Path) -> Path:
    """Folders as of an Asterisk: `etc` with three of its files, and `data`."""
    (tmp_path / "pbx" / "etc").mkdir(parents=True)
    (tmp_path / "pbx" / "data").mkdir()
    for name, text in {
        "extensions.conf": "[from-trunk]\n",
        "features.conf": "[general]\n",
        "manager.conf": "[general]\nenabled = yes\nbindaddr = 127.0.0.1\n",
    }.items():
        (tmp_path / "pbx" / "etc" / name).write_text(text)
    write_config(tmp_path, tmp_path / "pbx" / "etc", tmp_path / "pbx" / "data")
    return tmp_path / "pbx"


def files_of(folder: str) -> set[str]:
    """The files of a folder of the checkout, without what tools leave beside them."""
    found = {p.relative_to(REPOSITORY) for p in (REPOSITORY / folder).rglob("*") if p.is_file()}
    left = ("__pycache__", ".")
    return {str(path) for path in found if not any(part.startswith(left) for part in path.parts)}


def test_the_wheel_carries_the_package_and_what_is_installed_on_a_pbx(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    installed = [files_of(name) for name in ("ami", "dialplan", "esl", "migrations", "prompts")]
    expected = files_of("callrec_pbx") | {f"callrec_pbx/_data/{n}" for n in set().union(*installed)}
    assert {name for name in names if name.startswith("callrec_pbx/")} == expected
    tops = {name.split("/")[0].split("-")[0] for name in names}
    assert tops == {"callrec_pbx"}


@pytest.mark.parametrize(
    "name",
    [
        "callrec_pbx/config/example.toml",
        "callrec_pbx/policy/acknowledgement.toml",
        "callrec_pbx/policy/countries.toml",
        "callrec_pbx/policy/example.toml",
        "callrec_pbx/_data/dialplan/freeswitch/callrec_offer.lua",
        "callrec_pbx/_data/esl/event_socket.conf.xml",
        "callrec_pbx/_data/migrations/versions/0001_first.py",
        "callrec_pbx/_data/migrations/versions/0002_people_and_policy.py",
        "callrec_pbx/_data/prompts/audio/en/announce_opt_out.wav",
        "callrec_pbx/_data/prompts/audio/sv/profile_recorded.wav16",
    ],
)
def test_the_wheel_carries_the_data(wheel: Path, name: str) -> None:
    assert name in zipfile.ZipFile(wheel).namelist()


def test_it_brings_all_that_it_imports(program: Path, run: Run) -> None:
    assert run("--version").stdout.startswith("callrec-pbx ")
    python = program.with_name("python")
    subprocess.run([python, "-m", "pip", "check"], check=True, stdout=subprocess.DEVNULL)
    script = (
        "import importlib, pkgutil, callrec_pbx\n"
        "print(callrec_pbx.__file__)\n"
        "for module in pkgutil.walk_packages(callrec_pbx.__path__, 'callrec_pbx.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
    )
    done = subprocess.run(
        [python, "-I", "-c", script], capture_output=True, text=True, check=False, cwd="/"
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(program.parents[1]))


def test_setup_shows_then_does_then_undoes(run: Run, pbx: Path) -> None:
    before = content(pbx)
    shown = run("setup", "asterisk", "--dry-run").stdout
    assert "callrec/extensions.conf" in shown
    assert content(pbx) == before
    run("setup", "asterisk", "--yes")
    after = content(pbx)
    assert "etc/callrec/manager.conf" in after
    assert "data/sounds/callrec/de/whisper.wav" in after
    assert b"callrec/extensions.conf" in after["etc/extensions.conf"]
    run("setup", "asterisk", "--undo", "--yes")
    assert content(pbx) == before


def test_setup_of_freeswitch(run: Run, tmp_path: Path) -> None:
    switch = make(tmp_path / "pbx", FILES)
    switch.toml.rename(tmp_path / "callrec.toml")
    before = content(tmp_path / "pbx")
    run("setup", "freeswitch", "--yes", "--secure-event-socket")
    assert "share/scripts/callrec_offer.lua" in content(tmp_path / "pbx")
    assert (tmp_path / "freeswitch.password").exists()
    run("setup", "freeswitch", "--undo", "--yes")
    assert content(tmp_path / "pbx") == before


def test_migrate_makes_the_catalogue(run: Run, pbx: Path, tmp_path: Path) -> None:
    run("migrate")
    assert (tmp_path / "catalogue.db").exists()
    assert "already" in run("migrate").stdout


def test_from_an_empty_machine_to_a_decision(run: Run, pbx: Path, tmp_path: Path) -> None:
    """The steps of docs/installation.md, with nothing but the wheel."""
    told = run("setup", "asterisk", "--yes").stdout
    assert "callrec-pbx tenant acknowledge" in told
    run("migrate")
    run("policy", "init")
    assert "+ rule on demand" in run("policy", "apply", "policy.toml", "--dry-run").stdout
    run("policy", "apply", "policy.toml", "--comment", "the first")
    run("tenant", "set", "default", "--country", "SE", "--holidays", "SE")

    assert "acknowledge" in run("tenant", "recording", "on", status=2).stderr
    text = json.loads(run("tenant", "acknowledge", "--json", "--language", "sv").stdout)
    assert "Inspelning" in text["text"]
    who = ("--who", "Anna Andersson", "--text-version", text["text_version"])
    run("tenant", "acknowledge", *who)
    call = ("policy", "explain", "--from", "070-123 45 67", "--to", "201", "--json")
    assert json.loads(run(*call).stdout)["decision"]["reason"] == "recording_off"
    run("tenant", "recording", "on")

    run("user", "add", "anna@example.com", "--name", "Anna Andersson")
    run("line", "add", "201", "--user", "anna@example.com")
    decided = json.loads(run(*call).stdout)["decision"]
    assert (decided["outcome"], decided["rule"]) == ("recorded", "on demand")
    assert decided["user"] == "anna@example.com"
    run("policy", "exclude", "add", "0046 70 123 45 67")
    assert json.loads(run(*call).stdout)["decision"]["outcome"] == "excluded"
    assert "SE" in run("policy", "countries").stdout
    assert "not legal advice" in run("policy", "check").stdout


def test_doctor_without_a_pbx_says_so(run: Run, pbx: Path) -> None:
    run("setup", "asterisk", "--yes")
    run("migrate")
    told = run("doctor", status=1).stdout
    assert "127.0.0.1:1" in told


async def test_run_links_to_a_real_asterisk(run: Run, program: Path, tmp_path: Path) -> None:
    async with Bed() as bed:
        write_config(tmp_path, bed.asterisk.etc, bed.asterisk.data, bed.asterisk.ami_port)
        setup = ("setup", "asterisk", "--yes", "--reload", "--asterisk", str(bed.pbx.cli))
        await asyncio.to_thread(run, *setup)
        await asyncio.to_thread(run, "migrate")
        process = await asyncio.create_subprocess_exec(
            program,
            *("--config", tmp_path / "callrec.toml", "run"),
            cwd=tmp_path,
            env=clean_environment(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stderr is not None
        said = ""
        try:
            async with asyncio.timeout(20):
                while "pbx_linked" not in said:
                    line = await process.stderr.readline()
                    assert line, said
                    said += line.decode()
        finally:
            process.terminate()
            status = await asyncio.wait_for(process.wait(), 20)
        assert status == 0
