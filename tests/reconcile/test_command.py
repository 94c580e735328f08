"""`callrec-pbx catalogue check`: what it prints, and its exit status."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx.reconcile import memory
from callrec_pbx.reconcile.nightly import LOCK
from callrec_pbx.storage import locks
from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite
from tests.reconcile import damage
from tests.reconcile.house import House, settle

pytestmark = only_sqlite


@pytest.fixture
def run(tmp_path: Path, url: str, engine: Engine, house: House) -> Commands:
    return configured(tmp_path, url, house.store.directory)


def test_exit_status(house: House, run: Commands) -> None:
    """0: all agrees; 3: all of it is mended; 1: something is left."""
    facts = house.add(1)
    settle(house.store.directory)
    ran = run("catalogue", "check")
    assert (ran.status, ran.out) == (0, "1 recordings and 1 calls agree\n")
    house.store.peaks_path(facts).unlink()
    ran = run("catalogue", "check")
    assert ran.status == 1
    assert f"waveform_missing: recording {facts.recording_id}\n" in ran.out
    assert "1 findings, 0 mended, 1 left" in ran.out
    ran = run("catalogue", "check", "--mend")
    assert (ran.status, "; mended" in ran.out) == (3, True)
    assert run("catalogue", "check").status == 0
    damage._unknown(house, facts)
    assert run("catalogue", "check", "--mend").status == 1


def test_for_programs(house: House, run: Commands) -> None:
    facts = house.add(1)
    damage._flip(house, facts)
    settle(house.store.directory)
    assert run("catalogue", "check", "--json").status == 0
    ran = run("catalogue", "check", "--checksums", "--mend", "--json")
    assert ran.status == 1
    assert ran.json == {
        "recordings": 1,
        "calls": 1,
        "verified_bytes": facts.size,
        "found": {"checksum_differs": 1},
        "left": {"checksum_differs": 1},
        "findings": [
            {
                "kind": "checksum_differs",
                "what": "recording",
                "id": facts.recording_id,
                "detail": "the wav file is not what it was",
                "mended": False,
                "error": "",
            }
        ],
    }
    last = memory.load(house.store.directory)
    assert last.by == "callrec-pbx catalogue check"
    assert last.round_ended_at is not None


def test_a_part_of_it(house: House, run: Commands) -> None:
    facts = house.add(1)
    house.store.peaks_path(facts).unlink()
    settle(house.store.directory)
    assert run("catalogue", "check", "--from", "2026-03-05").status == 0
    assert run("catalogue", "check", "--tenant", "default").status == 1
    assert run("catalogue", "check", "--tenant", "nobody").status == 2
    assert run("catalogue", "check", "--from", "2026-03-02", "--to", "2026-03-02").status == 1
    assert memory.load(house.store.directory).at is None
    assert run("catalogue", "check", "--from", "x").status == 2
    assert run("catalogue", "check", "--from", "2026-03-02", "--to", "2026-03-01").status == 2


def test_one_at_a_time_and_not_without_the_directory(house: House, run: Commands) -> None:
    with locks.held(house.store.directory, LOCK):
        ran = run("catalogue", "check")
    assert (ran.status, "another check" in ran.err) == (1, True)
    house.store.directory.rename(house.store.directory.with_name("away"))
    ran = run("catalogue", "check", "--mend")
    assert (ran.status, "create or mount it" in ran.err) == (2, True)


def test_nothing_steers_the_terminal(house: House, run: Commands) -> None:
    facts = house.add(1)
    house.store.audio_path(facts).with_name("\x1b[2Jx").write_text("")
    settle(house.store.directory)
    ran = run("catalogue", "check")
    assert "\x1b" not in ran.out
    assert "unknown_file: file 2026/03/02/" in ran.out
