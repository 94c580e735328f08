"""What recordings are searched by follows calls and recordings, and goes with them."""

import random
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine, event, text

from callrec_pbx.catalogue import migrate, rows
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.catalogue.search import Search, find
from callrec_pbx.domain.facts import CallFacts
from callrec_pbx.domain.words import Consent, Direction
from callrec_pbx.retention.clear import cleared_call
from callrec_pbx.storage.serial import CallSidecar
from tests.catalogue.searching import a_catalogue, a_consent
from tests.databases import only_postgresql
from tests.storage.samples import START, a_call, a_recording

TABLES = ("number", "number_part", "recording_number", "recording_tag")
CALL = CallSidecar(a_call())
RECORDING = RecordingRow(a_recording(tags=("vip",)))


def write(engine: Engine, *items: rows.Item) -> None:
    with engine.begin() as connection:
        rows.write(connection, items)


def kept(engine: Engine) -> dict[str, list[tuple[object, ...]]]:
    """All that searches read, without the ids of numbers, which say nothing."""
    queries = {
        "recording": "SELECT recording_id, direction, ddi, queue, consent_outcome, numbers,"
        " length_band FROM recording ORDER BY 1",
        "number": "SELECT n.digits, r.recording_id, r.created_at FROM number n"
        " LEFT JOIN recording_number r ON r.number_id = n.id ORDER BY 1, 2",
        "part": "SELECT p.part, n.digits FROM number_part p"
        " LEFT JOIN number n ON n.id = p.number_id ORDER BY 1, 2",
        "tag": "SELECT * FROM recording_tag ORDER BY 1, 2, 3, 4",
    }
    with engine.begin() as connection:
        return {
            name: [tuple(row) for row in connection.execute(text(query))]
            for name, query in queries.items()
        }


def found(engine: Engine, number: str) -> int:
    return len(find(engine, Search(number=number)).found)


def test_a_recording_has_what_its_call_has(engine: Engine) -> None:
    write(engine, CALL, RECORDING)
    (row,) = kept(engine)["recording"]
    assert row[1:] == ("inbound", "+49301000", "sales", "announced", "201 49301000 4930123456", 4)
    assert len(kept(engine)["part"]) == 3 + 8 + 10
    assert [row[1] for row in kept(engine)["tag"]] == ["vip"]


@pytest.mark.parametrize(
    "batches",
    [
        [[RECORDING], [CALL]],
        [[CALL], [RECORDING]],
        [[RECORDING, CALL]],
        [[CALL, RECORDING], [CALL, RECORDING]],
        [[CallSidecar(a_call(legs=(), ddi="1")), RECORDING], [CALL]],
        [[CallSidecar(a_call(queue="other", consents=())), RECORDING], [CALL, RECORDING]],
        [[CALL, RecordingRow(a_recording(tags=("a", "b"), tenant="x"))], [RECORDING]],
        [[CALL, RecordingRow(a_recording(at=START - timedelta(1), tags=("vip",)))], [RECORDING]],
        [[CallSidecar(a_call(2, a_number="77")), RecordingRow(a_recording(call=a_call(2)))],
         [CALL], [RECORDING]],
    ],
)  # fmt: skip
def test_it_does_not_matter_what_was_written_first(
    engine: Engine, batches: list[list[rows.Item]]
) -> None:
    for batch in batches:
        write(engine, *batch)
    first = kept(engine)
    with engine.begin() as connection:
        for table in ("recording_number", "number_part", "number", "recording_tag", "call"):
            connection.execute(text(f"DELETE FROM {table}"))
    write(engine, CALL, RECORDING)
    assert kept(engine) == first


def test_what_has_not_changed_is_not_written(engine: Engine) -> None:
    write(engine, CALL, RECORDING)
    statements: list[str] = []
    event.listen(engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    write(engine, CALL, RECORDING)
    assert not any(f" {table} " in one for one in statements for table in TABLES)
    assert not any(one.startswith("UPDATE") for one in statements)


def test_numbers_go_with_the_last_call_that_had_them(engine: Engine) -> None:
    write(engine, CALL, RECORDING, CallSidecar(a_call(2)), RecordingRow(a_recording(2, a_call(2))))
    assert found(engine, "030123") == 2
    write(engine, CallSidecar(cleared_call(a_call())))
    assert (found(engine, "030123"), found(engine, "30123456")) == (1, 1)
    write(engine, CallSidecar(cleared_call(a_call(2))))
    assert found(engine, "030123") == 0
    assert [kept(engine)[name] for name in ("number", "part")] == [[], []]
    assert [row[2:4] for row in kept(engine)["recording"]] == [("", "sales")] * 2


def test_the_decisive_outcome_of_asking_counts(engine: Engine) -> None:
    for outcomes, expected in (
        ((), ""),
        ((Consent.ASKING,), ""),
        ((Consent.ANNOUNCED, Consent.ACCEPTED), "accepted"),
        ((Consent.ACCEPTED, Consent.NO_ANSWER), "no_answer"),
        ((Consent.NO_ANSWER, Consent.DECLINED), "declined"),
        ((Consent.NOT_REQUIRED, Consent.UNASKED), "not_required"),
    ):
        call = a_call(consents=tuple(map(a_consent, outcomes)))
        write(engine, CallSidecar(call), RECORDING)
        assert kept(engine)["recording"][0][4] == expected


def test_a_downgrade_and_an_upgrade_bring_everything_back(url: str, engine: Engine) -> None:
    items: list[rows.Item] = []
    for call, recording in a_catalogue(30, random.Random(3)):
        items += [CallSidecar(call), RecordingRow(recording)]
    write(engine, *items)
    expected = kept(engine)
    engine.dispose()
    migrate.downgrade(url, "0003")
    migrate.upgrade(url)
    assert kept(engine) == expected


@only_postgresql
def test_writers_side_by_side_neither_lose_a_number_nor_keep_one(engine: Engine) -> None:
    """Several write and clear calls that share numbers, at the same time."""
    problems: list[BaseException] = []
    barrier = threading.Barrier(3)

    def work(worker: int) -> None:
        try:
            barrier.wait()
            for turn in range(12):
                number = worker * 100 + turn
                call = a_call(number, a_number="+4670555", b_number=f"20{turn % 3}", ddi="")
                call = replace(call, legs=(), c_number="")
                write(engine, CallSidecar(call), RecordingRow(a_recording(number, call)))
                if turn % 4 != worker % 4:
                    write(engine, CallSidecar(cleared_call(call)))
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert found(engine, "070555") == 9
    in_use = {digits for digits, recording, _ in kept(engine)["number"] if recording}
    assert {digits for digits, *_ in kept(engine)["number"]} == in_use
    assert {digits for _, digits in kept(engine)["part"]} == in_use


@only_postgresql
def test_a_call_that_changes_meanwhile_reaches_a_new_recording(engine: Engine) -> None:
    write(engine, CALL)
    written = threading.Event()
    later = CallFacts(CALL.call.call_id, (), START, Direction.OUTBOUND)

    def change() -> None:
        write(engine, CallSidecar(later))
        written.set()

    with engine.begin() as connection:
        rows.write(connection, [RECORDING])
        thread = threading.Thread(target=change)
        thread.start()
        assert not written.wait(0.1)
    thread.join()
    assert kept(engine)["recording"][0][1:3] == ("outbound", "")
