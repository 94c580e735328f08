"""Writes facts: the sidecar first, then the row; never on the event loop."""

import asyncio
import errno
import os
import threading
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from callrec_pbx import metrics
from callrec_pbx.catalogue.amend import SETTLED, with_after
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.recorder.threads import Threads
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.holds import HeldError
from callrec_pbx.storage.serial import SidecarError, Tombstone
from callrec_pbx.storage.store import RecordingStore, SpoolError

log = structlog.get_logger(__name__)

SOON_S = 0.2
"""How long the facts of a call may wait to be written; a recording's never wait."""


ROWS_AT_ONCE = 1000
"""How many rows that an earlier listener left are on their way at the most."""

PRUNED = frozenset({RecordingState.PRUNING, RecordingState.PRUNED})
NO_AUDIO = frozenset({RecordingState.DISCARDING, RecordingState.DISCARDED})
OVER = SETTLED | {RecordingState.DISCARDED}

Unfinished = tuple[tuple[RecordingFacts, ...], tuple[CallFacts, ...]]


class Rows(Protocol):
    """Takes rows for the catalogue; never blocks and never raises."""

    def save_call(self, call: CallFacts, tombstone: Tombstone | None = None) -> None:
        """Write or update a call."""

    def save_recording(self, recording: RecordingFacts, tombstone: Tombstone | None = None) -> None:
        """Write or update a recording."""

    @property
    def backlog(self) -> int:
        """How many are not written yet."""


class _Work:
    """One writing of a recording that may have been finished before."""

    def __init__(self, store: RecordingStore, recording: RecordingFacts, call: CallFacts) -> None:
        self.recording = recording
        self.call = call
        self.pruned = False
        """Somebody pruned it meanwhile: there is nothing to write about it any more."""
        self._store = store

    def write(self) -> None:
        """Write the sidecar, with what came to be known of it after an earlier end.

        A recording that was finished may have been changed since, by others and in other
        processes; and then it is discarded, or turns out to be running still.
        """
        last = self._store.last(self.recording)
        if last is not None and last.state not in SETTLED:
            # Nobody else changes a recording before its end, which this process has not written.
            self._write(last)
            return
        with ExitStack() as locked:
            try:
                locked.enter_context(self._store.holding(self.recording.recording_id))
            except OSError as error:
                # The lock file cannot be had, so the sidecar can hardly be written: that says why.
                log.debug("not_locked", recording=self.recording.recording_id, reason=str(error))
            self._write(self._store.known(self.recording))

    def _write(self, known: RecordingFacts | None) -> None:
        if known is not None and known.state in PRUNED:
            self.pruned = True
            log.info("pruned_meanwhile", recording=known.recording_id)
            return
        if known is not None:
            self.recording = with_after(self.recording, known)
            if self.recording.state in NO_AUDIO:
                self.recording = replace(
                    self.recording, encoded_size=None, encoded_sha256="", to_do=()
                )
        self._store.write_sidecar(self.recording, self.call)


