"""The recordings directory: names, crash safety, what a crash leaves open, and refusals."""

import errno
import os
import stat
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.storage.serial import SidecarError, Tombstone
from callrec_pbx.storage.store import RecordingStore, SpoolError
from tests.storage.samples import START, a_call, a_recording, an_id

S = RecordingState


@pytest.fixture
def store(tmp_path: Path) -> RecordingStore:
    return RecordingStore(tmp_path)


def markers(store: RecordingStore) -> list[str]:
    folder = store.directory / "open"
    return sorted(path.name for path in folder.glob("[!.]*"))


def test_files_lie_by_day_in_utc(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path, "/srv/pbx/")
    east = timezone(timedelta(hours=9))
    facts = a_recording(created_at=datetime(2026, 1, 1, 3, 0, tzinfo=east))
    name = f"2025/12/31/{an_id(1)}.wav"
    assert store.audio_path(facts) == tmp_path / name
    assert store.pbx_path(facts) == f"/srv/pbx/{name}"


@pytest.mark.parametrize(
    "bad", ["../../../etc/passwd00000", "short", "A" * 24, "a" * 33, "a\n" * 12]
)
def test_only_our_own_ids_name_files(store: RecordingStore, bad: str) -> None:
    with pytest.raises(ValueError, match="only our own ids"):
        store.write_sidecar(a_recording(recording_id=bad), a_call())
    with pytest.raises(ValueError, match="only our own ids"):
        store.write_call(a_call(call_id=bad))
    with pytest.raises(ValueError, match="only our own ids"):
        store.pbx_path(a_recording(recording_id=bad))
    assert list(store.directory.iterdir()) == []


def test_a_sidecar_is_read_back_with_its_tombstone(store: RecordingStore) -> None:
    tombstone = Tombstone(START, "retention", "30 days are over")
    store.write_sidecar(a_recording(), a_call(), tombstone)
    store.write_call(a_call(), tombstone)
    path, call_path = store.sidecar_path(a_recording()), store.call_path(a_call())
    assert store.read(path) == (a_recording(), a_call())
    assert store.read_sidecar(path).tombstone == tombstone
    assert store.read_call(call_path) == a_call()
    assert store.read_call_sidecar(call_path).tombstone == tombstone
    assert list(store.sidecars()) == sorted([path, call_path])


