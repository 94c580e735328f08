"""What the listener's process does at its time, beside the calls: one scheduler for all of it."""

from collections.abc import Callable
from datetime import datetime, time, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

GRACE_S = 12 * 3600
"""A job that could not begin on time (a sleeping machine) is still done this much later."""
START_DELAY_S = 60.0
"""How long after the start what is wanted then is done, such as what a crash cut off."""

_OPTIONS = {"coalesce": True, "misfire_grace_time": GRACE_S, "max_instances": 1}

log = structlog.get_logger(__name__)


def daily(at: time) -> BaseTrigger:
    """Every day at that time, local time."""
    return CronTrigger(hour=at.hour, minute=at.minute)


def every(minutes: int) -> BaseTrigger:
    """Again and again, with so many minutes between the beginnings."""
    return IntervalTrigger(minutes=minutes)


class Jobs:
    """Jobs by name, each at its time, in threads of their own and never twice at once.

    Durable work does not live here: whatever is missed is found again by the job itself.
    """

    def __init__(self, *, start_delay_s: float = START_DELAY_S) -> None:
        """Prepare it; nothing runs yet.

        Args:
            start_delay_s: Seconds after `start` at which those are run that are wanted then.
        """
        self._start_delay_s = start_delay_s
        self._scheduler = BackgroundScheduler(daemon=True)
        self._at_start: list[str] = []

    def add(
        self, name: str, trigger: BaseTrigger, work: Callable[[], None], *, at_start: bool = False
    ) -> None:
        """Add a job.

        Args:
            name: What the log calls it.
            trigger: When it is done; `daily` and `every` make one.
            work: What is done; what it raises is logged, and it is tried again at its time.
            at_start: Do it soon after the start, too.
        """

        def carefully() -> None:
            try:
                work()
            except Exception as error:
                log.exception("job_failed", job=name, error=str(error))

        self._scheduler.add_job(carefully, trigger, id=name, **_OPTIONS)
        if at_start:
            self._at_start.append(name)

    def next_run(self, name: str) -> datetime | None:
        """When a job is due next; None while nothing is started, or there is no such job."""
        job = self._scheduler.get_job(name)
        found: datetime | None = getattr(job, "next_run_time", None)
        return found

    def start(self) -> None:
        """Begin to keep time, in a thread of its own."""
        soon = datetime.now().astimezone() + timedelta(seconds=self._start_delay_s)
        for name in self._at_start:
            self._scheduler.modify_job(name, next_run_time=soon)
        self._scheduler.start()

    def stop(self) -> None:
        """Begin nothing more; what is under way is not waited for, and resumed the next time."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)
