"""The threads in the listener's process."""

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.config.settings import Config
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.holds import Hold
from callrec_pbx.domain.words import FollowUp, HoldKind
from callrec_pbx.followup import runner, steps, waiting
from callrec_pbx.followup.runner import NICE, FollowUpRunner, work_of
from callrec_pbx.followup.steps import Work
from callrec_pbx.followup.tries import MOST_TRIES
from callrec_pbx.storage.store import RecordingStore
from tests.databases import only_sqlite
from tests.followup.house import House
from tests.storage.samples import an_id

pytestmark = only_sqlite

DEADLINE_S = 30


class Watch:
    """Notes which steps are begun, by whom, and lets a test wait for that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[tuple[str, str]] = []
        self.threads: set[int] = set()
        self._changed = threading.Condition()
        self.gate = threading.Event()
        self.gate.set()
        for step, carry in dict(steps.STEPS).items():
            monkeypatch.setitem(steps.STEPS, step, self._noting(step, carry))

    def _noting(self, step: FollowUp, carry: steps.Step) -> steps.Step:
        def noted(work: Work, recording_id: str) -> RecordingFacts:
            with self._changed:
                self.threads.add(threading.get_native_id())
                self.seen.append((step, recording_id))
                self._changed.notify_all()
            assert self.gate.wait(DEADLINE_S)
            return carry(work, recording_id)

        return noted

    def until(self, count: int) -> None:
        """Wait until so many steps were begun."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.seen) >= count, DEADLINE_S), self.seen


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    return Watch(monkeypatch)


Start = Callable[..., FollowUpRunner]


@pytest.fixture
def start(house: House) -> Iterator[Start]:
    """Starts runners, which end with the test."""
    started: list[FollowUpRunner] = []

    def begin(work: Work | None = None, threads: int = 1, **options: Any) -> FollowUpRunner:
        made = FollowUpRunner(work or house.work, threads, **({"poll_s": 0.05} | options))
        started.append(made)
        made.start()
        return made

    yield begin
    for one in started:
        one.stop()


def until_idle(house: House) -> None:
    """Wait until nothing waits; the threads have no other sign of it."""
    done = threading.Event()
    for _ in range(DEADLINE_S * 50):
        if not waiting.waiting(house.engine, 1):
            return
        done.wait(0.02)
    raise AssertionError(waiting.unfinished(house.engine))


def test_a_restart_goes_on_oldest_first(house: House, start: Start, watch: Watch) -> None:
    facts = [house.stored(number, seconds=0.2) for number in (1, 2, 3)]
    start()
    until_idle(house)
    assert [one for step, one in watch.seen if step == "encode"] == [an_id(n) for n in (1, 2, 3)]
    for one in facts:
        assert house.facts(one).to_do == ()
        house.whole(one)


def test_it_is_woken(house: House, start: Start, watch: Watch) -> None:
    running = start(poll_s=3600)
    house.stored(1, seconds=0.2)
    for _ in range(DEADLINE_S * 50):
        running.wake()  # it may not be waiting yet
        if watch.seen:
            break
        threading.Event().wait(0.02)
    watch.until(2)
    until_idle(house)


def test_rows_of_another_process_are_found(house: House, start: Start, watch: Watch) -> None:
    start()
    house.stored(1, seconds=0.2)
    watch.until(2)
    until_idle(house)


def test_its_threads_are_not_in_the_way(house: House, start: Start, watch: Watch) -> None:
    watch.gate.clear()
    house.stored(1, seconds=0.2)
    start()
    watch.until(1)
    (thread,) = watch.threads
    assert os.getpriority(os.PRIO_PROCESS, thread) == NICE
    assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == 0
    watch.gate.set()


def test_two_runners_do_nothing_twice(house: House, url: str, start: Start, watch: Watch) -> None:
    """Each with threads, a connection and a store of its own, as two processes have."""
    engine = open_current(url, busy_ms=5000)
    other = replace(
        house.work,
        place=replace(house.place, engine=engine, store=RecordingStore(house.store.directory)),
    )
    facts = [house.stored(number, seconds=0.2) for number in range(1, 9)]
    running = [start(threads=2), start(other, threads=2)]
    until_idle(house)
    for each in running:
        each.stop()
    engine.dispose()
    assert len(watch.threads) > 1
    assert sorted(watch.seen) == sorted(
        (step, one.recording_id) for one in facts for step in ("encode", "waveform")
    )
    for one in facts:
        assert house.facts(one).tries == 0
        house.whole(one)


def test_a_poison_file_does_not_hold_up_the_others(
    house: House, start: Start, watch: Watch
) -> None:
    poison = house.broken(1, seconds=0.2)
    good = house.stored(2, seconds=0.2)
    start(again_s=0.05)
    until_idle(house)
    assert house.facts(poison).tries == MOST_TRIES
    assert house.facts(good).to_do == ()
    assert watch.seen.count(("encode", an_id(1))) == MOST_TRIES


def test_it_stops_at_once(house: House, start: Start, watch: Watch) -> None:
    facts = house.stored(1, seconds=60)
    running = start()
    watch.until(1)
    running.stop()
    now = house.facts(facts)
    assert (now.to_do, now.tries) in ((facts.to_do, 0), ((FollowUp.WAVEFORM,), 0))
    assert not [name for name in house.files(facts) if name.endswith(".tmp")]


def test_without_threads_it_does_nothing(house: House, start: Start, watch: Watch) -> None:
    house.stored(1, seconds=0.2)
    running = start(threads=0)
    running.wake()
    running.stop()
    assert not watch.seen


def test_a_catalogue_that_is_away_is_waited_for(
    house: House, start: Start, watch: Watch, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    monkeypatch.setattr(runner, "OUTAGE_S", 0.05)
    fails = iter([True, True])
    real = waiting.waiting

    def away(engine: Engine, limit: int) -> list[str]:
        if next(fails, False):
            raise OSError("no route to host")
        return real(engine, limit)

    monkeypatch.setattr(waiting, "waiting", away)
    house.stored(1, seconds=0.2)
    start()
    watch.until(2)
    assert [line["event"] for line in logged][:2] == ["follow_up_not_possible"] * 2


def test_a_hold_that_is_released(house: House, start: Start, watch: Watch) -> None:
    """What was kept for it is replaced; what another hold covers is not."""
    facts = [house.stored(number, seconds=0.2) for number in (1, 2)]
    hold = Hold(
        hold_id="0123456789",
        kind=HoldKind.PERIOD,
        subject="",
        reason="lawsuit",
        placed_at=datetime(2026, 3, 2, tzinfo=UTC),
        placed_by="test",
    )
    other = replace(
        hold, hold_id="0123456780", kind=HoldKind.RECORDING, subject=facts[1].recording_id
    )
    house.store.holds.write(hold)
    house.store.holds.write(other)
    start()
    watch.until(4)
    until_idle(house)
    assert [house.facts(one).has_wav for one in facts] == [True, True]
    house.store.holds.write(replace(hold, released_at=hold.placed_at))
    watch.until(5)
    until_idle(house)
    assert [house.facts(one).has_wav for one in facts] == [False, True]


def test_what_the_configuration_says(house: House, tmp_path: Path) -> None:
    config = Config(path=tmp_path)
    plain = work_of(config, house.engine, house.store)
    assert (plain.names, plain.min_free_bytes) == (None, 200 << 20)
    names = config.names.model_copy(update={"on_disk": "by_day", "zone": "Europe/Berlin"})
    named = work_of(replace(config, names=names), house.engine, house.store).names
    assert named is not None
    assert (named.template.text[:6], str(named.zone)) == ("{yyyy}", "Europe/Berlin")
