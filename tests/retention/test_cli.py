"""`callrec-pbx retention run`."""

import fcntl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from callrec_pbx.catalogue.holds import new_hold, place
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.words import HoldKind
from callrec_pbx.policy.people import changing
from callrec_pbx.retention.leader import LOCK_NAME
from tests.catalogue.cli import Commands, configured
from tests.databases import only_sqlite
from tests.retention.house import ANNA, apply, furnish
from tests.retention.made import Made
from tests.storage.samples import a_call, a_recording, an_id

pytestmark = only_sqlite

LONG_AGO = datetime.now(UTC) - timedelta(days=100)


@pytest.fixture
def callrec(tmp_path: Path, url: str, made: Made) -> Commands:
    made.call(a_call(1, LONG_AGO), a_recording(1, a_call(1), LONG_AGO))
    made.call(a_call(2, LONG_AGO))
    made.call(a_call(3, datetime.now(UTC)))
    more = "[retention]\ncall_days = 90\n"
    return configured(tmp_path, url, made.store.directory, more)


def test_a_dry_run_says_what_and_why_and_does_nothing(callrec: Commands, made: Made) -> None:
    before = made.files(), made.tables()
    ran = callrec("retention", "run", "--dry-run")
    assert ran.status == 0
    for part in (an_id(1), "kept for 30 days, until", an_id(2, "c"), "more than 90 days ago"):
        assert part in ran.out
    document = callrec("retention", "run", "--dry-run", "--json").json
    assert document["dry_run"] is True
    assert [(item["kind"], item["id"], item["call_id"]) for item in document["items"]] == [
        ("recording", an_id(1), an_id(1, "c")),
        ("call", an_id(1, "c"), an_id(1, "c")),
        ("call", an_id(2, "c"), an_id(2, "c")),
    ]
    assert document["totals"] == {"pruned": 1, "cleared": 2, "held": 0, "kept": 0, "bytes": 896044}
    short = callrec("retention", "run", "--dry-run", "--limit", "1").out
    assert "... and 2 more (--limit 0 lists all)" in short
    assert "1 recordings (0.00 GB) would be deleted, 2 calls cleared" in short
    assert (made.files(), made.tables()) == before


def test_a_run_prunes(callrec: Commands, made: Made) -> None:
    ran = callrec("retention", "run")
    assert (ran.status, ran.out) == (0, "1 recordings pruned, 2 calls cleared\n")
    assert made.audio() == []
    (row,) = made.tables()["recording"]
    assert row["pruned_by"] == "callrec-pbx retention run"
    assert callrec("retention", "run", "--dry-run").out == "nothing is due\n"
    document = callrec("retention", "run", "--json").json
    assert document == {
        "dry_run": False,
        "items": [],
        "recordings": 0,
        "calls": 0,
        "held": 0,
        "kept": 0,
        "skipped": 0,
        "histories": 0,
        "failed": 0,
        "failures": [],
    }


def test_what_could_not_be_done_is_told(callrec: Commands, made: Made) -> None:
    audio = made.store.audio_path(a_recording(1, at=LONG_AGO))
    audio.unlink()
    audio.mkdir()
    ran = callrec("retention", "run")
    assert ran.status == 1
    assert f"not done: {an_id(1)}: {audio}: Is a directory" in ran.err
    ran = callrec.process("retention", "run", "--json")
    assert "retention_item_failed" in ran.err
    (failure,) = ran.json["failures"]
    assert (ran.status, failure["id"], ran.json["failed"]) == (1, an_id(1), 1)


def test_what_a_hold_keeps_is_listed_with_its_reason(callrec: Commands, made: Made) -> None:
    place(made.place, new_hold(HoldKind.RECORDING, an_id(1), "court order 7", "ann"))
    for more in (("--dry-run",), ()):
        ran = callrec("retention", "run", *more)
        assert (ran.status, an_id(1) in ran.out, "court order 7" in ran.out) == (0, True, True)
    assert "1 are kept by a legal hold" in ran.out
    assert made.audio() == [an_id(1)]


def test_plans_are_listed(callrec: Commands, made: Made) -> None:
    furnish(made.engine)
    apply(made.engine, "3 months", rule="1 year")
    with changing(made.engine, author="ann") as changes:
        changes.set(Entity.USER, ("default", ANNA), {"retention": "90"})
    document = callrec("retention", "plans", "--json").json
    assert [(one["level"], one["name"], one["plan"]) for one in document["plans"]] == [
        ("rule", "sales", "1 year"), ("user", ANNA, "90 days"), ("tenant", "", "3 months"),
        ("default", "", "unlimited"),
    ]  # fmt: skip
    assert document["recordings"] == {"30 days": 1}
    assert "3 months" in callrec("retention", "plans").out


def test_another_run_at_work_is_told(callrec: Commands, made: Made) -> None:
    with (made.store.directory / LOCK_NAME).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = callrec("retention", "run")
    assert ran.status == 1
    assert "another retention run" in ran.err
    assert made.audio() == [an_id(1)]
