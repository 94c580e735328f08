"""The text that a tenant's responsible person acknowledges."""

import pytest

from callrec_pbx.policy import acknowledgement
from callrec_pbx.policy.acknowledgement import TEXT_SHA256, TEXT_VERSION, languages, text

HASH_OF_VERSION = {"1": "40835ddcb3813a73abe8f99c1ac677f6bea0de9b7dc5de36a9484d9cb8c8fa02"}
"""One line for each version that was ever released; a changed wording is a new version."""


def test_another_wording_is_another_version() -> None:
    assert HASH_OF_VERSION[TEXT_VERSION] == TEXT_SHA256
    assert list(HASH_OF_VERSION)[-1] == TEXT_VERSION


def test_it_is_there_in_four_languages() -> None:
    assert set(languages()) == {"en", "de", "sv", "nb"}


@pytest.mark.parametrize(
    ("language", "words"),
    [
        ("en", ["lawful basis", "consent", "purpose", "deleted", "no legal advice"]),
        ("de", ["Rechtsgrundlage", "Einwilligung", "Zweck", "gelöscht", "keine Rechtsberatung"]),
        ("sv", ["rättslig grund", "samtycke", "ändamål", "raderas", "ingen juridisk rådgivning"]),
        ("nb", ["rettslig grunnlag", "samtykke", "formål", "slettes", "ikke juridisk rådgivning"]),
    ],
)
def test_every_language_says_the_same(language: str, words: list[str]) -> None:
    said = text(language)
    assert [word for word in words if word not in said] == []
    points = [line for line in said.splitlines() if line[:1].isdigit()]
    assert [point.partition(".")[0] for point in points] == [str(n) for n in range(1, 8)]
    assert len(points) == len({*points})


@pytest.mark.parametrize(
    ("asked", "shown"),
    [("de", "de"), ("de-at", "de"), ("sv-fi", "sv"), ("fr", "en"), ("", "en"), ("../en", "en")],
)
def test_a_language_that_is_not_there_is_english(asked: str, shown: str) -> None:
    assert acknowledgement.language_of(asked) == shown
    assert text(asked) == text(shown)
