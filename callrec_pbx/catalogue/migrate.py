"""Bringing the database to the schema that this version needs, and checking that it is there."""

import os
from pathlib import Path
from typing import Literal

from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import DBAPIError

from callrec_pbx.catalogue import postgresql
from callrec_pbx.catalogue.engine import (
    BUSY_MS,
    CatalogueAwayError,
    CatalogueError,
    make_engine,
    parse,
    reading,
    shown,
    sqlite_file,
)
from callrec_pbx.resources import resource_dir

FILE_MODE = 0o640
"""The database holds numbers and names: nobody outside the group reads it."""


def head() -> str:
    """The revision that this version needs."""
    found = _revisions()
    if not found:
        raise CatalogueError("migrations: there is none; install callrec-pbx again")
    return found[-1]


def current(url: str) -> str | None:
    """The revision that the database is at; None when it is missing or empty.

    Raises:
        CatalogueError: it is there and cannot be read.
    """
    path = sqlite_file(parse(url))
    if path is not None and not path.exists():
        return None
    engine = make_engine(url)
    try:
        with reading(engine).connect() as connection:
            _check_server(connection, url)
            return _revision(connection)
    except DBAPIError as error:
        where, away = f"catalogue.url {shown(url)!r}", False
        remedy = "it must be a database that this user may write"
        if path is None:
            remedy, away = postgresql.remedy(error.orig), postgresql.will_pass(error.orig)
        kind = CatalogueAwayError if away else CatalogueError
        raise kind(f"{where}: {_said(error)}; {remedy}") from None
    finally:
        engine.dispose()


def upgrade(url: str, revision: str = "head") -> None:
    """Create the database where it is missing, and bring it to a revision, all or nothing.

    Raises:
        CatalogueError: it cannot be created or changed.
    """
    _run(url, "upgrade", revision)


def downgrade(url: str, revision: str) -> None:
    """Bring the database back to an earlier revision; `base` empties it. Raises as `upgrade`."""
    _run(url, "downgrade", revision)


def open_current(url: str, *, busy_ms: int = BUSY_MS) -> Engine:
    """Open a catalogue that is at the revision which this version needs.

    Raises:
        CatalogueError: it is missing, or at another revision; the text says what to do.
    """
    found, needed = current(url), head()
    if found is None:
        raise CatalogueError(
            f"catalogue.url {shown(url)!r}: holds no catalogue; run: callrec-pbx migrate"
        )
    if found != needed:
        remedy = (
            "run: callrec-pbx migrate"
            if found in _revisions()
            else "a newer callrec-pbx made it; install that version"
        )
        raise CatalogueError(
            f"catalogue.url {shown(url)!r}: its schema is {found}, not {needed}; {remedy}"
        )
    return make_engine(url, busy_ms=busy_ms)


def _revisions() -> list[str]:
    """All revisions, oldest first; the name of a migration's file begins with its revision."""
    files = (resource_dir("migrations") / "versions").glob("[0-9]*_*.py")
    return sorted(file.name.partition("_")[0] for file in files)


def _run(url: str, what: Literal["upgrade", "downgrade"], revision: str) -> None:
    # Loaded on use: alembic takes time that other commands need not wait for.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    path = sqlite_file(parse(url))
    if path is not None:
        _create(path)
    engine = make_engine(url, foreign_keys=False, statement_ms=0)
    config = Config()
    # alembic takes the folder as a template: a percent sign in the path is doubled.
    config.set_main_option("script_location", str(resource_dir("migrations")).replace("%", "%%"))
    change = command.upgrade if what == "upgrade" else command.downgrade
    try:
        with engine.begin() as connection:
            _check_server(connection, url)
            if path is None:
                postgresql.alone_to_migrate(connection)
            config.attributes["connection"] = connection
            change(config, revision)
            if path is not None:
                _check_foreign_keys(connection)
    except (DBAPIError, CommandError) as error:
        remedy = (
            "It must be a catalogue of this version or an earlier one, and this user must be able "
            "to write it and its folder"
        )
        if path is None and isinstance(error, DBAPIError):
            remedy = postgresql.remedy(error.orig)
        raise CatalogueError(
            f"catalogue.url {shown(url)!r}: {_said(error)}; nothing was changed. {remedy}"
        ) from error
    finally:
        engine.dispose()


def _create(path: Path) -> None:
    """Make an empty database file that others cannot read."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE))
    except OSError as error:
        raise CatalogueError(
            f"catalogue.url: {path}: {error.strerror}; let this user write there"
        ) from None


def _check_foreign_keys(connection: Connection) -> None:
    """A migration of SQLite runs without them, as it rebuilds tables; so look afterwards."""
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise CatalogueError(
            f"migration: a row of table {broken[0]!r} refers to a missing row of {broken[2]!r}; "
            "nothing was changed. Rebuild the catalogue from the sidecars instead"
        )


def _check_server(connection: Connection, url: str) -> None:
    if connection.dialect.name == "postgresql" and (problem := postgresql.unusable(connection)):
        raise CatalogueError(f"catalogue.url {shown(url)!r}: {problem}")


def _said(error: Exception) -> str:
    """What the database said, in one line."""
    return " ".join(str(error.orig if isinstance(error, DBAPIError) else error).split())


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)
