"""How many events a second the whole pipeline carries, beside bare panoramisk.

One captured call is multiplied to many, each with ids of its own, interleaved as on a busy PBX,
and played at full speed in segments of 64 KiB:

- `panoramisk`: its own protocol and dispatch, one callback that does nothing;
- `callrec-pbx, no disk`: framing, translation, domain and commands, until the last call is over;
- `callrec-pbx, all`: the same with sidecars (each flushed to the disk) and rows in SQLite, until
  the last row is written. Only the PBX is left out: a command succeeds at once, and the time
  of writing the audio in its place is taken off.

Run: python -m bench.pipeline [--calls 1000] [--at-once 200]
"""

import argparse
import asyncio
import gzip
import itertools
import logging
import re
import resource
import struct
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from panoramisk import Manager
from panoramisk.ami_protocol import AMIProtocol

from callrec_pbx.catalogue.migrate import open_current, upgrade
from callrec_pbx.catalogue.writer import CatalogueWriter
from callrec_pbx.catalogue.written import note_written
from callrec_pbx.domain.facts import CallFacts, PromptBook, PromptFacts, RecordingFacts
from callrec_pbx.domain.policy import Policy, PolicyText, Rule, Settings
from callrec_pbx.domain.words import ConsentMode, Direction, Mode, RecordingState
from callrec_pbx.pbx.asterisk.adapter import Asterisk
from callrec_pbx.pbx.asterisk.link import AmiLink, Protocol
from callrec_pbx.pbx.interface import Seen
from callrec_pbx.recorder.pump import Pump
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.storage.serial import Tombstone
from callrec_pbx.storage.store import RecordingStore

CAPTURE = Path(__file__).parent / "data" / "asterisk-22-call.ami.gz"
SEGMENT = 64 * 1024
GREETING = b"Asterisk Call Manager/11.0.0\r\n"
IDS = re.compile(rb"pbx-(\d+)\.(\d+)|(PJSIP/\w+)-([0-9a-f]{8})|([0-9a-f]{8})-([0-9a-f]{4}-){3}")


def one_call() -> list[bytes]:
    """The messages of the captured call, without the login."""
    blocks = gzip.decompress(CAPTURE.read_bytes()).split(b"\r\n\r\n")
    return [b for b in blocks if b.startswith(b"Event: ") and not b.startswith(b"Event: Fully")]


def renumbered(messages: list[bytes], number: int) -> list[bytes]:
    """The same call with other ids."""
    text = b"\r\n\r\n".join(messages)

    def other(match: re.Match[bytes]) -> bytes:
        seconds, leg, channel, index, bridge, _ = match.groups()
        if seconds:
            return b"pbx-%d.%d" % (int(seconds) + number, int(leg) + number * 10)
        if channel:
            return b"%s-%08x" % (channel, int(index, 16) + number * 2)
        return b"%08x" % number + match.group()[8:] if bridge else match.group()

    return IDS.sub(other, text).split(b"\r\n\r\n")


def stream(calls: int, at_once: int) -> tuple[bytes, int]:
    """Interleaved calls as one stream of bytes, and the number of events in it."""
    template = one_call()
    numbers = itertools.count()
    waiting: list[Iterator[bytes]] = []
    out: list[bytes] = []
    started = 0
    while started < calls or waiting:
        while started < calls and len(waiting) < at_once:
            waiting.append(iter(renumbered(template, next(numbers))))
            started += 1
        still = []
        for call in waiting:
            message = next(call, None)
            if message is not None:
                out.append(message)
                still.append(call)
        waiting = still
    return GREETING + b"\r\n\r\n".join(out) + b"\r\n\r\n", len(out)


def segments(data: bytes) -> list[bytes]:
    """As they come from a socket."""
    return [data[i : i + SEGMENT] for i in range(0, len(data), SEGMENT)]


class ObedientPbx:
    """Stands for the PBX's answers alone: every command succeeds, a start makes a short file."""

    def __init__(self, *, writes: bool) -> None:
        self._writes = writes
        samples = b"\0\0" * 160
        header = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ",
                             16, 1, 1, 8000, 16000, 2, 16, b"data", len(samples))  # fmt: skip
        self._audio = header + samples
        self.seconds = 0.0

    async def start(self, _recording: RecordingFacts, path: str, _reminder_s: int) -> None:
        """Make the file."""
        if not self._writes:
            return
        begin = time.perf_counter()
        with open(path, "wb") as file:  # noqa: ASYNC230, PTH123 - what Asterisk would do
            file.write(self._audio)
        self.seconds += time.perf_counter() - begin

    def now(self) -> datetime:
        """That of the machine."""
        return datetime.now(UTC)

    def __getattr__(self, name: str) -> Any:
        async def succeed(*_: Any) -> None:
            return None

        return succeed

    async def look(self, _recordings: dict[str, str]) -> Seen:
        """Nothing runs yet."""
        return Seen(datetime.fromtimestamp(0, UTC), (), None)


class NoDisk(RecordingStore):
    """Keeps nothing: shows what the disk costs."""

    def write_sidecar(self, *_: Any, **__: Any) -> None:
        """Write nothing."""

    def write_call(self, *_: Any, **__: Any) -> None:
        """Write nothing."""

    def holding(self, item: str, *, wait: bool = True) -> AbstractContextManager[None]:  # noqa: ARG002
        """Lock nothing."""
        return nullcontext()

    def known(self, facts: RecordingFacts) -> None:
        """Know nothing."""

    def last(self, facts: RecordingFacts) -> None:
        """Know nothing."""


