"""A message on the voicemail: the caller's own leg is recorded, for the line that was called."""

from datetime import datetime
from typing import TYPE_CHECKING

from callrec_pbx.domain import events, selecting, steering
from callrec_pbx.domain.call import Hindrance, Leg
from callrec_pbx.domain.commands import Command, SaveCall
from callrec_pbx.domain.facts import Decision
from callrec_pbx.domain.recording import Input
from callrec_pbx.domain.words import LegKind, Mode, Outcome

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls

Commands = list[Command]

LEFT = "voicemail_left"
"""Why the recording of a message was stopped whose caller went on to something else."""


def reached(calls: "Calls", event: events.VoicemailReached) -> Commands:
    """Record what is said from now on, if the rules say so."""
    if calls.has_left(event.who.leg, "voicemail"):
        return []
    leg = calls.leg_of(event.who, event.at)
    commands = consider(calls, leg, event, event.at)
    return [*commands, SaveCall(leg.call.facts())]


def consider(calls: "Calls", leg: Leg, event: events.VoicemailReached, at: datetime) -> Commands:
    """Start the recording of a leg that is at a voicemail, unless something stands against it.

    Args:
        at: Now, which may be later than the caller came there.
    """
    call = leg.call
    if leg.bridge or leg.recorded or (leg.recording is not None and leg.recording.closing):
        return []
    line = event.line or call.line
    decision = selecting.decide(calls, call, line)
    hindrance = _hindrance(calls, leg, line, decision)
    if hindrance is not None:
        call.skipped[leg.leg] = hindrance
        return []
    return selecting.start(calls, leg, decision, at, event.at, line=line)


def _hindrance(calls: "Calls", leg: Leg, line: str | None, decision: Decision) -> Hindrance | None:
    call = leg.call
    if call.refused:
        return Hindrance(Outcome.DECLINED, call.refused_by, decision)
    if calls.policy.is_off_now(decision, line or ""):
        return Hindrance(Outcome.NOT_SELECTED, "recording_off", decision)
    if not decision.may_record:
        return Hindrance(decision.outcome, decision.reason, decision)
    # On demand: there is nobody who could ask for it.
    wanted = decision.voicemail and decision.mode is not Mode.ON_DEMAND
    if not wanted or line is None or leg.kind is not LegKind.OUTSIDE:
        return Hindrance(Outcome.NOT_SELECTED, "voicemail", decision)
    if not call.satisfies(leg, decision.consent):
        return selecting.unasked(call, decision)
    return None


def left(leg: Leg, at: datetime) -> Commands:
    """The caller is not at the voicemail any more: what is said now is another matter."""
    if leg.kind is LegKind.LINE or leg.recording is None or leg.recording.over:
        return []
    return steering.take(leg.recording, Input.STOP_WANTED, at, LEFT)
