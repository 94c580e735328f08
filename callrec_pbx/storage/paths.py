"""Where the files of recordings and calls lie, and what their sidecars say."""

import errno
import re
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePath
from typing import NoReturn

from callrec_pbx.audio import stereo
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import AudioFormat
from callrec_pbx.storage import files, named, serial
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError

MAX_SIDECAR = 8 * 1024 * 1024
"""More than this (bytes) is no sidecar of ours."""

_ID = re.compile(r"[0-9a-z]{20,32}")


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


class Paths:
    """The recordings directory: which file is where, and reading what is there."""

    def __init__(self, directory: Path, pbx_directory: str | PurePath | None = None) -> None:
        """Remember the directory; nothing is touched.

        Args:
            directory: Where it is for this process.
            pbx_directory: The same directory's path on the PBX, when that differs.
        """
        self.directory = directory
        self.pbx_directory = str(pbx_directory or directory).rstrip("/")
        self._root = str(directory)

    @staticmethod
    def is_id(text: str) -> bool:
        """Whether that is an id that may name files."""
        return _ID.fullmatch(text) is not None

    def audio_path(self, facts: RecordingFacts) -> Path:
        """Where the audio of a recording lies."""
        return Path(f"{self._root}/{_audio_name(facts)}")

    def side_paths(self, facts: RecordingFacts) -> tuple[Path, Path]:
        """Where the PBX writes the two channels of a recording until they are joined."""
        left, right = stereo.sides(f"{self._root}/{_audio_name(facts)}")
        return Path(left), Path(right)

    def encoded_path(self, facts: RecordingFacts) -> Path:
        """Where the encoded audio of a recording lies; of one that stays wav, the same as that."""
        stem = _audio_name(facts).removesuffix(".wav")
        return Path(f"{self._root}/{stem}.{facts.format}")

    def peaks_path(self, facts: RecordingFacts) -> Path:
        """Where the waveform of a recording lies."""
        return Path(f"{self._root}/{_audio_name(facts).removesuffix('.wav')}.peaks.json")

    def listen_path(self, facts: RecordingFacts) -> Path:
        """The file to listen to: the encoded one where there is one, else the WAV file."""
        return self.encoded_path(facts) if facts.encoded else self.audio_path(facts)

    def pbx_path(self, facts: RecordingFacts) -> str:
        """The audio's path as the PBX must be told it."""
        return f"{self.pbx_directory}/{_audio_name(facts)}"

    def sidecar_path(self, facts: RecordingFacts) -> Path:
        """Where the sidecar of a recording lies."""
        return Path(
            f"{self._root}/{day_of(facts.created_at)}/{checked_id(facts.recording_id)}.json"
        )

    def call_path(self, call: CallFacts) -> Path:
        """Where the sidecar of a call lies."""
        return Path(f"{self._root}/{day_of(call.started_at)}/{checked_id(call.call_id)}.call.json")

    def audio_files(self, facts: RecordingFacts) -> tuple[Path, ...]:
        """Every file that may hold a part of it."""
        path = self.audio_path(facts)
        whole = [path]
        whole += [path.with_suffix(f".{format_}") for format_ in AudioFormat if format_ != "wav"]
        whole.append(self.peaks_path(facts))
        return (
            *(Path(files.temporary(str(file))) for file in whole),
            *self.side_paths(facts),
            *named.paths_of(self.directory, facts),
            *reversed(whole),
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
            for path in Path(f"{self._root}/{day_of(day)}").glob("*.json"):
                if path.name.endswith(".call.json"):
                    continue
                with suppress(OSError, SidecarError):
                    if any(call in path.read_bytes() for call in wanted):
                        found.append(self.read(path)[0])
            day += timedelta(days=1)
        return [facts for facts in found if facts.call_id.encode() in wanted]

    def refuse(self, error: OSError, path: Path) -> NoReturn:
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


def _audio_name(facts: RecordingFacts) -> str:
    return f"{day_of(facts.created_at)}/{checked_id(facts.recording_id)}.wav"


def checked_id(item: str) -> str:
    """An id that may become a file name."""
    if _ID.fullmatch(item) is None:
        raise ValueError(
            f"id {item!r}: is not 20 to 32 of 0-9 and a-z; only our own ids name files"
        )
    return item


def day_of(at: datetime) -> str:
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
