"""Catalogues for tests, in SQLite and in PostgreSQL: copies of one that has been migrated."""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue import migrate
from tests.bed.postgres import Postgres, PostgresError

SQLITE = "sqlite"
POSTGRESQL = "postgresql"
KINDS = (SQLITE, POSTGRESQL)

only_sqlite = pytest.mark.parametrize("url", [SQLITE], indirect=True)
"""For a test that is about SQLite's file."""

only_postgresql = pytest.mark.parametrize("url", [POSTGRESQL], indirect=True)
"""For a test that is about the server."""


class Databases:
    """Makes catalogues; what it has made goes at the end."""

    def __init__(self, folder: Path) -> None:
        """Make nothing yet.

        Args:
            folder: Where templates are kept.
        """
        self._folder = folder
        self._stack = ExitStack()
        self._postgres: Postgres | None = None
        self._templates: dict[str, str] = {}

    def close(self) -> None:
        """Remove all."""
        self._stack.close()

    @property
    def postgres(self) -> Postgres:
        """The server, which is made when it is first asked for."""
        if self._postgres is None:
            try:
                self._postgres = Postgres()
            except PostgresError as error:
                if os.geteuid() == 0:
                    raise
                pytest.skip(str(error))
            self._stack.callback(self._postgres.remove)
        return self._postgres

    def migrated_file(self, place: Path) -> str:
        """Make a migrated catalogue in a file; returns its URL."""
        if SQLITE not in self._templates:
            self._templates[SQLITE] = str(self._folder / "template.db")
            migrate.upgrade(f"sqlite:///{self._templates[SQLITE]}")
        shutil.copy(self._templates[SQLITE], place)
        return f"sqlite:///{place}"

    def migrated_database(self) -> str:
        """Make a migrated catalogue on the server; returns its name."""
        if POSTGRESQL not in self._templates:
            template = self.postgres.create()
            migrate.upgrade(self.postgres.url(template))
            self._templates[POSTGRESQL] = template
        return self.postgres.create(self._templates[POSTGRESQL])


@pytest.fixture(scope="session")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """What makes catalogues."""
    made = Databases(tmp_path_factory.mktemp("databases"))
    yield made
    made.close()


@pytest.fixture
def postgres(databases: Databases) -> Postgres:
    """The one server of this process's tests, running."""
    return databases.postgres


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """A migrated catalogue of the test's own, in SQLite (`catalogue.db`) and in PostgreSQL."""
    if request.param == SQLITE:
        yield databases.migrated_file(tmp_path / "catalogue.db")
        return
    name = databases.migrated_database()
    yield databases.postgres.url(name)
    databases.postgres.drop(name)


@pytest.fixture(params=KINDS)
def empty_url(
    request: pytest.FixtureRequest, databases: Databases, tmp_path: Path
) -> Iterator[str]:
    """An empty database of the test's own, in SQLite (no file yet) and in PostgreSQL."""
    if request.param == SQLITE:
        yield f"sqlite:///{tmp_path}/catalogue.db"
        return
    with databases.postgres.database() as name:
        yield databases.postgres.url(name)


@pytest.fixture
def sqlite_url(databases: Databases, tmp_path: Path) -> str:
    """A migrated catalogue in the file `catalogue.db`."""
    return databases.migrated_file(tmp_path / "catalogue.db")


@pytest.fixture
def postgresql_url(databases: Databases) -> Iterator[str]:
    """A migrated catalogue in PostgreSQL."""
    name = databases.migrated_database()
    yield databases.postgres.url(name)
    databases.postgres.drop(name)


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """The catalogue at `url`, open."""
    engine = migrate.open_current(url, busy_ms=200)
    yield engine
    engine.dispose()
