"""Rows of a whole batch in one transaction, with the lines of the audit trail that belong to them.

When the database refuses the batch for a row's own sake, each item is tried alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Engine

from callrec_pbx.catalogue import audit, rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import is_outage
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.retention.outcome import Done
from callrec_pbx.storage.serial import Sidecar


@dataclass(slots=True)
class Step:
    """Rows of one item that are committed together.

    Attributes:
        done: What has become of the item then; None: it goes on.
        sidecar: The recording as it is now, where it goes on.
        failed: What it is called when it fails.
    """

    items: list[rows.Item]
    entries: list[audit.Entry] = field(default_factory=list)
    done: Done | None = None
    sidecar: Sidecar | None = None
    reason: str = ""
    size: int = 0


Failed = Callable[[Step, Exception], None]


def commit(place: Place, steps: Sequence[Step], failed: Failed) -> list[Step]:
    """Write the rows.

    Returns:
        The steps that are committed.

    Raises:
        DBAPIError: the catalogue is not to be had.
    """
    if not steps:
        return []
    try:
        _write(place.engine, steps)
    except Exception as error:
        if is_outage(error):
            raise
        if len(steps) == 1:
            failed(steps[0], error)
            return []
        return [done for step in steps for done in commit(place, [step], failed)]
    for step in steps:
        for item in step.items:
            facts = item.recording if isinstance(item, RecordingRow) else item.call
            place.store.written(facts, item.tombstone)
    return list(steps)


def _write(engine: Engine, steps: Sequence[Step]) -> None:
    with engine.begin() as connection:
        rows.write(connection, [item for step in steps for item in step.items])
        entries = [entry for step in steps for entry in step.entries]
        if entries:
            audit.append_all(connection, entries)