class Spool:
    """The recordings directory and the catalogue, from the event loop's side.

    Args:
        store: The recordings directory.
        rows: The catalogue.
        min_free_bytes: With less room than this no recording is begun.
        names: Whether recordings get names for people on the disk.
    """

    def __init__(
        self, store: RecordingStore, rows: Rows, min_free_bytes: int, *, names: bool = False
    ) -> None:
        self.store = store
        self._names = names
        self._rows = rows
        self.min_free_bytes = min_free_bytes
        # Writes are short and on the way to a recording's start; finishing may wait for the PBX.
        self._writers = Threads(4, "spool")
        self._finishers = Threads(4, "finish", at_once=1)
        # Whoever places a hold has them wait for all deletions; what starts must not wait for that.
        self._discarders = Threads(2, "discard")
        self._pending_calls: dict[str, CallFacts] = {}
        self._calls_task: asyncio.Task[None] | None = None
        self._calls_lock = asyncio.Lock()
        self._flush: asyncio.TimerHandle | None = None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._closing = threading.Event()

    async def save_recording(self, recording: RecordingFacts, call: CallFacts) -> None:
        """Write the sidecar, then hand on the row (which is written whatever the disk says).

        Raises:
            SpoolError: The sidecar could not be written, or there is no room for the audio of a
                recording that is about to start.
        """
        work = _Work(self.store, recording, call)
        if recording.state in OVER:
            await self._write_call_before(call)
        try:
            await self._writers.do(partial(self._write_recording, work))
        finally:
            if not work.pruned:
                self._rows.save_recording(work.recording)

    async def _write_call_before(self, call: CallFacts) -> None:
        """Nobody looks at a recording that is over for a call that was never written."""
        if call.call_id not in self._pending_calls and not self._calls_lock.locked():
            return
        if not await self._writers.do(partial(self._was_written, call)):
            await self._write_calls()

    def _was_written(self, call: CallFacts) -> bool:
        try:
            return self.store.call_path(call).exists()
        except OSError:
            return False  # writing it says why

    def _write_recording(self, work: "_Work") -> None:
        if work.recording.state is RecordingState.STARTING:
            self.store.write_sidecar(work.recording, work.call)
            self._refuse_when_full()
        else:
            work.write()

    def save_call(self, call: CallFacts) -> None:
        """Write the call's sidecar within `SOON_S`, a refusal at once, and then its row.

        Only the newest facts of a call count, so what changes quickly is written once.
        """
        self._pending_calls[call.call_id] = call
        loop = asyncio.get_running_loop()
        refused = bool(call.reason) and call.ended_at is None
        if refused and self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if self._flush is None:
            self._flush = loop.call_later(0 if refused else SOON_S, self._begin_calls)

    def _begin_calls(self) -> None:
        self._flush = None
        self._calls_task = asyncio.get_running_loop().create_task(self._write_calls())

    async def _write_calls(self) -> None:
        async with self._calls_lock:
            batch = list(self._pending_calls.values())
            self._pending_calls.clear()
            await self._writers.do(partial(self._write_batch, batch))

    def _write_batch(self, batch: list[CallFacts]) -> None:
        for call in batch:
            try:
                if not self._write_call(call):
                    continue
            except SpoolError as error:
                log.exception("call_sidecar_not_written", call=call.call_id, reason=error.reason)
                metrics.SIDECAR_ERRORS.inc()
            # Not before: a row without a sidecar would stay open for ever after a crash.
            self._rows.save_call(call)

    def _write_call(self, call: CallFacts) -> bool:
        """Whether it was written: one that was cleared meanwhile stays so."""
        with ExitStack() as locked:
            if call.ended_at is not None:
                try:
                    locked.enter_context(self.store.holding(call.call_id))
                    if self.store.read_call_sidecar(self.store.call_path(call)).tombstone:
                        return False
                except (OSError, SidecarError):
                    pass  # it is not there yet, or what is there is worth nothing
            self.store.write_call(call)
        return True

    async def finish(self, recording: RecordingFacts, wait_s: float) -> RecordingFacts:
        """Join, measure, mend and hash a closed file."""
        # One at a time: both would write the same temporary file.
        lock = self._locks.setdefault(recording.recording_id, asyncio.Lock())
        async with lock:
            return await self._finishers.do(
                lambda: finish(self.store, recording, wait_s=wait_s, names=self._names)
            )

    async def discard(self, recording: RecordingFacts) -> None:
        """Delete the audio of a recording whose sidecar already says that it is discarded.

        What a legal hold covers stays, and its marker with it, until the hold is released.
        """
        try:
            await self._discarders.do(lambda: self.store.delete_audio(recording))
        except HeldError as error:
            log.info("discard_held", recording=recording.recording_id, reason=str(error))

    async def has_audio(self, recording: RecordingFacts) -> bool:
        """Whether the PBX has begun to write the file."""
        return await self._writers.do(self.store.audio_path(recording).exists)

    async def free_bytes(self) -> int:
        """Room left for recordings.

        Raises:
            OSError: The directory is not there.
        """
        return await self._writers.do(self._free_bytes)

    def _free_bytes(self) -> int:
        status = os.statvfs(self.store.directory)
        return status.f_bavail * status.f_frsize

    def _refuse_when_full(self) -> None:
        free = self._free_bytes()
        if free < self.min_free_bytes:
            detail = (
                f"{self.store.directory} has {free >> 20} MiB left, less than "
                f"recordings.min_free_mb = {self.min_free_bytes >> 20}; make room"
            )
            raise SpoolError(errno.ENOSPC, "disk_full", detail)

    async def unfinished(self) -> Unfinished | None:
        """What an earlier listener left open: recordings and calls, each with what belongs to it.

        With an open call come its finished recordings, with an unfinished recording its call.

        Returns:
            None when the directory cannot be read now.
        """
        try:
            return await self._writers.do(self._unfinished)
        except OSError as error:
            remedy = (
                f"let the user of callrec-pbx read {self.store.directory}/open; what an earlier "
                "listener left is taken up when the PBX is next connected"
            )
            log.exception("unfinished_not_read", reason=str(error), remedy=remedy)
            return None

    def _unfinished(self) -> Unfinished:
        calls = {call.call_id: call for call in self.store.open_calls()}
        recordings = {r.recording_id: r for r in self.store.unfinished()}
        for recording in recordings.values():
            if recording.call_id not in calls:
                call = self.store.find_call(recording)
                if call is not None:
                    calls[call.call_id] = call
        for finished in self.store.recordings_of(calls.values()):
            recordings.setdefault(finished.recording_id, finished)
        return tuple(recordings.values()), tuple(calls.values())

    async def write_rows_left(self) -> None:
        """Write the rows that an earlier listener came not to; returns when they are on their way.

        With however many, they come between those of the calls that are under way.
        """
        try:
            await asyncio.to_thread(self._write_rows_left)
        except Exception as error:
            # Whatever is wrong with them, it must not keep the listener from its calls.
            log.exception("rows_left_not_read", reason=str(error))

    def _write_rows_left(self) -> None:
        for count, (facts, tombstone) in enumerate(self.store.rows_left(), start=1):
            if isinstance(facts, CallFacts):
                self._rows.save_call(facts, tombstone)
            else:
                self._rows.save_recording(facts, tombstone)
            while count % ROWS_AT_ONCE == 0 and self._rows.backlog > ROWS_AT_ONCE:
                if self._closing.wait(SOON_S):
                    break
            if self._closing.is_set():
                return

    async def close(self) -> None:
        """Write what is pending, then end the threads."""
        self._closing.set()
        if self._flush is not None:
            self._flush.cancel()
        await self._write_calls()
        self._writers.close()
        self._finishers.close()
        self._discarders.close()
