"""Erasure of a number: it is nowhere afterwards, in no spelling, and what stays is said."""

import json
import os
import re
import resource
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine, MetaData, select

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.holds import connect, new_hold, place, release, resolve
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.facts import CallFacts, LegFacts
from callrec_pbx.domain.people import Line, Tenant
from callrec_pbx.domain.words import AudioFormat, HoldKind, LegKind, RecordingState
from callrec_pbx.policy.people import changing
from callrec_pbx.retention import apply, erase_record
from callrec_pbx.retention.erase import begin_or_go_on, carry_out, plan_erasure
from callrec_pbx.retention.erase_find import EraseError, find, number_of
from callrec_pbx.storage.serial import CallSidecar
from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite
from tests.retention.made import Made
from tests.storage.samples import START, a_call, a_recording, an_id, without_audio

S = RecordingState
NUMBER = "+46701234567"
TRACE = re.compile(rb"7\D{0,3}0\D{0,3}1\D{0,3}2\D{0,3}3\D{0,3}4\D{0,3}5\D{0,3}6\D{0,3}7")
"""The number in any spelling."""


@pytest.fixture
def made(engine: Engine, tmp_path: Path) -> Made:
    made = Made(engine, tmp_path / "recordings")
    connect(made.store.holds, engine)
    with changing(engine, author="t") as changes:
        changes.set(Entity.TENANT, ("default",), {"country": "SE", "outside_prefix": "9"})
    return made


@pytest.fixture
def callrec(tmp_path: Path, url: str, made: Made) -> Commands:
    return configured(tmp_path, url, made.store.directory)


def other(number: int, **changes: Any) -> CallFacts:
    """A call in which the number does not stand."""
    call = a_call(number, START + timedelta(days=number), a_name="Eva")
    return replace(call, **changes)


def everywhere(made: Made, number: int = 1) -> None:
    """Calls that have the number in each place, and in many spellings."""
    spellings = {
        "a_number": "0701234567",
        "b_number": "0046701234567",
        "c_number": "46701234567",
        "ddi": "90701234567",
        "a_name": "Bo 070-123 45 67",
        "transfers": ("blind:0701234567",),
    }
    for name, value in spellings.items():
        made.call(other(number, **{name: value}), a_recording(number, other(number)))
        number += 1
    call = other(number)
    leg = replace(call.legs[0], number="sip:+46701234567@carrier.example", name=NUMBER)
    made.call(replace(call, legs=(leg,)), a_recording(number, call))
    number += 1
    call = other(number)
    asked = replace(call.consents[0], number="*31#0701234567")
    made.call(replace(call, consents=(asked,)), a_recording(number, call))
    number += 1
    call = other(number)
    trunk = LegFacts(
        "x", "Local/0701234567@out-00000001;2", LegKind.OTHER, "", "", "", call.started_at
    )
    one = a_recording(number, call, channel="Local/0701234567@out-00000001;2", tags=("0701234567",))
    made.call(replace(call, legs=(trunk,)), one, without_audio(number + 50, call, state=S.FAILED))
    number += 1
    made.call(other(number, b_number=NUMBER))


def trace(made: Made) -> list[str]:
    """Where the number still is: in names, files, rows, and in the bytes of SQLite's files."""
    found = []
    for path in sorted(made.store.directory.rglob("*")):
        name = str(path.relative_to(made.store.directory)).encode()
        if TRACE.search(name) or (path.is_file() and TRACE.search(path.read_bytes())):
            found.append(str(path))
    tables = MetaData()
    tables.reflect(made.engine)
    with made.engine.begin() as connection:
        for table in tables.tables.values():
            rows = [repr(tuple(row)) for row in connection.execute(select(table))]
            found += [f"{table.name}: {row}" for row in rows if TRACE.search(row.encode())]
    if made.engine.dialect.name == "sqlite":
        file = Path(str(made.engine.url.database))
        files = file.parent.glob(file.name + "*")
        found += [str(p) for p in files if re.search(rb"701234567|123 45 67", p.read_bytes())]
    return found


def at(made: Made) -> Place:
    return Place(made.engine, made.store)


