"""Legal holds as files in the recordings directory; the table in the catalogue is an index of them.

Whoever deletes asks here, each time. What cannot be read holds everything.
"""

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import structlog

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.holds import Hold, covers, covers_call
from callrec_pbx.domain.words import HoldKind
from callrec_pbx.numbers import Numbers
from callrec_pbx.storage import files, locks, serial
from callrec_pbx.storage.serial import SidecarError

log = structlog.get_logger(__name__)

FOLDER = "holds"
FOLDER_MODE = 0o2770
FILE_MODE = 0o660
MAX_HOLD = 1024 * 1024
"""More than this (bytes) is no hold of ours."""

_ID = re.compile(r"[0-9a-z][0-9a-z-]{5,39}")
_NAME = re.compile(r"(.+)\.json")

Related = Callable[[CallFacts], Iterable[CallFacts]]
"""The calls that were merged with one, as the catalogue knows them."""


class HoldError(Exception):
    """A hold cannot be placed, read or released; the administrator must act as the text says."""


class HeldError(Exception):
    """What was to be deleted is under a legal hold; it can be deleted when that is released."""


@dataclass(frozen=True, slots=True)
class Broken:
    """A file that should be a hold and cannot be read, so that everything is held."""

    path: Path
    error: str

    def __str__(self) -> str:
        """What is wrong, and the remedy."""
        return (
            f"the legal hold in {self.path} cannot be read ({self.error}), so that everything is "
            "held; let the user of callrec-pbx read it, or restore it from a backup"
        )


_Signature = tuple[tuple[str, int, int, int], ...]


