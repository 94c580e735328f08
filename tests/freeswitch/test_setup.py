"""What a real FreeSWITCH makes of setup, beside the configuration it comes with."""

# ruff: noqa: ASYNC110 - a process that starts has no event for being ready

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.audio.manifest import PromptSet
from callrec_pbx.config import load_config
from tests.bed.esl import Esl, EslError, event
from tests.bed.freeswitch import FreeSwitchServer, installation
from tests.bed.server import POLL_S
from tests.cli.test_root import Run, run

__all__ = ["run"]

KNOWN_TO_ALL = "ClueCon"
SOCKET = "autoload_configs/event_socket.conf.xml"
LISTENING = "0A"
"""State of a socket. Source: Linux, include/net/tcp_states.h."""


def vanilla() -> Path:
    """The configuration that FreeSWITCH comes with."""
    prefix = installation().program.parent.parent
    places = (
        prefix / "etc/freeswitch",
        prefix / "share/freeswitch/conf/vanilla",
        prefix / "conf",
        Path("/etc/freeswitch"),
    )
    for place in places:
        if "bind_meta" in _text(place / "dialplan/default.xml"):
            return place
    pytest.skip("the configuration that FreeSWITCH comes with is not installed")


def _text(path: Path) -> str:
    return path.read_text(errors="replace") if path.is_file() else ""


class VanillaServer(FreeSwitchServer):
    """FreeSWITCH with its own configuration, but for ports and what would talk to others."""

    def write_config(self, files: dict[str, str]) -> None:
        super().write_config(files)
        own = self._general_files()
        port, password = self.esl_port, self.esl_password
        shutil.rmtree(self.etc)
        shutil.copytree(vanilla(), self.etc)
        for profile in self.etc.glob("sip_profiles/*.xml"):
            profile.unlink()
        variables = self.etc / "vars.xml"
        variables.write_text(variables.read_text().replace('cmd="stun-set"', 'cmd="set"'))
        for name in ("autoload_configs/modules.conf.xml", "autoload_configs/logfile.conf.xml"):
            (self.etc / name).write_text(own[name])
        socket = self.etc / SOCKET
        text = re.sub(r'("listen-port" value=)"\d+"', rf'\1"{port}"', socket.read_text())
        socket.write_text(re.sub(r'("listen-ip" value=)"[^"]*"', r'\1"127.0.0.1"', text))
        assert (self.esl_port, self.esl_password) == (port, KNOWN_TO_ALL)
        assert password != KNOWN_TO_ALL

    async def _connect(self) -> None:
        while self._esl is None:
            self._check_starting()
            try:
                self._esl = await Esl.connect(self.esl_port, self.esl_password)
            except (OSError, EslError):
                await asyncio.sleep(POLL_S)
        while " is ready" not in await self._esl.api("status"):
            await asyncio.sleep(POLL_S)

    def snapshot(self) -> dict[str, tuple[str, int]]:
        """Every file of the configuration, of the scripts and of the sounds: hash and mode."""
        return {
            str(path): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mode)
            for folder in (self.etc, self.scripts, self.sounds)
            for path in folder.rglob("*")
            if path.is_file()
        }

    async def lets_in(self, password: str) -> bool:
        """Whether the event socket takes a password."""
        try:
            esl = await Esl.connect(self.esl_port, password, events=False)
        except EslError:
            return False
        await esl.close()
        return True

    def heard_on(self) -> set[str]:
        """The addresses at which the event socket listens, as the kernel writes them."""
        port = f"{self.esl_port:04X}"
        lines = [
            line.split()
            for name in ("tcp", "tcp6")
            for line in Path("/proc/net", name).read_text().splitlines()[1:]
        ]
        heard = [words[1].split(":") for words in lines if words[3] == LISTENING]
        return {address for address, number in heard if number == port}


