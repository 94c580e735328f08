"""Plans that change: nothing without a limit is deleted, and dates that are brought up to date."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from callrec_pbx.catalogue.holds import connect, new_hold, place
from callrec_pbx.domain.policy.settings import BUILT_IN
from callrec_pbx.domain.words import HoldKind, RecordingState
from callrec_pbx.retention import gather
from callrec_pbx.retention import redate as module
from callrec_pbx.retention.outcome import Applied, Outcome
from callrec_pbx.retention.redate import Looked, Which, look, redate
from callrec_pbx.retention.run import Terms, foresee, run
from tests.catalogue.cli import configured
from tests.databases import only_sqlite
from tests.retention.house import ANNA, apply, audited, furnish, recorded
from tests.retention.made import Made
from tests.storage.samples import START, an_id

S = RecordingState
TERMS = Terms(defaults=BUILT_IN)
NOW = START + timedelta(days=31)
ENDED = START + timedelta(seconds=65)


def rows(made: Made) -> dict[str, tuple[S, str, datetime | None]]:
    """State, plan and date of each."""
    return {
        row["recording_id"]: (row["state"], row["retention"], row["delete_after"])
        for row in made.tables()["recording"]
    }


def test_what_has_no_limit_by_now_is_kept_and_dated_anew(made: Made) -> None:
    """Nobody has chosen to date anything anew: the runner asks the current policy all the same."""
    furnish(made.engine)
    apply(made.engine, "unlimited")
    recorded(made, 1)
    recorded(made, 2, origin="rule gone")
    recorded(made, 3, deletion_at=NOW, deletion_by="jane", deletion_why="ticket")
    foreseen = {done.id: done.outcome for done in foresee(made.place, TERMS, NOW)}
    result = run(made.place, TERMS, now=NOW)
    assert result == Applied(recordings=2, calls=2, kept=1)
    assert foreseen[an_id(1)] is Outcome.KEPT
    assert [done for done in foreseen.values() if done is Outcome.PRUNED] == [Outcome.PRUNED] * 2
    assert rows(made)[an_id(1)] == (S.STORED, "unlimited", None)
    assert rows(made)[an_id(2)][0] is S.PRUNED, "its rule is gone, so that its own plan counts"
    assert rows(made)[an_id(3)][0] is S.PRUNED, "somebody has asked for it"
    sidecar = made.store.read_sidecar(next(made.store.directory.rglob(f"{an_id(1)}.json")))
    assert sidecar.recording.delete_after is None
    assert audited(made.engine, "change") == [an_id(1)]
    assert run(made.place, TERMS, now=NOW + timedelta(days=999)) == Applied()


def test_a_shorter_plan_counts_for_what_is_there_only_when_it_is_dated_anew(made: Made) -> None:
    furnish(made.engine)
    apply(made.engine, "7 days")
    recorded(made)
    early = START + timedelta(days=8)
    assert run(made.place, TERMS, now=early) == Applied()
    (looked,) = look(made.place, BUILT_IN, Which(), early)
    assert looked.change is not None
    assert (looked.change.origin, looked.change.deletes) == ("tenant default", True)
    assert looked.change.after.delete_after == ENDED + timedelta(days=7)
    assert redate(made.place, BUILT_IN, Which(), "ann", early) == 1
    assert rows(made)[an_id(1)][1:] == ("7 days", ENDED + timedelta(days=7))
    assert redate(made.place, BUILT_IN, Which(), "ann", early) == 0
    assert run(made.place, TERMS, now=early) == Applied(recordings=1, calls=1)
    assert audited(made.engine, "change") == audited(made.engine, "prune") == [an_id(1)]


@pytest.mark.parametrize(
    ("which", "found"),
    [
        (Which(), 3), (Which(tenant="default"), 3), (Which(tenant="x"), 0), (Which(user=ANNA), 2),
        (Which(queue="sales"), 3), (Which(department="Sales", rule="sales"), 3),
        (Which(site="Oslo"), 1), (Which(rule="x"), 0),
    ],
)  # fmt: skip
@only_sqlite
def test_whose_recordings_are_dated_anew(made: Made, which: Which, found: int) -> None:
    furnish(made.engine)
    apply(made.engine, "1 year")
    recorded(made, 1)
    recorded(made, 2, site="Oslo")
    recorded(made, 3, owner="202")
    recorded(made, 4, state=S.PRUNED)
    assert module.count(made.engine, which) == found
    assert redate(made.place, BUILT_IN, which, "ann", NOW) == found
    assert [one[1] for one in rows(made).values()].count("1 year") == found


def test_many_are_looked_at_batch_by_batch(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    furnish(made.engine)
    apply(made.engine, "1 year")
    for number in range(1, 6):
        recorded(made, number)
    monkeypatch.setattr(gather, "BATCH", 2)
    seen: list[str] = []
    done = redate(
        made.place, BUILT_IN, Which(), "ann", NOW,
        told=lambda looked: seen.append(looked.recording.recording_id),
    )  # fmt: skip
    assert (done, seen) == (5, [an_id(number) for number in range(1, 6)])


@only_sqlite
def test_the_command_previews_asks_and_does(tmp_path: Path, url: str, made: Made) -> None:
    furnish(made.engine)
    apply(made.engine, "7 days")
    connect(made.store.holds, made.engine)
    day = datetime.now(UTC) - timedelta(days=10)
    for number in (1, 2):
        date = day + timedelta(days=30)
        recorded(made, number, day, delete_after=date, created_at=day, ended_at=day)
    recorded(made, 3, day, origin="user gone@x.se", created_at=day, ended_at=day)
    place(made.place, new_hold(HoldKind.RECORDING, an_id(2), "court", "ann"))
    callrec = configured(tmp_path, url, made.store.directory)
    before = rows(made)
    ran = callrec("retention", "redate", "--dry-run")
    assert ran.status == 0
    for part in (
        "30 days -> 7 days (tenant default)", "DELETED by the next run", "3 recordings looked at",
        "2 get another date: 2 sooner, 0 later", "1 of them", "kept by a legal hold",
        "1 keep their date: what gave them their plan is gone",
    ):  # fmt: skip
        assert part in ran.out
    assert callrec("retention", "redate").status == 1, "nobody has said yes"
    assert rows(made) == before
    document: dict[str, Any] = callrec(
        "retention", "redate", "--user", ANNA, "--yes", "--json"
    ).json
    assert (document["changed"], document["deleted_by_next_run"], document["held"]) == (2, 1, 1)
    assert [one[1] for one in rows(made).values()] == ["7 days", "7 days", "30 days"]


def test_a_recording_that_changes_meanwhile_is_reported(made: Made) -> None:
    furnish(made.engine)
    apply(made.engine, "1 year")
    recorded(made)
    facts, call = made.store.read(next(made.store.directory.rglob(f"{an_id(1)}.json")))
    made.store.write_sidecar(replace(facts, state=S.PRUNING), call)
    told: list[Looked] = []
    assert redate(made.place, BUILT_IN, Which(), "ann", NOW, told=told.append) == 0
    assert "is pruning" in told[0].error
