"""Legal holds on files and tables: placed, found again, released, and what they cover."""

import json
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, delete, select

from callrec_pbx.catalogue import holds
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.audit import AUDIT
from callrec_pbx.catalogue.holds import (
    HOLD,
    bring_up_to_date,
    connect,
    covered,
    new_hold,
    place,
    release,
    resolve,
)
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.catalogue.rebuild import rebuild
from callrec_pbx.domain.holds import Hold
from callrec_pbx.domain.people import Line, User
from callrec_pbx.domain.words import HoldKind, RecordingState
from callrec_pbx.policy.people import changing
from callrec_pbx.storage.holds import HeldError, HoldError, Holds
from callrec_pbx.storage.serial import CallSidecar
from callrec_pbx.storage.store import RecordingStore
from tests.retention.made import Made
from tests.storage.samples import START, a_call, a_recording

K = HoldKind


@pytest.fixture
def made(engine: Engine, tmp_path: Path) -> Made:
    made = Made(engine, tmp_path / "recordings")
    connect(made.store.holds, engine)
    return made


def at(made: Made) -> Place:
    return Place(made.engine, made.store)


def hold(made: Made, kind: HoldKind, subject: str = "", **more: Any) -> Hold:
    return resolve(made.engine, new_hold(kind, subject, "dispute", "cli:anna", **more))


def ids(made: Made, wanted: Hold) -> list[str]:
    return sorted(r.recording_id for one in covered(at(made), wanted) for r in one.recordings)


def rows(made: Made) -> list[dict[str, Any]]:
    with made.engine.begin() as connection:
        query = select(HOLD).order_by(HOLD.c.hold_id)
        return [dict(row) for row in connection.execute(query).mappings()]


def audited(made: Made) -> list[tuple[str, str]]:
    with made.engine.begin() as connection:
        query = select(AUDIT.c.action, AUDIT.c.detail).order_by(AUDIT.c.seq)
        return [tuple(row) for row in connection.execute(query)]


def test_a_hold_is_a_file_and_a_row_and_can_be_released(made: Made) -> None:
    made.call(a_call(), a_recording())
    placed = hold(made, K.NUMBER, "+4930 123456")
    place(at(made), placed)
    assert made.store.holds.active() == (placed,)
    assert [row["subject"] for row in rows(made)] == ["+4930 123456"]
    (path,) = (made.store.directory / "holds").glob("*.json")
    assert json.loads(path.read_bytes())["hold"]["reason"] == "dispute"
    with pytest.raises(HeldError, match=f"legal hold {placed.hold_id}.*dispute.*hold release"):
        made.store.delete_audio(a_recording())
    assert made.audio() == [a_recording().recording_id]
    released = release(at(made), placed.hold_id, "cli:bo", "settled")
    assert made.store.holds.active() == ()
    assert made.store.holds.all() == (released,)
    assert rows(made)[0]["release_why"] == "settled"
    assert made.store.delete_audio(a_recording())
    with pytest.raises(HoldError, match="released already, by cli:bo"):
        release(at(made), placed.hold_id, "cli:bo", "again")
    assert [action for action, _ in audited(made)] == ["hold", "release"]
    assert "123456" not in repr(audited(made))


def test_another_process_sees_a_hold_at_once(made: Made) -> None:
    other = RecordingStore(made.store.directory)
    made.call(a_call(), a_recording())
    assert other.held(a_recording()) == ""
    placed = hold(made, K.CALL, a_call().call_id)
    place(at(made), placed)
    assert placed.hold_id in other.held(a_recording())
    release(at(made), placed.hold_id, "cli:bo", "settled")
    assert other.held(a_recording()) == ""


@pytest.mark.parametrize("content", [b"{", b"", b'{"schema":1,"hold":{}}'])
def test_what_cannot_be_read_holds_everything(made: Made, content: bytes) -> None:
    made.call(a_call(), a_recording())
    folder = made.store.directory / "holds"
    folder.mkdir()
    path = folder / "20260101-0badcafe.json"
    path.write_bytes(content)
    with pytest.raises(HeldError, match=f"{path} cannot be read.*everything is held"):
        made.store.delete_audio(a_recording())
    assert made.store.holds.call_reason(a_call())
    path.unlink()
    assert made.store.delete_audio(a_recording())


