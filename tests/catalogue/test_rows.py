"""Facts to rows and back."""

from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from sqlalchemy import Engine, event, select, text

from callrec_pbx.catalogue import migrate, rows
from callrec_pbx.catalogue.engine import alone, reading
from callrec_pbx.catalogue.rows import CALL, CONSENT, LEG, PAUSE, RECORDING, RecordingRow
from callrec_pbx.catalogue.search_rows import OF_CALL
from callrec_pbx.domain.facts import (
    CallFacts,
    ConsentFacts,
    LegFacts,
    PauseFacts,
    RecordingFacts,
)
from callrec_pbx.storage.serial import CallSidecar, Tombstone
from tests.catalogue.tables import dump
from tests.storage.samples import START, a_call, a_recording, an_id, anything


def read_back(engine: Engine) -> tuple[list[CallSidecar], list[RecordingRow]]:
    with engine.begin() as connection:
        call_rows = connection.execute(select(CALL).order_by(CALL.c.call_id)).mappings().all()
        query = select(RECORDING).order_by(RECORDING.c.recording_id)
        recording_rows = connection.execute(query).mappings().all()
        return (
            rows.calls_of(connection, call_rows),
            rows.recordings_of(connection, recording_rows),
        )


def without_nul(value: Any) -> Any:
    """Facts with the text that is written for theirs."""
    if isinstance(value, str) and type(value) is str:
        return value.replace("\0", "\ufffd")
    if isinstance(value, CallFacts | LegFacts | ConsentFacts | RecordingFacts):
        # JSON has NULs as they are.
        names = [f.name for f in fields(value) if f.name not in IN_JSON]
        return replace(value, **{name: without_nul(getattr(value, name)) for name in names})
    return tuple(map(without_nul, value)) if isinstance(value, tuple) else value


IN_JSON = frozenset({"pbx_ids", "transfers", "explanation", "tags"})


@pytest.mark.parametrize(
    ("facts", "table", "elsewhere"),
    [
        (CallFacts, CALL, {"legs", "consents"}),
        (LegFacts, LEG, set()),
        (ConsentFacts, CONSENT, set()),
        (RecordingFacts, RECORDING, {"pauses"}),
        (PauseFacts, PAUSE, set()),
    ],
)
def test_every_field_has_its_column(facts: type, table: object, elsewhere: set[str]) -> None:
    columns = set(table.c.keys())  # type: ignore[attr-defined]
    if facts is RecordingFacts:
        columns -= {*OF_CALL, "length_band"}
    names = {field.name for field in fields(facts)}
    own = {"call_id", "recording_id", "position", "pruned_at", "pruned_by", "prune_reason"}
    assert names - elsewhere == columns - (own - names)


def test_facts_read_back_as_they_were(engine: Engine) -> None:
    tombstone = Tombstone(START, "retention", "over")
    items: list[rows.Item] = [
        CallSidecar(a_call(), tombstone),
        RecordingRow(a_recording(), tombstone),
    ]
    with engine.begin() as connection:
        rows.write(connection, items)
    assert read_back(engine) == ([items[0]], [items[1]])


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(call=anything(CallFacts), recording=anything(RecordingFacts))
def test_any_facts_read_back(engine: Engine, call: CallFacts, recording: RecordingFacts) -> None:
    call = without_nul(call)
    recording = replace(without_nul(recording), call_id=call.call_id)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM call"))
        rows.write(connection, [RecordingRow(recording), CallSidecar(call)])
    assert read_back(engine) == ([CallSidecar(call)], [RecordingRow(recording)])


def test_writing_again_changes_nothing_and_less_replaces_more(engine: Engine) -> None:
    items: list[rows.Item] = [CallSidecar(a_call()), RecordingRow(a_recording())]
    with engine.begin() as connection:
        rows.write(connection, items)
    first = dump(engine)
    with engine.begin() as connection:
        rows.write(connection, items)
    assert dump(engine) == first
    fewer: list[rows.Item] = [
        CallSidecar(a_call(legs=a_call().legs[1:], consents=(), answered_at=None)),
        RecordingRow(a_recording(pauses=())),
    ]
    with engine.begin() as connection:
        rows.write(connection, fewer)
    assert read_back(engine) == ([fewer[0]], [fewer[1]])
    assert dump(engine)["pause"] == dump(engine)["consent"] == []


def test_writing_a_call_does_not_take_its_recordings_away(engine: Engine) -> None:
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(a_call()), RecordingRow(a_recording())])
        rows.write(connection, [CallSidecar(a_call(reason="other"))])
    assert [item.recording for item in read_back(engine)[1]] == [a_recording()]


