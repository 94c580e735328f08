"""How fast a large catalogue is written, searched and pruned, on SQLite or PostgreSQL.

- `searches`: one page of each search the console has, by the clock of the whole call: planning,
  keys, rows, calls and legs as objects. Beside it the same by the plain `SELECT ... LIKE ... ORDER
  BY created_at DESC LIMIT 50 OFFSET n` on the same database with all its indexes, rows fetched and
  not even made into objects. Page 1, and page 100 where there is one.
- `inserts`: calls and recordings through the recorder's own writer.
- `pruning`: the time until a call and its recording are in the database, alone, and while
  retention's runner, in a process of its own, prunes a tenth of the rows.

Run: python -m bench.catalogue --keep DIR [--url postgresql://...] [--rows 100000]
     [--only searches inserts pruning]

A database that is filled already is used again. With 10,000,000 rows it takes some 12 GB, and as
much again while it is filled.
"""

import argparse
import itertools
import random
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import DBAPIError

from bench.catalogue_fill import fill, size_of
from bench.catalogue_searches import Asked, Make, searches
from callrec_pbx.catalogue import migrate
from callrec_pbx.catalogue.engine import make_engine, reading
from callrec_pbx.catalogue.search import find
from callrec_pbx.catalogue.writer import CatalogueWriter
from callrec_pbx.domain.words import RecordingState
from tests.storage.samples import a_call, a_recording

PAGE = 50
FAR = 99 * PAGE
RUNS = 40
PLAIN_RUNS = 5
PLAIN_S = 15.0
"""After so long a plain search is broken off."""
PRUNE_S = 40.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keep", type=Path, required=True, help="a folder outside the checkout")
    parser.add_argument("--url", help="an empty database (default: SQLite in that folder)")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--runs", type=int, default=RUNS)
    phases = ("searches", "inserts", "pruning")
    parser.add_argument("--only", nargs="+", choices=phases, default=phases)
    options = parser.parse_args()
    options.keep.mkdir(parents=True, exist_ok=True)
    url = options.url or f"sqlite:///{options.keep.resolve()}/catalogue.db"
    migrate.upgrade(url)
    engine = make_engine(url)
    with reading(engine).begin() as connection:
        there = connection.execute(text("SELECT 1 FROM recording LIMIT 1")).scalar()
    if there is None:
        print(f"filling with {options.rows} recordings")
        fill(engine, options.rows)
    with reading(engine).connect() as connection:
        rows = connection.execute(text("SELECT count(*) FROM recording")).scalar()
        print(f"{engine.dialect.name}: {rows} recordings, {size_of(connection) / 2**30:.1f} GiB")
    if "searches" in options.only:
        measure_searches(engine, options.runs)
    if "inserts" in options.only:
        measure_inserts(engine)
    if "pruning" in options.only:
        measure_pruning(engine, url, options.keep / "recordings")


