"""Which announcement is played: the administrator's own, in a language that is understood."""

import pytest

from callrec_pbx.domain import commands as c
from callrec_pbx.domain import consent
from callrec_pbx.domain.facts import PromptBook, PromptFacts
from callrec_pbx.domain.words import Consent, ConsentMode
from tests.domain.scene import PROMPT_MS, START, Scene, rule

BUILT_IN = ("announce", "announce_opt_out", "announce_opt_in")
ASKING = (ConsentMode.ANNOUNCE, ConsentMode.OPT_OUT, ConsentMode.OPT_IN)


def book(*own: tuple[str, str]) -> PromptBook:
    """The built-in announcements in English and German, and these of the administrator's."""
    keys = [*((language, name) for language in ("en", "de") for name in BUILT_IN), *own]
    return PromptBook(
        {key: PromptFacts(key[1], key[0], f"sha-{key[0]}-{key[1]}", PROMPT_MS, "1") for key in keys}
    )


def chosen(prompts: PromptBook, mode: ConsentMode, name: str, language: str) -> tuple[str, str]:
    """Language and name of the announcement that the PBX is told to play."""
    scene = Scene(rule(consent=mode, announcement=name, language=language), prompts=prompts)
    scene.give(scene.event(START, "caller", ["offered", "inbound", "301"]))
    (answer,) = [a for a in scene.commands if isinstance(a, c.AnswerOffer)]
    assert answer.ask is mode
    return answer.language, answer.prompt


@pytest.mark.parametrize(
    ("mode", "name"), list(zip(ASKING, ("acme", "acme_opt_out", "acme_opt_in"), strict=True))
)
def test_one_name_stands_for_all_modes(mode: ConsentMode, name: str) -> None:
    installed = book(("de", "acme"), ("de", "acme_opt_out"), ("de", "acme_opt_in"))
    assert chosen(installed, mode, "acme", "de") == ("de", name)


@pytest.mark.parametrize(("mode", "name"), list(zip(ASKING, BUILT_IN, strict=True)))
def test_without_it_the_built_in_one_is_played(mode: ConsentMode, name: str) -> None:
    """Also where only the announcement of another mode is installed."""
    assert chosen(book(("de", "acme_other")), mode, "acme", "de") == ("de", name)
    assert chosen(book(), mode, "", "de") == ("de", name)


def test_the_callers_language_comes_first() -> None:
    """A German caller hears the German built-in one rather than an English one of Acme's."""
    installed = book(("en", "acme"))
    assert chosen(installed, ConsentMode.ANNOUNCE, "acme", "de") == ("de", "announce")
    assert chosen(installed, ConsentMode.ANNOUNCE, "acme", "sv") == ("en", "acme")
    assert chosen(book(), ConsentMode.ANNOUNCE, "acme", "sv") == ("en", "announce")


def test_nothing_is_announced_where_nobody_is_asked() -> None:
    assert consent.announcement(book(("en", "acme")), ConsentMode.NONE, "acme", "en") is None
    assert consent.announcement(PromptBook(), ConsentMode.ANNOUNCE, "acme", "en") is None


def test_the_evidence_names_the_announcement() -> None:
    """By its name and hash, as the PBX reports it."""
    installed = book(("en", "acme_opt_out"))
    scene = Scene(rule(consent=ConsentMode.OPT_OUT, announcement="acme"), prompts=installed)
    scene.play("0    caller  offered inbound 301   -> ask opt_out + whisper")
    scene.play("6    caller  heard opt_out prompt=acme_opt_out")
    (evidence,) = scene.call().consents
    assert evidence.outcome is Consent.ANNOUNCED
    assert (evidence.prompt, evidence.prompt_sha256) == ("acme_opt_out", "sha-en-acme_opt_out")
