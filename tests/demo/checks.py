"""Whether what should have happened did, measured in the audio and read from the facts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import Consent, Outcome
from tests.bed.measure import duration_ms, heard, tone_ms
from tests.demo.calls import AGENT_HZ, CALLER_HZ, CARD_HZ, TALK_S, Heard
from tests.demo.house import House

SAME = 0.8
"""Least likeness of a prompt that was heard."""

OTHER = 0.3
"""Greatest likeness of a prompt that was not."""

MISSING_MS = 150
"""How much of a prompt's end may be missing: Asterisk leaves out the last packets."""

EXACT_MS = 400
"""How exactly lengths of talk are known here: people's hands are timed by other processes."""

BEEP_MS = 400
"""While the agent hears that the pause has begun, the caller does not hear the agent."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that must be so, and what was found."""

    what: str
    found: str
    good: bool


def of_a(house: House, call: CallFacts, recordings: list[RecordingFacts], a: Heard) -> list[Check]:
    """Check call (a): announced, whispered, recorded, paused."""
    checks = [
        _was_heard("the caller heard the whole announcement", a.caller, house, "announce_opt_out"),
        _was_heard("the agent heard the whisper", a.agent, house, "whisper"),
        _not_heard("the caller did not hear the whisper", a.caller, house, "whisper"),
        _equal("its outcome", call.outcome, Outcome.RECORDED),
        _equal("the caller's consent", _consent(call), Consent.ANNOUNCED),
        _equal("its recordings", len(recordings), 1),
    ]
    if len(recordings) != 1:
        return checks
    (recording,) = recordings
    audio = house.listener.audio(recording)
    talk_ms = TALK_S * 1000
    return [
        *checks,
        _not_heard("the announcement is not in the file", audio, house, "announce_opt_out"),
        _lasts("the agent's talk is in the file, twice", audio, AGENT_HZ, 2 * talk_ms),
        _present("the caller is in the file", audio, CALLER_HZ, 2 * talk_ms - EXACT_MS),
        _absent("the paused talk is not in the file", audio, CARD_HZ),
        _present("the caller did hear it", a.caller, CARD_HZ, talk_ms - BEEP_MS - EXACT_MS),
        _equal("its pauses", len(recording.pauses), 1),
        _close("its length", duration_ms(audio), recording.audio_ms or 0),
    ]


def of_b(house: House, call: CallFacts, recordings: list[RecordingFacts], b: Heard) -> list[Check]:
    """Check call (b): refused, confirmed, gone on, and no audio anywhere."""
    kept = {house.listener.audio(recording) for recording in recordings}
    files = set(house.listener.recordings.rglob("*.wav")) - kept
    return [
        _was_heard("the caller heard the confirmation", b.caller, house, "declined"),
        _present("then the caller heard the agent", b.caller, AGENT_HZ, TALK_S * 1000 - EXACT_MS),
        _present("and the agent heard the caller", b.agent, CALLER_HZ, TALK_S * 1000 - EXACT_MS),
        _not_heard("the agent heard no whisper", b.agent, house, "whisper"),
        _equal("its outcome", call.outcome, Outcome.DECLINED),
        _equal("the caller's consent", _consent(call), Consent.DECLINED),
        _equal("the key that was pressed", call.consents[0].key if call.consents else "", "*"),
        _equal("its audio files", len(files), 0),
    ]


def _consent(call: CallFacts) -> Consent | None:
    return call.consents[0].outcome if call.consents else None


def _equal(what: str, found: object, wanted: object) -> Check:
    good = found == wanted
    return Check(what, str(found) if good else f"{found}, not {wanted}", good)


def _was_heard(what: str, file: Path, house: House, prompt: str) -> Check:
    match = heard(file, house.prompt(prompt))
    whole_ms = duration_ms(house.prompt(prompt))
    found = f"{match.length_ms:.0f} of {whole_ms:.0f} ms, likeness {match.score:.2f}"
    return Check(what, found, match.score > SAME and match.length_ms > whole_ms - MISSING_MS)


def _not_heard(what: str, file: Path, house: House, prompt: str) -> Check:
    # Two prompts may share their first words, spoken by the same voice.
    match, whole_ms = heard(file, house.prompt(prompt)), duration_ms(house.prompt(prompt))
    good = match.score < OTHER or match.length_ms < whole_ms / 2
    found = f"{match.length_ms:.0f} of {whole_ms:.0f} ms, likeness {match.score:.2f}"
    return Check(what, found if not good else "not there", good)


def _close(what: str, found_ms: float, said_ms: float) -> Check:
    found = f"{found_ms:.0f} ms, and {said_ms:.0f} ms says the sidecar"
    return Check(what, found, abs(found_ms - said_ms) <= 1)


def _lasts(what: str, file: Path, hz: int, wanted_ms: float) -> Check:
    found_ms = tone_ms(file, hz)
    found = f"{hz} Hz for {found_ms:.0f} ms of {wanted_ms:.0f}"
    return Check(what, found, abs(found_ms - wanted_ms) < EXACT_MS)


def _present(what: str, file: Path, hz: int, least_ms: float) -> Check:
    found_ms = tone_ms(file, hz)
    return Check(what, f"{hz} Hz for {found_ms:.0f} ms", found_ms >= least_ms)


def _absent(what: str, file: Path, hz: int) -> Check:
    found_ms = tone_ms(file, hz)
    return Check(what, f"{hz} Hz for {found_ms:.0f} ms", found_ms == 0)
