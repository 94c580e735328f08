"""Walks through a whole recordings directory and its catalogue, day by day.

However much there is, no more than the names of one day are in memory, and what was found out of
its place.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Protocol

from callrec_pbx import metrics
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.reconcile import compare, look
from callrec_pbx.reconcile.finding import Finding, Kind, What
from callrec_pbx.reconcile.holds import check_holds
from callrec_pbx.reconcile.mend import Mender, Way
from callrec_pbx.reconcile.place import Keeper
from callrec_pbx.storage.mounted import check_mounted
from callrec_pbx.storage.serial import SidecarError

BATCH = 200
"""Items whose rows are fetched at once."""
MOST_LATER = 10_000
"""Rows that were on their way are looked at again at the end; no more than these."""
LATER_S = 2.0
"""How long a row may take to be written, at the least."""

_ROW = frozenset({Kind.ROW_MISSING, Kind.ROW_DIFFERS})


class Verify(Protocol):
    """Says whose checksums are compared."""

    def wants(self, day: datetime, facts: RecordingFacts) -> bool:
        """Whether those of this recording are."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is looked at.

    Attributes:
        start: The first day, None: from the beginning.
        end: The day after the last, None: to the end.
        tenant: Only recordings and calls of this tenant; empty: all, and files that nobody knows.
        verify: Whose checksums are compared; None: nobody's.
    """

    start: datetime | None = None
    end: datetime | None = None
    tenant: str = ""
    verify: Verify | None = None

    @property
    def whole(self) -> bool:
        """Whether everything is looked at."""
        return self.start is None and self.end is None and not self.tenant


@dataclass(slots=True)
class Checked:
    """What came of a check.

    Attributes:
        recordings: How many were looked at, as `calls`.
        found: How many findings of each kind.
        mended: How many of them are mended.
        verified_bytes: How much audio was read to compare checksums.
        stopped: It was told to stop before it was through.
    """

    recordings: int = 0
    calls: int = 0
    found: Counter[Kind] = field(default_factory=Counter)
    mended: Counter[Kind] = field(default_factory=Counter)
    verified_bytes: int = 0
    stopped: bool = False

    @property
    def left(self) -> Counter[Kind]:
        """What is found and not mended."""
        return self.found - self.mended


def _nothing(*_: object) -> None:
    pass


class Check:
    """One check."""

    def __init__(
        self,
        place: Place,
        way: Way,
        scope: Scope,
        *,
        on_finding: Callable[[Finding], None] = _nothing,
        progress: Callable[[int, int], None] = _nothing,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        """Prepare it; nothing is looked at yet.

        Args:
            place: Catalogue and recordings directory.
            way: How to go about it.
            scope: What to look at.
            on_finding: Told each finding when it is mended, or is not.
            progress: Told the days that are done, and how many there are.
            stopping: Whether to stop; what is mended by then stays so.
        """
        self._place = place
        self._scope = scope
        self._way = way
        self._mender = Mender(place, way)
        self._keeper = Keeper(place, way, self._mender)
        self._on_finding = on_finding
        self._progress = progress
        self._stopping = stopping
        self._result = Checked()
        self._calls_seen: set[str] = set()
        self._orphans: list[tuple[datetime, str]] = []
        self._later: list[tuple[Path, bool]] = []
        self._missing: list[Path] = []
        self._unended: list[Path] = []

    def run(self) -> Checked:
        """Check.

        Raises:
            SpoolError: the recordings directory is not there, or empty though the catalogue is not.
            DBAPIError: the catalogue is not to be had.
        """
        began = time.monotonic()
        days = [day for day in self._days() if self._covers(day)]
        self._progress(0, len(days))
        for done, day in enumerate(days, start=1):
            self._day(day)
            self._progress(done, len(days))
            if self._stopping():
                self._result.stopped = True
                return self._result
        self._look_again(began)
        if not self._scope.tenant:
            for day, item in self._orphans:
                self._report(self._keeper.orphan(day, item))
        for path in self._missing:
            self._look_at(path)
        for path in self._unended:
            self._report(self._mender.call(path, path.name.partition(".")[0], quiet=True))
        if self._scope.whole:
            self._report(self._keeper.markers())
            self._report(check_holds(self._place, self._way))
        return self._result

    def _days(self) -> list[datetime]:
        store = self._place.store
        if not store.directory.is_dir():
            check_mounted(store.directory)
        found = look.days(store, self._place.engine)
        if found:
            check_mounted(store.directory)
        return found

    def _covers(self, day: datetime) -> bool:
        scope = self._scope
        if scope.start is not None and day + timedelta(days=1) <= scope.start:
            return False
        return scope.end is None or day < scope.end

    def _day(self, day: datetime) -> None:
        folder = look.folder(self._place.store, day)
        for batch in _batches(sorted(folder.items)):
            rows = look.rows_of(self._place.engine, batch, batch)
            for item in batch:
                if self._stopping():
                    return
                self._item(folder, item, rows)
        for item in look.ids_of_day(self._place.engine, day, calls=False):
            if look.SIDECAR not in folder.items.get(item, ()):
                self._without_sidecar(item)
        for item in look.ids_of_day(self._place.engine, day, calls=True):
            if look.CALL_SIDECAR not in folder.items.get(item, ()):
                self._call(folder.path / f"{item}.{look.CALL_SIDECAR}", item)
        if not self._scope.tenant:
            for name in folder.unknown:
                self._unknown(folder.path / name)

    def _item(self, folder: look.Folder, item: str, rows: look.Rows) -> None:
        entries = folder.items[item]
        if look.SIDECAR in entries:
            self._recording(folder, item, entries, rows)
        if look.CALL_SIDECAR in entries:
            self._call_sidecar(folder, item, rows)
        rest = entries.keys() - {look.SIDECAR, look.CALL_SIDECAR}
        sidecars = {f"{look.SIDECAR}{compare.TEMPORARY}", f"{look.CALL_SIDECAR}{compare.TEMPORARY}"}
        for ending in sorted(rest & sidecars):
            self._temporary(Path(entries[ending].path))
        if look.SIDECAR not in entries:
            if rest & look.AUDIO:
                self._orphans.append((folder.day, item))
            else:
                for ending in sorted(rest - sidecars):
                    self._unknown(Path(entries[ending].path))

    def _recording(
        self,
        folder: look.Folder,
        item: str,
        entries: dict[str, os.DirEntry[str]],
        rows: look.Rows,
    ) -> None:
        store, path = self._place.store, folder.path / f"{item}.{look.SIDECAR}"
        self._result.recordings += 1
        try:
            sidecar = store.read_sidecar(path)
        except FileNotFoundError:
            return
        except (SidecarError, OSError) as error:
            self._broken(folder.day, item, path, rows.recordings.get(item), error)
            return
        facts = sidecar.recording
        if self._scope.tenant and facts.tenant != self._scope.tenant:
            return
        if store.sidecar_path(facts) != path:
            self._report(self._keeper.misplaced(path, store.sidecar_path(facts), of_call=False))
            return
        seen = look.of_recording(
            self._place, sidecar, rows.recordings.get(item), look.sizes(entries)
        )
        kinds = {kind for kind, _ in compare.of_recording(seen, self._way.time)}
        verify = self._scope.verify is not None and self._scope.verify.wants(folder.day, facts)
        if verify:
            self._result.verified_bytes += facts.size or 0
        if kinds & _ROW and seen.row_on_its_way and len(self._later) < MOST_LATER:
            self._later.append((path, False))
        elif Kind.AUDIO_MISSING in kinds and len(self._missing) < MOST_LATER:
            self._missing.append(path)  # it may lie elsewhere
        elif kinds or verify:
            self._look_at(path, verify=verify)

    def _look_at(self, path: Path, *, verify: bool = False) -> None:
        """Look at a recording again, under its lock, and mend it."""
        try:
            found = self._mender.recording(path, verify=verify)
        except FileNotFoundError:
            return
        unknown = [one for one in found if one.kind is Kind.CALL_UNKNOWN]
        self._report(one for one in found if one.kind is not Kind.CALL_UNKNOWN)
        if unknown:
            sidecar = self._place.store.read_sidecar(path)
            self._call(self._place.store.call_path(sidecar.call), sidecar.call.call_id)

    def _broken(
        self,
        day: datetime,
        item: str,
        path: Path,
        row: look.RecordingRowSeen | None,
        error: Exception,
    ) -> None:
        if isinstance(error, SidecarError) and row is not None:
            self._report(self._mender.from_row(item))
        elif not self._scope.tenant:
            self._report(self._keeper.broken(day, item, path, error))

    def _call_sidecar(self, folder: look.Folder, item: str, rows: look.Rows) -> None:
        store, path = self._place.store, folder.path / f"{item}.{look.CALL_SIDECAR}"
        self._result.calls += 1
        try:
            sidecar = store.read_call_sidecar(path)
        except FileNotFoundError:
            return
        except (SidecarError, OSError):
            self._call(path, item)
            return
        if self._scope.tenant and sidecar.call.tenant != self._scope.tenant:
            return
        if store.call_path(sidecar.call) != path:
            self._report(self._keeper.misplaced(path, store.call_path(sidecar.call), of_call=True))
            return
        seen = look.of_call(self._place, sidecar, rows.calls.get(item))
        kinds = {kind for kind, _ in compare.of_call(seen, self._way.time)}
        if kinds & _ROW and seen.row_on_its_way and len(self._later) < MOST_LATER:
            self._later.append((path, True))
        elif Kind.NEVER_FINISHED in kinds and len(self._unended) < MOST_LATER:
            self._unended.append(path)  # how it ended follows from its recordings
        elif kinds:
            self._report(self._mender.call(path, item))

    def _call(self, path: Path, call_id: str) -> None:
        """Look at a call without a sidecar that can be read, once."""
        if call_id in self._calls_seen:
            return
        recordings = look.recordings_of_call(self._place.engine, call_id)
        if self._scope.tenant and all(one.tenant != self._scope.tenant for one in recordings):
            return
        self._calls_seen.add(call_id)
        self._report(self._mender.call(path, call_id, self._copies(recordings)))

    def _copies(self, recordings: Iterable[RecordingFacts]) -> list[CallFacts]:
        store, found = self._place.store, []
        for facts in recordings:
            try:
                found.append(store.read(store.sidecar_path(facts))[1])
            except (OSError, SidecarError):
                continue
        return found

    def _without_sidecar(self, recording_id: str) -> None:
        if self._scope.tenant:
            rows = look.rows_of(self._place.engine, [recording_id], []).recordings
            if not rows or rows[recording_id][0].tenant != self._scope.tenant:
                return
        found = self._mender.from_row(recording_id)
        self._report(found)
        if any(one.mended for one in found):
            rows = look.rows_of(self._place.engine, [recording_id], []).recordings
            self._look_at(self._place.store.sidecar_path(rows[recording_id][0]))

    def _look_again(self, began: float) -> None:
        """Look again at rows that were on their way."""
        if self._later:
            time.sleep(max(0.0, LATER_S - (time.monotonic() - began)))
        for path, of_call in self._later:
            if of_call:
                self._report(self._mender.call(path, path.name.partition(".")[0]))
            else:
                self._look_at(path)

    def _temporary(self, path: Path) -> None:
        self._report(self._keeper.temporary(path))

    def _unknown(self, path: Path) -> None:
        self._report([Finding(Kind.UNKNOWN_FILE, What.FILE, self._relative(path))])

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._place.store.directory).as_posix()

    def _report(self, found: Iterable[Finding]) -> None:
        for one in found:
            self._result.found[one.kind] += 1
            metrics.reconcile_found(one.kind)
            if one.mended:
                self._result.mended[one.kind] += 1
                metrics.reconcile_mended(one.kind)
            self._on_finding(one)


def _batches(items: list[str]) -> Iterator[list[str]]:
    left = iter(items)
    while batch := list(islice(left, BATCH)):
        yield batch
