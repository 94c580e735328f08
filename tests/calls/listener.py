"""callrec-pbx beside the scenarios' PBX: installed by its own setup, run as its own process."""

# ruff: noqa: ASYNC109, ASYNC110 - a deadline is part of what a test says

import asyncio
import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callrec_pbx.catalogue.migrate import open_current, upgrade
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.people.kinds import Thing
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.people import changing
from callrec_pbx.policy.store import save
from callrec_pbx.storage.store import RecordingStore
from tests.acknowledged import switch_on
from tests.bed.far import Phone
from tests.calls.pbx import Happening, House, What

CHECKOUT = Path(__file__).parents[2]
TRIES_S = 0.02

TOLD = 5
"""How many of the latest calls and recordings a failure message shows."""


class ListenerError(AssertionError):
    """The listener did not do what the test waited for; the text has the end of its log."""


@dataclass
class Listener:
    """One installation and, while it runs, one process.

    Attributes:
        rules: The TOML text of the rules, changed by `configure`.
        recordings: The recordings directory, by one path for the listener and the PBX.
        before_start: Called before each start; gives what its environment has besides.
        after_change: Called after whatever may have changed policy, people or places.
    """

    house: House
    folder: Path
    rules: str = ""
    extra: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    before_start: Callable[[], dict[str, str]] = dict
    after_change: Callable[[], object] = dict

    @property
    def recordings(self) -> Path:
        """Where audio and sidecars lie."""
        return self.folder / "recordings"

    @property
    def config(self) -> Path:
        """The configuration file."""
        return self.folder / "callrec.toml"

    @property
    def log(self) -> Path:
        """What the listener printed, of all its runs."""
        return self.folder / "listener.log"

    @property
    def catalogue(self) -> Path:
        """The SQLite file."""
        return self.folder / "catalogue.db"

    def configure(self, rules: str, **extra: str) -> None:
        """Write configuration and policy.

        Args:
            rules: TOML text of the rules.
            extra: TOML text by section name; `pbx` is that of the PBX, whichever it is.
        """
        self.rules, self.extra = rules, extra
        sections = {
            self.house.pbx: self.house.section(),
            "recordings": f'directory = "{self.recordings}"\nmin_free_mb = 1\n',
            "catalogue": f'url = "{self.url}"\n',
        }
        if "metrics" not in extra:  # many listeners run beside each other
            sections["metrics"] = 'listen = ""\n'
        if "follow_up" not in extra:  # the files stay as the recorder has left them
            sections["follow_up"] = "threads = 0\n"
        for name, text in extra.items():
            name = self.house.pbx if name == "pbx" else name  # noqa: PLW2901
            sections[name] = sections.get(name, "") + text + "\n"
        body = "".join(f"[{name}]\n{text}\n" for name, text in sections.items())
        self.recordings.mkdir(parents=True, exist_ok=True)
        self.config.write_text(f'pbx = "{self.house.pbx}"\n\n{body}\n')
        self.config.chmod(0o600)
        self.apply(rules)

    def apply(self, policy: str) -> str:
        """Make this the policy, and return its version; the listener takes it while it runs."""
        upgrade(self.url)
        engine = open_current(self.url)
        try:
            switch_on(engine)
            saved = save(engine, parse(policy, "test"), "test")
        finally:
            engine.dispose()
        self.after_change()
        return str(saved.version)

    def add(self, *things: Thing) -> None:
        """Add people and places; the listener takes them while it runs."""
        engine = open_current(self.url)
        try:
            with changing(engine, author="test") as changes:
                for thing in things:
                    changes.add(thing)
        finally:
            engine.dispose()
        self.after_change()

    @property
    def url(self) -> str:
        """Address of the catalogue."""
        return f"sqlite:///{self.catalogue}"

    def cli(self, *arguments: str, ok: tuple[int, ...] = (0,)) -> str:
        """Run a command of ours and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "callrec_pbx.cli", "--config", str(self.config), *arguments],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        if done.returncode not in ok:
            raise ListenerError(f"{arguments} ended with {done.returncode}:\n{done.stderr}")
        self.after_change()
        return done.stdout

    def start(self) -> None:
        """Start the process; does not wait."""
        mark = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                # It ends with the tests, also when those are killed.
                [
                    *("setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "callrec_pbx.cli"),
                    *("--config", str(self.config), "run"),
                ],
                cwd=CHECKOUT,
                stdout=out,
                stderr=out,
                env={**os.environ, "CALLREC_LOG__FORMAT": "json", **self.before_start()},
            )
        self._mark = mark

    async def up(self, timeout: float = 20) -> None:
        """Start it and wait until it is linked to the PBX."""
        self.start()
        await self.until(lambda: "pbx_linked" in self.log_text(), "pbx_linked", timeout)

    def log_text(self) -> str:
        """What the current run has printed so far."""
        return self.log.read_bytes()[self._mark :].decode(errors="replace")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal; SIGSTOP freezes it, SIGCONT lets it go on."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(10)
            self.process = None

    def stop(self) -> None:
        """SIGTERM, and wait for an orderly end."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.kill()
                raise ListenerError(f"did not end:\n{self.log_text()[-3000:]}") from None
            self.process = None

    async def until(self, done: Callable[[], bool], what: str, timeout: float = 15) -> None:
        """Wait for something to be true, with a deadline against hanging only."""
        try:
            async with asyncio.timeout(timeout):
                while not done():
                    await asyncio.sleep(TRIES_S)
        except TimeoutError:
            raise ListenerError(f"{what}: not within {timeout} s\n{self.tail()}") from None

    def tail(self) -> str:
        """The end of the listener's log and of the PBX's, for messages."""
        ours = self.log_text()[-4000:] if self.log.exists() else ""
        facts: list[object] = []
        if self.recordings.is_dir():
            facts = [*self.call_facts()[-TOLD:], *self.recording_facts()[-TOLD:]]
        told = "\n".join(str(one) for one in facts)
        if self.catalogue.exists():
            for table in ("call", "recording"):
                sql = f"SELECT * FROM {table} ORDER BY {table}_id DESC LIMIT {TOLD}"
                with contextlib.suppress(sqlite3.Error):
                    told += f"\n{table}: {self.rows(sql)}"
        return f"{told}\n--- listener\n{ours}\n{self.house.log_tail()}"

    # what it wrote

    def store(self) -> RecordingStore:
        """The recordings directory, read by the product's own reader."""
        return RecordingStore(self.recordings)

    def call_facts(self) -> list[CallFacts]:
        """All calls with a sidecar, oldest first."""
        store = self.store()
        found = [store.read_call(p) for p in store.sidecars() if p.name.endswith(".call.json")]
        return sorted(found, key=lambda call: call.started_at)

    def recording_facts(self) -> list[RecordingFacts]:
        """All recordings with a sidecar, oldest first."""
        store = self.store()
        found = [store.read(p)[0] for p in store.sidecars() if not p.name.endswith(".call.json")]
        return sorted(found, key=lambda recording: recording.created_at)

    def audio(self, recording: RecordingFacts) -> Path:
        """Where that recording's audio lies."""
        return self.store().audio_path(recording)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        """Ask the catalogue directly."""
        with sqlite3.connect(f"file:{self.catalogue}?mode=ro", uri=True) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(sql)]

    async def ended(self, calls: int, timeout: float = 20) -> list[CallFacts]:
        """Wait until that many calls (merged ones not counted) have their outcome."""

        def outcomes() -> list[CallFacts]:
            return [c for c in self.call_facts() if c.outcome is not None and not c.merged_into]

        await self.until(lambda: len(outcomes()) >= calls, f"{calls} ended calls", timeout)
        return outcomes()

    async def recording(self, state: str, count: int = 1, timeout: float = 15) -> RecordingFacts:
        """Wait until that many recordings are in that state; return the newest of them."""

        def found() -> list[RecordingFacts]:
            return [r for r in self.recording_facts() if r.state.value == state]

        latest: list[RecordingFacts] = []

        def enough() -> bool:
            latest[:] = found()
            return len(latest) >= count

        await self.until(enough, f"{count} recordings {state}", timeout)
        return latest[-1]

    async def key(self, agent: Phone, digits: str) -> None:
        """Let an agent use an in-call key, and wait until its subroutine is over.

        While the PBX plays the confirmation it listens to no further digits.
        """
        mark = self.house.mark()
        await agent.press(digits)
        await self.told(What.KEY_OVER, mark, timeout=10)

    async def told(
        self, what: What, mark: int = 0, count: int = 1, detail: str = "", timeout: float = 15
    ) -> Happening:
        """Wait until the PBX has reported that so many times since the mark; return the last."""

        def found() -> list[Happening]:
            since = self.house.since(mark)
            return [one for one in since if one.what is what and detail in ("", one.detail)]

        await self.until(lambda: len(found()) >= count, f"{count} {what} {detail}", timeout)
        return found()[count - 1]

    def markers(self) -> list[Path]:
        """What the recordings directory marks as not finished."""
        opened = self.recordings / "open"
        return sorted(opened.glob("[!.]*")) if opened.is_dir() else []

    async def idle(self, timeout: float = 20) -> None:
        """Wait until every call and recording has come to its end, as the markers say."""
        await self.until(lambda: not self.markers(), "idle", timeout)


def install(house: House, **extra: str) -> None:
    """Install callrec-pbx beside a PBX that does not run yet, as a user would."""
    house.prepare()
    installer = Listener(house, house.dir / "installer")
    installer.folder.mkdir()
    installer.configure("", **extra)
    installer.cli("setup", house.pbx, "--yes")