def test_the_number_is_nowhere_afterwards(made: Made, callrec: Commands) -> None:
    everywhere(made)
    kept = other(40, a_number="+46701234568", b_number="070123457", c_number="+4670123")
    made.call(kept, a_recording(40, kept))
    stereo = a_recording(2, other(2))
    for path in (made.store.peaks_path(stereo), *made.store.side_paths(stereo)):
        path.write_bytes(b"0701234567")
    opus = replace(stereo, format=AudioFormat.OPUS)
    made.store.encoded_path(opus).write_bytes(b"0701234567")
    dry = callrec("erase", "--number", "070-123 45 67", "--dry-run", "--json")
    assert (dry.status, dry.json["stays"], dry.json["possible"]) == (0, [], {})
    assert len(dry.json["recordings"]) == 10
    assert len(dry.json["calls"]) == 10
    assert len(list(made.store.directory.rglob("r*[0-9].wav"))) == 10

    with structlog.testing.capture_logs() as logged:
        done = callrec("erase", "--number", NUMBER, "--reference", "T-1", "--yes", "--json")
    assert (done.status, done.err) == (0, "")
    certificate = done.json["certificate"]
    assert all(call["cleared_at"] for call in certificate["calls"])
    assert {r["sha256"] for call in certificate["calls"] for r in call["recordings"]} == {
        "cd" * 32,
        "",
    }
    assert done.json["remains_in_file"] is False
    assert made.audio() == [a_recording(40).recording_id]
    assert not made.store.encoded_path(opus).exists()
    rows = made.tables()
    assert sum(row["state"] is S.PRUNED for row in rows["recording"]) == 10
    assert {row["pruned_by"][:4] for row in rows["recording"]} == {"cli:", ""}
    assert any("(T-1)" in row["prune_reason"] for row in rows["recording"])
    assert TRACE.search(repr(logged).encode()) is None
    made.engine.dispose()
    assert trace(made) == []
    again = callrec("erase", "--number", NUMBER, "--yes")
    assert again.status == 0
    assert "nothing has the number" in again.out


def test_what_only_a_sidecar_knows_is_erased(made: Made, callrec: Commands) -> None:
    call = other(1, a_number="0701234567")
    made.store.write_call(call)
    made.store.write_sidecar(a_recording(1, call), call)
    made.store.audio_path(a_recording(1, call)).write_bytes(b"talk")
    newer = other(2, a_number="0701234567")
    made.call(newer, a_recording(2, newer))
    made.row(CallSidecar(other(2)))
    assert callrec("erase", "--number", NUMBER, "--yes", "--catalogue-only").status == 0
    assert len(made.audio()) == 2
    assert callrec("erase", "--number", NUMBER, "--yes").status == 0
    assert made.audio() == []
    made.engine.dispose()
    assert trace(made) == []


