"""Opening the catalogue when the listener starts, also when its server is not there yet."""

import time
from collections.abc import Callable

import structlog
from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import CatalogueAwayError
from callrec_pbx.catalogue.migrate import open_current

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0

log = structlog.get_logger(__name__)


def open_when_there(url: str, rest: Callable[[float], object] = time.sleep) -> Engine:
    """Open the catalogue; wait for a server that cannot be reached, however long.

    Without it there is no policy. Until then calls go on as the PBX was told for a listener that is
    down.

    Args:
        url: Its address.
        rest: Waits that many seconds.

    Raises:
        CatalogueError: the address is wrong, or the schema is another one: waiting does not help.
    """
    pause, told = FIRST_PAUSE_S, False
    while True:
        try:
            engine = open_current(url)
        except CatalogueAwayError as error:
            if not told:
                log.error(  # noqa: TRY400 - where in the code is of no interest
                    "catalogue_awaited",
                    error=str(error),
                    effect="nothing is recorded until the database answers",
                )
            told = True
        else:
            if told:
                log.info("catalogue_available_again")
            return engine
        rest(pause)
        pause = min(pause * 2, LONGEST_PAUSE_S)
