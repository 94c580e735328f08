"""PostgreSQL goes away while rows are saved: all of them are written when it is back."""

import threading
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import structlog
from sqlalchemy import Engine, event, text

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue import writer as module
from callrec_pbx.catalogue.engine import alone, is_outage, make_engine, reading
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.catalogue.writer import CatalogueWriter
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.storage.serial import CallSidecar
from tests.bed.postgres import Postgres
from tests.catalogue.tables import dump
from tests.storage.samples import a_call, a_recording, an_id


@pytest.fixture(autouse=True)
def short_back_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACK_OFF_S", 0.01)
    monkeypatch.setattr(module, "MAX_BACK_OFF_S", 0.02)


@pytest.fixture
def engine(postgresql_url: str) -> Iterator[Engine]:
    engine = open_current(postgresql_url)
    yield engine
    engine.dispose()


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


class Tries:
    """Counts the writer's attempts that failed."""

    def __init__(self, engine: Engine) -> None:
        self._tried = threading.Semaphore(0)
        event.listen(engine, "engine_disposed", lambda _engine: self._tried.release())

    def wait(self, times: int) -> None:
        """Wait for more of them."""
        for _ in range(times):
            assert self._tried.acquire(timeout=20)


def outage_lines(logged: list[Any]) -> list[str]:
    return [line["event"] for line in logged if line["event"].startswith("catalogue_")]


def test_a_server_that_crashes_while_rows_are_saved(
    engine: Engine, postgres: Postgres, logged: list[Any]
) -> None:
    tries = Tries(engine)
    writer = CatalogueWriter(engine, batch=7)
    for number in range(60):
        if number == 20:
            assert writer.flush(10)
            postgres.stop("immediate")
        if number == 40:
            tries.wait(2)
            assert not writer.available
            postgres.start()
        writer.save_call(a_call(number))
        writer.save_recording(a_recording(number, a_call(number), state=RecordingState.STARTING))
        writer.save_recording(a_recording(number, a_call(number), state=RecordingState.STORED))
    assert writer.close(20)
    tables = dump(engine)
    assert [row["call_id"] for row in tables["call"]] == [an_id(n, "c") for n in range(60)]
    assert [row["recording_id"] for row in tables["recording"]] == [an_id(n) for n in range(60)]
    assert {row["state"] for row in tables["recording"]} == {RecordingState.STORED}
    assert outage_lines(logged) == ["catalogue_unavailable", "catalogue_available_again"]


def test_connections_that_the_administrator_ends(
    engine: Engine, postgres: Postgres, logged: list[Any]
) -> None:
    """One that lies idle is noticed before it is used; one at work is an outage."""
    writer = CatalogueWriter(engine)
    writer.save_call(a_call(1))
    assert writer.flush(10)
    postgres.admin(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'callrec'"
    )
    writer.save_call(a_call(2))
    assert writer.flush(10)
    assert outage_lines(logged) == []

    ended = threading.Event()

    def end(connection: Any) -> None:
        if not ended.is_set():
            ended.set()
            pid = connection.connection.driver_connection.info.backend_pid
            with postgres.connect("postgres", "postgres") as admin:
                admin.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])

    event.listen(engine, "begin", end)
    writer.save_call(a_call(3))
    assert writer.close(10)
    assert ended.is_set()
    assert len(dump(engine)["call"]) == 3


def test_a_standby_that_only_reads_is_an_outage(
    engine: Engine, postgres: Postgres, postgresql_url: str, logged: list[Any]
) -> None:
    name = str(engine.url.database)
    tries = Tries(engine)
    postgres.admin("ALTER DATABASE {} SET default_transaction_read_only = on", name)
    engine.dispose()
    writer = CatalogueWriter(engine)
    writer.save_call(a_call(1))
    tries.wait(3)
    assert (writer.backlog, writer.set_aside) == (1, ())
    postgres.admin("ALTER DATABASE {} SET default_transaction_read_only = off", name)
    assert writer.close(10)
    assert len(dump(engine)["call"]) == 1
    assert outage_lines(logged) == ["catalogue_unavailable", "catalogue_available_again"]
    assert "read-only" in logged[0]["error"]


