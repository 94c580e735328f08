"""A house in a directory of its own."""

from pathlib import Path

import pytest
from sqlalchemy import Engine

from callrec_pbx.storage.store import RecordingStore
from tests.reconcile.house import House


@pytest.fixture
def house(tmp_path: Path, engine: Engine) -> House:
    (tmp_path / "recordings").mkdir()
    return House(RecordingStore(tmp_path / "recordings"), engine)
