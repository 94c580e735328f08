"""Deletion that somebody asks for: it takes effect after a while, and can be undone until then."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Engine, select

from callrec_pbx.catalogue import audit
from callrec_pbx.catalogue.amend import SETTLED, Place, amend
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.queries import Found
from callrec_pbx.catalogue.rows import RECORDING, recordings_of
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.holds import numbers_of, parts_of, same_number
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.storage.holds import HeldError
from callrec_pbx.storage.store import RecordingStore, SpoolError

log = structlog.get_logger(__name__)

S = RecordingState


class DeletionError(Exception):
    """A deletion cannot be asked for as it was; whoever asks must act as the text says."""


@dataclass(frozen=True, slots=True)
class Left:
    """A recording that is left out of a deletion, and why."""

    recording: RecordingFacts
    why: str
    held: bool = False


@dataclass(frozen=True, slots=True)
class DeletionPlan:
    """What is to be deleted, and what is left out."""

    recordings: tuple[RecordingFacts, ...]
    left: tuple[Left, ...]


@dataclass(frozen=True, slots=True)
class Asked:
    """Who asks for a deletion, why, and when it takes effect."""

    by: str
    why: str
    at: datetime


def takes_effect(now: datetime, undo_minutes: int) -> datetime:
    """When what is asked for now is deleted."""
    return now + timedelta(minutes=undo_minutes)


def plan_deletion(store: RecordingStore, wanted: Iterable[Found]) -> DeletionPlan:
    """Say what of those that are wanted is to be deleted; nothing is changed."""
    chosen: list[RecordingFacts] = []
    left: list[Left] = []
    for found in wanted:
        why = why_not(found.recording, found.call)
        held = "" if why else store.holds.reason(found.recording, found.call)
        if why or held:
            left.append(Left(found.recording, why or held, bool(held)))
        else:
            chosen.append(found.recording)
    return DeletionPlan(tuple(chosen), tuple(left))


def why_not(recording: RecordingFacts, call: CallFacts) -> str:
    """Why a deletion cannot be asked for; empty when it can."""
    if recording.state in (S.PRUNING, S.PRUNED):
        return "is deleted already"
    if recording.state is S.DISCARDED:
        return "was discarded: its audio is gone already"
    unfinished = recording.state is S.INTERRUPTED and recording.audio_ms is None
    if recording.state not in SETTLED or unfinished:
        return f"is {recording.state}: it is still being made; delete it when its call is over"
    if call.ended_at is None:
        return "its call is not over; delete it then"
    if recording.deletion_at is not None:
        return f"is deleted at {recording.deletion_at:%Y-%m-%d %H:%M} UTC already"
    return ""


def check_why(why: str, calls: Iterable[CallFacts]) -> None:
    """Refuse a reason that would keep a number of the calls when they are cleared.

    Raises:
        DeletionError: it is empty, or names one of their numbers.
    """
    if not why.strip():
        raise DeletionError("--why: is empty; say why, as it is kept with what remains")
    parts = parts_of(why)
    if not parts:
        return
    for call in calls:
        if any(same_number(part, number) for part in parts for number in numbers_of(call)):
            raise DeletionError(
                "--why: names a number of the calls, which would remain when they are deleted; "
                "write a reference instead, such as a ticket"
            )


def ask(place: Place, recording_id: str, asked: Asked) -> RecordingFacts:
    """Ask for the deletion of one recording.

    Raises:
        NotSettledError: it is still being made, or gone.
        HeldError: it is under a legal hold.
        SpoolError: its sidecar could not be written.
    """

    def change(facts: RecordingFacts) -> RecordingFacts:
        if facts.deletion_at is not None:
            return facts
        if held := place.store.held(facts):
            raise HeldError(f"recording {recording_id}: {held}")
        return replace(facts, deletion_at=asked.at, deletion_by=asked.by, deletion_why=asked.why)

    return amend(
        place,
        recording_id,
        change,
        lambda connection, facts: audit.append(
            connection,
            audit.Entry(
                facts.tenant,
                asked.by,
                audit.Action.DELETE,
                "recording",
                recording_id,
                {"takes_effect": asked.at.isoformat(timespec="seconds"), "why": asked.why},
            ),
        ),
    )


def undo(place: Place, recording_id: str, by: str) -> bool:
    """Take a deletion back that has not taken effect.

    Returns:
        Whether one was waiting.

    Raises:
        NotSettledError: it is deleted already, or there is no such recording.
        SpoolError: its sidecar could not be written.
    """
    waiting = False

    def change(facts: RecordingFacts) -> RecordingFacts:
        nonlocal waiting
        waiting = facts.deletion_at is not None
        return replace(facts, deletion_at=None, deletion_by="", deletion_why="")

    amend(
        place,
        recording_id,
        change,
        lambda connection, facts: audit.append(
            connection,
            audit.Entry(facts.tenant, by, audit.Action.UNDELETE, "recording", recording_id),
        ),
    )
    return waiting


def waiting(engine: Engine, by: str = "") -> list[RecordingFacts]:
    """Recordings whose deletion was asked for and has not taken effect, the next one first.

    Args:
        engine: The catalogue.
        by: Only those that this one asked for; empty: all.
    """
    query = select(RECORDING).where(
        RECORDING.c.deletion_at.is_not(None), RECORDING.c.state.in_(sorted(SETTLED))
    )
    if by:
        query = query.where(RECORDING.c.deletion_by == by)
    query = query.order_by(RECORDING.c.deletion_at, RECORDING.c.recording_id)
    with reading(engine).begin() as connection:
        rows = connection.execute(query).mappings().all()
        return [item.recording for item in recordings_of(connection, rows)]


def delete_discarded(store: RecordingStore) -> int:
    """Delete the audio of discarded recordings that a legal hold had kept, and none does now.

    Returns:
        Of how many.
    """
    deleted = 0
    for facts in store.discarded():
        try:
            deleted += store.delete_audio(facts, durable=True)
        except HeldError:
            continue
        except SpoolError as error:
            log.warning("audio_not_discarded", recording=facts.recording_id, reason=str(error))
    return deleted
