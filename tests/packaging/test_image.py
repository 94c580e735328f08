"""The image's steps, carried out in the private Debian root, make containers that work."""

# ruff: noqa: ASYNC240 - another process's log has no event to wait for

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bed.asterisk import POLL_S, REPOSITORY, installation
from tests.packaging.dockerfile import Builder, Stage, stages

DOCKER = REPOSITORY / "docker"

LINK_S = 60
"""Longest time until both containers run and know each other."""

OWN_LOOPBACK = """
import fcntl, os, socket, struct, sys
with socket.socket() as probe:  # SIOCSIFFLAGS: IFF_UP
    fcntl.ioctl(probe, 0x8914, struct.pack("16sh", b"lo", 1))
os.execvp(sys.argv[1], sys.argv[1:])
"""
"""Run in a network namespace of its own, as the containers have one."""

FILL = """
[ -d "$1" ] || exit 0
cp -a "$1/." /fill
chmod --reference="$1" /fill
chown --reference="$1" /fill
"""


@pytest.fixture(scope="module")
def root() -> Path:
    """The private Debian root; the tests cannot go on without one."""
    found = installation().root
    if found is None:
        pytest.skip("Asterisk is on this machine itself: there is no private Debian root")
    if os.geteuid() != 0:
        pytest.skip("only root can mount")
    return found


@pytest.fixture(scope="module")
def builder(root: Path) -> Iterator[Builder]:
    """All stages of the Dockerfile, built."""
    cache = root.parent / "image"
    cache.mkdir(exist_ok=True)
    work = root.parent / f"image-{os.getpid()}"
    builder = Builder(root, work, REPOSITORY, cache)
    try:
        builder.build(DOCKER / "Dockerfile", keep="base")
        yield builder
    finally:
        shutil.rmtree(work, ignore_errors=True)


class Container:
    """One service of compose.yaml, out of a stage."""

    def __init__(self, builder: Builder, service: dict[str, Any], volumes: Path) -> None:
        self.builder = builder
        self.service = service
        self.volumes = volumes
        built = builder.stages[service["build"]["target"]]
        layer = Path(tempfile.mkdtemp(dir=builder.folder, prefix=built.name)) / "files"
        layer.mkdir()
        self.stage = Stage(built.name, [*built.layers, layer], built.environment, built.user)
        self.start = built.command
        self.binds = {}
        for volume in service["volumes"]:
            source, target = volume.split(":")[:2]
            if source.startswith("."):
                self.binds[target] = str((DOCKER / source).resolve())
            else:
                self.binds[target] = str(self._volume(volumes / source, target))

    def beside(self) -> Container:
        """Return another one of the same service, as an engine's `exec` needs here."""
        return Container(self.builder, self.service, self.volumes)

    def _volume(self, folder: Path, target: str) -> Path:
        """Make a named volume; a new one begins with what the image has there, as in an engine."""
        if not folder.exists():
            folder.mkdir(parents=True)
            fill = ["sh", "-c", FILL, "fill", target]
            line = self.builder.command(self.stage, fill, binds={"/fill": str(folder)})
            subprocess.run(line, check=True)
        return folder

    def command(self, command: list[str], **environment: str) -> list[str]:
        """Return the command line that runs a command in this container."""
        return self.builder.command(
            self.stage, command, user=self.stage.user, environment=environment, binds=self.binds
        )


@asynccontextmanager
async def running(line: list[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    with log.open("ab") as out:
        process = await asyncio.create_subprocess_exec(
            *line, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        # The whole group: who changes his user no longer dies with his parent.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@asynccontextmanager
async def linked(
    line: list[str], log: Path, pbx: asyncio.subprocess.Process, pbx_log: Path
) -> AsyncIterator[None]:
    """Run the listener, again when it ends as an engine would, until it is linked."""
    try:
        async with asyncio.timeout(LINK_S) as deadline:
            while True:
                async with running(line, log) as process:
                    while process.returncode is None and b"pbx_linked" not in log.read_bytes():
                        assert pbx.returncode is None, "the PBX ended"
                        await asyncio.sleep(POLL_S)
                    if process.returncode is None:
                        deadline.reschedule(None)
                        yield
                        return
    except (TimeoutError, AssertionError) as error:
        told = (f"--- {path.stem}\n{path.read_text()[-3000:]}" for path in (log, pbx_log))
        raise AssertionError("\n".join([str(error), *told])) from error


def test_only_steps_that_are_known() -> None:
    words = {word for _, _, own in stages((DOCKER / "Dockerfile").read_text()) for word, _ in own}
    assert words <= {"RUN", "COPY", "ENV", "USER", "CMD", "EXPOSE", "HEALTHCHECK"}


@dataclass
class Shell:
    """Runs `callrec-pbx` in a container, as `docker compose exec` does."""

    prefix: list[str]
    container: Container

    async def __call__(self, *arguments: str, given: str = "", status: int = 0) -> str:
        """Run it; returns what it said. With another exit status than expected the test fails."""
        process = await asyncio.create_subprocess_exec(
            *self.prefix,
            *self.container.beside().command(["callrec-pbx", *arguments]),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        told = (await process.communicate(given.encode()))[0].decode()
        assert process.returncode == status, told
        return told


async def test_the_containers_know_each_other(builder: Builder, tmp_path: Path) -> None:
    services = yaml.safe_load((DOCKER / "compose.yaml").read_text())["services"]
    pbx = Container(builder, services["pbx"], tmp_path / "volumes")
    listener = Container(builder, services["callrec-pbx"], tmp_path / "volumes")
    pbx_log, log, second = (tmp_path / f"{name}.log" for name in ("pbx", "listener", "second"))
    start = pbx.command(pbx.start, PHONE_PASSWORD="of-the-test")
    own_net = ["unshare", "--net", sys.executable, "-c", OWN_LOOPBACK]
    call = ("policy", "explain", "--from", "302", "--to", "301", "--json")
    async with running([*own_net, *start], pbx_log) as first:
        same_net = ["nsenter", f"--net=/proc/{first.pid}/ns/net"]
        callrec = Shell(same_net, listener)
        async with linked([*same_net, *listener.command(listener.start)], log, first, pbx_log):
            assert "recording_off" in log.read_text()
            warnings = [line for line in (await callrec("doctor")).splitlines() if "warn " in line]
            assert len(warnings) == 1
            assert "recording is off for every tenant" in warnings[0]
            assert json.loads(await callrec(*call))["decision"]["reason"] == "recording_off"
            assert "tenant acknowledge" in await callrec("tenant", "recording", "on", status=2)

            text = json.loads(await callrec("tenant", "acknowledge", "--json"))
            who = ("--who", "Anna Andersson", "--text-version", text["text_version"])
            await callrec("tenant", "acknowledge", *who)
            await callrec("tenant", "set", "default", "--country", "GB")
            await callrec("tenant", "recording", "on")
            report = await callrec("doctor")
            assert "warn " not in report, report
            decided = json.loads(await callrec(*call))["decision"]
            assert (decided["outcome"], decided["rule"]) == ("recorded", "everything")
            shipped = (await callrec("policy", "export")).replace("everything", "each call")
            await callrec("policy", "apply", "-", given=shipped)
        again = listener.beside()
        async with linked([*same_net, *again.command(again.start)], second, first, pbx_log):
            assert "there is a policy" in second.read_text()
            assert "recording_off" not in second.read_text()
            assert json.loads(await callrec(*call))["decision"]["rule"] == "each call"
