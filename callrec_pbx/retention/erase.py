"""Erasure of a number: its calls are found, then pruned and cleared at once, whatever their plan.

What has to stay is said with its reason: what is held, or still going on. An erasure that is cut
off goes on where it was when it is run again.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from callrec_pbx.catalogue import audit, holds
from callrec_pbx.catalogue.amend import SETTLED, Place
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.holds import Hold
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.retention import erase_record
from callrec_pbx.retention.apply import Pruner
from callrec_pbx.retention.erase_find import Found, Match, Number, Stays, calls_of
from callrec_pbx.retention.erase_record import Erasure
from callrec_pbx.retention.gather import BATCH, Candidate
from callrec_pbx.retention.plan import ClearCall, Due, Reason
from callrec_pbx.storage.mounted import check_mounted

S = RecordingState


@dataclass(frozen=True, slots=True)
class ErasePlan:
    """What an erasure would do.

    Attributes:
        matches: The calls that it is about; of some of them something stays.
        recordings: Those that would be pruned.
        calls: Ids of calls that would be cleared.
        stays: What has the number and would not be erased, and why.
        possible: Spellings that may mean the number, with the calls that have them.
    """

    matches: tuple[Match, ...] = ()
    recordings: tuple[RecordingFacts, ...] = ()
    calls: tuple[str, ...] = ()
    stays: tuple[Stays, ...] = ()
    possible: dict[str, list[str]] = field(default_factory=dict)


def plan_erasure(place: Place, found: Found) -> ErasePlan:
    """Say what is to be erased and what stays; nothing is changed."""
    recordings: list[RecordingFacts] = []
    calls: list[str] = []
    stays = list(found.stays)
    for match in found.matches:
        call = match.call.call
        kept = False
        for row in match.recordings:
            if row.recording.state is S.PRUNED:
                continue
            why = _why_kept(place, row.recording, match)
            if why:
                stays.append(Stays("recording", row.recording.recording_id, why))
                kept = True
            else:
                recordings.append(row.recording)
        if match.call.tombstone is not None:
            continue
        why = "" if call.ended_at else "is not over; erase again when it is"
        if not why and place.store.holds.call_reason(call):
            why = _said_held(place, place.store.holds.which_call(call))
        if kept and not why:
            why = "a recording of it stays"
        if why:
            stays.append(Stays("call", call.call_id, why))
        else:
            calls.append(call.call_id)
    return ErasePlan(
        tuple(found.matches), tuple(recordings), tuple(calls), tuple(stays), found.possible
    )


def _why_kept(place: Place, facts: RecordingFacts, match: Match) -> str:
    if not _is_over(facts):
        return f"is {facts.state}: it is still being made; erase again when it is over"
    if match.call.call.ended_at is None:
        return "its call is not over; erase again when it is"
    if not place.store.holds.reason(facts, match.call.call):
        return ""
    return _said_held(place, place.store.holds.which(facts, match.call.call))


def _said_held(place: Place, found: Iterable[Hold]) -> str:
    """Which holds, without their reasons: the number may stand in one."""
    named = ", ".join(hold.hold_id for hold in found)
    return f"is under legal hold {named}" if named else str(place.store.holds.broken()[0])


def _is_over(facts: RecordingFacts) -> bool:
    if facts.state is S.INTERRUPTED and facts.audio_ms is None:
        return False
    return facts.state in SETTLED or facts.state in (S.DISCARDED, S.PRUNING)


def begin_or_go_on(
    place: Place, plan: ErasePlan, number: Number, by: str, reference: str
) -> Erasure:
    """Write down what is about to be erased; an erasure of the same calls that was cut off goes on.

    Raises:
        OSError: it cannot be written.
        SpoolError: the recordings directory is not mounted.
    """
    if plan.matches:
        check_mounted(place.store.directory)
    wanted = {match.call.call.call_id for match in plan.matches}
    for cut_off in erase_record.unfinished(place.store.directory):
        if wanted & set(cut_off.call_ids):
            erasure = erase_record.with_more(cut_off, plan.matches)
            break
    else:
        erasure = erase_record.begin(by, reference, number.tenant, plan.matches)
    erase_record.write(place.store.directory, erasure)
    return erasure


def carry_out(
    place: Place,
    erasure: Erasure,
    stays: Sequence[Stays] = (),
    progress: Callable[[int], None] = lambda _calls: None,
) -> Erasure:
    """Prune and clear all that an erasure is about; what was done before is left as it is.

    Args:
        place: The catalogue and the recordings directory.
        erasure: What is to be erased, written down.
        stays: What is known to stay, and why.
        progress: Told how many calls more have been worked on.

    Returns:
        The erasure with what has become of it, written down.

    Raises:
        DBAPIError: the catalogue is not to be had; run again to go on.
        OSError: it cannot be written down.
    """
    holds.bring_up_to_date(place)
    ids = erasure.call_ids
    pruner = Pruner(place, datetime.now(UTC), erasure.by)
    for at in range(0, len(ids), BATCH):
        _erase(place, pruner, calls_of(place, ids[at : at + BATCH]), erasure)
        progress(len(ids[at : at + BATCH]))
    now = calls_of(place, ids)
    left = [*stays, *plan_erasure(place, Found(now)).stays]
    erasure = erase_record.ended(erasure, now, left)
    erase_record.write(place.store.directory, erasure)
    with place.engine.begin() as connection:
        audit.append(connection, _entry(erasure))
    return erasure


def _erase(place: Place, pruner: Pruner, matches: Iterable[Match], erasure: Erasure) -> None:
    due = Due(Reason.ERASURE, erasure.why, erasure.by)
    over = [match for match in matches if match.call.call.ended_at is not None]
    pruner.prune(
        [
            Candidate(row.recording, match.call.call)
            for match in over
            for row in match.recordings
            if row.recording.state is not S.PRUNED
        ],
        lambda facts: due if _is_over(facts) else None,
    )
    pruner.clear(
        [
            ClearCall(
                match.call.call,
                tuple(r.recording for r in match.recordings if r.recording.state is not S.PRUNED),
                erasure.why,
            )
            for match in calls_of(place, (match.call.call.call_id for match in over))
            if match.call.tombstone is None
        ]
    )


def _entry(erasure: Erasure) -> audit.Entry:
    recordings = sum(bool(r["erased_at"]) for call in erasure.calls for r in call["recordings"])
    detail: dict[str, audit.Detail] = {
        "reference": erasure.reference,
        "calls": sum(bool(call["cleared_at"]) for call in erasure.calls),
        "recordings": recordings,
        "not_erased": len(erasure.left),
    }
    return audit.Entry(
        erasure.tenant, erasure.by, audit.Action.ERASE, "erasure", erasure.erasure_id, detail
    )


ERASED = "(erased)"
"""What stands in a released hold in place of a number."""


def forget_in_holds(place: Place, number: Number) -> int:
    """Take the number out of legal holds that are released.

    Returns:
        Out of how many.
    """
    changed = []
    for hold in place.store.holds.all():
        if hold.active:
            continue
        texts = {
            name: ERASED
            for name in ("subject", "reason", "release_why")
            if number.stands_in(getattr(hold, name)) or number.fits(getattr(hold, name), "")
        }
        if texts:
            changed.append(replace(hold, **texts))  # type: ignore[arg-type]
    for hold in changed:
        place.store.holds.write(hold)
    with place.engine.begin() as connection:
        holds.index(connection, changed)
    return len(changed)