class Holds:
    """The legal holds of one recordings directory."""

    def __init__(self, directory: Path) -> None:
        """Remember the directory; nothing is read yet."""
        self._root = directory
        self.directory = directory / FOLDER
        self.related: Related | None = None
        """How to find calls that were merged, where there is a catalogue to ask."""
        self._numbers = Numbers()
        self._refreshing = threading.Lock()
        self._seen: _Signature | None = None
        self._holds: tuple[Hold, ...] = ()
        self._broken: tuple[Broken, ...] = ()

    def all(self) -> tuple[Hold, ...]:
        """Every hold that can be read, released ones too, oldest first."""
        self._refresh()
        return self._holds

    def active(self) -> tuple[Hold, ...]:
        """The holds that are not released, oldest first."""
        return tuple(hold for hold in self.all() if hold.active)

    def broken(self) -> tuple[Broken, ...]:
        """What cannot be read; while there is any, everything is held."""
        self._refresh()
        return self._broken

    def any(self) -> bool:
        """Whether anything may be held."""
        return bool(self.active() or self.broken())

    def reason(self, recording: RecordingFacts, call: CallFacts | None) -> str:
        """Why a recording may not be deleted; empty when it may.

        Args:
            recording: The recording.
            call: Its call, as its sidecar has it; None where it is not known.
        """
        if not self.any():
            return ""
        related, unsure = self._related_if_sure(call)
        held = (h for h in self.active() if covers(h, recording, call, related, self._numbers))
        return self._said(next(held, None)) or unsure

    def call_reason(self, call: CallFacts) -> str:
        """Why the personal data of a call may not be cleared; empty when it may.

        What its recordings say stands beside this: none that is held is pruned, and a call is not
        cleared before all its recordings are.
        """
        if not self.any():
            return ""
        related, unsure = self._related_if_sure(call)
        held = (h for h in self.active() if covers_call(h, call, related, self._numbers))
        return self._said(next(held, None)) or unsure

    def which(self, recording: RecordingFacts, call: CallFacts | None) -> tuple[Hold, ...]:
        """The active holds that cover a recording."""
        related = self._related(call)
        return tuple(
            hold for hold in self.active() if covers(hold, recording, call, related, self._numbers)
        )

    def which_call(self, call: CallFacts) -> tuple[Hold, ...]:
        """The active holds that cover a call itself."""
        related = self._related(call)
        return tuple(
            hold for hold in self.active() if covers_call(hold, call, related, self._numbers)
        )

    def covers(self, hold: Hold, recording: RecordingFacts, call: CallFacts | None) -> bool:
        """Whether a hold, which need not be placed, covers a recording."""
        return covers(hold, recording, call, self._related(call), self._numbers)

    def covers_call(self, hold: Hold, call: CallFacts) -> bool:
        """Whether a hold, which need not be placed, covers a call."""
        return covers_call(hold, call, self._related(call), self._numbers)

    def path(self, hold_id: str) -> Path:
        """Where a hold lies.

        Raises:
            HoldError: it is no id of a hold.
        """
        if _ID.fullmatch(hold_id) is None:
            raise HoldError(
                f"hold {hold_id!r}: is no id of a hold; `callrec-pbx hold list --all` shows them"
            )
        return self.directory / f"{hold_id}.json"

    def read(self, hold_id: str) -> Hold:
        """Read one hold.

        Raises:
            HoldError: there is none of that id, or it cannot be read.
        """
        path = self.path(hold_id)
        try:
            return _read(path)
        except FileNotFoundError:
            raise HoldError(
                f"hold {hold_id!r}: there is none; `callrec-pbx hold list --all` shows them"
            ) from None
        except (OSError, SidecarError) as error:
            raise HoldError(str(Broken(path, str(error)))) from error

    def write(self, hold: Hold) -> None:
        """Write a hold. When this returns, nothing that it covers is deleted any more, by anyone.

        Raises:
            HoldError: it could not be written.
        """
        path = self.path(hold.hold_id)
        try:
            try:
                self._write(path, hold)
            except FileNotFoundError:
                files.make_folder(str(self._root), str(self.directory), FOLDER_MODE)
                self._write(path, hold)
            self._wait_for_deletions()
        except OSError as error:
            raise HoldError(
                f"hold {hold.hold_id!r}: {path}: {error.strerror or error}; let this user write "
                f"below {self._root}, and try again"
            ) from error

    def _write(self, path: Path, hold: Hold) -> None:
        files.replace(str(path), serial.dump_hold(hold), FILE_MODE)
        files.flush_folder(str(self.directory))

    def _wait_for_deletions(self) -> None:
        """Let those finish that have not seen the hold; whoever begins now sees it."""
        with locks.held(self._root, "deletion-gate"), locks.held(self._root, "deletion"):
            pass

    def _related(self, call: CallFacts | None) -> tuple[CallFacts, ...]:
        if call is None or self.related is None:
            return ()
        return tuple(self.related(call))

    def _related_if_sure(self, call: CallFacts | None) -> tuple[tuple[CallFacts, ...], str]:
        """The calls that were merged with one, or why they are not known: then it may be held."""
        if all(hold.kind is HoldKind.RECORDING for hold in self.active()):
            return (), ""
        try:
            return self._related(call), ""
        except Exception as error:
            log.warning("hold_not_sure", call=call.call_id if call else "", reason=str(error))
            return (), (
                f"the catalogue cannot be asked whether it belongs to a held call ({error}), so "
                "that it is held until then"
            )

    def _said(self, found: Hold | None) -> str:
        if found is not None:
            return describe(found)
        return str(self._broken[0]) if self._broken else ""

    def _refresh(self) -> None:
        """Read the files again when one is new, changed or gone.

        One thread at a time: another must not go by what was known before.
        """
        with self._refreshing:
            self._read_changed()

    def _read_changed(self) -> None:
        try:
            seen = self._look()
        except FileNotFoundError:
            self._seen, self._holds, self._broken = None, (), ()
            return
        except OSError as error:
            self._seen = None
            self._broken = (Broken(self.directory, error.strerror or str(error)),)
            return
        if seen == self._seen:
            return
        holds: list[Hold] = []
        broken: list[Broken] = []
        for name, *_ in seen:
            path = self.directory / name
            try:
                holds.append(_read(path))
            except (OSError, SidecarError) as error:
                broken.append(Broken(path, str(error)))
        holds.sort(key=lambda hold: (hold.placed_at, hold.hold_id))
        # What could not be read may be readable the next time, without a change that shows.
        self._seen = None if broken else seen
        self._holds, self._broken = tuple(holds), tuple(broken)

    def _look(self) -> _Signature:
        found = []
        for path in self.directory.iterdir():
            if _NAME.fullmatch(path.name):
                try:
                    stat = path.stat()
                except FileNotFoundError:
                    # A name that leads nowhere is a hold that cannot be read, and not none.
                    found.append((path.name, 0, 0, 0))
                else:
                    found.append((path.name, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(sorted(found))


def describe(hold: Hold) -> str:
    """A hold in one line, for errors and lists: never the number that it is about."""
    return f"legal hold {hold.hold_id} on a {hold.kind}: {hold.reason}"


def _read(path: Path) -> Hold:
    with path.open("rb") as file:
        data = file.read(MAX_HOLD + 1)
    if len(data) > MAX_HOLD:
        raise SidecarError(f"larger than {MAX_HOLD} bytes")
    hold = serial.load_hold(data)
    if f"{hold.hold_id}.json" != path.name:
        raise SidecarError(f"describes {hold.hold_id}; it was renamed or copied")
    return hold
