"""Writes facts: the sidecar first, then the row; never on the event loop."""

import asyncio
import errno
import os
from functools import partial
from typing import Protocol
from weakref import WeakValueDictionary

import structlog

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.recorder.threads import Threads
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.store import RecordingStore, SpoolError

log = structlog.get_logger(__name__)

SOON_S = 0.2
"""How long the facts of a call may wait to be written; a recording's never wait."""


Unfinished = tuple[tuple[RecordingFacts, ...], tuple[CallFacts, ...]]


class Rows(Protocol):
    """Takes rows for the catalogue; never blocks and never raises."""

    def save_call(self, call: CallFacts) -> None:
        """Write or update a call."""

    def save_recording(self, recording: RecordingFacts) -> None:
        """Write or update a recording."""


class Spool:
    """The recordings directory and the catalogue, from the event loop's side.

    Args:
        store: The recordings directory.
        rows: The catalogue.
        min_free_bytes: With less room than this no recording is begun.
    """

    def __init__(self, store: RecordingStore, rows: Rows, min_free_bytes: int) -> None:
        self.store = store
        self._rows = rows
        self._min_free = min_free_bytes
        # Writes are short and on the way to a recording's start; finishing may wait for the PBX.
        self._writers = Threads(4, "spool")
        self._finishers = Threads(4, "finish", at_once=1)
        self._pending_calls: dict[str, CallFacts] = {}
        self._calls_task: asyncio.Task[None] | None = None
        self._calls_lock = asyncio.Lock()
        self._flush: asyncio.TimerHandle | None = None
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def save_recording(self, recording: RecordingFacts, call: CallFacts) -> None:
        """Write the sidecar, then hand on the row (which is written whatever the disk says).

        Raises:
            SpoolError: The sidecar could not be written, or there is no room for the audio of a
                recording that is about to start.
        """
        try:
            await self._writers.do(partial(self._write_recording, recording, call))
        finally:
            self._rows.save_recording(recording)

    def _write_recording(self, recording: RecordingFacts, call: CallFacts) -> None:
        self.store.write_sidecar(recording, call)
        if recording.state is RecordingState.STARTING:
            self._refuse_when_full()

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
                self.store.write_call(call)
            except SpoolError as error:
                log.exception("call_sidecar_not_written", call=call.call_id, reason=error.reason)
            # Not before: a row without a sidecar would stay open for ever after a crash.
            self._rows.save_call(call)

    async def finish(self, recording: RecordingFacts, wait_s: float) -> RecordingFacts:
        """Join, measure, mend and hash a closed file."""
        # One at a time: both would write the same temporary file.
        lock = self._locks.setdefault(recording.recording_id, asyncio.Lock())
        async with lock:
            return await self._finishers.do(lambda: finish(self.store, recording, wait_s=wait_s))

    async def discard(self, recording: RecordingFacts) -> None:
        """Delete the audio of a recording whose sidecar already says that it is discarded."""
        await self._writers.do(lambda: self.store.delete_audio(recording))

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
        if free < self._min_free:
            detail = (
                f"{self.store.directory} has {free >> 20} MiB left, less than "
                f"recordings.min_free_mb = {self._min_free >> 20}; make room"
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

    async def close(self) -> None:
        """Write what is pending, then end the threads."""
        if self._flush is not None:
            self._flush.cancel()
        await self._write_calls()
        self._writers.close()
        self._finishers.close()