@pytest_asyncio.fixture(loop_scope="session")
async def server(tmp_path: Path) -> AsyncIterator[VanillaServer]:
    found = VanillaServer("vanilla", tmp_path)
    found.write_config({})
    await found.start()
    try:
        yield found
    finally:
        await found.stop()


def fs_cli(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [installation().fs_cli, *words],
        env={"HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )


async def test_with_freeswitchs_own_configuration(
    server: VanillaServer, run: Run, tmp_path: Path
) -> None:
    toml = tmp_path / "ours" / "callrec.toml"
    toml.parent.mkdir()
    toml.write_text(
        f"pbx = 'freeswitch'\n[freeswitch]\nport = {server.esl_port}\n"
        f"config_dir = '{server.etc}'\nscripts_dir = '{server.scripts}'\n"
        f"sounds_dir = '{server.sounds}'\n[recordings]\ndirectory = '{tmp_path}/spool'\n"
    )
    words = ("--config", str(toml), "setup", "freeswitch", "--fs-cli", str(installation().fs_cli))
    before = server.snapshot()

    status, out, _ = await asyncio.to_thread(run, *words, "--yes")
    assert status == 0
    assert "the password that everybody knows" in out
    assert (server.etc / SOCKET).read_text().count(KNOWN_TO_ALL) == 1
    assert not (toml.parent / "freeswitch.password").exists()

    more = ("--yes", "--secure-event-socket", "--reload", "--json")
    status, out, _ = await asyncio.to_thread(run, *words, *more)
    assert status == 0
    assert [said["output"] for said in json.loads(out)["reloaded"]] == ["+OK [Success]", "+OK"]
    password = load_config(toml).freeswitch.password.get_secret_value()
    assert await server.lets_in(password)
    assert not await server.lets_in(KNOWN_TO_ALL)
    assert server.heard_on() == {"0100007F"}

    profile = tmp_path / ".fs_cli_conf"  # as setup's note says
    assert fs_cli(tmp_path, "-P", str(server.esl_port), "-x", "status").returncode != 0
    profile.write_text(f"[default]\nport => {server.esl_port}\npassword => {password}\n")
    assert " is ready" in fs_cli(tmp_path, "-x", "status").stdout

    assert "nothing to change" in (await asyncio.to_thread(run, *words, "--yes"))[1]
    await server.restart()
    await _all_is_read(server)

    status, _, _ = await asyncio.to_thread(run, *words, "--undo", "--yes", "--reload")
    assert status == 0
    assert server.snapshot() == before
    assert await server.lets_in(KNOWN_TO_ALL)
    assert not await server.lets_in(password)
    users = await _api(server, "xml_locate dialplan context name default")
    assert "callrec" not in users


async def _api(server: VanillaServer, command: str) -> str:
    esl = await Esl.connect(server.esl_port, server.esl_password, events=False)
    try:
        return await esl.api(command)
    finally:
        await esl.close()


async def _all_is_read(server: VanillaServer) -> None:
    esl = server.esl
    users = await esl.api("xml_locate dialplan context name default")
    assert users.count('extension name="callrec-profile"') == 1
    scripts = sorted(server.scripts.glob("callrec_*.lua"))
    assert scripts
    for script in scripts:
        load = f'local f, why = loadfile("{script}"); stream:write(f and "good" or why)'
        assert await esl.api(f"lua ~{load}") == "good"

    sounds = server.sounds / "callrec"
    prompt = PromptSet.load(sounds).find("announce", "en")
    assert prompt is not None
    mark = esl.mark()
    await esl.api("sndfile_debug on")
    await esl.api(f"originate null/x &playback({sounds}/en/announce.wav)", timeout=30)
    played = event("CHANNEL_EXECUTE_COMPLETE", Application="playback")
    done = await esl.wait_for(played, since=mark, timeout=30)
    assert done["Application-Response"] == "FILE PLAYED"
    assert abs(int(done["variable_playback_ms"]) - prompt.duration_ms) <= 40
    assert f"[{sounds}/en/16000/announce.wav] rate [16000hz]" in server.log_text()
