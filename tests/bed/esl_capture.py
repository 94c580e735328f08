"""Stands between a listener and FreeSWITCH's event socket, and writes down what both say.

It has a thread of its own, so that tests which block their event loop do not hold it up.
"""

from __future__ import annotations

import asyncio
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.replay.transcript import AUTH, Entry, Kind

READ = 1 << 16
START_S = 10.0
"""Longest time until the thread listens."""

READING, WRITING = "reading", "writing"

_TEST = re.compile(r"(?:.*/)?(\w+)\.py::(\w+)")


def running_test() -> str:
    """The test that is running, as `module::test`; empty outside of tests."""
    return named_test(os.environ.get("PYTEST_CURRENT_TEST", ""))


def named_test(node: str) -> str:
    """The test that pytest calls so, as `module::test`; empty where it is none."""
    found = _TEST.match(node)
    return f"{found[1]}::{found[2]}" if found else ""


@dataclass
class Frames:
    """Cuts a stream into messages: headers, an empty line, and a body as long as they say."""

    buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> list[tuple[str, str]]:
        """Take bytes; return head and body of each message that is whole now."""
        self.buffer += data
        found = []
        while (end := self.buffer.find(b"\n\n")) >= 0:
            head = _text(self.buffer[:end])
            length = re.search(r"^Content-Length: *(\d+)", head, re.MULTILINE | re.IGNORECASE)
            whole = end + 2 + (int(length[1]) if length else 0)
            if len(self.buffer) < whole:
                break
            found.append((head, _text(self.buffer[end + 2 : whole])))
            del self.buffer[:whole]
        return found


def _text(data: bytes | bytearray) -> str:
    return bytes(data).decode("utf-8", "surrogateescape")


class EslCapture:
    """A proxy in front of one event socket, for one listener.

    Attributes:
        port: Where the listener connects to.
        entries: What was said so far.
    """

    def __init__(self) -> None:
        self._target = 0
        self._began = time.monotonic()
        self._links = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="esl-capture", daemon=True)
        self._listening = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0
        self.entries: list[Entry] = []

    def begin(self, target: int, setting: str = "") -> int:
        """Take the connections of a listener that is about to start.

        Args:
            target: The TCP port that it would connect to.
            setting: What is to be written down about it.

        Returns:
            The one that it is to connect to.
        """
        self._target = target
        self._add(Kind.STARTED, 0, setting)
        if not self._thread.is_alive():
            self._thread.start()
            if not self._listening.wait(START_S):
                raise TimeoutError("the capture does not listen")
        return self.port

    def note(self, kind: Kind, text: str) -> None:
        """Write down what has happened beside the links."""
        self._add(kind, 0, text)

    def end(self) -> list[Entry]:
        """Close everything; returns all that was said."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        return self.entries

    def _run(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        server = loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        loop.run_forever()
        server.close()
        for task in self._tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        loop.close()

    def _add(
        self, kind: Kind, link: int, text: str = "", head: dict[str, str] | None = None
    ) -> None:
        at = round(time.monotonic() - self._began, 4)
        self.entries.append(Entry(kind, at, link, text, head, running_test()))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._links += 1
        link = self._links
        self._add(Kind.OPENED, link)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            self._add(Kind.LOST, link)
            writer.transport.abort()
            return
        try:
            await self._carry(link, (reader, back), (there, writer))
        except asyncio.CancelledError:
            pass
        finally:
            back.transport.abort()
            writer.transport.abort()

    async def _carry(
        self,
        link: int,
        asked: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        said: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        answers = Frames()
        both = (
            asyncio.ensure_future(self._copy(*asked, self._asking(link))),
            asyncio.ensure_future(self._copy(*said, self._saying(link, answers))),
        )
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            listener, pbx = (task.result() if task.done() else "" for task in both)
            if answers.buffer:
                self._add(Kind.SAID, link, _text(answers.buffer))
            left = listener == READING or pbx == WRITING
            self._add(Kind.LEFT if left else Kind.LOST, link)
        finally:
            for task in both:
                task.cancel()
            await asyncio.gather(*both, return_exceptions=True)

    @staticmethod
    async def _copy(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, note: Callable[[bytes], None]
    ) -> str:
        """Pass on what is said; returns at which end it was over."""
        try:
            while data := await reader.read(READ):
                note(data)  # before it is passed on: what follows from it comes after it
                try:
                    writer.write(data)
                    await writer.drain()
                except OSError:
                    return WRITING
        except OSError:
            pass
        return READING

    def _asking(self, link: int) -> Callable[[bytes], None]:
        frames = Frames()

        def note(data: bytes) -> None:
            for head, body in frames.feed(data):
                text = AUTH if head.startswith("auth ") else "\n\n".join(filter(None, (head, body)))
                self._add(Kind.ASKED, link, text)

        return note

    def _saying(self, link: int, frames: Frames) -> Callable[[bytes], None]:
        def note(data: bytes) -> None:
            for head, body in frames.feed(data):
                headers = dict(line.split(": ", 1) for line in head.split("\n") if ": " in line)
                headers.pop("Content-Length", None)
                self._add(Kind.SAID, link, body, headers)

        return note
