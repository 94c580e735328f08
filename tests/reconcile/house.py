"""A small recordings directory with its catalogue, in which everything agrees."""

import os
import wave
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from callrec_pbx.audio import wav
from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.catalogue.written import note_written
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.reconcile.check import Check, Checked, Scope
from callrec_pbx.reconcile.finding import Finding
from callrec_pbx.reconcile.mend import Way
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.serial import CallSidecar, Tombstone
from callrec_pbx.storage.store import RecordingStore
from tests.storage.samples import START, a_call, a_recording

S = RecordingState
NOW = START + timedelta(days=20)
"""When checks are made: all of the house has been quiet for long."""
PEAKS = b'{"peaks":[]}'


def write_wav(path: Path, samples: int = 800, value: int = 7, channels: int = 1) -> None:
    """A file as a PBX writes it, told from others by its samples."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(channels)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(value.to_bytes(2, "little") * samples * channels)


def settle(path: Path, at: datetime = START + timedelta(days=1)) -> None:
    """Let everything below a folder have been changed long ago."""
    for folder, _, names in os.walk(path):
        for name in names:
            os.utime(Path(folder, name), (at.timestamp(), at.timestamp()))


@dataclass
class House:
    """Recordings directory and catalogue."""

    store: RecordingStore
    engine: Engine
    told: list[Finding] = field(default_factory=list)

    @property
    def place(self) -> Place:
        """Both, as the product calls them."""
        return Place(self.engine, self.store)

    def add(self, number: int, **changes: Any) -> RecordingFacts:
        """A call with its recording, stored, with waveform; `changes` are of the recording."""
        at = START + timedelta(days=number % 3, minutes=number)
        call = a_call(number, at)
        facts = a_recording(number, call, at, state=S.CAPTURED, **changes)
        write_wav(self.store.audio_path(facts), value=number + 1)
        facts = replace(finish(self.store, facts, wait_s=0), to_do=())
        self.store.peaks_path(facts).write_bytes(PEAKS)
        self.save(facts, call)
        return facts

    def add_encoded(self, number: int, *, keep_wav: bool = False) -> RecordingFacts:
        """One whose WAV file was replaced by an encoded one (of any content)."""
        from callrec_pbx.domain.words import AudioFormat  # noqa: PLC0415

        facts = replace(self.add(number), format=AudioFormat.OPUS, keep_wav=keep_wav)
        path = self.store.encoded_path(facts)
        path.write_bytes(b"OggS" * (number + 10))
        facts = replace(
            facts,
            has_wav=keep_wav,
            encoded_size=path.stat().st_size,
            encoded_sha256=wav.sha256(path),
        )
        if not keep_wav:
            self.store.audio_path(facts).unlink()
        self.save(facts, self.call(facts))
        return facts

    def call(self, facts: RecordingFacts) -> CallFacts:
        """The call of a recording."""
        call = self.store.find_call(facts)
        assert call is not None
        return call

    def save(
        self, facts: RecordingFacts, call: CallFacts, tombstone: Tombstone | None = None
    ) -> None:
        """Write sidecars and rows."""
        self.store.write_call(call)
        self.store.write_sidecar(facts, call, tombstone)
        items: list[rows.Item] = [CallSidecar(call), RecordingRow(facts, tombstone)]
        with self.engine.begin() as connection:
            rows.write(connection, items)
        for item in items:
            note_written(self.store, item)

    def check(self, *, mend: bool = False, scope: Scope | None = None, **way: Any) -> Checked:
        """Check long afterwards, by another process's store; findings are in `told`."""
        settle(self.store.directory)
        self.told = []
        place = Place(self.engine, RecordingStore(self.store.directory))
        told = replace(Way(mend=mend, now=NOW), **way)
        return Check(place, told, scope or Scope(), on_finding=self.told.append).run()

    @property
    def kinds(self) -> list[str]:
        """The kinds of what was found last, in order of names."""
        return sorted(str(one.kind) for one in self.told)

    def files(self) -> set[str]:
        """Everything below the directory but locks, as relative paths."""
        return {
            path.relative_to(self.store.directory).as_posix()
            for path in self.store.directory.rglob("*")
            if path.is_file() and not path.name.startswith(".")
        }


def as_utc(day: int) -> datetime:
    """A day of March 2026."""
    return datetime(2026, 3, day, tzinfo=UTC)
