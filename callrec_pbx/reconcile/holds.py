"""Whether the table of legal holds agrees with their files."""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import select

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.holds import HOLD, index
from callrec_pbx.domain.holds import Hold
from callrec_pbx.reconcile.finding import Finding, Kind, What
from callrec_pbx.reconcile.mend import Way
from callrec_pbx.storage.holds import HoldError


def check_holds(place: Place, way: Way) -> list[Finding]:
    """Compare, and mend: a hold that has lost its file gets it back, as it would not hold else."""
    holds = place.store.holds
    found = [
        Finding(Kind.HOLD_BROKEN, What.HOLD, broken.path.stem, broken.error)
        for broken in holds.broken()
    ]
    unread = {broken.path.stem for broken in holds.broken()}
    there = {hold.hold_id: hold for hold in holds.all()}
    with reading(place.engine).begin() as connection:
        rows = {row["hold_id"]: _hold(row) for row in connection.execute(select(HOLD)).mappings()}
    found += [
        _file_missing(place, way, rows[hold_id])
        for hold_id in sorted(rows.keys() - there.keys() - unread)
    ]
    for hold_id, hold in sorted(there.items()):
        if rows.get(hold_id) != hold:
            if way.mend:
                with place.engine.begin() as connection:
                    index(connection, [hold])
            found.append(Finding(Kind.HOLD_ROW_DIFFERS, What.HOLD, hold_id, mended=way.mend))
    return found


def _hold(row: Mapping[Any, Any]) -> Hold:
    values: dict[str, Any] = {field.name: row[field.name] for field in fields(Hold)}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Hold(**(values | lists))


def _file_missing(place: Place, way: Way, hold: Hold) -> Finding:
    detail = "" if hold.active else "it is released"
    error = ""
    if way.mend:
        try:
            place.store.holds.write(hold)
        except HoldError as refused:
            error = str(refused)
    mended = way.mend and not error
    return Finding(Kind.HOLD_FILE_MISSING, What.HOLD, hold.hold_id, detail, mended, error)
