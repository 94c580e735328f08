"""Where recordings lie, and how their sidecars are written so that a crash leaves none half done.

A sidecar is written to a temporary file, flushed to the disk, and renamed. An empty marker file in
`open/` is made before it, and removed when the item is finished and its row is committed (see
`markers`). The marker carries the day in its name and nothing in it: its creation reaches the
journal no later than the sidecar's own flush.

One thread at a time may write about one item; different items may be written side by side.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePath
from typing import BinaryIO, TypeVar

import structlog

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import Channels, RecordingState
from callrec_pbx.storage import files, locks, named, serial
from callrec_pbx.storage.holds import HeldError, Holds
from callrec_pbx.storage.markers import ROW, Marker, Markers, Written
from callrec_pbx.storage.paths import Paths, SpoolError, checked_id, day_of
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError, Tombstone

__all__ = ["FILE_MODE", "FOLDER_MODE", "RecordingStore", "SpoolError"]

T = TypeVar("T")

Row = tuple[RecordingFacts | CallFacts, Tombstone | None]
"""What a row has of a sidecar: a recording or a call, and its tombstone."""

FOLDER_MODE = 0o2770
"""Day folders pass their group on, so that PBX and listener share what lies in them."""
FILE_MODE = 0o660
_DAY_FOLDERS = (re.compile(r"\d{4}"), re.compile(r"\d\d"), re.compile(r"\d\d"))
_SIDECAR = re.compile(r"[0-9a-z]{20,32}(\.call)?\.json")

_GONE = frozenset({RecordingState.DISCARDED, RecordingState.PRUNING, RecordingState.PRUNED})
"""States in which there is to be no audio."""

log = structlog.get_logger(__name__)


class RecordingStore(Paths):
    """The recordings directory as the listener and, by another name perhaps, the PBX see it."""

    def __init__(self, directory: Path, pbx_directory: str | PurePath | None = None) -> None:
        """Remember the directory; nothing is touched.

        Args:
            directory: Where it is for this process.
            pbx_directory: The same directory's path on the PBX, when that differs.
        """
        super().__init__(directory, pbx_directory)
        self._markers = Markers(self._root)
        self._audio_lock = threading.Lock()
        self.holds = Holds(directory)
        self._deleting = threading.local()

    def holding(self, item: str, *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold the lock of a recording or call; see `locks.held`."""
        return locks.held(self.directory, item, wait=wait)

    @contextmanager
    def deleting(self) -> Iterator[None]:
        """Work on one deletion: look at the legal holds within, as none is placed meanwhile.

        It may be entered again by the thread that is in it.

        Raises:
            OSError: the lock file cannot be made or opened.
        """
        depth = getattr(self._deleting, "depth", 0)
        with ExitStack() as locked:
            if not depth:
                # Whoever places a hold closes the gate, or could wait for ever among many.
                with locks.held(self.directory, "deletion-gate", shared=True):
                    locked.enter_context(locks.held(self.directory, "deletion", shared=True))
            self._deleting.depth = depth + 1
            try:
                yield
            finally:
                self._deleting.depth = depth

    def held(self, facts: RecordingFacts, call: CallFacts | None = None) -> str:
        """Why a recording may not be deleted now; empty when it may.

        Args:
            facts: The recording.
            call: Its call; None has its sidecar read, where there is any hold at all.
        """
        if not self.holds.any():
            return ""
        if call is None:
            with suppress(OSError, SidecarError):
                call = self.read(self.sidecar_path(facts))[1]
        return self.holds.reason(facts, call)

    def write_sidecar(
        self,
        recording: RecordingFacts,
        call: CallFacts,
        tombstone: Tombstone | None = None,
        *,
        durable: bool = False,
        origin: str = "",
    ) -> None:
        """Write a recording's sidecar; whole or not at all, whatever happens.

        Args:
            recording: The recording.
            call: The call it belongs to, as known now.
            tombstone: Set when the recording has been pruned.
            durable: Also flush the folder, so that a power failure cannot bring the former one
                back. Costs a second flush.
            origin: What it was made from when there was none.

        Raises:
            SpoolError: it could not be written.
        """
        self._write(
            self.sidecar_path(recording),
            serial.dump(Sidecar(recording, call, tombstone, origin)),
            (recording, tombstone),
            self._closed(recording),
            durable,
        )

    def write_call(
        self,
        call: CallFacts,
        tombstone: Tombstone | None = None,
        *,
        durable: bool = False,
        origin: str = "",
    ) -> None:
        """Write a call's own sidecar, which brings a call without any recording back by rebuild.

        Raises:
            SpoolError: it could not be written.
        """
        self._write(
            self.call_path(call),
            serial.dump(CallSidecar(call, tombstone, origin)),
            (call, tombstone),
            call.ended_at is not None,
            durable,
        )

    def unfinished(self) -> list[RecordingFacts]:
        """Recordings that a crash left open, oldest first.

        A discarded recording whose audio is still there is no work for anybody else: its audio is
        deleted here. One whose channels could not be joined is to be finished again. Of what only
        the row is missing, `rows_left` tells.
        """
        found: list[RecordingFacts] = []
        for marker in self._marked(of_call=False):
            path = Path(marker.sidecar)
            try:
                facts = self.read(path)[0]
                if facts.state is RecordingState.DISCARDED:
                    self.delete_audio(facts)
                elif self._closed(facts):
                    self._markers.close(marker.name)
                else:
                    found.append(self.reopened(facts))
            except HeldError as held:
                log.info("discard_held", recording=facts.recording_id, reason=str(held))
            except FileNotFoundError:
                continue  # its first sidecar was never written, so it was never started
            except (OSError, SidecarError) as error:
                log.warning("unfinished_recording", file=str(path), error=str(error))
        return found

    def discarded(self) -> list[RecordingFacts]:
        """Discarded recordings of which some audio is still there, such as held ones."""
        found = []
        for marker in self._marked(of_call=False):
            with suppress(OSError, SidecarError):
                facts = self.read(Path(marker.sidecar))[0]
                if facts.state is RecordingState.DISCARDED and not self._closed(facts):
                    found.append(facts)
        return found

    def open_calls(self) -> list[CallFacts]:
        """Calls whose end was never written, oldest first."""
        found: list[CallFacts] = []
        for marker in self._marked(of_call=True):
            path = Path(marker.sidecar)
            try:
                call = self.read_call(path)
                if call.ended_at is None:
                    found.append(call)
                else:
                    self._markers.close(marker.name)
            except FileNotFoundError:
                continue
            except (OSError, SidecarError) as error:
                log.warning("open_call", file=str(path), error=str(error))
        return found

    def rows_left(self) -> Iterator[Row]:
        """Finished recordings and calls whose rows may be missing or behind, oldest day first.

        What this process has written itself is left out: its rows are on their way. Each is to be
        written, and then `written` told.
        """
        for marker in self._markers.found(row=True):
            path = Path(marker.sidecar)
            try:
                files.complete(marker.sidecar)
                found = self._markers.take(marker.name, partial(self._look, path, marker.of_call))
            except FileNotFoundError:
                continue
            except (OSError, SidecarError) as error:
                log.warning("row_left", file=str(path), error=str(error))
                continue
            if found is not None:
                yield found.facts, found.tombstone

    def written(
        self, facts: RecordingFacts | CallFacts, tombstone: Tombstone | None = None
    ) -> Row | None:
        """Take note that the row of a recording or call is committed, or refused for good.

        When the row says what the sidecar does, and nothing is left to do, its marker goes.

        Returns:
            What the sidecar says, when that is not what the row says: to be written again.
        """
        of_call = isinstance(facts, CallFacts)
        path = self.call_path(facts) if isinstance(facts, CallFacts) else self.sidecar_path(facts)

        def read() -> Written | None:
            with suppress(OSError, SidecarError):
                return self._look(path, of_call)
            return None

        name = self._marker_of(facts)
        found = self._markers.committed(name, facts, tombstone, str(path), read)
        return None if found is None else (found.facts, found.tombstone)

    def last(self, facts: RecordingFacts) -> RecordingFacts | None:
        """What this process has written last of a recording, while its row is on its way."""
        last = self._markers.last(self._marker_of(facts))
        return last.facts if last is not None and isinstance(last.facts, RecordingFacts) else None

    def known(self, facts: RecordingFacts) -> RecordingFacts | None:
        """What the sidecar of a recording says now; None when it cannot be read.

        What this process has written last, and nobody since, is known without reading it.
        """
        path = self.sidecar_path(facts)
        last = self._markers.last(self._marker_of(facts))
        if last is not None and files.signature(str(path)) == last.signature:
            return last.facts if isinstance(last.facts, RecordingFacts) else None
        with suppress(OSError, SidecarError):
            return self.read(path)[0]
        return None

    def markers(self) -> Iterator[Marker]:
        """Every marker, those of items with work to be done first."""
        yield from self._markers.found(row=False)
        yield from self._markers.found(row=True)

    def unmark(self, marker: Marker) -> None:
        """Remove a marker that belongs to no sidecar."""
        self._markers.remove(marker)

    def marked(self, facts: RecordingFacts | CallFacts) -> tuple[bool, bool]:
        """Whether an item is marked: as one with work to be done, and as one without its row."""
        marker = self._markers.path(self._marker_of(facts))
        return Path(marker).exists(), Path(marker + ROW).exists()

    def _look(self, path: Path, of_call: bool) -> Written:
        # The signature first: what is written in between does not pass for what was read.
        signature = files.signature(str(path)) or (0, 0, 0)
        if of_call:
            item = self.read_call_sidecar(path)
            return Written(item.call, item.tombstone, signature, item.call.ended_at is not None)
        sidecar = self.read_sidecar(path)
        facts = sidecar.recording
        return Written(facts, sidecar.tombstone, signature, self._closed(facts))

    def sidecars(self) -> Iterator[Path]:
        """Every sidecar below the directory, of recordings and of calls, in order of days."""
        yield from files.walk(self._root, _DAY_FOLDERS, _SIDECAR)

    def delete_audio(self, facts: RecordingFacts, *, durable: bool = False) -> bool:
        """Delete the audio of a recording, every file of it; the sidecar stays.

        Returns:
            Whether there was any.

        Raises:
            HeldError: it is there and under a legal hold; nothing was deleted.
            SpoolError: it is there and could not be deleted.
        """
        path = self.audio_path(facts)
        existed = self._delete_files(facts)
        try:
            if any(existed) and durable:
                files.flush_folder(str(path.parent))
            if facts.state is RecordingState.DISCARDED:
                self._markers.close(self._marker_of(facts))
        except OSError as error:
            self.refuse(error, path)
        return any(existed)

    def _delete_files(self, facts: RecordingFacts) -> list[bool]:
        with ExitStack() as locked:
            try:
                locked.enter_context(self.deleting())
            except OSError as error:
                self.refuse(error, self.directory / locks.LOCK_NAME)
            self._refuse_held(facts)
            with self._audio_lock:
                unnamed = self._unname(facts)
                return [unnamed, *(self._delete(file) for file in self.audio_files(facts))]

    def _unname(self, facts: RecordingFacts) -> bool:
        """Take away its name for people, also one that the listener does not know of."""
        audio = (self.encoded_path(facts), self.audio_path(facts))
        try:
            name = facts.named or next(
                filter(None, (named.find(self.directory, path) for path in audio)), ""
            )
            return bool(name) and named.remove(self.directory, name)
        except ValueError as error:
            log.warning("name_not_removed", recording=facts.recording_id, reason=str(error))
            return False
        except OSError as error:
            self.refuse(error, self.directory / named.FOLDER)

    def _refuse_held(self, facts: RecordingFacts) -> None:
        reason = self.held(facts)
        if reason and any(path.exists() for path in self.audio_files(facts)):
            raise HeldError(
                f"recording {facts.recording_id}: {reason}; its audio is kept until the hold is "
                "released (callrec-pbx hold release)"
            )

    def _delete(self, path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            self.refuse(error, path)
        return True

    def replace_audio(self, facts: RecordingFacts, write: Callable[[BinaryIO], None]) -> bool:
        """Write the audio of a recording anew; whole or not at all, whatever happens.

        Returns:
            Whether it was; False when the recording was discarded meanwhile.

        Raises:
            OSError: it could not be written. So does what `write` raises leave the former file.
        """
        target = str(self.audio_path(facts))
        files.write_beside(target, FILE_MODE, write)
        with self._audio_lock:
            if self._is_gone(facts):
                files.remove(files.temporary(target))
                return False
            files.take_over(target)
        return True

    def _is_gone(self, facts: RecordingFacts) -> bool:
        try:
            return self.read(self.sidecar_path(facts))[0].state in _GONE
        except (OSError, SidecarError):
            return False

    def _marker_of(self, facts: RecordingFacts | CallFacts) -> str:
        if isinstance(facts, CallFacts):
            at, item = facts.started_at, f"{checked_id(facts.call_id)}.call"
        else:
            at, item = facts.created_at, checked_id(facts.recording_id)
        return f"{day_of(at).replace('/', '')}-{item}"

    def _closed(self, recording: RecordingFacts) -> bool:
        """Whether nothing is left to do but to keep it and, one day, to prune it."""
        if recording.state is RecordingState.DISCARDED:
            return not any(path.exists() for path in self.audio_files(recording))
        if recording.state in (RecordingState.PRUNING, RecordingState.PRUNED):
            return True
        return _settled(recording) and not any(p.exists() for p in self.side_paths(recording))

    def reopened(self, recording: RecordingFacts) -> RecordingFacts:
        """An open recording as it is to be gone on with: settled but not joined, it is not over."""
        if not _settled(recording):
            return recording
        stored = recording.state is RecordingState.STORED
        return replace(
            recording,
            state=RecordingState.CAPTURED if stored else recording.state,
            channels=Channels.STEREO,
            audio_ms=None,
            size=None,
            sha256="",
        )

    def _marked(self, *, of_call: bool) -> Iterator[Marker]:
        """The markers of items with work to be done, with their sidecars in place."""
        for marker in self._markers.found(row=False, of_call=of_call):
            files.complete(marker.sidecar)
            yield marker

    def _write(self, path: Path, data: bytes, row: Row, closed: bool, durable: bool) -> None:
        target, folder, name = str(path), str(path.parent), self._marker_of(row[0])
        self._markers.begin(name)
        try:
            self._in_folder(self._markers.folder, lambda: self._markers.mark(name, row=closed))
            signature = self._in_folder(folder, lambda: files.replace(target, data, FILE_MODE))
            if durable:
                files.flush_folder(folder)
            self._markers.end(name, Written(*row, signature, closed))
        except OSError as error:
            self.refuse(error, path)

    def _in_folder(self, folder: str, write: Callable[[], T]) -> T:
        """Write; when the folder is not there yet, make it and write again."""
        try:
            return write()
        except FileNotFoundError:
            files.make_folder(self._root, folder, FOLDER_MODE)
            return write()


def _settled(recording: RecordingFacts) -> bool:
    """Whether it has been finished, as far as its facts say."""
    if recording.state is RecordingState.INTERRUPTED:
        return recording.audio_ms is not None
    return recording.state in (RecordingState.STORED, RecordingState.FAILED)
