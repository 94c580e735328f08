"""The daily run."""

import threading
from datetime import datetime, time, timedelta
from typing import Any

import pytest
import structlog

from callrec_pbx.retention import scheduler as module
from callrec_pbx.retention.apply import Applied
from callrec_pbx.retention.run import RetentionBusyError
from callrec_pbx.retention.scheduler import RetentionScheduler
from tests.retention.made import Made
from tests.storage.samples import a_call, a_recording


def test_the_first_run_is_made_soon_after_the_start(made: Made) -> None:
    made.call(a_call(), a_recording())
    done = threading.Event()
    scheduler = RetentionScheduler(made.engine, made.store, time(3, 15), None, start_delay_s=0)
    real = scheduler.run_once

    def run_once() -> None:
        real()
        done.set()

    scheduler._scheduler.modify_job("retention", func=run_once)
    scheduler.run_once = run_once  # type: ignore[method-assign]
    scheduler.start()
    try:
        assert done.wait(10)
        assert made.audio() == []
    finally:
        scheduler.stop()
    scheduler.stop()


def test_the_next_run_is_at_the_time_of_day(made: Made) -> None:
    scheduler = RetentionScheduler(made.engine, made.store, time(3, 15), None, start_delay_s=None)
    scheduler.start()
    try:
        due = scheduler.next_run_at
        assert due is not None
        assert (due.hour, due.minute) == (3, 15)
        assert due - datetime.now().astimezone() <= timedelta(days=1, hours=1)
        job = scheduler._scheduler.get_job("retention")
        assert (job.coalesce, job.max_instances, job.misfire_grace_time) == (True, 1, 43200)
    finally:
        scheduler.stop()


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (Applied(recordings=2), "retention_done"),
        (RetentionBusyError("held"), "retention_busy"),
        (OSError("no such directory"), "retention_failed"),
    ],
)
def test_what_comes_of_a_run_is_logged_and_never_raised(
    made: Made, monkeypatch: pytest.MonkeyPatch, outcome: Applied | Exception, event: str
) -> None:
    def run(*arguments: Any) -> Applied:
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(module, "run", run)
    with structlog.testing.capture_logs() as lines:
        RetentionScheduler(made.engine, made.store, time(3, 15), 7).run_once()
    assert [line["event"] for line in lines] == [event]
