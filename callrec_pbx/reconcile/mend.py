"""Looks at one recording or call under its lock, and mends what can be without losing anything.

What was looked at without the lock may have been in the middle of a change: what counts is what is
seen here.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import structlog
from sqlalchemy.exc import DBAPIError

from callrec_pbx.audio import wav
from callrec_pbx.audio.wav import WavError
from callrec_pbx.catalogue import audit, rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import is_outage
from callrec_pbx.catalogue.written import item_of, note_written
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import FollowUp, RecordingState
from callrec_pbx.reconcile import compare, look
from callrec_pbx.reconcile.compare import TEMPORARY, WAV, Found
from callrec_pbx.reconcile.ended import end_call, end_recording, is_stub
from callrec_pbx.reconcile.finding import Finding, Kind, What
from callrec_pbx.storage import files
from callrec_pbx.storage.finish import finish
from callrec_pbx.storage.holds import HeldError
from callrec_pbx.storage.locks import BusyError
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError, Tombstone

ASIDE = "set-aside"
"""Folder of what was replaced: sidecars that cannot be read, copies."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Way:
    """How a check goes about it.

    Attributes:
        mend: Whether to mend what can be, or only to say what is found.
        by: In whose name, for the audit trail.
        names: Whether recordings get names for people on the disk.
        retention: The plan of what is found without any.
        now: The time to judge by.
    """

    mend: bool = False
    by: str = "check"
    names: bool = False
    retention: str = "unlimited"
    now: datetime | None = None

    @property
    def time(self) -> datetime:
        """The time to judge by."""
        return self.now or datetime.now(UTC)


