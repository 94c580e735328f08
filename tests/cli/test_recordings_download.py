"""`callrec-pbx recordings download`: copies under names, true to their checksums, on the record."""

import json
import os
from pathlib import Path

import pytest
from sqlalchemy import Engine, select

from callrec_pbx.catalogue.audit import AUDIT
from callrec_pbx.domain.words import AudioFormat, RecordingState
from callrec_pbx.followup import steps
from callrec_pbx.storage import handing_out
from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite
from tests.followup.house import House
from tests.storage.samples import an_id

pytestmark = only_sqlite

BY_A = "{a}/{b}"


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    return House(engine, tmp_path / "recordings")


@pytest.fixture
def callrec(tmp_path: Path, url: str, house: House) -> Commands:
    more = f'[names]\ndownload = "{BY_A}"\nzone = "Europe/Berlin"\n'
    return configured(tmp_path, url, house.store.directory, more)


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "out"


def files(folder: Path) -> list[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(str(path.relative_to(folder)) for path in found)


def trail(house: House) -> list[tuple[str, str, str]]:
    with house.engine.connect() as connection:
        rows = connection.execute(select(AUDIT)).mappings().all()
    assert "+49" not in json.dumps([dict(row) for row in rows], default=str)
    return [(row["action"], row["kind"], row["subject"]) for row in rows]


def test_by_id(house: House, callrec: Commands, into: Path) -> None:
    facts = house.stored(1, 0.2)
    ran = callrec("recordings", "download", an_id(1), "--into", str(into), "--json")
    assert ran.status == 0, ran.err
    assert ran.json == {
        "dry_run": False,
        "into": str(into),
        "recordings": [
            {
                "id": an_id(1),
                "file": "+4930123456/201.wav",
                "size": facts.size,
                "sha256": facts.sha256,
                "came": "copied",
            }
        ],
        "failures": [],
    }
    copy = into / "+4930123456" / "201.wav"
    assert copy.read_bytes() == house.store.audio_path(facts).read_bytes()
    assert copy.stat().st_mode & 0o777 == 0o600
    assert copy.parent.stat().st_mode & 0o777 == 0o700
    assert trail(house) == [("download", "recording", an_id(1))]


def test_by_filter_with_names_that_agree(house: House, callrec: Commands, into: Path) -> None:
    for number in (1, 2, 3):
        house.stored(number, 0.2)
    house.stored(4, 0.2, owner="999")
    gone = house.stored(5, 0.2)
    house.store.delete_audio(house.change(gone, 5, state=RecordingState.DISCARDED))
    arguments = ("recordings", "download", "--owner", "201", "--into", str(into))
    plan = callrec(*arguments, "--dry-run")
    assert "3 would copy" in plan.out
    assert not into.exists()
    assert trail(house) == []
    ran = callrec(*arguments)
    assert (ran.status, ran.err) == (0, "")
    wanted = [f"+4930123456/201{tail}.wav" for tail in ("", "_00000002", "_00000003")]
    assert files(into) == wanted
    assert len(trail(house)) == 3
    again = callrec(*arguments, "--json")
    assert [one["came"] for one in again.json["recordings"]] == ["there"] * 3
    assert (files(into), len(trail(house))) == (wanted, 3)


def test_a_template_of_its_own(house: House, callrec: Commands, into: Path) -> None:
    house.stored(1, 0.2, tenant="Müller & Söhne")
    arguments = ("recordings", "download", an_id(1), "--into", str(into), "--template")
    assert callrec(*arguments, "matelso").status == 0
    assert files(into) == [
        "call_recording/Muller_Sohne/+49301000/"
        "rec_20260301_100006_Muller_Sohne_+49301000_+4930123456_201_201.wav"
    ]
    bad = callrec(*arguments, "{nummer}")
    assert bad.status == 2
    assert "no field {nummer}" in bad.err.replace("\n", "")


def test_the_encoded_file_or_the_wav_file(house: House, callrec: Commands, into: Path) -> None:
    house.stored(1, 0.2, keep_wav=True)
    house.stored(2, 0.2)
    for number in (1, 2):
        steps.encode(house.work, an_id(number))
    ran = callrec("recordings", "download", an_id(1), an_id(2), "--into", str(into))
    assert ran.status == 0
    assert files(into) == ["+4930123456/201.opus", "+4930123456/201_00000002.opus"]
    ran = callrec("recordings", "download", an_id(1), an_id(2), "--into", str(into), "--wav")
    assert ran.status == 1
    assert f"not copied: {an_id(2)}: its WAV file was replaced by opus" in ran.err
    assert files(into)[1] == "+4930123456/201.wav"
    assert len(trail(house)) == 3


def test_nothing_is_overwritten(house: House, callrec: Commands, into: Path) -> None:
    house.stored(1, 0.2)
    other = into / "+4930123456" / "201.wav"
    other.parent.mkdir(parents=True)
    other.write_bytes(b"somebody else's")
    ran = callrec("recordings", "download", an_id(1), "--into", str(into))
    assert ran.status == 0
    assert other.read_bytes() == b"somebody else's"
    assert files(into) == ["+4930123456/201.wav", "+4930123456/201_00000001.wav"]


def test_a_name_that_is_taken_meanwhile(
    house: House, callrec: Commands, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.stored(1, 0.2)
    copied = handing_out._copied

    def meanwhile(audio: handing_out.Audio, part: Path) -> None:
        copied(audio, part)
        (part.parent / "201.wav").write_bytes(b"somebody else's")

    monkeypatch.setattr(handing_out, "_copied", meanwhile)
    ran = callrec("recordings", "download", an_id(1), "--into", str(into))
    assert ran.status == 1
    assert "is there, and is something else" in ran.err
    assert files(into) == ["+4930123456/201.wav"]
    assert (into / "+4930123456" / "201.wav").read_bytes() == b"somebody else's"


def test_audio_that_was_changed_is_not_handed_out(
    house: House, callrec: Commands, into: Path
) -> None:
    facts, whole = house.stored(1, 0.2), house.stored(2, 0.2)
    path = house.store.audio_path(facts)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    gone = house.stored(3, 0.2)
    house.store.audio_path(gone).unlink()
    ran = callrec("recordings", "download", "--from", "2026-01-01", "--into", str(into))
    assert ran.status == 1
    assert f"not copied: {an_id(1)}" in ran.err
    assert "its SHA-256 differs" in ran.err
    assert f"not copied: {an_id(3)}: it is stored, and there is no audio of it" in ran.err
    assert files(into) == ["+4930123456/201_00000002.wav"]
    assert trail(house) == [("download", "recording", whole.recording_id)]


def test_a_full_disk_leaves_nothing_half_copied(
    house: House, callrec: Commands, into: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.stored(1, 0.2, format=AudioFormat.WAV)

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    ran = callrec("recordings", "download", an_id(1), "--into", str(into))
    assert ran.status == 1
    assert "No space left" in ran.err
    assert files(into) == []
    assert trail(house) == []


@pytest.mark.parametrize("arguments", [(), (an_id(1), "--owner", "201")])
def test_what_is_wanted_must_be_clear(
    callrec: Commands, into: Path, arguments: tuple[str, ...]
) -> None:
    ran = callrec("recordings", "download", *arguments, "--into", str(into))
    assert ran.status == 2
    assert "give ids, or filters" in ran.err.replace("\n", " ")
    assert not into.exists()


def test_a_place_that_is_no_folder_is_refused_once(
    house: House, callrec: Commands, into: Path
) -> None:
    house.stored(1, 0.2)
    house.stored(2, 0.2)
    into.write_text("mine")
    ran = callrec("recordings", "download", "--state", "stored", "--into", str(into / "below"))
    assert (ran.status, ran.out) == (2, "")
    assert "is no folder" in ran.err.replace("\n", " ")
    assert into.read_text() == "mine"
