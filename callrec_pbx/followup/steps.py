"""The steps of the follow-up work, each a plain function of a recording's id.

Any runner may call them. Each can be killed anywhere and done again: what it makes is written
beside, flushed and verified before it is renamed into its place, and only then do sidecar and row
say so, under the recording's lock. A recording that was discarded or pruned meanwhile stays so.
"""

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from callrec_pbx.audio import wav
from callrec_pbx.audio.encode import encode as encode_audio
from callrec_pbx.audio.encode import verify
from callrec_pbx.audio.peaks import peaks
from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.amend import NotSettledError, Place, amend, current
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import AudioFormat, FollowUp
from callrec_pbx.storage import files, named
from callrec_pbx.storage.finish import finish as finish_audio
from callrec_pbx.storage.naming import Names
from callrec_pbx.storage.store import FILE_MODE


class FollowUpError(Exception):
    """A step cannot be carried out on a recording; it is tried again, and then set aside."""


class NoRoomError(OSError):
    """There is no room for what a step makes; it is tried again when there is."""


class StoppedError(Exception):
    """The work is to end now; it is begun anew by the next runner."""


def _no_tick() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Work:
    """Where the steps work, and how.

    Attributes:
        place: Catalogue and recordings directory.
        names: How recordings are called on the disk; None: by their ids alone.
        min_free_bytes: Room that is left to recordings in the making.
        tick: Called between blocks of audio; what it raises ends the step.
    """

    place: Place
    names: Names | None = None
    min_free_bytes: int = 0
    tick: Callable[[], None] = _no_tick


Step = Callable[[Work, str], RecordingFacts]
"""Carries a step out on the recording of that id, if it is to do, and returns the facts then."""


def finish(work: Work, recording_id: str) -> RecordingFacts:
    """Join, measure, mend and hash the audio of a recording that the PBX has closed.

    The listener does this itself; here it is for one that it left behind.
    """
    place = work.place
    with place.store.holding(recording_id):
        sidecar = current(place, recording_id)
        done = finish_audio(place.store, sidecar.recording, wait_s=0, names=work.names is not None)
        if done != sidecar.recording:
            place.store.write_sidecar(done, sidecar.call, sidecar.tombstone, durable=True)
            with place.engine.begin() as connection:
                rows.write(connection, [RecordingRow(done, sidecar.tombstone)])
            place.store.written(done, sidecar.tombstone)
    return done


def encode(work: Work, recording_id: str) -> RecordingFacts:
    """Encode a recording's WAV file, and delete it where the encoded file replaces it.

    A WAV file that a legal hold covers is kept.

    Raises:
        AudioError: it cannot be encoded, or what was made of it is not the same sound.
        FollowUpError: there is nothing to encode.
        NotSettledError: the recording is gone.
        OSError: a file cannot be read or written.
    """
    store = work.place.store
    facts = current(work.place, recording_id).recording
    if FollowUp.ENCODE not in facts.to_do:
        return facts
    if facts.format is AudioFormat.WAV:
        return _done(work, facts, FollowUp.ENCODE)
    source, target = store.audio_path(facts), store.encoded_path(facts)
    if source.exists():

        def make(out: BinaryIO) -> None:
            encode_audio(source, out, facts.format, work.tick)

        facts = _replace(
            work, facts, target, make, lambda made: verify(source, made, facts.format, work.tick)
        )
    elif not facts.encoded or not target.is_file():
        raise FollowUpError(f"{source}: is not there, so that it cannot be encoded")
    return _let_go(work, facts)


def _let_go(work: Work, facts: RecordingFacts) -> RecordingFacts:
    """Delete a WAV file that is encoded, unless it is to be kept."""
    store = work.place.store
    source = store.audio_path(facts)

    def replaced(now: RecordingFacts) -> RecordingFacts:
        _see_unchanged(facts, now, source)
        # The recording's own lock comes first, as in whatever prunes: in a circle with whoever
        # places a hold, each would wait for the next for ever.
        with store.deleting():
            if now.keep_wav or store.held(now):
                return _without(replace(now, has_wav=source.exists()), FollowUp.ENCODE)
            if source.exists():
                _see_whole(now, source)
            files.remove(str(source))
            files.flush_folder(str(source.parent))
        now = _without(replace(now, has_wav=False), FollowUp.ENCODE)
        # Its name is one more link to the WAV file, which would live on by it.
        again = (FollowUp.NAME,) if now.named and FollowUp.NAME not in now.to_do else ()
        return replace(now, to_do=(*now.to_do, *again))

    return amend(work.place, facts.recording_id, replaced)


