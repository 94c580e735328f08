"""One PBX for all scenarios of a process, left without a leg after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.calls.balance import balance
from tests.calls.houses import new_house
from tests.calls.listener import Listener, install
from tests.calls.pbx import House
from tests.calls.proxy import Proxy
from tests.calls.scene import Scene, assert_sound, new_listener
from tests.replay import keeping


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def house() -> AsyncIterator[House]:
    """The PBX with callrec-pbx installed by its own setup, and the far end, running."""
    house = new_house()
    install(house)
    async with house:
        yield house


@pytest_asyncio.fixture(loop_scope="session")
async def listener(house: House) -> AsyncIterator[Listener]:
    """A listener of its own for the test, which starts it; what it leaves behind balances."""
    found = new_listener(house)
    yield found
    try:
        await house.quiet()
        await balance(found)
    finally:
        found.stop()
    await balance(found)
    assert_sound(found)
    keeping.keep(found)


@pytest_asyncio.fixture(loop_scope="session")
async def doomed() -> AsyncIterator[Listener]:
    """A listener beside a PBX that no other test needs."""
    house = new_house()
    install(house)
    async with house:
        listener = new_listener(house)
        try:
            yield listener
            await house.quiet()
            await balance(listener)
        finally:
            listener.stop()
        assert_sound(listener)
        keeping.keep(listener)


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(house: House, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """What stands between the PBX and every listener that is started from now on."""
    async with Proxy(house.control_port) as found:
        monkeypatch.setenv(f"CALLREC_{house.pbx.upper()}__PORT", str(found.port))
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Listener) -> AsyncIterator[Scene]:
    """The calls of one test, on the listener `office` that all tests of its file share."""
    yield Scene(office)
    await office.house.quiet()
    await office.idle()


@pytest.fixture
def prompts() -> Path:
    """The English prompts as shipped, to look for in what a phone heard."""
    return Path(__file__).parents[2] / "prompts" / "audio" / "en"
