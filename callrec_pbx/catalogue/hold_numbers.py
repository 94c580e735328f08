"""Every call in which a number stands, wherever: for legal holds and for erasure.

All rows are read, as no index knows every spelling in every place; that takes a while, and is
right.
"""

from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    cast,
    literal_column,
    or_,
    select,
)

from callrec_pbx.catalogue.people_models import SiteRow, TenantRow
from callrec_pbx.catalogue.rows import CALL, CONSENT, LEG, RECORDING
from callrec_pbx.domain.holds import parts_of

LAST_DIGITS = 6
"""Digits at the end of a number by which rows are chosen, before they are looked at closely."""

NUMBERS = (
    CALL.c.a_number,
    CALL.c.b_number,
    CALL.c.c_number,
    CALL.c.ddi,
    LEG.c.number,
    CONSENT.c.number,
)
"""Columns that hold one number."""

TEXTS = (
    CALL.c.a_name,
    CALL.c.transfers,
    LEG.c.name,
    LEG.c.channel,
    LEG.c.line,
    RECORDING.c.channel,
    RECORDING.c.owner,
    RECORDING.c.line,
    RECORDING.c.tags,
    RECORDING.c.named,
    RECORDING.c.deletion_why,
    RECORDING.c.follow_up_error,
    RECORDING.c.prune_reason,
    CALL.c.prune_reason,
)
"""Columns in which a number may stand among other things."""

Fits = Callable[[str], bool]
"""Whether what stands in a row is the number."""


def calls_with(connection: Connection, number: str, fits: Fits) -> Iterator[str]:
    """The ids of calls in which a number stands, each once.

    Args:
        connection: In a transaction.
        number: The number in any spelling.
        fits: Says of what looks like it whether it is it.
    """
    found: set[str] = set()
    for call_id, _column, value in _alike(connection, number):
        if call_id not in found and fits(value):
            found.add(call_id)
            yield call_id


def _alike(connection: Connection, number: str) -> Iterator[tuple[str, str, str]]:
    for column in (*NUMBERS, *TEXTS):
        query = _rows(connection, column, number)
        for call_id, value in connection.execute(query, execution_options={"yield_per": 1000}):
            for part in (value,) if column in NUMBERS else parts_of(value):
                yield call_id, column.name, part


def _rows(connection: Connection, column: Any, number: str) -> Select[Any]:
    text: ColumnElement[str] = column if isinstance(column.type, Text) else cast(column, Text)
    query = select(column.table.c.call_id, text.label("value"))
    return query.where(text != "", _looks_like(connection, text, number))


def _looks_like(
    connection: Connection, column: ColumnElement[str], number: str
) -> ColumnElement[bool]:
    """Whether the last digits stand there in their order, with anything between them.

    What is not ASCII may have digits of another script, and is looked at.
    """
    digits = [char for char in number if char.isdecimal()][-LAST_DIGITS:]
    # Both are written out, as PostgreSQL and SQLite have no word for it in common.
    if connection.dialect.name == "postgresql":
        foreign = column.op("~")(literal_column("'[^\\x01-\\x7f]'"))
    else:
        foreign = column.op("GLOB")(literal_column("'*[^ -~]*'"))
    if not digits:
        return or_(column == number, foreign)
    pattern = "%" + "%".join(str(int(digit)) for digit in digits) + "%"
    return or_(column.like(pattern), foreign)


def places(connection: Connection, tenant: str = "") -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Whose numbers those without a country code are, and what is dialled before them.

    Args:
        connection: In a transaction.
        tenant: Only of that tenant and its sites; empty: of all.

    Returns:
        Countries, and what is dialled for an outside line.
    """
    of_tenants = select(TenantRow.country, TenantRow.outside_prefix)
    of_sites = select(SiteRow.country, SiteRow.outside_prefix).join(
        TenantRow, TenantRow.id == SiteRow.tenant_id
    )
    if tenant:
        of_tenants = of_tenants.where(TenantRow.name == tenant)
        of_sites = of_sites.where(TenantRow.name == tenant)
    rows = [*connection.execute(of_tenants), *connection.execute(of_sites)]
    countries = tuple(sorted({country for country, _ in rows if country}))
    return countries, tuple(sorted({prefix for _, prefix in rows if prefix}))