def waveform(work: Work, recording_id: str) -> RecordingFacts:
    """Write a recording's waveform beside it. Raises as `encode` does."""
    store = work.place.store
    facts = current(work.place, recording_id).recording
    if FollowUp.WAVEFORM not in facts.to_do:
        return facts
    wav_path = store.audio_path(facts)
    source = wav_path if wav_path.exists() else store.listen_path(facts)

    def make(out: BinaryIO) -> None:
        out.write(peaks(source, work.tick))

    _replace(work, facts, store.peaks_path(facts), make)
    return _done(work, facts, FollowUp.WAVEFORM)


def name(work: Work, recording_id: str) -> RecordingFacts:
    """Give a recording its name for people on the disk. Raises as `encode` does."""
    store = work.place.store
    sidecar = current(work.place, recording_id)
    names = work.names
    if FollowUp.NAME not in sidecar.recording.to_do:
        return sidecar.recording
    if names is None:
        return _done(work, sidecar.recording, FollowUp.NAME)

    def linked(now: RecordingFacts) -> RecordingFacts:
        target = store.listen_path(now)
        found = named.link(store.directory, target, names, now, sidecar.call)
        return _without(replace(now, named=found), FollowUp.NAME)

    return amend(work.place, recording_id, linked)


STEPS: dict[FollowUp, Step] = {
    FollowUp.ENCODE: encode,
    FollowUp.WAVEFORM: waveform,
    FollowUp.NAME: name,
}


def tidy(work: Work, facts: RecordingFacts) -> None:
    """Remove what a killed step has left half made."""
    store = work.place.store
    for target in (store.encoded_path(facts), store.peaks_path(facts)):
        if target != store.audio_path(facts):
            files.remove(files.temporary(str(target)))


def _replace(
    work: Work,
    facts: RecordingFacts,
    target: Path,
    make: Callable[[BinaryIO], None],
    check: Callable[[Path], None] = lambda _made: None,
) -> RecordingFacts:
    """Make a file, check it, and let it take its place, if the recording is still what it was."""
    made = Path(files.temporary(str(target)))
    encoded = target == work.place.store.encoded_path(facts)
    try:
        files.write_beside(str(target), FILE_MODE, make)
        check(made)
        size, checksum = (made.stat().st_size, wav.sha256(made)) if encoded else (0, "")

        def take_over(now: RecordingFacts) -> RecordingFacts:
            _see_unchanged(facts, now, target)
            files.take_over(str(target))
            return replace(now, encoded_size=size, encoded_sha256=checksum) if encoded else now

        return amend(work.place, facts.recording_id, take_over)
    except BaseException:
        files.remove(str(made))
        raise


def _see_unchanged(facts: RecordingFacts, now: RecordingFacts, target: Path) -> None:
    if now.sha256 != facts.sha256:
        raise FollowUpError(f"{target}: the recording was finished anew meanwhile")


def _see_whole(facts: RecordingFacts, source: Path) -> None:
    """A file that has grown is still written by the PBX, which nobody told to stop in time."""
    size = source.stat().st_size
    if size != facts.size:
        raise FollowUpError(
            f"{source}: has {size} bytes instead of {facts.size}; it was written after it was "
            "finished, and is kept"
        )


def _done(work: Work, facts: RecordingFacts, step: FollowUp) -> RecordingFacts:
    """Note that a step is done."""
    return amend(work.place, facts.recording_id, lambda now: _without(now, step))


def _without(facts: RecordingFacts, step: FollowUp) -> RecordingFacts:
    left = tuple(one for one in facts.to_do if one is not step)
    return replace(facts, to_do=left, tries=0, follow_up_error="")


def need_room(work: Work, facts: RecordingFacts) -> None:
    """Leave the room that recordings in the making need.

    Raises:
        NoRoomError: there is not enough for what is to be made of a recording.
    """
    directory = work.place.store.directory
    status = os.statvfs(directory)
    free = status.f_bavail * status.f_frsize
    needed = work.min_free_bytes
    if FollowUp.ENCODE in facts.to_do:
        needed += facts.size or 0
    if free < needed:
        raise NoRoomError(
            errno.ENOSPC,
            f"{directory} has {free >> 20} MiB left, and {needed >> 20} are needed; make room",
        )


__all__ = ["STEPS", "NotSettledError", "Step", "Work", "encode", "finish", "name", "waveform"]