@only_sqlite
def test_a_call_with_many_recordings_takes_few_files_at_once(
    made: Made, callrec: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each lock is an open file, of which a process may have some 1000."""
    monkeypatch.setattr(apply, "BATCH", 10)
    call = other(1, a_number=NUMBER)
    made.call(call, *(without_audio(number, call, state=S.FAILED) for number in range(1, 71)))
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    at_once = len(list(Path("/proc/self/fd").iterdir())) + 50
    resource.setrlimit(resource.RLIMIT_NOFILE, (at_once, before[1]))
    try:
        assert callrec("erase", "--number", NUMBER, "--yes").status == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    made.engine.dispose()
    assert trace(made) == []


@only_sqlite
def test_what_a_check_has_set_aside_is_said(made: Made, callrec: Commands) -> None:
    folder = made.store.directory / "set-aside" / "2026" / "03" / "01"
    folder.mkdir(parents=True)
    for name, text in (
        ("a.json.1", '{"a_number":"070-123 45 67'),
        ("b.json.1", '{"a_number":"1'),
    ):
        (folder / name).write_text(text)
    done = callrec("erase", "--number", NUMBER, "--yes")
    assert done.status == 1
    assert "a.json.1: was replaced by a check, and may have the number" in done.out
    assert "b.json.1" not in done.out
    (folder / "a.json.1").unlink()
    assert callrec("erase", "--number", NUMBER, "--yes").status == 0


@only_sqlite
def test_what_must_stay_stays_and_is_said(made: Made, callrec: Commands, tmp_path: Path) -> None:
    for number in (1, 2, 3, 4):
        call = other(number, a_number=NUMBER, ended_at=None if number == 4 else START)
        made.call(call, a_recording(number, call))
    running = other(5, a_number=NUMBER)
    made.call(running, replace(a_recording(5, running), state=S.CAPTURED))
    hold = new_hold(HoldKind.RECORDING, a_recording(1).recording_id, "dispute", "cli:anna")
    place(at(made), hold)
    of_call = new_hold(HoldKind.CALL, a_call(2).call_id, "court", "cli:anna")
    place(at(made), resolve(made.engine, of_call))
    file = tmp_path / "certificate.txt"
    done = callrec("erase", "--number", NUMBER, "--yes", "--certificate", str(file))
    assert done.status == 1
    assert made.audio() == [a_recording(number).recording_id for number in (1, 2, 4, 5)]
    for number, why in (
        (1, hold.hold_id),
        (2, of_call.hold_id),
        (4, "not over"),
        (5, "still being made"),
    ):
        assert re.search(f"not erased: recording {an_id(number)}: .*{why}", done.out)
    text = file.read_text()
    assert "Certificate of erasure" in text
    assert TRACE.search(text.encode()) is None
    assert f"recording {an_id(1)}: is under legal hold {hold.hold_id}" in text
    release(at(made), hold.hold_id, "cli:anna", "settled")
    release(at(made), of_call.hold_id, "cli:anna", "settled")
    callrec("erase", "--number", NUMBER, "--yes")
    assert made.audio() == [a_recording(number).recording_id for number in (4, 5)]


def test_a_hold_on_the_number_goes_first_and_is_then_forgotten(
    made: Made, callrec: Commands
) -> None:
    made.call(other(1, a_number=NUMBER), a_recording(1, other(1)))
    hold = resolve(made.engine, new_hold(HoldKind.NUMBER, "0701234567", f"of {NUMBER}", "cli:anna"))
    place(at(made), hold)
    done = callrec("erase", "--number", NUMBER, "--yes")
    assert done.status == 1
    assert f"stays: hold {hold.hold_id}" in done.out
    assert made.audio() == [a_recording(1).recording_id]
    release(at(made), hold.hold_id, "cli:anna", "settled")
    assert callrec("erase", "--number", NUMBER, "--yes").status == 0
    assert made.store.holds.all()[0].subject == "(erased)"
    made.engine.dispose()
    assert trace(made) == []


@only_sqlite
def test_what_only_may_be_the_number_is_asked_about(made: Made, callrec: Commands) -> None:
    call = other(1, a_number="0049701234567")
    made.call(call, a_recording(1, call))
    odd = other(2, a_number="07012345678")
    made.call(odd, a_recording(2, odd))
    done = callrec("erase", "--number", NUMBER, "--yes")
    assert done.status == 1
    assert "may be the number: 07012345678" in done.out
    assert len(made.audio()) == 2
    assert callrec("erase", "--number", "07012345678", "--yes").status == 0
    assert made.audio() == [a_recording(1).recording_id]


@only_sqlite
def test_a_number_of_ours_is_not_erased_by_accident(made: Made, callrec: Commands) -> None:
    with changing(made.engine, author="t") as changes:
        changes.add(Line("default", "0701234567"))
    made.call(other(1, a_number=NUMBER), a_recording(1, other(1)))
    done = callrec("erase", "--number", NUMBER, "--yes")
    assert done.status == 2
    assert "is the line 0701234567 of ours" in done.err
    assert len(made.audio()) == 1
    assert callrec("erase", "--number", NUMBER, "--yes", "--own").status == 0
    assert made.audio() == []


@only_sqlite
def test_excluded_numbers_stay_on_their_list(made: Made, callrec: Commands) -> None:
    assert callrec("policy", "exclude", "add", "0701234567").status == 0
    done = callrec("erase", "--number", NUMBER, "--yes")
    assert done.status == 1
    assert "stays: excluded_number" in done.out


@only_sqlite
@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--number", "anna"), "has no digits"),
        ((), "give --number"),
        (("--number", NUMBER, "--reference", "of 0701234567"), "names the number"),
        (("--number", NUMBER, "--certificate", "/nowhere/x.json"), "cannot be written"),
        (("--resume", "../x"), "is no id"),
    ],
)
def test_bad_input_changes_nothing(
    made: Made, callrec: Commands, arguments: tuple[str, ...], error: str
) -> None:
    made.call(other(1, a_number=NUMBER), a_recording(1, other(1)))
    ran = callrec("erase", "--yes", *arguments)
    assert ran.status == 2
    assert error in re.sub(r"[\s│]+", " ", ran.err)
    assert len(made.audio()) == 1


@only_sqlite
def test_a_number_without_country_code_may_mean_several(made: Made) -> None:
    with changing(made.engine, author="t") as changes:
        changes.set(Entity.TENANT, ("default",), {"country": "DE"})
        changes.add(Tenant("svea", country="SE"))
    with pytest.raises(EraseError, match="another one in each of DE, SE"):
        number_of(at(made), "0701234567")
    assert number_of(at(made), "0701234567", "svea").meant == NUMBER
    german = other(1, a_number="0701234567")
    swede = other(2, a_number="0701234567", tenant="svea")
    made.call(german, a_recording(1, german))
    made.call(swede, a_recording(2, swede, tenant="svea"))
    number = number_of(at(made), NUMBER)
    found = find(at(made), number)
    assert [match.call.call.call_id for match in found.matches] == [swede.call_id]
    assert found.possible == {"0701234567": [german.call_id]}


@only_sqlite
def test_it_goes_on_after_it_was_killed(
    made: Made, callrec: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    everywhere(made)
    before = made.store.delete_audio
    gone: list[Any] = []

    def delete(*given: Any, **more: Any) -> bool:
        if len(gone) == 3:
            raise KeyboardInterrupt
        gone.append(given)
        return before(*given, **more)

    monkeypatch.setattr(made.store, "delete_audio", delete)
    number = number_of(at(made), NUMBER)
    plan = plan_erasure(at(made), find(at(made), number))
    erasure = begin_or_go_on(at(made), plan, number, "cli:anna", "T-1")
    with pytest.raises(KeyboardInterrupt):
        carry_out(at(made), erasure)
    monkeypatch.undo()
    assert [one.erasure_id for one in erase_record.unfinished(made.store.directory)] == [
        erasure.erasure_id
    ]
    done = callrec("erase", "--number", NUMBER, "--yes", "--json")
    assert done.json["certificate"]["erasure_id"] == erasure.erasure_id
    assert done.status == 0
    made.engine.dispose()
    assert trace(made) == []
    shown = callrec("erase", "--resume", erasure.erasure_id)
    assert (shown.status, "Reference:  T-1" in shown.out) == (0, True)


SLOW = """
import os, sys, time
from callrec_pbx.storage.store import RecordingStore
from callrec_pbx.cli import main
before, count = RecordingStore.delete_audio, [0]
def delete(self, *given, **more):
    count[0] += 1
    if count[0] == int(sys.argv[1]):
        print("here", flush=True)
        time.sleep(60)
    return before(self, *given, **more)
RecordingStore.delete_audio = delete
main(sys.argv[2:])
"""


def test_a_real_process_that_is_killed_can_be_run_again(made: Made, callrec: Commands) -> None:
    everywhere(made)
    arguments = ["--config", str(callrec.config), "erase", "--number", NUMBER, "--yes"]
    with subprocess.Popen(
        [sys.executable, "-c", SLOW, "4", *arguments], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() not in (b"here\n", b""):
            pass
        os.kill(process.pid, signal.SIGKILL)
    (cut_off,) = erase_record.unfinished(made.store.directory)
    assert callrec("erase", "--resume", cut_off.erasure_id).status == 0
    made.engine.dispose()
    assert trace(made) == []
    document = json.loads(
        (made.store.directory / "erasures" / f"{cut_off.erasure_id}.json").read_text()
    )
    assert len(document["calls"]) == 10
    assert document["finished_at"]
