"""Sees what there is of recordings and calls: sidecars, rows, files, markers."""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import Connection, Engine, and_, func, or_, select

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import CALL, RECORDING, calls_by_id, chunks, recordings_of
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import AudioFormat
from callrec_pbx.followup.waiting import is_set_aside, why
from callrec_pbx.reconcile.compare import (
    GONE,
    PEAKS,
    SIDES,
    TEMPORARY,
    WAV,
    CallSeen,
    FileSeen,
    RecordingSeen,
)
from callrec_pbx.storage import named
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError, Tombstone
from callrec_pbx.storage.store import RecordingStore

SIDECAR = "json"
CALL_SIDECAR = "call.json"
_WHOLE = (*(str(one) for one in AudioFormat), *SIDES, PEAKS)
ENDINGS = frozenset(
    {SIDECAR, CALL_SIDECAR, *_WHOLE}
    | {f"{one}{TEMPORARY}" for one in (SIDECAR, CALL_SIDECAR, *_WHOLE)}
)
"""How the names of files in a day's folder end, after the id and a dot."""
AUDIO = frozenset({*(str(one) for one in AudioFormat), *SIDES})

RecordingRowSeen = tuple[RecordingFacts, Tombstone | None]
CallRowSeen = tuple[CallFacts, Tombstone | None]
NEVER = datetime.min.replace(tzinfo=UTC)
_PAGE = 1000


@dataclass(slots=True)
class Folder:
    """What lies in a day's folder.

    Attributes:
        items: For each id the files of that name, by the end of the name.
        unknown: Names that are none of ours.
    """

    day: datetime
    path: Path
    items: dict[str, dict[str, os.DirEntry[str]]] = field(default_factory=dict)
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a few items."""

    recordings: Mapping[str, RecordingRowSeen]
    calls: Mapping[str, CallRowSeen]


def days(store: RecordingStore, engine: Engine) -> list[datetime]:
    """Every day that has a folder or rows, oldest first."""
    found = {day for day, _ in _folders(store)}
    for column in (RECORDING.c.created_at, CALL.c.started_at):
        with reading(engine).begin() as connection:
            first, last = connection.execute(select(func.min(column), func.max(column))).one()
        if first is not None:
            day = beginning(first)
            while day <= last:
                found.add(day)
                day += timedelta(days=1)
    return sorted(found)


def beginning(at: datetime) -> datetime:
    """The first moment of that day, in UTC."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def folder_of(store: RecordingStore, day: datetime) -> Path:
    """Where what began on that day lies."""
    return store.directory / f"{day:%Y}/{day:%m}/{day:%d}"


def _folders(store: RecordingStore) -> Iterator[tuple[datetime, Path]]:
    for path in store.directory.glob("[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"):
        year, month, day = (int(part) for part in path.parts[-3:])
        try:
            yield datetime(year, month, day, tzinfo=UTC), path
        except ValueError:
            continue


def folder(store: RecordingStore, day: datetime) -> Folder:
    """What lies in the folder of a day; nothing, where there is none."""
    found = Folder(day, folder_of(store, day))
    try:
        with os.scandir(found.path) as entries:
            for entry in entries:
                item, _, ending = entry.name.partition(".")
                if ending in ENDINGS and store.is_id(item) and entry.is_file(follow_symlinks=False):
                    found.items.setdefault(item, {})[ending] = entry
                else:
                    found.unknown.append(entry.name)
    except FileNotFoundError:
        pass
    return found


def sizes(entries: Mapping[str, os.DirEntry[str]]) -> dict[str, FileSeen]:
    """The files of a recording, its sidecars not among them."""
    found = {}
    for ending, entry in entries.items():
        if not ending.removesuffix(TEMPORARY).endswith(SIDECAR) or ending.startswith(PEAKS):
            try:
                found[ending] = _seen(entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                continue
    return found


def files_now(store: RecordingStore, facts: RecordingFacts) -> dict[str, FileSeen]:
    """The same, asked anew."""
    stem = str(store.audio_path(facts)).removesuffix(WAV)
    found = {}
    for ending in _WHOLE:
        for name in (ending, ending + TEMPORARY):
            try:
                found[name] = _seen(Path(stem + name).stat())
            except FileNotFoundError:
                continue
    return found


def _seen(status: os.stat_result) -> FileSeen:
    return FileSeen(status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))


