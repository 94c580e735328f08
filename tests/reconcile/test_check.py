"""How a check goes about it: what it leaves alone, what it covers, what mended things look like."""

import os
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.holds import new_hold, place
from callrec_pbx.domain.words import Channels, HoldKind, Outcome
from callrec_pbx.reconcile import memory
from callrec_pbx.reconcile.check import Check, Scope
from callrec_pbx.reconcile.look import rows_of
from callrec_pbx.reconcile.mend import Way
from callrec_pbx.storage.store import RecordingStore, SpoolError
from tests.databases import only_sqlite
from tests.reconcile import damage
from tests.reconcile.house import NOW, House, S, as_utc, settle, write_wav
from tests.storage.samples import START, a_call, a_recording, an_id

EVERYTHING = Scope(verify=memory.Everything())


def test_all_agrees(house: House) -> None:
    """On SQLite and on PostgreSQL; a mend changes nothing then."""
    for number in range(4):
        house.add(number)
    house.add_encoded(5)
    house.add_encoded(6, keep_wav=True)
    before = house.files()
    result = house.check(mend=True, scope=EVERYTHING)
    assert (house.kinds, result.recordings, result.calls) == ([], 6, 6)
    assert result.verified_bytes > 0
    assert house.files() == before


def test_rows_are_mended_on_any_database(house: House) -> None:
    """Texts that PostgreSQL does not take as they are do not differ for ever."""
    facts = house.add(1, owner="a\0b", channel="PJSIP/\ud800")
    for name in ("row", "row of the call", "row behind", "sidecar", "both sidecars"):
        next(one for one in damage.ALL if one.name == name).act(house, facts)
        assert not house.check(mend=True).left
        house.check()
        assert house.kinds == []


@only_sqlite
def test_what_goes_on_is_left_alone(house: House) -> None:
    """A call of today, a recording that is being made, one that is being finished."""
    call = a_call(1, ended_at=None, outcome=None, reason="")
    facts = a_recording(1, call, state=S.RECORDING, ended_at=None, size=None, audio_ms=None)
    write_wav(house.store.audio_path(facts))
    house.store.write_call(call)
    house.store.write_sidecar(facts, call)
    captured = a_recording(2, call, state=S.CAPTURED, size=None, audio_ms=None)
    write_wav(house.store.audio_path(captured))
    house.store.write_sidecar(captured, call)
    before = house.files()
    quiet = START + timedelta(days=1)
    for now in (quiet + timedelta(hours=23), quiet + timedelta(minutes=5)):
        assert house.check(mend=True, now=now).found.total() == 0
    for marker in (house.store.directory / "open").glob("[!.]*"):
        marker.unlink()
    assert house.check(mend=True, now=quiet + timedelta(minutes=5)).found.total() == 0
    assert house.files() == {name for name in before if not name.startswith("open/")}
    house.check(mend=True, now=quiet + timedelta(minutes=15))
    assert "never_finished" in house.kinds
    sidecar = house.store.read(house.store.sidecar_path(facts))[0]
    assert (sidecar.state, sidecar.reason) == (S.INTERRUPTED, "never_finished")
    assert sidecar.size is not None
    assert house.store.read(house.store.sidecar_path(captured))[0].state is S.STORED
    ended = house.store.read_call(house.store.call_path(call))
    assert (ended.outcome, ended.reason) == (Outcome.RECORDED, "never_finished")


@only_sqlite
def test_its_call_has_ended_and_it_is_still_marked(house: House) -> None:
    call = a_call(1)
    house.store.write_call(call)
    facts = a_recording(1, call, state=S.CAPTURED, size=None, audio_ms=None)
    write_wav(house.store.audio_path(facts))
    house.store.write_sidecar(facts, call)
    settle(house.store.directory)
    quiet = START + timedelta(days=1)
    told = house.check(now=quiet + timedelta(minutes=50))
    assert "never_finished" not in house.kinds
    told = house.check(mend=True, now=quiet + timedelta(hours=2))
    assert ("never_finished" in house.kinds, told.left.total()) == (True, 0)


