"""A catalogue and a recordings directory that agree."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import Engine

from tests.retention.made import Made


@pytest.fixture
def made(engine: Engine, tmp_path: Path) -> Made:
    return Made(engine, tmp_path / "recordings")


@pytest.fixture
def logged() -> Iterator[list[Any]]:
    with structlog.testing.capture_logs() as lines:
        yield lines
