"""Runs retention every day inside the listener's process."""

from datetime import datetime, time, timedelta

import structlog
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import Engine

from callrec_pbx.retention.run import RetentionBusyError, run
from callrec_pbx.storage.store import RecordingStore

GRACE_S = 12 * 3600
"""A run that could not start on time (a sleeping machine) is still made this much later."""
START_DELAY_S = 60.0
"""How long after the start the first run is made, which finishes what a crash cut off."""

log = structlog.get_logger(__name__)


class RetentionScheduler:
    """Prunes what is past its date, soon after the start and then every day."""

    def __init__(
        self,
        engine: Engine,
        store: RecordingStore,
        run_at: time,
        call_days: int | None,
        *,
        start_delay_s: float | None = START_DELAY_S,
    ) -> None:
        """Prepare it; nothing runs yet.

        Args:
            engine: The catalogue.
            store: Audio and sidecars.
            run_at: The time of the daily run, local time.
            call_days: Days until the personal data of calls without a kept recording is cleared.
            start_delay_s: Seconds after `start` at which a first run is made; None makes none.
        """
        self._engine = engine
        self._store = store
        self._call_days = call_days
        self._start_delay_s = start_delay_s
        self._scheduler = BackgroundScheduler(daemon=True)
        self._scheduler.add_job(
            self.run_once,
            CronTrigger(hour=run_at.hour, minute=run_at.minute),
            id="retention",
            coalesce=True,
            misfire_grace_time=GRACE_S,
            max_instances=1,
        )

    @property
    def next_run_at(self) -> datetime | None:
        """When the next daily run is due; None while it is not started."""
        job = self._scheduler.get_job("retention")
        found: datetime | None = getattr(job, "next_run_time", None)
        return found

    def start(self) -> None:
        """Begin to keep time, in a thread of its own."""
        if self._start_delay_s is not None:
            self._scheduler.add_job(
                self.run_once,
                "date",
                run_date=datetime.now().astimezone() + timedelta(seconds=self._start_delay_s),
                id="retention-at-start",
                misfire_grace_time=GRACE_S,
            )
        self._scheduler.start()

    def stop(self) -> None:
        """Make no more runs; one that is under way is not waited for, and resumed the next time."""
        if self._scheduler.running:
            self._scheduler.shutdown(wait=False)

    def run_once(self) -> None:
        """Run now; what goes wrong is logged, and tried again the next time."""
        try:
            result = run(self._engine, self._store, self._call_days)
        except RetentionBusyError as busy:
            log.info("retention_busy", reason=str(busy))
        except Exception as error:
            log.exception("retention_failed", error=str(error))
        else:
            log.info(
                "retention_done",
                recordings=result.recordings,
                calls=result.calls,
                skipped=result.skipped,
                failed=len(result.failures),
            )
