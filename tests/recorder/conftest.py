"""A real spool on a directory of its own."""

from collections.abc import AsyncIterator, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from callrec_pbx.recorder import carrier
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.storage.store import RecordingStore
from tests.recorder.fakes import Rows


@pytest.fixture
def rows() -> Rows:
    """What would be in the catalogue."""
    return Rows()


@pytest_asyncio.fixture(loop_scope="session")
async def spool(tmp_path: Path, rows: Rows) -> AsyncIterator[Spool]:
    """Writes below the test's folder."""
    made = Spool(RecordingStore(tmp_path), rows, 0)
    yield made
    await made.close()


@pytest.fixture(autouse=True)
def logged() -> Iterator[list[MutableMapping[str, Any]]]:
    """What is logged; tracebacks are not painted."""
    with capture_logs() as entries:
        yield entries


@pytest.fixture(autouse=True)
def _no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do not wait for a PBX that is not there to write a file."""
    monkeypatch.setattr(carrier, "WAIT_S", 0.0)
