"""What may be claimed of asking one party: as far as it happened, and no further."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from callrec_pbx.audio.manifest import Prompt, PromptError, PromptSet
from callrec_pbx.domain.consent import END_SILENCE_MS, OUTER_MENU
from callrec_pbx.domain.facts import ConsentFacts
from callrec_pbx.domain.words import Consent
from callrec_pbx.resources import resource_dir
from callrec_pbx.storage.serial import time_to_text

_SAID = {
    Consent.NOT_REQUIRED: "Nothing was asked of this party.",
    Consent.UNASKED: "This party was not asked.",
    Consent.ASKING: "This party was being asked; what came of it is not known.",
    Consent.ACCEPTED: "This party accepted.",
    Consent.DECLINED: "This party declined.",
    Consent.NO_ANSWER: "This party gave no answer.",
}


def prompts_in(directories: Iterable[Path]) -> tuple[Prompt, ...]:
    """The prompts that are installed, and those that are shipped."""
    found: list[Prompt] = []
    for directory in (*directories, resource_dir("prompts")):
        try:
            found += PromptSet.load(directory).prompts
        except PromptError:
            continue  # not installed, or broken, which the doctor reports
    return tuple(found)


def asked(consent: ConsentFacts, prompts: Iterable[Prompt]) -> dict[str, Any]:
    """The evidence of asking one party, with what it amounts to in words."""
    text = next((one.text for one in prompts if _is(one, consent)), None)
    return {
        "party": consent.party,
        "number": consent.number,
        "mode": str(consent.mode),
        "outcome": str(consent.outcome),
        "key": consent.key,
        "prompt": consent.prompt,
        "prompt_version": consent.prompt_version,
        "prompt_sha256": consent.prompt_sha256,
        "language": consent.language,
        "prompt_text": text,
        "played_from": None if consent.played_from is None else time_to_text(consent.played_from),
        "played_to": None if consent.played_to is None else time_to_text(consent.played_to),
        "played_ms": consent.played_ms,
        "prompt_ms": consent.prompt_ms,
        "said": list(_said(consent, text)),
    }


def _said(consent: ConsentFacts, text: str | None) -> Iterator[str]:
    menu = consent.prompt == OUTER_MENU
    if consent.outcome is Consent.ANNOUNCED:
        yield _announced(consent)
    else:
        yield _SAID[consent.outcome]
    if menu:
        yield (
            "It was asked in a menu of the administrator's own: what was said there, and for how "
            "long, is not known here."
        )
        return
    if consent.outcome in (Consent.NOT_REQUIRED, Consent.UNASKED) and not consent.prompt:
        return
    if consent.played_ms <= 0:
        yield "Nothing shows that any of the announcement was played."
    elif consent.prompt_ms <= 0:
        yield f"{_seconds(consent.played_ms)} were played; how long the announcement is is unknown."
    elif consent.played_ms + END_SILENCE_MS < consent.prompt_ms:
        yield (
            f"The announcement was cut off: {_seconds(consent.played_ms)} of "
            f"{_seconds(consent.prompt_ms)} were played."
        )
    else:
        yield f"The announcement was played to its end ({_seconds(consent.prompt_ms)})."
    if not consent.prompt_sha256:
        yield "Which audio file was played was not written down."
    elif text is None:
        yield "No prompt with this hash is installed any more, so that its words are not shown."


def _announced(consent: ConsentFacts) -> str:
    if 0 < consent.prompt_ms <= consent.played_ms + END_SILENCE_MS:
        return "This party was told of the recording."
    return (
        "This party is written down as told of the recording, and what was played does not bear "
        "it out: it is not claimed here that the party was told."
    )


def _is(prompt: Prompt, consent: ConsentFacts) -> bool:
    hashes = (prompt.sha256, prompt.sha256_wav16)
    return bool(consent.prompt_sha256) and consent.prompt_sha256 in hashes


def _seconds(length_ms: int) -> str:
    return f"{length_ms / 1000:.2f} s"
