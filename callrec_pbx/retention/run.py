"""One run of retention: one at a time on one recordings directory, plan, then apply."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from sqlalchemy import Engine

from callrec_pbx.retention.apply import Applied, Pruner
from callrec_pbx.retention.gather import candidates
from callrec_pbx.retention.plan import Item, plan
from callrec_pbx.storage.store import RecordingStore

LOCK_NAME = ".retention.lock"


class RetentionBusyError(Exception):
    """Another run is at work on the same recordings; nothing needs to be done."""


def make_plan(
    engine: Engine, call_days: int | None, now: datetime | None = None
) -> tuple[Item, ...]:
    """Say what a run would do now; nothing is changed.

    Args:
        engine: The catalogue.
        call_days: Days until the personal data of calls without a kept recording is cleared.
        now: The time to judge by; None takes the present.
    """
    now = now or datetime.now(UTC)
    return plan(*candidates(engine, now, call_days), now, call_days)


def run(
    engine: Engine,
    store: RecordingStore,
    call_days: int | None,
    *,
    by: str = "retention",
    now: datetime | None = None,
    planned: Callable[[tuple[Item, ...]], None] = lambda _plan: None,
    progress: Callable[[Item], None] = lambda _item: None,
) -> Applied:
    """Plan and apply, unless another run is at work.

    Args:
        engine: The catalogue.
        store: Audio and sidecars.
        call_days: Days until the personal data of calls without a kept recording is cleared.
        by: Who or what deletes, for the tombstones.
        now: The time to judge by; None takes the present.
        planned: Told the plan before it is applied.
        progress: Told each item that is done.

    Raises:
        RetentionBusyError: another run is at work.
        OSError: the recordings directory is not there or not writable.
    """
    now = now or datetime.now(UTC)
    with _alone(store):
        items = make_plan(engine, call_days, now)
        planned(items)
        return Pruner(engine, store, now, by).apply(items, progress)


@contextmanager
def _alone(store: RecordingStore) -> Iterator[None]:
    """Hold the lock of a recordings directory; the kernel lets go when the process dies."""
    path = store.directory / LOCK_NAME
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o660)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RetentionBusyError(f"another retention run holds {path}") from None
        yield
    finally:
        os.close(handle)
