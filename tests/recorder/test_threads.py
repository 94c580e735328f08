"""Jobs for a few threads, in the order given, told back to the loop."""

import asyncio
import threading
from functools import partial
from typing import Any

import pytest

from callrec_pbx.recorder.threads import Threads


async def test_one_thread_keeps_the_order() -> None:
    """Also of jobs that were given in several batches."""
    threads, done = Threads(1, "t"), list[int]()
    jobs = [threads.do(partial(done.append, number)) for number in range(50)]
    await asyncio.gather(*jobs)
    await asyncio.gather(*(threads.do(lambda: done.append(-1)) for _ in range(2)))
    assert done == [*range(50), -1, -1]
    threads.close()


async def test_results_and_errors_reach_their_job() -> None:
    """One that fails costs neither the thread nor the job beside it."""
    threads = Threads(1, "t")

    def fail() -> None:
        raise OSError("full")

    before, failed, after = await asyncio.gather(
        threads.do(lambda: 1), threads.do(fail), threads.do(lambda: 2), return_exceptions=True
    )
    assert (before, str(failed), after) == (1, "full", 2)
    assert await threads.do(threading.get_ident) != threading.get_ident()
    threads.close()


async def held(threads: Threads, count: int) -> tuple[threading.Event, "asyncio.Future[Any]"]:
    """Keep so many threads busy until the event is set."""
    go, busy = threading.Event(), threading.Barrier(count + 1)

    def hold() -> None:
        busy.wait(5)
        go.wait(5)

    holding = asyncio.gather(*(threads.do(hold) for _ in range(count)))
    await asyncio.sleep(0)
    await asyncio.to_thread(busy.wait, 5)
    return go, holding


async def test_a_slow_job_does_not_hold_up_the_others() -> None:
    """The other thread takes what comes after it."""
    threads = Threads(2, "t")
    go, holding = await held(threads, 1)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*(threads.do(lambda: 1) for _ in range(20))) == [1] * 20
    assert not holding.done()
    go.set()
    await holding
    threads.close()


async def test_waiting_jobs_are_told_together() -> None:
    """A thread takes a few at once, and reports them by one call into the loop."""
    threads = Threads(1, "t")
    go, holding = await held(threads, 1)
    calls: list[object] = []
    loop = asyncio.get_running_loop()
    tell = loop.call_soon_threadsafe

    def note(*arguments: Any) -> asyncio.Handle:
        calls.append(arguments)
        return tell(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "call_soon_threadsafe", note)
        waiting = asyncio.gather(*(threads.do(lambda: 1) for _ in range(16)))
        await asyncio.sleep(0)
        go.set()
        await waiting
    assert len(calls) == 3
    await holding
    threads.close()


async def test_a_job_that_nobody_awaits_any_more() -> None:
    """It is done all the same, and its end disturbs nobody."""
    threads, go, done = Threads(1, "t"), threading.Event(), list[int]()

    def work() -> None:
        go.wait(5)
        done.append(1)

    job = asyncio.create_task(threads.do(work))
    await asyncio.sleep(0)
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    go.set()
    await threads.do(lambda: None)
    assert done == [1]
    threads.close()


async def test_closing_finishes_what_was_given() -> None:
    """Nothing that was handed over is lost, and no thread remains."""
    before = threading.active_count()
    threads, done = Threads(3, "t"), list[int]()
    jobs = [asyncio.create_task(threads.do(partial(done.append, n))) for n in range(30)]
    await asyncio.sleep(0)
    threads.close()
    assert sorted(done) == list(range(30))
    await asyncio.gather(*jobs)
    assert threading.active_count() == before


def test_the_loop_is_gone() -> None:
    """A thread whose loop has been closed ends, and does not break."""
    threads, go = Threads(1, "t"), threading.Event()
    loop = asyncio.new_event_loop()
    job = threads.do(lambda: go.wait(5))
    task = loop.create_task(job)
    loop.run_until_complete(asyncio.sleep(0))
    task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    go.set()
    threads.close()
