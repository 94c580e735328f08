"""Between rows and markers: what is committed needs no marker any more."""

from callrec_pbx.catalogue.rows import Item, RecordingRow
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.storage.serial import CallSidecar, Tombstone
from callrec_pbx.storage.store import RecordingStore


def item_of(facts: RecordingFacts | CallFacts, tombstone: Tombstone | None) -> Item:
    """The row of a recording or call."""
    if isinstance(facts, CallFacts):
        return CallSidecar(facts, tombstone)
    return RecordingRow(facts, tombstone)


def note_written(store: RecordingStore, item: Item) -> Item | None:
    """Tell the store that a row is committed, or refused for good.

    Returns:
        What is to be written in its place, as the sidecar says something else; see
        `RecordingStore.written`.
    """
    facts = item.call if isinstance(item, CallSidecar) else item.recording
    found = store.written(facts, item.tombstone)
    return None if found is None else item_of(*found)
