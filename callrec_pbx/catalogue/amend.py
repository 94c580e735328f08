"""Changing a recording whose call is over: under its lock, the sidecar first, then the row.

Everybody who changes such a recording does it here, so that no change is lost between two who
read, change and write at the same moment, in whatever process.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

from sqlalchemy import Connection, Engine, select

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.engine import CatalogueError, reading
from callrec_pbx.catalogue.rows import RECORDING, RecordingRow, calls_by_id, recordings_of
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.storage.mounted import check_mounted
from callrec_pbx.storage.serial import Sidecar, SidecarError
from callrec_pbx.storage.store import RecordingStore

SETTLED = frozenset({RecordingState.STORED, RecordingState.INTERRUPTED, RecordingState.FAILED})
"""States of a recording that has audio, perhaps, and at which the listener no longer works."""


class NotSettledError(CatalogueError):
    """The recording is still being made, or is gone; try again later, or not at all."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where recordings are: the catalogue, and the directory with audio and sidecars."""

    engine: Engine
    store: RecordingStore


Change = Callable[[RecordingFacts], RecordingFacts]
"""What a recording is to be like; returning it as it is changes nothing."""

AndThen = Callable[[Connection, RecordingFacts], None]
"""What is written in the transaction of the row, such as a line of the audit trail."""


def amend(
    place: Place, recording_id: str, change: Change, and_then: AndThen = lambda _c, _r: None
) -> RecordingFacts:
    """Change what is known of a settled recording.

    Args:
        place: Where it is.
        recording_id: Its whole id.
        change: Called with its facts as they are now, under the lock.
        and_then: Called in the transaction that writes the row, when something has changed.

    Returns:
        Its facts afterwards.

    Raises:
        NotSettledError: it is not there, still being made, discarded or pruned.
        SpoolError: its sidecar could not be written; nothing was changed.
    """
    with place.store.holding(recording_id):
        sidecar = current(place, recording_id)
        if sidecar.recording.state not in SETTLED:
            raise NotSettledError(
                f"recording {recording_id!r}: is {sidecar.recording.state}; only one whose call is "
                "over, and whose audio is kept, can be changed"
            )
        changed = change(sidecar.recording)
        if changed != sidecar.recording:
            place.store.write_sidecar(
                changed, sidecar.call, sidecar.tombstone, durable=True, origin=sidecar.origin
            )
        elif not place.store.marked(changed)[1]:
            return changed
        # Marked and unchanged, it was written before, by somebody whom the catalogue was denied.
        with place.engine.begin() as connection:
            rows.write(connection, [RecordingRow(changed, sidecar.tombstone)])
            if changed != sidecar.recording:
                and_then(connection, changed)
        place.store.written(changed, sidecar.tombstone)
    return changed


def current(place: Place, recording_id: str) -> Sidecar:
    """What is known of a recording: its sidecar, or its row where that is missing or broken.

    Raises:
        NotSettledError: neither knows it.
        SpoolError: the recordings directory is not mounted.
    """
    with reading(place.engine).begin() as connection:
        query = select(RECORDING).where(RECORDING.c.recording_id == recording_id)
        found = recordings_of(connection, connection.execute(query).mappings().all())
        if not found:
            raise NotSettledError(f"recording {recording_id!r}: there is none in the catalogue")
        facts = found[0].recording
        call = calls_by_id(connection, [facts.call_id])[facts.call_id].call
    try:
        return place.store.read_sidecar(place.store.sidecar_path(facts))
    except (FileNotFoundError, SidecarError):
        check_mounted(place.store.directory)
        return Sidecar(facts, call, found[0].tombstone)


AFTER = (
    "encoded_size",
    "encoded_sha256",
    "has_wav",
    "named",
    "tags",
    "flagged",
    "evaluated",
    "deletion_at",
    "deletion_by",
    "deletion_why",
)
"""Facts that come after the listener has finished a recording, and that it does not know."""


def with_after(facts: RecordingFacts, known: RecordingFacts) -> RecordingFacts:
    """A recording as the listener has it, with what came after it had finished it before."""
    return replace(facts, **{name: getattr(known, name) for name in AFTER})
