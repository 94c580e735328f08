"""The commands that read and rebuild the catalogue."""

import sqlite3
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, text

from callrec_pbx.catalogue import migrate, rows
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.words import Outcome, RecordingState
from callrec_pbx.storage.serial import CallSidecar, Tombstone, time_to_text
from callrec_pbx.storage.store import RecordingStore
from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite
from tests.storage.samples import START, a_call, a_recording, an_id

pytestmark = only_sqlite  # the SQL is that of tests that run in both


S = RecordingState
HOSTILE = "\x1b[31m[bold]\u202e\r\nx"


@pytest.fixture
def store(tmp_path: Path) -> RecordingStore:
    (tmp_path / "recordings").mkdir()
    return RecordingStore(tmp_path / "recordings")


@pytest.fixture
def callrec(tmp_path: Path, url: str, store: RecordingStore) -> Commands:
    return configured(tmp_path, url, store.directory)


@pytest.fixture(autouse=True)
def three(engine: Engine, store: RecordingStore) -> None:
    """A recorded call of a hostile caller, a failed one, a missed one, and an open one."""
    hostile = a_call(1, a_name=HOSTILE, a_number="+49[/]1")
    failed = a_call(2, outcome=Outcome.FAILED, reason="disk_full")
    missed = a_call(3, outcome=Outcome.MISSED, reason="listener_down")
    store.write_sidecar(a_recording(1), hostile)
    store.audio_path(a_recording(1)).write_bytes(b"talk")
    for call in (hostile, failed, missed):
        store.write_call(call)
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(call) for call in (hostile, failed, missed)])
        rows.write(connection, [CallSidecar(a_call(4, ended_at=None, outcome=None))])
        rows.write(connection, [RecordingRow(a_recording(1))])


def test_list_for_people(callrec: Commands) -> None:
    ran = callrec("recordings", "list")
    assert ran.status == 0
    (line,) = [line for line in ran.out.splitlines() if an_id(1) in line]
    started = f"{a_recording().created_at.astimezone():%Y-%m-%d %H:%M:%S}"
    for part in (started, "201", "inbound", "+49[/]1", "0:00:56", "stored"):
        assert part in line


def test_list_for_programs(callrec: Commands, store: RecordingStore) -> None:
    (one,) = callrec("recordings", "list", "--json").json["recordings"]
    assert set(one) == {
        "recording", "tombstone", "held", "call", "call_tombstone", "audio", "audio_exists",
    }  # fmt: skip
    assert one["recording"]["recording_id"] == an_id(1)
    assert one["recording"]["created_at"] == time_to_text(a_recording().created_at)
    assert one["call"]["a_name"] == HOSTILE
    assert "legs" not in one["call"]
    assert (one["audio"], one["audio_exists"]) == (str(store.audio_path(a_recording())), True)


@pytest.mark.parametrize(
    ("options", "count"),
    [
        (["--owner", "201"], 1),
        (["--owner", "202"], 0),
        (["--number", "+49*"], 1),
        (["--state", "stored", "--state", "failed"], 1),
        (["--state", "failed"], 0),
        (["--from", "2026-03-01", "--to", "2026-03-01"], 1),
        (["--to", "2026-02-28"], 0),
        (["--from", "2026-03-01T09:00:05Z"], 1),
        (["--from", "2026-03-01T10:00:06+01:00"], 0),
        (["--limit", "1"], 1),
    ],
)
def test_list_takes_criteria(
    callrec: Commands, monkeypatch: pytest.MonkeyPatch, options: list[str], count: int
) -> None:
    ran = callrec("recordings", "list", "--json", *options)
    assert len(ran.json["recordings"]) == count


def test_nothing_found_is_no_error(callrec: Commands) -> None:
    ran = callrec("recordings", "list", "--owner", "nobody")
    assert (ran.status, ran.out.strip()) == (0, "no recordings")


def test_nothing_from_a_caller_steers_the_terminal(callrec: Commands) -> None:
    ran = callrec("recordings", "show", an_id(1)[:5])
    assert ran.status == 0
    for char in "\x1b\u202e\r":
        assert char not in ran.out
    assert "[bold]" in ran.out


