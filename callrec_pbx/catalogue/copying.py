"""Moving a catalogue to another database, such as from SQLite to PostgreSQL."""

from collections.abc import Callable

from sqlalchemy import Connection, Engine, Table, func, insert, select

from callrec_pbx.catalogue.engine import CatalogueError, alone, make_engine, reading, shown
from callrec_pbx.catalogue.migrate import current, open_current, upgrade
from callrec_pbx.catalogue.people_models import PolicyVersionRow
from callrec_pbx.catalogue.tables import all_tables

BATCH = 2000

WITH_SCHEMA = ("people_change", "policy_version", "tenant")
"""Tables in which a new catalogue has a row: its first tenant, and the version that made it."""

Progress = Callable[[str, int, int], None]
"""Told a table, its rows copied so far, and how many there are."""


def copy(source: Engine, to: str, progress: Progress = lambda _table, _done, _total: None) -> int:
    """Copy all rows into an empty database, all or nothing; the source stays as it is.

    Args:
        source: A catalogue at the current schema.
        to: Address of the other one; where there is no catalogue yet, one is made.

    Returns:
        How many rows there are.

    Raises:
        CatalogueError: the other one has something in it already, or cannot be had.
    """
    if current(to) is None:
        upgrade(to)
    open_current(to).dispose()
    # One statement may have to wait for the disk as long as it takes.
    target = make_engine(to, statement_ms=0)
    try:
        with reading(source).connect() as there, target.begin() as here:
            alone(here, "people")
            _check_empty(here, to)
            for table in reversed(all_tables()):
                if table.name in WITH_SCHEMA:
                    here.execute(table.delete())
            copied = sum(_copy_table(there, here, table, progress) for table in all_tables())
            _set_sequences(here)
    finally:
        target.dispose()
    return copied


def _check_empty(connection: Connection, to: str) -> None:
    remedy = "give the address of an empty database"
    for table in all_tables():
        rows = connection.execute(select(func.count()).select_from(table)).scalar_one()
        if rows > (table.name in WITH_SCHEMA):
            raise CatalogueError(
                f"--to {shown(to)!r}: table {table.name} has {rows} rows already; {remedy}"
            )
    versions = connection.execute(select(PolicyVersionRow.version, PolicyVersionRow.author)).all()
    if [tuple(row) for row in versions] != [(1, "callrec-pbx migrate")]:
        raise CatalogueError(f"--to {shown(to)!r}: somebody has worked with it; {remedy}")


def _copy_table(there: Connection, here: Connection, table: Table, progress: Progress) -> int:
    counted = select(func.count()).select_from(table)
    total = there.execute(counted).scalar_one()
    progress(table.name, 0, total)
    done = 0
    with there.execution_options(yield_per=BATCH).execute(select(table)) as found:
        for batch in found.mappings().partitions():
            here.execute(insert(table), [dict(row) for row in batch])
            done += len(batch)
            progress(table.name, done, total)
    arrived = here.execute(counted).scalar_one()
    if not total == done == arrived:
        raise CatalogueError(
            f"table {table.name}: {total} rows, and {arrived} arrived; nothing was copied. Report "
            "this to the makers of callrec-pbx"
        )
    return total


def _set_sequences(connection: Connection) -> None:
    """PostgreSQL counts on from the rows; SQLite does so by itself."""
    if connection.dialect.name != "postgresql":
        return
    for table in all_tables():
        column = table.autoincrement_column
        if column is None:
            continue
        last = func.max(column)
        sequence = func.pg_get_serial_sequence(f'"{table.name}"', column.name)
        set_to = func.setval(sequence, func.greatest(last, 1), last.is_not(None))
        connection.execute(select(set_to).select_from(table))
