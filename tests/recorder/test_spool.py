"""Facts go to the disk first, then to the catalogue, and never on the event loop."""

import asyncio
import threading
from collections.abc import MutableMapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.recorder import spool as spools
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.storage.store import RecordingStore, SpoolError
from tests.recorder.fakes import CALL, START, Rows, recording, until


async def test_sidecar_and_row(spool: Spool, rows: Rows) -> None:
    facts = recording()
    await spool.save_recording(facts, CALL)
    assert spool.store.read(spool.store.sidecar_path(facts)) == (facts, CALL)
    assert rows.recordings == [facts]


async def test_the_row_is_written_whatever_the_disk_says(tmp_path: Path, rows: Rows) -> None:
    (tmp_path / "file").touch()
    spool = Spool(RecordingStore(tmp_path / "file"), rows, 0)
    facts = recording()
    with pytest.raises(SpoolError):
        await spool.save_recording(facts, CALL)
    assert rows.recordings == [facts]
    spool.save_call(CALL)
    await spool.close()
    assert rows.calls == [CALL]


async def test_too_little_room_is_said_with_the_remedy(tmp_path: Path, rows: Rows) -> None:
    spool = Spool(RecordingStore(tmp_path), rows, 1 << 60)
    with pytest.raises(SpoolError, match=r"recordings\.min_free_mb = .*; make room") as caught:
        await spool.save_recording(recording(), CALL)
    assert caught.value.reason == "disk_full"
    await spool.save_recording(recording(state=RecordingState.CAPTURED), CALL)
    await spool.close()


async def test_of_a_call_only_the_newest_facts_are_written(
    spool: Spool, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "SOON_S", 0.01)
    newest = replace(CALL, queue="sales")
    spool.save_call(CALL)
    spool.save_call(newest)
    await until(lambda: bool(rows.calls))
    assert rows.calls == [newest]
    assert spool.store.read_call(spool.store.call_path(CALL)) == newest


async def test_a_refusal_is_written_at_once(
    spool: Spool, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "SOON_S", 3600.0)
    refused = replace(CALL, reason="declined")
    spool.save_call(CALL)
    spool.save_call(refused)
    await until(lambda: bool(rows.calls))
    assert rows.calls == [refused]
    ended = replace(refused, ended_at=START + timedelta(seconds=9))
    spool.save_call(ended)
    assert rows.calls == [refused]


