"""The one sequence of versions: changes of the policy and of people and places take from it."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Table, func, insert, select

from callrec_pbx.catalogue.audit import Action, Detail, Entry, append_all
from callrec_pbx.catalogue.engine import alone
from callrec_pbx.catalogue.people_models import PolicyVersionRow, VersionKind

POLICY_VERSION = cast(Table, PolicyVersionRow.__table__)

THE_INSTALLATIONS: Mapping[str, Mapping[str, Detail]] = {"": {}}
"""The trail that belongs to no tenant."""

OF_PEOPLE = (VersionKind.PEOPLE, VersionKind.PEOPLE_AND_POLICY)
OF_THE_POLICY = (VersionKind.POLICY, VersionKind.PEOPLE_AND_POLICY, VersionKind.ROLLBACK)

_SELECT = select(*(column for column in POLICY_VERSION.c if column.name != "document"))


@dataclass(frozen=True, slots=True)
class Version:
    """What is known of a version, without its document."""

    version: int
    at: datetime
    author: str
    comment: str
    kind: VersionKind
    changes: tuple[str, ...]
    restored_from: int | None = None


def lock(connection: Connection) -> int:
    """Keep every other change out until the transaction ends; begin a change with it.

    What is read after it is what the next version follows on.

    Returns:
        The current version, 0 where there is none.
    """
    alone(connection, "people")
    return current_version(connection)


def current_version(connection: Connection) -> int:
    """The number of the newest version, 0 where there is none."""
    newest = connection.execute(select(func.max(POLICY_VERSION.c.version))).scalar_one()
    return newest or 0


def next_version(
    connection: Connection,
    author: str,
    comment: str,
    kind: VersionKind,
    *,
    changes: Sequence[str] = (),
    document: dict[str, Any] | None = None,
    restored_from: int | None = None,
    at: datetime | None = None,
    trails: Mapping[str, Mapping[str, Detail]] = THE_INSTALLATIONS,
) -> int:
    """Write a new version, in the transaction of the change that it is for, and audit it.

    Args:
        connection: Of a writing transaction; if it is rolled back, there is no version either.
        author: Who made the change.
        comment: Why, empty for no reason given.
        kind: What was changed.
        changes: A line for each change, for people to read.
        document: The policy text as JSON-able values, where it has changed.
        restored_from: The version that a rollback brings back.
        at: When; now if it is not given.
        trails: In which tenants' audit trails it goes, and what it says there besides; if it is
            not given, that of the installation.

    Returns:
        Its number.
    """
    version = lock(connection) + 1
    connection.execute(
        insert(POLICY_VERSION).values(
            version=version,
            at=at or datetime.now(UTC),
            author=author,
            comment=comment,
            kind=kind,
            changes=list(changes),
            document=document,
            restored_from=restored_from,
        )
    )
    # Neither comment nor changes: they may have excluded numbers in them, and so people.
    detail: dict[str, Detail] = {"version": str(kind)}
    if document is not None:
        detail["policy_sha256"] = document_sha256(document)
    if restored_from is not None:
        detail["restored_from"] = restored_from
    action = Action.PEOPLE if kind in OF_PEOPLE else Action.POLICY
    entries = [
        Entry(tenant, author, action, "version", str(version), {**more, **detail})
        for tenant, more in trails.items()
    ]
    append_all(connection, entries, at)
    return version


def document_sha256(document: dict[str, Any]) -> str:
    """The hash of a policy's text as it is kept, whatever order a database gives its keys back."""
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def versions(
    connection: Connection, kinds: Sequence[VersionKind] = tuple(VersionKind), limit: int = 50
) -> list[Version]:
    """The newest versions of those kinds, newest first."""
    query = _SELECT.where(POLICY_VERSION.c.kind.in_(kinds))
    query = query.order_by(POLICY_VERSION.c.version.desc()).limit(limit)
    return [_version(row) for row in connection.execute(query).mappings()]


def people_versions(connection: Connection, after: int, until: int) -> list[Version]:
    """The versions that changed people and places, after one and up to another, oldest first."""
    query = _SELECT.where(
        POLICY_VERSION.c.kind.in_(OF_PEOPLE),
        POLICY_VERSION.c.version > after,
        POLICY_VERSION.c.version <= until,
    )
    rows = connection.execute(query.order_by(POLICY_VERSION.c.version)).mappings()
    return [_version(row) for row in rows]


def find_version(connection: Connection, version: int) -> Version | None:
    """The version of that number."""
    query = _SELECT.where(POLICY_VERSION.c.version == version)
    row = connection.execute(query).mappings().first()
    return None if row is None else _version(row)


def _version(row: RowMapping) -> Version:
    return Version(**(dict(row) | {"changes": tuple(row["changes"])}))
