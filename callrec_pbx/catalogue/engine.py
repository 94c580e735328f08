"""Opening the catalogue's database, with what SQLite needs to be safe under several processes."""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

BUSY_MS = 5000
"""How long a statement waits for another process's transaction."""

_READING = "callrec_reading"
_REMEDY = "write it as sqlite:////var/lib/callrec-pbx/catalogue.db"


class CatalogueError(Exception):
    """The catalogue cannot be used; the administrator must act as the text says."""


def make_engine(url: str, *, busy_ms: int = BUSY_MS, foreign_keys: bool = True) -> Engine:
    """Prepare the connection to an existing catalogue; nothing is opened yet.

    SQLite runs in WAL mode, and a transaction takes the write lock when it begins: otherwise two
    that read and then write would lose updates, or fail halfway.
    A missing file is an error: only `migrate.upgrade` makes one.

    Args:
        url: SQLAlchemy URL, such as `sqlite:////var/lib/callrec-pbx/catalogue.db`.
        busy_ms: How long to wait for a lock (ms).
        foreign_keys: Off only for migrations, which rebuild tables.

    Raises:
        CatalogueError: the URL is wrong.
    """
    parsed = parse(url)
    path = sqlite_file(parsed)

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(
            f"file:{quote(str(path))}?mode=rw",
            uri=True,
            isolation_level=None,
            timeout=busy_ms / 1000,
            check_same_thread=False,
        )

    # Errors are logged, and the parameters are callers' numbers and names.
    engine = create_engine(parsed, creator=connect, hide_parameters=True)
    _prepare(engine, foreign_keys)
    return engine


def reading(engine: Engine) -> Engine:
    """The same database for reading alone: a transaction does not take the write lock."""
    return engine.execution_options(**{_READING: True})


def parse(url: str) -> URL:
    """Check a database URL.

    Raises:
        CatalogueError: it is none, or its kind is not supported.
    """
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise CatalogueError(f"catalogue.url {url!r}: is no database URL; {_REMEDY}") from None
    if parsed.get_backend_name() != "sqlite":
        raise CatalogueError(f"catalogue.url {url!r}: only SQLite can be used; {_REMEDY}")
    if parsed.database in (None, "", ":memory:"):
        raise CatalogueError(f"catalogue.url {url!r}: names no file; {_REMEDY}")
    return parsed


def sqlite_file(url: URL | str) -> Path:
    """The file of a SQLite URL."""
    parsed = parse(url) if isinstance(url, str) else url
    return Path(parsed.database or "")


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is not to be had now, rather than a bad row.

    A full disk, a lock, a missing file or table: the same rows will go through later.
    """
    if isinstance(error, DBAPIError):
        if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
            return True
        # "file is not a database" and "disk image is malformed" are plain database errors.
        return type(error.orig) is sqlite3.DatabaseError
    return isinstance(error, OSError | TimeoutError)


def _prepare(engine: Engine, foreign_keys: bool) -> None:
    def on_connect(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")

    def on_begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
