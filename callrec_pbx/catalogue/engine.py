"""Opening the catalogue's database, SQLite or PostgreSQL, safe under several processes."""

import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, InterfaceError, OperationalError

from callrec_pbx.catalogue import postgresql

BUSY_MS = 5000
"""How long a statement waits for another process's transaction."""

CACHE_KB = 32_768
"""How much of a SQLite file a connection keeps in memory."""

_READING = "callrec_reading"
_REMEDY = (
    "write it as sqlite:////var/lib/callrec-pbx/catalogue.db"
    " or as postgresql://callrec:PASSWORD@HOST/callrec"
)


class CatalogueError(Exception):
    """The catalogue cannot be used; the administrator must act as the text says."""


class CatalogueAwayError(CatalogueError):
    """The server cannot be reached; it may be back soon."""


def make_engine(
    url: str, *, busy_ms: int = BUSY_MS, foreign_keys: bool = True, statement_ms: int | None = None
) -> Engine:
    """Prepare the connection to an existing catalogue; nothing is opened yet.

    SQLite runs in WAL mode, and a transaction takes the write lock when it begins: otherwise two
    that read and then write would lose updates, or fail halfway.
    A missing file is an error: only `migrate.upgrade` makes one.
    PostgreSQL locks rows alone: who reads and then writes calls `alone` before.

    Args:
        url: SQLAlchemy URL, such as `sqlite:////var/lib/callrec-pbx/catalogue.db`.
        busy_ms: How long to wait for a lock (ms).
        foreign_keys: Off only for migrations on SQLite, which rebuild tables.
        statement_ms: The longest that PostgreSQL works on one statement (ms), 0: for ever.

    Raises:
        CatalogueError: the URL is wrong.
    """
    parsed = parse(url)
    path = sqlite_file(parsed)
    if path is None:
        return postgresql.make_engine(parsed, busy_ms, statement_ms)

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
    """The same database for reading alone.

    A transaction sees what was there when it began, takes no lock, and cannot write.
    """
    if engine.dialect.name == "postgresql":
        return postgresql.reading(engine)
    return engine.execution_options(**{_READING: True})


def alone(connection: Connection, what: str) -> None:
    """Wait until no other transaction works on that, and keep others off until this one ends.

    Called first in a transaction that reads what it then changes. On SQLite a transaction that
    writes is alone from its beginning.

    Args:
        connection: In a transaction.
        what: A name for what is changed, such as `people`.
    """
    if connection.dialect.name == "postgresql":
        postgresql.lock(connection, what)


def parse(url: str) -> URL:
    """Check a database URL.

    Raises:
        CatalogueError: it is none, or its kind is not supported.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise CatalogueError(
            f"catalogue.url {shown(url)!r}: is no database URL; {_REMEDY}"
        ) from None
    if "@" in (parsed.host or ""):
        raise CatalogueError(
            f"catalogue.url {shown(url)!r}: has more than one @; one in a password is written %40"
        )
    if parsed.drivername in ("postgresql", "postgresql+psycopg"):
        if not parsed.database:
            raise CatalogueError(f"catalogue.url {shown(url)!r}: names no database; {_REMEDY}")
        return parsed
    if parsed.get_backend_name() != "sqlite":
        raise CatalogueError(
            f"catalogue.url {shown(url)!r}: only SQLite and PostgreSQL (by psycopg) can be used; "
            f"{_REMEDY}"
        )
    if parsed.database in (None, "", ":memory:"):
        raise CatalogueError(f"catalogue.url {url!r}: names no file; {_REMEDY}")
    return parsed


def shown(url: str | URL) -> str:
    """A database URL as it may be shown and logged: without its password."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = None
    if parsed is None or "@" in (parsed.host or ""):
        # Anything in it can be a part of a password.
        scheme, at, _ = str(url).partition(":" if "@" in str(url) else "://")
        return f"{scheme}{at}..." if at else str(url)
    query = {name: "***" if "password" in name else value for name, value in parsed.query.items()}
    return parsed.set(query=query).render_as_string(hide_password=True)


def sqlite_file(url: URL | str) -> Path | None:
    """The file of a SQLite URL; None: it is PostgreSQL."""
    parsed = parse(url) if isinstance(url, str) else url
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def is_outage(error: BaseException) -> bool:
    """Whether an error says that the database is not to be had now, rather than a bad row.

    A full disk, a lock, a server that is away, a missing file or table: the same rows will go
    through later.
    """
    if isinstance(error, DBAPIError):
        if error.connection_invalidated:
            return True
        outage = postgresql.is_outage(error.orig)
        if outage is not None:
            return outage
        if isinstance(error, OperationalError | InterfaceError):
            return True
        # "file is not a database" and "disk image is malformed" are plain database errors.
        return type(error.orig) is sqlite3.DatabaseError
    return isinstance(error, OSError | TimeoutError)


def _prepare(engine: Engine, foreign_keys: bool) -> None:
    def on_connect(connection: Any, _record: Any) -> None:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=NORMAL")
        # A batch of the writer does not fit into the 2 MB that SQLite takes otherwise.
        connection.execute(f"PRAGMA cache_size=-{CACHE_KB}")
        # What is cleared is overwritten, or numbers would stay in the free parts of the file.
        connection.execute("PRAGMA secure_delete=ON")
        connection.execute(f"PRAGMA foreign_keys={'ON' if foreign_keys else 'OFF'}")

    def on_begin(connection: Connection) -> None:
        reads = connection.get_execution_options().get(_READING, False)
        connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "begin", on_begin)
