"""A catalogue and a recordings directory that agree, with audio."""

from pathlib import Path
from typing import Any

from sqlalchemy import Engine

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.storage.serial import CallSidecar
from callrec_pbx.storage.store import RecordingStore
from tests.catalogue.tables import dump

PERSONAL = (
    "+4930123456",
    "Agent Smith",
    "201",
    "Ærø",
    "\\u00c6",
    "PJSIP",
    "blind",
    "+49301000",
    "boss@example.com",
)
"""What must be nowhere after pruning."""


class Made:
    """Writes calls and recordings as the listener does, and looks at what is left."""

    def __init__(self, engine: Engine, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.engine = engine
        self.store = RecordingStore(directory)

    @property
    def place(self) -> Place:
        """Where both are."""
        return Place(self.engine, self.store)

    def call(self, call: CallFacts, *recordings: RecordingFacts) -> None:
        """A call with its recordings; those that were measured get audio."""
        self.store.write_call(call)
        for recording in recordings:
            self.store.write_sidecar(recording, call)
            if recording.size is not None:
                self.store.audio_path(recording).write_bytes(b"talk")
        self.row(CallSidecar(call), *map(RecordingRow, recordings))

    def row(self, *items: rows.Item) -> None:
        """Only the rows."""
        with self.engine.begin() as connection:
            rows.write(connection, items)

    def audio(self) -> list[str]:
        """The ids of the recordings whose audio is there."""
        return sorted(path.stem for path in self.store.directory.rglob("*.wav"))

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """All rows."""
        return dump(self.engine)

    def files(self) -> dict[str, str]:
        """All sidecars and whatever else lies there, by name."""
        return {
            str(path.relative_to(self.store.directory)): path.read_text("latin-1")
            for path in sorted(self.store.directory.rglob("*"))
            if path.is_file() and not path.name.startswith(".")
        }

    def personal(self) -> list[str]:
        """Which personal data is left in rows and files."""
        left = repr(self.tables()) + repr(self.files())
        return [text for text in PERSONAL if text in left]
