"""One test bed with FreeSWITCH for these tests, left without a channel after each of them.

They are collected where a FreeSWITCH is asked for, or a file of them is named.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.bed.bed import PBX_VARIABLE, Bed
from tests.calls.on_freeswitch import FreeSwitchHouse
from tests.calls.pbx import House

pytest.register_assert_rewrite("tests.bed.checks")

collect_ignore_glob = [] if os.environ.get(PBX_VARIABLE) == "freeswitch" else ["test_*.py"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this folder as talking to a real FreeSWITCH."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.freeswitch)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_bed() -> AsyncIterator[Bed]:
    """The PBX without callrec-pbx, and the far end, running."""
    async with Bed(kind="freeswitch") as bed:
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
    assert isinstance(house, FreeSwitchHouse)
    return house.bed
