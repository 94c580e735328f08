"""Placing and releasing legal holds, and what they cover, as the catalogue knows it.

The file comes first when a hold is placed, and last when it is released: whatever is cut off
between, nothing is deleted that should have been held.
"""

import os
import secrets
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any
from typing import cast as as_type

import structlog
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    RowMapping,
    Table,
    delete,
    func,
    or_,
    select,
)

from callrec_pbx.catalogue import audit, rows
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.hold_models import LegalHold
from callrec_pbx.catalogue.hold_numbers import calls_with, places
from callrec_pbx.catalogue.people_models import (
    Entity,
    LineRow,
    PeopleChangeRow,
    PersonRow,
    TenantRow,
)
from callrec_pbx.catalogue.rows import CALL, LEG, RECORDING, calls_by_id, chunks, recordings_of
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.holds import Hold, same_number
from callrec_pbx.domain.words import HoldKind, RecordingState
from callrec_pbx.numbers import Numbers
from callrec_pbx.storage.holds import HoldError, Holds, Related
from callrec_pbx.storage.serial import CallSidecar

log = structlog.get_logger(__name__)

HOLD = as_type(Table, LegalHold.__table__)
_FIELDS = tuple(field.name for field in fields(Hold))


@dataclass(frozen=True, slots=True)
class Covered:
    """A call of which a hold covers something.

    Attributes:
        recordings: Those that it covers, and that are not pruned.
        whole: Whether it covers the call itself too.
    """

    call: CallSidecar
    recordings: tuple[RecordingFacts, ...]
    whole: bool


def related(engine: Engine) -> Related:
    """How to find the calls that were merged with one: `Holds.related`.

    The call itself is one of them: who joined it after one of its recordings had ended is not in
    that recording's sidecar.
    """

    def find(call: CallFacts) -> Iterable[CallFacts]:
        with reading(engine).begin() as connection:
            ids = merged_with(connection, [call.call_id, call.merged_into])
            return [item.call for item in calls_by_id(connection, ids).values()]

    return find


def merged_with(connection: Connection, call_ids: Iterable[str]) -> set[str]:
    """Calls and all that were merged with them, however far."""
    found: set[str] = set()
    new = {call_id for call_id in call_ids if call_id}
    while new:
        found |= new
        near: set[str] = set()
        for chunk in chunks(sorted(new)):
            query = select(CALL.c.call_id, CALL.c.merged_into).where(
                or_(CALL.c.call_id.in_(chunk), CALL.c.merged_into.in_(chunk))
            )
            near |= {one for row in connection.execute(query) for one in row if one}
        new = near - found
    return found


def new_hold(kind: HoldKind, subject: str, reason: str, by: str, **more: Any) -> Hold:
    """A hold that is not placed yet, with an id of its own."""
    now = datetime.now(UTC)
    hold_id = f"{now:%Y%m%d}-{secrets.token_hex(4)}"
    return Hold(hold_id, kind, subject, reason, now, by, **more)


def resolve(engine: Engine, hold: Hold) -> Hold:
    """The hold with what the catalogue knows of its subject: names, lines, countries."""
    with reading(engine).begin() as connection:
        return _resolved(connection, hold)


def _resolved(connection: Connection, hold: Hold) -> Hold:
    if hold.tenant:
        names = _names_ever(connection, Entity.TENANT, {hold.tenant})
        hold = replace(hold, tenants=_more(hold.tenants, names))
    if hold.kind is HoldKind.NUMBER:
        # A tenant's former numbers may have been read as those of another of its countries.
        countries, prefixes = places(connection, hold.tenant)
        return replace(
            hold,
            countries=_more(hold.countries, countries),
            outside_prefixes=_more(hold.outside_prefixes, prefixes),
        )
    if hold.kind is HoldKind.CALL:
        known = calls_by_id(connection, merged_with(connection, [hold.subject]))
        refs = [ref for item in known.values() for ref in item.call.pbx_ids]
        return replace(hold, pbx_ids=_more(hold.pbx_ids, refs))
    person = hold.subject if hold.kind is HoldKind.PERSON else hold.owner
    return _with_person(connection, hold, person) if person else hold


def _more(known: tuple[str, ...], found: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*known, *sorted(one for one in found if one))))


