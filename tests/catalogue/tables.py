"""Everything that a catalogue holds, to be compared."""

from typing import Any

from sqlalchemy import Engine, select

from callrec_pbx.catalogue.models import Base


def dump(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """All rows of all tables, in order of their keys."""
    found: dict[str, list[dict[str, Any]]] = {}
    with engine.begin() as connection:
        for table in Base.metadata.sorted_tables:
            query = select(table).order_by(*table.primary_key.columns)
            found[table.name] = [dict(row) for row in connection.execute(query).mappings()]
    return found
