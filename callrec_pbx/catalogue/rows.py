"""Facts to rows and back: idempotent upserts of whole batches, and reading facts from rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, cast

from sqlalchemy import Connection, Delete, Insert, RowMapping, Table, bindparam, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from callrec_pbx.catalogue.models import Call, ConsentRow, Leg, Pause, Recording
from callrec_pbx.catalogue.search_rows import OF_CALL, Upkeep
from callrec_pbx.domain.facts import (
    CallFacts,
    ConsentFacts,
    LegFacts,
    PauseFacts,
    RecordingFacts,
)
from callrec_pbx.storage.serial import CallSidecar, Tombstone

CALL = cast(Table, Call.__table__)
LEG = cast(Table, Leg.__table__)
CONSENT = cast(Table, ConsentRow.__table__)
RECORDING = cast(Table, Recording.__table__)
PAUSE = cast(Table, Pause.__table__)

_PARTS = frozenset({"legs", "consents", "pauses"})
"""Fields that have tables of their own."""

_CALL_FIELDS = tuple(f.name for f in fields(CallFacts) if f.name not in _PARTS)
_RECORDING_FIELDS = tuple(f.name for f in fields(RecordingFacts) if f.name not in _PARTS)
_LEG_FIELDS = tuple(f.name for f in fields(LegFacts))
_CONSENT_FIELDS = tuple(f.name for f in fields(ConsentFacts))
_PAUSE_FIELDS = tuple(f.name for f in fields(PauseFacts))

CHUNK = 500
"""How many ids one query names."""


@dataclass(frozen=True, slots=True)
class RecordingRow:
    """A recording with its tombstone, as a row holds them."""

    recording: RecordingFacts
    tombstone: Tombstone | None = None


Item = CallSidecar | RecordingRow


def write(connection: Connection, items: Iterable[Item]) -> None:
    """Insert or update calls with their legs and consents, and recordings with their pauses.

    Writing the same items again changes nothing. Of several items of one id the last wins. A
    recording whose call is unknown gets a call that knows no more than its id and time.
    """
    calls: dict[str, CallSidecar] = {}
    recordings: dict[str, RecordingRow] = {}
    for item in items:
        if isinstance(item, CallSidecar):
            calls[item.call.call_id] = item
        else:
            recordings[item.recording.recording_id] = item
    # In the same order everywhere, so that two that write the same ones do not wait in a circle.
    calls, recordings = dict(sorted(calls.items())), dict(sorted(recordings.items()))
    dialect = connection.dialect.name
    if calls:
        _write_calls(connection, dialect, calls)
    if recordings:
        _write_stubs(connection, dialect, recordings, calls)
    upkeep = Upkeep(
        connection,
        {call_id: item.call for call_id, item in calls.items()},
        {recording_id: item.recording for recording_id, item in recordings.items()},
    )
    if recordings:
        _write_recordings(connection, dialect, recordings, upkeep)
    upkeep.write()


def _write_calls(connection: Connection, dialect: str, calls: Mapping[str, CallSidecar]) -> None:
    rows, legs, consents = [], [], []
    for call_id, item in calls.items():
        call = item.call
        rows.append(_row(call, _CALL_FIELDS) | _tombstone_columns(item.tombstone))
        legs += [
            _row(leg, _LEG_FIELDS) | {"call_id": call_id, "position": position}
            for position, leg in enumerate(call.legs)
        ]
        consents += [
            _row(consent, _CONSENT_FIELDS) | {"call_id": call_id, "position": position}
            for position, consent in enumerate(call.consents)
        ]
    connection.execute(_upsert(CALL, dialect), rows)
    _replace(connection, LEG, "call_id", calls, legs)
    _replace(connection, CONSENT, "call_id", calls, consents)


def _write_stubs(
    connection: Connection,
    dialect: str,
    recordings: Mapping[str, RecordingRow],
    calls: Mapping[str, CallSidecar],
) -> None:
    stubs = [
        CallFacts(item.recording.call_id, (), item.recording.created_at)
        for item in recordings.values()
        if item.recording.call_id not in calls
    ]
    if stubs:
        stubs.sort(key=lambda stub: stub.call_id)
        rows = [_row(stub, _CALL_FIELDS) | _tombstone_columns(None) for stub in stubs]
        connection.execute(_insert_new(CALL, dialect), rows)


def _write_recordings(
    connection: Connection,
    dialect: str,
    recordings: Mapping[str, RecordingRow],
    upkeep: Upkeep,
) -> None:
    rows: dict[frozenset[str], list[dict[str, Any]]] = {}
    pauses = []
    for recording_id, item in recordings.items():
        facts = item.recording
        row = _row(facts, _RECORDING_FIELDS) | _tombstone_columns(item.tombstone)
        row |= upkeep.columns(facts)
        rows.setdefault(upkeep.unchanged(row), []).append(row)
        pauses += [
            _row(pause, _PAUSE_FIELDS) | {"recording_id": recording_id, "position": position}
            for position, pause in enumerate(facts.pauses)
        ]
    for unchanged, same in rows.items():
        connection.execute(_upsert(RECORDING, dialect, unchanged), same)
    _replace(connection, PAUSE, "recording_id", recordings, pauses)


def _replace(
    connection: Connection,
    table: Table,
    key: str,
    ids: Iterable[str],
    rows: Sequence[dict[str, Any]],
) -> None:
    connection.execute(_delete(table, key), [{"owner_id": one} for one in ids])
    if rows:
        connection.execute(_insert(table), rows)


def _row(facts: object, names: tuple[str, ...]) -> dict[str, Any]:
    return {name: getattr(facts, name) for name in names}


def _tombstone_columns(tombstone: Tombstone | None) -> dict[str, Any]:
    if tombstone is None:
        return {"pruned_at": None, "pruned_by": "", "prune_reason": ""}
    return {
        "pruned_at": tombstone.pruned_at,
        "pruned_by": tombstone.pruned_by,
        "prune_reason": tombstone.why,
    }


@cache
def _upsert(table: Table, dialect: str, unchanged: frozenset[str] = frozenset()) -> Insert:
    insert = _dialect_insert(table, dialect)
    keys = [column.name for column in table.primary_key]
    # What a recording has of its call is changed where that has changed, and not by its own row.
    kept = {*keys, *unchanged, *(OF_CALL if table is RECORDING else ())}
    others = {c.name: insert.excluded[c.name] for c in table.columns if c.name not in kept}
    return insert.on_conflict_do_update(index_elements=keys, set_=others)


@cache
def _insert_new(table: Table, dialect: str) -> Insert:
    return _dialect_insert(table, dialect).on_conflict_do_nothing()


def _dialect_insert(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """Upserts are the one thing that is spelt by the dialect."""
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


@cache
def _insert(table: Table) -> Insert:
    return table.insert()


@cache
def _delete(table: Table, key: str) -> Delete:
    return delete(table).where(table.c[key] == bindparam("owner_id"))


def calls_of(connection: Connection, rows: Sequence[RowMapping]) -> list[CallSidecar]:
    """Calls with their legs and consents, from rows of the table `call`, in the same order."""
    ids = [row["call_id"] for row in rows]
    legs = _parts(connection, LEG, "call_id", ids)
    consents = _parts(connection, CONSENT, "call_id", ids)
    found = []
    for row in rows:
        values = {name: row[name] for name in _CALL_FIELDS}
        values["pbx_ids"] = tuple(row["pbx_ids"])
        values["transfers"] = tuple(row["transfers"])
        values["legs"] = tuple(
            LegFacts(**{name: leg[name] for name in _LEG_FIELDS})
            for leg in legs.get(row["call_id"], ())
        )
        values["consents"] = tuple(
            ConsentFacts(**{name: consent[name] for name in _CONSENT_FIELDS})
            for consent in consents.get(row["call_id"], ())
        )
        found.append(CallSidecar(CallFacts(**values), _tombstone(row)))
    return found


def recordings_of(connection: Connection, rows: Sequence[RowMapping]) -> list[RecordingRow]:
    """Recordings with their pauses, from rows of the table `recording`, in the same order."""
    pauses = _parts(connection, PAUSE, "recording_id", [row["recording_id"] for row in rows])
    found = []
    for row in rows:
        values = {name: row[name] for name in _RECORDING_FIELDS}
        values["tags"] = tuple(row["tags"])
        values["pauses"] = tuple(
            PauseFacts(pause["from_ms"], pause["to_ms"])
            for pause in pauses.get(row["recording_id"], ())
        )
        found.append(RecordingRow(RecordingFacts(**values), _tombstone(row)))
    return found


def calls_by_id(connection: Connection, ids: Iterable[str]) -> dict[str, CallSidecar]:
    """Calls by their ids; an id that is not known is left out."""
    found: dict[str, CallSidecar] = {}
    for chunk in chunks(ids):
        rows = connection.execute(select(CALL).where(CALL.c.call_id.in_(chunk))).mappings().all()
        found |= {item.call.call_id: item for item in calls_of(connection, rows)}
    return found


def chunks(ids: Iterable[str]) -> Iterable[list[str]]:
    """Distinct ids in portions that one query may name."""
    distinct = list(dict.fromkeys(ids))
    return (distinct[at : at + CHUNK] for at in range(0, len(distinct), CHUNK))


def _parts(
    connection: Connection, table: Table, key: str, ids: Iterable[str]
) -> dict[str, list[RowMapping]]:
    found: dict[str, list[RowMapping]] = {}
    for chunk in chunks(ids):
        query = select(table).where(table.c[key].in_(chunk)).order_by(table.c.position)
        for row in connection.execute(query).mappings():
            found.setdefault(row[key], []).append(row)
    return found


def _tombstone(row: RowMapping) -> Tombstone | None:
    if row["pruned_at"] is None:
        return None
    return Tombstone(row["pruned_at"], row["pruned_by"], row["prune_reason"])