def _with_person(connection: Connection, hold: Hold, person: str) -> Hold:
    emails = _names_ever(connection, Entity.USER, {person})
    emails = {email.casefold() for email in emails if "@" in email}
    lines: set[str] = set()
    query = select(
        LineRow.extension, LineRow.endpoint, PersonRow.email, TenantRow.name
    ).select_from(
        LineRow.__table__.outerjoin(PersonRow.__table__, PersonRow.id == LineRow.user_id).join(
            TenantRow.__table__, TenantRow.id == LineRow.tenant_id
        )
    )
    tenants = {hold.tenant, *hold.tenants}
    for extension, endpoint, email, tenant in connection.execute(query):
        if hold.tenant and tenant not in tenants:
            continue
        if (email or "").casefold() in emails or person in (extension, endpoint):
            lines |= {extension, endpoint}
    changes = select(PeopleChangeRow.before, PeopleChangeRow.after).where(
        PeopleChangeRow.entity == Entity.LINE
    )
    for states in connection.execute(changes):
        for state in states:
            if state and str(state.get("user") or "").casefold() in emails:
                lines |= {str(state.get("extension") or ""), str(state.get("endpoint") or "")}
    return replace(hold, people=_more(hold.people, emails), lines=_more(hold.lines, lines))


_NAME_OF = {Entity.TENANT: "name", Entity.USER: "email"}


def _names_ever(connection: Connection, entity: Entity, names: set[str]) -> set[str]:
    """The names, and those that the same thing had before and after it was renamed."""
    field = _NAME_OF[entity]
    query = select(PeopleChangeRow.before, PeopleChangeRow.after).where(
        PeopleChangeRow.entity == entity
    )
    pairs = [
        (str(before[field]), str(after[field]))
        for before, after in connection.execute(query)
        if before and after and before.get(field) != after.get(field)
    ]
    known = {name.casefold() for name in names}
    found = set(names)
    while True:
        more = {n for pair in pairs if {one.casefold() for one in pair} & known for n in pair}
        if more <= found:
            return found
        found |= more
        known |= {name.casefold() for name in more}


def place(at: Place, hold: Hold) -> None:
    """Place a hold. When this returns, nothing that it covers is deleted any more, by anyone.

    Raises:
        HoldError: it could not be placed.
        DBAPIError: it is placed, and only the catalogue does not know it yet.
    """
    at.store.holds.write(hold)
    with at.engine.begin() as connection:
        index(connection, [hold])
        audit.append(connection, _entry(hold, audit.Action.HOLD, hold.placed_by))


def release(at: Place, hold_id: str, by: str, why: str) -> Hold:
    """Release a hold: what it covers may be deleted from now on, where its time has come.

    Raises:
        HoldError: there is none of that id, or it is released already.
    """
    with _changing(at, hold_id):
        hold = at.store.holds.read(hold_id)
        if not hold.active:
            raise HoldError(f"hold {hold_id!r}: is released already, by {hold.released_by}")
        released = replace(hold, released_at=datetime.now(UTC), released_by=by, release_why=why)
        with at.engine.begin() as connection:
            index(connection, [released])
            audit.append(connection, _entry(released, audit.Action.RELEASE, by))
        at.store.holds.write(released)
    return released


def _changing(at: Place, hold_id: str) -> AbstractContextManager[None]:
    """Read a hold and write it anew, with nobody else between."""
    return at.store.holding(f"hold {hold_id}")


def _entry(hold: Hold, action: audit.Action, by: str) -> audit.Entry:
    """Without subject and reason of the hold, where a number may stand."""
    detail: dict[str, audit.Detail] = {"kind": str(hold.kind)}
    if hold.kind in (HoldKind.RECORDING, HoldKind.CALL):
        detail["about"] = hold.subject
    return audit.Entry(hold.tenant, by, action, "hold", hold.hold_id, detail)


def index(connection: Connection, holds: Iterable[Hold]) -> None:
    """Write the rows of holds, over those that are there."""
    listed = list(holds)
    for chunk in chunks(hold.hold_id for hold in listed):
        connection.execute(delete(HOLD).where(HOLD.c.hold_id.in_(chunk)))
    if listed:
        connection.execute(
            HOLD.insert(), [{name: _value(hold, name) for name in _FIELDS} for hold in listed]
        )


def _value(hold: Hold, name: str) -> Any:
    value = getattr(hold, name)
    return list(value) if isinstance(value, tuple) else value


def bring_up_to_date(at: Place) -> None:
    """Have active holds know what was renamed and merged, and the table agree with the files.

    An active hold that has lost its file gets it back, as it would not hold else.

    Raises:
        HoldError: a file could not be written.
    """
    connect(at.store.holds, at.engine)
    _give_files_back(at)
    with reading(at.engine).begin() as connection:
        held = at.store.holds.all()
        newer = [_resolved(connection, hold) if hold.active else hold for hold in held]
        there = {row["hold_id"]: row for row in connection.execute(select(HOLD)).mappings()}
    for hold, new in zip(held, newer, strict=True):
        if new != hold:
            with _changing(at, hold.hold_id):
                # Somebody may have released it meanwhile.
                if at.store.holds.read(hold.hold_id) == hold:
                    at.store.holds.write(new)
    changed = [
        hold for hold in at.store.holds.all() if not _same_row(there.get(hold.hold_id), hold)
    ]
    if changed:
        with at.engine.begin() as connection:
            index(connection, changed)