@only_sqlite
def test_who_works_on_it_is_not_disturbed(house: House) -> None:
    facts = house.add(1)
    house.store.peaks_path(facts).unlink()
    with house.store.holding(facts.recording_id):
        assert house.check(mend=True).found.total() == 0
    assert house.check().found.total() == 1


@only_sqlite
def test_a_row_that_is_on_its_way_is_looked_at_again(house: House) -> None:
    """It comes while the check is under way; one that does not come is found and written."""
    comes = house.add(1)
    stays = house.add(2)
    for facts in (comes, stays):
        damage._delete_rows(house, facts)
        house.store.write_sidecar(facts, house.call(facts))
        house.store.write_call(house.call(facts))
    settle(house.store.directory)

    def row_comes(_done: int, _total: int) -> None:
        if not rows_of(house.engine, [comes.recording_id], []).recordings:
            house.save(comes, house.call(comes))

    told: list[str] = []
    other = Place(house.engine, RecordingStore(house.store.directory))
    check = Check(
        other,
        Way(mend=True, now=NOW),
        Scope(),
        on_finding=lambda one: told.append(one.item),
        progress=row_comes,
    )
    # The first word of progress comes before anything is looked at.
    check._progress = lambda done, total: row_comes(done, total) if done else None
    result = check.run()
    assert sorted(told) == sorted([stays.recording_id, stays.call_id])
    assert not result.left
    assert not [name for name in house.files() if name.startswith("open/")]


@only_sqlite
def test_checksums(house: House) -> None:
    """They are compared when that is asked for, and what differs is never touched."""
    flipped, spoilt, encoded = house.add(1), house.add(2), house.add_encoded(3)
    damage._flip(house, flipped)
    damage._spoil_header(house, spoilt)
    path = house.store.encoded_path(encoded)
    path.write_bytes(b"X" + path.read_bytes()[1:])
    assert house.check().found.total() == 0
    before = {p: p.read_bytes() for p in house.store.directory.rglob("*.*") if p.is_file()}
    house.check(mend=True, scope=EVERYTHING)
    assert [(one.item, str(one.kind), one.mended) for one in house.told] == [
        (encoded.recording_id, "checksum_differs", False),
        (flipped.recording_id, "checksum_differs", False),
        (spoilt.recording_id, "header_damaged", False),
        (spoilt.recording_id, "checksum_differs", False),
    ]
    assert all(path.read_bytes() == data for path, data in before.items())


@only_sqlite
def test_what_a_hold_keeps_is_kept(house: House) -> None:
    facts = house.add(1)
    place(house.place, new_hold(HoldKind.RECORDING, facts.recording_id, "court", "a@example.com"))
    damage._audio_of_discarded(house, facts)
    assert house.check(mend=True).found.total() == 0
    assert house.store.audio_path(facts).exists()


@only_sqlite
def test_a_row_that_the_database_refuses(house: House) -> None:
    house.store.write_call(a_call(2))
    house.store.write_sidecar(a_recording(2, a_call(2), size=2**70, state=S.FAILED), a_call(2))
    result = house.check(mend=True)
    of_call, refused, missing = house.told
    assert (refused.item, str(refused.kind), refused.mended) == (an_id(2), "row_missing", False)
    assert "too large" in refused.error
    assert str(missing.kind) == "audio_missing"
    assert of_call.mended
    assert result.left.total() == 2


@only_sqlite
def test_what_mended_things_look_like(house: House) -> None:
    """What was made anew says from what; the trail says what was mended."""
    facts = house.add(1)
    call = house.call(facts)
    next(one for one in damage.ALL if one.name == "both sidecars").act(house, facts)
    house.check(mend=True)
    assert house.store.read_sidecar(house.store.sidecar_path(facts)).origin == "row"
    assert house.store.read_call_sidecar(house.store.call_path(call)).origin == "row"
    assert house.store.read(house.store.sidecar_path(facts)) == (facts, call)
    with house.engine.begin() as connection:
        lines = connection.execute(text("SELECT action, subject FROM audit")).all()
    assert sorted(lines) == sorted([("mend", facts.recording_id), ("mend", call.call_id)])


