"""Threads for the event loop's disk work, woken and heard in batches.

`run_in_executor` wakes a thread and the loop once for each job, which under load costs more than
the job. Here a thread takes several waiting jobs at once and reports them together.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

_Job = tuple[Callable[[], Any], "asyncio.Future[Any]"]


class Threads:
    """A few threads that carry out jobs in the order given (each thread for itself).

    Args:
        count: How many threads.
        name: What they are called.
        at_once: Jobs that one thread takes at the most; those behind the first wait for it.
    """

    def __init__(self, count: int, name: str, at_once: int = 8) -> None:
        self._at_once = at_once
        self._jobs: deque[_Job] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._closing = False
        self._count = count
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def do(self, job: Callable[[], T]) -> T:
        """Carry a job out in a thread; what it raises is raised here."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        with self._changed:
            self._jobs.append((job, future))
            if self._idle:
                self._changed.notify()
        return await future

    def close(self) -> None:
        """Finish what was given, then end the threads."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _take(self) -> list[_Job]:
        with self._changed:
            while not self._jobs:
                if self._closing:
                    return []
                self._idle += 1
                self._changed.wait()
                self._idle -= 1
            share = max(1, min(self._at_once, len(self._jobs) // self._count))
            return [self._jobs.popleft() for _ in range(share)]

    def _work(self) -> None:
        while jobs := self._take():
            done: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
            for job, future in jobs:
                try:
                    done.append((future, job(), None))
                except Exception as error:
                    done.append((future, None, error))
            loop = jobs[0][1].get_loop()
            try:
                loop.call_soon_threadsafe(_settle, done)
            except RuntimeError:  # the loop is closed: nobody awaits any more
                return


def _settle(done: "list[tuple[asyncio.Future[Any], Any, BaseException | None]]") -> None:
    for future, result, error in done:
        if future.done():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
