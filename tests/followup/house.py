"""A catalogue and a recordings directory with stored recordings, as the listener leaves them."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, select

from callrec_pbx.audio import wav
from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import RECORDING, RecordingRow, recordings_of
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import AudioFormat, Channels, FollowUp, RecordingState
from callrec_pbx.followup.steps import Work
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.naming import Names, parse
from callrec_pbx.storage.serial import CallSidecar
from callrec_pbx.storage.store import RecordingStore
from tests.audio.sounds import sine, write_wav
from tests.storage.samples import START, a_call, a_recording

LEFT_HZ, RIGHT_HZ = 440, 1250
ENCODE, WAVEFORM, NAME = FollowUp
BY_OWNER = Names(parse("{owner}/{a}"))


class House:
    """Makes recordings, and looks at what has become of them."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.engine = engine
        self.store = RecordingStore(directory)
        self.place = Place(engine, self.store)
        self.work = Work(self.place)

    def stored(
        self, number: int = 1, seconds: float = 2.0, *, names: bool = False, **changes: Any
    ) -> RecordingFacts:
        """A stereo recording that the listener has finished: audio, sidecar and row."""
        at = START + timedelta(seconds=number)
        call = a_call(number, at)
        values: dict[str, Any] = {
            "state": RecordingState.CAPTURED,
            "format": AudioFormat.OPUS,
            "channels": Channels.STEREO,
        }
        facts = a_recording(number, call, at, **(values | changes))
        self.store.write_call(call)
        self.store.write_sidecar(facts, call)
        left, right = (sine(hz, seconds, 8000, 0.3) for hz in (LEFT_HZ, RIGHT_HZ))
        write_wav(self.store.audio_path(facts), 8000, left, right)
        done = finish(self.store, facts, names=names)
        self.write(done, number)
        return done

    def write(self, facts: RecordingFacts, number: int = 1) -> None:
        """Sidecar and row."""
        call = a_call(number, START + timedelta(seconds=number))
        self.store.write_sidecar(facts, call)
        with self.engine.begin() as connection:
            rows.write(connection, [CallSidecar(call), RecordingRow(facts)])
        self.store.written(facts, None)

    def broken(self, number: int = 1, **changes: Any) -> RecordingFacts:
        """A stored recording whose audio was spoilt afterwards."""
        facts = self.stored(number, **changes)
        self.store.audio_path(facts).write_bytes(b"this is no audio" * 50)
        return facts

    def change(self, facts: RecordingFacts, number: int = 1, **changes: Any) -> RecordingFacts:
        """Write it changed, as somebody else does."""
        changed = replace(self.facts(facts), **changes)
        self.write(changed, number)
        return changed

    def facts(self, facts: RecordingFacts) -> RecordingFacts:
        """What the sidecar says now; the row must agree."""
        known = self.store.read(self.store.sidecar_path(facts))[0]
        assert self.row(facts) == known, "the row says what the sidecar says"
        return known

    def row(self, facts: RecordingFacts) -> RecordingFacts:
        """What the row says now."""
        query = select(RECORDING).where(RECORDING.c.recording_id == facts.recording_id)
        with reading(self.engine).begin() as connection:
            found = recordings_of(connection, connection.execute(query).mappings().all())
        return found[0].recording

    def files(self, facts: RecordingFacts) -> list[str]:
        """The extensions of all that lies there of a recording."""
        folder = self.store.audio_path(facts).parent
        stem = facts.recording_id
        return sorted(path.name.removeprefix(stem) for path in folder.glob(f"{stem}*"))

    def whole(self, facts: RecordingFacts) -> None:
        """See that its facts agree with its files."""
        known = self.facts(facts)
        audio, encoded = self.store.audio_path(known), self.store.encoded_path(known)
        assert audio.exists() is known.has_wav
        if known.has_wav:
            assert (audio.stat().st_size, wav.sha256(audio)) == (known.size, known.sha256)
        if known.encoded:
            found = (encoded.stat().st_size, wav.sha256(encoded))
            assert found == (known.encoded_size, known.encoded_sha256)
        assert not [name for name in self.files(known) if name.endswith(".tmp")]
