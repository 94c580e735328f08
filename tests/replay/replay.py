"""Runs the product's own service against a transcript, and says what came of it."""

# ruff: noqa: ASYNC110 - sidecars and rows have no event for what is polled here

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import cast
from unittest.mock import patch

from structlog.testing import capture_logs

from callrec_pbx.audio.manifest import MANIFEST
from callrec_pbx.catalogue import migrate
from callrec_pbx.config import load_config
from callrec_pbx.pbx.freeswitch import clock
from callrec_pbx.recorder import service
from callrec_pbx.recorder.opening import open_when_there
from tests.calls.balance import problems
from tests.calls.listener import Listener
from tests.calls.pbx import House
from tests.replay.facts import differences, facts_of
from tests.replay.server import Cut, Player, ReplayError, whole
from tests.replay.transcript import Rows, Setting, Transcript, Values

FAULTS = ("event_broke", "command_broke")
"""What a listener never logs, whatever happens."""

SETTLE_S = 10.0
"""Longest time for what is left to write when all was said."""

TRIES_S = 0.02

WATCH_S = 0.1
"""Between the listener's looks for a new policy."""

TOLD = 20
"""How many of the latest log entries a failure message shows."""

ADDRESS = "192.0.2.1"
HOST = "pbx"
PASSWORD = "replayed"


class _NoPbx:
    """There is no PBX, and so nothing in its log."""

    @staticmethod
    def log_tail() -> str:
        """Nothing."""
        return ""


class _Time:
    """The time by FreeSWITCH's clock, as the listener knew it in the real run."""

    def __init__(self, player: Player) -> None:
        self.time = self.monotonic = player.now_s


@dataclass
class Replay:
    """One transcript, played to a listener with a folder of its own."""

    transcript: Transcript
    folder: Path

    def __post_init__(self) -> None:
        own = self.folder / "listener"
        own.mkdir()
        self.listener = Listener(cast(House, _NoPbx()), own)
        self.listener.recordings.mkdir()
        fixed = {
            "recordings": str(self.listener.recordings),
            "listener": str(own),
            "bed": str(self.folder / "bed"),
            "host": HOST,
            "address": ADDRESS,
            "password": f'"{PASSWORD}"',
        }
        self._values = Values(fixed, self.listener.recordings)
        self._serving: asyncio.Future[None] | None = None
        shutil.copy(_empty(self.transcript.revision), self.listener.catalogue)

    def _write(self, found: Rows) -> None:
        with contextlib.closing(sqlite3.connect(self.listener.catalogue)) as db, db:
            for table, rows in found.items():
                db.execute(f"DELETE FROM {table}")  # the schema comes with a tenant
                for row in rows:
                    names, marks = ", ".join(row), ", ".join("?" * len(row))
                    sql = f"INSERT INTO {table} ({names}) VALUES ({marks})"
                    db.execute(sql, tuple(row.values()))

    async def run(self, cut: Cut = whole) -> None:
        """Play it.

        Raises:
            ReplayError: The listener did not do what it had done, or something else came of it.
        """
        with capture_logs() as self._logged, _own_signals() as self._handlers:
            async with Player(self.transcript, self._values, cut) as player:
                self._values.put("port", str(player.port))
                player.start, player.end = self._start, self._end
                player.change = self._change
                watch = patch.object(service, "POLICY_WATCH_S", WATCH_S)
                try:
                    with patch.object(clock, "time", _Time(player)), watch:
                        await player.play()
                except ReplayError as error:
                    tail = "\n".join(str(entry) for entry in self._logged[-TOLD:])
                    raise ReplayError(f"{error}\nlogged:\n{tail}") from None
                finally:
                    await self._end(last=False)
        self._judge()

    async def _start(self, setting: Setting) -> None:
        if "config" in setting:
            self.listener.config.write_text(self._values.show(setting["config"]))
            self.listener.config.chmod(0o600)
        config = load_config(self.listener.config)
        if "prompts" in setting:
            config.sounds_dir.mkdir(parents=True, exist_ok=True)
            (config.sounds_dir / MANIFEST).write_text(setting["prompts"])
        self._write(setting.get("rows", {}))
        migrate.upgrade(self.listener.url)
        self._engine = open_when_there(self.listener.url)
        self._serving = asyncio.ensure_future(service._serve(config, self._engine))

    async def _change(self, rows: Rows) -> None:
        """Change policy, people or places, and wait until the listener has taken it."""
        self._write(rows)
        versions = [row["version"] for row in rows.get("policy_version", ())]
        if versions:
            taken = {"event": "policy_loaded", "version": str(max(versions))}
            async with asyncio.timeout(SETTLE_S):
                while not any(taken.items() <= entry.items() for entry in self._logged):
                    await asyncio.sleep(TRIES_S)

    async def _end(self, last: bool) -> None:
        """End the listener; the last time when it has written what came of the calls."""
        serving, self._serving = self._serving, None
        if serving is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_S):
                while last and not serving.done() and self._wrong():
                    await asyncio.sleep(TRIES_S)
        for stop in self._handlers:
            stop()
        self._handlers.clear()
        await serving
        self._engine.dispose()

    def _wrong(self) -> list[str]:
        wanted = json.loads(self._values.show(json.dumps(self.transcript.facts)))
        found = differences(wanted, facts_of(self.listener))
        return [*problems(self.listener), *found]

    def _judge(self) -> None:
        broken = [entry for entry in self._logged if entry["event"] in FAULTS]
        if broken:
            raise ReplayError(f"{self.transcript.name}: the listener logged {broken}")
        wrong = self._wrong()
        if wrong:
            text = "\n".join((*wrong, "logged:", *map(str, self._logged[-TOLD:])))
            raise ReplayError(f"{self.transcript.name}: not what came of it:\n{text}")


@contextlib.contextmanager
def _own_signals() -> Iterator[list[Callable[[], object]]]:
    """Keep the service from taking the signals of the process; yields what they would do."""
    loop, handlers = asyncio.get_running_loop(), []
    loop.add_signal_handler = lambda _number, handler: handlers.append(handler)  # type: ignore
    try:
        yield handlers
    finally:
        del loop.add_signal_handler


@cache
def _empty(revision: str) -> Path:
    """A catalogue of that schema without rows, made once."""
    folder = Path(tempfile.mkdtemp(prefix="callrec-replay-"))
    migrate.upgrade(f"sqlite:///{folder / 'empty.db'}", revision or "head")
    return folder / "empty.db"