def test_a_renamed_copy_of_a_hold_is_noticed(made: Made) -> None:
    placed = hold(made, K.NUMBER, "1")
    place(at(made), placed)
    path = made.store.holds.path(placed.hold_id)
    path.rename(path.with_name("20200101-00000000.json"))
    assert "renamed" in str(made.store.holds.broken()[0])
    assert made.store.held(a_recording())


def test_a_name_that_leads_nowhere_lets_no_other_hold_go(made: Made) -> None:
    """Such as one that is replaced at this moment on another machine."""
    made.call(a_call(), a_recording())
    place(at(made), hold(made, K.RECORDING, a_recording().recording_id))
    (made.store.holds.directory / "20260101-0badcafe.json").symlink_to("nowhere")
    assert len(made.store.holds.active()) == 1
    assert made.store.holds.broken()
    with pytest.raises(HeldError):
        made.store.delete_audio(a_recording())


def test_a_thread_that_asks_while_another_reads_sees_a_new_hold(made: Made) -> None:
    found: list[int] = []

    class Slow(Holds):
        def __setattr__(self, name: str, value: Any) -> None:
            super().__setattr__(name, value)
            if threads:
                thread = threads.pop()
                thread.start()
                thread.join(0.2)
                waiting.append(thread)

    threads: list[threading.Thread] = []
    waiting: list[threading.Thread] = []
    slow = Slow(made.store.directory)
    assert slow.active() == ()
    place(at(made), hold(made, K.NUMBER, "1"))
    threads.append(threading.Thread(target=lambda: found.append(len(slow.active()))))
    assert len(slow.active()) == 1
    waiting[0].join()
    assert found == [1]


def test_an_id_is_no_path(made: Made) -> None:
    with pytest.raises(HoldError, match="is no id of a hold"):
        made.store.holds.read("../../etc/passwd")


def test_the_table_comes_back_from_the_files(made: Made) -> None:
    one, two = hold(made, K.NUMBER, "+4930123456"), hold(made, K.PERIOD, start=START)
    place(at(made), one)
    place(at(made), two)
    before = rows(made)
    with made.engine.begin() as connection:
        connection.execute(delete(HOLD))
    rebuild(made.engine, made.store)
    assert rows(made) == before


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_hold_that_has_lost_its_file_gets_it_back(made: Made, what: str) -> None:
    active, other = hold(made, K.NUMBER, "+4930123456"), hold(made, K.PERIOD, start=START)
    place(at(made), active)
    place(at(made), other)
    release(at(made), other.hold_id, "cli:bo", "settled")
    folder = made.store.holds.directory
    for path in folder.iterdir():
        path.unlink()
    if what == "folder":
        folder.rmdir()
    bring_up_to_date(at(made))
    assert made.store.holds.all() == (active,), "a released one holds nothing"
    assert len(rows(made)) == 2


