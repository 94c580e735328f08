"""A trail of two tenants, and somebody who meddles with it."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import Connection, Engine, text

from callrec_pbx.catalogue import audit_queries
from callrec_pbx.catalogue.audit import Action, Entry, append_all
from callrec_pbx.catalogue.audit_anchor import keep_anchors
from callrec_pbx.catalogue.audit_chain import Head, Line
from callrec_pbx.catalogue.audit_verify import Finding, verify
from callrec_pbx.catalogue.engine import reading

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entries(tenant: str, count: int) -> list[Entry]:
    """Things that were done."""
    return [
        Entry(tenant, "anna@acme.example", Action.CHANGE, "recording", f"r{number}", detail)
        for number in range(1, count + 1)
        for detail in [{"number": number, "flagged": number % 2 == 0, "was": None}]
    ]


def anchored(engine: Engine, directory: Path, *counts: tuple[str, int]) -> None:
    """Write lines for tenants, with anchors in that directory."""
    keep_anchors(engine, directory)
    with engine.begin() as connection:
        append_all(connection, [one for name, count in counts for one in entries(name, count)])


def all_lines(engine: Engine) -> list[Line]:
    """Every line."""
    with reading(engine).begin() as connection:
        return list(audit_queries.everything(connection))


def allow_everything(connection: Connection) -> None:
    """Take the triggers away, as somebody may who owns the database."""
    on_table = " ON audit" if connection.dialect.name == "postgresql" else ""
    names = (
        ("audit_no_change", "audit_no_truncate")
        if on_table
        else ("audit_no_update", "audit_no_delete", "audit_no_replace")
    )
    for name in names:
        connection.execute(text(f"DROP TRIGGER {name}{on_table}"))


def found_in(connection: Connection, heads: Iterable[Head]) -> list[Finding]:
    """What is wrong with all trails."""
    return list(verify(audit_queries.everything(connection), heads))