class Mender:
    """Looks at single items, and mends them."""

    def __init__(self, place: Place, way: Way) -> None:
        """Remember where and how."""
        self._place = place
        self._way = way

    def recording(self, path: Path, *, verify: bool) -> list[Finding]:
        """Look at a recording under its lock.

        Args:
            path: Its sidecar.
            verify: Whether to compare the checksums of its audio.

        Returns:
            What was found; nothing when somebody else is at work on it.

        Raises:
            SidecarError: the sidecar cannot be read.
            OSError: likewise, or a file cannot be read.
            DBAPIError: the catalogue is not to be had.
        """
        recording_id = path.name.partition(".")[0]
        try:
            with self._place.store.holding(recording_id, wait=False):
                return self._recording(self._place.store.read_sidecar(path), verify)
        except BusyError:
            return []

    def _recording(self, sidecar: Sidecar, verify: bool) -> list[Finding]:
        seen = self._seen(sidecar)
        found = compare.of_recording(seen, self._way.time)
        if verify and compare.is_over(seen.facts):
            found += self._content(seen.facts, {kind for kind, _ in found})
        wanted = [kind for kind, _ in found]
        if not self._way.mend or not wanted:
            return _findings(What.RECORDING, seen.facts.recording_id, found)
        error = self.tried(lambda: self._mend_recording(sidecar, wanted, seen))
        again = self._place.store.read_sidecar(self._place.store.sidecar_path(sidecar.recording))
        left = {kind for kind, _ in compare.of_recording(self._seen(again), self._way.time)}
        left |= {Kind.CHECKSUM_DIFFERS, Kind.HEADER_DAMAGED, Kind.CALL_UNKNOWN}
        return _findings(What.RECORDING, seen.facts.recording_id, found, left, error)

    def _seen(self, sidecar: Sidecar) -> compare.RecordingSeen:
        facts = sidecar.recording
        row = look.rows_of(self._place.engine, [facts.recording_id], []).recordings
        files_now = look.files_now(self._place.store, facts)
        return look.of_recording(self._place, sidecar, row.get(facts.recording_id), files_now)

    def _mend_recording(
        self, sidecar: Sidecar, wanted: list[Kind], seen: compare.RecordingSeen
    ) -> None:
        store, facts = self._place.store, sidecar.recording
        changed_at = max(
            (file.changed_at for file in seen.files.values()), default=facts.created_at
        )
        for kind in wanted:
            if kind is Kind.NEVER_FINISHED:
                facts = self._finished(end_recording(facts, changed_at), sidecar)
            elif kind is Kind.CHANNELS_LEFT:
                facts = self._finished(replace(store.reopened(facts), has_wav=True), sidecar)
            elif kind is Kind.AUDIO_MISSING:
                facts = self._without_wav(facts)
            elif kind is Kind.ENCODED_MISSING:
                facts = replace(facts, encoded_size=None, encoded_sha256="")
                facts = _to_do(facts, FollowUp.ENCODE)
            elif kind is Kind.WAVEFORM_MISSING:
                facts = _to_do(facts, FollowUp.WAVEFORM)
            elif kind is Kind.NAME_MISSING:
                facts = (
                    _to_do(facts, FollowUp.NAME) if self._way.names else replace(facts, named="")
                )
            elif kind is Kind.AUDIO_LEFT:
                store.delete_audio(facts, durable=True)
            elif kind is Kind.TEMPORARY_FILE:
                self._remove_temporary(facts, seen)
        if facts != sidecar.recording:
            store.write_sidecar(
                facts, sidecar.call, sidecar.tombstone, durable=True, origin=sidecar.origin
            )
        if facts != sidecar.recording or {Kind.ROW_MISSING, Kind.ROW_DIFFERS} & set(wanted):
            self._write_row(facts, sidecar.tombstone, wanted)
        elif Kind.AUDIO_LEFT in wanted:
            self._note(facts, wanted)

    def _finished(self, facts: RecordingFacts, sidecar: Sidecar) -> RecordingFacts:
        """The recording with its audio measured; a discarded one without any."""
        store = self._place.store
        if facts.state is not RecordingState.DISCARDED:
            return finish(store, facts, wait_s=0, names=self._way.names)
        store.write_sidecar(facts, sidecar.call, sidecar.tombstone, durable=True)
        try:
            store.delete_audio(facts, durable=True)
        except HeldError as held:
            log.info("discard_held", recording=facts.recording_id, reason=str(held))
        return facts

    def _without_wav(self, facts: RecordingFacts) -> RecordingFacts:
        """Where the encoded file is whole and was to replace the WAV file: it has."""
        encoded = self._place.store.encoded_path(facts)
        replaced = facts.has_wav and facts.encoded and not facts.keep_wav and encoded.is_file()
        if replaced and wav.sha256(encoded) == facts.encoded_sha256:
            return replace(facts, has_wav=False)
        return facts

    def _remove_temporary(self, facts: RecordingFacts, seen: compare.RecordingSeen) -> None:
        stem = str(self._place.store.audio_path(facts)).removesuffix(WAV)
        for name, file in seen.files.items():
            if name.endswith(TEMPORARY) and self._way.time - file.changed_at > compare.STALE:
                files.remove(stem + name)

    def _content(self, facts: RecordingFacts, known: set[Kind]) -> list[Found]:
        """Whether the audio is still what it was when it was finished."""
        store, found = self._place.store, []
        audio: list[tuple[str, Path, str]] = []
        if facts.has_wav and facts.size is not None:
            audio.append((WAV, store.audio_path(facts), facts.sha256))
        if facts.encoded:
            audio.append((str(facts.format), store.encoded_path(facts), facts.encoded_sha256))
        for name, path, checksum in audio:
            if not path.exists():
                continue
            if wav.sha256(path) != checksum:
                if name == WAV and not _header_ok(path):
                    found.append((Kind.HEADER_DAMAGED, "the header of the WAV file is damaged"))
                found.append((Kind.CHECKSUM_DIFFERS, f"the {name} file is not what it was"))
            elif name == WAV and facts.reason != "unreadable_audio" and not _header_ok(path):
                found.append((Kind.HEADER_DAMAGED, "it was finished with a damaged header"))
        return [one for one in found if one[0] not in known]

    def call(
        self,
        path: Path,
        call_id: str,
        copies: Iterable[CallFacts] = (),
        *,
        quiet: bool = False,
    ) -> list[Finding]:
        """Look at a call under its lock; it may have no sidecar, or one that cannot be read.

        Args:
            path: Where its sidecar is, or would be.
            call_id: Its id.
            copies: What the sidecars of its recordings say of it.
            quiet: It was seen without an end when nobody had worked on it for long; what has been
                mended of its recordings since does not count as work.

        Returns:
            What was found; nothing when somebody else is at work on it.

        Raises:
            OSError: a file cannot be read.
            DBAPIError: the catalogue is not to be had.
        """
        try:
            with self._place.store.holding(call_id, wait=False):
                return self._call(path, call_id, list(copies), quiet=quiet)
        except BusyError:
            return []

    def _call(
        self, path: Path, call_id: str, copies: list[CallFacts], *, quiet: bool
    ) -> list[Finding]:
        row = look.rows_of(self._place.engine, [], [call_id]).calls.get(call_id)
        found: list[Found] = []
        sidecar: CallSidecar | None = None
        try:
            sidecar = self._place.store.read_call_sidecar(path)
            seen = look.of_call(self._place, sidecar, row)
            seen = replace(seen, changed_at=look.NEVER) if quiet else seen
            found += compare.of_call(seen, self._way.time)
        except FileNotFoundError:
            stub = row is None or is_stub(row[0])
            found.append((Kind.CALL_UNKNOWN if stub else Kind.SIDECAR_MISSING, ""))
        except SidecarError as error:
            found.append((Kind.SIDECAR_BROKEN, _said(error, path)))
        if sidecar is None and row is not None and any(self._place.store.marked(row[0])):
            return []  # it goes on, or its first sidecar is about to be written
        if not self._way.mend or not found:
            return _findings(What.CALL, call_id, found)
        failed = self.tried(lambda: self._mend_call(path, call_id, sidecar, row, copies))
        left = {kind for kind, _ in found} if failed else set()
        return _findings(What.CALL, call_id, found, left, failed)

    def _mend_call(
        self,
        path: Path,
        call_id: str,
        sidecar: CallSidecar | None,
        row: look.CallRowSeen | None,
        copies: list[CallFacts],
    ) -> None:
        store = self._place.store
        best = sidecar or _best(row, copies)
        if best is None:
            raise SidecarError(f"{path.name}: there is neither a row nor a copy to make it from")
        if sidecar is None:
            self.set_aside(path)
        call = best.call
        if call.ended_at is None:
            # Of a stub whose recordings say more, the copies have been looked at already.
            call = end_call(call, look.recordings_of_call(self._place.engine, call_id))
        if sidecar is None or call != sidecar.call:
            store.write_call(call, best.tombstone, durable=True, origin=best.origin)
        self._write_row(call, best.tombstone, [])

    def from_row(self, recording_id: str) -> list[Finding]:
        """Look at a recording that has a row and no sidecar, or none that can be read."""
        store = self._place.store
        with self._place.store.holding(recording_id):
            found_rows = look.rows_of(self._place.engine, [recording_id], []).recordings
            row = found_rows.get(recording_id)
            if row is None or any(store.marked(row[0])):
                return []
            path = store.sidecar_path(row[0])
            try:
                store.read_sidecar(path)
            except FileNotFoundError:
                found = [(Kind.SIDECAR_MISSING, "")]
            except SidecarError as error:
                found = [(Kind.SIDECAR_BROKEN, _said(error, path))]
            else:
                return []
            if not self._way.mend:
                return _findings(What.RECORDING, recording_id, found)
            failed = self.tried(lambda: self._sidecar_from_row(path, row))
            left = {kind for kind, _ in found} if failed else set()
            return _findings(What.RECORDING, recording_id, found, left, failed)

    def _sidecar_from_row(self, path: Path, row: look.RecordingRowSeen) -> None:
        facts, tombstone = row
        call = look.rows_of(self._place.engine, [], [facts.call_id]).calls[facts.call_id][0]
        self.set_aside(path)
        self._place.store.write_sidecar(facts, call, tombstone, durable=True, origin="row")
        self._write_row(facts, tombstone, [Kind.SIDECAR_MISSING])

    def set_aside(self, path: Path) -> None:
        """Move a file that stands in the way to a folder of such, if it is there."""
        root = self._place.store.directory
        target = root / ASIDE / path.relative_to(root)
        if not path.exists():
            return
        files.make_folder(str(root), str(target.parent), 0o2770)
        stamp = f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
        os.rename(path, target.with_name(f"{target.name}.{stamp}"))  # noqa: PTH104 - may be replaced
        files.flush_folder(str(target.parent))
        log.warning("set_aside", file=str(path), to=str(target.parent))

    def _write_row(
        self,
        facts: RecordingFacts | CallFacts,
        tombstone: Tombstone | None,
        kinds: Iterable[Kind],
    ) -> None:
        item = item_of(facts, tombstone)
        with self._place.engine.begin() as connection:
            rows.write(connection, [item])
            audit.append(connection, self._entry(facts, kinds))
        note_written(self._place.store, item)

    def _note(self, facts: RecordingFacts, kinds: Iterable[Kind]) -> None:
        with self._place.engine.begin() as connection:
            audit.append(connection, self._entry(facts, kinds))

    def _entry(self, facts: RecordingFacts | CallFacts, kinds: Iterable[Kind]) -> audit.Entry:
        what = What.CALL if isinstance(facts, CallFacts) else What.RECORDING
        item = facts.call_id if isinstance(facts, CallFacts) else facts.recording_id
        detail: dict[str, audit.Detail] = {"found": " ".join(sorted(set(kinds)))}
        return audit.Entry(facts.tenant, self._way.by, audit.Action.MEND, str(what), item, detail)

    def tried(self, mend: Callable[[], None]) -> str:
        """Mend; why it could not be, else nothing."""
        try:
            mend()
        except HeldError:
            return ""
        except Exception as error:
            if isinstance(error, DBAPIError) and is_outage(error):
                raise
            # Of what a database refuses the trace would show numbers and names.
            known = isinstance(error, OSError | ValueError | ArithmeticError | DBAPIError)
            log.warning("not_mended", reason=str(error), exc_info=not known)
            return str(error) or type(error).__name__
        return ""


