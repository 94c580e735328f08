"""Names for people on the disk: one more link to the audio, that goes with it."""

from dataclasses import replace
from pathlib import Path

import pytest

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import AudioFormat, RecordingState
from callrec_pbx.storage import named
from callrec_pbx.storage.naming import Names, parse
from callrec_pbx.storage.store import RecordingStore
from tests.storage.samples import a_call, a_recording

BY_OWNER = Names(parse("{owner}/{a}"))


@pytest.fixture
def store(tmp_path: Path) -> RecordingStore:
    return RecordingStore(tmp_path)


def recorded(store: RecordingStore, number: int = 1) -> RecordingFacts:
    facts = a_recording(number)
    store.write_sidecar(facts, a_call(number))
    store.audio_path(facts).write_bytes(b"talk %d" % number)
    return facts


def link(store: RecordingStore, facts: RecordingFacts, names: Names = BY_OWNER) -> RecordingFacts:
    target = store.listen_path(facts)
    found = named.link(store.directory, target, names, facts, a_call())
    return replace(facts, named=found)


def below(store: RecordingStore) -> list[str]:
    return sorted(str(p.relative_to(store.directory)) for p in store.directory.glob("named/**/*"))


def test_it_is_the_same_file(store: RecordingStore) -> None:
    facts = link(store, recorded(store))
    assert facts.named == "201/+4930123456.wav"
    path = named.path_of(store.directory, facts.named)
    assert path.samefile(store.audio_path(facts))
    assert path.parent.stat().st_mode & 0o7777 == 0o2770
    assert link(store, facts) == link(store, replace(facts, named="")) == facts
    assert below(store) == ["named/201", "named/201/+4930123456.wav"]


def test_a_name_that_is_taken(store: RecordingStore) -> None:
    one, two = (link(store, recorded(store, number)) for number in (1, 2))
    assert two.named == "201/+4930123456_00000002.wav"
    assert named.path_of(store.directory, one.named).read_bytes() == b"talk 1"
    assert named.path_of(store.directory, two.named).read_bytes() == b"talk 2"
    assert link(store, one) == one


def test_another_name_replaces_it(store: RecordingStore) -> None:
    facts = link(store, recorded(store))
    again = link(store, facts, Names(parse("{id}")))
    assert below(store) == [f"named/{again.named}"]


def test_the_encoded_file_has_the_name(store: RecordingStore) -> None:
    facts = link(store, recorded(store))
    facts = replace(facts, format=AudioFormat.OPUS, encoded_size=4)
    store.encoded_path(facts).write_bytes(b"opus")
    facts = link(store, facts)
    assert below(store) == ["named/201", "named/201/+4930123456.opus"]


def test_it_is_deleted_with_the_audio(store: RecordingStore) -> None:
    one, two = (link(store, recorded(store, number)) for number in (1, 2))
    assert store.delete_audio(one)
    assert below(store) == ["named/201", f"named/{two.named}"]
    assert store.delete_audio(two)
    assert below(store) == []
    assert not store.delete_audio(two)


def test_also_where_nobody_knows_of_it(store: RecordingStore) -> None:
    """As after a crash between the link and the sidecar."""
    facts = recorded(store)
    link(store, facts)
    assert store.delete_audio(facts)
    assert below(store) == []


def test_a_discard_is_not_over_while_it_is_there(store: RecordingStore) -> None:
    facts = replace(link(store, recorded(store)), state=RecordingState.DISCARDED)
    store.write_sidecar(facts, a_call())
    store.audio_path(facts).unlink()
    assert RecordingStore(store.directory).unfinished() == []
    assert below(store) == []


@pytest.mark.parametrize("name", ["../2026/x.wav", "/etc/passwd", "a/../../x", ".hidden"])
def test_a_name_that_leads_elsewhere_is_left_alone(store: RecordingStore, name: str) -> None:
    facts = replace(recorded(store), named=name)
    other = store.directory / "2026" / "x.wav"
    other.write_bytes(b"other")
    assert store.delete_audio(facts)
    assert other.exists()
    assert not store.audio_path(facts).exists()
    with pytest.raises(ValueError, match="only our own names"):
        named.path_of(store.directory, name)


def test_without_audio_there_is_no_name(store: RecordingStore) -> None:
    with pytest.raises(FileNotFoundError):
        link(store, a_recording(3))