def test_group_members_share_what_is_written(store: RecordingStore) -> None:
    before = os.umask(0o077)
    try:
        store.write_sidecar(a_recording(state=S.RECORDING), a_call())
    finally:
        os.umask(before)
    path = store.sidecar_path(a_recording())
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    for folder in (path.parent, path.parent.parent, path.parent.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o2770


def test_a_crash_in_mid_write_leaves_the_former_sidecar(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = a_recording(state=S.STARTING)
    store.write_sidecar(first, a_call())

    def killed(handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        store.write_sidecar(replace(first, state=S.RECORDING), a_call())
    assert store.read(store.sidecar_path(first))[0] == first
    assert store.unfinished() == [first]
    assert len(list(store.sidecars())) == 1


def test_the_content_is_flushed_before_the_name_is_taken(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write_sidecar(a_recording(2), a_call())  # makes the folders
    steps: list[str] = []
    fsync, rename = os.fsync, os.rename

    def flush(handle: int) -> None:
        steps.append("flush")
        fsync(handle)

    def take_name(source: str, target: str) -> None:
        steps.append("rename")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "rename", take_name)
    store.write_sidecar(a_recording(), a_call())
    assert steps == ["flush", "rename"]
    store.write_sidecar(a_recording(), a_call(), durable=True)
    assert steps[2:] == ["flush", "rename", "flush"]


@pytest.mark.parametrize("state", list(S))
def test_what_is_not_finished_is_found_again(store: RecordingStore, state: S) -> None:
    facts = a_recording(state=state, audio_ms=None)
    store.write_sidecar(facts, a_call())
    finished = {S.STORED, S.FAILED, S.DISCARDED, S.PRUNING, S.PRUNED}
    again = RecordingStore(store.directory)
    assert again.unfinished() == ([] if state in finished else [facts])
    stored = replace(facts, state=S.STORED)
    store.write_sidecar(stored, a_call())
    assert again.unfinished() == []
    assert len(markers(store)) == 1
    assert store.written(stored) is None
    assert markers(store) == []


def test_an_interrupted_recording_is_open_until_measured(store: RecordingStore) -> None:
    facts = a_recording(state=S.INTERRUPTED, audio_ms=None)
    store.write_sidecar(facts, a_call())
    assert store.unfinished() == [facts]
    store.write_sidecar(replace(facts, audio_ms=100), a_call())
    assert store.unfinished() == []


def test_open_calls_are_found_again(store: RecordingStore) -> None:
    running = a_call(1, ended_at=None)
    store.write_call(running)
    store.write_call(a_call(2))
    assert store.open_calls() == [running]
    store.write_call(a_call(1))
    assert store.open_calls() == []


def test_a_marker_stays_until_the_row_is_committed(store: RecordingStore) -> None:
    """A listener that is killed between sidecar and row leaves nobody behind."""
    store.write_sidecar(a_recording(state=S.RECORDING), a_call())
    store.write_call(a_call(ended_at=None))
    assert store.written(a_recording(state=S.RECORDING)) is None
    assert store.written(a_call(ended_at=None)) is None
    assert len(markers(store)) == 2
    store.write_sidecar(a_recording(), a_call())
    store.write_call(a_call())
    assert len(markers(store)) == 2
    again = RecordingStore(store.directory)
    assert (again.unfinished(), again.open_calls()) == ([], [])
    assert list(again.rows_left()) == [(a_call(), None), (a_recording(), None)]
    assert list(again.rows_left()) == []  # they are on their way
    assert again.written(a_recording()) is None
    assert again.written(a_call()) is None
    assert markers(store) == []
    assert list(RecordingStore(store.directory).rows_left()) == []


def test_rows_of_this_process_are_not_left(store: RecordingStore) -> None:
    store.write_sidecar(a_recording(), a_call())
    assert list(store.rows_left()) == []


def test_a_committed_row_that_fell_behind_is_to_be_written_again(store: RecordingStore) -> None:
    """By this process or by another: the sidecar is the truth."""
    old, new = a_recording(), a_recording(tags=("a",))
    store.write_sidecar(old, a_call())
    store.write_sidecar(new, a_call())
    assert store.written(old) == (new, None)
    assert len(markers(store)) == 1
    assert store.written(new) is None
    assert markers(store) == []
    store.write_sidecar(old, a_call())
    RecordingStore(store.directory).write_sidecar(new, a_call())
    assert store.written(old) == (new, None)
    assert store.written(new) is None
    assert markers(store) == []
    tombstone = Tombstone(START, "retention", "over")
    RecordingStore(store.directory).write_call(a_call(), tombstone)
    assert store.written(a_call()) == (a_call(), tombstone)
    assert store.written(a_call(), tombstone) is None
    assert markers(store) == []


def test_a_row_that_is_ahead_of_its_sidecar_is_left_alone(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk was full: the row has what the sidecar could not get."""
    store.write_sidecar(a_recording(state=S.RECORDING), a_call())

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SpoolError):
            store.write_sidecar(a_recording(), a_call())
    assert store.written(a_recording()) is None
    assert RecordingStore(store.directory).unfinished() == [a_recording(state=S.RECORDING)]


@pytest.mark.parametrize("row_first", [True, False])
def test_a_discarded_recording_is_marked_until_audio_and_row_are_done(
    store: RecordingStore, row_first: bool
) -> None:
    store.write_sidecar(a_recording(state=S.RECORDING), a_call())
    facts = a_recording(state=S.DISCARDED)
    store.audio_path(facts).write_bytes(b"talk")
    store.write_sidecar(facts, a_call())
    if row_first:
        store.written(facts)
        assert RecordingStore(store.directory).discarded() == [facts]
    store.delete_audio(facts)
    if not row_first:
        assert len(markers(store)) == 1
        store.written(facts)
    assert markers(store) == []


def test_what_a_former_version_left_behind_a_finished_sidecar(store: RecordingStore) -> None:
    store.write_sidecar(a_recording(), a_call())
    store.write_call(a_call())
    for name in markers(store):
        marker = store.directory / "open" / name
        marker.rename(marker.with_suffix(""))
    again = RecordingStore(store.directory)
    assert (again.unfinished(), again.open_calls()) == ([], [])
    assert list(again.rows_left()) == [(a_call(), None), (a_recording(), None)]


def test_a_marker_of_a_row_without_sidecar_goes(store: RecordingStore) -> None:
    """It was killed before its only sidecar was written, as of a call that was merged at once."""
    store.write_call(a_call())
    store.call_path(a_call()).unlink()
    assert list(RecordingStore(store.directory).rows_left()) == []
    assert markers(store) == []


def test_of_a_sidecar_that_others_have_changed_the_newest_is_known(store: RecordingStore) -> None:
    store.write_sidecar(a_recording(), a_call())
    assert store.known(a_recording()) == a_recording()
    RecordingStore(store.directory).write_sidecar(a_recording(flagged=True), a_call())
    assert store.known(a_recording()) == a_recording(flagged=True)
    store.sidecar_path(a_recording()).unlink()
    assert store.known(a_recording()) is None


def test_a_power_failure_may_take_the_first_rename(store: RecordingStore) -> None:
    facts = a_recording(state=S.STARTING)
    store.write_sidecar(facts, a_call())
    path = store.sidecar_path(facts)
    path.rename(f"{path}.tmp")
    assert store.unfinished() == [facts]
    assert path.exists()


def test_markers_need_no_hard_links(store: RecordingStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(source: str, target: str) -> None:
        raise PermissionError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    facts = a_recording(state=S.RECORDING)
    for _ in range(2):
        store.write_sidecar(facts, a_call())
        assert store.unfinished() == [facts]
    assert len(markers(store)) == 1


def test_a_marker_without_sidecar_is_passed_over(store: RecordingStore) -> None:
    store.write_sidecar(a_recording(state=S.RECORDING), a_call())
    store.sidecar_path(a_recording()).unlink()
    (store.directory / "open" / "README").touch()
    assert store.unfinished() == []


def test_a_broken_sidecar_does_not_hide_the_others(store: RecordingStore) -> None:
    for number in (1, 2):
        store.write_sidecar(a_recording(number, state=S.RECORDING), a_call(number))
    store.sidecar_path(a_recording(1)).write_bytes(b"{")
    assert [facts.recording_id for facts in store.unfinished()] == [an_id(2)]
    with pytest.raises(SidecarError, match=f"{an_id(1)}.json: not JSON"):
        store.read(store.sidecar_path(a_recording(1)))


def test_a_discard_cut_off_by_a_crash_is_finished(store: RecordingStore) -> None:
    facts = a_recording(state=S.DISCARDED)
    audio = store.audio_path(facts)
    audio.parent.mkdir(parents=True)
    audio.write_bytes(b"talk")
    store.write_sidecar(facts, a_call())  # killed here: the audio is still there
    assert RecordingStore(store.directory).unfinished() == []
    assert not audio.exists()
    again = RecordingStore(store.directory)
    assert list(again.rows_left()) == [(facts, None)]
    again.written(facts)
    assert markers(store) == []


def test_audio_is_deleted_once_and_the_sidecar_stays(store: RecordingStore) -> None:
    facts = a_recording()
    store.write_sidecar(facts, a_call())
    store.audio_path(facts).write_bytes(b"talk")
    assert store.delete_audio(facts, durable=True)
    assert not store.delete_audio(facts)
    assert store.sidecar_path(facts).exists()


def test_a_missing_directory_is_not_made_by_us(tmp_path: Path) -> None:
    store = RecordingStore(tmp_path / "unmounted")
    with pytest.raises(SpoolError) as raised:
        store.write_sidecar(a_recording(state=S.STARTING), a_call())
    assert raised.value.reason == "spool_missing"
    assert "create or mount" in raised.value.detail
    assert not (tmp_path / "unmounted").exists()
    assert store.unfinished() == []


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        (errno.ENOSPC, "disk_full"),
        (errno.EDQUOT, "disk_full"),
        (errno.EACCES, "spool_not_writable"),
        (errno.EROFS, "spool_not_writable"),
        (errno.EIO, "spool_not_writable"),
    ],
)
def test_a_refused_write_says_why(
    store: RecordingStore, monkeypatch: pytest.MonkeyPatch, number: int, reason: str
) -> None:
    store.write_sidecar(a_recording(state=S.STARTING), a_call())

    def refuse(handle: int, data: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(SpoolError) as raised:
        store.write_sidecar(a_recording(), a_call())
    assert raised.value.reason == reason
    assert raised.value.errno == number
    assert str(store.directory) in raised.value.detail
    monkeypatch.undo()
    assert store.unfinished() == [a_recording(state=S.STARTING)]
    assert not list(store.directory.rglob("*.tmp"))


def test_a_file_in_place_of_a_folder_is_said_so(store: RecordingStore) -> None:
    (store.directory / "2026").write_text("")
    with pytest.raises(SpoolError) as raised:
        store.write_call(a_call(started_at=datetime(2026, 5, 1, tzinfo=UTC)))
    assert raised.value.reason == "spool_not_writable"


def test_the_recordings_of_a_call_are_found_on_all_its_days(tmp_path: Path) -> None:
    """A listener that was restarted in mid-call learns what the call's earlier legs recorded."""
    store = RecordingStore(tmp_path)
    start = datetime.now(UTC) - timedelta(days=1)
    call = CallFacts("c" * 26, ("1.1",), start)
    other = CallFacts("d" * 26, ("1.2",), start)
    for number, (of, at) in enumerate(
        [(call, start), (call, datetime.now(UTC)), (other, start)], start=1
    ):
        facts = RecordingFacts(
            str(number) * 26, of.call_id, "1.1", "PJSIP/301-1", "301", RecordingState.STORED, at
        )
        store.write_sidecar(facts, of)
    store.write_call(call)
    found = store.recordings_of([call])
    assert sorted(facts.recording_id[0] for facts in found) == ["1", "2"]
    assert store.recordings_of([]) == []
    assert store.find_call(found[0]) == call