class NoRows:
    """Keeps no rows."""

    backlog = 0

    def save_call(self, _call: CallFacts, _tombstone: Tombstone | None = None) -> None:
        """Write nothing."""

    def save_recording(
        self, _recording: RecordingFacts, _tombstone: Tombstone | None = None
    ) -> None:
        """Write nothing."""


async def _stored(recording: RecordingFacts, _wait_s: float) -> RecordingFacts:
    return replace(recording, state=RecordingState.STORED)


def cpu_s() -> float:
    """Processor time of this process so far, all threads (s)."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


async def bare_panoramisk(data: list[bytes]) -> tuple[float, float]:
    """Seconds by the clock and of processor time for panoramisk with an empty callback."""
    manager = Manager(loop=asyncio.get_running_loop())
    manager.register_event("*", lambda _manager, _event: None)
    protocol = AMIProtocol()
    protocol.connection_made(None)
    protocol.factory, protocol.encoding = manager, "utf8"
    begin, cpu = time.perf_counter(), cpu_s()
    for segment in data:
        protocol.data_received(segment)
    return time.perf_counter() - begin, cpu_s() - cpu


async def whole_pipeline(data: list[bytes], calls: int, folder: Path | None) -> tuple[float, float]:
    """Seconds by the clock and of processor time until the last row is written.

    Args:
        folder: Where to write; None writes nothing.
    """
    writer, url = None, f"sqlite:///{folder}/catalogue.db"
    if folder is None:
        spool = Spool(NoDisk(Path("/")), NoRows(), 0)
        spool.finish = _stored  # type: ignore[method-assign, assignment]
    else:
        upgrade(url)
        store = RecordingStore(folder / "recordings")
        store.directory.mkdir()
        writer = CatalogueWriter(open_current(url), on_written=partial(note_written, store))
        spool = Spool(store, writer, 0)
    prompt = PromptFacts("announce_opt_out", "en", "0" * 64, 5000, "1")
    settings = Settings(consent=ConsentMode.OPT_OUT)
    rule = Rule("inbound", Mode.ALWAYS_PAUSABLE, settings, direction=(Direction.INBOUND,))
    book = PromptBook({("en", prompt.name): prompt})
    pump = Pump(Policy("1", PolicyText(rules=(rule,))), book, spool, 3600.0)
    pbx: Any = ObedientPbx(writes=folder is not None)
    await pump.agree_with(pbx)
    taken: list[Callable[..., None]] = []

    def link(take: Callable[..., None]) -> AmiLink:
        taken.append(take)
        return AmiLink("127.0.0.1", 1, "", "", on_messages=take)

    Asterisk(link, ("trunk*",), pump.take_all)
    protocol = Protocol(taken[0])
    begin, cpu = time.perf_counter(), cpu_s()
    for segment in data:
        protocol.data_received(segment)
        await asyncio.sleep(0)  # what the socket does between two segments
    await pump.carrier.idle()
    pump.carrier.cancel_timers()
    await pump.spool.close()
    if writer is not None:
        writer.close(60)
    wall, used = time.perf_counter() - begin, cpu_s() - cpu
    wall, used = wall - pbx.seconds, used - pbx.seconds
    if folder is not None:
        check(url, calls)
    return wall, used


def check(url: str, calls: int) -> None:
    """Every call has its row, its outcome and its recording; otherwise the figure is void."""
    with open_current(url).connect() as db:
        rows = db.exec_driver_sql("select count(*) from call where outcome='recorded'").scalar()
        audio = db.exec_driver_sql("select count(*) from recording where state='stored'").scalar()
    if (rows, audio) != (calls, calls):
        raise SystemExit(f"{calls} calls played, but {rows} recorded calls and {audio} recordings")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--calls", type=int, default=1000)
    parser.add_argument("--at-once", type=int, default=200)
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    options = parser.parse_args()
    # The captured calls are long over, of which each key press would be told.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    data, events = stream(options.calls, options.at_once)
    parts = segments(data)
    print(f"{options.calls} calls, {options.at_once} at once: {events} events, "
          f"{len(data) / 2**20:.0f} MiB")  # fmt: skip
    theirs = asyncio.run(bare_panoramisk(parts))
    bare = asyncio.run(whole_pipeline(parts, options.calls, None))
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        ours = asyncio.run(whole_pipeline(parts, options.calls, Path(folder)))
    print(f"{'':24}{'s':>8}{'CPU s':>8}{'events/s':>10}{'calls/s':>9}{'events/CPU s':>14}")
    ways = {"panoramisk, empty": theirs, "callrec-pbx, no disk": bare, "callrec-pbx, all": ours}
    for name, (wall, cpu) in ways.items():
        print(
            f"{name:24}{wall:8.2f}{cpu:8.2f}{events / wall:10.0f}{options.calls / wall:9.0f}"
            f"{events / cpu:14.0f}"
        )
    for name, found in (("no disk", bare), ("all", ours)):
        clock, processor = (theirs[i] / found[i] for i in (0, 1))
        print(f"ratio, {name}: {clock:.2f} by the clock, {processor:.2f} by processor time")


if __name__ == "__main__":
    main()
