"""Everything that a catalogue holds of calls and recordings, to be compared."""

from typing import Any

from sqlalchemy import Engine, select

from callrec_pbx.catalogue.rows import CALL, CONSENT, LEG, PAUSE, RECORDING


def dump(engine: Engine) -> dict[str, list[dict[str, Any]]]:
    """All rows of the tables that an index over sidecars has, in order of their keys."""
    found: dict[str, list[dict[str, Any]]] = {}
    with engine.begin() as connection:
        for table in (CALL, LEG, CONSENT, RECORDING, PAUSE):
            query = select(table).order_by(*table.primary_key.columns)
            found[table.name] = [dict(row) for row in connection.execute(query).mappings()]
    return found
