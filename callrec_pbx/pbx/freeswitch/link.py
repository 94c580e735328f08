"""One connection to FreeSWITCH's event socket, on greenswitch in a thread of its own."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from callrec_pbx import metrics
from callrec_pbx.pbx.errors import (
    ActionFailedError,
    ActionTimeoutError,
    LinkDownError,
)
from callrec_pbx.pbx.freeswitch import framing
from callrec_pbx.pbx.freeswitch.messages import Message

if TYPE_CHECKING:
    from callrec_pbx.pbx.freeswitch.connection import Connection

__all__ = ["EslLink", "Message", "OnMessages"]

OnMessages = Callable[[list[Message]], None]

EVENTS = (
    "CHANNEL_CREATE",
    "CHANNEL_ORIGINATE",
    "CHANNEL_ANSWER",
    "CHANNEL_BRIDGE",
    "CHANNEL_UNBRIDGE",
    "CHANNEL_HANGUP_COMPLETE",
    "RECORD_START",
    "RECORD_STOP",
)
"""The events that are asked for. Never DTMF: no digit of a caller may reach us."""

SUBCLASSES = (
    "callrec::offer",
    "callrec::unanswered",
    "callrec::consent",
    "callrec::whisper",
    "callrec::key",
    "callrec::stopped",
    "callrec::voicemail",
    "callrec::profile",
)
"""The CUSTOM events that are asked for."""

SUBSCRIPTION = " ".join(("event json", *EVENTS, "CUSTOM", *SUBCLASSES))
"""In JSON, as a caller's line breaks forge headers in the plain format of some readers.

What follows `CUSTOM` are names of subclasses, so it comes last.
"""

_REFUSALS = ("-ERR", "-USAGE")


class EslLink:
    """One connection to the event socket.

    Args:
        host: Host of the event socket.
        port: Its TCP port.
        password: Its password.
        on_messages: Gets the events in order, in the event loop; None: none are asked for.
        timeout_s: Longest wait for the answer to a command, in seconds.
        connect_timeout_s: Longest wait for connection and login, in seconds.
    """

    def __init__(
        self,
        host: str,
        port: int,
        password: str,
        *,
        on_messages: OnMessages | None = None,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 5.0,
    ) -> None:
        self._address = (host, port)
        self._password = password
        self._on_messages = on_messages
        self.timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._connection: Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._connection is not None and not self._connection.lost.done()

    @property
    def malformed(self) -> int:
        """Frames that could not be read since the connection was made."""
        return self._connection.malformed if self._connection is not None else 0

    async def connect(self) -> None:
        """Connect, log in, and subscribe to the events that are needed.

        Raises:
            LoginRefusedError: The password is wrong, or the access list refuses this machine.
            LinkDownError: Nobody listens, or the connection broke.
            ActionTimeoutError: No answer in time.
            ActionFailedError: FreeSWITCH does not give the events.
            UnsafeValueError: The password cannot be sent.
        """
        # gevent is loaded where FreeSWITCH is spoken to, and nowhere else.
        from callrec_pbx.pbx.freeswitch.connection import Connection  # noqa: PLC0415

        framing.command(f"auth {self._password}", "the password")
        self.close()
        host, port = self._address
        limit = self._connect_timeout_s
        connection = self._connection = Connection(self._on_messages or (lambda _: None))
        try:
            async with asyncio.timeout(limit):
                await connection.open(host, port, self._password)
                if self._on_messages is not None:
                    _refused(await self._answer(connection, "event", SUBSCRIPTION))
        except TimeoutError:
            connection.close()
            raise ActionTimeoutError(f"{host}:{port} did not answer within {limit} s") from None
        except BaseException:
            connection.close()
            raise

    async def api(self, command: str, timeout_s: float | None = None) -> str:
        """Run an API command (`uuid_record …`) and return what it printed, stripped.

        Raises:
            ActionFailedError: FreeSWITCH answered `-ERR …` or `-USAGE …`; the text is its own.
            ActionTimeoutError: No answer in time; whether it was done is not known.
            LinkDownError: Not connected, or the connection broke before the answer.
            UnsafeValueError: CR, LF or NUL in it, or longer than a command may be.
        """
        name = command.partition(" ")[0]
        return _refused(await self._in_time(name, f"api {command}", timeout_s))

    async def fire(self, event: str) -> None:
        """Raise an event without headers, by its name.

        Raises:
            ActionTimeoutError: No answer in time.
            LinkDownError: Not connected, or the connection broke before the answer.
        """
        await self._in_time("sendevent", f"sendevent {event}", None)

    async def _in_time(self, name: str, text: str, timeout_s: float | None) -> str:
        connection = self._connection
        if connection is None:
            raise LinkDownError(f"not connected; {name} was not sent")
        limit = self.timeout_s if timeout_s is None else timeout_s
        try:
            async with asyncio.timeout(limit):
                return await self._answer(connection, name, text)
        except TimeoutError:
            metrics.PBX_ACTIONS_TIMED_OUT.labels(metrics.bounded("action", name)).inc()
            raise ActionTimeoutError(f"{name} was not answered within {limit} s") from None

    @staticmethod
    async def _answer(connection: "Connection", name: str, text: str) -> str:
        asked = connection.ask(name, text)
        try:
            return await asked.future
        finally:
            connection.forget(asked)

    async def wait_lost(self) -> None:
        """Return when the connection is gone."""
        if self._connection is not None:
            await asyncio.shield(self._connection.lost)

    def close(self) -> None:
        """Drop the connection; what is pending ends with `LinkDownError`. Safe to repeat."""
        if self._connection is not None:
            self._connection.close()


def _refused(answer: str) -> str:
    text = answer.strip()
    if text.upper().startswith(_REFUSALS):
        raise ActionFailedError(text)
    return text
