"""Where recordings lie, and how their sidecars are written so that a crash leaves none half done.

A sidecar is written to a temporary file, flushed to the disk, and renamed. An empty marker file in
`open/` is made before it and removed when the item is finished, so that what a crash left open is
found without walking the tree. The marker carries the day in its name and nothing in it: its
creation reaches the journal no later than the sidecar's own flush.

One thread at a time may write about one item; different items may be written side by side.
"""

import errno
import re
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import BinaryIO, NoReturn

import structlog

from callrec_pbx.audio import stereo
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import Channels, RecordingState
from callrec_pbx.storage import files, serial
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError, Tombstone

FOLDER_MODE = 0o2770
"""Day folders pass their group on, so that PBX and listener share what lies in them."""
FILE_MODE = 0o660
MAX_SIDECAR = 8 * 1024 * 1024
"""More than this (bytes) is no sidecar of ours."""

_ID = re.compile(r"[0-9a-z]{20,32}")
_MARKER = re.compile(r"(\d{4})(\d\d)(\d\d)-([0-9a-z]{20,32})(\.call)?")
_DAY_FOLDERS = (re.compile(r"\d{4}"), re.compile(r"\d\d"), re.compile(r"\d\d"))
_SIDECAR = re.compile(r"[0-9a-z]{20,32}(\.call)?\.json")

_GONE = frozenset({RecordingState.DISCARDED, RecordingState.PRUNING, RecordingState.PRUNED})
"""States in which there is to be no audio."""

log = structlog.get_logger(__name__)


class SpoolError(OSError):
    """The recordings directory refuses a file; the administrator must act as the text says.

    Attributes:
        reason: `spool_not_writable`, `disk_full` or `spool_missing`, as the account shows it.
        detail: What happened and the remedy.
    """

    def __init__(self, number: int, reason: str, detail: str) -> None:
        super().__init__(number, detail)
        self.reason = reason
        self.detail = detail

    def __str__(self) -> str:
        """What happened and the remedy, without the number."""
        return self.detail


