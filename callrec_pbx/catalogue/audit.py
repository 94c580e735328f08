"""The audit trail: who did what to whom, in a chain of hashes for each tenant."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import cast

from sqlalchemy import Connection, Table, insert, select

from callrec_pbx.catalogue import audit_anchor
from callrec_pbx.catalogue.audit_chain import (
    Detail,
    Head,
    Line,
    clean,
    hash_of,
    written_detail,
    written_time,
)
from callrec_pbx.catalogue.audit_models import AuditRow
from callrec_pbx.catalogue.engine import alone

__all__ = ["AUDIT", "Action", "Detail", "Entry", "append", "append_all", "head_of"]

AUDIT = cast(Table, AuditRow.__table__)

MOST = 500
"""Characters of a subject; PostgreSQL takes no more than 2,700 bytes into an index."""


class Action(StrEnum):
    """What somebody did."""

    PLAY = "play"
    DOWNLOAD = "download"
    SHARE = "share"
    CHANGE = "change"
    DELETE = "delete"
    UNDELETE = "undelete"
    DISCARD = "discard"
    PRUNE = "prune"
    ERASE = "erase"
    HOLD = "hold"
    RELEASE = "release"
    POLICY = "policy"
    PEOPLE = "people"
    EVIDENCE = "evidence"
    EXPORT = "export"
    MEND = "mend"
    SIGN_IN = "sign_in"


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the trail. Never a caller's number or name: the trail outlives an erasure.

    Attributes:
        tenant: Whose trail it is; empty: that of the whole installation.
        actor: Who did it: an e-mail, `cli:<name of the system's user>`, or a part of the software
            such as `retention`.
        kind: What it was done to: `recording`, `call`, `hold`, `policy`, `tenant`, ...
        subject: Its id or name.
        detail: More of it, flat; no fractions.
    """

    tenant: str
    actor: str
    action: Action
    kind: str
    subject: str
    detail: Mapping[str, Detail] = field(default_factory=dict)


def append(connection: Connection, entry: Entry, at: datetime | None = None) -> None:
    """Write a line, in the transaction of what it is about.

    Write it last in the transaction, as nobody else writes into that tenant's trail until it ends;
    of several lines, write all at once with `append_all`.

    Args:
        connection: Of a writing transaction; if it is rolled back, there is no line either.
        entry: What was done.
        at: When; now if it is not given.
    """
    append_all(connection, [entry], at)


def append_all(
    connection: Connection, entries: Iterable[Entry], at: datetime | None = None
) -> None:
    """Write lines, in the transaction of what they are about, each tenant's in their order.

    Args:
        connection: As for `append`.
        entries: What was done; of several tenants too, whose trails are locked in one order.
        at: When; now if it is not given.
    """
    by_tenant: dict[str, list[Entry]] = {}
    for entry in entries:
        by_tenant.setdefault(clean(entry.tenant), []).append(entry)
    for tenant in sorted(by_tenant):
        # Nobody else writes into that trail until the transaction ends.
        alone(connection, f"audit:{tenant}")
    when = written_time(at or datetime.now(UTC))
    for tenant, several in sorted(by_tenant.items()):
        before = head_of(connection, tenant)
        lines = _chained(before or Head(tenant, 0, "", ""), several, when)
        connection.execute(insert(AUDIT), [asdict(line) for line in lines])
        last = lines[-1]
        audit_anchor.note(connection, Head(tenant, last.seq, last.hash, last.at))


def head_of(connection: Connection, tenant: str) -> Head | None:
    """The last line of a tenant's trail; None where there is none."""
    columns = (AUDIT.c.tenant, AUDIT.c.seq, AUDIT.c.hash, AUDIT.c.at)
    query = select(*columns).where(AUDIT.c.tenant == tenant).order_by(AUDIT.c.seq.desc())
    row = connection.execute(query.limit(1)).first()
    return None if row is None else Head(*row)


def _chained(head: Head, entries: list[Entry], at: str) -> list[Line]:
    lines = []
    seq, before = head.seq, head.hash
    for entry in entries:
        seq += 1
        unhashed = Line(
            head.tenant,
            seq,
            at,
            clean(entry.actor),
            str(Action(entry.action)),
            clean(entry.kind),
            clean(entry.subject)[:MOST],
            written_detail(entry.detail),
            prev_hash=before,
            hash="",
        )
        before = hash_of(unhashed)
        lines.append(Line(**(asdict(unhashed) | {"hash": before})))
    return lines
