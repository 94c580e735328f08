"""Bringing the catalogue back from the sidecars alone."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from sqlalchemy import Engine

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import is_outage
from callrec_pbx.catalogue.holds import bring_up_to_date
from callrec_pbx.catalogue.rows import Item, RecordingRow
from callrec_pbx.domain.facts import CallFacts
from callrec_pbx.storage.serial import CallSidecar, Sidecar, SidecarError
from callrec_pbx.storage.store import RecordingStore

BATCH = 200
"""Sidecars in one transaction: the listener's writer waits so long."""


@dataclass(frozen=True, slots=True)
class BrokenSidecar:
    """A sidecar that could not be used, and why."""

    path: Path
    error: str


@dataclass(slots=True)
class Rebuilt:
    """What came of it."""

    recordings: int = 0
    calls: int = 0
    broken: list[BrokenSidecar] = field(default_factory=list)

    def add(self, other: "Rebuilt") -> None:
        """Count another part in."""
        self.recordings += other.recordings
        self.calls += other.calls
        self.broken += other.broken


def rebuild(
    engine: Engine,
    store: RecordingStore,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Rebuilt:
    """Write a row for every sidecar, over what is there; also beside a running listener.

    A call comes from its own sidecar; where that is missing or broken, from the copy in the
    sidecars of its recordings.

    Args:
        engine: The catalogue, at the current schema.
        store: Where the sidecars lie.
        progress: Told the sidecars read so far, and how many there are.

    Raises:
        OSError: the recordings directory cannot be read.
    """
    total = sum(1 for _ in store.sidecars())
    paths, done = store.sidecars(), 0
    result = Rebuilt()
    orphans: dict[str, Sidecar] = {}
    progress(0, total)
    while batch := list(islice(paths, BATCH)):
        _write(engine, batch, lambda path: _item(store, path, orphans), result)
        done += len(batch)
        progress(done, max(done, total))
    copies = {store.sidecar_path(sidecar.recording): sidecar.call for sidecar in orphans.values()}
    for at in range(0, len(copies), BATCH):
        batch = list(copies)[at : at + BATCH]
        _write(engine, batch, lambda path: CallSidecar(copies[path]), result)
    bring_up_to_date(Place(engine, store))
    return result


def _write(
    engine: Engine, batch: list[Path], item_of: Callable[[Path], Item], result: Rebuilt
) -> None:
    """Write what the sidecars say; one that the database refuses does not stop the others."""
    part = Rebuilt()
    try:
        # The lock first, then the files: what the listener changes after we have read it, it
        # writes after us.
        with engine.begin() as connection:
            rows.write(connection, list(_read(batch, item_of, part)))
    except Exception as error:
        if is_outage(error):
            raise
        part = Rebuilt()
        for path in batch:
            one = Rebuilt()
            try:
                with engine.begin() as connection:
                    rows.write(connection, list(_read([path], item_of, one)))
            except Exception as refused:
                if is_outage(refused):
                    raise
                one = Rebuilt(broken=[BrokenSidecar(path, f"not taken by the database: {refused}")])
            part.add(one)
    result.add(part)


def _read(batch: list[Path], item_of: Callable[[Path], Item], result: Rebuilt) -> Iterator[Item]:
    for path in batch:
        try:
            item = item_of(path)
        except (SidecarError, OSError) as error:
            result.broken.append(BrokenSidecar(path, str(error)))
            continue
        if isinstance(item, CallSidecar):
            result.calls += 1
        else:
            result.recordings += 1
        yield item


def _item(store: RecordingStore, path: Path, orphans: dict[str, Sidecar]) -> Item:
    if path.name.endswith(".call.json"):
        of_call = store.read_call_sidecar(path)
        _check_name(path, f"{of_call.call.call_id}.call.json")
        return of_call
    sidecar = store.read_sidecar(path)
    _check_name(path, f"{sidecar.recording.recording_id}.json")
    _note_orphan(store, sidecar, orphans)
    return RecordingRow(sidecar.recording, sidecar.tombstone)


def _check_name(path: Path, expected: str) -> None:
    if path.name != expected:
        raise SidecarError(f"{path}: describes {expected}; one of them was renamed or copied")


def _note_orphan(store: RecordingStore, sidecar: Sidecar, orphans: dict[str, Sidecar]) -> None:
    """Remember the best copy of a call that has no sidecar of its own to speak of."""
    known = orphans.get(sidecar.call.call_id)
    if known is None and _has_own(store, sidecar.call):
        return
    if known is None or _worth(sidecar) > _worth(known):
        orphans[sidecar.call.call_id] = sidecar


def _has_own(store: RecordingStore, call: CallFacts) -> bool:
    try:
        store.read_call_sidecar(store.call_path(call))
    except (SidecarError, OSError, ValueError):
        return False
    return True


def _worth(sidecar: Sidecar) -> tuple[bool, bool, int, int]:
    """A copy that is not cleared is better, then one of the ended call, then the fuller one."""
    call = sidecar.call
    return (
        sidecar.tombstone is None,
        call.ended_at is not None,
        len(call.legs),
        len(call.consents),
    )
