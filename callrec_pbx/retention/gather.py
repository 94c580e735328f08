"""Finds in the catalogue what a retention plan has to look at."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, Engine, and_, exists, or_, select

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import CALL, RECORDING, calls_of, chunks, recordings_of
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.retention.plan import NOTHING_KEPT, CallStanding

_UNDATED = (RecordingState.FAILED, RecordingState.DISCARDED)


def candidates(
    engine: Engine, now: datetime, call_days: int | None
) -> tuple[list[RecordingFacts], list[CallStanding]]:
    """Recordings and calls that may be due; the plan decides."""
    with reading(engine).begin() as connection:
        recordings = _recordings(connection, now)
        calls = _calls(connection, recordings, now, call_days)
    return recordings, calls


def _recordings(connection: Connection, now: datetime) -> list[RecordingFacts]:
    due = or_(
        RECORDING.c.state == RecordingState.PRUNING,
        and_(RECORDING.c.state != RecordingState.PRUNED, RECORDING.c.delete_after <= now),
        and_(
            RECORDING.c.state.in_(_UNDATED),
            RECORDING.c.delete_after.is_(None),
            RECORDING.c.retention_days.is_not(None),
        ),
    )
    query = select(RECORDING).where(due)
    query = query.order_by(RECORDING.c.created_at, RECORDING.c.recording_id)
    rows = connection.execute(query).mappings().all()
    return [item.recording for item in recordings_of(connection, rows)]


def _calls(
    connection: Connection, due: list[RecordingFacts], now: datetime, call_days: int | None
) -> list[CallStanding]:
    """Calls not cleared yet that have a pruned recording, or are old enough without."""
    ids = {recording.call_id for recording in due}
    pruned = select(RECORDING.c.call_id).join(CALL, CALL.c.call_id == RECORDING.c.call_id)
    pruned = pruned.where(RECORDING.c.state == RecordingState.PRUNED, CALL.c.pruned_at.is_(None))
    ids |= set(connection.execute(pruned).scalars())
    if call_days is not None:
        kept = exists().where(
            RECORDING.c.call_id == CALL.c.call_id,
            RECORDING.c.state.not_in(NOTHING_KEPT),
            # As `without_audio` has it.
            or_(
                RECORDING.c.state != RecordingState.FAILED,
                RECORDING.c.size.is_not(None),
                RECORDING.c.audio_ms.is_not(None),
            ),
        )
        ended_before = now - timedelta(days=call_days)
        old = select(CALL.c.call_id).where(
            CALL.c.pruned_at.is_(None), CALL.c.ended_at <= ended_before, ~kept
        )
        ids |= set(connection.execute(old).scalars())
    relatives = _relatives(connection, ids)
    ids |= set(relatives)
    of_call = _recordings_of_calls(
        connection, ids | {other for others in relatives.values() for other in others}
    )
    found = []
    for chunk in chunks(sorted(ids)):
        query = select(CALL).where(CALL.c.call_id.in_(chunk), CALL.c.pruned_at.is_(None))
        query = query.order_by(CALL.c.ended_at, CALL.c.call_id)
        for item in calls_of(connection, connection.execute(query).mappings().all()):
            call_id = item.call.call_id
            related = [r for other in relatives.get(call_id, ()) for r in of_call.get(other, ())]
            found.append(CallStanding(item.call, tuple(of_call.get(call_id, ())), tuple(related)))
    return found


def _relatives(connection: Connection, ids: set[str]) -> dict[str, set[str]]:
    """For the calls and those merged with them: what each was merged with, either way."""
    found: dict[str, set[str]] = {}
    for chunk in chunks(sorted(ids)):
        query = select(CALL.c.call_id, CALL.c.merged_into).where(
            CALL.c.merged_into != "",
            or_(CALL.c.call_id.in_(chunk), CALL.c.merged_into.in_(chunk)),
        )
        for call_id, merged_into in connection.execute(query):
            found.setdefault(call_id, set()).add(merged_into)
            found.setdefault(merged_into, set()).add(call_id)
    return found


def _recordings_of_calls(connection: Connection, ids: set[str]) -> dict[str, list[RecordingFacts]]:
    found: dict[str, list[RecordingFacts]] = {}
    for chunk in chunks(sorted(ids)):
        query = select(RECORDING).where(RECORDING.c.call_id.in_(chunk))
        query = query.order_by(RECORDING.c.recording_id)
        for item in recordings_of(connection, connection.execute(query).mappings().all()):
            found.setdefault(item.recording.call_id, []).append(item.recording)
    return found
