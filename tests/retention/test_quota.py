"""Room that recordings take, and what happens when it is full."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog
from prometheus_client import generate_latest

from callrec_pbx import metrics
from callrec_pbx.catalogue.holds import connect, new_hold, place
from callrec_pbx.config import load_config
from callrec_pbx.doctor.finding import Status
from callrec_pbx.doctor.quota import check_quota
from callrec_pbx.domain.words import AudioFormat, HoldKind, OnQuota, RecordingState, Switch
from callrec_pbx.people.rows import TENANT
from callrec_pbx.retention.outcome import Applied
from callrec_pbx.retention.quota import GB, QuotaWatch, full_tenants, usages
from callrec_pbx.retention.run import Terms, foresee, run
from tests.catalogue.cli import configured
from tests.databases import only_sqlite
from tests.retention.house import add_tenant, apply, audited, furnish, recorded
from tests.retention.made import Made
from tests.storage.samples import START, an_id

S = RecordingState
NOW = START + timedelta(days=20)
HALF = GB // 2


def days_of(made: Made, *sizes: int, **changes: Any) -> None:
    """Recordings of so many bytes, one each day."""
    for number, size in enumerate(sizes, 1):
        at = START + timedelta(days=number)
        recorded(
            made, number, at, size=size, retention="unlimited", delete_after=None,
            ended_at=at, **changes,
        )  # fmt: skip


def test_what_is_kept_is_counted(made: Made) -> None:
    furnish(made.engine, quota_gb=2)
    days_of(made, HALF, HALF)
    opus: dict[str, Any] = {"format": AudioFormat.OPUS, "encoded_size": 100}
    recorded(made, 3, **opus, has_wav=False, size=HALF)
    recorded(made, 4, **opus, keep_wav=True, size=HALF, tenant="former")
    recorded(made, 5, state=S.PRUNED, size=HALF)
    found = {one.tenant: (one.recordings, one.used, one.quota) for one in usages(made.engine)}
    assert found == {
        "default": (3, 2 * HALF + 100, 2 * GB),
        "former": (1, HALF + 100, None),
    }


def test_only_a_tenant_that_chose_it_stops(made: Made) -> None:
    furnish(made.engine, quota_gb=1, on_quota=OnQuota.STOP)
    add_tenant(made.engine, "acme", quota_gb=1)
    days_of(made, HALF)
    assert full_tenants(made.engine) == frozenset()
    recorded(made, 2, size=HALF)
    recorded(made, 3, size=2 * GB, tenant="acme")
    assert full_tenants(made.engine) == {"default"}


def test_the_watch_warns_once_for_each_level(made: Made) -> None:
    told: list[frozenset[str]] = []
    watch = QuotaWatch(made.engine, told.append)
    watch.look()
    furnish(made.engine, quota_gb=1, on_quota=OnQuota.STOP)
    recorded(made, 1, size=GB * 9 // 10)
    with structlog.testing.capture_logs() as lines:
        watch.look()
        watch.look()
        recorded(made, 2, size=GB // 10)
        watch.look()
        run(made.place, Terms(), now=NOW + timedelta(days=99))
        watch.look()
    assert told == [frozenset(), frozenset(), frozenset(), frozenset({"default"}), frozenset()]
    warned = [line for line in lines if line["event"].startswith("quota")]
    assert [(line["event"], line["log_level"]) for line in warned] == [
        ("quota_nearly_full", "warning"), ("quota_full", "warning"), ("quota_has_room", "info"),
    ]  # fmt: skip
    assert warned[1]["used"] == "1.00 GB of 1 GB"
    shown = generate_latest(metrics.REGISTRY).decode()
    assert 'callrec_quota_limit_bytes{tenant="default"} 1e+09' in shown


def test_the_oldest_go_until_there_is_room_and_never_what_is_held_or_new(made: Made) -> None:
    """Each takes half a quota; what is held stays above it."""
    furnish(made.engine, quota_gb=1, on_quota=OnQuota.PRUNE)
    connect(made.store.holds, made.engine)
    days_of(made, HALF, HALF, HALF, HALF)
    new = NOW - timedelta(hours=23)
    recorded(made, 5, new, size=HALF, retention="unlimited", delete_after=None, ended_at=new)
    place(made.place, new_hold(HoldKind.RECORDING, an_id(1), "court", "ann"))
    foreseen = [done.id for done in foresee(made.place, Terms(), NOW) if done.kind == "recording"]
    result = run(made.place, Terms(), now=NOW)
    assert foreseen == audited(made.engine, "prune") == [an_id(2), an_id(3), an_id(4)]
    assert result == Applied(recordings=3, calls=3)
    assert made.audio() == [an_id(1), an_id(5)]
    (row, *_) = (row for row in made.tables()["recording"] if row["recording_id"] == an_id(2))
    assert row["prune_reason"] == (
        "the recordings of tenant default take 2.50 GB of 1 GB; the oldest go first"
    )
    assert run(made.place, Terms(), now=NOW) == Applied()


def test_only_as_many_go_as_must(made: Made) -> None:
    furnish(made.engine, quota_gb=1, on_quota=OnQuota.PRUNE)
    days_of(made, HALF, HALF, HALF)
    assert run(made.place, Terms(), now=NOW) == Applied(recordings=2, calls=2)
    assert made.audio() == [an_id(3)]


@only_sqlite
@pytest.mark.parametrize("full", [False, True])
def test_the_commands_show_it(tmp_path: Path, url: str, made: Made, full: bool) -> None:
    callrec = configured(tmp_path, url, made.store.directory)
    furnish(made.engine, quota_gb=1, on_quota=OnQuota.STOP)
    apply(made.engine)
    with made.engine.begin() as connection:
        connection.execute(TENANT.update().values(recording=Switch.ON))
    recorded(made, 1, size=GB if full else HALF)
    (one,) = callrec("retention", "usage", "--json").json["tenants"]
    assert (one["share"], one["level"]) == ((1.0, "full") if full else (0.5, ""))
    assert ("full" in callrec("retention", "usage").out.replace("When full", "")) is full
    (finding,) = check_quota(load_config(callrec.config))
    assert (finding.check, finding.status) == ("quota", Status.FAIL if full else Status.OK)
    explained = callrec("policy", "explain", "--line", "301", "--json").json
    assert explained["decision"]["reason"] == ("quota_full" if full else "rule")