def _findings(
    what: What,
    item: str,
    found: Iterable[Found],
    left: set[Kind] | None = None,
    error: str = "",
) -> list[Finding]:
    """Findings of one item; `left`: the kinds that are not mended, None for none of them."""
    return [
        Finding(
            kind,
            what,
            item,
            detail,
            mended=left is not None and kind not in left,
            error=error if left is not None and kind in left else "",
        )
        for kind, detail in found
    ]


def _best(row: look.CallRowSeen | None, copies: list[CallFacts]) -> CallSidecar | None:
    """What is known of a call without a sidecar: its row, or else the fullest copy."""
    if row is not None and not is_stub(row[0]):
        return CallSidecar(*row, origin="row")
    known = [copy for copy in copies if not is_stub(copy)]
    if known:
        best = max(known, key=lambda c: (c.ended_at is not None, len(c.legs), len(c.consents)))
        return CallSidecar(best, row[1] if row else None, origin="copy")
    if row is not None:
        return CallSidecar(*row, origin="row")
    return CallSidecar(copies[0], None, origin="copy") if copies else None


def _to_do(facts: RecordingFacts, step: FollowUp) -> RecordingFacts:
    order = list(FollowUp)
    to_do = tuple(sorted({*facts.to_do, step}, key=order.index))
    return replace(facts, to_do=to_do, tries=0, follow_up_error="")


def _header_ok(path: Path) -> bool:
    try:
        return wav.inspect(path).header_ok
    except WavError:
        return False


def _said(error: SidecarError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ")
