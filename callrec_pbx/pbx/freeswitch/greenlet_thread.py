"""A thread with a gevent hub of its own, beside asyncio and without monkey-patching."""

import atexit
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import gevent

END_S = 10.0
"""How long the end of the process waits for such threads, in seconds."""

LOOK_S = 0.001
"""How often it looks whether they are gone, in seconds."""

TASKS = Path("/proc/self/task")
"""The threads of this process, by their native ids. Source: proc(5)."""


class Work(Protocol):
    """What a thread does: `run` in its main greenlet, until `end` has been called."""

    def run(self) -> None:
        """Work."""

    def end(self) -> None:
        """Have `run` return; must not wait for anything."""


W = TypeVar("W", bound=Work)


class GreenletThread(Generic[W]):
    """One piece of work in a thread; when it ends, hub and thread are gone.

    Args:
        make: Makes the work, in the thread, as what gevent makes belongs to the thread's hub.
        failed: Called in the thread when the work could not be made.
    """

    def __init__(
        self, make: Callable[[], W], failed: Callable[[Exception], None], name: str
    ) -> None:
        self._make = make
        self._failed = failed
        self._calls: deque[Callable[[W], None]] = deque()
        self._lock = threading.Lock()
        self._watcher: Any = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        _forget(_threads)
        _running.add(self)
        try:
            self._thread.start()
        except Exception:
            _running.discard(self)
            raise
        _threads.add(self._thread)

    def call(self, function: Callable[[W], None]) -> None:
        """Have a function called with the work, in the thread's hub; it must not wait.

        May be called from any thread; does nothing when the work has ended.
        """
        with self._lock:
            if self._ended:
                return
            self._calls.append(function)
            if self._watcher is not None:
                self._watcher.send()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait for the end, and say whether it has come."""
        with contextlib.suppress(RuntimeError):  # not started
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            hub = gevent.get_hub()
        except Exception as error:
            self._end()
            self._failed(error)
            return
        try:
            self._work(hub)
        finally:
            self._end()
            _destroy(hub)

    def _work(self, hub: Any) -> None:
        try:
            work = self._make()
        except Exception as error:
            self._failed(error)
            return
        watcher = hub.loop.async_()
        watcher.start(self._call_all, work)
        with self._lock:
            self._watcher = watcher
        self._call_all(work)
        try:
            work.run()
        finally:
            self._end()
            watcher.close()

    def _end(self) -> None:
        with self._lock:
            self._ended = True
            self._watcher = None
            self._calls.clear()
        _running.discard(self)

    def _call_all(self, work: W) -> None:
        while self._calls:
            self._calls.popleft()(work)


def _destroy(hub: Any) -> None:
    """End a hub so that nothing of it stays in memory.

    `Hub.destroy` leaves the hub's greenlet suspended, which nobody can collect when its thread is
    gone; so it is ended, and the loop destroyed only then.

    Source: gevent 26.9.0, hub.py `Hub.run` and `Hub.destroy`; observed.
    """
    loop = hub.loop
    hub.destroy(destroy_loop=False)
    if not hub.dead:
        hub.throw()
    loop.destroy()


_running: set[GreenletThread[Any]] = set()
"""Those whose work has not ended: they can be told to."""

_threads: set[threading.Thread] = set()
"""Those that may still be there, also when their work has ended: they are waited for."""


def _forget(threads: set[threading.Thread]) -> None:
    """Take out the threads of which nothing runs any more.

    `Thread.join` is not enough: before Python 3.13 it returns when the thread has left Python, and
    what greenlet then does in it must not meet the end of the interpreter either.

    Source: CPython 3.11, _threadmodule.c `thread_run`; greenlet 3.5.6, TThreadStateDestroy.cpp
    `AddPendingCall`.
    """
    for thread in list(threads):
        if not thread.is_alive() and not (TASKS / str(thread.native_id)).exists():
            threads.discard(thread)


def _end_all() -> None:
    """At the end of the process: have all threads gone before the interpreter goes.

    A thread that wants the interpreter after its end is ended where it stands, and its stack is
    unwound; with several greenlets on it, that crashes the process. It happens to the hub too,
    which leaves and takes the interpreter again on its way out.

    Source: CPython 3.11, ceval_gil.h `take_gil`; pthread_exit(3); observed.
    """
    until = time.monotonic() + END_S
    while True:
        try:
            _end_all_until(until)
        except KeyboardInterrupt:
            continue  # the end is under way already
        return


def _end_all_until(until: float) -> None:
    running = list(_running)
    threads = _threads | {thread._thread for thread in running}  # noqa: SLF001 - of this module
    for thread in running:
        thread.call(lambda work: work.end())
    _forget(threads)
    while threads and time.monotonic() < until:
        time.sleep(LOOK_S)
        _forget(threads)


atexit.register(_end_all)
