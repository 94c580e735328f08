"""The one writer of the catalogue: a thread that takes what is saved and writes it in batches.

Saving never blocks and never raises: a call does not wait for SQL. What the database does not take
now is kept, in order, and written when it does. What it never will take is set aside, so that it
does not hold up the rest; the sidecars have it all the same.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

import structlog
from sqlalchemy import Engine

from callrec_pbx import metrics
from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.engine import is_outage, sqlite_file
from callrec_pbx.catalogue.rows import Item, RecordingRow
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.storage.serial import CallSidecar, Tombstone

BATCH = 1000
"""How many calls and recordings go into one transaction at the most."""
BACK_OFF_S = 0.1
MAX_BACK_OFF_S = 5.0
KEEP_SET_ASIDE = 1000

log = structlog.get_logger(__name__)

_Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SetAside:
    """An item that the database refused for its own sake."""

    item: Item
    error: str


def _key(item: Item) -> _Key:
    if isinstance(item, CallSidecar):
        return "call", item.call.call_id
    return "recording", item.recording.recording_id


LINGER_S = 0.1
"""How long a row waits for others, and for newer facts of its own, to share a transaction."""


class CatalogueWriter:
    """Writes calls and recordings from any thread into the catalogue, by one thread of its own."""

    def __init__(
        self,
        engine: Engine,
        *,
        batch: int = BATCH,
        on_set_aside: Callable[[SetAside], None] | None = None,
        on_written: Callable[[Item], Item | None] | None = None,
    ) -> None:
        """Start the thread.

        Args:
            engine: The catalogue, as `make_engine` opens it.
            batch: How many items go into one transaction at the most.
            on_set_aside: Told, in the writer's thread, of each item that cannot be written.
            on_written: Told, in the writer's thread, of each item that is committed or set aside;
                it says what is to be written in its place, if anything (`written.note_written`).
        """
        self._engine = engine
        self._batch = batch
        self._on_set_aside = on_set_aside
        self._on_written = on_written
        self._path = sqlite_file(engine.url)
        self._inode: tuple[int, int] | None = None
        self._changed = threading.Condition()
        self._waiting: dict[_Key, tuple[int, Item]] = {}
        self._in_hand: list[tuple[int, Item]] = []
        self._accepted = 0
        self._written = 0
        self._set_aside: deque[SetAside] = deque(maxlen=KEEP_SET_ASIDE)
        self._closing = False
        self._urgent = False
        self._give_up_at = float("inf")
        self._down = False
        self._thread = threading.Thread(target=self._run, name="catalogue-writer", daemon=True)
        self._thread.start()

    def save_call(self, call: CallFacts, tombstone: Tombstone | None = None) -> None:
        """Have a call written, with its legs and consents, in place of what was known of it."""
        self._save(CallSidecar(call, tombstone))

    def save_recording(self, recording: RecordingFacts, tombstone: Tombstone | None = None) -> None:
        """Have a recording written, with its pauses, in place of what was known of it."""
        self._save(RecordingRow(recording, tombstone))

    @property
    def backlog(self) -> int:
        """How many calls and recordings are not written yet."""
        with self._changed:
            return len(self._waiting) + len(self._in_hand)

    @property
    def available(self) -> bool:
        """Whether the database took the last batch."""
        return not self._down

    @property
    def set_aside(self) -> tuple[SetAside, ...]:
        """What could not be written for its own sake, the latest at the end."""
        with self._changed:
            return tuple(self._set_aside)

    def flush(self, timeout_s: float) -> bool:
        """Wait until all that was saved before is written or set aside.

        Returns:
            Whether it is, within the time.
        """
        with self._changed:
            wanted = self._accepted
            self._urgent = True
            self._changed.notify_all()
            return self._changed.wait_for(lambda: self._written >= wanted, timeout_s)

    def close(self, timeout_s: float) -> bool:
        """Write what is left and end the thread.

        Returns:
            Whether all was written within the time. What was not is in the sidecars.
        """
        with self._changed:
            self._closing = True
            self._give_up_at = time.monotonic() + timeout_s
            self._changed.notify_all()
        self._thread.join(timeout_s + 1)
        left = self.backlog
        if left:
            log.error("catalogue_rows_left", rows=left, remedy="callrec-pbx catalogue rebuild")
        return not left

    def _save(self, item: Item) -> None:
        key = _key(item)
        with self._changed:
            self._accepted += 1
            # Taken out first: what is saved again goes to the end, so numbers rise in order.
            self._waiting.pop(key, None)
            self._waiting[key] = (self._accepted, item)
            if len(self._waiting) in (1, self._batch):
                self._changed.notify_all()

    def _run(self) -> None:
        while self._take():
            pause = BACK_OFF_S
            while not self._try_batch():
                if not self._rest(pause):
                    return
                pause = min(pause * 2, MAX_BACK_OFF_S)

    def _take(self) -> bool:
        """Wait for something to write and take it in hand; False when all is done."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closing)
            self._changed.wait_for(self._is_worth_writing, LINGER_S)
            self._urgent = False
            keys = list(islice(self._waiting, self._batch))
            self._in_hand = [self._waiting.pop(key) for key in keys]
            return bool(keys)

    def _is_worth_writing(self) -> bool:
        return self._urgent or self._closing or len(self._waiting) >= self._batch

    def _rest(self, seconds: float) -> bool:
        """Wait before the next attempt; False when there is no time for one."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while (now := time.monotonic()) < min(deadline, self._give_up_at):
                self._changed.wait(min(deadline, self._give_up_at) - now)
            return time.monotonic() < self._give_up_at

    def _try_batch(self) -> bool:
        """Write what is in hand; False when the database is not to be had."""
        items = [item for _, item in self._in_hand]
        refused: list[SetAside] = []
        try:
            self._check_file()
            try:
                self._write(items)
            except Exception as error:
                if is_outage(error):
                    raise
                refused = self._one_by_one(items)
        except Exception as error:
            self._note_outage(error)
            return False
        if self._down:
            self._down = False
            log.info("catalogue_available_again", backlog=self.backlog)
        for one in refused:
            self._report(one)
        metrics.CATALOGUE_WRITTEN.inc(len(items) - len(refused))
        metrics.CATALOGUE_REFUSED.inc(len(refused))
        again = self._told(items)
        with self._changed:
            for key, item in again.items():
                # What waits already is newer.
                if key not in self._waiting:
                    self._accepted += 1
                    self._waiting[key] = (self._accepted, item)
            self._set_aside.extend(refused)
            self._written = self._in_hand[-1][0]
            self._in_hand = []
            self._changed.notify_all()
        return True

    def _told(self, items: list[Item]) -> dict[_Key, Item]:
        """Tell of what is done; what is to be written in its place."""
        again: dict[_Key, Item] = {}
        if self._on_written is not None:
            for item in items:
                try:
                    instead = self._on_written(item)
                except Exception:
                    log.exception("on_written")
                    continue
                if instead is not None:
                    again[_key(instead)] = instead
        return again

    def _write(self, items: list[Item]) -> None:
        with self._engine.begin() as connection:
            rows.write(connection, items)

    def _one_by_one(self, items: list[Item]) -> list[SetAside]:
        """Write each item by itself, to find those that cannot be written."""
        refused = []
        for item in items:
            try:
                self._write([item])
            except Exception as error:
                if is_outage(error):
                    raise
                refused.append(SetAside(item, f"{type(error).__name__}: {error}"))
        return refused

    def _check_file(self) -> None:
        """See that the file in the catalogue's place is the one that is open.

        SQLite goes on writing into a file that was moved away or deleted.
        """
        if self._path is None:
            return
        status = self._path.stat()
        inode = (status.st_dev, status.st_ino)
        if self._inode is not None and inode != self._inode:
            self._engine.dispose()
        self._inode = inode

    def _note_outage(self, error: Exception) -> None:
        self._engine.dispose()
        if not self._down:
            self._down = True
            log.error(
                "catalogue_unavailable",
                error=str(error),
                effect="rows are kept and written when it is back",
            )

    def _report(self, refused: SetAside) -> None:
        item = refused.item
        log.error(
            "catalogue_row_refused",
            **_ids(item),
            error=refused.error,
            effect="the row is missing; its sidecar is whole",
        )
        if self._on_set_aside is not None:
            try:
                self._on_set_aside(refused)
            except Exception:
                log.exception("on_set_aside")


def _ids(item: Item) -> dict[str, str]:
    """What a line of the log says it is about."""
    if isinstance(item, CallSidecar):
        return {"call": item.call.call_id}
    return {"recording": item.recording.recording_id, "call": item.recording.call_id}
