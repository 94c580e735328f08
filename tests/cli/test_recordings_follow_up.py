"""`callrec-pbx recordings follow-up`, and what the doctor says of the same."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx.config import load_config
from callrec_pbx.doctor.finding import Status
from callrec_pbx.doctor.follow_up import check_follow_up
from callrec_pbx.followup.tries import MOST_TRIES, carry_out
from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite
from tests.followup.house import House
from tests.storage.samples import an_id

pytestmark = only_sqlite


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    return House(engine, tmp_path / "recordings")


@pytest.fixture
def callrec(tmp_path: Path, url: str, house: House) -> Commands:
    return configured(tmp_path, url, house.store.directory, '[names]\non_disk = "id"\n')


def test_nothing(callrec: Commands) -> None:
    assert callrec("recordings", "follow-up").out == "nothing is to be done\n"
    assert callrec("recordings", "follow-up", "--json").json == {
        "recordings": [],
        "retried": [],
        "run": [],
    }


def test_it_is_listed_and_done(house: House, callrec: Commands) -> None:
    facts = [house.stored(number, seconds=0.2, names=True) for number in (1, 2)]
    text = callrec("recordings", "follow-up").out
    assert text.count("encode waveform name") == 2
    one = callrec("recordings", "follow-up", an_id(1), "--run", "--json")
    assert (one.status, one.json["run"]) == (0, [{"id": an_id(1), "came": "done"}])
    assert one.json["recordings"] == []
    (left,) = callrec("recordings", "follow-up", "--json").json["recordings"]
    assert (left["id"], left["to_do"], left["set_aside"]) == (
        an_id(2),
        ["encode", "waveform", "name"],
        False,
    )
    assert callrec("recordings", "follow-up", "--run").out == "1 done\nnothing is to be done\n"
    for done in facts:
        house.whole(done)
        assert house.facts(done).named == f"{done.recording_id}.opus"


def test_what_is_set_aside_is_tried_again(house: House, callrec: Commands) -> None:
    poison, facts = house.broken(1, seconds=0.2), house.stored(2, seconds=0.2)
    for _ in range(MOST_TRIES):
        carry_out(house.work, poison.recording_id)
    assert "set aside" in callrec("recordings", "follow-up").out
    finding, _ = check_follow_up(load_config(callrec.config))
    assert finding.status is Status.WARN
    assert an_id(1) in finding.seen
    assert "does not begin as a WAV file does" in finding.seen
    assert finding.remedy.endswith(f"`callrec-pbx recordings follow-up --retry {an_id(1)}`")
    house.store.audio_path(poison).write_bytes(house.store.audio_path(facts).read_bytes())
    done = callrec("recordings", "follow-up", "--retry", an_id(1), "--json")
    assert done.json["retried"] == [an_id(1)]
    assert (house.facts(poison).tries, house.facts(poison).follow_up_error) == (0, "")
    assert callrec("recordings", "follow-up", "--run").status == 0
    (finding,) = check_follow_up(load_config(callrec.config))
    assert finding.status is Status.OK


def test_each_is_tried_once(
    house: House, callrec: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many wait, and whatever comes of them."""
    monkeypatch.setattr("callrec_pbx.cli.recordings_follow_up.AT_ONCE", 2)
    for number in range(1, 8):
        (house.broken if number % 2 else house.stored)(number, seconds=0.1)
    ran = callrec("recordings", "follow-up", "--run", "--json")
    assert [(one["id"], one["came"]) for one in ran.json["run"]] == [
        (an_id(number), "failed" if number % 2 else "done") for number in range(1, 8)
    ]
    assert [one["tries"] for one in ran.json["recordings"]] == [1] * 4


def test_what_does_not_work_has_an_exit_status(house: House, callrec: Commands) -> None:
    house.broken(1, seconds=0.2)
    ran = callrec("recordings", "follow-up", "--run")
    assert ran.status == 1
    assert "1 failed" in ran.out
    assert "does not begin" in ran.out


def test_an_unknown_id(callrec: Commands) -> None:
    ran = callrec("recordings", "follow-up", "nothing-like-it")
    assert ran.status == 2
    assert "there is none" in ran.err


def test_the_doctor_sees_work_that_nobody_does(house: House, callrec: Commands) -> None:
    now = datetime.now(UTC)
    facts = house.stored(1, seconds=0.2)
    (finding,) = check_follow_up(load_config(callrec.config))
    assert (finding.status, "waits" in finding.seen) == (Status.WARN, True)
    house.change(facts, ended_at=now - timedelta(minutes=1))
    (finding,) = check_follow_up(load_config(callrec.config))
    assert finding.status is Status.OK
    for number in range(2, 15):
        house.stored(number, seconds=0.1)
        house.change(house.stored(number, seconds=0.1), number, tries=3, follow_up_error="x")
    found = list(check_follow_up(load_config(callrec.config)))
    assert len(found) == 11
    assert found[-1].seen == "3 more were set aside"
