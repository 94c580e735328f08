"""Carries a retention plan out, item by item, so that it can be killed anywhere and run again.

A recording: sidecar and row say `pruning`; the audio is deleted; the sidecar becomes a tombstone;
then the row. Each step reaches the disk before the next, and each does nothing when it was done
before. The row comes last: as long as it does not say `pruned`, the next plan has the item again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

import structlog
from sqlalchemy import Engine

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.engine import is_outage
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.retention.clear import cleared_call, cleared_recording
from callrec_pbx.retention.plan import ClearCall, Item, PruneRecording, why_due, without_audio
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError, Tombstone
from callrec_pbx.storage.store import RecordingStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Failure:
    """An item that could not be carried out; it is planned again the next time."""

    item: Item
    error: str


@dataclass(slots=True)
class Applied:
    """What came of a plan.

    Attributes:
        skipped: Items that turned out not to be due: the catalogue was behind the sidecars.
    """

    recordings: int = 0
    calls: int = 0
    skipped: int = 0
    failures: list[Failure] = field(default_factory=list)


class Pruner:
    """Prunes recordings and clears calls."""

    def __init__(self, engine: Engine, store: RecordingStore, now: datetime, by: str) -> None:
        """Remember where and in whose name.

        Args:
            engine: The catalogue.
            store: Audio and sidecars.
            now: The time that the tombstones give.
            by: Who or what deletes, such as `retention`.
        """
        self._engine = engine
        self._store = store
        self._now = now
        self._by = by

    def apply(
        self, plan: Sequence[Item], progress: Callable[[Item], None] = lambda _item: None
    ) -> Applied:
        """Carry a plan out; an item that cannot be is reported and does not stop the others.

        Raises:
            DBAPIError: the catalogue is not to be had; what is left is planned again.
        """
        result = Applied()
        kept: set[str] = set()
        for item in plan:
            if isinstance(item, PruneRecording):
                kept.add(item.recording.recording_id)
            try:
                done = self._carry_out(item, kept)
            except Exception as error:
                if is_outage(error) and not isinstance(error, OSError):
                    raise
                log.warning(
                    "retention_item_failed",
                    id=item_id(item),
                    error=str(error),
                    exc_info=not isinstance(error, OSError),
                )
                result.failures.append(Failure(item, str(error)))
            else:
                _count(result, item, done)
            progress(item)
        return result

    def _carry_out(self, item: Item, kept: set[str]) -> bool:
        """Do one item. `kept`: recordings that should have been pruned by now and are not."""
        if isinstance(item, PruneRecording):
            done = self.prune(item.recording, item.why)
            if done:
                kept.discard(item.recording.recording_id)
            return done
        return kept.isdisjoint(item.after) and self.clear(item)

    def prune(self, recording: RecordingFacts, why: str, *, with_call: bool = False) -> bool:
        """Prune a recording, or finish what was begun.

        Args:
            recording: The recording as its row has it.
            why: The reason for the tombstone.
            with_call: Whether it goes with its call, before its own date: only one without audio.

        Returns:
            Whether it is pruned now; False when its sidecar says that it is not due.
        """
        sidecar = self._sidecar(recording)
        facts = sidecar.recording
        if facts.state is not RecordingState.PRUNED:
            due = bool(why_due(facts, self._now)) or (with_call and without_audio(facts))
            if not due:
                self._write_row(RecordingRow(facts, sidecar.tombstone))
                return False
            facts = replace(facts, state=RecordingState.PRUNING)
            # What was begun is finished in the name and for the reason of who began it.
            begun = sidecar.tombstone or Tombstone(self._now, self._by, why)
            self._store.write_sidecar(facts, sidecar.call, begun, durable=True)
            self._write_row(RecordingRow(facts, begun))
            self._store.delete_audio(facts, durable=True)
            tombstone = replace(begun, pruned_at=self._now)
            sidecar = Sidecar(cleared_recording(facts), cleared_call(sidecar.call), tombstone)
            self._store.write_sidecar(
                sidecar.recording, sidecar.call, sidecar.tombstone, durable=True
            )
        self._write_row(RecordingRow(sidecar.recording, sidecar.tombstone))
        return True

    def clear(self, item: ClearCall) -> bool:
        """Clear a call, after what is left of its recordings; or finish what was begun.

        Returns:
            Whether it is cleared now; False when the sidecars say that it must wait.
        """
        sidecar = self._call_sidecar(item.call)
        if sidecar.call.ended_at is None:
            self._write_row(sidecar)
            return False
        for recording in item.recordings:
            if not self.prune(recording, item.why, with_call=True):
                return False
        if sidecar.tombstone is None:
            tombstone = Tombstone(self._now, self._by, item.why)
            sidecar = CallSidecar(cleared_call(sidecar.call), tombstone)
            self._store.write_call(sidecar.call, tombstone, durable=True)
        self._write_row(sidecar)
        return True

    def _sidecar(self, recording: RecordingFacts) -> Sidecar:
        """The sidecar, which is the truth; where it is missing or broken, what the rows say."""
        try:
            return self._store.read_sidecar(self._store.sidecar_path(recording))
        except (FileNotFoundError, SidecarError) as error:
            log.warning("pruned_by_its_row", id=recording.recording_id, reason=str(error))
        with self._engine.begin() as connection:
            call = rows.calls_by_id(connection, [recording.call_id])[recording.call_id]
        return Sidecar(recording, call.call)

    def _call_sidecar(self, call: CallFacts) -> CallSidecar:
        try:
            return self._store.read_call_sidecar(self._store.call_path(call))
        except (FileNotFoundError, SidecarError) as error:
            log.warning("cleared_by_its_row", id=call.call_id, reason=str(error))
        return CallSidecar(call)

    def _write_row(self, item: rows.Item) -> None:
        with self._engine.begin() as connection:
            rows.write(connection, [item])


def _count(result: Applied, item: Item, done: bool) -> None:
    if not done:
        result.skipped += 1
    elif isinstance(item, PruneRecording):
        result.recordings += 1
    else:
        result.calls += 1
        result.recordings += len(item.recordings)


def item_id(item: Item) -> str:
    """The id of what an item is about."""
    return item.recording.recording_id if isinstance(item, PruneRecording) else item.call.call_id
