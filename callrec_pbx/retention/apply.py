"""Prunes and clears in batches, so that it can be killed anywhere and run again.

A recording: sidecar and row say `pruning`; the audio is deleted; the sidecar becomes a tombstone;
then the row. Each step reaches the disk before the next, and each does nothing when it was done
before. The row comes last: as long as it does not say `pruned`, the next run has the item again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import datetime

import structlog

from callrec_pbx import metrics
from callrec_pbx.audio.wav import PLAIN_HEADER
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.audit import Action, Entry
from callrec_pbx.catalogue.engine import is_outage
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.plans import UNLIMITED
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.retention.clear import cleared_call, cleared_recording
from callrec_pbx.retention.current import Current, redated
from callrec_pbx.retention.gather import BATCH, Candidate
from callrec_pbx.retention.outcome import Applied, Done, Outcome, of_call, of_recording
from callrec_pbx.retention.plan import (
    CallStanding,
    ClearCall,
    Due,
    Judge,
    Reason,
    clearing,
    due,
    kept_bytes,
    with_call,
)
from callrec_pbx.retention.writing import Step, commit
from callrec_pbx.storage import files
from callrec_pbx.storage.locks import BusyError
from callrec_pbx.storage.mounted import check_mounted
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError, Tombstone
from callrec_pbx.storage.store import RecordingStore

log = structlog.get_logger(__name__)

Told = Callable[[Done], None]

IN_USE = "somebody else is at work on it; the next run tries again"


class Pruner:
    """Prunes recordings and clears calls.

    Attributes:
        applied: What has come of it so far.
    """

    def __init__(
        self,
        place: Place,
        now: datetime,
        by: str = "retention",
        current: Current | None = None,
        told: Told = lambda _done: None,
    ) -> None:
        """Remember where and in whose name.

        Args:
            place: The catalogue, audio and sidecars.
            now: The time that the tombstones give.
            by: Who or what deletes, such as `retention`.
            current: Which plan a recording has by now; None: its date alone counts.
            told: Told what has become of each item.
        """
        self.applied = Applied()
        self._place = place
        self._store = place.store
        self._now = now
        self._by = by
        self._current = current
        self._told = told

    def prune(self, found: Sequence[Candidate], judge: Judge | None = None) -> None:
        """Prune recordings, or finish what was begun, a batch at a time.

        What cannot be done is reported and does not stop the others.

        Args:
            found: The recordings as their rows have them.
            judge: Decides by the sidecar; None: the date, and whether somebody asked for it.

        Raises:
            DBAPIError: the catalogue is not to be had; what is left is found again.
            SpoolError: the recordings directory is not mounted.
        """
        if found:
            check_mounted(self._store.directory)
        judge = judge or (lambda facts: due(facts, self._now))
        # Each lock is an open file.
        for at in range(0, len(found), BATCH):
            for one in self._prune(found[at : at + BATCH], judge, wait=False):
                self._prune([one], judge, wait=True)

    def _prune(self, found: Sequence[Candidate], judge: Judge, *, wait: bool) -> list[Candidate]:
        """Returns what somebody else holds: it is waited for with no other lock held."""
        later = []
        with ExitStack() as locks:
            free = []
            for one in found:
                try:
                    locks.enter_context(self._store.holding(one.recording.recording_id, wait=wait))
                except BusyError:
                    later.append(one)
                else:
                    free.append(one)
            locks.enter_context(self._store.deleting())
            begun = [step for one in free if (step := self._carefully(self._begin, one, judge))]
            self._flush(begun)
            marked = [step for step in self._commit(begun) if step.done is None]
            gone = [step for one in marked if (step := self._carefully(self._delete, one))]
            self._flush(gone)
            ended = [step for one in gone if (step := self._carefully(self._end, one))]
            self._flush(ended)
            self._commit(ended)
        return later

    def _begin(self, found: Candidate, judge: Judge) -> Step | None:
        """Mark a recording as being pruned, or say why not."""
        sidecar = self._sidecar(found)
        facts = sidecar.recording
        if facts.state is RecordingState.PRUNED:
            return Step([], sidecar=sidecar)
        verdict = judge(facts)
        if verdict is None:
            row = RecordingRow(facts, sidecar.tombstone)
            return Step([row], done=of_recording(facts, Outcome.SKIPPED))
        held = self._store.holds.reason(facts, sidecar.call)
        if held:
            metrics.held_kept()
            self._tell(of_recording(facts, Outcome.HELD, held, verdict.reason))
            return None
        if verdict.reason is Reason.RETENTION and self._current is not None:
            plan = self._current.plan_of(facts, sidecar.call.queue)
            if plan is not None and plan.value == UNLIMITED:
                return self._keep(redated(facts, plan), sidecar.call, plan.origin)
        return self._mark(facts, sidecar, verdict)

    def _keep(self, facts: RecordingFacts, call: CallFacts, origin: str) -> Step:
        """What has no limit by now is dated anew, whatever was chosen when that was changed."""
        self._store.write_sidecar(facts, call)
        detail = {"retention": facts.retention, "from": origin}
        entry = Entry(
            facts.tenant, self._by, Action.CHANGE, "recording", facts.recording_id, detail
        )
        why = f"its plan has no limit now ({origin})"
        return Step([RecordingRow(facts)], [entry], of_recording(facts, Outcome.KEPT, why))

    def _mark(self, facts: RecordingFacts, sidecar: Sidecar, verdict: Due) -> Step:
        # What was begun is finished in the name and for the reason of who began it.
        begun = sidecar.tombstone or Tombstone(self._now, verdict.by or self._by, verdict.why)
        size = kept_bytes(facts)
        facts = replace(facts, state=RecordingState.PRUNING)
        self._store.write_sidecar(facts, sidecar.call, begun)
        sidecar = Sidecar(facts, sidecar.call, begun)
        return Step([RecordingRow(facts, begun)], [], None, sidecar, verdict.reason, size)

    def _delete(self, step: Step) -> Step:
        """Delete the audio of a recording that is marked."""
        if step.sidecar is not None and step.sidecar.recording.state is RecordingState.PRUNING:
            self._store.delete_audio(step.sidecar.recording)
        return step

    def _end(self, step: Step) -> Step | None:
        """Leave a tombstone of a recording whose audio is deleted."""
        sidecar = step.sidecar
        if sidecar is None:
            return None
        facts, tombstone = sidecar.recording, sidecar.tombstone
        if facts.state is not RecordingState.PRUNED:
            tombstone = replace(
                tombstone or Tombstone(self._now, self._by, ""), pruned_at=self._now
            )
            facts = cleared_recording(facts)
            self._store.write_sidecar(facts, cleared_call(sidecar.call), tombstone)
            metrics.pruned(step.reason)
        why = tombstone.why if tombstone else ""
        done = of_recording(facts, Outcome.PRUNED, why, step.reason, step.size)
        return Step([RecordingRow(facts, tombstone)], [_pruned(facts, tombstone)], done)

    def clear_of(self, standings: Sequence[CallStanding], call_days: int | None) -> None:
        """Clear what of those calls may be cleared by now."""
        found = (clearing(one, lambda _r: False, self._now, call_days) for one in standings)
        self.clear(
            [
                one
                for one in found
                if one is not None
                and not any(has_unread_audio(self._store, r) for r in one.recordings)
            ]
        )

    def clear(self, items: Sequence[ClearCall]) -> None:
        """Clear a batch of calls, each after what is left of its recordings.

        Raises:
            DBAPIError: the catalogue is not to be had; what is left is found again.
            SpoolError: the recordings directory is not mounted.
        """
        if items:
            check_mounted(self._store.directory)
        with ExitStack() as locks:
            free = []
            for item in items:
                ids = [item.call.call_id, *(one.recording_id for one in item.recordings)]
                try:
                    with ExitStack() as own:
                        for one in ids:
                            own.enter_context(self._store.holding(one, wait=False))
                        locks.push(own.pop_all())
                except BusyError:
                    self._tell(of_call(item.call, Outcome.SKIPPED, IN_USE))
                else:
                    free.append(item)
            locks.enter_context(self._store.deleting())
            steps = [step for one in free if (step := self._carefully(self._clear, one))]
            self._flush(steps)
            self._commit(steps)

    def _clear(self, item: ClearCall) -> Step | None:
        sidecar = self._call_sidecar(item.call)
        if sidecar.call.ended_at is None:
            return Step([sidecar], done=of_call(sidecar.call, Outcome.SKIPPED))
        if held := self._store.holds.call_reason(sidecar.call):
            metrics.held_kept()
            self._tell(of_call(sidecar.call, Outcome.HELD, held))
            return None
        step = Step([])
        for recording in item.recordings:
            ended = self._prune_with_call(Candidate(recording, sidecar.call), item.why)
            if ended is None:
                return None
            step.items += ended.items
            step.entries += ended.entries
            if ended.done is not None and ended.done.outcome is Outcome.SKIPPED:
                step.done = ended.done
                return step
        if sidecar.tombstone is None:
            tombstone = Tombstone(self._now, self._by, item.why)
            sidecar = CallSidecar(cleared_call(sidecar.call), tombstone)
            self._store.write_call(sidecar.call, tombstone)
        call = sidecar.call
        step.items.append(sidecar)
        step.entries.append(
            Entry(
                call.tenant,
                sidecar.tombstone.pruned_by if sidecar.tombstone else self._by,
                Action.PRUNE,
                "call",
                call.call_id,
                {"why": item.why},
            )
        )
        step.done = of_call(call, Outcome.CLEARED, item.why, len(item.recordings))
        return step

    def _prune_with_call(self, found: Candidate, why: str) -> Step | None:
        """Prune one without audio in one go: there is nothing in it that could be half gone."""
        step = self._begin(found, lambda facts: self._also_begun(facts, why))
        if step is None or step.done is not None:
            return step
        return self._end(self._delete(step))

    def _also_begun(self, facts: RecordingFacts, why: str) -> Due | None:
        if facts.state is RecordingState.PRUNING:
            return Due(Reason.UNFINISHED, why)
        return None if has_unread_audio(self._store, facts) else with_call(facts, why)

    def _sidecar(self, found: Candidate) -> Sidecar:
        """The sidecar, which is the truth; where it is missing or broken, what the rows say."""
        try:
            return self._store.read_sidecar(self._store.sidecar_path(found.recording))
        except (FileNotFoundError, SidecarError) as error:
            log.warning(
                "pruned_by_its_row", recording=found.recording.recording_id, reason=str(error)
            )
        return Sidecar(found.recording, found.call)

    def _call_sidecar(self, call: CallFacts) -> CallSidecar:
        try:
            return self._store.read_call_sidecar(self._store.call_path(call))
        except (FileNotFoundError, SidecarError) as error:
            log.warning("cleared_by_its_row", call=call.call_id, reason=str(error))
        return CallSidecar(call)

    def _carefully(
        self, work: Callable[..., Step | None], one: object, *more: object
    ) -> Step | None:
        """Have one item worked on; what goes wrong with it does not stop the others."""
        try:
            return work(one, *more)
        except Exception as error:
            if is_outage(error) and not isinstance(error, OSError):
                raise
            self._fail(_name_of(one), error)
            return None

    def _flush(self, steps: Sequence[Step]) -> None:
        """Have what was done to a batch reach the disk, before anything builds on it.

        Each folder is flushed once: there is one for each day, and a flush takes long.
        """
        for folder in sorted({folder for step in steps for folder in self._folders(step)}):
            files.flush_folder(folder)

    def _folders(self, step: Step) -> Iterator[str]:
        for item in step.items:
            facts = item.recording if isinstance(item, RecordingRow) else item.call
            if isinstance(facts, CallFacts):
                yield str(self._store.call_path(facts).parent)
            else:
                yield str(self._store.sidecar_path(facts).parent)

    def _commit(self, steps: Sequence[Step]) -> list[Step]:
        """Write rows, and tell what they have come to."""
        written = commit(self._place, steps, lambda step, error: self._fail(_name_of(step), error))
        for step in written:
            if step.done is not None:
                self._tell(step.done)
        return written

    def _fail(self, done: Done, error: Exception) -> None:
        log.warning(
            "retention_item_failed",
            **{done.kind: done.id},
            error=str(error),
            exc_info=not isinstance(error, OSError),
        )
        self._tell(replace(done, outcome=Outcome.FAILED, why=str(error)))

    def _tell(self, done: Done) -> None:
        self.applied.count(done)
        self._told(done)


def has_unread_audio(store: RecordingStore, facts: RecordingFacts) -> bool:
    """Whether a recording that failed has audio all the same: it could not be read to be measured.

    It is kept to its own date, as if it had been.
    """
    if facts.state is not RecordingState.FAILED:
        return False
    for path in (store.audio_path(facts), *store.side_paths(facts)):
        with suppress(FileNotFoundError):
            if path.stat().st_size > PLAIN_HEADER:
                return True
    return False


def _pruned(facts: RecordingFacts, tombstone: Tombstone | None) -> Entry:
    by, why = (tombstone.pruned_by, tombstone.why) if tombstone else ("", "")
    return Entry(facts.tenant, by, Action.PRUNE, "recording", facts.recording_id, {"why": why})


def _name_of(one: object) -> Done:
    """What an item is called when it fails."""
    if isinstance(one, Candidate):
        return of_recording(one.recording, Outcome.FAILED)
    if isinstance(one, ClearCall):
        return of_call(one.call, Outcome.FAILED)
    if isinstance(one, Step):
        if one.done is not None:
            return one.done
        if one.sidecar is not None:
            return of_recording(one.sidecar.recording, Outcome.FAILED)
    raise TypeError(f"{one!r} is no item")
