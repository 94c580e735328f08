"""A small AMI client for the test bed, independent of the product's own adapter."""

# ruff: noqa: ASYNC109 - a deadline is part of what a test says

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import Callable, Mapping

from tests.bed.event_log import ControlError, EventLog, Received

ACTION_S = 5.0
"""Longest time an action may take before the test fails."""


class AmiError(ControlError):
    """Asterisk refused an action, or an awaited event did not come; the message says which."""


class Message(Received):
    """One AMI message: the last value of each header, lines of command output joined."""

    @property
    def event(self) -> str:
        """Name of the event; empty for a response."""
        return self["Event"]


Predicate = Callable[[Message], bool]


def event(name: str, **headers: str) -> Predicate:
    """Build a predicate: an event of that name whose headers have exactly these values."""
    return lambda message: (
        message["Event"] == name and all(message[key] == value for key, value in headers.items())
    )


_GENUINE = re.compile(
    rb"(Event: [A-Za-z]+\r\n(Privilege: |ActionID: bed-)|Response: [A-Za-z]+\r\n)"
)
"""How every message of Asterisk's begins; what a caller forges has no room for that."""

_CUT_OFF = re.compile(rb"(Num|Exten|DNID): [^\r\n]*\Z")
"""How a piece ends after which a caller's number has put an empty line."""

_BEFORE_NUMBERS = frozenset({"Event", "Response", "ActionID", "Timestamp", "Channel"})
"""Headers that stand before a caller's number; what says so again after it is forged."""

MOST_PIECES = 4
"""Into how many pieces a number of the 80 characters that Asterisk keeps can cut a message."""


class Joiner:
    """Puts messages together again that the line breaks in a caller's number have cut in pieces.

    Asterisk writes numbers as they are, so a caller can put an empty line, and what looks like a
    message, into an event. What stands in between is left out.
    """

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def take(self, piece: bytes) -> list[bytes]:
        """Take what lies between two empty lines; return the messages that are whole now."""
        if _GENUINE.match(piece):
            whole = [self._pieces[0]] if self._pieces else []
            self._pieces = []
            if _CUT_OFF.search(piece):
                self._pieces = [piece]
                return whole
            return [*whole, piece]
        if not self._pieces:
            return []
        self._pieces.append(piece)
        tail = b"Priority: " in piece and b"Linkedid: " in piece
        if not tail and len(self._pieces) < MOST_PIECES:
            return []
        whole = [self._pieces[0] + b"\r\n" + piece]
        self._pieces = []
        return whole


def _parse(block: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in block.split("\r\n"):
        key, colon, value = line.partition(":")
        if not colon:
            continue
        value = value.removeprefix(" ")
        if key == "Output" and key in headers:
            headers[key] += "\n" + value
        elif key not in _BEFORE_NUMBERS or key not in headers:
            headers[key] = value
    return headers


class Ami(EventLog[Message]):
    """A logged-in AMI connection that keeps every event it has received."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(AmiError, "the AMI connection")
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)
        self._responses: dict[str, asyncio.Future[Message]] = {}
        self._task = asyncio.create_task(self._read(), name="bed-ami")

    @classmethod
    async def connect(cls, port: int, user: str, secret: str, events: bool = True) -> Ami:
        """Connect to 127.0.0.1 and log in.

        Raises:
            OSError: Nobody listens.
            AmiError: The login was refused.
        """
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        ami = cls(reader, writer)
        try:
            await ami.action(
                "Login", Username=user, Secret=secret, Events="on" if events else "off"
            )
        except BaseException:
            await ami.close()
            raise
        return ami

    async def close(self) -> None:
        """Close the connection; safe to repeat."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    async def _read(self) -> None:
        joiner = Joiner()
        try:
            await self._reader.readline()  # the banner
            while True:
                raw = await self._reader.readuntil(b"\r\n\r\n")
                for whole in joiner.take(raw.removesuffix(b"\r\n\r\n")):
                    text = whole.decode("utf-8", "surrogateescape")
                    self._dispatch(Message(_parse(text), time.monotonic()))
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            lost = self._lost()
            for future in self._responses.values():
                if not future.done():
                    future.set_exception(lost)

    def _dispatch(self, message: Message) -> None:
        if "Response" in message:
            future = self._responses.pop(message["ActionID"], None)
            if future is not None and not future.done():
                future.set_result(message)
            return
        self._keep(message)

    async def action(
        self,
        name: str,
        *,
        variables: Mapping[str, str] | None = None,
        check: bool = True,
        timeout: float = ACTION_S,
        **headers: str,
    ) -> Message:
        """Send one action and return its response.

        Args:
            name: The action.
            variables: Channel variables, one `Variable` header each.
            check: Whether a response other than `Success` is an error.
            timeout: Longest wait for the response, in seconds.
            headers: The other headers; `Async_` stands for `Async`.

        Raises:
            AmiError: Refused, no answer in time, or the connection is gone.
        """
        if self.closed:
            raise AmiError(f"{name}: the AMI connection is closed")
        action_id = f"bed-{next(self._ids)}"
        pairs = [("Action", name), ("ActionID", action_id)]
        pairs += [(key.removesuffix("_"), value) for key, value in headers.items()]
        pairs += [("Variable", f"{key}={value}") for key, value in (variables or {}).items()]
        for key, value in pairs:
            if any(char in value for char in "\r\n\0"):
                raise AmiError(f"{name}: {key} has a line break: {value!r}")
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._responses[action_id] = future
        text = "".join(f"{key}: {value}\r\n" for key, value in pairs) + "\r\n"
        self._writer.write(text.encode("utf-8", "surrogateescape"))
        try:
            response = await asyncio.wait_for(future, timeout)
        except TimeoutError:
            raise AmiError(f"{name}: no response within {timeout} s") from None
        finally:
            self._responses.pop(action_id, None)
        if check and response["Response"] not in ("Success", "Goodbye"):
            raise AmiError(f"{name} {headers}: {response['Response']}: {response['Message']}")
        return response

    async def command(self, line: str) -> str:
        """Run a CLI command and return its output."""
        return (await self.action("Command", check=False, Command=line))["Output"]
