"""One test bed for all tests on real Asterisks, left without a channel after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.bed.bed import Bed


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this folder as talking to a real Asterisk."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asterisk)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_bed() -> AsyncIterator[Bed]:
    """The PBX without callrec-pbx, and the far end, running."""
    async with Bed() as bed:
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def bed(shared_bed: Bed) -> AsyncIterator[Bed]:
    """The shared bed; whatever calls the test leaves are hung up."""
    yield shared_bed
    await shared_bed.quiet()
