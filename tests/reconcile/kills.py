"""Kills a process at each step of the work after a call, and sees what the next one makes of it.

Run as a program of its own, without threads: it prepares a recordings directory as it is when the
PBX has written the last byte, and for each step forks a process that does the work until that step
and is killed there by SIGKILL; another one that starts as a listener does; and a third that looks.

A step is a call that changes the disk, or a statement or commit of the database. Of a write only
half may have been done.

    python -m tests.reconcile.kills SCENARIO FOLDER [--url URL] [--points all|N]
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Engine, event

from callrec_pbx.audio import sound, wav
from callrec_pbx.catalogue import migrate, rows
from callrec_pbx.catalogue import writer as writers
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import make_engine
from callrec_pbx.catalogue.rows import CALL, RECORDING, RecordingRow
from callrec_pbx.catalogue.writer import CatalogueWriter
from callrec_pbx.catalogue.written import note_written
from callrec_pbx.domain.facts import CallFacts, PromptBook, RecordingFacts
from callrec_pbx.domain.words import AudioFormat, Channels, Outcome, RecordingState
from callrec_pbx.followup import waiting
from callrec_pbx.followup.steps import Work
from callrec_pbx.followup.tries import carry_out
from callrec_pbx.pbx.interface import Seen
from callrec_pbx.reconcile.check import Check, Scope
from callrec_pbx.reconcile.finding import Finding
from callrec_pbx.reconcile.mend import Way
from callrec_pbx.recorder import carrier as carriers
from callrec_pbx.recorder.pump import Pump
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.retention.run import Terms
from callrec_pbx.retention.run import run as run_retention
from callrec_pbx.storage import finish as finishing
from callrec_pbx.storage import naming
from callrec_pbx.storage.serial import CallSidecar
from callrec_pbx.storage.store import RecordingStore
from tests.reconcile.house import S, write_wav
from tests.recorder.fakes import FakePbx
from tests.rules import policy, rule
from tests.storage.samples import START, a_call, a_recording

SAMPLES = 4000
LATER = datetime(2027, 1, 1, tzinfo=UTC)
"""When what has a date is due, and what is quiet is quiet for long."""


@dataclass(frozen=True)
class Scenario:
    """What the PBX left, and what is to become of it.

    Attributes:
        facts: What is special about the recording.
        header: Whether the PBX came to write the header.
        pbx_died: Whether the PBX was started anew since.
        discards: The customer objects when it is stored.
        prunes: Retention runs when it is stored.
        names: Recordings have names on the disk.
        ends: States that it may end in; those before the last may be there when the listener was
            killed before it was told of more.
    """

    facts: dict[str, Any]
    header: bool = True
    pbx_died: bool = False
    discards: bool = False
    prunes: bool = False
    names: bool = False
    ends: tuple[RecordingState, ...] = (S.STORED,)


SCENARIOS = {
    "mixed": Scenario({}),
    "stereo": Scenario({"channels": Channels.STEREO}),
    "opus": Scenario({"format": AudioFormat.OPUS}),
    "stereo_opus": Scenario({"channels": Channels.STEREO, "format": AudioFormat.OPUS}),
    "kept_flac_named": Scenario({"format": AudioFormat.FLAC, "keep_wav": True}, names=True),
    "opus_named": Scenario({"format": AudioFormat.OPUS}, names=True),
    "broken_header": Scenario({}, header=False),
    "interrupted": Scenario({}, header=False, pbx_died=True, ends=(S.INTERRUPTED,)),
    "discarded": Scenario({}, discards=True, ends=(S.STORED, S.DISCARDED)),
    "discarding": Scenario(
        {"state": S.DISCARDING, "reason": "consent_withdrawn"}, ends=(S.DISCARDED,)
    ),
    "pruned": Scenario({}, prunes=True, ends=(S.PRUNED,)),
    "pruned_opus_named": Scenario(
        {"format": AudioFormat.OPUS}, prunes=True, names=True, ends=(S.PRUNED,)
    ),
}


class Killer:
    """Counts steps, and kills this process at one of them."""

    def __init__(self, at: int, torn: bool) -> None:
        """Kill at step `at`, counted from 1; 0: never. `torn`: halfway through a write."""
        self.count = 0
        self._at = at
        self._torn = torn
        self._lock = threading.Lock()

    def step(self, half: Callable[[], object] = lambda: None) -> None:
        """A step is about to be made."""
        with self._lock:
            self.count += 1
            if self.count == self._at:
                if self._torn:
                    half()
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()

    def watch(self, engine: Engine) -> None:
        """Count from now on what this process does."""
        for name in ("open", "rename", "replace", "link", "unlink", "mkdir", "ftruncate", "fchmod"):
            self._wrap(name, getattr(os, name))
        write, pwrite = os.write, os.pwrite
        os.write, os.pwrite = self._writing(write), self._writing(pwrite)
        # What is killed by a signal has reached the kernel; so the disk need not be waited for.
        os.fsync = lambda fd: self.step()  # noqa: ARG005
        event.listen(engine, "before_cursor_execute", lambda *_: self.step())
        commit = engine.dialect.do_commit

        def committed(dbapi_connection: Any) -> None:
            self.step()
            commit(dbapi_connection)
            self.step()

        engine.dialect.do_commit = committed  # type: ignore[method-assign]

    def _wrap(self, name: str, real: Callable[..., Any]) -> None:
        def wrapped(*arguments: Any, **named: Any) -> Any:
            reading = name == "open" and not arguments[1] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if not reading and not str(arguments[0]).startswith("/dev/"):
                self.step()
            return real(*arguments, **named)

        setattr(os, name, wrapped)

    def _writing(self, real: Callable[..., int]) -> Callable[..., int]:
        def wrapped(handle: int, data: Any, *more: Any) -> int:
            view = memoryview(data)
            # A pipe of an event loop is no file.
            if os.path.realpath(f"/proc/self/fd/{handle}").startswith("/"):
                self.step(lambda: real(handle, view[: len(view) // 2], *more))
            return real(handle, data, *more)

        return wrapped


@dataclass
class Bench:
    """One scenario in one folder."""

    name: str
    folder: Path
    url: str

    @property
    def scenario(self) -> Scenario:
        """What the PBX left."""
        return SCENARIOS[self.name]

    @property
    def recordings(self) -> Path:
        """The recordings directory."""
        return self.folder / "recordings"

    @contextmanager
    def place(self) -> Iterator[Place]:
        """Catalogue and directory, opened anew."""
        engine = _engine(self.url)
        try:
            yield Place(engine, RecordingStore(self.recordings))
        finally:
            engine.dispose()

    def prepare(self) -> None:
        """As it is when the PBX has written the last byte, and the listener knows nothing of it."""
        self.recordings.mkdir()
        call = a_call(1, ended_at=None, outcome=None, reason="")
        facts = a_recording(
            1,
            call,
            **{
                "state": S.RECORDING,
                "pauses": (),
                "ended_at": None,
                "audio_ms": None,
                "size": None,
                "sha256": "",
                "delete_after": None,
            }
            | self.scenario.facts,
        )
        with self.place() as place:
            place.store.write_call(call)
            place.store.write_sidecar(facts, call)
            with place.engine.begin() as connection:
                rows.write(connection, [CallSidecar(call), RecordingRow(facts)])
            paths = [place.store.audio_path(facts)]
            if facts.channels is Channels.STEREO:
                paths += place.store.side_paths(facts)
        for value, path in enumerate(paths, start=1):
            write_wav(path, SAMPLES, value)
            if not self.scenario.header:
                data = bytearray(path.read_bytes())
                data[4:8] = data[40:44] = b"\0\0\0\0"
                path.write_bytes(data)

    def work(self, place: Place) -> None:
        """What a listener does from its start on, with follow-up and retention."""
        asyncio.run(self._listen(place))
        self._follow_up(place)
        if self.scenario.prunes:
            run_retention(place, Terms(), now=LATER)

    async def _listen(self, place: Place) -> None:
        def told(item: rows.Item) -> rows.Item | None:
            return note_written(place.store, item)

        writer = CatalogueWriter(place.engine, on_written=told)
        spool = Spool(place.store, writer, 0, names=self.scenario.names)
        pump = Pump(policy(rule("all")), PromptBook(), spool, 60.0)
        pbx = Empty(started_at=START + timedelta(minutes=2 if self.scenario.pbx_died else -60))
        await pump.prepare()
        await pump.agree_with(pbx)
        await pump.carrier.idle()
        pump.carrier.cancel_timers()
        await spool.write_rows_left()
        await asyncio.to_thread(writer.flush, 20)
        if self.scenario.discards:
            await self._discard(place, spool)
        await spool.close()
        await asyncio.to_thread(writer.close, 20)

    async def _discard(self, place: Place, spool: Spool) -> None:
        """As when the customer objects in a later part of a call of several recordings."""
        for path in place.store.sidecars():
            if not path.name.endswith(".call.json"):
                facts, call = place.store.read(path)
                gone = replace(facts, state=S.DISCARDED, to_do=(), reason="consent_withdrawn")
                gone = replace(gone, size=None, sha256="", audio_ms=None)
                await spool.save_recording(gone, call)
                await spool.discard(gone)

    def _follow_up(self, place: Place) -> None:
        names = naming.Names(naming.parse("by_day")) if self.scenario.names else None
        for recording_id in waiting.waiting(place.engine, 10):
            carry_out(Work(place, names), recording_id)

    def problems(self) -> list[str]:
        """What is not as it should be in the end."""
        found: list[str] = []
        with self.place() as place:
            sidecars = sorted(place.store.sidecars())
            if len(sidecars) != 2:
                return [f"sidecars: {[path.name for path in sidecars]}"]
            call = place.store.read_call(next(p for p in sidecars if ".call." in p.name))
            path = next(p for p in sidecars if ".call." not in p.name)
            facts = place.store.read(path)[0]
            with place.engine.begin() as connection:
                counts = [
                    len(connection.execute(table.select()).all()) for table in (CALL, RECORDING)
                ]
            found += [] if counts == [1, 1] else [f"rows: {counts}"]
            found += self._facts(facts, call)
            found += self._audio(place.store, facts)
            told: list[Finding] = []
            Check(place, Way(now=LATER), Scope(), on_finding=told.append).run()
            found += [f"check: {one}" for one in told]
        found += [f"left: {name}" for name in self._left_over(facts)]
        return found

    def _facts(self, facts: RecordingFacts, call: CallFacts) -> list[str]:
        found = []
        if facts.state not in self.scenario.ends:
            found.append(f"state: {facts.state}")
        if facts.to_do:
            found.append(f"to do: {facts.to_do} after {facts.tries}: {facts.follow_up_error}")
        kept = {S.STORED: "rule", S.INTERRUPTED: "interrupted", S.PRUNED: "rule"}
        if self.scenario.discards or facts.state is S.DISCARDED:
            outcomes = {(Outcome.RECORDED, "rule"), (Outcome.DISCARDED, "consent_withdrawn")}
            outcomes |= {(Outcome.RECORDED, "partly_declined")}
            if call.outcome is not None and (call.outcome, call.reason) not in outcomes:
                found.append(f"outcome: {call.outcome} {call.reason}")
        elif (call.outcome, call.reason) != (Outcome.RECORDED, kept[facts.state]):
            found.append(f"outcome: {call.outcome} {call.reason}")
        if call.ended_at is None:
            found.append("the call has no end")
        return found

    def _audio(self, store: RecordingStore, facts: RecordingFacts) -> list[str]:
        """Every sample that the PBX has written, and nothing else."""
        if facts.state in (S.DISCARDED, S.PRUNED):
            left = [p.name for p in self.recordings.rglob("*") if p.suffix in (".wav", ".opus")]
            return [f"audio of {facts.state}: {left}"] if left else []
        channels = 2 if facts.channels is Channels.STEREO else 1
        wanted = (2).to_bytes(2, "little") + (3).to_bytes(2, "little")
        wanted = wanted if channels == 2 else (1).to_bytes(2, "little")
        found = []
        if self.scenario.facts.get("channels", Channels.MIXED) is not facts.channels:
            found.append(f"channels: {facts.channels}")
        if facts.has_wav:
            path = store.audio_path(facts)
            with wav.opened(path) as (info, file):
                if not info.header_ok or file.read(info.frames * 2 * channels) != wanted * SAMPLES:
                    found.append("the WAV file is not what was recorded")
            if (path.stat().st_size, wav.sha256(path)) != (facts.size, facts.sha256):
                found.append("size or checksum of the WAV file")
        if facts.format is not AudioFormat.WAV:
            with sound.opened(store.encoded_path(facts)) as encoded:
                frames = sum(len(block) for block in encoded.blocks())
                seconds = frames / encoded.rate
                if encoded.channels != channels or abs(seconds - SAMPLES / 8000) > 0.05:
                    found.append(f"encoded: {seconds} s of {encoded.channels} channels")
            if not facts.encoded or facts.has_wav is not facts.keep_wav:
                found.append(f"encoded {facts.encoded}, has WAV {facts.has_wav}")
        return found

    def _left_over(self, facts: RecordingFacts) -> list[str]:
        wanted = {"json"}
        if facts.state not in (S.DISCARDED, S.PRUNED):
            wanted |= {"peaks.json", *(["wav"] if facts.has_wav else [])}
            wanted |= {str(facts.format)} if facts.encoded else set()
        names = {f"{facts.recording_id}.{ending}" for ending in wanted}
        names |= {f"{facts.call_id}.call.json"}
        named = {facts.named} if facts.named else set()
        found = [
            path.relative_to(self.recordings).as_posix()
            for path in self.recordings.rglob("*")
            if path.is_file() and not path.name.startswith(".") and path.name not in names
            if path.relative_to(self.recordings).as_posix().removeprefix("named/") not in named
        ]
        if self.scenario.names and facts.state is S.STORED and not named:
            found.append("no name")
        return found


class Empty(FakePbx):
    """A PBX without calls."""

    def __init__(self, started_at: datetime) -> None:
        super().__init__()
        self._started_at = started_at

    async def look(self, recordings: dict[str, str]) -> Seen:  # noqa: ARG002
        """No leg is there any more."""
        return Seen(START + timedelta(minutes=5), (), self._started_at)


def forked(work: Callable[[], object]) -> tuple[int, str]:
    """Do something in a process of its own; its status (negative: the signal) and what it says."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(read)
        status = 1
        try:
            said = work()
            os.write(write, json.dumps(said).encode())
            status = 0
        except BaseException:
            os.write(write, json.dumps(traceback.format_exc()[-3000:]).encode())
        finally:
            os._exit(status)
    os.close(write)
    with os.fdopen(read, "rb") as out:
        said = out.read().decode()
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said


