"""Which recordings have follow-up work, as their rows say."""

from datetime import datetime

from sqlalchemy import Engine, Select, and_, func, or_, select, text

from callrec_pbx.catalogue.amend import SETTLED
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import RECORDING, recordings_of
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import AudioFormat

MOST_TRIES = 3
"""How often a step is begun before its recording is set aside."""

KILLED = "the process ended each time while it was at work on it"
"""Why a recording was set aside that nothing else is known of."""

# Written out, as SQLite takes a partial index only for its own words.
_TO_DO = text("to_do <> ''")
# Nor does it take one for an expression, such as that on the state, in which nearly all rows agree.
_STATE = func.coalesce(RECORDING.c.state, RECORDING.c.state)
_STATES = _STATE.in_(sorted(SETTLED))
_ASIDE = RECORDING.c.tries >= MOST_TRIES
# Not by the id too: SQLite would read the whole of an index that has both.
_BY_AGE = RECORDING.c.created_at


def is_set_aside(facts: RecordingFacts) -> bool:
    """Whether its follow-up work is not tried again by itself."""
    return bool(facts.to_do) and facts.tries >= MOST_TRIES


def why(facts: RecordingFacts) -> str:
    """Why it was set aside, or did not go through the last time; empty where nothing is known."""
    return facts.follow_up_error or (KILLED if is_set_aside(facts) else "")


def waiting(engine: Engine, limit: int) -> list[str]:
    """The ids of recordings with work that is not set aside, oldest first."""
    with reading(engine).begin() as connection:
        return list(connection.execute(waiting_query(limit)).scalars())


def waiting_query(limit: int) -> Select[str]:
    """What asks for them."""
    query = select(RECORDING.c.recording_id).where(_TO_DO, _STATES, ~_ASIDE)
    return query.order_by(_BY_AGE).limit(limit)


def unfinished(
    engine: Engine, *, set_aside: bool | None = None, limit: int | None = None
) -> list[RecordingFacts]:
    """Recordings with work to do, oldest first.

    Args:
        engine: The catalogue.
        set_aside: Only those that are set aside, or only the others; None takes both.
        limit: How many at the most.
    """
    query = select(RECORDING).where(_TO_DO, _STATES)
    if set_aside is not None:
        query = query.where(_ASIDE if set_aside else ~_ASIDE)
    return _facts(engine, query.order_by(_BY_AGE).limit(limit))


def count(engine: Engine, *, set_aside: bool) -> int:
    """How many recordings have work to do and are, or are not, set aside."""
    query = select(func.count()).select_from(RECORDING).where(_TO_DO, _STATES)
    with reading(engine).begin() as connection:
        found = connection.execute(query.where(_ASIDE if set_aside else ~_ASIDE)).scalar_one()
        return int(found)


def killed(engine: Engine) -> list[RecordingFacts]:
    """Recordings of which the last try was begun and never ended; some of them may be at work."""
    query = select(RECORDING).where(_TO_DO, _STATES, _ASIDE, RECORDING.c.follow_up_error == "")
    return _facts(engine, query)


def kept_for_a_hold(
    engine: Engine, after: tuple[datetime, str] | None, limit: int
) -> list[RecordingFacts]:
    """Encoded recordings whose WAV file is there though their rule replaces it, in order of age.

    Args:
        engine: The catalogue.
        after: Creation and id of the last one that is known; None begins with the oldest.
        limit: How many at the most.
    """
    table = RECORDING.c
    query = select(RECORDING).where(
        table.encoded_size.is_not(None),
        table.has_wav,
        ~table.keep_wav,
        table.format != AudioFormat.WAV,
        table.to_do == (),
        _STATES,
    )
    if after is not None:
        at, last = after
        query = query.where(
            or_(table.created_at > at, and_(table.created_at == at, table.recording_id > last))
        )
    return _facts(engine, query.order_by(table.created_at, table.recording_id).limit(limit))


def _facts(engine: Engine, query: Select[tuple[object, ...]]) -> list[RecordingFacts]:
    with reading(engine).begin() as connection:
        found = connection.execute(query).mappings().all()
        return [item.recording for item in recordings_of(connection, found)]
