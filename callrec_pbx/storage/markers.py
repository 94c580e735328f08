"""Markers in `open/`: what a crash leaves to be done is found without walking the tree.

An item is a recording or a call. While there is work to be done on it, an empty file in `open/` has
its day and id for a name. When its last sidecar is written, that name gets `.row` at its end: from
now on only the row is missing, and when the row is committed, that marker goes too. So whatever is
killed when, either the row says what the sidecar says, or there is a marker.

What this process has written last about each item is remembered until then, so that a row that is
committed need not be compared with a file.
"""

import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.storage import files
from callrec_pbx.storage.serial import Tombstone

FOLDER = "open"
ROW = ".row"
FILE_MODE = 0o660
_STRIPES = 32

_NAME = re.compile(r"(\d{4})(\d\d)(\d\d)-([0-9a-z]{20,32})(\.call)?(\.row)?")

Facts = RecordingFacts | CallFacts


@dataclass(frozen=True, slots=True)
class Written:
    """What the sidecar of an item says, as far as its row has it.

    Attributes:
        signature: Tells the sidecar from any other of that name.
        closed: Whether only the row was missing when it was written.
    """

    facts: Facts
    tombstone: Tombstone | None
    signature: files.Signature
    closed: bool

    def says(self, facts: Facts, tombstone: Tombstone | None) -> bool:
        """Whether that is what it says."""
        return self.tombstone == tombstone and (self.facts is facts or self.facts == facts)


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker that was found.

    Attributes:
        sidecar: The path of the item's sidecar.
        of_call: Whether the item is a call, else a recording.
        row: Whether only the row is missing.
    """

    name: str
    sidecar: str
    of_call: bool
    row: bool


class Markers:
    """The markers of one recordings directory."""

    def __init__(self, root: str) -> None:
        """Remember the directory; nothing is touched."""
        self._root = root
        self.folder = f"{root}/{FOLDER}"
        # None: it is being written, or could not be; nobody but who writes knows what it says.
        self._last: dict[str, Written | None] = {}
        self._committed: set[str] = set()
        self._locks = tuple(threading.Lock() for _ in range(_STRIPES))

    def _lock(self, name: str) -> threading.Lock:
        return self._locks[hash(name) % _STRIPES]

    def path(self, name: str) -> str:
        """Where the marker of that name is."""
        return f"{self.folder}/{name}"

    def begin(self, name: str) -> None:
        """A sidecar of that item is about to be written; no marker of it goes until it is."""
        with self._lock(name):
            self._last[name] = None
            self._committed.discard(name)

    def mark(self, name: str, *, row: bool) -> None:
        """Make the marker, if it is not there.

        Raises:
            OSError: it cannot be made.
        """
        files.mark(self.path(name + ROW if row else name), FILE_MODE)

    def end(self, name: str, written: Written) -> None:
        """The sidecar is written."""
        with self._lock(name):
            if written.closed:
                files.remove(self.path(name))
            self._last[name] = written

    def last(self, name: str) -> Written | None:
        """What this process has written last and not seen committed, where it is known."""
        return self._last.get(name)

    def committed(
        self,
        name: str,
        facts: Facts,
        tombstone: Tombstone | None,
        sidecar: str,
        read: Callable[[], Written | None],
    ) -> Written | None:
        """The row of an item is committed (or refused for good): its marker may go.

        Args:
            name: Its marker.
            facts: What the row says now.
            tombstone: Likewise.
            sidecar: Where its sidecar is.
            read: Reads that; None: it cannot be read.

        Returns:
            What the sidecar says, when the row does not: it is to be written again.
        """
        with self._lock(name):
            last = self._last.get(name)
            if last is None and name in self._last:
                return None
            if last is None or (last.closed and files.signature(sidecar) != last.signature):
                last = read()
                if last is None:
                    return None
            if not last.says(facts, tombstone):
                self._last[name] = last
                return last
            # Another process may have done what was left to do.
            if last.closed or not files.exists(self.path(name)):
                self._forget(name)
            elif name in self._last:
                self._committed.add(name)
        return None

    def close(self, name: str) -> None:
        """Nothing is left to do but the row, which may be committed already."""
        with self._lock(name):
            last = self._last.get(name)
            if last is None and name in self._last:
                return
            if name in self._committed:
                self._forget(name)
                return
            if not files.exists(self.path(name)):
                return
            self.mark(name, row=True)
            files.remove(self.path(name))
            if last is not None:
                self._last[name] = Written(last.facts, last.tombstone, last.signature, closed=True)

    def _forget(self, name: str) -> None:
        files.remove(self.path(name + ROW))
        files.remove(self.path(name))
        self._last.pop(name, None)
        self._committed.discard(name)

    def take(self, name: str, read: Callable[[], Written]) -> Written | None:
        """What the sidecar of an item says, unless this process has written about it already.

        Raises:
            OSError: It cannot be read; FileNotFoundError: there is none, and no marker any more.
        """
        with self._lock(name):
            if name in self._last:
                return None
            try:
                found = read()
            except FileNotFoundError:
                files.remove(self.path(name + ROW))
                raise
            self._last[name] = found
            return found

    def remove(self, marker: Marker) -> None:
        """Take a marker away, unless this process works on its item."""
        with self._lock(marker.name):
            if marker.name not in self._last:
                files.remove(self.path(marker.name + ROW if marker.row else marker.name))

    def found(self, *, row: bool, of_call: bool | None = None) -> Iterator[Marker]:
        """The markers there are, oldest day first.

        Args:
            row: Those of which only the row is missing, or the others.
            of_call: Those of calls, or of recordings; None: both.
        """
        for name in files.names(self.folder):
            match = _NAME.fullmatch(name)
            if match is None or (match[6] is not None) is not row:
                continue
            if of_call is not None and (match[5] is not None) is not of_call:
                continue
            year, month, day, item, suffix, _ = match.groups()
            sidecar = f"{self._root}/{year}/{month}/{day}/{item}{suffix or ''}.json"
            yield Marker(name.removesuffix(ROW), sidecar, suffix is not None, row)
