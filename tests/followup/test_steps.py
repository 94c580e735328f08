"""Each step of the follow-up work, on real audio."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import BinaryIO

import numpy as np
import pytest

from callrec_pbx.audio.encode import verify
from callrec_pbx.audio.sound import AudioError, opened
from callrec_pbx.catalogue.amend import NotSettledError
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.holds import Hold
from callrec_pbx.domain.words import AudioFormat, Channels, HoldKind, RecordingState
from callrec_pbx.followup import steps
from callrec_pbx.followup.steps import FollowUpError, Work
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.locks import BusyError
from tests.databases import only_sqlite
from tests.followup.house import BY_OWNER, ENCODE, LEFT_HZ, NAME, RIGHT_HZ, WAVEFORM, House
from tests.storage.samples import an_id

F = AudioFormat
LOSSY_AND_NOT = [F.OPUS, F.MP3, F.FLAC]

pytestmark = only_sqlite


def hold(house: House, facts: RecordingFacts, *, active: bool = True) -> None:
    placed = datetime(2026, 3, 2, tzinfo=UTC)
    house.store.holds.write(
        Hold(
            hold_id="0123456789",
            kind=HoldKind.RECORDING,
            subject=facts.recording_id,
            reason="lawsuit",
            placed_at=placed,
            placed_by="test",
            released_at=None if active else placed,
        )
    )


def tone(path_of: RecordingFacts, house: House, channel: int, hz: int) -> float:
    """Amplitude of a tone in what one would listen to."""
    with opened(house.store.listen_path(path_of)) as sound:
        samples = np.concatenate(list(sound.blocks()))[:, channel] / 32768
        turned = np.exp(-2j * np.pi * hz * np.arange(len(samples)) / sound.rate)
        return float(2 * abs(np.dot(samples, turned)) / len(samples))


@pytest.mark.parametrize("kind", LOSSY_AND_NOT)
def test_the_encoded_file_replaces_the_wav_file(house: House, kind: F) -> None:
    facts = house.stored(format=kind)
    assert facts.to_do == (ENCODE, WAVEFORM)
    done = steps.encode(house.work, facts.recording_id)
    assert done == house.facts(facts)
    assert set(house.files(facts)) == {".json", f".{kind}"}
    assert (done.has_wav, done.to_do, done.tries) == (False, (WAVEFORM,), 0)
    assert (done.sha256, done.size) == (facts.sha256, facts.size), "of the WAV file at its close"
    house.whole(facts)
    for channel, loud, silent in ((0, LEFT_HZ, RIGHT_HZ), (1, RIGHT_HZ, LEFT_HZ)):
        assert tone(done, house, channel, loud) == pytest.approx(0.3, abs=0.03)
        assert tone(done, house, channel, silent) < 0.01


def test_the_wav_file_is_kept_where_the_rule_says_so(house: House) -> None:
    facts = house.stored(keep_wav=True)
    done = steps.encode(house.work, facts.recording_id)
    assert house.files(facts) == [".json", ".opus", ".wav"]
    assert done.has_wav
    verify(house.store.audio_path(done), house.store.encoded_path(done), F.OPUS)
    house.whole(facts)


def test_what_is_not_to_do_is_not_done(house: House) -> None:
    facts = house.stored(format=F.WAV)
    assert facts.to_do == (WAVEFORM,)
    assert steps.encode(house.work, facts.recording_id) == facts
    assert steps.name(replace(house.work, names=BY_OWNER), facts.recording_id) == facts
    assert house.files(facts) == [".json", ".wav"]
    house.change(facts, to_do=(ENCODE, NAME))
    assert steps.encode(house.work, facts.recording_id).to_do == (NAME,)
    assert steps.name(house.work, facts.recording_id).to_do == ()
    assert house.files(facts) == [".json", ".wav"]


def test_each_step_can_be_done_again(house: House) -> None:
    work = replace(house.work, names=BY_OWNER)
    facts = house.stored(names=True)
    assert facts.to_do == (ENCODE, WAVEFORM, NAME)
    for step in steps.STEPS.values():
        step(work, facts.recording_id)
    done, files = house.facts(facts), house.files(facts)
    for _ in range(2):
        house.change(facts, to_do=(ENCODE, WAVEFORM, NAME))
        for step in steps.STEPS.values():
            step(work, facts.recording_id)
        assert (house.facts(facts), house.files(facts)) == (done, files)
    house.whole(facts)


@pytest.mark.parametrize("kind", [F.WAV, F.OPUS])
def test_the_waveform(house: House, kind: F) -> None:
    facts = house.stored(format=kind, seconds=4)
    steps.encode(house.work, facts.recording_id)
    done = steps.waveform(house.work, facts.recording_id)
    assert done.to_do == ()
    document = json.loads(house.store.peaks_path(done).read_text())
    assert (document["channels"], document["length"]) == (2, 80)
    assert np.median(document["data"][1::2]) == pytest.approx(38, abs=5)
    assert house.store.peaks_path(done).stat().st_mode & 0o777 == 0o660


@pytest.mark.parametrize("kind", [F.WAV, F.MP3])
def test_the_name_is_that_of_what_one_listens_to(house: House, kind: F) -> None:
    work = replace(house.work, names=BY_OWNER)
    facts = house.stored(format=kind, names=True)
    steps.encode(work, facts.recording_id)
    done = steps.name(work, facts.recording_id)
    assert done.named == f"201/+4930123456.{kind}"
    path = house.store.directory / "named" / done.named
    assert path.samefile(house.store.listen_path(done))
    house.store.delete_audio(done)
    assert not list(house.store.directory.glob("named/*"))


def test_a_held_wav_file_is_kept_and_goes_when_the_hold_is_lifted(house: House) -> None:
    facts = house.stored(names=True)
    work = replace(house.work, names=BY_OWNER)
    hold(house, facts)
    done = steps.encode(work, facts.recording_id)
    assert (done.has_wav, done.encoded, done.to_do) == (True, True, (WAVEFORM, NAME))
    assert house.files(facts) == [".json", ".opus", ".wav"]
    house.whole(facts)
    steps.name(work, facts.recording_id)
    hold(house, facts, active=False)
    house.change(facts, to_do=(ENCODE,))
    done = steps.encode(work, facts.recording_id)
    assert (done.has_wav, done.to_do) == (False, (NAME,)), "another file has the name now"
    done = steps.name(work, facts.recording_id)
    named = house.store.directory / "named" / done.named
    assert named.samefile(house.store.encoded_path(done))
    assert len(list(named.parent.iterdir())) == 1


def test_a_hold_placed_while_it_is_encoded(house: House) -> None:
    facts = house.stored()
    work = during(house, lambda: hold(house, facts))
    assert steps.encode(work, facts.recording_id).has_wav
    house.whole(facts)


def test_the_lock_of_the_recording_comes_before_that_of_deletions(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in pruning: in a circle with whoever places a hold, all would wait for ever."""
    facts = house.stored()
    store = house.store
    deleting = store.deleting
    entered = []

    @contextmanager
    def looked_at() -> Iterator[None]:
        with pytest.raises(BusyError), store.holding(facts.recording_id, wait=False):
            pass
        entered.append(True)
        with deleting():
            yield

    monkeypatch.setattr(store, "deleting", looked_at)
    assert not steps.encode(house.work, facts.recording_id).has_wav
    assert entered == [True]


