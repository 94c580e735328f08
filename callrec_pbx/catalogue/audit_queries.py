"""Reading the audit trail: a page of it, a part of it for an export, all of it to be checked."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, func, or_, select, text

from callrec_pbx.catalogue.audit import AUDIT, Action, head_of
from callrec_pbx.catalogue.audit_chain import Head, Line, written_time
from callrec_pbx.catalogue.audit_verify import Begins
from callrec_pbx.catalogue.engine import CatalogueError

BATCH = 1000
"""Lines that are in memory at the same time."""

FIELDS = tuple(Line.__dataclass_fields__)


class CursorError(CatalogueError):
    """A place to go on from is none that a page has given."""


@dataclass(frozen=True, slots=True)
class WantedLines:
    """Which lines a page shows; what is None is not asked for.

    Attributes:
        start: Not before this.
        end: Before this.
        tenant: Whose trail; empty for that of the installation.
        after: Where the page before ended, as it said.
        limit: How many at the most.
    """

    start: datetime | None = None
    end: datetime | None = None
    tenant: str | None = None
    actor: str | None = None
    actions: tuple[Action, ...] = ()
    kind: str | None = None
    subject: str | None = None
    after: str | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class Page:
    """Lines, newest first; `more` is where the next page goes on, None at the end."""

    lines: list[Line]
    more: str | None


@dataclass(frozen=True, slots=True)
class Part:
    """A part of one trail without gaps.

    Attributes:
        begins: What its first line follows on.
        last: Its last line.
    """

    tenant: str
    begins: Begins
    last: Head


def page(connection: Connection, wanted: WantedLines) -> Page:
    """Lines that are wanted, newest first.

    Raises:
        CursorError: `after` is nothing that a page has given.
    """
    query = select(AUDIT)
    for column, value in (
        (AUDIT.c.tenant, wanted.tenant),
        (AUDIT.c.actor, wanted.actor),
        (AUDIT.c.kind, wanted.kind),
        (AUDIT.c.subject, wanted.subject),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.actions:
        query = query.where(AUDIT.c.action.in_([str(one) for one in wanted.actions]))
    if wanted.start is not None:
        query = query.where(AUDIT.c.at >= written_time(wanted.start))
    if wanted.end is not None:
        query = query.where(AUDIT.c.at < written_time(wanted.end))
    if wanted.after is not None:
        query = _going_on(query, wanted.after)
    query = query.order_by(AUDIT.c.at.desc(), AUDIT.c.tenant.desc(), AUDIT.c.seq.desc())
    lines = [_line(row) for row in connection.execute(query.limit(wanted.limit + 1))]
    if len(lines) <= wanted.limit:
        return Page(lines, None)
    last = lines[wanted.limit - 1]
    return Page(lines[: wanted.limit], f"{last.at}/{last.seq}/{last.tenant}")


def lines_about(connection: Connection, subjects: list[str], kind: str | None = None) -> list[Line]:
    """All lines about any of those subjects, oldest first."""
    query = select(AUDIT).where(AUDIT.c.subject.in_(subjects))
    if kind is not None:
        query = query.where(AUDIT.c.kind == kind)
    query = query.order_by(AUDIT.c.at, AUDIT.c.tenant, AUDIT.c.seq)
    return [_line(row) for row in connection.execute(query)]


def evidence_line(connection: Connection, sha256: str) -> Line | None:
    """The line that says that a document of that checksum was made."""
    query = select(AUDIT).where(
        AUDIT.c.action == str(Action.EVIDENCE),
        AUDIT.c.detail.contains(f'"sha256":"{sha256}"', autoescape=True),
    )
    row = connection.execute(query.limit(1)).first()
    return None if row is None else _line(row)


def tenants(connection: Connection) -> list[str]:
    """Whose trails there are."""
    return sorted(connection.execute(select(AUDIT.c.tenant).distinct()).scalars())


def heads(connection: Connection, tenant: str | None = None) -> list[Head]:
    """The last line of each trail, or of one."""
    whose = tenants(connection) if tenant is None else [tenant]
    found = (head_of(connection, one) for one in whose)
    return [head for head in found if head is not None]


def count(connection: Connection, tenant: str | None = None) -> int:
    """How many lines there are."""
    query = select(func.count()).select_from(AUDIT)
    if tenant is not None:
        query = query.where(AUDIT.c.tenant == tenant)
    return connection.execute(query).scalar_one()


def everything(connection: Connection, tenant: str | None = None) -> Iterator[Line]:
    """All lines, each tenant's in their order, just as the database has them."""
    # Not through the columns' types: one that was tampered with is to be seen as it is.
    where = "" if tenant is None else "WHERE tenant = :tenant "
    query = text(f"SELECT {', '.join(FIELDS)} FROM audit {where}ORDER BY tenant, seq")  # noqa: S608
    yield from _streamed(connection, query, {} if tenant is None else {"tenant": tenant})


def parts(
    connection: Connection,
    start: datetime | None = None,
    end: datetime | None = None,
    tenant: str | None = None,
) -> list[Part]:
    """What a period has of each trail, from its first line in it to its last, without gaps."""
    found = []
    for head in heads(connection, tenant):
        first, last = 1, head.seq
        whose = AUDIT.c.tenant == head.tenant
        if start is not None:
            query = select(func.min(AUDIT.c.seq)).where(whose, AUDIT.c.at >= written_time(start))
            first = connection.execute(query).scalar() or last + 1
        if end is not None:
            query = select(func.max(AUDIT.c.seq)).where(whose, AUDIT.c.at < written_time(end))
            last = connection.execute(query).scalar() or 0
        if first <= last:
            found.append(
                Part(
                    head.tenant,
                    Begins(first - 1, _at(connection, head.tenant, first).prev_hash),
                    _head(_at(connection, head.tenant, last)),
                )
            )
    return found


def part_lines(connection: Connection, part: Part) -> Iterator[Line]:
    """The lines of a part."""
    query = select(AUDIT).where(
        AUDIT.c.tenant == part.tenant,
        AUDIT.c.seq > part.begins.seq,
        AUDIT.c.seq <= part.last.seq,
    )
    yield from _streamed(connection, query.order_by(AUDIT.c.seq), {})


def _streamed(connection: Connection, query: Any, parameters: dict[str, Any]) -> Iterator[Line]:
    rows = connection.execute(query, parameters, execution_options={"yield_per": BATCH})
    for row in rows:
        yield _line(row)


def _at(connection: Connection, tenant: str, seq: int) -> Line:
    """The first line from that one on."""
    query = select(AUDIT).where(AUDIT.c.tenant == tenant, AUDIT.c.seq >= seq)
    return _line(connection.execute(query.order_by(AUDIT.c.seq).limit(1)).one())


def _line(row: Any) -> Line:
    return Line(*(getattr(row, name) for name in FIELDS))


def _head(line: Line) -> Head:
    return Head(line.tenant, line.seq, line.hash, line.at)


def _going_on(query: Select[Any], after: str) -> Select[Any]:
    try:
        at, seq, tenant = after.split("/", 2)
        number = int(seq)
    except ValueError:
        raise CursorError(
            f"--after {after!r}: is no place to go on from; give what the page before ended with"
        ) from None
    return query.where(
        # Said once more, for the index.
        AUDIT.c.at <= at,
        or_(
            AUDIT.c.at < at,
            and_(AUDIT.c.at == at, AUDIT.c.tenant < tenant),
            and_(AUDIT.c.at == at, AUDIT.c.tenant == tenant, AUDIT.c.seq < number),
        ),
    )
