"""One run at a time: on PostgreSQL across machines, on SQLite on one recordings directory."""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, InvalidRequestError

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.postgresql import LOCK_SPACE
from callrec_pbx.storage import locks
from callrec_pbx.storage.store import RecordingStore

LOCK_NAME = ".retention.lock"

_KEY = "retention"

Check = Callable[[], None]
"""Raises when the run is no longer the only one."""


class RetentionBusyError(Exception):
    """Another run is at work on the same recordings; nothing needs to be done."""


class RetentionLostError(Exception):
    """The database has let go of the lock; the run ends, and the next one goes on."""


@contextmanager
def alone(place: Place) -> Iterator[Check]:
    """Be the only run while the block goes on; when the process dies, another can be it at once.

    Returns:
        What is called before each batch.

    Raises:
        RetentionBusyError: another run is at work.
        OSError: the recordings directory is not there or not writable.
    """
    if place.engine.dialect.name == "postgresql":
        with _by_database(place) as check:
            yield check
    else:
        with _by_file(place.store):
            yield lambda: None


@contextmanager
def _by_database(place: Place) -> Iterator[Check]:
    """Hold a lock of the session on a connection that does nothing else.

    Behind a pooler that gives each transaction another session this does not work.
    """
    engine = place.engine.execution_options(isolation_level="AUTOCOMMIT")
    key = {"space": LOCK_SPACE, "what": _KEY}
    with engine.connect() as connection:
        taken = text("SELECT pg_try_advisory_lock(:space, hashtext(:what))")
        if not connection.execute(taken, key).scalar_one():
            raise RetentionBusyError("another retention run holds the lock of this database")
        try:
            yield lambda: _check(connection)
        finally:
            # Otherwise the server may take a moment to see that the session has gone.
            with suppress(DBAPIError, InvalidRequestError):
                free = text("SELECT pg_advisory_unlock(:space, hashtext(:what))")
                connection.execute(free, key)
            connection.invalidate()


def _check(connection: Connection) -> None:
    held = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        " AND granted AND classid::bigint = :space"
    )
    try:
        if connection.execute(held, {"space": LOCK_SPACE}).scalar_one():
            return
    except (DBAPIError, InvalidRequestError) as error:
        raise RetentionLostError(
            f"the connection that holds the lock of retention is lost ({error})"
        ) from error
    raise RetentionLostError("the lock of retention is lost")


@contextmanager
def _by_file(store: RecordingStore) -> Iterator[None]:
    """Hold the lock of a recordings directory; the kernel lets go when the process dies."""
    path = store.directory / LOCK_NAME
    handle = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, locks.FILE_MODE)
    try:
        locks.share(handle)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RetentionBusyError(f"another retention run holds {path}") from None
        yield
    finally:
        os.close(handle)
