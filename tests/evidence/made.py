"""A call with a recording whose audio is there, in a catalogue and beside it."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import CallFacts, ConsentFacts, RecordingFacts
from callrec_pbx.evidence.gather import gather
from callrec_pbx.storage.serial import CallSidecar, Tombstone
from callrec_pbx.storage.store import RecordingStore
from tests.storage.samples import a_call, a_recording

AUDIO = b"RIFF and so on"
SHA256 = hashlib.sha256(AUDIO).hexdigest()


@dataclass(frozen=True, slots=True)
class Made:
    """Where it is."""

    place: Place
    sounds: Path

    def write(
        self, call: CallFacts, *recordings: RecordingFacts, tombstone: Tombstone | None = None
    ) -> None:
        """Write a call and its recordings as the listener and the follow-up work do."""
        store = self.place.store
        store.write_call(call, tombstone)
        for recording in recordings:
            store.write_sidecar(recording, call, tombstone)
        with self.place.engine.begin() as connection:
            rows.write(connection, [CallSidecar(call, tombstone)])
            rows.write(connection, [RecordingRow(one, tombstone) for one in recordings])

    def recorded(self, number: int = 1, **changes: Any) -> RecordingFacts:
        """Write a call with a recording that has its audio."""
        call = a_call(number)
        values: dict[str, Any] = {"sha256": SHA256, "size": 14} | changes
        recording = a_recording(number, call, **values)
        self.write(call, recording)
        self.place.store.audio_path(recording).write_bytes(AUDIO)
        return recording

    def gather(self, call: str) -> dict[str, Any]:
        """What is known of a call."""
        return gather(self.place, call, self.sounds, by="cli:test").document


def made(engine: Engine, folder: Path) -> Made:
    """An empty recordings directory beside a catalogue."""
    directory = folder / "recordings"
    directory.mkdir()
    return Made(Place(engine, RecordingStore(directory)), folder / "sounds")


def asked_by(call: CallFacts, **changes: Any) -> ConsentFacts:
    """The consent of a call, otherwise."""
    return replace(call.consents[0], **changes)
