"""Numbers that the database and folders know, counted in a thread now and then."""

from pathlib import Path

from sqlalchemy import ColumnElement, Engine, Select, func, select, text

from callrec_pbx import metrics
from callrec_pbx.catalogue.amend import SETTLED
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import RECORDING
from callrec_pbx.followup.waiting import MOST_TRIES
from callrec_pbx.recorder.prompt_book import missing_prompts
from callrec_pbx.storage.store import RecordingStore

MOST = 100_000
"""Rows that are counted at the most: more than that is no better to know."""


class Counts:
    """Counts over a small index only, that of follow-up work still to be done.

    Args:
        engine: The catalogue.
        store: Where the holds are.
        sounds: Where the PBX has the prompts.
        language: That of the prompts where nothing else names one.
    """

    def __init__(self, engine: Engine, store: RecordingStore, sounds: Path, language: str) -> None:
        self._engine = reading(engine)
        self._store = store
        self._prompts = (sounds, language)

    def show(self) -> None:
        """Count, and show it."""
        metrics.PROMPTS_MISSING.set(missing_prompts(*self._prompts))
        metrics.holds(len(self._store.holds.active()))
        aside = RECORDING.c.tries >= MOST_TRIES
        metrics.FOLLOW_UP_BACKLOG.set(self._count(~aside))
        metrics.FOLLOW_UP_ASIDE.set(self._count(aside))

    def _count(self, condition: ColumnElement[bool]) -> int:
        with self._engine.begin() as connection:
            return connection.scalar(counting(condition)) or 0


def counting(condition: ColumnElement[bool]) -> Select[int]:
    """How many recordings with follow-up work there are, up to `MOST`."""
    waiting = (
        # Spelled as in the partial index, which SQLite takes for nothing else.
        text("to_do <> ''"),
        # Not the bare column: its own index leads through all that was ever stored.
        func.lower(RECORDING.c.state).in_(sorted(one.value for one in SETTLED)),
    )
    some = select(RECORDING.c.recording_id).where(*waiting, condition).limit(MOST).subquery()
    return select(func.count()).select_from(some)