class Database:
    """Where the catalogue is: a file in the folder, or a database that is made anew each time."""

    def __init__(self, folder: Path, server: str) -> None:
        self._server = server
        self._template = folder / "template.db"
        if not server:
            migrate.upgrade(f"sqlite:///{self._template}")

    def url(self, folder: Path) -> str:
        """Its address."""
        return self._server or f"sqlite:///{folder}/catalogue.db"

    @property
    def is_server(self) -> bool:
        """Whether it is none of the files in the folder."""
        return bool(self._server)

    def empty(self, folder: Path) -> None:
        """Make it empty."""
        if not self._server:
            shutil.copy(self._template, folder / "catalogue.db")
            return
        engine = make_engine(self._server)
        with engine.begin() as connection:
            connection.execute(CALL.delete())
        engine.dispose()


def one(bench: Bench, database: Database, at: int, torn: bool) -> tuple[bool, list[str]]:
    """Kill at one step; whether the work came to its end before, and what is wrong then."""
    prepared = bench.folder.with_name(f"prepared-{bench.name}")
    if database.is_server or not prepared.exists():
        shutil.rmtree(prepared, ignore_errors=True)
        shutil.rmtree(bench.folder, ignore_errors=True)
        bench.folder.mkdir()
        database.empty(bench.folder)
        status, said = forked(bench.prepare)
        assert status == 0, said
        shutil.copytree(bench.folder, prepared)
        warm_up(bench)
    shutil.rmtree(bench.folder)
    shutil.copytree(prepared, bench.folder)

    def killed() -> int:
        with bench.place() as place:
            killer = Killer(at, torn)
            killer.watch(place.engine)
            bench.work(place)
        return killer.count

    def again() -> list[str]:
        with bench.place() as place:
            bench.work(place)
        return bench.problems()

    status, said = forked(killed)
    if status not in (0, -signal.SIGKILL):
        return False, [f"the work itself: {said}"]
    status_again, found = forked(again)
    return status == 0, json.loads(found) if status_again == 0 else [f"the next start: {found}"]


