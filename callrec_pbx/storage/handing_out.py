"""Copying audio out of the recordings directory under names for people, and nothing over anything.

A copy is compared with the checksum that its recording was given, while it is read.
"""

import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.storage import naming
from callrec_pbx.storage.naming import Names
from callrec_pbx.storage.store import RecordingStore

BLOCK = 1 << 20
FILE_MODE = 0o600
FOLDER_MODE = 0o700
"""What people talk about is for whoever has asked for it."""

_PART = ".part"
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EACCES})


class HandOutError(Exception):
    """A recording cannot be handed out; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Audio:
    """What is to be copied.

    Attributes:
        sha256: What it was when it was stored.
    """

    recording_id: str
    path: Path
    size: int
    sha256: str


def audio_of(store: RecordingStore, facts: RecordingFacts, *, wav: bool) -> Audio:
    """The file of a recording that is handed out.

    Args:
        store: Where it is.
        facts: The recording.
        wav: The WAV file rather than what it was encoded to.

    Raises:
        HandOutError: there is none.
    """
    encoded = facts.encoded and not wav
    size, sha256 = (
        (facts.encoded_size, facts.encoded_sha256) if encoded else (facts.size, facts.sha256)
    )
    path = store.listen_path(facts) if encoded else store.audio_path(facts)
    if size is None or not sha256 or not path.is_file():
        if wav and facts.encoded and not facts.has_wav:
            raise HandOutError(f"its WAV file was replaced by {facts.format}; leave --wav out")
        raise HandOutError(f"it is {facts.state}, and there is no audio of it")
    return Audio(facts.recording_id, path, size, sha256)


class Folder:
    """Where copies go; it remembers what it has given to whom."""

    def __init__(self, path: Path, names: Names) -> None:
        """Remember the folder; nothing is made.

        Args:
            path: The folder.
            names: What the copies are called.
        """
        self.path = path
        self._names = names
        self._given: dict[str, str] = {}

    def name(self, audio: Audio, facts: RecordingFacts, call: CallFacts) -> tuple[str, bool]:
        """The path of a copy below the folder, and whether that very copy is there already."""
        there = False

        def is_taken(name: str) -> bool:
            nonlocal there
            if self._given.get(name.casefold(), audio.recording_id) != audio.recording_id:
                return True
            there = _is_copy(self.path / name, audio)
            return not there and os.path.lexists(self.path / name)

        extension = audio.path.suffix.removeprefix(".")
        stem = self._names.stem(facts, call)
        name = naming.free(stem, facts.recording_id, extension, is_taken)
        self._given[name.casefold()] = audio.recording_id
        return name, there

    def copy(self, audio: Audio, name: str, handing_out: Callable[[], None]) -> Path:
        """Copy a file, whole or not at all, over nothing.

        Args:
            audio: What.
            name: Where to, as `name` has said.
            handing_out: Called when all is there and true, before it gets its name.

        Raises:
            HandOutError: it is not what it was when it was stored, or the name is taken.
            OSError: it cannot be read or written.
        """
        target = self.path / name
        target.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
        part = target.with_name(f".{audio.recording_id}{_PART}")
        try:
            _copied(audio, part)
            handing_out()
            _publish(part, target)
        finally:
            part.unlink(missing_ok=True)
        return target


def _is_copy(path: Path, audio: Audio) -> bool:
    with suppress(FileNotFoundError, NotADirectoryError):
        if path.is_file() and path.stat().st_size == audio.size:
            with path.open("rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest() == audio.sha256
    return False


def _copied(audio: Audio, part: Path) -> None:
    part.unlink(missing_ok=True)
    digest = hashlib.sha256()
    flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    with audio.path.open("rb") as source, os.fdopen(os.open(part, flags, FILE_MODE), "wb") as out:
        while block := source.read(BLOCK):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
    if digest.hexdigest() != audio.sha256:
        raise HandOutError(
            f"{audio.path} is not what it was when it was stored (its SHA-256 differs); "
            "`callrec-pbx catalogue check` says more"
        )


def _publish(part: Path, target: Path) -> None:
    """Give the copy its name, unless somebody else has taken that meanwhile."""
    try:
        os.link(part, target)
    except FileExistsError:
        raise HandOutError(f"{target}: is there, and is something else; move it away") from None
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise HandOutError(f"{target}: is there, and is something else; move it away") from None
        part.rename(target)
