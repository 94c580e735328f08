"""A small ESL client for the test bed, independent of the product's own adapter."""

# ruff: noqa: ASYNC109 - a deadline is part of what a test says

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Mapping

from tests.bed.event_log import ControlError, EventLog, Received

COMMAND_S = 10.0
"""Longest time a command may take before the test fails."""

_TOLD = (
    "Event-Name",
    "Event-Subclass",
    "Unique-ID",
    "Channel-Name",
    "Application",
    "Application-Data",
    "API-Command",
    "API-Command-Argument",
    "DTMF-Digit",
    "Hangup-Cause",
)
"""What a timeout message shows of each event, which has some two hundred headers."""

_UNWANTED = ("HEARTBEAT", "RE_SCHEDULE", "MESSAGE_", "PRESENCE_", "MODULE_LOAD")
"""What no test looks at. (`nixevent` would take every unknown CUSTOM subclass away with them.)"""


class EslError(ControlError):
    """FreeSWITCH refused a command, or an awaited event did not come; the message says which."""


class Event(Received):
    """One event of FreeSWITCH's."""

    @property
    def event(self) -> str:
        """Name of the event: the subclass of a CUSTOM one."""
        return self["Event-Subclass"] or self["Event-Name"]

    def __str__(self) -> str:
        return str({key: self[key] for key in _TOLD if key in self})


Predicate = Callable[[Event], bool]


def event(name: str, **headers: str) -> Predicate:
    """Build a predicate: an event of that name whose headers have exactly these values.

    Args:
        name: The event, or the subclass of a CUSTOM event.
        headers: Values; an underscore in a header's name stands for its hyphen, except behind
            `variable_`.
    """
    wanted = {
        key if key.startswith("variable_") else key.replace("_", "-"): value
        for key, value in headers.items()
    }
    return lambda found: (
        found.event == name and all(found[key] == value for key, value in wanted.items())
    )


class Esl(EventLog[Event]):
    """A logged-in event socket that keeps every event it has received.

    It has all events but the noise: each API command that anybody gave (`API`), what ran on a
    channel (`CHANNEL_EXECUTE`), `PLAYBACK_START`, `DTMF`, `callcenter::info` and every other
    CUSTOM subclass.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(EslError, "the event socket")
        self._reader = reader
        self._writer = writer
        self._replies: deque[asyncio.Future[str]] = deque()
        self._task = asyncio.create_task(self._read(), name="bed-esl")

    @classmethod
    async def connect(cls, port: int, password: str, events: bool = True) -> Esl:
        """Connect to 127.0.0.1 and log in.

        Raises:
            OSError: Nobody listens.
            EslError: The login was refused.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        esl = cls(reader, writer)
        try:
            await esl.command(f"auth {password}")
            if events:
                await esl.command("event json ALL")
        except BaseException:
            await esl.close()
            raise
        return esl

    async def close(self) -> None:
        """Close the connection; safe to repeat."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        try:
            while True:
                raw = await self._reader.readuntil(b"\n\n")
                head = dict(
                    line.split(": ", 1)
                    for line in raw.decode("utf-8", "replace").splitlines()
                    if ": " in line
                )
                body = await self._reader.readexactly(int(head.get("Content-Length", "0")))
                self._frame(head, body.decode("utf-8", "surrogateescape"))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            lost = self._lost()
            for reply in self._replies:
                if not reply.done():
                    reply.set_exception(lost)

    def _frame(self, head: Mapping[str, str], body: str) -> None:
        match head.get("Content-Type"):
            case "text/event-json":
                self._dispatch(Event(json.loads(body, strict=False), time.monotonic()))
            case "command/reply":
                self._reply(head.get("Reply-Text", ""))
            case "api/response":
                self._reply(body)

    def _reply(self, text: str) -> None:
        if self._replies:
            future = self._replies.popleft()
            if not future.done():
                future.set_result(text)

    def _dispatch(self, found: Event) -> None:
        if found.event.startswith(_UNWANTED):
            return
        self._keep(found)

    async def _send(self, line: str, timeout: float) -> str:
        if self.closed:
            raise EslError(f"{line}: the event socket is closed")
        if any(char in line for char in "\r\n\0"):
            raise EslError(f"a command with a line break: {line!r}")
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._replies.append(future)
        self._writer.write(f"{line}\n\n".encode("utf-8", "surrogateescape"))
        try:
            return await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise EslError(f"{line}: no reply within {timeout} s") from None

    async def command(self, line: str, timeout: float = COMMAND_S) -> str:
        """Send a command of the event socket and return its reply text.

        Raises:
            EslError: Refused, no reply in time, or the connection is gone.
        """
        reply = await self._send(line, timeout)
        if reply.startswith("-ERR"):
            raise EslError(f"{line.partition(' ')[0]}: {reply}")
        return reply

    async def api(self, line: str, check: bool = False, timeout: float = COMMAND_S) -> str:
        """Run an API command (what one types into fs_cli) and return its output.

        Args:
            line: The command.
            check: Whether an output that begins with `-ERR` is an error.
            timeout: Longest wait, in seconds.

        Raises:
            EslError: Refused, no answer in time, or the connection is gone.
        """
        answer = await self._send(f"api {line}", timeout)
        if check and answer.startswith("-ERR"):
            raise EslError(f"{line}: {answer}")
        return answer
