"""A catalogue and a recordings directory that agree."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from tests.catalogue.conftest import engine, url
from tests.retention.made import Made

__all__ = ["engine", "made", "url"]


@pytest.fixture
def made(engine: Engine, tmp_path: Path) -> Made:
    return Made(engine, tmp_path / "recordings")