def _give_files_back(at: Place) -> None:
    with reading(at.engine).begin() as connection:
        active = select(HOLD).where(HOLD.c.released_at.is_(None))
        rows_ = [_of_row(row) for row in connection.execute(active).mappings()]
    for hold in rows_:
        # One that cannot be read is there, and holds everything.
        if not os.path.lexists(at.store.holds.path(hold.hold_id)):
            log.error("hold_file_lost", hold=hold.hold_id, effect="it is written anew")
            at.store.holds.write(hold)


def _of_row(row: RowMapping) -> Hold:
    values = {name: row[name] for name in _FIELDS}
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return Hold(**(values | lists))


def _same_row(row: Any, hold: Hold) -> bool:
    return row is not None and all(row[name] == _value(hold, name) for name in _FIELDS)


def covered(at: Place, hold: Hold) -> Iterator[Covered]:
    """What a hold, which need not be placed, covers now."""
    with reading(at.engine).begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        ids = list(dict.fromkeys(_call_ids(connection, hold)))
    for at_ in range(0, len(ids), rows.CHUNK):
        yield from _covered(at, hold, ids[at_ : at_ + rows.CHUNK])


def _covered(at: Place, hold: Hold, ids: list[str]) -> Iterator[Covered]:
    with reading(at.engine).begin() as connection:
        calls = calls_by_id(connection, ids)
        query = select(RECORDING).where(
            RECORDING.c.call_id.in_(ids), RECORDING.c.state != RecordingState.PRUNED
        )
        query = query.order_by(RECORDING.c.created_at, RECORDING.c.recording_id)
        found = recordings_of(connection, connection.execute(query).mappings().all())
    holds = at.store.holds
    for call_id, item in calls.items():
        recordings = tuple(
            one.recording
            for one in found
            if one.recording.call_id == call_id and holds.covers(hold, one.recording, item.call)
        )
        whole = item.tombstone is None and holds.covers_call(hold, item.call)
        if recordings or whole:
            yield Covered(item, recordings, whole)


def _call_ids(connection: Connection, hold: Hold) -> Iterable[str]:
    """Calls of which it may cover something."""
    if hold.kind is HoldKind.RECORDING:
        query = select(RECORDING.c.call_id).where(RECORDING.c.recording_id == hold.subject)
        return connection.execute(query).scalars()
    if hold.kind is HoldKind.CALL:
        return merged_with(connection, [hold.subject])
    if hold.kind is HoldKind.NUMBER:
        numbers = Numbers()
        fits = _fits(hold, numbers)
        return merged_with(connection, calls_with(connection, hold.subject, fits))
    if hold.kind is HoldKind.PERSON or hold.owner:
        return _calls_of_person(connection, hold)
    return connection.execute(select(CALL.c.call_id).where(*_within(hold))).scalars()


def _fits(hold: Hold, numbers: Numbers) -> Any:
    def fits(text: str) -> bool:
        return same_number(hold.subject, text, hold.countries, hold.outside_prefixes, numbers)

    return fits


def _calls_of_person(connection: Connection, hold: Hold) -> Iterator[str]:
    person = hold.owner or hold.subject
    names = sorted({name.casefold() for name in (person, *hold.people, *hold.lines)})
    mine = or_(func.lower(RECORDING.c.owner).in_(names), func.lower(RECORDING.c.line).in_(names))
    within = _within(hold)
    owned = select(RECORDING.c.call_id).join(CALL, CALL.c.call_id == RECORDING.c.call_id)
    yield from connection.execute(owned.where(mine, *within)).scalars()
    took_part = select(LEG.c.call_id).join(CALL, CALL.c.call_id == LEG.c.call_id)
    lines = func.lower(LEG.c.line).in_(names)
    yield from connection.execute(took_part.where(lines, *within)).scalars()


def _within(hold: Hold) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if hold.end is not None:
        found.append(CALL.c.started_at <= hold.end)
    if hold.start is not None:
        found.append(or_(CALL.c.ended_at.is_(None), CALL.c.ended_at >= hold.start))
    return found


def connect(holds: Holds, engine: Engine) -> None:
    """Let the holds of a recordings directory ask this catalogue for calls that were merged."""
    holds.related = related(engine)
