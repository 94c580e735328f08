"""Counts what passes the pump, and shows where calls and recordings stand."""

import asyncio
import re
import time
from collections import Counter
from collections.abc import Callable

import structlog

from callrec_pbx import __version__, metrics
from callrec_pbx.catalogue.writer import CatalogueWriter
from callrec_pbx.domain import events
from callrec_pbx.domain.calls import Calls
from callrec_pbx.domain.commands import Command, SaveCall, SaveRecording
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.recorder.notify import Notifier

log = structlog.get_logger(__name__)

TICK_S = 1.0
"""Between looks at what is under way, and signs of life for systemd."""

SLOW_TICK_S = 1.0
"""A tick that comes this much too late is worth a line in the log."""

ACTIVE = (
    RecordingState.STARTING,
    RecordingState.RECORDING,
    RecordingState.PAUSING,
    RecordingState.PAUSED,
    RecordingState.RESUMING,
    RecordingState.STOPPING,
    RecordingState.DISCARDING,
)
"""States of a recording that is under way."""

ENDED_KEPT = 10_000
"""Ids of calls and recordings whose end is counted already."""

_BETWEEN_WORDS = re.compile(r"(?<!^)(?=[A-Z])")


def snake(name: str) -> str:
    """`LegBridged` as `leg_bridged`."""
    return _BETWEEN_WORDS.sub("_", name).lower()


class Counting:
    """Looks over the pump's shoulder.

    Args:
        calls: What is under way.
    """

    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self._kinds: dict[type, Callable[[], None]] = {}
        self._ended: dict[str, None] = {}

    def took(self, event: events.Event, commands: list[Command]) -> None:
        """An event was handled, and these commands came of it; never raises."""
        try:
            self._count(event, commands)
        except Exception:
            metrics.DEFECTS.labels("count").inc()
            log.exception("event_not_counted", pbx_event=type(event).__name__)

    def _count(self, event: events.Event, commands: list[Command]) -> None:
        kind = type(event)
        count = self._kinds.get(kind)
        if count is None:
            count = self._kinds[kind] = metrics.EVENTS.labels(snake(kind.__name__)).inc
        count()
        if kind is events.RecordingStarted:
            self._started(event)  # type: ignore[arg-type]
        for command in commands:
            if isinstance(command, SaveCall):
                self._saved_call(command.call)
            elif isinstance(command, SaveRecording):
                self._saved_recording(command.recording)

    def _started(self, event: events.RecordingStarted) -> None:
        leg = self._calls.legs.get(event.leg)
        recording = leg.recording if leg is not None else None
        if recording is not None and recording.started_at == event.at:
            lag = (event.at - recording.bridged_at).total_seconds()
            metrics.START_LAG.observe(max(0.0, lag))
            log.info(
                "recording_started",
                recording=recording.recording_id,
                call=recording.call_id,
                leg=recording.leg,
                lag_ms=round(lag * 1000),
            )

    def _saved_call(self, call: CallFacts) -> None:
        if call.outcome is None or call.merged_into or not self._is_new(call.call_id):
            return
        metrics.CALLS_ENDED.labels(call.outcome.value).inc()
        metrics.CALLS_BY_REASON.labels(
            call.outcome.value, metrics.bounded("call_reason", call.reason)
        ).inc()
        log.info("call_ended", call=call.call_id, outcome=call.outcome.value, reason=call.reason)

    def _saved_recording(self, recording: RecordingFacts) -> None:
        if recording.state not in metrics.ENDS or not self._is_new(recording.recording_id):
            return
        metrics.RECORDINGS_ENDED.labels(recording.state.value).inc()
        log.info(
            "recording_ended",
            recording=recording.recording_id,
            call=recording.call_id,
            leg=recording.leg,
            state=recording.state.value,
            reason=recording.reason,
        )
        if recording.state is RecordingState.FAILED:
            metrics.RECORDINGS_FAILED.labels(
                metrics.bounded("recording_reason", recording.reason)
            ).inc()

    def _is_new(self, id_: str) -> bool:
        """Whether its end is not counted yet; what is saved again is counted once."""
        if id_ in self._ended:
            return False
        self._ended[id_] = None
        if len(self._ended) > ENDED_KEPT:
            del self._ended[next(iter(self._ended))]
        return True


class Lookout:
    """Shows at every tick where things stand, and that the event loop gets to its work.

    Args:
        writer: The catalogue, where there is one.
        notifier: The service manager.
    """

    def __init__(self, calls: Calls, writer: CatalogueWriter | None, notifier: Notifier) -> None:
        self._calls = calls
        self._writer = writer
        self._notifier = notifier
        self._ignored: Counter[str] = Counter()
        self._status = ""

    async def watch(self) -> None:
        """Look again and again, until cancelled; what only watches ends nothing."""
        failing = False
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_S)
            late_s = max(0.0, time.monotonic() - before - TICK_S)
            metrics.LOOP_LAG.observe(late_s)
            if late_s > SLOW_TICK_S:
                log.warning("event_loop_slow", late_ms=round(late_s * 1000))
            try:
                self.look()
                failing = False
            except Exception:
                metrics.DEFECTS.labels("look").inc()
                if not failing:
                    log.exception("not_observed")
                failing = True

    def look(self) -> None:
        """Show where things stand now."""
        self._notifier.alive()
        metrics.LAST_TICK.set_to_current_time()
        calls = len(self._calls.calls)
        metrics.CALLS_ACTIVE.set(calls)
        states = Counter(r.state for r in self._calls.recordings.values() if not r.over)
        for state in ACTIVE:
            metrics.RECORDINGS_ACTIVE.labels(state.value).set(states[state])
        status = f"{calls} calls, {states.total()} recordings under way"
        if status != self._status:
            self._status = status
            self._notifier.status(status)
        for what, count in self._calls.ignored.items():
            new = count - self._ignored[what]
            if new:
                label = metrics.bounded("ignored", what.partition(":")[0].replace(" ", "_"))
                metrics.EVENTS_IGNORED.labels(label).inc(new)
                self._ignored[what] = count
        if self._writer is not None:
            metrics.CATALOGUE_UP.set(self._writer.available)
            metrics.CATALOGUE_BACKLOG.set(self._writer.backlog)


def show_policy(version: str) -> None:
    """Another version of the policy is in force."""
    metrics.POLICY_INFO.clear()
    metrics.POLICY_INFO.labels(metrics.bounded("policy", version)).set(1)


def show_start(version: str, min_free_bytes: int) -> None:
    """Show what is known when the listener is started."""
    metrics.begin()
    metrics.BUILD_INFO.labels(__version__).set(1)
    metrics.START_TIME.set_to_current_time()
    metrics.LAST_TICK.set_to_current_time()
    metrics.SPOOL_LEAST.set(min_free_bytes)
    show_policy(version)
