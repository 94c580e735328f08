"""One test bed for all tests on real Asterisks, left without a channel after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.asterisk.balance import balance
from tests.asterisk.listener import Listener
from tests.asterisk.proxy import Proxy
from tests.asterisk.scene import Scene, assert_sound, new_listener
from tests.bed.bed import Bed
from tests.bed.pbx_config import PbxOptions


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


def install(bed: Bed, **extra: str) -> None:
    """Install callrec-pbx beside a PBX that is prepared and not yet started, as a user would."""
    bed.prepare()
    installer = Listener(bed, bed.dir / "installer")
    installer.folder.mkdir()
    installer.configure("", **extra)
    installer.cli("setup", "asterisk", "--yes")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def installed_bed() -> AsyncIterator[Bed]:
    """The PBX with callrec-pbx installed by its own setup, and the far end, running."""
    bed = Bed(PbxOptions(callrec=True))
    install(bed)
    async with bed:
        yield bed


@pytest_asyncio.fixture(loop_scope="session")
async def listener(installed_bed: Bed) -> AsyncIterator[Listener]:
    """A listener of its own for the test, which starts it; what it leaves behind balances."""
    found = new_listener(installed_bed)
    yield found
    try:
        await installed_bed.quiet()
        await balance(found)
    finally:
        found.stop()
    await balance(found)
    assert_sound(found)


@pytest_asyncio.fixture(loop_scope="session")
async def proxy(installed_bed: Bed, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    """What stands between the PBX and every listener that is started from now on."""
    async with Proxy(installed_bed.pbx.ami_port) as found:
        monkeypatch.setenv("CALLREC_ASTERISK__PORT", str(found.port))
        yield found


@pytest_asyncio.fixture(loop_scope="session")
async def scene(office: Listener) -> AsyncIterator[Scene]:
    """The calls of one test, on the listener `office` that all tests of its file share."""
    yield Scene(office)
    await office.bed.quiet()
    await office.idle()


@pytest.fixture
def prompts() -> Path:
    """The English prompts as shipped, to look for in what a phone heard."""
    return Path(__file__).parents[2] / "prompts" / "audio" / "en"
