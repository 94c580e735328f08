"""A migrated catalogue in a file of its own, with its one tenant."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue import migrate
from callrec_pbx.people.changes import Changes
from callrec_pbx.policy.people import changing

Change = Callable[[], AbstractContextManager[Changes]]


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated catalogue to be copied."""
    path = tmp_path_factory.mktemp("migrated") / "catalogue.db"
    migrate.upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
def url(tmp_path: Path, migrated: Path) -> str:
    shutil.copy(migrated, tmp_path / "catalogue.db")
    return f"sqlite:///{tmp_path}/catalogue.db"


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    engine = migrate.open_current(url)
    yield engine
    engine.dispose()


@pytest.fixture
def change(engine: Engine) -> Change:
    """A change by `ann`."""
    return lambda: changing(engine, author="ann")
