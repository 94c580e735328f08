"""Files that are not where they should be: audio without a sidecar, sidecars in another folder."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callrec_pbx.audio import wav
from callrec_pbx.catalogue import audit, rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.written import item_of, note_written
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import AudioFormat, Channels, Outcome, RecordingState
from callrec_pbx.reconcile import compare, look
from callrec_pbx.reconcile.compare import SIDES, TEMPORARY, WAV
from callrec_pbx.reconcile.ended import FOUND
from callrec_pbx.reconcile.finding import Finding, Kind, What
from callrec_pbx.reconcile.mend import Mender, Way
from callrec_pbx.storage import files
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError
from callrec_pbx.storage.store import FOLDER_MODE

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_TIME_DIGITS = 10
_ENCODED = tuple(str(one) for one in AudioFormat if one is not AudioFormat.WAV)


class Keeper:
    """Puts files where they belong, or gives them what they lack."""

    def __init__(self, place: Place, way: Way, mender: Mender) -> None:
        """Remember where and how."""
        self._place = place
        self._way = way
        self._mender = mender

    def misplaced(self, path: Path, target: Path, *, of_call: bool) -> Iterator[Finding]:
        """A sidecar that describes what would lie elsewhere, or is called otherwise."""
        item = target.name.partition(".")[0]
        what = What.CALL if of_call else What.RECORDING
        detail = f"it lies at {self._relative(path)}"
        if not self._way.mend:
            yield Finding(Kind.SIDECAR_MISPLACED, what, item, detail)
            return
        with self._place.store.holding(item):
            error = self._mender.tried(lambda: self._move(path, target, of_call=of_call))
        yield Finding(Kind.SIDECAR_MISPLACED, what, item, detail, mended=not error, error=error)
        if not error:
            yield from (
                self._mender.call(target, item)
                if of_call
                else self._mender.recording(target, verify=False)
            )

    def _move(self, path: Path, target: Path, *, of_call: bool) -> None:
        store = self._place.store
        read: Callable[[Path], Sidecar | CallSidecar] = (
            store.read_call_sidecar if of_call else store.read_sidecar
        )
        mine = read(path)
        try:
            there: Sidecar | CallSidecar | None = read(target)
        except FileNotFoundError:
            there = None
        if there is not None and replace(there, origin=mine.origin) == mine:
            path.unlink()
            return
        if there is not None and there.origin != "row":
            raise SidecarError(
                f"another one lies at {self._relative(target)}; see which is right, and remove the "
                "other"
            )
        files.make_folder(str(store.directory), str(target.parent), FOLDER_MODE)
        path.rename(target)
        files.flush_folder(str(target.parent))

    def broken(self, day: datetime, item: str, path: Path, error: Exception) -> Iterator[Finding]:
        """A sidecar that cannot be read, of a recording that has no row."""
        detail = str(error).removeprefix(f"{path}: ")
        audio = self._files(day, item)
        mendable = isinstance(error, SidecarError) and bool(look.AUDIO & audio.keys())
        if not self._way.mend or not mendable:
            yield Finding(Kind.SIDECAR_BROKEN, What.RECORDING, item, detail)
            return
        with self._place.store.holding(item):
            failed = self._mender.tried(lambda: self._mender.set_aside(path))
        if not failed:
            failed = next((one.error for one in self.orphan(day, item) if one.error), "")
        yield Finding(
            Kind.SIDECAR_BROKEN, What.RECORDING, item, detail, mended=not failed, error=failed
        )

    def orphan(self, day: datetime, item: str) -> Iterator[Finding]:
        """Audio with the name of a recording, and no sidecar beside it."""
        store = self._place.store
        sidecar = look.folder_of(store, day) / f"{item}.{look.SIDECAR}"
        row = look.rows_of(self._place.engine, [item], []).recordings.get(item)
        if sidecar.exists() or (row is not None and store.sidecar_path(row[0]) == sidecar):
            return
        if row is not None:
            yield from self._elsewhere(day, row[0])
            return
        names = ", ".join(sorted(self._files(day, item)))
        if not names:
            return
        if not self._way.mend:
            yield Finding(Kind.AUDIO_ORPHANED, What.RECORDING, item, names)
            return
        with store.holding(item):
            error = self._mender.tried(lambda: self._describe(day, item))
        yield Finding(
            Kind.AUDIO_ORPHANED, What.RECORDING, item, names, mended=not error, error=error
        )

    def _elsewhere(self, day: datetime, facts: RecordingFacts) -> Iterator[Finding]:
        """Audio of a recording whose folder is that of another day."""
        store = self._place.store
        folder, target = look.folder_of(store, day), store.audio_path(facts).parent
        item = facts.recording_id
        if store.known(facts) is None and not self._way.mend:
            return  # its sidecar lies here, or is missing: that is said already
        moved, error = [], ""
        for name in sorted(self._files(day, item)):
            source, wanted = folder / f"{item}.{name}", target / f"{item}.{name}"
            if self._way.mend and not wanted.exists() and _is_what_was(source, name, facts):
                files.make_folder(str(store.directory), str(target), FOLDER_MODE)
                source.rename(wanted)
            elif self._way.mend:
                error = f"{name} is not what belongs there, or something lies there"
            moved.append(name)
        if moved:
            yield Finding(
                Kind.AUDIO_MISPLACED,
                What.RECORDING,
                item,
                f"{', '.join(moved)} in {self._relative(folder)}",
                mended=self._way.mend and not error,
                error=error,
            )

    def _describe(self, day: datetime, item: str) -> None:
        """Give audio that nobody knows a sidecar and a row, so that it is listed and pruned."""
        store = self._place.store
        seen = self._files(day, item)
        ended_at = max(day, *(file.changed_at for file in seen.values()))
        sides = any(side in seen for side in SIDES)
        facts = RecordingFacts(
            recording_id=item,
            call_id=_call_id(item),
            leg="",
            channel="",
            owner="",
            state=RecordingState.INTERRUPTED,
            created_at=day,
            ended_at=ended_at,
            reason=FOUND,
            retention=self._way.retention,
            channels=Channels.STEREO if sides else Channels.MIXED,
        )
        for name in _ENCODED:
            if name in seen:
                facts = replace(facts, format=AudioFormat(name))
                path = store.encoded_path(facts)
                facts = replace(
                    facts, encoded_size=seen[name].size, encoded_sha256=wav.sha256(path)
                )
                break
        if WAV in seen or sides:
            facts = finish(store, facts, wait_s=0, names=self._way.names)
        else:
            # It takes time to load that few commands need.
            from callrec_pbx.audio import sound  # noqa: PLC0415

            with sound.opened(store.encoded_path(facts)) as opened:
                length_ms = opened.frames * 1000 // opened.rate
            facts = replace(facts, has_wav=False, audio_ms=length_ms)
        call = CallFacts(
            facts.call_id, (), day, ended_at=ended_at, outcome=Outcome.RECORDED, reason=FOUND
        )
        store.write_call(call, durable=True, origin="audio")
        store.write_sidecar(facts, call, durable=True, origin="audio")
        items = [item_of(call, None), item_of(facts, None)]
        detail: dict[str, audit.Detail] = {"found": str(Kind.AUDIO_ORPHANED)}
        entry = audit.Entry("", self._way.by, audit.Action.MEND, "recording", item, detail)
        with self._place.engine.begin() as connection:
            rows.write(connection, items)
            audit.append(connection, entry)
        for one in items:
            note_written(store, one)

    def temporary(self, path: Path) -> Iterator[Finding]:
        """What was left of a sidecar that was being written."""
        try:
            changed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:
            return
        if self._way.time - changed_at > compare.STALE:
            error = self._mender.tried(path.unlink) if self._way.mend else ""
            mended = self._way.mend and not error
            item = self._relative(path)
            yield Finding(Kind.TEMPORARY_FILE, What.FILE, item, mended=mended, error=error)

    def markers(self) -> Iterator[Finding]:
        """Markers of what has no sidecar, or of rows that are there."""
        store = self._place.store
        for marker in store.markers():
            path = Path(marker.sidecar)
            if path.exists() or path.with_name(path.name + TEMPORARY).exists():
                if marker.row and self._way.mend:
                    self._settle(path, of_call=marker.of_call)
                continue
            day = datetime(*(int(part) for part in path.parts[-4:-1]), tzinfo=UTC)  # type: ignore[misc, arg-type]
            if self._way.time - day > 2 * timedelta(days=1):
                if self._way.mend:
                    store.unmark(marker)
                what = What.CALL if marker.of_call else What.RECORDING
                item = path.name.partition(".")[0]
                yield Finding(Kind.MARKER_LEFT, what, item, mended=self._way.mend)

    def _settle(self, path: Path, *, of_call: bool) -> None:
        """Take a marker away whose row agrees: whoever wrote it did not come to that."""
        item, engine, store = path.name.partition(".")[0], self._place.engine, self._place.store
        try:
            if of_call:
                row = look.rows_of(engine, [], [item]).calls.get(item)
                known = store.read_call_sidecar(path)
                agree = row == (known.call, known.tombstone)
            else:
                found = look.rows_of(engine, [item], []).recordings.get(item)
                sidecar = store.read_sidecar(path)
                agree, row = found == (sidecar.recording, sidecar.tombstone), found  # type: ignore[assignment]
        except (OSError, SidecarError):
            return
        if agree and row is not None:
            store.written(*row)

    def _files(self, day: datetime, item: str) -> dict[str, compare.FileSeen]:
        """The files of that name in the folder of a day, sidecars not among them."""
        folder = look.folder_of(self._place.store, day)
        found = {}
        for path in folder.glob(f"{item}.*"):
            ending = path.name.partition(".")[2]
            if ending in look.ENDINGS and ending not in (look.SIDECAR, look.CALL_SIDECAR):
                status = path.stat()
                changed_at = datetime.fromtimestamp(status.st_mtime, UTC)
                found[ending] = compare.FileSeen(status.st_size, changed_at)
        return found

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._place.store.directory).as_posix()


def _is_what_was(path: Path, name: str, facts: RecordingFacts) -> bool:
    """Whether a file is the one that the recording's facts describe."""
    if name == WAV:
        return facts.has_wav and wav.sha256(path) == facts.sha256
    if name == str(facts.format):
        return facts.encoded and wav.sha256(path) == facts.encoded_sha256
    return name == compare.PEAKS or name in SIDES


def _call_id(recording_id: str) -> str:
    """An id for the call of a recording that is all that is known of it; the same each time."""
    digest = int.from_bytes(hashlib.sha256(f"call of {recording_id}".encode()).digest())
    rest = "".join(_ALPHABET[digest >> 5 * place & 31] for place in range(16))
    return recording_id[:_TIME_DIGITS] + rest
