"""What Prometheus is told: every metric of the listener, in one registry.

Whoever has something to count calls a function here, from any thread. Values of labels are words
of the program; what is none, and more different ones than there can be, counts as `other`. No
number and no name of a person is ever in a label.
"""

import re
import threading

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from callrec_pbx.domain.words import Outcome, RecordingState

ENDS = (
    RecordingState.STORED,
    RecordingState.INTERRUPTED,
    RecordingState.FAILED,
    RecordingState.DISCARDED,
)
"""States that a recording can end in while the listener has to do with it."""

OTHER = "other"
MOST = 100
"""How many different values one label can have."""

_WORD = re.compile(r"[A-Za-z0-9_.@-]{1,64}")

disable_created_metrics()  # type: ignore[no-untyped-call]

REGISTRY = CollectorRegistry()
"""The listener's own: nothing that another library registers is shown."""

_SEEN: dict[str, set[str]] = {}
_seen_lock = threading.Lock()


def bounded(label: str, value: str) -> str:
    """The value if it is one word and not one too many for that label, else `other`.

    Args:
        label: Which label, of which metric; each has its own bound.
    """
    seen = _SEEN.setdefault(label, set())
    if value in seen:
        return value
    if not _WORD.fullmatch(value):
        return OTHER
    with _seen_lock:
        if len(seen) >= MOST:
            return OTHER
        seen.add(value)
    return value


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"callrec_{name}", text, labels, registry=REGISTRY)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"callrec_{name}", text, labels, registry=REGISTRY)


START_TIME = _gauge("start_timestamp_seconds", "When the listener was started (Unix time).")
LAST_TICK = _gauge(
    "last_tick_timestamp_seconds", "When the event loop last got to its work (Unix time)."
)
BUILD_INFO = _gauge("build_info", "1, with the version of callrec-pbx.", "version")
POLICY_INFO = _gauge("policy_info", "1, with the version of the policy in force.", "version")

PBX_LINK_UP = _gauge("pbx_link_up", "Whether the PBX is connected (1) or not (0).")
PBX_LINKS = _counter("pbx_links", "Connections to the PBX that were made; the first one too.")
PBX_HEARTBEAT = _gauge(
    "pbx_last_heartbeat_timestamp_seconds",
    "When the PBX last took a heartbeat (Unix time); 0: never.",
)
EVENTS = _counter("events", "Events that the recorder has handled, by kind.", "kind")
PBX_EVENTS_UNUSED = _counter(
    "pbx_events_unused", "Messages of the PBX that mean nothing to the recorder, by kind.", "kind"
)
PBX_EVENTS_MALFORMED = _counter(
    "pbx_events_malformed", "Messages of the PBX that could not be read, by kind.", "kind"
)
PBX_ACTIONS_TIMED_OUT = _counter(
    "pbx_actions_timed_out", "Actions that the PBX did not answer in time, by name.", "action"
)
PBX_COMMANDS_FAILED = _counter(
    "pbx_commands_failed",
    "Starts, pauses, resumes and stops that failed, by what was asked and why.",
    "command",
    "reason",
)
EVENTS_IGNORED = _counter(
    "events_ignored", "Events that came late or about something unknown, by what they told.", "what"
)
DEFECTS = _counter(
    "defects", "Events and commands that broke the program; each is in the log.", "where"
)

CALLS_ACTIVE = _gauge("calls_active", "Calls that are under way.")
CALLS_ENDED = _counter("calls_ended", "Calls that have ended, by outcome.", "outcome")
CALLS_BY_REASON = _counter(
    "calls_by_reason", "Calls that have ended, by outcome and reason.", "outcome", "reason"
)
RECORDINGS_ACTIVE = _gauge("recordings_active", "Recordings that are under way, by state.", "state")
RECORDINGS_ENDED = _counter(
    "recordings_ended", "Recordings whose audio is finished, by what became of it.", "state"
)
RECORDINGS_FAILED = _counter(
    "recordings_failed", "Recordings that have failed, by reason.", "reason"
)
START_LAG = Histogram(
    "callrec_recording_start_lag_seconds",
    "From the moment two parties talk to the PBX's word that the recording runs.",
    buckets=(0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0),
    registry=REGISTRY,
)
LOOP_LAG = Histogram(
    "callrec_event_loop_lag_seconds",
    "How much later than asked for the event loop gets to a task.",
    buckets=(0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0),
    registry=REGISTRY,
)
PROMPTS_MISSING = _gauge(
    "prompts_missing", "Prompts that are always needed and that are not installed."
)

