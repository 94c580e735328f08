"""The manual names everything that tables, sidecars and commands show."""

from dataclasses import fields
from pathlib import Path

import pytest

from callrec_pbx.domain.facts import (
    CallFacts,
    ConsentFacts,
    LegFacts,
    PauseFacts,
    RecordingFacts,
)
from callrec_pbx.domain.words import Outcome, RecordingState
from callrec_pbx.storage.serial import Tombstone

MANUAL = Path(__file__).parents[2] / "docs" / "catalogue.md"


@pytest.mark.parametrize(
    "facts", [CallFacts, LegFacts, ConsentFacts, RecordingFacts, PauseFacts, Tombstone]
)
def test_every_field_of_a_sidecar_is_in_the_manual(facts: type) -> None:
    text = MANUAL.read_text()
    assert [field.name for field in fields(facts) if f"`{field.name}`" not in text] == []


@pytest.mark.parametrize("words", [RecordingState, Outcome])
def test_every_word_is_in_the_manual(words: type[RecordingState] | type[Outcome]) -> None:
    text = MANUAL.read_text()
    assert [word.value for word in words if f"`{word.value}`" not in text] == []