def test_a_hold_that_is_released_while_it_is_brought_up_to_date_stays_so(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    placed = hold(made, K.NUMBER, "+4930123456")
    place(at(made), placed)

    def resolved(_connection: Any, one: Hold) -> Hold:
        release(at(made), one.hold_id, "cli:bo", "settled")
        return replace(one, countries=("SE",))

    monkeypatch.setattr(holds, "_resolved", resolved)
    bring_up_to_date(at(made))
    assert made.store.holds.active() == ()
    assert rows(made)[0]["release_why"] == "settled"


def test_who_joins_a_call_later_holds_its_earlier_recordings(made: Made) -> None:
    """A recording's sidecar knows of its call what was known when the recording ended."""
    call = a_call()
    made.call(call, a_recording())
    later = replace(call, c_number="+46701234567")
    made.store.write_call(later)
    made.row(CallSidecar(later))
    wanted = hold(made, K.NUMBER, "+46701234567")
    assert ids(made, wanted) == [a_recording().recording_id]
    place(at(made), wanted)
    recording, snapshot = made.store.read(made.store.sidecar_path(a_recording()))
    assert made.store.holds.reason(recording, snapshot)
    with pytest.raises(HeldError):
        made.store.delete_audio(a_recording())


def test_a_number_finds_its_calls_in_any_spelling_and_those_merged(made: Made) -> None:
    with changing(made.engine, author="t") as changes:
        changes.set(Entity.TENANT, ("default",), {"country": "DE"})
    made.call(a_call(1, a_number="030 123456", legs=(), consents=()), a_recording(1))
    made.call(a_call(2, a_number="", legs=(), consents=(), ddi=""), a_recording(2))
    merged = a_call(3, a_number="", legs=(), consents=(), merged_into=a_call(1).call_id)
    made.call(merged, a_recording(3))
    channel = replace(a_call().legs[0], number="", name="", channel="Local/030-123456@x-1;1")
    made.call(a_call(4, a_number="", legs=(channel,), consents=()), a_recording(4))
    wanted = hold(made, K.NUMBER, "+4930123456")
    assert wanted.countries == ("DE",)
    found = [a_recording(number).recording_id for number in (1, 3, 4)]
    assert ids(made, wanted) == found
    place(at(made), wanted)
    held = [bool(made.store.held(a_recording(number))) for number in (1, 2, 3, 4)]
    assert held == [True, False, True, True]


def test_a_call_holds_siblings_that_were_merged(made: Made) -> None:
    made.call(a_call(1), a_recording(1))
    made.call(a_call(2, merged_into=a_call(1).call_id), a_recording(2))
    made.call(a_call(3, merged_into=a_call(1).call_id), a_recording(3))
    made.call(a_call(4), a_recording(4))
    wanted = hold(made, K.CALL, a_call(2).call_id)
    assert ids(made, wanted) == [a_recording(number).recording_id for number in (1, 2, 3)]
    place(at(made), wanted)
    held = [bool(made.store.held(a_recording(number))) for number in (1, 2, 3, 4)]
    assert held == [True, True, True, False]


def test_a_person_is_held_by_every_name_and_line(made: Made) -> None:
    with changing(made.engine, author="t") as changes:
        changes.add(User("default", "bo@example.com"))
        changes.add(Line("default", "205", endpoint="bo-desk", user="bo@example.com"))
    made.call(a_call(1), a_recording(1, owner="bo@example.com"))
    desk = replace(a_call().legs[1], line="bo-desk")
    made.call(a_call(2, legs=(desk,)), a_recording(2))
    made.call(a_call(3), a_recording(3))
    wanted = hold(made, K.PERSON, "bo@example.com")
    assert set(wanted.lines) == {"205", "bo-desk"}
    assert ids(made, wanted) == [a_recording(1).recording_id, a_recording(2).recording_id]
    assert ids(made, hold(made, K.PERSON, "205")) == [a_recording(2).recording_id]


def test_a_tenant_that_is_renamed_stays_held(made: Made) -> None:
    placed = hold(made, K.PERIOD, start=START, tenant="default")
    place(at(made), placed)
    with changing(made.engine, author="t") as changes:
        changes.set(Entity.TENANT, ("default",), {"name": "acme"})
    bring_up_to_date(at(made))
    made.call(a_call(tenant="acme"), a_recording(tenant="acme"))
    assert made.store.held(a_recording())


def test_a_period_covers_what_was_said_in_it(made: Made) -> None:
    made.call(a_call(1), a_recording(1))
    later = START + timedelta(days=2)
    made.call(a_call(2, later), a_recording(2, a_call(2), later))
    made.call(a_call(3, later, ended_at=None), a_recording(3, a_call(3), later, ended_at=None))
    wanted = hold(made, K.PERIOD, start=START + timedelta(days=1))
    assert ids(made, wanted) == [a_recording(2).recording_id, a_recording(3).recording_id]


def test_discarded_audio_stays_while_it_is_held(made: Made) -> None:
    gone = a_recording(state=RecordingState.DISCARDED)
    placed = hold(made, K.RECORDING, gone.recording_id)
    made.call(a_call(), a_recording())
    place(at(made), placed)
    made.store.write_sidecar(replace(gone, state=RecordingState.RECORDING), a_call())
    made.store.write_sidecar(gone, a_call())
    assert made.store.unfinished() == []
    assert made.audio() == [gone.recording_id]
    assert [one.recording_id for one in made.store.discarded()] == [gone.recording_id]
    release(at(made), placed.hold_id, "cli:bo", "settled")
    assert made.store.unfinished() == []
    assert made.audio() == []
    assert made.store.discarded() == []
