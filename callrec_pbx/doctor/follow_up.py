"""Checks of the work that follows on a recording."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from callrec_pbx.catalogue.engine import CatalogueError
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, ok, warn
from callrec_pbx.followup import waiting

MOST_SHOWN = 10
LATE = timedelta(hours=6)
"""Work that waits for longer is not keeping up, or nobody does it."""


def check_follow_up(config: Config) -> Iterator[Finding]:
    """Nothing is set aside, and what is to be done is done before long."""
    try:
        engine = open_current(config.catalogue.url)
    except CatalogueError:
        return  # the catalogue's check says so
    try:
        aside = waiting.unfinished(engine, set_aside=True)
        oldest = waiting.unfinished(engine, set_aside=False, limit=1)
    finally:
        engine.dispose()
    for facts in aside[:MOST_SHOWN]:
        yield warn(
            "follow_up",
            f"recording {facts.recording_id} was set aside after {facts.tries} tries: "
            f"{waiting.why(facts)}",
            f"mend what it says, then `callrec-pbx recordings follow-up --retry "
            f"{facts.recording_id}`",
        )
    if len(aside) > MOST_SHOWN:
        yield warn(
            "follow_up",
            f"{len(aside) - MOST_SHOWN} more were set aside",
            "`callrec-pbx recordings follow-up` lists them",
        )
    if oldest and datetime.now(UTC) - (oldest[0].ended_at or oldest[0].created_at) > LATE:
        yield warn(
            "follow_up",
            f"recording {oldest[0].recording_id} waits to be worked on "
            f"({', '.join(oldest[0].to_do)}) since {oldest[0].created_at:%Y-%m-%d %H:%M} UTC",
            "see that the listener runs and that follow_up.threads is large enough, or call "
            "`callrec-pbx recordings follow-up --run`",
        )
    elif not aside:
        yield ok("follow_up", "nothing is set aside")
