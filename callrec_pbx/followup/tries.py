"""Carrying one recording's work out: each try is counted on the disk before it is begun.

So a file that kills the process is set aside like one that raises.
"""

import errno
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

import structlog
from sqlalchemy.exc import DBAPIError

from callrec_pbx import metrics
from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.amend import NotSettledError, amend, current
from callrec_pbx.catalogue.engine import is_outage
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import FollowUp
from callrec_pbx.followup.steps import STEPS, Step, StoppedError, Work, need_room, tidy
from callrec_pbx.followup.waiting import KILLED, MOST_TRIES, is_set_aside
from callrec_pbx.storage.locks import BusyError

LONGEST_ERROR = 500
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})

log = structlog.get_logger(__name__)


class Came(StrEnum):
    """What came of a recording's work."""

    DONE = "done"
    GONE = "gone"
    """It was discarded or pruned meanwhile, or is being made: nothing is to be done."""
    BUSY = "busy"
    """Another runner is at work on it."""
    FAILED = "failed"
    SET_ASIDE = "set_aside"
    NO_ROOM = "no_room"
    """The try does not count."""
    PUT_OFF = "put_off"
    """It could not even be begun; that does not count."""
    STOPPED = "stopped"
    """The try does not count."""

    @property
    def is_well(self) -> bool:
        """Whether nobody needs to do anything about it."""
        return self in (Came.DONE, Came.GONE, Came.BUSY)


def item(recording_id: str) -> str:
    """What is locked while a recording's work is done: the listener is not kept from it."""
    return f"follow-up:{recording_id}"


def carry_out(work: Work, recording_id: str) -> Came:
    """Do all that is to do on a recording, unless another runner does.

    Raises:
        DBAPIError: the catalogue is not to be had.
    """
    try:
        with work.place.store.holding(item(recording_id), wait=False):
            return _carry_out(work, recording_id)
    except BusyError:
        return Came.BUSY
    except NotSettledError:
        return Came.GONE
    except OSError as error:
        # The lock file, or the sidecar in which the try is counted.
        return _put_off(recording_id, "", error)


def _carry_out(work: Work, recording_id: str) -> Came:
    while True:
        facts = current(work.place, recording_id).recording
        if not facts.to_do:
            _bring_up(work, recording_id)
            return Came.DONE
        if is_set_aside(facts):
            _set_aside_killed(work, facts)
            return Came.SET_ASIDE
        step = facts.to_do[0]
        need_room(work, facts)
        amend(
            work.place,
            recording_id,
            lambda now: replace(now, tries=now.tries + 1, follow_up_error=""),
        )
        came = _try(work, recording_id, step)
        if came is not Came.DONE:
            return came


def _bring_up(work: Work, recording_id: str) -> None:
    """Write the row of a recording on which nothing is to do: it was behind the sidecar."""
    place = work.place
    with place.store.holding(recording_id):
        sidecar = current(place, recording_id)
        with place.engine.begin() as connection:
            rows.write(connection, [RecordingRow(sidecar.recording, sidecar.tombstone)])


def _try(work: Work, recording_id: str, step: FollowUp) -> Came:
    carry: Step = STEPS[step]
    try:
        carry(work, recording_id)
    except NotSettledError:
        raise
    except StoppedError:
        _uncount(work, recording_id)
        return Came.STOPPED
    except Exception as error:
        if isinstance(error, DBAPIError) and is_outage(error):
            raise
        if isinstance(error, OSError) and error.errno in _FULL:
            _uncount(work, recording_id)
            return _put_off(recording_id, step, error)
        return _failed(work, recording_id, step, error)
    metrics.follow_up_done(step)
    log.debug("follow_up_done", recording=recording_id, step=step)
    return Came.DONE


def _failed(work: Work, recording_id: str, step: FollowUp, error: Exception) -> Came:
    text = _told(step, error)
    facts = amend(work.place, recording_id, lambda now: replace(now, follow_up_error=text))
    metrics.follow_up_failed(step)
    aside = is_set_aside(facts)
    log.warning(
        "follow_up_failed",
        recording=recording_id,
        step=step,
        tries=facts.tries,
        error=text,
        exc_info=not isinstance(error, OSError | ValueError),
    )
    if aside:
        _note_aside(facts)
    return Came.SET_ASIDE if aside else Came.FAILED


def _told(step: FollowUp, error: Exception) -> str:
    said = f"{step}: {error}" if str(error) else f"{step}: {type(error).__name__}"
    printable = "".join(char if char.isprintable() else " " for char in said)
    return printable[:LONGEST_ERROR]


def _set_aside_killed(work: Work, facts: RecordingFacts) -> None:
    """Say of a recording why it was set aside, where the last try killed the process."""
    if facts.follow_up_error:
        return
    tidy(work, facts)
    text = f"{facts.to_do[0]}: {KILLED}"
    _note_aside(
        amend(work.place, facts.recording_id, lambda now: replace(now, follow_up_error=text))
    )


def _note_aside(facts: RecordingFacts) -> None:
    metrics.follow_up_set_aside()
    log.error(
        "follow_up_set_aside",
        recording=facts.recording_id,
        error=facts.follow_up_error,
        remedy="callrec-pbx recordings follow-up --retry",
    )


def _uncount(work: Work, recording_id: str) -> None:
    try:
        amend(work.place, recording_id, lambda now: replace(now, tries=max(0, now.tries - 1)))
    except OSError as error:
        log.warning("follow_up_try_stays_counted", recording=recording_id, reason=str(error))


def _put_off(recording_id: str, step: str, error: OSError) -> Came:
    log.warning(
        "follow_up_put_off",
        recording=recording_id,
        step=step,
        reason=str(error),
        effect="tried again later, and not counted",
    )
    return Came.NO_ROOM if error.errno in _FULL else Came.PUT_OFF


def retry(work: Work, recording_id: str) -> RecordingFacts:
    """Let the work on a recording be tried anew, as if it never had been.

    Raises:
        NotSettledError: the recording is gone.
        SpoolError: its sidecar cannot be written.
    """
    change: Callable[[RecordingFacts], RecordingFacts] = lambda now: replace(  # noqa: E731
        now, tries=0, follow_up_error=""
    )
    return amend(work.place, recording_id, change)


__all__ = ["MOST_TRIES", "Came", "carry_out", "retry"]
