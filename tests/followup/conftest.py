"""A house with stored recordings that have real audio."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine

from tests.followup.house import House


@pytest.fixture
def house(engine: Engine, tmp_path: Path) -> House:
    """Catalogue and recordings directory; of both kinds of catalogue, see `only_sqlite`."""
    return House(engine, tmp_path / "recordings")


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    """The lines of the log."""
    with structlog.testing.capture_logs() as lines:
        yield lines
