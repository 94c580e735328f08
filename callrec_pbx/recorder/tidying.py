"""Retention in the listener's process: every night, and what somebody has asked for in between."""

from collections.abc import Callable
from functools import partial

import structlog

from callrec_pbx import metrics
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.config import Config
from callrec_pbx.recorder.jobs import Jobs, daily, every
from callrec_pbx.retention.leader import RetentionBusyError, RetentionLostError
from callrec_pbx.retention.quota import QuotaWatch
from callrec_pbx.retention.run import Terms, run, terms_of

DELETIONS_MIN = 10
"""Between looks for deletions that somebody has asked for and that take effect now."""
QUOTA_MIN = 10
"""Between counts of the room that recordings take, where any tenant has a quota."""

log = structlog.get_logger(__name__)


def add_retention(
    jobs: Jobs, config: Config, place: Place, tell_full: Callable[[frozenset[str]], None]
) -> None:
    """Add what retention does by itself.

    Args:
        jobs: Where to.
        config: When, and how long what is kept.
        place: The catalogue, audio and sidecars.
        tell_full: Called, from another thread, with the tenants that have no room left.
    """
    terms = terms_of(config)
    nightly = partial(run_once, place, terms, only_deletions=False)
    # Soon after the start, too: it finishes what a crash has cut off.
    jobs.add("retention", daily(config.retention.run_at), nightly, at_start=True)
    asked = partial(run_once, place, terms, only_deletions=True)
    jobs.add("deletions", every(DELETIONS_MIN), asked)
    watch = QuotaWatch(place.engine, tell_full)
    jobs.add("quota", every(QUOTA_MIN), watch.look, at_start=True)


def run_once(place: Place, terms: Terms, *, only_deletions: bool) -> None:
    """Run now; what could not be done is logged, and tried again the next time."""
    try:
        result = run(place, terms, only_deletions=only_deletions)
    except RetentionBusyError as busy:
        # A run that is at work sees to what was asked for, too.
        log.info("retention_busy", reason=str(busy))
        if not only_deletions:
            metrics.retention_ran()
        return
    except RetentionLostError as lost:
        log.warning("retention_cut_off", reason=str(lost))
        return
    if only_deletions and not (result.recordings or result.failed):
        return
    log.info(
        "deletions_done" if only_deletions else "retention_done",
        recordings=result.recordings,
        calls=result.calls,
        held=result.held,
        kept=result.kept,
        skipped=result.skipped,
        histories=result.histories,
        failed=result.failed,
    )
