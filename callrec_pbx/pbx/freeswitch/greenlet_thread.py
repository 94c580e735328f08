"""A thread with a gevent hub of its own, beside asyncio and without monkey-patching."""

import atexit
import contextlib
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

import gevent

END_S = 1.0
"""How long the end of the process waits for such a thread."""


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
        _running.add(self)
        self._thread.start()

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


_running: "weakref.WeakSet[GreenletThread[Any]]" = weakref.WeakSet()


def _end_all() -> None:
    """At the end of the process: a thread that then waits in C code could not be ended."""
    left = list(_running)
    for thread in left:
        thread.call(lambda work: work.end())
    for thread in left:
        thread.join(END_S)


atexit.register(_end_all)
