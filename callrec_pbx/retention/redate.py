"""Dates recordings anew by the plans of now, after a change of plans, where that is chosen."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Engine, and_, func, select

from callrec_pbx.catalogue.amend import SETTLED, NotSettledError, Place, amend
from callrec_pbx.catalogue.audit import Action, Entry, append
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import RECORDING
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.policy.settings import Filled
from callrec_pbx.retention.current import Current, redated
from callrec_pbx.retention.gather import Candidate, batches
from callrec_pbx.retention.plan import Reason, due
from callrec_pbx.storage.store import SpoolError


@dataclass(frozen=True, slots=True)
class Which:
    """Whose recordings are dated anew; empty: everybody's."""

    tenant: str = ""
    user: str = ""
    queue: str = ""
    department: str = ""
    site: str = ""
    rule: str = ""


@dataclass(frozen=True, slots=True)
class Redating:
    """A recording whose date is another by the plans of now.

    Attributes:
        before: As it is.
        after: As it becomes.
        origin: What has the plan now.
        deletes: Whether the next run deletes it, and would not have without.
    """

    before: RecordingFacts
    after: RecordingFacts
    origin: str
    deletes: bool


@dataclass(frozen=True, slots=True)
class Looked:
    """How far it is: one recording was looked at.

    Attributes:
        change: What becomes of it; None: nothing.
        gone: Whether that is so because what gave it its plan is gone.
        held: Why it is not deleted all the same, where it would be.
        error: Why it could not be changed.
    """

    recording: RecordingFacts
    change: Redating | None = None
    gone: bool = False
    held: str = ""
    error: str = ""


def count(engine: Engine, which: Which) -> int:
    """How many recordings are looked at."""
    with reading(engine).begin() as connection:
        query = select(func.count()).where(_where(which))
        return int(connection.execute(query).scalar_one())


def look(place: Place, defaults: Filled, which: Which, now: datetime) -> Iterator[Looked]:
    """Say what becomes of each recording; nothing is changed."""
    current = Current(place.engine, defaults)
    current.refresh()
    for found in batches(place.engine, _where(which), (RECORDING.c.recording_id,)):
        for one in found:
            yield _looked(place, current, one, now)


def redate(
    place: Place,
    defaults: Filled,
    which: Which,
    by: str,
    now: datetime,
    *,
    told: Callable[[Looked], None] = lambda _looked: None,
) -> int:
    """Date recordings anew; it may be cut off at any time, and begun again.

    Args:
        place: Where they are.
        defaults: What the configuration says where nothing else does.
        which: Whose.
        by: Who does it, for the audit trail.
        now: The time to judge by.
        told: Told of each that was looked at.

    Returns:
        How many have another date now.
    """
    current = Current(place.engine, defaults)
    current.refresh()
    changed = 0
    for found in batches(place.engine, _where(which), (RECORDING.c.recording_id,)):
        # Whoever changes the plans meanwhile is heard at once.
        current.refresh()
        for one in found:
            looked = _looked(place, current, one, now)
            if looked.change is not None:
                looked = _change(place, current, one, looked, by)
                changed += looked.change is not None and not looked.error
            told(looked)
    return changed


def _change(place: Place, current: Current, found: Candidate, looked: Looked, by: str) -> Looked:
    recording_id = found.recording.recording_id
    old = found.recording

    def change(facts: RecordingFacts) -> RecordingFacts:
        plan = current.plan_of(facts, found.call.queue)
        return facts if plan is None else _dated(facts, redated(facts, plan))

    try:
        amend(
            place,
            recording_id,
            change,
            lambda connection, facts: append(
                connection,
                Entry(
                    facts.tenant,
                    by,
                    Action.CHANGE,
                    "recording",
                    recording_id,
                    {"retention": facts.retention, "before": old.retention},
                ),
            ),
        )
    except (NotSettledError, SpoolError) as error:
        return Looked(old, looked.change, error=str(error))
    return looked


def _looked(place: Place, current: Current, found: Candidate, now: datetime) -> Looked:
    recording = found.recording
    plan = current.plan_of(recording, found.call.queue)
    if plan is None:
        return Looked(recording, gone=True)
    after = _dated(recording, redated(recording, plan))
    if after == recording:
        return Looked(recording)
    goes = due(after, now)
    deletes = goes is not None and goes.reason is Reason.RETENTION and due(recording, now) is None
    held = place.store.holds.reason(recording, found.call) if deletes else ""
    change = Redating(recording, after, plan.origin, deletes and not held)
    return Looked(recording, change, held=held)


def _dated(before: RecordingFacts, after: RecordingFacts) -> RecordingFacts:
    """Another origin of the same plan and date is no change worth writing."""
    same = (before.retention, before.delete_after) == (after.retention, after.delete_after)
    return before if same else after


def _where(which: Which) -> ColumnElement[bool]:
    columns = {
        "tenant": RECORDING.c.tenant,
        "user": RECORDING.c.owner,
        "queue": RECORDING.c.queue,
        "department": RECORDING.c.department,
        "site": RECORDING.c.site,
        "rule": RECORDING.c.rule,
    }
    wanted = [
        column == getattr(which, name) for name, column in columns.items() if getattr(which, name)
    ]
    return and_(RECORDING.c.state.in_(sorted(SETTLED)), *wanted)
