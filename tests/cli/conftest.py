"""The command line is tried on SQLite; what it says in SQL is tried on both elsewhere."""

import pytest


@pytest.fixture
def url(sqlite_url: str) -> str:
    """A migrated catalogue of the test's own, in SQLite."""
    return sqlite_url