def test_a_locked_row_is_waited_for_and_not_for_ever(postgresql_url: str) -> None:
    engine, other = make_engine(postgresql_url, busy_ms=50), make_engine(postgresql_url)
    tries = Tries(engine)
    with other.begin() as blocker:
        rows.write(blocker, [CallSidecar(a_call(1))])
        writer = CatalogueWriter(engine)
        writer.save_call(a_call(1, reason="later"))
        tries.wait(2)
    assert writer.close(10)
    assert [row["reason"] for row in dump(engine)["call"]] == ["later"]
    engine.dispose()
    other.dispose()


def test_writers_of_the_same_rows_in_any_order_end(postgresql_url: str) -> None:
    items: list[rows.Item] = []
    for number in range(30):
        items += [CallSidecar(a_call(number)), RecordingRow(a_recording(number, a_call(number)))]
    failed: list[Exception] = []

    def write(mine: list[rows.Item]) -> None:
        engine = make_engine(postgresql_url)
        try:
            for _ in range(5):
                with engine.begin() as connection:
                    rows.write(connection, mine)
        except Exception as error:
            failed.append(error)
        engine.dispose()

    threads = [
        threading.Thread(target=write, args=(mine,)) for mine in (items, items[::-1], items[20:])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failed == []


def test_a_deadlock_may_be_tried_again(postgresql_url: str) -> None:
    one, two = make_engine(postgresql_url), make_engine(postgresql_url)
    met = threading.Barrier(2, timeout=10)
    errors: list[BaseException] = []

    def both(engine: Engine, first: str, second: str) -> None:
        try:
            with engine.begin() as connection:
                alone(connection, first)
                met.wait()
                alone(connection, second)
        except Exception as error:
            errors.append(error)

    thread = threading.Thread(target=both, args=(one, "a", "b"))
    thread.start()
    both(two, "b", "a")
    thread.join()
    (error,) = errors
    assert "deadlock" in str(error)
    assert is_outage(error)
    one.dispose()
    two.dispose()


@pytest.mark.parametrize(
    ("statement", "outage"),
    [
        ("SELECT * FROM nowhere", True),
        ("SELECT 1 / 0", False),
        ("INSERT INTO pause VALUES ('gone', 0, 1)", False),
        ("CREATE ROLE x", True),
        ("SET LOCAL statement_timeout = 1; SELECT pg_sleep(5)", True),
    ],
)
def test_which_errors_may_go_away(engine: Engine, statement: str, outage: bool) -> None:
    with pytest.raises(Exception, match="psycopg") as raised, engine.begin() as connection:
        connection.exec_driver_sql(statement)
    assert is_outage(raised.value) is outage


def test_text_too_long_for_an_index_is_a_bad_row(engine: Engine) -> None:
    number = "".join(chr(0x4E00 + n) for n in range(9000))
    with pytest.raises(Exception, match="index") as raised, engine.begin() as connection:
        rows.write(
            connection, [CallSidecar(a_call(legs=())), RecordingRow(a_recording(owner=number))]
        )
    assert not is_outage(raised.value)


def test_no_connection_is_an_outage(engine: Engine, postgres: Postgres) -> None:
    postgres.stop()
    try:
        with pytest.raises(Exception, match="psycopg") as raised, engine.begin():
            pass
    finally:
        postgres.start()
    assert is_outage(raised.value)
    assert not isinstance(raised.value, psycopg.Error)


def test_who_reads_cannot_write(engine: Engine) -> None:
    with (
        pytest.raises(Exception, match="read-only transaction"),
        reading(engine).begin() as connection,
    ):
        connection.execute(text("DELETE FROM call"))
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM call"))


def test_every_connection_has_its_limits(postgresql_url: str) -> None:
    engine = make_engine(postgresql_url, busy_ms=1234)
    with engine.begin() as connection:

        def shown(name: str) -> Any:
            return connection.exec_driver_sql(f"SHOW {name}").scalar()

        assert shown("lock_timeout") == "1234ms"
        assert shown("statement_timeout") == "5min"
        assert shown("idle_in_transaction_session_timeout") == "5min"
        assert shown("timezone") == "UTC"
        assert shown("transaction_isolation") == "read committed"
        assert shown("application_name") == "callrec-pbx"
    with reading(engine).begin() as connection:
        assert shown("transaction_isolation") == "repeatable read"
    engine.dispose()
