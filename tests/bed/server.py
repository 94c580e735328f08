"""What the PBX under test and the far end have in common: a process with folders of its own."""

# ruff: noqa: ASYNC109, ASYNC110, ASYNC240 - a process has no event for what is polled here

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

REPOSITORY = Path(__file__).resolve().parents[2]

START_S = 30.0
"""Longest time from exec to ready."""

POLL_S = 0.05
"""Interval of looking for a socket that appears, or a process that ends."""


class BedError(Exception):
    """The test bed itself cannot go on; the message says why and shows the log's tail."""


def free_port(host: str, kind: socket.SocketKind) -> int:
    """Return a port of `host` that nobody uses at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


class Server(ABC):
    """One PBX: its folders and its process, which ends with the process that started it.

    Attributes:
        name: Short name, also that of the folder.
        bed_dir: The folder of the whole bed.
        base: The folder that holds all the server's own.
        etc: Configuration.
        logs: Logs; `console` there is what the process printed.
        log_file: The log.
        cli: A script that runs a command of the PBX's own command line, once it is started.
        stop_s: Longest time for a graceful stop before the process is killed, in seconds.
    """

    stop_s: ClassVar[float] = 8.0

    def __init__(self, name: str, bed_dir: Path) -> None:
        self.name = name
        self.bed_dir = bed_dir
        self.base = bed_dir / name
        self.etc = self.base / "etc"
        self.logs = self.base / "log"
        self.log_file = self.logs / "full"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Process id of the running PBX.

        Raises:
            BedError: The server does not run.
        """
        if self._process is None or self._process.poll() is not None:
            raise BedError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    @property
    @abstractmethod
    def cli(self) -> Path:
        """A script that runs a command of the PBX's own command line, once it is started."""

    def outside(self, path: Path) -> Path:
        """Return where a path of this machine could also be seen, inside the PBX's own root."""
        return path

    @abstractmethod
    def write_config(self, files: dict[str, str]) -> None:
        """Write the folders, the general configuration, and these files into `etc`."""

    @abstractmethod
    def _command(self) -> list[str]:
        """Return the command that runs the PBX in the foreground."""

    @abstractmethod
    async def _connect(self) -> None:
        """Return when the PBX is ready, with the bed's own connection made."""

    @abstractmethod
    async def _disconnect(self) -> None:
        """Close the bed's own connection; safe to repeat."""

    @abstractmethod
    async def rx(self, command: str) -> str:
        """Run a CLI command and return its output."""

    @abstractmethod
    async def reload(self) -> None:
        """Read the configuration again, as after an edit."""

    @abstractmethod
    async def hang_up_all(self) -> None:
        """Hang up every channel; nothing where the connection is lost."""

    @abstractmethod
    async def channels(self) -> str:
        """Return the channels there are as text; empty for none, or a lost connection."""

    async def start(self) -> None:
        """Start the process and return when the PBX is ready.

        Raises:
            BedError: It ended, or was not ready in time.
        """
        if self.running:
            return
        # From this thread, not an executor's: the parent-death signal follows the thread.
        with (self.logs / "console").open("ab") as console:
            self._process = subprocess.Popen(  # noqa: ASYNC220
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                cwd=self.base,
            )
        try:
            async with asyncio.timeout(START_S):
                await self._connect()
        except TimeoutError:
            self.kill()
            raise BedError(
                f"{self.name} was not ready within {START_S} s\n{self.log_tail()}"
            ) from None
        except BaseException:
            self.kill()
            raise

    def _check_starting(self) -> None:
        if not self.running:
            raise BedError(f"{self.name} ended while it was starting\n{self.log_tail()}")

    async def stop(self) -> None:
        """Stop gracefully, after `stop_s` by force; safe to repeat.

        Raises:
            BedError: It did not end by itself in time.
        """
        await self._disconnect()
        if self._process is None or self._process.poll() is not None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(self.stop_s):
                while self._process.poll() is None:
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            self.kill()
            raise BedError(
                f"{self.name} did not stop within {self.stop_s} s\n{self.log_tail()}"
            ) from None
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process at once (SIGKILL) and reap it; safe to repeat."""
        if self._process is None:
            return
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(timeout=5)

    async def restart(self) -> None:
        """Stop and start again, also after `kill`."""
        await self.stop()
        await self.start()

    def has_open(self, path: Path) -> bool:
        """Whether the process has this file open."""
        try:
            wanted = path.stat()
        except FileNotFoundError:
            return False
        for entry in Path(f"/proc/{self.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                found = entry.stat()
                if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
                    return True
        return False

    async def wait_closed(self, path: Path, timeout: float) -> None:
        """Return when the process has closed this file.

        Raises:
            BedError: It is not there, or stays open.
        """
        try:
            async with asyncio.timeout(timeout):
                while not path.exists() or self.has_open(path):
                    await asyncio.sleep(POLL_S)
        except TimeoutError:
            state = "is still open" if path.exists() else "was not written"
            raise BedError(f"{path} {state} after {timeout} s\n{self.log_tail()}") from None

    def log_text(self) -> str:
        """Return the whole log; empty when there is none yet."""
        if not self.log_file.exists():
            return ""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def log_tail(self, lines: int = 60) -> str:
        """Return the end of the log, and what the process printed, for a failure message."""
        console = self.logs / "console"
        said = console.read_text(errors="replace") if console.exists() else ""
        both = [*said.splitlines()[-10:], *self._telling(self.log_text().splitlines())[-lines:]]
        return f"--- end of {self.name}'s log ---\n" + "\n".join(both)

    def _telling(self, lines: list[str]) -> list[str]:
        """Return the lines of the log that a failure message shows."""
        return lines

    def remove(self) -> None:
        """Remove all its folders."""
        shutil.rmtree(self.base, ignore_errors=True)
