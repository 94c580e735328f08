"""Pruning for real: what is deleted, what remains, and that it can be killed anywhere."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, text

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.rebuild import rebuild
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import Explanation
from callrec_pbx.domain.words import Channels, RecordingState
from callrec_pbx.retention.leader import LOCK_NAME, RetentionBusyError
from callrec_pbx.retention.outcome import Applied, Done
from callrec_pbx.retention.run import Terms, foresee, run
from callrec_pbx.storage import files
from callrec_pbx.storage.serial import CallSidecar, Tombstone
from tests.databases import only_sqlite
from tests.retention.made import PERSONAL, Made
from tests.storage.samples import START, a_call, a_recording, an_id, without_audio

S = RecordingState
NOW = START + timedelta(days=30, seconds=65)


def prune(made: Made, call_days: int | None = None, **options: Any) -> Applied:
    return run(made.place, Terms(call_days), now=options.pop("now", NOW), **options)


def foreseen(made: Made, call_days: int | None = None) -> list[Done]:
    return list(foresee(made.place, Terms(call_days), NOW))


def mixed(made: Made) -> None:
    """A call all due, one with a kept recording, one without any, one that failed."""
    failed = without_audio(2, a_call(1), state=S.FAILED, retention="unlimited", delete_after=None)
    made.call(a_call(1), a_recording(1), failed)
    kept = a_recording(4, a_call(3), delete_after=NOW + timedelta(days=1))
    made.call(a_call(3), a_recording(3), kept)
    made.call(a_call(5))


def test_audio_and_personal_data_are_gone_and_a_tombstone_remains(made: Made) -> None:
    made.call(a_call(), a_recording())
    assert made.personal() == list(PERSONAL)
    assert prune(made) == Applied(recordings=1, calls=1)
    assert made.audio() == []
    assert made.personal() == []
    (row,) = made.tables()["recording"]
    was = a_recording()
    assert row["state"] is S.PRUNED
    assert (row["created_at"], row["ended_at"]) == (was.created_at, was.ended_at)
    assert (row["sha256"], row["size"], row["audio_ms"]) == (was.sha256, was.size, was.audio_ms)
    assert (row["pruned_at"], row["pruned_by"]) == (NOW, "retention")
    assert row["prune_reason"] == "kept for 30 days, until 2026-03-31 09:01 UTC"
    (call,) = made.tables()["call"]
    assert (call["outcome"], call["queue"]) == ("recorded", "sales")
    assert call["prune_reason"] == "all its recordings are pruned"
    (consent,) = made.tables()["consent"]
    assert (consent["number"], consent["outcome"]) == ("", "announced")
    assert len(made.tables()["leg"]) == 2


@only_sqlite
def test_every_file_of_a_stereo_recording_is_gone(made: Made) -> None:
    """Also what could not be joined, and what a crash left of the joining."""
    made.call(a_call(), a_recording(channels=Channels.STEREO))
    audio = made.store.audio_path(a_recording())
    for path in (*made.store.side_paths(a_recording()), audio.with_suffix(".wav.tmp")):
        path.write_bytes(b"talk")
    assert prune(made) == Applied(recordings=1, calls=1)
    left = {path.suffix for path in audio.parent.iterdir()}
    assert left == {".json"}


def test_rebuild_does_not_bring_personal_data_back(made: Made) -> None:
    mixed(made)
    prune(made)
    before = made.tables()
    with made.engine.begin() as connection:
        connection.execute(text("DELETE FROM call"))
    rebuild(made.engine, made.store)
    assert made.tables() == before


def test_what_is_not_due_is_not_touched(made: Made) -> None:
    mixed(made)
    kept = {name: content for name, content in made.files().items() if an_id(4) in name}
    assert prune(made) == Applied(recordings=3, calls=1)
    assert made.audio() == [an_id(4)]
    assert {name: made.files()[name] for name in kept} == kept
    states = {row["recording_id"]: row["state"] for row in made.tables()["recording"]}
    assert states == {
        an_id(1): S.PRUNED,
        an_id(2): S.PRUNED,
        an_id(3): S.PRUNED,
        an_id(4): S.STORED,
    }
    numbers = {row["call_id"]: row["a_number"] for row in made.tables()["call"]}
    assert [numbers[an_id(n, "c")] for n in (1, 3, 5)] == ["", "+4930123456", "+4930123456"]


def test_a_second_run_has_nothing_to_do(made: Made) -> None:
    mixed(made)
    prune(made, 7)
    files_, tables = made.files(), made.tables()
    assert foreseen(made, 7) == []
    assert prune(made, 7) == Applied()
    assert (made.files(), made.tables()) == (files_, tables)


def test_planning_changes_nothing(made: Made) -> None:
    mixed(made)
    before = made.files(), made.tables()
    assert len(foreseen(made, 7)) == 4
    assert (made.files(), made.tables()) == before


def test_calls_without_a_recording_are_cleared_by_age(made: Made) -> None:
    made.call(a_call(5))
    assert prune(made) == Applied()
    assert prune(made, 31) == Applied()
    assert prune(made, 7) == Applied(calls=1)
    assert made.personal() == []


def test_a_call_saved_anew_after_clearing_is_cleared_again(made: Made) -> None:
    made.call(a_call(), a_recording())
    prune(made)
    made.store.write_call(a_call())
    made.row(CallSidecar(a_call()))
    assert prune(made) == Applied(calls=1)
    assert made.personal() == []


@only_sqlite
def test_a_call_merged_into_another_goes_with_it(made: Made) -> None:
    made.call(a_call(1, merged_into=an_id(2, "c")))
    made.call(a_call(2), a_recording(2))
    assert prune(made) == Applied(recordings=1, calls=2)
    assert made.personal() == []


@pytest.mark.parametrize("call_days", [None, 7])
def test_calls_that_were_merged_one_after_the_other_go_together(
    made: Made, call_days: int | None
) -> None:
    made.call(a_call(1, merged_into=an_id(2, "c")))
    made.call(a_call(2, merged_into=an_id(3, "c")))
    kept = a_recording(3, delete_after=NOW + timedelta(days=1))
    made.call(a_call(3), kept)
    assert prune(made, call_days) == Applied()
    foreseen = [one.id for one in foresee(made.place, Terms(call_days), NOW + timedelta(days=1))]
    assert foreseen == [an_id(3), *(an_id(n, "c") for n in (1, 2, 3))]
    done = prune(made, call_days, now=NOW + timedelta(days=1))
    assert done == Applied(recordings=1, calls=3)
    assert made.personal() == []


@pytest.mark.parametrize("delete_after", [NOW + timedelta(days=1), None])
def test_audio_of_a_recording_that_failed_is_kept_to_its_own_date(
    made: Made, delete_after: datetime | None
) -> None:
    dates: dict[str, Any] = {
        "delete_after": delete_after,
        "retention": "31 days" if delete_after else "unlimited",
    }
    failed = a_recording(2, a_call(1), state=S.FAILED, reason="disk_full", **dates)
    made.call(a_call(1), a_recording(1), failed)
    made.call(a_call(3), replace(failed, recording_id=an_id(3), call_id=an_id(3, "c")))
    assert prune(made, 7) == Applied(recordings=1)
    assert made.audio() == [an_id(2), an_id(3)]
    if delete_after:
        assert prune(made, 7, now=delete_after) == Applied(recordings=2, calls=2)
        assert made.audio() == made.personal() == []


def test_a_call_whose_recording_failed_without_audio_is_cleared_by_age(made: Made) -> None:
    made.call(a_call(1), without_audio(1, state=S.FAILED, retention="unlimited", delete_after=None))
    assert prune(made) == Applied()
    assert prune(made, 7) == Applied(recordings=1, calls=1)
    assert made.personal() == []


def test_the_sidecar_decides_whether_what_failed_has_audio(made: Made) -> None:
    """The row may be from before the file was measured."""
    failed = a_recording(1, state=S.FAILED, retention="unlimited", delete_after=None)
    made.call(a_call(1), failed)
    unmeasured = without_audio(1, state=S.FAILED, retention="unlimited", delete_after=None)
    made.row(RecordingRow(unmeasured))
    assert prune(made, 7) == Applied(skipped=1)
    assert made.audio() == [an_id(1)]
    assert foreseen(made, 7) == []


def test_audio_that_could_not_be_read_is_kept_to_its_own_date(made: Made) -> None:
    failed = without_audio(
        2, state=S.FAILED, reason="audio_not_readable", retention="2 years", delete_after=None
    )
    failed = replace(failed, call_id=a_call(1).call_id)
    made.call(a_call(1), a_recording(1), failed)
    made.store.audio_path(failed).write_bytes(b"talk" * 100)
    assert len(foreseen(made, 7)) == 1
    assert prune(made, 7) == Applied(recordings=1, skipped=1), "looked at for its own date"
    assert made.audio() == [an_id(2)]
    after = NOW + timedelta(days=2 * 366)
    assert prune(made, 7, now=after) == Applied(recordings=1, calls=1)
    assert made.audio() == made.personal() == []


def test_what_retention_logs_has_no_values(
    made: Made, monkeypatch: pytest.MonkeyPatch, logged: list[Any]
) -> None:
    made.call(a_call(1), a_recording(1))
    (sidecar,) = made.store.directory.rglob(f"{an_id(1)}.json")
    document = json.loads(sidecar.read_text())
    document["call"]["legs"] = {"number": PERSONAL[0]}
    sidecar.write_text(json.dumps(document))
    real = rows.write

    def write(connection: Connection, items: Any) -> None:
        broken = [replace(one, recording=replace(one.recording, late_ms=None)) for one in items]
        real(connection, broken)

    monkeypatch.setattr(rows, "write", write)
    (failure,) = prune(made).failures
    assert "late_ms" in failure.why
    assert [line["event"] for line in logged] == ["pruned_by_its_row", "retention_item_failed"]
    assert "call: field 'legs'" in logged[0]["reason"]
    told = repr([failure.why, *logged])
    assert not [text for text in PERSONAL if text in told and text != "201"]


class Killed(BaseException):
    """As if the process had ended here."""


STEPS: dict[str, tuple[Any, str]] = {
    "touch": (files, "mark"),
    "write": (files, "replace"),
    "flush folder": (files, "flush_folder"),
    "unmark": (files, "remove"),
    "unlink": (Path, "unlink"),
    "row": (rows, "write"),
}


def killing_at(monkeypatch: pytest.MonkeyPatch, number: int, *, before: bool) -> Callable[[], int]:
    """Die before or after the step of that number; returns how many steps were begun."""
    count = 0

    def wrap(real: Any) -> Any:
        def step(*arguments: Any, **options: Any) -> Any:
            nonlocal count
            count += 1
            if before and count == number:
                raise Killed
            mine = count
            try:
                return real(*arguments, **options)
            finally:
                if not before and mine == number:
                    raise Killed

        return step

    for owner, name in STEPS.values():
        monkeypatch.setattr(owner, name, wrap(getattr(owner, name)))
    return lambda: count


def left(made: Made) -> tuple[dict[str, str], dict[str, list[dict[str, Any]]]]:
    """Sidecars and rows; a marker that a row may be behind is for the next start of a listener."""
    files_ = made.files().items()
    return {name: text for name, text in files_ if not name.startswith("open/")}, made.tables()


def test_killed_at_any_point_it_finishes_the_next_time(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        counted = killing_at(patch, 0, before=True)
        mixed(made)
        setting_up = counted()
        prune(made, 7)
        steps = counted() - setting_up
        expected = left(made)
    assert steps > 20
    # Some steps are killed before them, the others after.
    every = 3 if made.engine.dialect.name == "sqlite" else 9
    for number in range(1, steps + 1, every):
        with made.engine.begin() as connection:
            connection.execute(text("DELETE FROM call"))
        mixed(made)
        with monkeypatch.context() as patch:
            killing_at(patch, number, before=number % 2 == 0)
            with pytest.raises(Killed):
                prune(made, 7)
        # Whatever the moment, the catalogue can be rebuilt and tells the same story.
        if number % 3 == 0:
            rebuild(made.engine, made.store)
        prune(made, 7)
        assert left(made) == expected, f"killed at step {number}"
        assert foreseen(made, 7) == []


KILLED_CHILD = """
import os, sys
from datetime import datetime
from pathlib import Path
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.retention.run import Terms, run
from callrec_pbx.storage.store import RecordingStore
def kill(event, arguments):
    if event == "os.remove" and str(arguments[0]).endswith(".wav"):
        os.kill(os.getpid(), 9)