def rows_of(engine: Engine, recordings: Iterable[str], calls: Iterable[str]) -> Rows:
    """The rows of those ids."""
    with reading(engine).begin() as connection:
        return Rows(_recordings(connection, recordings), _calls(connection, calls))


def _recordings(connection: Connection, ids: Iterable[str]) -> dict[str, RecordingRowSeen]:
    found: dict[str, RecordingRowSeen] = {}
    for chunk in chunks(ids):
        query = select(RECORDING).where(RECORDING.c.recording_id.in_(chunk))
        for row in recordings_of(connection, connection.execute(query).mappings().all()):
            found[row.recording.recording_id] = (row.recording, row.tombstone)
    return found


def _calls(connection: Connection, ids: Iterable[str]) -> dict[str, CallRowSeen]:
    found = calls_by_id(connection, ids)
    return {call_id: (item.call, item.tombstone) for call_id, item in found.items()}


def recordings_of_call(engine: Engine, call_id: str) -> list[RecordingFacts]:
    """The recordings of a call, as their rows have them."""
    with reading(engine).begin() as connection:
        query = select(RECORDING).where(RECORDING.c.call_id == call_id)
        found = recordings_of(connection, connection.execute(query).mappings().all())
    return [row.recording for row in found]


def ids_of_day(engine: Engine, day: datetime, *, calls: bool) -> Iterator[str]:
    """The ids of the rows of a day, page by page, in order of time."""
    table = CALL if calls else RECORDING
    at, key = (table.c.started_at, CALL.c.call_id) if calls else (
        table.c.created_at, RECORDING.c.recording_id
    )  # fmt: skip
    after: tuple[datetime, str] | None = None
    while True:
        query = select(at, key).where(at >= day, at < day + timedelta(days=1))
        if after is not None:
            query = query.where(or_(at > after[0], and_(at == after[0], key > after[1])))
        with reading(engine).begin() as connection:
            page = connection.execute(query.order_by(at, key).limit(_PAGE)).all()
        for _, found in page:
            yield found
        if len(page) < _PAGE:
            return
        after = (page[-1][0], page[-1][1])


def of_recording(
    place: Place,
    sidecar: Sidecar,
    row: RecordingRowSeen | None,
    files: Mapping[str, FileSeen],
) -> RecordingSeen:
    """What there is of a recording whose sidecar can be read."""
    store, facts = place.store, sidecar.recording
    marked, row_marked = store.marked(facts)
    call_path = store.call_path(sidecar.call)
    return RecordingSeen(
        facts=facts,
        tombstone=sidecar.tombstone,
        row=row,
        files=files,
        changed_at=_changed(store.sidecar_path(facts), files.values()),
        name_missing=_name_missing(store, facts),
        marked=marked,
        row_on_its_way=row_marked,
        call_known=call_path.exists(),
        call_ended_at=_call_end(store, call_path) if marked else None,
        set_aside=why(facts) if is_set_aside(facts) else "",
        held=facts.state in GONE and bool(files) and bool(store.held(facts, sidecar.call)),
    )


def of_call(place: Place, sidecar: CallSidecar, row: CallRowSeen | None) -> CallSeen:
    """What there is of a call whose sidecar can be read."""
    store, call = place.store, sidecar.call
    marked, row_marked = store.marked(call)
    changed_at = _changed(store.call_path(call), ())
    if call.ended_at is None:
        for recording in recordings_of_call(place.engine, call.call_id):
            files = files_now(store, recording).values()
            changed_at = max(changed_at, _changed(store.sidecar_path(recording), files))
    return CallSeen(call, sidecar.tombstone, row, changed_at, marked, row_marked)


def _changed(path: Path, files: Iterable[FileSeen]) -> datetime:
    found = [file.changed_at for file in files]
    with contextlib.suppress(FileNotFoundError):
        found.append(_seen(path.stat()).changed_at)
    return max(found, default=NEVER)


def _call_end(store: RecordingStore, path: Path) -> datetime | None:
    try:
        return store.read_call(path).ended_at
    except (OSError, SidecarError):
        return None


def _name_missing(store: RecordingStore, facts: RecordingFacts) -> bool:
    return any(not path.exists() for path in named.paths_of(store.directory, facts))
