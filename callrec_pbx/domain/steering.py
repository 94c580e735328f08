"""Moving a recording, and what hangs on it: the timer of its pause, the end of a failed call."""

from datetime import datetime
from typing import TYPE_CHECKING

from callrec_pbx.domain.call import Call
from callrec_pbx.domain.commands import CancelTimer, Command, HangUpCall, SetTimer
from callrec_pbx.domain.recording import Input, Recording
from callrec_pbx.domain.words import OnTrouble, RecordingState

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls

Commands = list[Command]

RETRY_RESUME_S = 10.0
"""After the PBX has refused to resume a recording whose pause was to end by itself."""


def take(recording: Recording, input_: Input, at: datetime, reason: str = "") -> Commands:
    """Move a recording, and set or forget the timer that ends its pause."""
    was_paused = recording.state is RecordingState.PAUSED
    commands = recording.take(input_, at, reason)
    is_paused = recording.state is RecordingState.PAUSED
    key = f"resume:{recording.recording_id}"
    limit_s = recording.decision.resume_after_s
    if is_paused and limit_s and (not was_paused or input_ is Input.ADOPTED):
        # An adopted pause has lasted a while; its timer may have gone with the listener.
        left_s = max(0.0, limit_s - recording.paused_s(at))
        refused = input_ is Input.RESUME_FAILED
        commands.append(SetTimer(key, max(left_s, RETRY_RESUME_S) if refused else left_s))
    elif was_paused and not is_paused and limit_s:
        commands.append(CancelTimer(key))
    return commands


def discard_all(call: Call, at: datetime) -> Commands:
    """Delete the audio of a whole call and keep the fact."""
    commands: Commands = []
    for recording in call.recordings:
        commands += take(recording, Input.DISCARD_WANTED, at, "consent_withdrawn")
    return commands


def on_failure(calls: "Calls", recording: Recording) -> Commands:
    leg = calls.legs.get(recording.leg)
    if leg is None or recording.decision.on_failure is not OnTrouble.HANG_UP:
        return []
    if leg.call.refused or recording.state is not RecordingState.FAILED:
        return []  # it was not to go on anyway
    members = calls.bridges.get(leg.bridge, {leg.leg: leg})
    channels = tuple(member.channel for member in members.values())
    return [HangUpCall(channels, "unavailable", recording.decision.language, tuple(members))]
