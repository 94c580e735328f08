"""What `/healthz` says, made of the metrics alone: no question to the PBX, the disk or SQL."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from prometheus_client import CollectorRegistry

from callrec_pbx import __version__, metrics

STUCK_S = 10.0
"""An event loop that has not got to its work for this long does not record."""

RETENTION_S = 26 * 3600
"""A daily run that is this long ago has been left out."""

BACKLOG_ROWS = 10_000
"""So many rows that are not written yet are worth a warning."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that is not as it should be, and what to do."""

    what: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Health:
    """How the listener is.

    Attributes:
        problems: Why calls are not, or may not be, recorded now.
        warnings: What somebody should look at, while calls are recorded.
    """

    problems: tuple[Complaint, ...]
    warnings: tuple[Complaint, ...]
    document: dict[str, Any]

    @property
    def healthy(self) -> bool:
        """Whether calls are recorded."""
        return not self.problems


Values = dict[str, float]


def values_of(registry: CollectorRegistry) -> Values:
    """All metrics without labels, by name."""
    return {
        sample.name: sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.labels
    }


def health(
    registry: CollectorRegistry = metrics.REGISTRY, clock: Callable[[], float] = time.time
) -> Health:
    """How the listener is now."""
    values, now = values_of(registry), clock()
    problems = tuple(complaint for is_so, complaint in PROBLEMS if is_so(values, now))
    warnings = tuple(complaint for is_so, complaint in WARNINGS if is_so(values, now))
    return Health(problems, warnings, _document(values, problems, warnings))


def _of(values: Values, name: str) -> float:
    return values.get(f"callrec_{name}", 0.0)


def _is_stuck(values: Values, now: float) -> bool:
    return now - _of(values, "last_tick_timestamp_seconds") > STUCK_S


def _is_full(values: Values, _now: float) -> bool:
    up = _of(values, "spool_up") != 0
    return up and _of(values, "spool_free_bytes") < _of(values, "spool_min_free_bytes")


def _retention_is_late(values: Values, now: float) -> bool:
    since = max(
        _of(values, "retention_last_run_timestamp_seconds"),
        _of(values, "start_timestamp_seconds"),
    )
    return now - since > RETENTION_S


PROBLEMS: tuple[tuple[Callable[[Values, float], bool], Complaint], ...] = (
    (
        _is_stuck,
        Complaint("listener_stuck", "restart the listener, and report it with its log"),
    ),
    (
        lambda values, _: _of(values, "pbx_link_up") == 0,
        Complaint("pbx_link_down", "see whether the PBX runs; callrec-pbx doctor"),
    ),
    (
        lambda values, _: _of(values, "catalogue_up") == 0,
        Complaint(
            "database_down",
            "see whether the database runs; recordings and sidecars are written all the same",
        ),
    ),
    (
        lambda values, _: _of(values, "spool_up") == 0,
        Complaint(
            "spool_not_writable",
            "mount recordings.directory, and let the user of callrec-pbx write to it",
        ),
    ),
    (
        _is_full,
        Complaint("spool_full", "make room: less than recordings.min_free_mb is left"),
    ),
)

WARNINGS: tuple[tuple[Callable[[Values, float], bool], Complaint], ...] = (
    (
        lambda values, _: _of(values, "catalogue_backlog_rows") > BACKLOG_ROWS,
        Complaint("catalogue_backlog", "see why the database is slow"),
    ),
    (
        lambda values, _: _of(values, "follow_up_set_aside_recordings") > 0,
        Complaint("follow_up_set_aside", "callrec-pbx doctor lists them with their reasons"),
    ),
    (
        _retention_is_late,
        Complaint("retention_late", "callrec-pbx retention run --dry-run; see the log"),
    ),
    (
        lambda values, _: _of(values, "check_open_findings") > 0,
        Complaint("check_found", "callrec-pbx catalogue check"),
    ),
    (
        lambda values, _: _of(values, "prompts_missing") > 0,
        Complaint("prompts_missing", "callrec-pbx doctor names them"),
    ),
)


def _document(
    values: Values, problems: tuple[Complaint, ...], warnings: tuple[Complaint, ...]
) -> dict[str, Any]:
    def number(name: str) -> int:
        return int(_of(values, name))

    def moment(name: str) -> str | None:
        seconds = _of(values, name)
        return datetime.fromtimestamp(seconds, UTC).isoformat("T", "seconds") if seconds else None

    return {
        "status": "unhealthy" if problems else "healthy",
        "problems": [{"what": one.what, "remedy": one.remedy} for one in problems],
        "warnings": [{"what": one.what, "remedy": one.remedy} for one in warnings],
        "version": __version__,
        "started_at": moment("start_timestamp_seconds"),
        "pbx": {
            "up": bool(number("pbx_link_up")),
            "last_heartbeat_at": moment("pbx_last_heartbeat_timestamp_seconds"),
        },
        "calls_active": number("calls_active"),
        "database": {
            "up": bool(number("catalogue_up")),
            "backlog_rows": number("catalogue_backlog_rows"),
        },
        "spool": {
            "writable": bool(number("spool_up")),
            "free_bytes": number("spool_free_bytes"),
        },
        "follow_up": {
            "backlog": number("follow_up_backlog_recordings"),
            "set_aside": number("follow_up_set_aside_recordings"),
        },
        "retention": {"last_run_at": moment("retention_last_run_timestamp_seconds")},
        "check": {
            "last_run_at": moment("check_last_run_timestamp_seconds"),
            "open_findings": number("check_open_findings"),
        },
    }
