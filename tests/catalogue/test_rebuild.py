"""The catalogue comes back from the sidecars alone."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import Engine, event, text

from callrec_pbx.catalogue import rebuild as module
from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.rebuild import Rebuilt, rebuild
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.words import Consent, Outcome, RecordingState
from callrec_pbx.storage.serial import CallSidecar, Tombstone
from callrec_pbx.storage.store import RecordingStore
from tests.catalogue.tables import dump
from tests.storage.samples import START, a_call, a_recording, an_id

S = RecordingState


@pytest.fixture
def store(tmp_path: Path) -> RecordingStore:
    (tmp_path / "recordings").mkdir()
    return RecordingStore(tmp_path / "recordings")


def save(engine: Engine, store: RecordingStore, *items: rows.Item) -> None:
    """As the listener does: sidecars, then rows."""
    calls = {item.call.call_id: item.call for item in items if isinstance(item, CallSidecar)}
    for item in items:
        if isinstance(item, CallSidecar):
            store.write_call(item.call, item.tombstone)
        else:
            recording = item.recording
            store.write_sidecar(recording, calls[recording.call_id], item.tombstone)
    with engine.begin() as connection:
        rows.write(connection, items)


def everything(engine: Engine, store: RecordingStore) -> None:
    """A recorded call, a declined one, a pruned one, one of two recordings, one still open."""
    tombstone = Tombstone(START, "retention", "over")
    evidence = replace(a_call(2).consents[0], outcome=Consent.DECLINED, key="*")
    declined = a_call(2, outcome=Outcome.DECLINED, reason="declined", consents=(evidence,))
    save(engine, store, CallSidecar(a_call(1)), RecordingRow(a_recording(1)))
    save(engine, store, CallSidecar(declined))
    pruned = a_recording(3, state=S.PRUNED, owner="", channel="")
    save(engine, store, CallSidecar(a_call(3), tombstone), RecordingRow(pruned, tombstone))
    two = [RecordingRow(a_recording(n, a_call(4))) for n in (4, 5)]
    save(engine, store, CallSidecar(a_call(4)), *two)
    running = a_recording(6, state=S.PAUSED, ended_at=None, audio_ms=None)
    save(engine, store, CallSidecar(a_call(6, ended_at=None)), RecordingRow(running))


def empty(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM call"))
    assert not any(dump(engine).values())


def test_every_row_comes_back_identically(engine: Engine, store: RecordingStore) -> None:
    everything(engine, store)
    before = dump(engine)
    assert len(before["pause"]) == 5
    empty(engine)
    seen: list[tuple[int, int]] = []
    result = rebuild(engine, store, lambda done, total: seen.append((done, total)))
    assert dump(engine) == before
    assert (result.recordings, result.calls, result.broken) == (5, 5, [])
    assert seen == [(0, 10), (10, 10)]


def test_over_an_existing_catalogue_it_changes_nothing(
    engine: Engine, store: RecordingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 3)
    everything(engine, store)
    before = dump(engine)
    rebuild(engine, store)
    assert dump(engine) == before


def test_a_row_that_fell_behind_is_put_right(engine: Engine, store: RecordingStore) -> None:
    everything(engine, store)
    before = dump(engine)
    with engine.begin() as connection:
        connection.execute(text("UPDATE recording SET state = 'recording', owner = 'x'"))
        connection.execute(text("DELETE FROM consent"))
    rebuild(engine, store)
    assert dump(engine) == before


def test_broken_sidecars_are_reported_and_do_not_stop_it(
    engine: Engine, store: RecordingStore
) -> None:
    everything(engine, store)
    store.sidecar_path(a_recording(1)).write_bytes(b"{")
    renamed = store.sidecar_path(a_recording(4))
    renamed.rename(renamed.with_name(f"{an_id(9)}.json"))
    folder = store.sidecar_path(a_recording(1)).parent / f"{an_id(8)}.json"
    folder.mkdir()
    empty(engine)
    result = rebuild(engine, store)
    assert {broken.path.name for broken in result.broken} == {
        f"{an_id(1)}.json",
        f"{an_id(8)}.json",
        f"{an_id(9)}.json",
    }
    assert all(str(broken.path) in broken.error for broken in result.broken)
    assert (result.recordings, result.calls) == (3, 5)


def test_a_call_without_its_own_sidecar_comes_from_its_recordings(
    engine: Engine, store: RecordingStore
) -> None:
    early = a_call(1, ended_at=None, legs=a_call(1).legs[:1])
    store.write_sidecar(a_recording(1), early)
    store.write_sidecar(a_recording(2, a_call(1)), a_call(1))
    store.write_sidecar(a_recording(3, a_call(1)), early)
    store.write_call(a_call(4))
    store.write_sidecar(a_recording(4), a_call(4))
    store.call_path(a_call(4)).write_bytes(b"")
    result = rebuild(engine, store)
    assert (result.recordings, result.calls, len(result.broken)) == (4, 2, 1)
    with engine.begin() as connection:
        found = rows.calls_by_id(connection, [an_id(1, "c"), an_id(4, "c")])
    assert [item.call for item in found.values()] == [a_call(1), a_call(4)]


def test_a_sidecar_that_the_database_refuses_does_not_stop_the_others(
    engine: Engine, store: RecordingStore
) -> None:
    store.write_call(a_call(1))
    store.write_sidecar(a_recording(1, size=2**70), a_call(1))
    store.write_sidecar(a_recording(2, a_call(1)), a_call(1))
    result = rebuild(engine, store)
    (broken,) = result.broken
    assert broken.path == store.sidecar_path(a_recording(1))
    assert "not taken by the database" in broken.error
    assert (result.recordings, result.calls) == (1, 1)
    assert [row["recording_id"] for row in dump(engine)["recording"]] == [an_id(2)]


def test_what_the_listener_writes_meanwhile_is_not_overwritten(
    engine: Engine, store: RecordingStore
) -> None:
    """Files are read under the write lock, so a later sidecar's row is written later, too."""
    save(engine, store, CallSidecar(a_call(1)), RecordingRow(a_recording(1, state=S.PAUSED)))
    read: list[str] = []
    read_sidecar = store.read_sidecar

    def note(path: Path) -> object:
        read.append("sidecar")
        return read_sidecar(path)

    store.read_sidecar = note  # type: ignore[method-assign,assignment]
    event.listen(engine, "begin", lambda _connection: read.append("begin"))
    rebuild(engine, store)
    assert read[0] == "begin"


def test_an_empty_directory_is_an_empty_catalogue(engine: Engine, store: RecordingStore) -> None:
    assert rebuild(engine, store) == Rebuilt()


def test_a_missing_directory_is_an_error(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        rebuild(engine, RecordingStore(tmp_path / "unmounted"))
