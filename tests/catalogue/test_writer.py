"""The one writer: never blocks, never raises, loses nothing, and goes on past a bad row."""

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine, event

from callrec_pbx.catalogue import migrate, rows
from callrec_pbx.catalogue import writer as module
from callrec_pbx.catalogue.engine import make_engine
from callrec_pbx.catalogue.writer import CatalogueWriter, SetAside
from callrec_pbx.domain.words import RecordingState
from tests.catalogue.tables import dump
from tests.databases import only_sqlite
from tests.storage.samples import a_call, a_recording, an_id

S = RecordingState


@pytest.fixture(autouse=True)
def short_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", 0.01)
    monkeypatch.setattr(module, "MAX_BACK_OFF_S", 0.02)


@pytest.fixture
def writer(engine: Engine) -> Iterator[CatalogueWriter]:
    writer = CatalogueWriter(engine)
    yield writer
    writer.close(5)


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


class Gate:
    """Holds the writer back at the beginning of a transaction, and tells that it is there."""

    def __init__(self, engine: Engine) -> None:
        self.reached = threading.Event()
        self.opened = threading.Event()
        event.listen(engine, "begin", self._wait)

    def _wait(self, _connection: object) -> None:
        self.reached.set()
        assert self.opened.wait(10)


def test_what_is_saved_is_written(writer: CatalogueWriter, engine: Engine) -> None:
    writer.save_recording(a_recording())
    writer.save_call(a_call())
    assert writer.flush(5)
    assert writer.backlog == 0
    with engine.begin() as connection:
        found = rows.calls_by_id(connection, [a_call().call_id])
    assert found[a_call().call_id].call == a_call()
    assert [row["recording_id"] for row in dump(engine)["recording"]] == [an_id(1)]


def test_saves_of_one_id_are_written_once(engine: Engine) -> None:
    gate = Gate(engine)
    writer = CatalogueWriter(engine)
    writer.save_call(a_call(0))
    assert gate.reached.wait(5)
    for late in range(100):
        writer.save_recording(a_recording(late_ms=late))
    assert writer.backlog == 2
    gate.opened.set()
    assert writer.close(5)
    assert [row["late_ms"] for row in dump(engine)["recording"]] == [99]


def test_a_newer_save_during_a_batch_comes_after_it(engine: Engine) -> None:
    gate = Gate(engine)
    writer = CatalogueWriter(engine)
    writer.save_recording(a_recording(state=S.STARTING))
    assert gate.reached.wait(5)
    writer.save_recording(a_recording(state=S.STORED))
    gate.opened.set()
    assert writer.close(5)
    assert [row["state"] for row in dump(engine)["recording"]] == [S.STORED]


def test_flush_waits_for_what_came_before_it_alone(engine: Engine) -> None:
    gate = Gate(engine)
    writer = CatalogueWriter(engine)
    writer.save_call(a_call())
    assert gate.reached.wait(5)
    assert not writer.flush(0.01)
    gate.opened.set()
    assert writer.flush(5)
    assert writer.flush(0)
    assert writer.close(5)


@only_sqlite
def test_a_locked_database_holds_nobody_up_and_loses_nothing(
    writer: CatalogueWriter, engine: Engine, tmp_path: Path, logged: list[Any]
) -> None:
    attempts = threading.Semaphore(0)
    event.listen(engine, "engine_disposed", lambda _engine: attempts.release())
    blocker = sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)
    blocker.execute("BEGIN EXCLUSIVE")
    for number in range(20):
        writer.save_call(a_call(number))
        writer.save_recording(a_recording(number, a_call(number)))
    for _ in range(3):
        assert attempts.acquire(timeout=10)
    assert (writer.backlog, writer.available) == (40, False)
    blocker.execute("ROLLBACK")
    blocker.close()
    assert writer.flush(10)
    assert (writer.backlog, writer.available) == (0, True)
    tables = dump(engine)
    assert len(tables["call"]) == len(tables["recording"]) == 20
    assert [line["event"] for line in logged] == [
        "catalogue_unavailable",
        "catalogue_available_again",
    ]


@only_sqlite
@pytest.mark.parametrize("names", [("catalogue.db",), ("catalogue.db", "catalogue.db-wal")])
def test_a_database_moved_away_and_back_has_everything(
    writer: CatalogueWriter, engine: Engine, tmp_path: Path, names: tuple[str, ...]
) -> None:
    writer.save_call(a_call(1))
    assert writer.flush(5)
    moved = [name for name in names if (tmp_path / name).exists()]
    for name in moved:
        (tmp_path / name).rename(tmp_path / f"{name}.away")
    writer.save_call(a_call(2))
    assert not writer.flush(0.1)
    assert not (tmp_path / "catalogue.db").exists()
    for name in reversed(moved):
        (tmp_path / f"{name}.away").rename(tmp_path / name)
    assert writer.flush(10)
    assert [row["call_id"] for row in dump(engine)["call"]] == [an_id(1, "c"), an_id(2, "c")]


@only_sqlite
def test_a_database_replaced_by_a_new_one_is_written_from_there_on(
    writer: CatalogueWriter, url: str, engine: Engine, tmp_path: Path
) -> None:
    writer.save_call(a_call(1))
    assert writer.flush(5)
    for path in tmp_path.glob("catalogue.db*"):
        path.unlink()
    writer.save_call(a_call(2))
    assert not writer.flush(0.1)
    migrate.upgrade(url)
    assert writer.flush(10)
    assert [row["call_id"] for row in dump(engine)["call"]] == [an_id(2, "c")]