@cache
def _engine(url: str) -> Engine:
    """One for all processes, as what it has compiled is kept; it is closed at each fork."""
    return make_engine(url)


def warm_up(bench: Bench) -> None:
    """Do all of it once in this process, so that those that are forked have all in memory."""
    with bench.place() as place:
        bench.work(place)
    bench.problems()


def main() -> None:
    """Kill, look, and print one line of JSON for each step with problems, and one at the end."""
    parser = argparse.ArgumentParser()
    parser.add_argument("scenario", choices=[*SCENARIOS, "any"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url", default="")
    parser.add_argument("--points", default="all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stride", type=int, default=1, help="of all points only every so many")
    options = parser.parse_args()
    structlog.configure(processors=[lambda *_: (_ for _ in ()).throw(structlog.DropEvent)])
    writers.LINGER_S = 0.0
    finishing.WAIT_S = carriers.WAIT_S = 0.0  # type: ignore[attr-defined]
    options.folder.mkdir(exist_ok=True)
    database = Database(options.folder, options.url)
    folder = options.folder / "case"

    def bench_of(name: str) -> Bench:
        return Bench(name, folder, database.url(folder))

    kills = bad = 0

    def note(name: str, at: int, torn: bool, problems: list[str]) -> None:
        nonlocal bad
        if problems:
            bad += 1
            print(json.dumps({"scenario": name, "at": at, "torn": torn, "problems": problems}))
            sys.stdout.flush()

    if options.points == "all":
        at, through = 1 - options.stride, False
        while not through:
            at += options.stride
            through, problems = one(bench_of(options.scenario), database, at, torn=False)
            kills += not through
            note(options.scenario, at, False, problems)
    else:
        chance = random.Random(options.seed)
        lengths: dict[str, int] = {}
        for _ in range(int(options.points)):
            name = options.scenario
            if name == "any":
                name = chance.choice(sorted(SCENARIOS))
            at = chance.randint(1, lengths.get(name, 120))
            torn = chance.random() < 0.5
            through, problems = one(bench_of(name), database, at, torn)
            kills += not through
            if through:
                lengths[name] = min(lengths.get(name, at), at)
            note(name, at, torn, problems)
    print(json.dumps({"kills": kills, "bad": bad}))


if __name__ == "__main__":
    main()