def test_a_recording_may_come_before_its_call(engine: Engine) -> None:
    with engine.begin() as connection:
        rows.write(connection, [RecordingRow(a_recording())])
    (stub,), _ = read_back(engine)
    assert stub.call == CallFacts(a_call().call_id, (), a_recording().created_at)
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(a_call())])
        rows.write(connection, [RecordingRow(a_recording())])
    assert read_back(engine) == ([CallSidecar(a_call())], [RecordingRow(a_recording())])


def test_of_several_of_one_id_the_last_wins(engine: Engine) -> None:
    with engine.begin() as connection:
        rows.write(
            connection,
            [RecordingRow(a_recording(late_ms=n)) for n in (1, 2, 3)]
            + [CallSidecar(a_call(reason=r)) for r in ("a", "b")],
        )
    (call,), (recording,) = read_back(engine)
    assert (recording.recording.late_ms, call.call.reason) == (3, "b")


def test_times_are_stored_so_that_they_sort(engine: Engine) -> None:
    whole = START.replace(microsecond=0)
    calls = [a_call(n, at=whole + timedelta(milliseconds=500 * n)) for n in (3, 1, 2, 0)]
    with engine.begin() as connection:
        rows.write(connection, map(CallSidecar, calls))
        stored = connection.execute(text("SELECT call_id FROM call ORDER BY started_at"))
        assert [row[0] for row in stored] == [an_id(number, "c") for number in range(4)]


WRONG = r"time zone|CHECK constraint failed|violates (check|not-null)|NOT NULL"


@pytest.mark.parametrize(
    "item",
    [
        RecordingRow(a_recording(created_at=START.replace(tzinfo=None))),
        RecordingRow(a_recording(state="molten")),
        CallSidecar(a_call(reason=None)),
    ],
)
def test_a_wrong_value_is_refused(engine: Engine, item: rows.Item) -> None:
    with pytest.raises(Exception, match=WRONG), engine.begin() as connection:
        rows.write(connection, [item])
    assert read_back(engine) == ([], [])


def test_the_database_itself_refuses_unknown_words(engine: Engine) -> None:
    with engine.begin() as connection:
        rows.write(connection, [RecordingRow(a_recording())])
    with pytest.raises(Exception, match="ck_recording_state"), engine.begin() as connection:
        connection.execute(text("UPDATE recording SET state = 'molten'"))


def test_readers_and_the_writer_do_not_wait_for_each_other(url: str, engine: Engine) -> None:
    other = migrate.open_current(url, busy_ms=0)
    with engine.begin() as writing:
        rows.write(writing, [CallSidecar(a_call())])
        with reading(other).begin() as connection:
            assert connection.execute(select(CALL)).all() == []
    other.dispose()


def test_read_modify_write_loses_nothing(url: str, engine: Engine) -> None:
    """Who wants to be alone waits for who is, on SQLite for everybody who may write."""
    other = migrate.open_current(url, busy_ms=0)
    with engine.begin() as first:
        alone(first, "people")
        with (
            pytest.raises(Exception, match=r"database is locked|lock timeout"),
            other.begin() as second,
        ):
            alone(second, "people")
    with other.begin() as second:
        alone(second, "people")
    other.dispose()


def test_who_reads_sees_one_moment_and_cannot_write(url: str, engine: Engine) -> None:
    other = migrate.open_current(url)
    with reading(engine).begin() as connection:
        assert connection.execute(select(CALL)).all() == []
        with other.begin() as writing:
            rows.write(writing, [CallSidecar(a_call())])
        assert connection.execute(select(CALL)).all() == []
    other.dispose()


def test_text_that_a_database_refuses_is_replaced(engine: Engine) -> None:
    with engine.begin() as connection:
        call = a_call(a_name="Ann\0 \ud83d\ude00\udc80", pbx_ids=("1\0",))
        rows.write(connection, [CallSidecar(call)])
    (found,), _ = read_back(engine)
    assert found.call.a_name == "Ann\ufffd \U0001f600\ufffd"
    assert found.call.pbx_ids == ("1\0",)


def test_a_batch_is_a_handful_of_statements(engine: Engine) -> None:
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    with engine.begin() as connection:
        rows.write(
            connection,
            [CallSidecar(a_call(n)) for n in range(50)]
            + [RecordingRow(a_recording(n, a_call(n))) for n in range(50)],
        )
    assert len(statements) < 18
    assert len(dump(engine)["leg"]) == 100


def test_ids_in_chunks(engine: Engine, tmp_path: Path) -> None:
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(a_call(n)) for n in range(rows.CHUNK + 3)])
        found = rows.calls_by_id(connection, [an_id(n, "c") for n in range(rows.CHUNK + 5)] * 2)
    assert len(found) == rows.CHUNK + 3
    assert found[an_id(7, "c")].call == a_call(7)
