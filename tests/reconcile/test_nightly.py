"""The nightly check: its share of checksums, what it remembers, and that it is alone."""

import json
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from callrec_pbx import metrics
from callrec_pbx.config import Config
from callrec_pbx.config.load import load_config
from callrec_pbx.doctor.check import check_last
from callrec_pbx.doctor.finding import Status
from callrec_pbx.reconcile import memory
from callrec_pbx.reconcile.check import Checked
from callrec_pbx.reconcile.mend import Way
from callrec_pbx.reconcile.nightly import LOCK, NightlyCheck
from callrec_pbx.storage import locks
from tests.databases import only_sqlite
from tests.reconcile import damage
from tests.reconcile.house import House, settle


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as entries:
        yield entries


def night(house: House, gigabytes: float = 0) -> Checked:
    settle(house.store.directory)
    checked = NightlyCheck(house.place, Way(), gigabytes).run()
    assert checked is not None
    return checked


@only_sqlite
def test_it_mends_says_so_and_remembers(
    house: House, logged: list[MutableMapping[str, Any]]
) -> None:
    facts, other = house.add(1), house.add(2)
    house.store.peaks_path(facts).unlink()
    damage._unknown(house, other)
    night(house)
    found = {entry["kind"]: entry for entry in logged if entry["event"] == "check_found"}
    assert found["waveform_missing"]["mended"]
    assert found["unknown_file"]["log_level"] == "warning"
    (done,) = [entry for entry in logged if entry["event"] == "check_done"]
    assert (done["found"], done["mended"], done["left"]) == (2, 1, {"unknown_file": 1})
    last = memory.load(house.store.directory)
    assert last.at is not None
    assert (dict(last.found), dict(last.left)) == (
        {"unknown_file": 1, "waveform_missing": 1},
        {"unknown_file": 1},
    )
    assert metrics.CHECK_OPEN._value.get() == 1


@only_sqlite
def test_every_checksum_is_compared_in_time(house: House) -> None:
    """So much each night, going on where it was, and from the beginning when it is through."""
    all_of_them = {house.add(number).recording_id for number in range(5)}
    size = house.store.audio_path(house.add(5)).stat().st_size
    all_of_them.add(house.add(5).recording_id)
    two_a_night = (2 * size - 1) / memory.GB
    seen: list[int] = []
    for _ in range(3):
        assert memory.load(house.store.directory).round_ended_at is None
        seen.append(night(house, two_a_night).verified_bytes // size)
    assert seen == [2, 2, 2]
    assert night(house, two_a_night).verified_bytes == 0
    last = memory.load(house.store.directory)
    assert (last.verified_to, last.round_began_at) == (memory.START, None)
    assert last.round_ended_at is not None
    assert night(house, 1).verified_bytes // size == 6
    damage._flip(house, house.add(5))
    assert dict(night(house, 1).left) == {"checksum_differs": 1}
    assert night(house, 0).verified_bytes == 0


@only_sqlite
def test_told_to_stop_it_goes_on_the_next_night(house: House) -> None:
    house.add(1)
    check = NightlyCheck(house.place, Way(), 1)
    check.stop()
    checked = check.run()
    assert checked is not None
    assert checked.stopped
    assert memory.load(house.store.directory).at is None
    assert night(house, 1).recordings == 1


@only_sqlite
def test_one_at_a_time(house: House, logged: list[MutableMapping[str, Any]]) -> None:
    with locks.held(house.store.directory, LOCK):
        NightlyCheck(house.place, Way(), 0)()
    assert [entry["event"] for entry in logged] == ["check_busy"]


@only_sqlite
def test_few_findings_are_logged_one_by_one(
    house: House, logged: list[MutableMapping[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from callrec_pbx.reconcile import nightly  # noqa: PLC0415

    monkeypatch.setattr(nightly, "MOST_LOGGED", 2)
    for number in range(4):
        house.store.peaks_path(house.add(number)).unlink()
    assert night(house).mended.total() == 4
    events = [entry["event"] for entry in logged]
    assert (events.count("check_found"), events.count("check_found_more")) == (2, 1)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"at": "x"}', '{"verified_to": 3}'])
def test_what_cannot_be_read_is_not_known(tmp_path: Path, text: str) -> None:
    (tmp_path / memory.NAME).write_text(text)
    assert memory.load(tmp_path) == memory.LastCheck()


def test_what_is_remembered_is_read_back(tmp_path: Path) -> None:
    now = datetime(2026, 3, 1, 4, 45, 0, 123456, UTC)
    last = memory.LastCheck(now, "me", {"a": 2}, {"a": 1}, ("2026/03/01", "x"), now, now)
    memory.save(tmp_path, last)
    assert memory.load(tmp_path) == last
    assert json.loads((tmp_path / memory.NAME).read_bytes())["by"] == "me"


@pytest.fixture
def config(tmp_path: Path) -> Config:
    (tmp_path / "asterisk.secret").write_text("a-long-random-word-for-tests\n")
    path = tmp_path / "callrec.toml"
    path.write_text(f'[recordings]\ndirectory = "{tmp_path}"\n')
    return load_config(path)


def test_the_doctor_shows_it(config: Config) -> None:
    """When it was, and what is left."""
    folder, now = config.recordings.directory, datetime.now(UTC)
    (found,) = check_last(config)
    assert (found.status, "nothing to check yet" in found.seen) == (Status.OK, True)
    (folder / f"{now - timedelta(days=1):%Y/%m/%d}").mkdir(parents=True)
    (found,) = check_last(config)
    assert found.status is Status.OK
    (folder / f"{now - timedelta(days=3):%Y/%m/%d}").mkdir(parents=True)
    (found,) = check_last(config)
    assert (found.status, "never checked" in found.seen) == (Status.WARN, True)
    good = memory.LastCheck(now, "nightly check", {"row_missing": 1}, {}, ("2026/03/01", "x"))
    for last, status, said in (
        (good, Status.OK, "checksums compared up to 2026/03/01"),
        (replace(good, round_ended_at=now), Status.OK, "all checksums compared by"),
        (replace(good, left={"audio_missing": 2}), Status.WARN, "2 audio_missing"),
        (replace(good, at=now - timedelta(days=3)), Status.WARN, "and not since"),
    ):
        memory.save(folder, last)
        (found,) = check_last(config)
        assert (found.status, said in found.seen) == (status, True)