class RecordingStore:
    """The recordings directory as the listener and, by another name perhaps, the PBX see it."""

    def __init__(self, directory: Path, pbx_directory: str | PurePath | None = None) -> None:
        """Remember the directory; nothing is touched.

        Args:
            directory: Where it is for this process.
            pbx_directory: The same directory's path on the PBX, when that differs.
        """
        self.directory = directory
        self.pbx_directory = str(pbx_directory or directory).rstrip("/")
        self._root = str(directory)
        self._open = f"{self._root}/open"
        self._audio_lock = threading.Lock()

    def audio_path(self, facts: RecordingFacts) -> Path:
        """Where the audio of a recording lies."""
        return Path(f"{self._root}/{_audio_name(facts)}")

    def side_paths(self, facts: RecordingFacts) -> tuple[Path, Path]:
        """Where the PBX writes the two channels of a recording until they are joined."""
        left, right = stereo.sides(f"{self._root}/{_audio_name(facts)}")
        return Path(left), Path(right)

    def pbx_path(self, facts: RecordingFacts) -> str:
        """The audio's path as the PBX must be told it."""
        return f"{self.pbx_directory}/{_audio_name(facts)}"

    def sidecar_path(self, facts: RecordingFacts) -> Path:
        """Where the sidecar of a recording lies."""
        return Path(f"{self._root}/{_day(facts.created_at)}/{_checked(facts.recording_id)}.json")

    def call_path(self, call: CallFacts) -> Path:
        """Where the sidecar of a call lies."""
        return Path(f"{self._root}/{_day(call.started_at)}/{_checked(call.call_id)}.call.json")

    def write_sidecar(
        self,
        recording: RecordingFacts,
        call: CallFacts,
        tombstone: Tombstone | None = None,
        *,
        durable: bool = False,
    ) -> None:
        """Write a recording's sidecar; whole or not at all, whatever happens.

        Args:
            recording: The recording.
            call: The call it belongs to, as known now.
            tombstone: Set when the recording has been pruned.
            durable: Also flush the folder, so that a power failure cannot bring the former one
                back. Costs a second flush.

        Raises:
            SpoolError: it could not be written.
        """
        self._write(
            self.sidecar_path(recording),
            serial.dump(Sidecar(recording, call, tombstone)),
            self._marker(recording.created_at, recording.recording_id, ""),
            self._closed(recording),
            durable,
        )

    def write_call(
        self, call: CallFacts, tombstone: Tombstone | None = None, *, durable: bool = False
    ) -> None:
        """Write a call's own sidecar, which brings a call without any recording back by rebuild.

        Raises:
            SpoolError: it could not be written.
        """
        self._write(
            self.call_path(call),
            serial.dump(CallSidecar(call, tombstone)),
            self._marker(call.started_at, call.call_id, ".call"),
            call.ended_at is not None,
            durable,
        )

    def read(self, path: Path) -> tuple[RecordingFacts, CallFacts]:
        """Read a recording's sidecar.

        Raises:
            SidecarError: it is broken; the text names file, field and value.
            OSError: it cannot be read.
        """
        sidecar = self.read_sidecar(path)
        return sidecar.recording, sidecar.call

    def read_sidecar(self, path: Path) -> Sidecar:
        """Read a recording's sidecar with its tombstone. Raises as `read` does."""
        try:
            return serial.load(_content(path))
        except SidecarError as error:
            raise SidecarError(f"{path}: {error}") from None

    def read_call(self, path: Path) -> CallFacts:
        """Read a call's sidecar. Raises as `read` does."""
        return self.read_call_sidecar(path).call

    def read_call_sidecar(self, path: Path) -> CallSidecar:
        """Read a call's sidecar with its tombstone. Raises as `read` does."""
        try:
            return serial.load_call(_content(path))
        except SidecarError as error:
            raise SidecarError(f"{path}: {error}") from None

    def unfinished(self) -> list[RecordingFacts]:
        """Recordings that a crash left open, oldest first.

        A discarded recording whose audio is still there is no work for anybody else: its audio is
        deleted here. One whose channels could not be joined is to be finished again.
        """
        found: list[RecordingFacts] = []
        for marker, path in self._marked(call=False):
            try:
                facts = self.read(path)[0]
                if facts.state is RecordingState.DISCARDED:
                    self.delete_audio(facts)
                elif self._closed(facts):
                    files.remove(marker)
                else:
                    found.append(self._reopened(facts))
            except FileNotFoundError:
                continue  # its first sidecar was never written, so it was never started
            except (OSError, SidecarError) as error:
                log.warning("unfinished_recording", file=str(path), error=str(error))
        return found

    def open_calls(self) -> list[CallFacts]:
        """Calls whose end was never written, oldest first."""
        found: list[CallFacts] = []
        for marker, path in self._marked(call=True):
            try:
                call = self.read_call(path)
                if call.ended_at is None:
                    found.append(call)
                else:
                    files.remove(marker)
            except FileNotFoundError:
                continue
            except (OSError, SidecarError) as error:
                log.warning("open_call", file=str(path), error=str(error))
        return found

    def find_call(self, recording: RecordingFacts) -> CallFacts | None:
        """The call of a recording, by its own sidecar; None when that was never written."""
        try:
            path = self.call_path(self.read(self.sidecar_path(recording))[1])
            return self.read_call(path)
        except (OSError, SidecarError):
            return None

    def recordings_of(self, calls: Collection[CallFacts]) -> list[RecordingFacts]:
        """The recordings of a few calls, looked for in the folders of the days that they span."""
        wanted = {call.call_id.encode() for call in calls}
        if not wanted:
            return []
        found = []
        day = min(call.started_at for call in calls)
        while day <= datetime.now(UTC) + timedelta(days=1):
            for path in Path(f"{self._root}/{_day(day)}").glob("*.json"):
                if path.name.endswith(".call.json"):
                    continue
                with suppress(OSError, SidecarError):
                    if any(call in path.read_bytes() for call in wanted):
                        found.append(self.read(path)[0])
            day += timedelta(days=1)
        return [facts for facts in found if facts.call_id.encode() in wanted]

    def sidecars(self) -> Iterator[Path]:
        """Every sidecar below the directory, of recordings and of calls, in order of days."""
        yield from files.walk(self._root, _DAY_FOLDERS, _SIDECAR)

    def delete_audio(self, facts: RecordingFacts, *, durable: bool = False) -> bool:
        """Delete the audio of a recording, every file of it; the sidecar stays.

        Returns:
            Whether there was any.

        Raises:
            SpoolError: it is there and could not be deleted.
        """
        path = self.audio_path(facts)
        with self._audio_lock:
            existed = [self._delete(file) for file in self._audio_files(facts)]
        try:
            if any(existed) and durable:
                files.flush_folder(str(path.parent))
            if facts.state is RecordingState.DISCARDED:
                files.remove(self._marker(facts.created_at, facts.recording_id, ""))
        except OSError as error:
            self._refuse(error, path)
        return any(existed)

    def _delete(self, path: Path) -> bool:
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        except OSError as error:
            self._refuse(error, path)
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

    def _audio_files(self, facts: RecordingFacts) -> tuple[Path, ...]:
        """Every file that may hold a part of it."""
        path = self.audio_path(facts)
        return Path(files.temporary(str(path))), *self.side_paths(facts), path

    def _marker(self, at: datetime, item: str, suffix: str) -> str:
        return f"{self._open}/{_day(at).replace('/', '')}-{_checked(item)}{suffix}"

    def _closed(self, recording: RecordingFacts) -> bool:
        """Whether nothing is left to do but to keep it and, one day, to prune it."""
        if recording.state is RecordingState.DISCARDED:
            return not any(path.exists() for path in self._audio_files(recording))
        if recording.state in (RecordingState.PRUNING, RecordingState.PRUNED):
            return True
        return _settled(recording) and not any(p.exists() for p in self.side_paths(recording))

    def _reopened(self, recording: RecordingFacts) -> RecordingFacts:
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

    def _marked(self, *, call: bool) -> Iterator[tuple[str, Path]]:
        for name in files.names(self._open):
            match = _MARKER.fullmatch(name)
            if match is None or (match[5] is not None) is not call:
                continue
            year, month, day, item, suffix = match.groups()
            sidecar = f"{self._root}/{year}/{month}/{day}/{item}{suffix or ''}.json"
            files.complete(sidecar)
            yield f"{self._open}/{name}", Path(sidecar)

    def _write(self, path: Path, data: bytes, marker: str, finished: bool, durable: bool) -> None:
        target, folder = str(path), str(path.parent)
        try:
            if not finished:
                self._in_folder(self._open, lambda: files.mark(marker, FILE_MODE))
            self._in_folder(folder, lambda: files.replace(target, data, FILE_MODE))
            if durable:
                files.flush_folder(folder)
            if finished:
                files.remove(marker)
        except OSError as error:
            self._refuse(error, path)

    def _in_folder(self, folder: str, write: Callable[[], None]) -> None:
        """Write; when the folder is not there yet, make it and write again."""
        try:
            write()
        except FileNotFoundError:
            files.make_folder(self._root, folder, FOLDER_MODE)
            write()

    def _refuse(self, error: OSError, path: Path) -> NoReturn:
        number = error.errno or errno.EIO
        where, what = self.directory, error.strerror or str(error)
        if number in (errno.ENOSPC, errno.EDQUOT):
            reason = "disk_full"
            remedy = f"make room on the file system of {where}"
        elif not self.directory.is_dir():
            reason = "spool_missing"
            remedy = f"create or mount the recordings directory {where}"
        else:
            reason = "spool_not_writable"
            remedy = f"let the user of callrec-pbx write below {where}"
        raise SpoolError(number, reason, f"{path}: {what}; {remedy}") from error


def _settled(recording: RecordingFacts) -> bool:
    """Whether it has been finished, as far as its facts say."""
    if recording.state is RecordingState.INTERRUPTED:
        return recording.audio_ms is not None
    return recording.state in (RecordingState.STORED, RecordingState.FAILED)


def _audio_name(facts: RecordingFacts) -> str:
    return f"{_day(facts.created_at)}/{_checked(facts.recording_id)}.wav"


def _checked(item: str) -> str:
    """An id that may become a file name."""
    if _ID.fullmatch(item) is None:
        raise ValueError(
            f"id {item!r}: is not 20 to 32 of 0-9 and a-z; only our own ids name files"
        )
    return item


def _day(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError(f"time {at!r}: has no time zone; use aware UTC datetimes")
    if at.tzinfo is not UTC:
        at = at.astimezone(UTC)
    return f"{at.year:04d}/{at.month:02d}/{at.day:02d}"


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        data = file.read(MAX_SIDECAR + 1)
    if len(data) > MAX_SIDECAR:
        raise SidecarError(f"larger than {MAX_SIDECAR} bytes")
    return data
