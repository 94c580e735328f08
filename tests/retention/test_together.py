"""Several runs at the same time, on machines that share a catalogue; and runs that are killed."""

import random
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import text

from callrec_pbx.catalogue.holds import connect, new_hold, place
from callrec_pbx.domain.words import HoldKind, RecordingState
from callrec_pbx.retention import gather
from callrec_pbx.retention.leader import RetentionBusyError, RetentionLostError, alone
from callrec_pbx.retention.outcome import Applied
from callrec_pbx.retention.run import Terms, run
from tests.databases import only_postgresql
from tests.retention.house import audited
from tests.retention.made import Made
from tests.storage.samples import START, a_call, a_recording, an_id

S = RecordingState
NOW = START + timedelta(days=31)
COUNT = 12

RUNNER = """
import os, sys
from datetime import datetime
from pathlib import Path
from callrec_pbx.catalogue import holds
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.retention import gather
from callrec_pbx.retention.leader import RetentionBusyError
from callrec_pbx.retention.run import Terms, run
from callrec_pbx.storage.store import RecordingStore
url, directory, now, kill_at, wait = sys.argv[1:]
gather.BATCH = 5
engine = open_current(url)
store = RecordingStore(Path(directory))
holds.connect(store.holds, engine)
steps = 0
def step(event, arguments):
    global steps
    if event in ("os.rename", "os.remove") and str(arguments[0]).startswith(directory):
        steps += 1
        if steps == int(kill_at):
            os.kill(os.getpid(), 9)
sys.addaudithook(step)
def planned(count):
    print("alone", flush=True)
    if wait == "wait":
        sys.stdin.readline()
try:
    done = run(Place(engine, store), Terms(1), now=datetime.fromisoformat(now), planned=planned)
    print(f"done {done.recordings} {done.calls} {done.held}", flush=True)
except RetentionBusyError:
    print("busy", flush=True)
"""

pytestmark = pytest.mark.slow

Child = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def child(made: Made, url: str) -> Child:
    """Starts a run in a process of its own; it may be killed at a step, or wait for a line."""
    connect(made.store.holds, made.engine)

    def start(kill_at: int = 0, *, wait: bool = False) -> "subprocess.Popen[str]":
        arguments = [url, str(made.store.directory), NOW.isoformat(), str(kill_at)]
        return subprocess.Popen(
            [sys.executable, "-c", RUNNER, *arguments, "wait" if wait else ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    return start


def fill(made: Made) -> None:
    for number in range(1, COUNT + 1):
        made.call(a_call(number), a_recording(number))


def test_of_two_that_begin_together_one_works_and_each_is_deleted_once(
    made: Made, child: Child
) -> None:
    fill(made)
    children = [child(wait=True), child(wait=True)]
    firsts = [one.stdout.readline().strip() for one in children if one.stdout]
    said = [one.communicate("\n", timeout=60)[0].strip() for one in children]
    assert sorted(firsts) == ["alone", "busy"]
    assert said[firsts.index("alone")] == f"done {COUNT} {COUNT} 0"
    assert sorted(audited(made.engine, "prune")) == [an_id(n) for n in range(1, COUNT + 1)]
    assert len(audited(made.engine, "prune", "call")) == COUNT
    assert (made.audio(), made.personal()) == ([], [])


def test_when_the_first_is_killed_the_next_takes_over(made: Made, child: Child) -> None:
    fill(made)
    first = child(wait=True)
    assert first.stdout is not None
    assert first.stdout.readline() == "alone\n"
    with pytest.raises(RetentionBusyError, match="another retention run"):
        run(made.place, Terms(), now=NOW)
    first.kill()
    first.communicate()
    # The server needs a moment to see that its client has gone.
    while True:
        try:
            assert run(made.place, Terms(), now=NOW) == Applied(recordings=COUNT, calls=COUNT)
        except RetentionBusyError:
            continue
        break


def test_killed_again_and_again_each_is_pruned_once_and_nothing_held_is_lost(
    made: Made, child: Child, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gather, "BATCH", 5)
    fill(made)
    held = {an_id(3), an_id(8)}
    for one in sorted(held):
        place(made.place, new_hold(HoldKind.RECORDING, one, "court", "ann"))
    dice = random.Random(7)
    for _ in range(3):
        killed = child(dice.randint(1, 40))
        killed.communicate(timeout=60)
        assert killed.returncode == -9
        assert held <= set(made.audio())
    while True:
        try:
            run(made.place, Terms(1), now=NOW)
        except RetentionBusyError:
            continue
        break
    rows = {row["recording_id"]: row["state"] for row in made.tables()["recording"]}
    assert {one for one, state in rows.items() if state is S.STORED} == held == set(made.audio())
    pruned = audited(made.engine, "prune")
    assert sorted(pruned) == sorted(set(rows) - held), "once each"
    assert len(audited(made.engine, "prune", "call")) == COUNT - len(held)


@only_postgresql
def test_a_run_ends_when_it_loses_the_lock(made: Made) -> None:
    """Another machine may be at work by then."""
    end = text(
        "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory'"
        " AND objsubid = 2 AND pid <> pg_backend_pid()"
    )
    made.call(a_call(), a_recording())

    def lose(_count: int) -> None:
        with made.engine.begin() as connection:
            connection.execute(end)

    with pytest.raises(RetentionLostError, match="lock of retention"):
        run(made.place, Terms(), now=NOW, planned=lose)
    assert made.audio() == [an_id(1)]
    with alone(made.place) as check:
        check()
    assert run(made.place, Terms(), now=NOW).recordings == 1