def during(house: House, act: Callable[[], object]) -> Work:
    """Something happens once, after the first block."""
    acts = [act]

    def tick() -> None:
        if acts:
            acts.pop()()

    return replace(house.work, tick=tick)


@pytest.mark.parametrize("step", ["encode", "waveform"])
@pytest.mark.parametrize("state", [RecordingState.DISCARDED, RecordingState.PRUNED])
def test_what_is_discarded_meanwhile_stays_so(
    house: House, step: str, state: RecordingState
) -> None:
    facts = house.stored()

    def discard() -> None:
        house.store.delete_audio(house.change(facts, state=state))

    with pytest.raises((NotSettledError, FileNotFoundError)):
        getattr(steps, step)(during(house, discard), facts.recording_id)
    assert house.facts(facts).state is state
    assert house.files(facts) == [".json"]


def test_what_is_changed_meanwhile_is_not_lost(house: House) -> None:
    facts = house.stored()
    work = during(house, lambda: house.change(facts, tags=("important",), flagged=True))
    done = steps.encode(work, facts.recording_id)
    assert (done.tags, done.flagged, done.has_wav) == (("important",), True, False)


def test_audio_that_is_finished_anew_meanwhile_is_encoded_anew(house: House) -> None:
    facts = house.stored()
    with pytest.raises(FollowUpError, match="finished anew"):
        steps.encode(
            during(house, lambda: house.change(facts, sha256="ef" * 32)), facts.recording_id
        )
    assert house.files(facts) == [".json", ".wav"]
    assert house.facts(facts).to_do == (ENCODE, WAVEFORM)


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_wav_file_that_is_still_written_is_kept(house: House, when: str) -> None:
    facts = house.stored()
    path = house.store.audio_path(facts)

    def grow() -> None:
        with path.open("ab") as file:
            file.write(bytes(3200))

    work = house.work
    if when == "before":
        grow()
    else:
        work = during(house, grow)
    with pytest.raises(FollowUpError, match="written after it was finished"):
        steps.encode(work, facts.recording_id)
    assert path.stat().st_size == (facts.size or 0) + 3200
    assert ENCODE in house.facts(facts).to_do