def measure_searches(engine: Engine, runs: int) -> None:
    """Each search by us and plainly, on the first page and on the hundredth."""
    print("| search | page | p50, ms | p95, ms | plain, ms | ratio |\n|---|---|---|---|---|---|")
    for name, make in searches(engine.dialect.name == "sqlite").items():
        for page, behind in (("1", 0), ("100", FAR)):
            taken = ours(engine, make, behind, runs if not behind else max(5, runs // 4))
            if not taken:
                continue
            half, most = statistics.median(taken), percentile(taken, 95)
            other = plain(engine, make, behind)
            shown = f"{other:.0f}" if other is not None else f"> {PLAIN_S * 1000:.0f}"
            ratio = f"{'' if other else '> '}{(other or PLAIN_S * 1000) / half:.1f}"
            print(f"| {name} | {page} | {half:.1f} | {most:.1f} | {shown} | {ratio} |", flush=True)


def ours(engine: Engine, make: Make, behind: int, runs: int) -> list[float]:
    """Milliseconds of single pages; none where there is no page so far behind."""
    chance, taken = random.Random(1), []
    for run in range(runs + 1):
        search, cursor = make(chance).search, None
        if behind:
            cursor = find(engine, search, limit=behind).next_cursor
            if cursor is None:
                return []
        begin = time.perf_counter()
        find(engine, search, after=cursor, limit=PAGE)
        if run:
            taken.append((time.perf_counter() - begin) * 1000)
    return taken


def plain(engine: Engine, make: Make, behind: int) -> float | None:
    """The median of a few; None where even one takes too long."""
    chance, taken = random.Random(1), []
    for run in range(PLAIN_RUNS + 1):
        found = plainly(engine, make(chance), behind)
        if found is None:
            return None
        if run or found > PLAIN_S * 250:
            taken.append(found)
        if sum(taken) > PLAIN_S * 1000:
            break
    return statistics.median(taken)


def plainly(engine: Engine, asked: Asked, behind: int) -> float | None:
    """Milliseconds of one plain page; None when it was broken off."""
    query = text(
        "SELECT r.*, c.* FROM recording r JOIN call c ON c.call_id = r.call_id"
        f" WHERE {asked.where} ORDER BY r.created_at DESC LIMIT {PAGE} OFFSET {behind}"
    )
    with reading(engine).connect() as connection, suppress(DBAPIError):
        stop = breaker(connection)
        begin = time.perf_counter()
        try:
            connection.execute(query, asked.values).fetchall()
        finally:
            stop()
        return (time.perf_counter() - begin) * 1000
    return None


def breaker(connection: Connection) -> Callable[[], None]:
    """Break off what takes too long on a connection; gives what takes that back."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SET statement_timeout = {PLAIN_S * 1000:.0f}"))
        return lambda: None
    raw: Any = connection.connection.driver_connection
    timer = threading.Timer(PLAIN_S, raw.interrupt)
    timer.start()
    return timer.cancel


def measure_inserts(engine: Engine, calls: int = 3000) -> None:
    """Calls and recordings a second through the writer: begun, and again when they are over."""
    writer = CatalogueWriter(engine)
    begin = time.perf_counter()
    for number in range(calls):
        save(writer, number, begun=True)
        save(writer, number, begun=False)
    if not writer.flush(300) or writer.set_aside:
        raise SystemExit("the writer did not come to its end")
    took = time.perf_counter() - begin
    writer.close(60)
    print(f"inserts: {calls / took:.0f} calls with recording a second, at full speed")


def measure_pruning(engine: Engine, url: str, folder: Path) -> None:
    """How long a call waits for the database, alone and beside pruning."""
    # Without any day in it the directory would be taken for one that is not mounted.
    (folder / "2023" / "09" / "01").mkdir(parents=True, exist_ok=True)
    alone = delays(engine, PRUNE_S / 3)
    report("alone", alone)
    with engine.begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET LOCAL statement_timeout = 0"))
        oldest = connection.execute(
            text("SELECT created_at FROM recording ORDER BY created_at LIMIT 1 OFFSET"
                 " (SELECT count(*) / 10 FROM recording)")
        ).scalar()  # fmt: skip
        connection.execute(
            text("UPDATE recording SET retention = '30 days', delete_after = created_at"
                 " WHERE created_at < :at"), {"at": oldest},
        )  # fmt: skip
    pruner = subprocess.Popen(
        [sys.executable, "-m", "bench.catalogue_prune", url, str(folder), str(PRUNE_S)],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    beside = delays(engine, PRUNE_S - 5)
    said, _ = pruner.communicate()
    report("beside pruning", beside)
    print(f"pruned: {said.strip()}")


def delays(engine: Engine, seconds: float) -> list[float]:
    """Milliseconds from saving a call and its recording until both are in the database."""
    writer, taken = CatalogueWriter(engine), []
    numbers, end = itertools.count(int(time.time() * 10)), time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.perf_counter()
        save(writer, next(numbers), begun=True)
        if not writer.flush(60):
            raise SystemExit("a call was not written within a minute")
        taken.append((time.perf_counter() - begin) * 1000)
        time.sleep(0.02)
    writer.close(60)
    return taken


def save(writer: CatalogueWriter, number: int, *, begun: bool) -> None:
    """A call of somebody new, with its recording."""
    at = datetime.now(UTC) + timedelta(microseconds=number)
    outside = f"+49{number:010}"
    call = a_call(number, at, call_id=f"n{number:025}", a_number=outside, tenant="t0")
    call = replace(call, legs=tuple(replace(leg, number=outside) for leg in call.legs[:1]))
    recording = a_recording(
        number, call, at, recording_id=f"n{number:025}", tenant="t0", delete_after=None
    )
    if begun:
        call = replace(call, ended_at=None, outcome=None)
        recording = replace(recording, state=RecordingState.RECORDING, audio_ms=None, size=None)
    writer.save_call(call)
    writer.save_recording(recording)


def report(name: str, taken: list[float]) -> None:
    """Print how long calls waited."""
    print(
        f"inserts {name}: {len(taken)}, p50 {statistics.median(taken):.1f} ms,"
        f" p99 {percentile(taken, 99):.1f} ms, longest {max(taken):.0f} ms",
        flush=True,
    )


def percentile(taken: list[float], percent: int) -> float:
    """The value below which so many lie."""
    return sorted(taken)[min(len(taken) - 1, len(taken) * percent // 100)]


if __name__ == "__main__":
    main()
