"""What evidence says of a call: what is known, what the files are like now, and no more."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from callrec_pbx.audio.manifest import PromptSet
from callrec_pbx.catalogue import holds
from callrec_pbx.catalogue.audit import Action, Entry, append, append_all
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.holds import Hold
from callrec_pbx.domain.policy import PolicyText
from callrec_pbx.domain.words import (
    AudioFormat,
    Consent,
    ConsentMode,
    HoldKind,
    Outcome,
    RecordingState,
)
from callrec_pbx.evidence.sections import sections
from callrec_pbx.policy import store as policy_store
from callrec_pbx.resources import resource_dir
from callrec_pbx.storage.serial import Tombstone
from tests.databases import only_sqlite
from tests.evidence.made import AUDIO, SHA256, Made, asked_by, made
from tests.rules import rule
from tests.storage.samples import START, a_call, a_recording


@pytest.fixture
def here(engine: Engine, tmp_path: Path) -> Made:
    return made(engine, tmp_path)


def said(document: dict[str, Any], title: str) -> list[str]:
    """The lines of the sections that begin so."""
    return [
        f"{name}: {value}"
        for section in sections(document)
        if section.title.startswith(title)
        for name, value in section.facts
    ]


def test_the_whole_life_of_a_call(here: Made) -> None:
    """On both databases: version, trail, holds, merged calls."""
    engine = here.place.engine
    saved = policy_store.save(engine, PolicyText(rules=(rule("sales"),)), "anna", "for sales")
    version = str(saved.version)
    recording = here.recorded(policy_version=version)
    first = replace(a_call(1), policy_version=version)
    into = a_call(2, started_at=START - timedelta(minutes=1))
    here.write(replace(first, merged_into=into.call_id))
    other = a_recording(2, into, sha256="", size=None, state=RecordingState.CAPTURED)
    here.write(into, other)
    hold = Hold("20260301-abcdef", HoldKind.CALL, into.call_id, "the court", START, "anna")
    holds.place(here.place, hold)
    with engine.begin() as connection:
        entry = Entry("default", "bert", Action.PLAY, "recording", recording.recording_id)
        append_all(connection, [entry, replace(entry, subject="another")])
        append(
            connection,
            replace(entry, tenant="", actor="retention", kind="call", subject=into.call_id),
        )

    document = here.gather(first.call_id[:26])
    assert document["call_id"] == first.call_id
    assert document["merged"]
    assert [call["call_id"] for call in document["calls"]] == [into.call_id, first.call_id]
    whose = [one["facts"]["recording_id"] for one in document["recordings"]]
    assert whose == [recording.recording_id, other.recording_id]
    assert [one["wav"]["now"] for one in document["recordings"]] == ["agrees", "unfinished"]
    assert [one["holds"][0]["reason"] for one in document["recordings"]] == ["the court"] * 2
    assert document["calls"][1]["rule"] == "sales"

    (known, unknown) = sorted(document["policies"], key=lambda one: not one["known"])
    assert (known["version"], known["author"], known["text_version"]) == (version, "anna", version)
    assert unknown == {"version": "p1", "known": False}
    lines = [
        (one["tenant"], one["actor"], one["hash_agrees"]) for one in document["audit"]["lines"]
    ]
    assert lines == [
        ("default", "bert", True),
        ("", "retention", True),
        ("", "anna", True),
        ("", "anna", True),
    ]
    trail = document["audit"]["lines"]
    assert known["text_sha256"] in trail[2]["detail"]
    assert (trail[3]["action"], trail[3]["subject"]) == ("hold", "20260301-abcdef")
    assert [one["tenant"] for one in document["audit"]["heads"]] == ["", "default"]
    assert here.gather(into.call_id)["calls"] == document["calls"]
    assert any("4000 ms of the talk are not recorded" in one for one in said(document, "Recording"))


def _changed(here: Made, facts: RecordingFacts) -> None:
    here.place.store.audio_path(facts).write_bytes(AUDIO + b"!")


def _removed(here: Made, facts: RecordingFacts) -> None:
    here.place.store.audio_path(facts).unlink()


def _pruned(here: Made, facts: RecordingFacts) -> None:
    here.place.store.delete_audio(facts)
    why = Tombstone(START, "retention", "30 days are over")
    here.write(a_call(1), replace(facts, state=RecordingState.PRUNED), tombstone=why)


def _half_pruned(here: Made, facts: RecordingFacts) -> None:
    here.write(a_call(1), replace(facts, state=RecordingState.PRUNING))


def _encoded(here: Made, facts: RecordingFacts) -> None:
    changed = replace(
        facts, format=AudioFormat.MP3, encoded_size=14, encoded_sha256=SHA256, has_wav=False
    )
    here.place.store.audio_path(facts).rename(here.place.store.encoded_path(changed))
    here.write(a_call(1), changed)


def _unreadable(here: Made, facts: RecordingFacts) -> None:
    path = here.place.store.audio_path(facts)
    path.unlink()
    path.mkdir()


@only_sqlite
def test_the_file_is_compared_as_it_is_now(url: str, here: Made) -> None:
    expected: dict[str, tuple[Callable[[Made, RecordingFacts], None], str | None]] = {
        "agrees": (lambda _here, _facts: None, None),
        "differs": (_changed, None),
        "missing": (_removed, None),
        "unreadable": (_unreadable, None),
        "left": (_half_pruned, None),
        "deleted": (_pruned, None),
        "replaced": (_encoded, "agrees"),
    }
    for now, (change, encoded) in expected.items():
        facts = here.recorded()
        change(here, facts)
        (one,) = here.gather(facts.call_id)["recordings"]
        found = one["encoded"] and one["encoded"]["now"]
        assert (one["wav"]["now"], found, one["wav"]["sha256"]) == (now, encoded, SHA256), now
        path = here.place.store.audio_path(facts)
        if path.is_dir():
            path.rmdir()


def consent(here: Made, **changes: Any) -> list[str]:
    call = a_call(1)
    here.write(replace(call, consents=(asked_by(call, **changes),)))
    (shown,) = here.gather(call.call_id)["calls"][0]["consents"]
    return list(shown["said"])


@only_sqlite
def test_consent_is_claimed_only_as_far_as_it_happened(url: str, here: Made) -> None:
    whole = consent(here)
    assert whole[:2] == [
        "This party was told of the recording.",
        "The announcement was played to its end (4.00 s).",
    ]
    for changes, words in (
        ({"played_ms": 0}, "Nothing shows that any"),
        ({"played_ms": 1500}, "cut off: 1.50 s of 4.00 s"),
        ({"prompt_ms": 0}, "how long the announcement is is unknown"),
    ):
        told = consent(here, **changes)
        assert "not claimed here that the party was told" in told[0], changes
        assert words in told[1]
    assert consent(here, outcome=Consent.UNASKED, prompt="", played_ms=0) == [
        "This party was not asked."
    ]
    assert "was not written down" in consent(here, prompt_sha256="")[-1]
    menu = consent(here, outcome=Consent.ACCEPTED, prompt="outer_menu", played_ms=0, prompt_ms=0)
    assert menu[0] == "This party accepted."
    assert "menu of the administrator's own" in menu[1]
    assert len(menu) == 2
    for outcome in Consent:
        assert all(consent(here, outcome=outcome))


@only_sqlite
def test_the_words_of_a_prompt_are_those_of_its_hash(url: str, here: Made) -> None:
    prompt = PromptSet.load(resource_dir("prompts")).find("announce", "de")
    assert prompt is not None
    call = a_call(1)

    def words(sha256: str) -> str | None:
        here.write(replace(call, consents=(asked_by(call, prompt_sha256=sha256),)))
        (shown,) = here.gather(call.call_id)["calls"][0]["consents"]
        text: str | None = shown["prompt_text"]
        return text

    assert words(prompt.sha256) == words(prompt.sha256_wav16) == prompt.text
    assert words("ab" * 32) is None
    assert words("") is None


@only_sqlite
def test_a_call_of_which_little_is_known(url: str, here: Made) -> None:
    call = a_call(
        1,
        consents=(),
        ended_at=None,
        answered_at=None,
        outcome=None,
        policy_version="",
    )
    here.write(call)
    document = here.gather(call.call_id)
    text = said(document, "Call")
    assert "answered: not known" in text
    assert "ended: not yet, as far as is known" in text
    assert "outcome in the account: none yet" in text
    assert said(document, "Recordings") == ["recordings: none is known of this call"]
    (asked,) = said(document, "Consent")
    assert "nothing is written down" in asked


@only_sqlite
def test_without_a_sidecar_the_row_speaks(url: str, here: Made) -> None:
    facts = here.recorded()
    here.place.store.sidecar_path(facts).unlink()
    here.place.store.call_path(a_call(1)).write_text("{")
    document = here.gather(facts.call_id)
    (one,) = document["recordings"]
    assert one["facts_from"] == "catalogue"
    assert one["wav"]["now"] == "agrees"
    assert document["calls"][0]["a_number"] == a_call(1).a_number


@only_sqlite
def test_a_hold_that_cannot_be_read_is_told(url: str, here: Made) -> None:
    facts = here.recorded()
    folder = here.place.store.holds.directory
    folder.mkdir()
    (folder / "20260301-abcdef.json").write_text("{")
    told = said(here.gather(facts.call_id), "Evidence")
    assert any(one.startswith("not all legal holds are shown: the legal hold in") for one in told)


@only_sqlite
def test_an_outcome_and_a_deletion_are_told(url: str, here: Made) -> None:
    facts = here.recorded(
        deletion_at=START + timedelta(hours=1), deletion_by="anna", deletion_why="asked for"
    )
    here.write(replace(a_call(1), outcome=Outcome.MISSED, reason="consent_missing"))
    document = here.gather(facts.call_id)
    assert "reason: consent_missing" in said(document, "Call")
    told = [one for one in said(document, "Recording ") if one.startswith("deletion")]
    assert told == [
        "deletion asked for: by anna, to take effect 2026-03-01 10:00:00.123456: asked for"
    ]
    assert str(ConsentMode.OPT_OUT) in str(said(document, "Consent"))