CATALOGUE_UP = _gauge("catalogue_up", "Whether the database took what was last written (1) or not.")
CATALOGUE_BACKLOG = _gauge(
    "catalogue_backlog_rows", "Calls and recordings that are not written to the database yet."
)
CATALOGUE_WRITTEN = _counter(
    "catalogue_rows_written", "Calls and recordings written to the database."
)
CATALOGUE_REFUSED = _counter(
    "catalogue_rows_refused", "Calls and recordings that the database refused for their own sake."
)
SPOOL_UP = _gauge("spool_up", "Whether the recordings directory can be written to (1) or not (0).")
SPOOL_FREE = _gauge("spool_free_bytes", "Room left in the recordings directory.")
SPOOL_LEAST = _gauge("spool_min_free_bytes", "With less room than this nothing is recorded.")
SIDECAR_ERRORS = _counter("sidecar_write_errors", "Sidecars that could not be written.")

FOLLOW_UP_BACKLOG = _gauge(
    "follow_up_backlog_recordings", "Finished recordings with follow-up work still to be done."
)
FOLLOW_UP_ASIDE = _gauge(
    "follow_up_set_aside_recordings", "Recordings whose follow-up work is set aside now."
)
FOLLOW_UP_DONE = _counter("follow_up_done", "Follow-up steps that were carried out.", "step")
FOLLOW_UP_FAILED = _counter("follow_up_failed", "Follow-up steps that failed.", "step")
FOLLOW_UP_SET_ASIDE = _counter(
    "follow_up_set_aside", "Recordings set aside after the last attempt at their follow-up work."
)

RETENTION_LAST = _gauge(
    "retention_last_run_timestamp_seconds",
    "When retention last ran to its end (Unix time); 0: not since the listener was started.",
)
PRUNED = _counter("pruned_recordings", "Recordings whose audio was deleted, by why.", "kind")
HELD_KEPT = _counter(
    "held_kept_recordings", "Recordings that were due for deletion and kept by a legal hold."
)
HOLDS = _gauge("legal_holds", "Legal holds in force.")
QUOTA_USED = _gauge("quota_used_bytes", "Room that a tenant's recordings take.", "tenant")
QUOTA_LIMIT = _gauge("quota_limit_bytes", "Room that a tenant's recordings may take.", "tenant")
CHECK_LAST = _gauge(
    "check_last_run_timestamp_seconds",
    "When the catalogue check last ran to its end (Unix time); 0: not since the start.",
)
CHECK_OPEN = _gauge("check_open_findings", "What the last catalogue check found and did not mend.")
RECONCILE_FOUND = _counter(
    "reconcile_found", "What catalogue checks found, by kind of finding.", "kind"
)
RECONCILE_MENDED = _counter(
    "reconcile_mended", "What catalogue checks mended, by kind of finding.", "kind"
)


def begin() -> None:
    """Have what is counted seldom begin at 0: from nothing to 1 is no increase to Prometheus."""
    for outcome in Outcome:
        CALLS_ENDED.labels(outcome.value)
    for state in ENDS:
        RECORDINGS_ENDED.labels(state.value)
    for where in ("event", "command", "policy", "count", "look"):
        DEFECTS.labels(where)


def follow_up_done(step: str) -> None:
    """A step of the follow-up work was carried out on a recording."""
    FOLLOW_UP_DONE.labels(bounded("step", step)).inc()


def follow_up_failed(step: str) -> None:
    """A step of the follow-up work failed on a recording."""
    FOLLOW_UP_FAILED.labels(bounded("step", step)).inc()


def follow_up_set_aside(count: int = 1) -> None:
    """A recording's follow-up work will not be tried again by itself."""
    FOLLOW_UP_SET_ASIDE.inc(count)


def pruned(kind: str, count: int = 1) -> None:
    """Audio was deleted: by `retention`, `quota`, `manual`, `erasure`, ..."""
    PRUNED.labels(bounded("pruned", kind)).inc(count)


def held_kept(count: int = 1) -> None:
    """A recording was due for deletion, and a legal hold kept it."""
    HELD_KEPT.inc(count)


def holds(count: int) -> None:
    """So many legal holds are in force."""
    HOLDS.set(count)


def quota(tenant: str, used_bytes: int, limit_bytes: int) -> None:
    """A tenant's recordings take so much room of so much."""
    name = bounded("quota", tenant)
    QUOTA_USED.labels(name).set(used_bytes)
    QUOTA_LIMIT.labels(name).set(limit_bytes)


def retention_ran() -> None:
    """Retention has run to its end."""
    RETENTION_LAST.set_to_current_time()


def reconcile_found(kind: str, count: int = 1) -> None:
    """A catalogue check found something amiss."""
    RECONCILE_FOUND.labels(bounded("found", kind)).inc(count)


def reconcile_mended(kind: str, count: int = 1) -> None:
    """A catalogue check mended something."""
    RECONCILE_MENDED.labels(bounded("mended", kind)).inc(count)


def check_ran(left: int = 0) -> None:
    """A catalogue check has run to its end, and left so many findings open."""
    CHECK_LAST.set_to_current_time()
    CHECK_OPEN.set(left)
