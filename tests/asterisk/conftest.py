"""One test bed without callrec-pbx for the tests of the bed, left without a channel after each."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.bed.bed import Bed
from tests.calls.on_asterisk import AsteriskHouse
from tests.calls.pbx import House

pytest.register_assert_rewrite("tests.bed.checks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this folder as talking to a real Asterisk."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asterisk)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_bed() -> AsyncIterator[Bed]:
    """The PBX without callrec-pbx, and the far end, running."""
    async with Bed(kind="asterisk") as bed:
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def bed(shared_bed: Bed) -> AsyncIterator[Bed]:
    """The shared bed; whatever calls the test leaves are hung up."""
    yield shared_bed
    print(shared_bed.pbx.log_tail())  # shown where the test has failed
    await shared_bed.quiet()


@pytest.fixture
def installed_bed(house: House) -> Bed:
    """The bed of the scenarios, with callrec-pbx installed."""
    assert isinstance(house, AsteriskHouse)
    return house.bed
