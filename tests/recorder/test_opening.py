"""A listener that is started before its database."""

from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from callrec_pbx.catalogue import migrate
from callrec_pbx.catalogue.engine import CatalogueError
from callrec_pbx.recorder.opening import LONGEST_PAUSE_S, open_when_there
from tests.bed.postgres import SIGNED_IN, Postgres


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines


def test_a_server_that_is_started_later_is_waited_for(
    postgresql_url: str, postgres: Postgres, logged: list[Any]
) -> None:
    rests: list[float] = []

    def rest(seconds: float) -> None:
        rests.append(seconds)
        if len(rests) == 6:
            postgres.start()

    postgres.stop()
    engine = open_when_there(postgresql_url, rest)
    assert migrate.current(postgresql_url) == migrate.head()
    engine.dispose()
    assert rests == [0.5, 1, 2, 4, LONGEST_PAUSE_S, LONGEST_PAUSE_S]
    assert [line["event"] for line in logged] == ["catalogue_awaited", "catalogue_available_again"]
    assert "start the server" in logged[0]["error"]


def never(_seconds: float) -> None:
    pytest.fail("waits for what does not come")


def test_what_no_waiting_helps_is_said_at_once(empty_url: str) -> None:
    with pytest.raises(CatalogueError, match="run: callrec-pbx migrate"):
        open_when_there(empty_url, never)


def test_a_wrong_password_is_said_at_once(postgres: Postgres) -> None:
    with pytest.raises(CatalogueError, match="check the role and its password"):
        open_when_there(postgres.url("postgres", SIGNED_IN, "wrong"), never)
