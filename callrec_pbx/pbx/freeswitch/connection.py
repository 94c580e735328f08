"""The half of a connection that lives in the asyncio loop."""

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import structlog

from callrec_pbx.pbx.errors import LinkDownError, PbxError
from callrec_pbx.pbx.freeswitch import framing
from callrec_pbx.pbx.freeswitch.greenlet_thread import GreenletThread
from callrec_pbx.pbx.freeswitch.messages import Message
from callrec_pbx.pbx.freeswitch.session import Answer, Command, Ended, Item, LoggedIn, Session

log = structlog.get_logger(__name__)

MAX_WAITING = 8 << 20
"""Bytes of events that may wait for the loop; more are left with FreeSWITCH, which queues them."""

THREAD = "callrec-esl"
"""Name of the thread of a connection."""

SLICE = 256 * 1024
"""Bytes of events handled before the rest of the loop has its turn."""


class Outbox:
    """Items on their way from the thread to the loop: in order, in batches, and not too many.

    Args:
        take: Gets them, in the loop.
        go_on: Called in the loop when there is room again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[list[Item]], None],
        go_on: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._take = take
        self._go_on = go_on
        self._lock = threading.Lock()
        self._items: deque[tuple[int, Item]] = deque()
        self._size = 0
        self._scheduled = False
        self._full = False

    def post(self, items: list[tuple[int, Item]]) -> bool:
        """Add items, from the thread; returns whether there is room for more.

        Raises:
            RuntimeError: The loop is closed.
        """
        with self._lock:
            self._items.extend(items)
            self._size += sum(size for size, _ in items)
            self._full = self._size > MAX_WAITING
            if not self._scheduled:
                self._loop.call_soon_threadsafe(self._hand_on)
                self._scheduled = True
            return not self._full

    def _hand_on(self) -> None:
        with self._lock:
            items, taken = [], 0
            while self._items and taken < SLICE:
                size, item = self._items.popleft()
                items.append(item)
                taken += size
            self._size -= taken
            self._scheduled = bool(self._items)
            if self._scheduled:
                self._loop.call_soon(self._hand_on)
            go_on = self._full and self._size < MAX_WAITING // 2
            self._full = self._full and not go_on
        if go_on:
            self._go_on()
        self._take(items)


class Asked(Command):
    """A command, and the future that gets its answer."""

    def __init__(self, name: str, data: bytes, future: "asyncio.Future[str]") -> None:
        super().__init__(data)
        self.name = name
        self.future = future


class Connection:
    """One connection, from the loop's side.

    Attributes:
        lost: Done when the connection is gone, with the reason.
    """

    def __init__(self, on_messages: Callable[[list[Message]], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_messages = on_messages
        self.lost: asyncio.Future[PbxError] = self._loop.create_future()
        self._logged_in: asyncio.Future[None] = self._loop.create_future()
        self._waiting: set[Asked] = set()
        self._outbox = Outbox(self._loop, self._take, self._go_on)
        self._session: Session | None = None
        self._thread: GreenletThread[Session] | None = None

    @property
    def malformed(self) -> int:
        """Frames that could not be read."""
        return self._session.malformed if self._session is not None else 0

    async def open(self, host: str, port: int, password: str) -> None:
        """Connect and log in.

        Raises:
            LoginRefusedError: The password is wrong, or the access list refuses this machine.
            LinkDownError: Nobody listens, or the connection broke.
        """
        sock = await self._connected(host, port)
        outbox = self._outbox

        def make() -> Session:
            self._session = Session(sock, password, outbox.post)
            return self._session

        def failed(error: Exception) -> None:
            sock.close()
            outbox.post([(0, Ended(LinkDownError(f"cannot begin: {error}")))])

        thread = GreenletThread(make, failed, THREAD)
        try:
            thread.start()
        except BaseException:
            sock.close()
            raise
        self._thread = thread
        await _first(self._logged_in, self.lost)
        if not self._logged_in.done():
            raise self.lost.result()

    async def _connected(self, host: str, port: int) -> socket.socket:
        attempt = asyncio.create_task(_open(host, port))
        wanted = False
        try:
            await _first(attempt, self.lost)
            wanted = not self.lost.done()
        finally:
            if not wanted:
                await _drop(attempt)
        if not wanted:
            raise self.lost.result()
        try:
            return attempt.result()
        except (OSError, UnicodeError) as error:
            raise LinkDownError(f"cannot connect: {error}") from None

    def ask(self, name: str, text: str) -> Asked:
        """Send a command; the future of what is returned gets the answer.

        Raises:
            UnsafeValueError: It must not be sent.
            LinkDownError: The connection is gone, or not made yet.
        """
        data = framing.command(text, name)
        if self.lost.done() or self._thread is None:
            raise LinkDownError(f"not connected; {name} was not sent")
        asked = Asked(name, data, self._loop.create_future())
        self._waiting.add(asked)
        self._thread.call(lambda session: session.submit(asked))
        return asked

    def forget(self, asked: Asked) -> None:
        """Expect no answer (any more) to that command; its late answer is no other's."""
        asked.given_up = True
        self._waiting.discard(asked)

    def close(self) -> None:
        """Drop the connection now."""
        self._end(LinkDownError("closed"))

    def _end(self, reason: PbxError) -> None:
        if not self.lost.done():
            self.lost.set_result(reason)
        for asked in self._waiting:
            asked.given_up = True
            if not asked.future.done():
                error = LinkDownError(f"connection lost during {asked.name}")
                asked.future.set_exception(error)
        self._waiting.clear()
        if self._thread is not None:
            self._thread.call(lambda session: session.end())

    def _go_on(self) -> None:
        if self._thread is not None:
            self._thread.call(lambda session: session.go_on())

    def _take(self, items: list[Item]) -> None:
        messages: list[Message] = []
        for item in items:
            if isinstance(item, dict):
                messages.append(item)
                continue
            # What FreeSWITCH said before an answer is known before whoever asked goes on.
            self._hand_on(messages)
            messages = []
            if isinstance(item, Answer):
                self._answer(item)
            elif isinstance(item, LoggedIn):
                if not self._logged_in.done():
                    self._logged_in.set_result(None)
            else:
                if self._logged_in.done() and not self.lost.done():
                    log.info("esl_link_lost", reason=str(item.error))
                self._end(item.error)
        self._hand_on(messages)

    def _hand_on(self, messages: list[Message]) -> None:
        if not messages or self.lost.done():
            return
        try:
            self._on_messages(messages)
        except BaseException:
            # Events may be lost now: what is known is to be put together anew.
            self.close()
            raise

    def _answer(self, answer: Answer) -> None:
        asked = answer.command
        if isinstance(asked, Asked) and asked in self._waiting:
            self.forget(asked)
            if not asked.future.done():
                asked.future.set_result(answer.text)


async def _first(*futures: "asyncio.Future[Any]") -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)


async def _drop(attempt: "asyncio.Task[socket.socket]") -> None:
    attempt.cancel()
    (end,) = await asyncio.gather(attempt, return_exceptions=True)
    if isinstance(end, socket.socket):
        end.close()


async def _open(host: str, port: int) -> socket.socket:
    loop = asyncio.get_running_loop()
    error: Exception = OSError("no address")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        # In a thread that the end of the process waits for, so only for what is a name.
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    for family, kind, protocol, _, address in found:
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            await loop.sock_connect(sock, address)
        except OSError as refused:
            sock.close()
            error = refused
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise error
