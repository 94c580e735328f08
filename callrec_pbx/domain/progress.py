"""What the PBX and our own work report of recordings."""

from datetime import datetime
from typing import TYPE_CHECKING

from callrec_pbx.domain import events, keys, selecting, steering, telling
from callrec_pbx.domain.call import Hindrance, Leg
from callrec_pbx.domain.commands import Command
from callrec_pbx.domain.recording import PAUSE_FAILED, Input
from callrec_pbx.domain.words import Mode, Outcome, RecordingState

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls

Commands = list[Command]

UNCONFIRMED = (RecordingState.STARTING, RecordingState.PAUSING, RecordingState.RESUMING)
"""States in which a recording may be that the PBX has not begun yet, and nobody has stopped."""


def _on_leg(calls: "Calls", leg_id: str, input_: Input, at: datetime) -> Commands:
    leg = calls.known(leg_id, input_.value)
    if leg is None or leg.recording is None:
        return []
    before = leg.recording.state
    commands = steering.take(leg.recording, input_, at)
    if not commands:
        calls.ignored[f"{input_.value}: {before.value}"] += 1
    return commands + _after_stop(calls, leg, before, at)


def _after_stop(calls: "Calls", leg: Leg, before: RecordingState, at: datetime) -> Commands:
    """What stood against a recording may be gone by the time that it has been stopped."""
    recording = leg.recording
    if recording is None or not recording.over or recording.closing:
        return []
    if before is RecordingState.STOPPING or recording.doubtful:
        commands = selecting.consider(calls, leg, at)
        if before is RecordingState.STOPPING and not commands:
            commands = telling.stopped(calls, leg)
        return commands
    return []


def recording_started(calls: "Calls", event: events.RecordingStarted) -> Commands:
    commands = _on_leg(calls, event.leg, Input.STARTED, event.at)
    leg = calls.legs.get(event.leg)
    if leg is None or leg.recording is None or leg.recording.state is not RecordingState.RECORDING:
        return commands
    return commands + telling.started(calls, leg)


def recording_paused(calls: "Calls", event: events.RecordingPaused) -> Commands:
    commands = _on_leg(calls, event.leg, Input.PAUSED, event.at)
    return commands + keys.confirm(calls, event.leg)


def recording_resumed(calls: "Calls", event: events.RecordingResumed) -> Commands:
    commands = _on_leg(calls, event.leg, Input.RESUMED, event.at)
    return commands + keys.confirm(calls, event.leg)


def recording_stopped(calls: "Calls", event: events.RecordingStopped) -> Commands:
    leg = calls.known(event.leg, Input.ENDED.value)
    if leg is None:
        return []
    commands = keys.withdraw(leg.call, event.at) if event.offline_discard else []
    if leg.recording is None:
        return commands
    if leg.recording.started_at is None and leg.recording.state in UNCONFIRMED:
        # The PBX tells of a start before it tells of a stop: an earlier one is meant.
        calls.ignored["stopped: not started yet"] += 1
        return commands
    commands += _on_leg(calls, event.leg, Input.ENDED, event.at)
    if event.offline_pause:
        commands += _stopped_by_key(calls, leg, event.at)
    return commands


def _stopped_by_key(calls: "Calls", leg: Leg, at: datetime) -> Commands:
    """The PBX stopped a recording by itself, as nobody answered the agent's pause key."""
    if leg.recording is not None and leg.recording.decision.mode is Mode.ALWAYS:
        return selecting.consider(calls, leg, at)  # this one may not be paused
    leg.offline_paused = True
    leg.call.skipped[leg.leg] = Hindrance(
        Outcome.MISSED, "offline_pause", leg.recording.decision if leg.recording else None
    )
    return []


def command_failed(calls: "Calls", event: events.CommandFailed) -> Commands:
    recording = calls.recordings.get(event.recording)
    if recording is None:
        return []
    failed, before = Input(f"{event.command}_failed"), recording.state
    # A recording that cannot be resumed or stopped has not failed, and one that has keeps why.
    reason = {Input.START_FAILED: event.reason, Input.PAUSE_FAILED: PAUSE_FAILED}.get(failed)
    commands = steering.take(recording, failed, event.at, reason or "")
    if failed is Input.START_FAILED:
        recording.refused = event.reason
    leg = calls.legs.get(recording.leg)
    if leg is None or leg.recording is not recording:
        return commands
    if commands and failed is Input.PAUSE_FAILED:
        leg.kept_off = True
    commands += keys.confirm(calls, recording.leg)
    if failed is Input.START_FAILED and recording.state is not before:
        commands += steering.on_failure(calls, recording)
    return commands + _after_stop(calls, leg, before, event.at)


def audio_missing(calls: "Calls", event: events.AudioMissing) -> Commands:
    recording = calls.recordings.get(event.recording)
    if recording is None:
        return []
    commands = steering.take(recording, Input.AUDIO_MISSING, event.at, event.reason)
    return commands + steering.on_failure(calls, recording) if commands else []


def recording_finished(calls: "Calls", event: events.RecordingFinished) -> Commands:
    recording = calls.recordings.get(event.recording.recording_id)
    if recording is None:
        return []
    commands = recording.finished(event.recording)
    call = calls.calls.get(recording.call_id)
    return commands + calls.settle(call) if call is not None else commands


def timer_fired(calls: "Calls", event: events.TimerFired) -> Commands:
    recording = calls.recordings.get(event.key.removeprefix("resume:"))
    if recording is None or recording.state is not RecordingState.PAUSED:
        return []
    return steering.take(recording, Input.RESUME_WANTED, event.at)
