"""What the listener's process does at its time."""

import threading
from datetime import datetime, time, timedelta
from pathlib import Path

import pytest
import structlog
from sqlalchemy import Engine

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.config.load import parse_config
from callrec_pbx.recorder import tidying
from callrec_pbx.recorder.jobs import Jobs, daily, every
from callrec_pbx.recorder.tidying import add_retention, run_once
from callrec_pbx.retention.leader import RetentionBusyError, RetentionLostError
from callrec_pbx.retention.outcome import Applied
from callrec_pbx.retention.run import Terms
from callrec_pbx.storage.store import RecordingStore
from tests.databases import only_sqlite


def test_what_is_wanted_soon_after_the_start_is_done_then_and_again_at_its_time() -> None:
    jobs = Jobs(start_delay_s=0)
    done = threading.Event()
    jobs.add("tidy", daily(time(3, 15)), done.set, at_start=True)
    jobs.add("other", every(10), lambda: None)
    assert jobs.next_run("other") is None
    jobs.start()
    try:
        assert done.wait(10)
        tidy, other = jobs.next_run("tidy"), jobs.next_run("other")
        assert tidy is not None
        assert other is not None
        assert (tidy.hour, tidy.minute) == (3, 15)
        assert timedelta(minutes=9) < other - datetime.now().astimezone() <= timedelta(minutes=10)
        job = jobs._scheduler.get_job("tidy")
        assert (job.coalesce, job.max_instances, job.misfire_grace_time) == (True, 1, 43200)
    finally:
        jobs.stop()
    jobs.stop()


def test_a_job_that_fails_is_logged_and_tried_again() -> None:
    jobs = Jobs(start_delay_s=0)
    failed = threading.Event()

    def fail() -> None:
        try:
            raise OSError("no room")
        finally:
            failed.set()

    jobs.add("tidy", every(10), fail, at_start=True)
    with structlog.testing.capture_logs() as lines:
        jobs.start()
        assert failed.wait(10)
        jobs._scheduler.shutdown(wait=True)
    assert [(line["event"], line["job"], line["error"]) for line in lines] == [
        ("job_failed", "tidy", "no room")
    ]


@pytest.fixture
def place(engine: Engine, tmp_path: Path) -> Place:
    return Place(engine, RecordingStore(tmp_path))


@only_sqlite
def test_retention_is_among_them(place: Place) -> None:
    jobs = Jobs(start_delay_s=0)
    config = parse_config("[retention]\nrun_at = '04:00'", Path("c"))
    told: list[frozenset[str]] = []
    looked = threading.Event()

    def tell(full: frozenset[str]) -> None:
        told.append(full)
        looked.set()

    add_retention(jobs, config, place, tell)
    jobs.start()
    try:
        assert looked.wait(10)
    finally:
        jobs._scheduler.shutdown(wait=True)
    assert told == [frozenset()]


@pytest.mark.parametrize(
    ("outcome", "only_deletions", "events"),
    [
        (Applied(recordings=2), False, ["retention_done"]),
        (Applied(recordings=2), True, ["deletions_done"]),
        (Applied(), True, []),
        (RetentionBusyError("held"), False, ["retention_busy"]),
        (RetentionLostError("lost"), True, ["retention_cut_off"]),
    ],
)
@only_sqlite
def test_what_comes_of_a_run_is_logged(
    place: Place,
    monkeypatch: pytest.MonkeyPatch,
    outcome: Applied | Exception,
    only_deletions: bool,
    events: list[str],
) -> None:
    def run(*_given: object, **_more: object) -> Applied:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(tidying, "run", run)
    with structlog.testing.capture_logs() as lines:
        run_once(place, Terms(), only_deletions=only_deletions)
    assert [line["event"] for line in lines] == events
