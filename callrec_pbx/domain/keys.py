"""What an agent's keys do: pause and resume, start on demand, discard."""

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING

from callrec_pbx.domain import consent, selecting, steering, telling
from callrec_pbx.domain.call import Call, Leg
from callrec_pbx.domain.commands import AnswerKey, Command, SaveCall
from callrec_pbx.domain.facts import ConsentFacts
from callrec_pbx.domain.recording import PAUSED_STATES, Input
from callrec_pbx.domain.words import (
    Consent,
    ConsentMode,
    Key,
    KeyResult,
    LegKind,
    Mode,
    Notice,
    RecordingState,
)

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls

BEEPS = {
    KeyResult.PAUSED: "beep_paused",
    KeyResult.RESUMED: "beep_resumed",
    KeyResult.STARTED: "beep",
    KeyResult.DISCARDED: "beep",
}


def press(calls: "Calls", leg: Leg, key: Key, at: datetime) -> list[Command]:
    """Carry out a key of the agent; whatever cannot be done is answered `refused`.

    Only a user's line has keys: a dialplan may have given them to an outside party by mistake.
    """
    if leg.kind is not LegKind.LINE:
        return [_answer(calls, leg, KeyResult.REFUSED)]
    if key is Key.PAUSE:
        return _pause_or_resume(calls, leg, at)
    if key is Key.START:
        return _start(calls, leg, at)
    return _discard(calls, leg, at)


def _pause_or_resume(calls: "Calls", leg: Leg, at: datetime) -> list[Command]:
    recording = leg.recording
    if leg.offline_paused:
        leg.offline_paused = False
        commands = selecting.consider(calls, leg, at)
        result = KeyResult.RESUMED if commands else KeyResult.REFUSED
        return [*commands, _answer(calls, leg, result)]
    if recording is None or recording.over or recording.decision.mode is Mode.ALWAYS:
        return [_answer(calls, leg, KeyResult.REFUSED)]
    wanted = Input.RESUME_WANTED if recording.state in PAUSED_STATES else Input.PAUSE_WANTED
    commands = steering.take(recording, wanted, at)
    if not commands:
        return [_answer(calls, leg, KeyResult.REFUSED)]
    leg.awaits_key = True
    return commands


def _start(calls: "Calls", leg: Leg, at: datetime) -> list[Command]:
    if leg.recorded:
        return [_answer(calls, leg, KeyResult.REFUSED)]
    before = leg.demanded, leg.kept_off, leg.offline_paused
    leg.demanded, leg.kept_off, leg.offline_paused = True, False, False
    commands = selecting.consider(calls, leg, at)
    if not commands:
        leg.demanded, leg.kept_off, leg.offline_paused = before
        return [_answer(calls, leg, KeyResult.REFUSED)]
    leg.told_off = False  # they are told by the answer
    return [*commands, _answer(calls, leg, KeyResult.STARTED)]


def _discard(calls: "Calls", leg: Leg, at: datetime) -> list[Command]:
    """The other party objected in words: delete the audio of the whole call, keep the fact."""
    return [*withdraw(leg.call, at), _answer(calls, leg, KeyResult.DISCARDED)]


def withdraw(call: Call, at: datetime) -> list[Command]:
    """Nobody agrees to this call any more: discard what there is, and record nothing of it."""
    call.withdrawn = True
    call.refuse("consent_withdrawn")
    commands = steering.discard_all(call, at)
    for party in call.live.values():
        if party.kind is LegKind.OUTSIDE:
            party.consent = consent.after(party.consent, Consent.DECLINED.value)
            _withdraw(party)
    return [*commands, SaveCall(call.facts())]


def _withdraw(party: Leg) -> None:
    """The evidence keeps what was played; its outcome becomes a refusal."""
    call = party.call
    kept = call.consent_of(party.leg)
    number = party.number
    if kept is None:
        kept = ConsentFacts(party.leg, number, ConsentMode.NONE, Consent.DECLINED)
    declined = replace(kept, outcome=Consent.DECLINED)
    call.keep_evidence(declined)


def confirm(calls: "Calls", leg_id: str) -> list[Command]:
    """Answer a waiting key once the PBX has confirmed, or refused, what it asked for."""
    leg = calls.legs.get(leg_id)
    if leg is None or not leg.awaits_key or leg.recording is None:
        return []
    state = leg.recording.state
    if state is RecordingState.PAUSED:
        result = KeyResult.PAUSED
    elif state is RecordingState.RECORDING:
        result = KeyResult.RESUMED
    elif state in (RecordingState.PAUSING, RecordingState.RESUMING):
        return []
    else:
        result = KeyResult.REFUSED
    leg.awaits_key = False
    return [_answer(calls, leg, result)]


def _answer(calls: "Calls", leg: Leg, result: KeyResult) -> AnswerKey:
    decision = leg.recording.decision if leg.recording else leg.call.decision
    notice = decision.notice if decision else Notice.NONE
    prompt = tell = ""
    if result is KeyResult.STARTED or (result is KeyResult.DISCARDED and leg.call.recordings):
        tell = telling.prompt(decision, result.value)  # the agent is one of the parties
    if not tell and result is not KeyResult.REFUSED:
        if notice is Notice.BEEP:
            prompt = BEEPS[result]
        elif notice is Notice.ANNOUNCEMENT:
            prompt = result.value
    language = telling.language(calls, tell or prompt, decision)
    return AnswerKey(leg.leg, leg.channel, result, prompt, language, tell)