def test_what_cannot_be_encoded_is_kept(house: House) -> None:
    facts = house.broken()
    for step in (steps.encode, steps.waveform):
        with pytest.raises(AudioError):
            step(house.work, facts.recording_id)
    assert house.files(facts) == [".json", ".wav"]
    assert house.facts(facts) == facts
    house.store.audio_path(facts).unlink()
    with pytest.raises(FollowUpError, match="is not there"):
        steps.encode(house.work, facts.recording_id)


def test_an_encoded_file_that_is_not_the_same_sound_replaces_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    facts = house.stored()
    other = house.stored(2, seconds=1)

    def wrong(_source: object, out: BinaryIO, kind: F, tick: object) -> None:
        del kind, tick
        with house.store.audio_path(other).open("rb") as source:
            shutil.copyfileobj(source, out)

    monkeypatch.setattr(steps, "encode_audio", wrong)
    with pytest.raises(AudioError):
        steps.encode(house.work, facts.recording_id)
    assert house.files(facts) == [".json", ".wav"]


def test_killed_between_the_deletion_and_the_facts(house: House) -> None:
    facts = house.stored()
    steps.encode(house.work, facts.recording_id)
    house.change(facts, has_wav=True, to_do=(ENCODE,))
    done = steps.encode(house.work, facts.recording_id)
    assert (done.has_wav, done.to_do) == (False, ())


def test_the_listener_finishes_it_again_after_it_was_replaced(house: House) -> None:
    """As at a restart, when it has taken the recording up again."""
    facts = house.stored()
    steps.encode(house.work, facts.recording_id)
    done = steps.waveform(house.work, facts.recording_id)
    captured = replace(
        facts, state=RecordingState.CAPTURED, audio_ms=None, size=None, sha256="", to_do=()
    )
    assert finish(house.store, captured, wait_s=0) == done
    interrupted = replace(captured, state=RecordingState.INTERRUPTED, reason="pbx_died")
    again = finish(house.store, interrupted, wait_s=0)
    assert again == replace(done, state=RecordingState.INTERRUPTED, reason="pbx_died")


def test_channels_that_are_not_joined_are_not_encoded(house: House) -> None:
    facts = house.stored()
    left, _ = house.store.side_paths(facts)
    left.write_bytes(bytes(100))
    again = replace(facts, state=RecordingState.CAPTURED, channels=Channels.MIXED)
    assert finish(house.store, again, wait_s=0).to_do == (WAVEFORM,)


def test_finish_of_one_that_nobody_finished(house: House) -> None:
    facts = house.stored()
    house.change(facts, state=RecordingState.CAPTURED, audio_ms=None, size=None, sha256="")
    done = steps.finish(replace(house.work, names=BY_OWNER), facts.recording_id)
    assert done == replace(facts, to_do=(ENCODE, WAVEFORM, NAME)) == house.facts(facts)
    assert steps.finish(house.work, facts.recording_id) == done


def test_an_unknown_recording(house: House) -> None:
    for step in (*steps.STEPS.values(), steps.finish):
        with pytest.raises(NotSettledError):
            step(house.work, an_id(77))