@pytest.mark.parametrize("state", ["stored", "interrupted", "failed", "discarded"])
async def test_a_recording_that_is_over_does_not_come_before_its_call(
    spool: Spool, rows: Rows, monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """Of a listener that is killed now, the next one would not learn of the call."""
    monkeypatch.setattr(spools, "SOON_S", 3600.0)
    spool.save_call(CALL)
    await spool.save_recording(recording(), CALL)
    assert rows.calls == []
    await spool.save_recording(recording(state=RecordingState(state)), CALL)
    assert rows.calls == [CALL]
    left = await spool.unfinished()
    assert left is not None
    assert left[1] == (CALL,)
    again = replace(CALL, queue="sales")
    spool.save_call(again)
    await spool.save_recording(recording(state=RecordingState(state)), again)
    assert rows.calls == [CALL]  # it is known: what is new of it can wait


async def test_what_is_pending_is_written_at_the_end(tmp_path: Path, rows: Rows) -> None:
    spool = Spool(RecordingStore(tmp_path), rows, 0)
    spool.save_call(CALL)
    assert rows.calls == []
    await spool.close()
    assert rows.calls == [CALL]


async def test_what_an_earlier_listener_left_open(spool: Spool) -> None:
    open_one = recording(2, state=RecordingState.RECORDING)
    await spool.save_recording(open_one, CALL)
    await spool.save_recording(recording(3, state=RecordingState.STORED), CALL)
    await asyncio.to_thread(spool.store.write_call, CALL)
    left = await spool.unfinished()
    assert left is not None
    recordings, calls = left
    assert open_one in recordings
    assert calls == (CALL,)


async def test_what_was_left_open_cannot_be_read(
    spool: Spool, logged: list[MutableMapping[str, Any]]
) -> None:
    (spool.store.directory / "open").touch()
    assert await spool.unfinished() is None
    (entry,) = logged
    assert (entry["event"], entry["log_level"]) == ("unfinished_not_read", "error")
    assert str(spool.store.directory) in entry["remedy"]


async def test_free_bytes(spool: Spool) -> None:
    assert await spool.free_bytes() > 0
    gone = Spool(RecordingStore(spool.store.directory / "gone"), Rows(), 0)
    with pytest.raises(FileNotFoundError):
        await gone.free_bytes()
    await gone.close()


async def test_a_recording_is_finished_by_one_at_a_time(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two would write the same temporary file; another recording does not wait for them."""
    begun: list[RecordingFacts] = []
    go_on = threading.Event()

    def slow(
        store: RecordingStore, facts: RecordingFacts, *, wait_s: float, names: bool
    ) -> RecordingFacts:
        begun.append(facts)
        if facts == one:
            assert go_on.wait(10)
        return facts

    monkeypatch.setattr(spools, "finish", slow)
    one = recording(1, state=RecordingState.FAILED)
    again, other = replace(one, reason="no_audio"), recording(2, state=RecordingState.CAPTURED)
    tasks = [asyncio.ensure_future(spool.finish(facts, 0.0)) for facts in (one, again)]
    await until(lambda: begun == [one])
    assert await spool.finish(other, 0.0) == other
    assert begun == [one, other]
    go_on.set()
    assert await asyncio.gather(*tasks) == [one, again]
    assert begun == [one, other, again]
    del tasks
    await until(lambda: not spool._locks)


async def test_what_came_to_be_known_after_an_end_is_kept(spool: Spool, rows: Rows) -> None:
    """It is discarded when it was stored, and somebody has changed it since, in this process or
    another."""
    stored = recording(state=RecordingState.STORED)
    await spool.save_recording(stored, CALL)
    known = replace(stored, tags=("vip",), encoded_size=9, encoded_sha256="ab", named="x/y.wav")
    RecordingStore(spool.store.directory).write_sidecar(known, CALL)
    await spool.save_recording(replace(stored, state=RecordingState.STOPPING), CALL)
    assert rows.recordings[-1] == replace(known, state=RecordingState.STOPPING)
    await spool.save_recording(replace(stored, state=RecordingState.DISCARDED), CALL)
    gone = rows.recordings[-1]
    assert (gone.state, gone.tags, gone.named) == (RecordingState.DISCARDED, ("vip",), "x/y.wav")
    assert (gone.encoded, gone.encoded_sha256) == (False, "")
    assert spool.store.read(spool.store.sidecar_path(gone))[0] == gone


async def test_who_changes_it_is_waited_for(spool: Spool, rows: Rows) -> None:
    stored = recording(state=RecordingState.STORED)
    await spool.save_recording(stored, CALL)
    with spool.store.holding(stored.recording_id):
        saving = asyncio.ensure_future(
            spool.save_recording(replace(stored, state=RecordingState.DISCARDED), CALL)
        )
        other = recording(3, state=RecordingState.CAPTURED)
        await spool.save_recording(other, CALL)
        assert not saving.done()
        await asyncio.to_thread(spool.store.write_sidecar, replace(stored, flagged=True), CALL)
    await saving
    assert rows.recordings[-1].flagged


async def test_a_start_waits_for_no_lock(spool: Spool, rows: Rows) -> None:
    """What lies between two people talking and their recording is the sidecar alone."""
    with spool.store.holding(recording().recording_id):
        await spool.save_recording(recording(), CALL)
    assert rows.recordings == [recording()]
    assert spool.store.known(recording()) == recording()


async def test_rows_that_an_earlier_listener_left(spool: Spool, rows: Rows) -> None:
    """Few of them wait at once, and an end does not wait for them."""
    earlier = RecordingStore(spool.store.directory)
    ended = replace(CALL, ended_at=START + timedelta(seconds=9))
    many = [recording(number, state=RecordingState.STORED) for number in range(10, 20)]
    await asyncio.to_thread(earlier.write_call, ended)
    for one in many:
        await asyncio.to_thread(earlier.write_sidecar, one, ended)
    assert await spool.unfinished() == ((), ())
    await spool.write_rows_left()
    assert rows.calls == [ended]
    assert rows.recordings == many
    await spool.write_rows_left()
    assert rows.recordings == many


async def test_however_many_rows_are_left_few_are_on_their_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "ROWS_AT_ONCE", 2)
    rows = Rows()
    rows.backlog = 3
    spool = Spool(RecordingStore(tmp_path), rows, 0)
    for number in range(10, 20):
        facts = recording(number, state=RecordingState.STORED)
        await asyncio.to_thread(RecordingStore(tmp_path).write_sidecar, facts, CALL)
    writing = asyncio.ensure_future(spool.write_rows_left())
    await until(lambda: len(rows.recordings) == 2)
    rows.backlog = 2
    await until(lambda: len(rows.recordings) == 10)
    await writing
    await spool.close()
