"""Changes of a migrated catalogue with its one tenant."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Engine

from callrec_pbx.people.changes import Changes
from callrec_pbx.policy.people import changing

Change = Callable[[], AbstractContextManager[Changes]]


@pytest.fixture
def change(engine: Engine) -> Change:
    """A change by `ann`."""
    return lambda: changing(engine, author="ann")
