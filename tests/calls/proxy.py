"""A man in the middle of listener and PBX: cuts, swallows, holds and slows down what they say."""

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Self

Change = Callable[[bytes], bytes | None]


class Proxy:
    """A TCP proxy in front of the port by which the PBX is steered.

    Attributes:
        port: Where the listener connects to.
        refusing: Whether new connections are closed at once.
        deaf: Whether connections stay up and nothing comes through any more.
        slice_s: Seconds per slice of what the PBX says; 0 for at once.
        slice_bytes: How much a slow link takes at once.
        asked: All that the listener has said.
        connections: How many it has made.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.refusing = False
        self.deaf = False
        self.slice_s = 0.0
        self.slice_bytes = 200
        self.asked = b""
        self.connections = 0
        self._hold: re.Pattern[bytes] | None = None
        self.held = asyncio.Event()
        self._cut_in: re.Pattern[bytes] | None = None
        self.was_cut = asyncio.Event()

    async def __aenter__(self) -> Self:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything."""
        assert self._server is not None
        self._server.close()
        self.cut()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Close all connections, from the middle."""
        for writer in list(self._writers):
            writer.transport.abort()

    def hold(self, words: bytes) -> None:
        """Swallow all that the listener says, from its next piece with these words; see `held`."""
        self.held.clear()
        self._hold = re.compile(words)

    def cut_in(self, words: bytes) -> None:
        """Cut in the middle of the next thing the PBX says with these words; see `was_cut`."""
        self.was_cut.clear()
        self._cut_in = re.compile(words)

    def times(self, words: bytes) -> int:
        """How often the listener has said these words."""
        return len(re.findall(words, self.asked))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            if self.refusing:
                return
            await self._carry(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._writers.discard(writer)
            writer.transport.abort()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(back)
        both = [
            asyncio.ensure_future(self._copy(reader, back, self._ask)),
            asyncio.ensure_future(self._copy(there, writer, self._tell)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            self._writers.discard(back)
            back.transport.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Change
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.deaf:
                    continue
                passed = change(data)
                if passed is None:
                    found = self._cut_in and self._cut_in.search(data)
                    assert found
                    writer.write(data[: (found.start() + found.end()) // 2])
                    await writer.drain()
                    self._cut_in = None
                    self.was_cut.set()
                    return
                pieces = [passed]
                if self.slice_s and change == self._tell:
                    size = self.slice_bytes
                    pieces = [passed[at : at + size] for at in range(0, len(passed), size)]
                for piece in pieces:
                    if self.slice_s:
                        await asyncio.sleep(self.slice_s)
                    writer.write(piece)
                    await writer.drain()

    def _ask(self, data: bytes) -> bytes:
        if self.held.is_set():
            return b""
        if self._hold and self._hold.search(data):
            self._hold = None
            self.held.set()
            return b""
        self.asked += data
        return data

    def _tell(self, data: bytes) -> bytes | None:
        return None if self._cut_in and self._cut_in.search(data) else data