@only_sqlite
@pytest.mark.parametrize("sides", [False, True])
def test_audio_that_nobody_knows_is_listed_and_pruned(house: House, sides: bool) -> None:
    facts = house.add(1)
    damage._forget(house, facts)
    if sides:
        damage._sides(house, facts)
    for _ in range(2):
        house.check(mend=True, retention="30 days")
    found, call = house.store.read(house.store.sidecar_path(facts))
    assert (found.state, found.reason) == (S.INTERRUPTED, "found_without_sidecar")
    assert found.created_at == as_utc(2)
    assert found.delete_after == found.ended_at + timedelta(days=30)  # type: ignore[operator]
    assert found.channels is (Channels.STEREO if sides else Channels.MIXED)
    assert found.size == house.store.audio_path(found).stat().st_size
    assert (call.outcome, call.reason, call.ended_at) == (
        Outcome.RECORDED,
        "found_without_sidecar",
        found.ended_at,
    )
    rows = rows_of(house.engine, [found.recording_id], [call.call_id])
    assert rows.recordings[found.recording_id] == (found, None)
    assert rows.calls == {call.call_id: (call, None)}


@only_sqlite
def test_a_part_of_it(house: House) -> None:
    """Days and tenants; what belongs to none of them is looked at when all is."""
    mine, other = house.add(0), house.add(1, tenant="other")
    third = house.add(2)
    for facts in (mine, other, third):
        house.store.peaks_path(facts).unlink()
    damage._unknown(house, third)
    house.check(scope=Scope(tenant="other"))
    assert [one.item for one in house.told] == [other.recording_id]
    house.check(scope=Scope(start=as_utc(2), end=as_utc(3)))
    assert [one.item for one in house.told] == [other.recording_id]
    house.check(scope=Scope(start=as_utc(3)))
    assert house.kinds == ["unknown_file", "waveform_missing"]
    house.check(scope=Scope(end=as_utc(2)))
    assert [one.item for one in house.told] == [mine.recording_id]


@only_sqlite
def test_a_directory_that_is_not_mounted(house: House, tmp_path: Path) -> None:
    """Not everything that ought to be there is missing, but the directory."""
    house.add(1)
    (tmp_path / "empty").mkdir()
    for folder, said in (("empty", "no folder of a day"), ("gone", "is not there")):
        store = RecordingStore(tmp_path / folder)
        with pytest.raises(SpoolError, match=said) as raised:
            Check(Place(house.engine, store), Way(mend=True), Scope()).run()
        assert raised.value.reason == "spool_missing"
    assert os.listdir(tmp_path / "empty") == []  # noqa: PTH208


@only_sqlite
def test_many_in_a_day_and_told_to_stop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from callrec_pbx.reconcile import check as module  # noqa: PLC0415
    from callrec_pbx.reconcile import look  # noqa: PLC0415

    monkeypatch.setattr(module, "BATCH", 2)
    monkeypatch.setattr(look, "_PAGE", 2)
    for number in range(0, 18, 3):
        facts = house.add(number)
        if number % 2:
            house.store.sidecar_path(facts).unlink()
        else:
            damage._delete_rows(house, facts)
    result = house.check(mend=True)
    assert result.found == {"row_missing": 6, "sidecar_missing": 3}
    assert house.check().found.total() == 0
    told = [0]

    def stopping() -> bool:
        told[0] += 1
        return told[0] > 2

    stopped = Check(house.place, Way(now=NOW), Scope(), stopping=stopping).run()
    assert stopped.stopped
    assert stopped.recordings < 6


def test_the_trail_is_readable(house: House) -> None:
    """A mend that changes a row stands in the trail of the recording's tenant."""
    facts = house.add(1, tenant="acme")
    damage._change_row(house, facts, owner="x")
    house.check(mend=True)
    with house.engine.begin() as connection:
        (line,) = connection.execute(
            text("SELECT tenant, actor, detail FROM audit WHERE subject = :id"),
            {"id": facts.recording_id},
        ).all()
    assert (line.tenant, line.actor) == ("acme", "check")
    assert "row_differs" in line.detail
