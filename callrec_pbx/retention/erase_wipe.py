"""What a database keeps of a number after its rows were cleared, and taking it away."""

from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import sqlite_file

CHUNK = 1 << 20
SHORTEST = 7
"""Characters of a spelling below which finding it in a file says nothing."""

TABLES = ("call", "leg", "consent", "recording", "recording_number", "number", "number_part",
          "legal_hold")  # fmt: skip


def settle(engine: Engine) -> None:
    """Have SQLite take over what its write-ahead log holds, and empty that."""
    if engine.dialect.name == "sqlite":
        _alone(engine, "PRAGMA wal_checkpoint(TRUNCATE)")


def vacuum(engine: Engine) -> None:
    """Write SQLite's file anew, or have PostgreSQL free what rows were before they were cleared.

    On SQLite nothing else can write meanwhile; the listener's rows wait.
    """
    if engine.dialect.name == "sqlite":
        _alone(engine, "VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)")
    else:
        _alone(engine, "SET statement_timeout = 0", *(f'VACUUM "{name}"' for name in TABLES))


def remains(engine: Engine, spellings: Iterable[str]) -> bool:
    """Whether SQLite's file, or its write-ahead log, has one of the spellings anywhere.

    Rows that were cleared by an earlier version, which did not overwrite them, are still there.
    """
    file = sqlite_file(engine.url)
    wanted = [text.encode() for text in spellings if len(text) >= SHORTEST]
    if file is None or not wanted:
        return False
    return any(_has(path, wanted) for path in (file, file.with_name(file.name + "-wal")))


def _has(path: Path, wanted: list[bytes]) -> bool:
    longest = max(map(len, wanted))
    tail = b""
    try:
        with path.open("rb") as file:
            while chunk := file.read(CHUNK):
                block = tail + chunk
                if any(text in block for text in wanted):
                    return True
                tail = block[-longest:]
    except FileNotFoundError:
        return False
    return False


def _alone(engine: Engine, *statements: str) -> None:
    connection = engine.raw_connection()
    try:
        driver = connection.driver_connection
        if engine.dialect.name != "sqlite":
            assert driver is not None  # noqa: S101 - it was just opened
            driver.rollback()
            driver.autocommit = True
        cursor = connection.cursor()
        for statement in statements:
            cursor.execute(statement)
            if cursor.description:
                cursor.fetchall()
        cursor.close()
    finally:
        # Its settings are not those of the others.
        connection.invalidate()
        connection.close()
