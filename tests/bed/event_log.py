"""What both event clients of the test bed do with events: keep them, and wait for one."""

# ruff: noqa: ASYNC109 - a deadline is part of what a test says

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

TOLD_EVENTS = 15
"""How many of the latest events a timeout message shows."""


class ControlError(Exception):
    """The PBX refused something, or an awaited event did not come; the message says which."""


class Received(dict[str, str]):
    """What a PBX has sent in one piece; a header that it does not have is empty.

    Attributes:
        at: Time of arrival on the monotonic clock, in seconds.
    """

    def __init__(self, headers: Mapping[str, str], at: float) -> None:
        super().__init__(headers)
        self.at = at

    def __missing__(self, key: str) -> str:
        return ""


E = TypeVar("E", bound=Received)


class EventLog(Generic[E]):
    """Keeps every event, so that a waiter also finds one that came before the wait began.

    Take a `mark`, act, then wait with `since=mark`.

    Args:
        error: What is raised.
        name: What the connection is called in its text.

    Attributes:
        log: The events, in order.
        closed: Whether no further event can come.
    """

    def __init__(self, error: type[ControlError], name: str) -> None:
        self._error = error
        self._name = name
        self._waiters: list[tuple[Callable[[E], bool], asyncio.Future[E]]] = []
        self._listeners: list[Callable[[E], None]] = []
        self.log: list[E] = []
        self.closed = False

    def _keep(self, found: E) -> None:
        self.log.append(found)
        for listener in list(self._listeners):
            listener(found)
        for waiter in list(self._waiters):
            predicate, future = waiter
            if not future.done() and predicate(found):
                future.set_result(found)
                self._waiters.remove(waiter)

    def _lost(self) -> ControlError:
        """No further event can come: end all waits with the error that is returned."""
        self.closed = True
        lost = self._error(f"{self._name} is closed")
        for _, waiter in self._waiters:
            if not waiter.done():
                waiter.set_exception(lost)
        return lost

    def subscribe(self, listener: Callable[[E], None]) -> None:
        """Call `listener` with each event from now on, in order."""
        self._listeners.append(listener)

    def mark(self) -> int:
        """Return the place in the log to wait from, to miss nothing that comes from now on."""
        return len(self.log)

    def since(self, mark: int = 0) -> Iterator[E]:
        """Iterate over the events received since the mark."""
        return iter(self.log[mark:])

    async def wait_for(
        self, predicate: Callable[[E], bool], timeout: float = 10.0, since: int | None = None
    ) -> E:
        """Return the first event that satisfies `predicate`.

        Args:
            predicate: The test, see `event` of the client.
            timeout: Longest wait in seconds.
            since: Look from this mark in the log; without it, only at what is yet to come.

        Raises:
            ControlError: No such event in time; the message shows the latest events.
        """
        if since is not None:
            for found in self.log[since:]:
                if predicate(found):
                    return found
        if self.closed:
            raise self._error(f"{self._name} is closed")
        future: asyncio.Future[E] = asyncio.get_running_loop().create_future()
        waiter = (predicate, future)
        self._waiters.append(waiter)
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            latest = "\n".join(f"  {found}" for found in self.log[-TOLD_EVENTS:])
            text = f"no such event within {timeout} s; the latest:\n{latest}"
            raise self._error(text) from None
        finally:
            with contextlib.suppress(ValueError):
                self._waiters.remove(waiter)