def test_show(callrec: Commands, engine: Engine) -> None:
    ran = callrec("recordings", "show", an_id(1))
    for part in (
        *("stored", "sales", "announce_opt_out", "4000 of 4000 ms", "blind 202", "0:00:10"),
        *("Agent Smith", "896044 bytes", "cd" * 32, "2026-03-31"),
    ):
        assert part in ran.out
    document = callrec("recordings", "show", an_id(1), "--json").json
    assert document["call"]["legs"][1]["line"] == "201"
    assert document["recording"]["pauses"] == [{"from_ms": 10_000, "to_ms": 14_000}]
    tombstone = Tombstone(START, "retention", "over")
    with engine.begin() as connection:
        rows.write(connection, [RecordingRow(a_recording(state=S.PRUNED), tombstone)])
    assert "by retention: over" in callrec("recordings", "show", an_id(1)).out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["recordings", "list", "--from", "yesterday-ish"], "'yesterday-ish' is not a date"),
        (["recordings", "list", "--to", "2026-02-30"], "'2026-02-30' is not a date"),
        (["recordings", "list", "--to", "9999-12-31"], "is not a date"),
        (["recordings", "list", "--from", "2026-03-02", "--to", "2026-03-01"], "is not after"),
        (["recordings", "list", "--state", "molten"], "molten"),
        (["recordings", "list", "--limit", "0"], "--limit: 0: give 1 to"),
        (["recordings", "show", "zzz"], "recording 'zzz': there is none"),
        (["account", "--from", "1/2/3"], "'1/2/3' is not a date"),
        (["account", "--from", "2026-03-02T00:00", "--to", "2026-03-01"], "is not after"),
    ],
)
def test_bad_input_is_named(callrec: Commands, arguments: list[str], message: str) -> None:
    ran = callrec(*arguments)
    assert ran.status == 2
    assert message in " ".join(ran.err.replace("│", " ").split())


def test_account(callrec: Commands) -> None:
    ran = callrec("account", "--from", "2026-03-01", "--to", "2026-03-01")
    assert ran.status == 0
    assert "still open: 1" in ran.out
    for part in ("recorded", "disk_full", "listener_down", an_id(2, "c"), an_id(3, "c")):
        assert part in ran.out
    document = callrec("account", "--from", "2026-03-01", "--to", "2026-03-01", "--json").json
    start = datetime(2026, 3, 1).astimezone()
    assert document["from"] == time_to_text(start)
    assert document["to"] == time_to_text((start + timedelta(hours=30)).replace(hour=0))
    assert (document["ended"], document["still_open"], document["balanced"]) == (3, 1, True)
    assert document["outcomes"] == [
        {"outcome": "recorded", "reason": "rule", "calls": 1},
        {"outcome": "failed", "reason": "disk_full", "calls": 1},
        {"outcome": "missed", "reason": "listener_down", "calls": 1},
    ]
    assert [call["call_id"] for call in document["failed"]] == [an_id(2, "c")]
    assert [call["call_id"] for call in document["missed"]] == [an_id(3, "c")]
    assert document["unaccounted"] == []


def test_account_of_today_and_its_checks(callrec: Commands, engine: Engine) -> None:
    ran = callrec("account", "--json", "--check")
    assert (ran.status, ran.json["ended"], ran.json["still_open"]) == (0, 0, 1)
    period = ("--from", "2026-03-01", "--to", "2026-03-01")
    assert callrec("account", *period, "--check").status == 1
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(a_call(9, outcome=None))])
    ran = callrec("account", *period)
    assert ran.status == 1
    assert "does not add up" in ran.out


def test_rebuild(callrec: Commands, engine: Engine, store: RecordingStore) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM call"))
    ran = callrec("catalogue", "rebuild")
    assert (ran.status, ran.out) == (0, "1 recordings and 3 calls are in the catalogue\n")
    assert callrec("recordings", "show", an_id(1)).status == 0
    store.call_path(a_call(2)).write_bytes(b"{")
    ran = callrec("catalogue", "rebuild", "--json")
    assert (ran.status, ran.json["calls"]) == (1, 2)
    assert ran.json["broken"][0]["path"] == str(store.call_path(a_call(2)))


def test_rebuild_of_a_directory_that_is_not_there(callrec: Commands, store: RecordingStore) -> None:
    store.directory.rename(store.directory.with_name("elsewhere"))
    ran = callrec("catalogue", "rebuild")
    assert ran.status == 2
    assert "create or mount it" in ran.err


def test_a_catalogue_that_is_not_there_is_said_so(tmp_path: Path) -> None:
    callrec = configured(tmp_path, f"sqlite:///{tmp_path}/no.db", tmp_path)
    for command in (["account"], ["recordings", "list"], ["catalogue", "rebuild"]):
        ran = callrec(*command)
        assert ran.status == 2
        assert "run: callrec-pbx migrate" in ran.err
    assert not (tmp_path / "no.db").exists()


def test_migrate(tmp_path: Path) -> None:
    callrec = configured(tmp_path, f"sqlite:///{tmp_path}/new.db", tmp_path)
    assert callrec("migrate", "--json").json == {
        "before": None, "after": migrate.head(), "changed": True,
    }  # fmt: skip
    assert callrec("migrate", "--json").json["changed"] is False
    with sqlite3.connect(tmp_path / "new.db") as raw:
        assert raw.execute("SELECT count(*) FROM recording").fetchone() == (0,)
    raw.close()
