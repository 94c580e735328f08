"""A migrated catalogue in a file of its own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue import migrate


@pytest.fixture
def url(tmp_path: Path) -> str:
    where = f"sqlite:///{tmp_path}/catalogue.db"
    migrate.upgrade(where)
    return where


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = migrate.open_current(url, busy_ms=200)
    yield engine
    engine.dispose()
