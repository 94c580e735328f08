"""Anchors: how far each tenant's trail goes, kept in a file outside the database.

A chain alone cannot show that its end was cut off, or that the whole table was put back to what it
was. So after each commit the last line's number and hash are written to `audit/` in the recordings
directory. One that lags behind the table is in order: the machine may have died between the two.
One that the table does not reach, or whose line has another hash there, is proof, and is left as it
is until somebody accepts it.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Engine, ExceptionContext, event, text

from callrec_pbx.catalogue.audit_chain import Head
from callrec_pbx.catalogue.engine import CatalogueError
from callrec_pbx.storage import files, locks

FOLDER = "audit"
FOLDER_MODE = 0o2770
FILE_MODE = 0o660

_DIRECTORY = "callrec_anchors"
_WAL = "callrec_wal"
_NOTED = "callrec_audit_noted"
_COMMITTED = "callrec_audit_committed"

log = structlog.get_logger(__name__)


class AnchorError(CatalogueError):
    """An anchor cannot be read, or is none."""


def keep_anchors(engine: Engine, directory: Path) -> None:
    """Have every commit on an engine that wrote into the trail write the anchors too.

    Args:
        engine: The catalogue.
        directory: The recordings directory.
    """

    wal = f"{engine.url.database}-wal" if engine.dialect.name == "sqlite" else ""

    def checked_out(_dbapi: Any, record: Any, _proxy: Any) -> None:
        record.info[_DIRECTORY] = directory
        record.info[_WAL] = wal

    def begun(connection: Connection) -> None:
        _write_committed(connection.info)
        # Of a transaction that was rolled back.
        connection.info.pop(_NOTED, None)

    def committing(connection: Connection) -> None:
        noted = connection.info.pop(_NOTED, None)
        if noted:
            connection.info[_COMMITTED] = noted

    def back_to_savepoint(connection: Connection, *_savepoint: Any) -> None:
        # Of what was within it nothing remains: an anchor may lag behind, and not be ahead.
        connection.info.pop(_NOTED, None)

    def failed(context: ExceptionContext) -> None:
        # A commit that failed may have left nothing, or all.
        if context.connection is not None and not context.connection.invalidated:
            context.connection.info.pop(_COMMITTED, None)

    def checked_in(_dbapi: Any, record: Any) -> None:
        _write_committed(record.info)

    event.listen(engine, "checkout", checked_out)
    event.listen(engine, "begin", begun)
    event.listen(engine, "commit", committing)
    event.listen(engine, "rollback_savepoint", back_to_savepoint)
    event.listen(engine, "handle_error", failed)
    event.listen(engine, "checkin", checked_in)


def note(connection: Connection, head: Head) -> None:
    """Have the anchor of a trail follow its last line once that is committed.

    It does not where the trail is not the one that was anchored: that is to be seen.
    """
    directory = connection.info.get(_DIRECTORY)
    if directory is None:
        return
    try:
        anchor = read(directory, head.tenant)
    except (AnchorError, OSError) as error:
        log.warning("audit_anchor", tenant=head.tenant, error=str(error))
        return
    if anchor is not None and not _holds(connection, anchor):
        log.error(
            "audit_trail_differs",
            tenant=head.tenant,
            anchored=anchor.seq,
            remedy="look into it: callrec-pbx audit verify",
        )
        return
    connection.info.setdefault(_NOTED, {})[head.tenant] = head


def write(directory: Path, head: Head, *, force: bool = False) -> None:
    """Write the anchor of a trail, unless there is one that goes as far.

    Args:
        directory: The recordings directory.
        head: What it says.
        force: Replace whatever there is.

    Raises:
        OSError: it could not be written.
    """
    path = str(path_of(directory, head.tenant))
    data = json.dumps(asdict(head), ensure_ascii=False, indent=2).encode() + b"\n"
    with locks.held(directory, f"audit {head.tenant}"):
        there = None if force else read(directory, head.tenant)
        if there is not None and there.seq >= head.seq:
            return
        try:
            files.replace(path, data, FILE_MODE)
        except FileNotFoundError:
            files.make_folder(str(directory), os.path.dirname(path), FOLDER_MODE)  # noqa: PTH120
            files.replace(path, data, FILE_MODE)
        files.flush_folder(os.path.dirname(path))  # noqa: PTH120


def read(directory: Path, tenant: str) -> Head | None:
    """The anchor of a trail; None where there is none.

    Raises:
        AnchorError: it is broken, or another tenant's.
        OSError: it cannot be read.
    """
    path = path_of(directory, tenant)
    try:
        found = _loaded(path)
    except FileNotFoundError:
        return None
    if found.tenant != tenant:
        raise AnchorError(f"{path}: is the anchor of tenant {found.tenant!r}, not of {tenant!r}")
    return found


def read_all(directory: Path) -> tuple[dict[str, Head], list[str]]:
    """All anchors by tenant, and what is wrong with those that cannot be used."""
    found: dict[str, Head] = {}
    problems = []
    for path in sorted((directory / FOLDER).glob("*.json")):
        try:
            head = _loaded(path)
        except (AnchorError, OSError) as error:
            problems.append(str(error))
            continue
        if path_of(directory, head.tenant) == path:
            found[head.tenant] = head
        else:
            problems.append(f"{path}: has not the name of an anchor of {head.tenant!r}")
    return found, problems


def path_of(directory: Path, tenant: str) -> Path:
    """Where the anchor of a trail lies: a tenant's name is data, and names no file."""
    return directory / FOLDER / f"{hashlib.sha256(tenant.encode()).hexdigest()[:32]}.json"


def head_from(document: Any) -> Head:
    """A head as it is written.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(document, dict) or set(document) != {"tenant", "seq", "hash", "at"}:
        raise ValueError("is no head of a trail: it needs tenant, seq, hash and at")
    head = Head(**document)
    texts = all(isinstance(value, str) for value in (head.tenant, head.hash, head.at))
    if not texts or type(head.seq) is not int:
        raise ValueError("is no head of a trail: seq is a whole number, the others are texts")
    return head


def _loaded(path: Path) -> Head:
    try:
        return head_from(json.loads(path.read_bytes()))
    except ValueError as error:
        raise AnchorError(f"{path}: {error}") from None


def _holds(connection: Connection, anchor: Head) -> bool:
    query = text("SELECT hash FROM audit WHERE tenant = :tenant AND seq = :seq")
    found = connection.execute(query, {"tenant": anchor.tenant, "seq": anchor.seq}).scalar()
    return found == anchor.hash


def _write_committed(info: dict[str, Any]) -> None:
    committed: dict[str, Head] = info.pop(_COMMITTED, None) or {}
    if committed and info[_WAL]:
        _flush(info[_WAL])
    for head in committed.values():
        # The line is committed: nothing that goes wrong here may undo or hide that.
        with suppress(AnchorError):
            try:
                write(info[_DIRECTORY], head)
            except OSError as error:
                log.warning("audit_anchor", tenant=head.tenant, error=str(error))


def _flush(wal: str) -> None:
    """Have the commit reach the disk before the anchor does, or a power failure would look like it.

    SQLite does that only now and then. Source: https://sqlite.org/pragma.html#pragma_synchronous,
    NORMAL in WAL mode; what is no longer in that file was flushed to the database.
    """
    with suppress(OSError):
        handle = os.open(wal, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