@only_sqlite
def test_a_database_swapped_for_another_is_noticed_at_once(
    writer: CatalogueWriter, engine: Engine, tmp_path: Path
) -> None:
    writer.save_call(a_call(1))
    assert writer.flush(5)
    migrate.upgrade(f"sqlite:///{tmp_path}/other.db")
    for path in tmp_path.glob("catalogue.db-*"):
        path.unlink()
    (tmp_path / "other.db").replace(tmp_path / "catalogue.db")
    writer.save_call(a_call(2))
    assert writer.flush(5)
    engine.dispose()
    assert [row["call_id"] for row in dump(engine)["call"]] == [an_id(2, "c")]


def test_an_unmigrated_database_is_waited_for(url: str, logged: list[Any]) -> None:
    migrate.downgrade(url, "base")
    engine = make_engine(url)
    writer = CatalogueWriter(engine)
    writer.save_call(a_call())
    assert not writer.flush(0.1)
    migrate.upgrade(url)
    assert writer.close(10)
    assert len(dump(engine)["call"]) == 1
    engine.dispose()


def test_a_bad_row_is_set_aside_and_the_others_go_on(engine: Engine, logged: list[Any]) -> None:
    gate = Gate(engine)
    told: list[SetAside] = []

    def tell(refused: SetAside) -> None:
        told.append(refused)
        raise RuntimeError("the listener's own fault")

    writer = CatalogueWriter(engine, on_set_aside=tell)
    writer.save_call(a_call(0))
    assert gate.reached.wait(5)
    writer.save_call(a_call(1))
    writer.save_call(a_call(2, reason=None))
    writer.save_recording(a_recording(3, size=2**70))
    writer.save_recording(a_recording(4, state="molten"))
    writer.save_recording(a_recording(5))
    gate.opened.set()
    assert writer.flush(5)
    assert [row["call_id"] for row in dump(engine)["call"]] == [
        an_id(number, "c") for number in (0, 1, 5)
    ]
    assert [row["recording_id"] for row in dump(engine)["recording"]] == [an_id(5)]
    assert writer.set_aside == tuple(told)
    too_large = "OverflowError" if engine.dialect.name == "sqlite" else "DataError"
    assert [one.error.split(":")[0] for one in told] == [
        "IntegrityError",
        too_large,
        "IntegrityError",
    ]
    refused = [line for line in logged if line["event"] == "catalogue_row_refused"]
    refused = [line.get("recording") or line["call"] for line in refused]
    assert refused == [an_id(2, "c"), an_id(3), an_id(4)]
    errors = repr([line.get("error") for line in logged])
    assert "PJSIP/" not in errors
    assert "+4930" not in errors
    assert writer.close(5)


@only_sqlite
def test_closing_in_an_outage_returns_in_time_and_says_what_is_left(
    engine: Engine, tmp_path: Path, logged: list[Any]
) -> None:
    (tmp_path / "catalogue.db").unlink()
    writer = CatalogueWriter(engine)
    writer.save_call(a_call())
    assert not writer.close(0.1)
    assert writer.backlog == 1
    assert logged[-1]["event"] == "catalogue_rows_left"
    assert "rebuild" in logged[-1]["remedy"]


def test_closing_writes_what_is_left(engine: Engine) -> None:
    writer = CatalogueWriter(engine, batch=7)
    for number in range(50):
        writer.save_call(a_call(number))
    assert writer.close(10)
    assert len(dump(engine)["call"]) == 50


def test_many_threads_may_save(writer: CatalogueWriter, engine: Engine) -> None:
    def save(first: int) -> None:
        for number in range(first, first + 50):
            writer.save_recording(a_recording(number, a_call(number)))
            writer.save_call(a_call(number))

    threads = [threading.Thread(target=save, args=(first,)) for first in range(0, 200, 50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert writer.flush(10)
    assert {row["reason"] for row in dump(engine)["call"]} == {"rule"}
    assert len(dump(engine)["recording"]) == 200


def test_what_is_committed_is_told_and_may_be_written_again(engine: Engine) -> None:
    """The sidecar may say something else by then; newer facts that wait already come first."""
    told: list[rows.Item] = []
    written: list[int] = []
    instead: dict[int, rows.Item] = {
        1: rows.RecordingRow(a_recording(late_ms=2)),
        3: rows.RecordingRow(a_recording(late_ms=4)),
    }

    def note(item: rows.Item) -> rows.Item | None:
        assert isinstance(item, rows.RecordingRow)
        written.append(dump(engine)["recording"][0]["late_ms"])
        told.append(item)
        late = item.recording.late_ms
        if late == 3:
            own.save_recording(a_recording(late_ms=5))
        return instead.get(late)

    own = CatalogueWriter(engine, on_written=note)
    own.save_recording(a_recording(late_ms=1))
    assert own.flush(5)
    assert own.flush(5)
    own.save_recording(a_recording(late_ms=3))
    assert own.flush(5)
    assert own.close(5)
    assert written == [1, 2, 3, 5]
    assert len(told) == 4


def test_what_is_set_aside_is_told_too_and_a_fault_of_who_is_told_does_no_harm(
    engine: Engine,
) -> None:
    told: list[rows.Item] = []

    def note(item: rows.Item) -> None:
        told.append(item)
        raise RuntimeError("not mine")

    writer = CatalogueWriter(engine, on_written=note)
    writer.save_recording(a_recording(size=2**70))
    writer.save_call(a_call())
    assert writer.flush(5)
    assert writer.close(5)
    assert len(told) == 2
    assert len(writer.set_aside) == 1
