"""No connection leaves a thread behind."""

import threading
from collections.abc import Iterator

import pytest

from callrec_pbx.pbx.freeswitch.connection import THREAD


@pytest.fixture
def no_thread_left() -> Iterator[None]:
    """All threads of connections end."""
    yield
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(5)
            assert not thread.is_alive()
