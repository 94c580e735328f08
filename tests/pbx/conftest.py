"""What goes wrong unseen in a task or a callback fails the test."""

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio


@pytest_asyncio.fixture(loop_scope="session")
async def nothing_left() -> AsyncIterator[None]:
    """No task is left running, and no exception was never retrieved."""
    loop = asyncio.get_running_loop()
    complaints: list[dict[str, Any]] = []
    before = asyncio.all_tasks()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    try:
        yield
        async with asyncio.timeout(5):
            while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
                await asyncio.wait(left, timeout=0.05)
        gc.collect()
        await asyncio.sleep(0)
        assert complaints == []
    finally:
        loop.set_exception_handler(None)