sys.addaudithook(kill)
url, directory, now = sys.argv[1:]
place = Place(open_current(url), RecordingStore(Path(directory)))
run(place, Terms(), now=datetime.fromisoformat(now))
"""


@only_sqlite
def test_a_process_killed_at_the_audio_leaves_work_that_is_finished(made: Made, url: str) -> None:
    made.call(a_call(), a_recording())
    arguments = [url, str(made.store.directory), NOW.isoformat()]
    child = subprocess.run(
        [sys.executable, "-c", KILLED_CHILD, *arguments], check=False, timeout=60
    )
    assert child.returncode == -9
    assert made.audio() == [an_id(1)]
    assert [row["state"] for row in made.tables()["recording"]] == [S.PRUNING]
    assert prune(made) == Applied(recordings=1, calls=1)
    assert (made.audio(), made.personal()) == ([], [])


@only_sqlite
def test_the_tombstone_is_on_the_disk_before_the_row_says_so(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    made.call(a_call(), a_recording())
    steps: list[str] = []

    def note(owner: Any, name: str, step: str) -> None:
        real = getattr(owner, name)

        def noted(*arguments: Any, **options: Any) -> Any:
            steps.append(step)
            return real(*arguments, **options)

        monkeypatch.setattr(owner, name, noted)

    note(files, "replace", "sidecar")
    note(files, "flush_folder", "flush")
    note(Path, "unlink", "audio")
    note(rows, "write", "row")
    prune(made)
    # A recording may have several files: all of them, and then the flush.
    assert [step for step, _ in groupby(steps)] == [
        *("sidecar", "flush", "row"),
        *("audio", "flush"),
        *("sidecar", "flush", "row"),
        *("sidecar", "flush", "row"),
    ]


@only_sqlite
def test_one_bad_item_is_reported_and_does_not_stop_the_rest(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2, 3):
        made.call(a_call(number), a_recording(number))
    unlink = Path.unlink

    def refuse(path: Path, missing_ok: bool = False) -> None:
        if path.name == f"{an_id(2)}.wav":
            raise PermissionError(13, "Permission denied")
        unlink(path, missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refuse)
        result = prune(made)
    assert (result.recordings, result.calls, result.failed) == (2, 2, 1)
    (failure,) = result.failures
    assert "Permission denied" in failure.why
    assert made.audio() == [an_id(2)]
    numbers = {row["call_id"]: row["a_number"] for row in made.tables()["call"]}
    assert numbers[an_id(2, "c")] != ""
    assert prune(made) == Applied(recordings=1, calls=1)
    assert made.personal() == []


@only_sqlite
def test_a_missing_or_broken_sidecar_is_no_shelter(made: Made) -> None:
    made.call(a_call(1), a_recording(1))
    made.call(a_call(2), a_recording(2))
    made.store.sidecar_path(a_recording(1)).unlink()
    made.store.call_path(a_call(1)).unlink()
    made.store.sidecar_path(a_recording(2)).write_bytes(b"{")
    made.store.call_path(a_call(2)).write_bytes(b"{")
    assert prune(made) == Applied(recordings=2, calls=2)
    assert (made.audio(), made.personal()) == ([], [])


def test_the_sidecar_is_believed_where_the_row_is_behind(made: Made) -> None:
    later = a_recording(1, delete_after=NOW + timedelta(days=1))
    made.call(a_call(), later)
    made.row(RecordingRow(a_recording(1)))
    assert prune(made) == Applied(skipped=1)
    assert made.audio() == [an_id(1)]
    assert [row["delete_after"] for row in made.tables()["recording"]] == [later.delete_after]
    assert [row["a_number"] for row in made.tables()["call"]] == ["+4930123456"]


def test_a_row_behind_a_finished_prune_is_put_right(made: Made) -> None:
    made.call(a_call(), a_recording())
    prune(made)
    done = made.tables()
    made.row(RecordingRow(a_recording()))
    assert prune(made).recordings == 1
    assert made.tables() == done
    assert done["recording"][0]["pruned_at"] == NOW


@only_sqlite
def test_what_one_user_has_locked_the_group_can_lock_too(made: Made) -> None:
    """A command that root has run leaves the lock files to the listener."""
    made.call(a_call(), a_recording())
    before = os.umask(0o077)
    try:
        prune(made)
    finally:
        os.umask(before)
    found = {path.name: path.stat().st_mode & 0o777 for path in made.store.directory.glob(".*")}
    assert found == {".lock": 0o660, LOCK_NAME: 0o660}


def test_two_runs_at_once_do_not_both_work(made: Made) -> None:
    made.call(a_call(), a_recording())

    def another(plan: object) -> None:
        with pytest.raises(RetentionBusyError, match=r"another retention run"):
            prune(made)

    assert prune(made, planned=another) == Applied(recordings=1, calls=1)
    with suppress(RetentionBusyError):
        assert prune(made) == Applied()


@only_sqlite
def test_a_catalogue_that_is_not_to_be_had_stops_the_run(made: Made, tmp_path: Path) -> None:
    made.call(a_call(), a_recording())
    blocker = sqlite3.connect(tmp_path / "catalogue.db", isolation_level=None)
    with pytest.raises(Exception, match="database is locked"):
        prune(made, planned=lambda _plan: blocker.execute("BEGIN IMMEDIATE"))
    blocker.close()
    assert made.audio() == [an_id(1)]
    assert prune(made) == Applied(recordings=1, calls=1)


@only_sqlite
def test_a_recording_whose_audio_is_gone_already_is_pruned(made: Made) -> None:
    made.call(a_call(), a_recording())
    made.store.audio_path(a_recording()).unlink()
    assert prune(made) == Applied(recordings=1, calls=1)


@only_sqlite
def test_the_tombstone_names_who_deleted(made: Made) -> None:
    made.call(a_call(), a_recording())
    prune(made, by="officer jane")
    sidecar = made.store.read_sidecar(made.store.sidecar_path(a_recording()))
    assert sidecar.tombstone == Tombstone(
        NOW, "officer jane", "kept for 30 days, until 2026-03-31 09:01 UTC"
    )
    assert sidecar.recording == replace(
        a_recording(),
        state=S.PRUNED,
        owner="",
        channel="",
        line="",
        explanation=Explanation(),
    )


@only_sqlite
def test_no_lock_is_left_and_no_sidecar_is_listed_for_it(made: Made) -> None:
    prune(made)
    assert {path.name for path in made.store.directory.iterdir()} <= {LOCK_NAME}
    assert list(made.store.sidecars()) == []
