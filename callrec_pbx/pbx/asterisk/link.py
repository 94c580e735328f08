"""The AMI connection: one that notices its own death, and never repeats an action.

panoramisk's `Manager` connects, logs in and owns the transport; framing, the completion of
actions, dispatch and reconnecting are ours (docs/decisions/0002-panoramisk.md says why).
"""

import asyncio
import itertools
import secrets
from collections.abc import Callable
from typing import Any

import structlog
from panoramisk import Manager

from callrec_pbx import metrics
from callrec_pbx.pbx.asterisk import framing
from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.errors import (
    ActionFailedError,
    ActionTimeoutError,
    LinkDownError,
    LoginRefusedError,
    MalformedMessageError,
    PbxError,
)

log = structlog.get_logger(__name__)

WANTED = frozenset(
    {
        b"Newchannel",
        b"BridgeEnter",
        b"BridgeLeave",
        b"BlindTransfer",
        b"AttendedTransfer",
        b"MixMonitorStart",
        b"MixMonitorStop",
        b"MixMonitorMute",
        b"UserEvent",
        b"Hangup",
        b"Shutdown",
        b"FullyBooted",
        b"Status",
        b"StatusComplete",
        b"BridgeListItem",
        b"BridgeListComplete",
        b"EndpointList",
        b"EndpointListComplete",
    }
)
"""The events that are read at all; `ami/manager.conf` lets the same ones through."""


class Reply(dict[str, str]):
    """The answer to an action: its headers, and the list that followed it, if one did."""

    def __init__(self, headers: Message) -> None:
        super().__init__(headers)
        self.items_listed: list[Message] = []

    @property
    def success(self) -> bool:
        """Whether Asterisk did what was asked."""
        return self.get("Response") in ("Success", "Follows", "Goodbye")


class Protocol(asyncio.Protocol):
    """One connection: completes actions by their id and hands events on, in order."""

    def __init__(self, on_messages: Callable[[list[Message]], None]) -> None:
        self._on_messages = on_messages
        self._framer = framing.Framer(WANTED)
        # Not to be guessed: a caller can put headers into an event (see framing).
        self._prefix = f"callrec-{secrets.token_hex(8)}-"
        self._numbers = itertools.count(1)
        self._waiting: dict[str, tuple[asyncio.Future[Reply], str, str]] = {}
        self._lists: dict[str, Reply] = {}
        self._transport: asyncio.Transport | None = None
        self.lost = asyncio.get_running_loop().create_future()
        self.malformed = 0
        self._closed = False
        # panoramisk's Manager sets these on whatever protocol it gets.
        self.factory: Any = None
        self.responses: dict[str, Any] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport, unless nobody wants it any more."""
        self._transport = transport  # type: ignore[assignment]
        if self._closed:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail every action under way; none is ever sent again."""
        for future, name, _ in self._waiting.values():
            if not future.done():
                future.set_exception(LinkDownError(f"connection lost during {name}"))
        self._waiting.clear()
        if not self.lost.done():
            self.lost.set_result(exc)

    def close(self) -> None:
        """Drop the connection now; a peer that does not answer cannot hold us."""
        self._closed = True
        if self._transport is not None:
            self._transport.abort()
        elif not self.lost.done():
            self.lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Always drain: Asterisk drops a session that does not read for 100 ms."""
        try:
            blocks = self._framer.feed(data)
        except MalformedMessageError as error:
            log.exception("ami_not_ami", reason=str(error))
            self.close()
            return
        events = []
        for block in blocks:
            try:
                message = framing.parse(block)
            except MalformedMessageError as error:
                self.malformed += 1
                metrics.PBX_EVENTS_MALFORMED.labels(metrics.OTHER).inc()
                log.warning("ami_message_malformed", error=str(error))
                continue
            if message.get("ActionID", "").startswith(self._prefix):
                self._answer(message)
            elif block.startswith(b"Event: "):
                events.append(message)
        if events:
            self._on_messages(events)

    def _answer(self, message: Message) -> None:
        action_id = message["ActionID"]
        waiting = self._waiting.get(action_id)
        if waiting is None:
            return
        future, _, complete = waiting
        if "Response" in message:
            reply = Reply(message)
            if complete and reply.success:
                self._lists[action_id] = reply
                return
        elif message.get("Event") == complete:
            reply = self._lists.pop(action_id, Reply(message))
        else:
            if action_id in self._lists:
                self._lists[action_id].items_listed.append(message)
            return
        self.forget(action_id)
        if not future.done():
            future.set_result(reply)

    def forget(self, action_id: str) -> None:
        """Expect no answer (any more) to that action."""
        self._waiting.pop(action_id, None)
        self._lists.pop(action_id, None)

    def begin(
        self, name: str, headers: dict[str, str], complete: str = ""
    ) -> tuple[str, asyncio.Future[Reply]]:
        """Send an action; the future gets its reply (with `complete`, the whole list).

        Raises:
            UnsafeValueError: When a header must not be sent.
            LinkDownError: When the connection is gone.
        """
        action_id = f"{self._prefix}{next(self._numbers)}"
        data = framing.action(name, headers, action_id)
        if self._transport is None or self._transport.is_closing():
            raise LinkDownError(f"not connected; {name} was not sent")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._waiting[action_id] = (future, name, complete)
        self._transport.write(data)
        return action_id, future

    def send(
        self,
        data: dict[str, str],
        as_list: bool | None = None,  # noqa: ARG002 - the Manager passes it
    ) -> asyncio.Future[Reply]:
        """What panoramisk's Manager calls, for its login."""
        headers = {key: str(value) for key, value in data.items() if key != "Action"}
        return self.begin(data["Action"], headers)[1]


class _OneConnection(Manager):  # type: ignore[misc]
    """panoramisk's Manager for one connection only: it neither reconnects nor replays."""

    failed: asyncio.Future[None]

    def connection_made(self, future: "asyncio.Future[Any]") -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            if not self.failed.done():
                self.failed.set_exception(LinkDownError(f"cannot connect: {error}"))
            return
        try:
            super().connection_made(future)
        except PbxError as unsent:
            if not self.failed.done():
                self.failed.set_exception(unsent)

    def login(self, future: "asyncio.Future[Reply]") -> None:
        broken = future.cancelled() or future.exception() is not None
        if self.failed.done():
            return
        if broken:
            self.failed.set_exception(LinkDownError("connection lost during login"))
        elif not future.result().success:
            text = future.result().get("Message", "")
            self.failed.set_exception(LoginRefusedError(text))
        else:
            self.failed.set_result(None)

    def ping(self) -> None:
        """The link sends its own, and looks at the answers."""


class AmiLink:
    """A session with Asterisk. Every action has a deadline; after a loss, make a new one.

    Args:
        on_messages: Called with each chunk of wanted events, in order, on the event loop.
        timeout_s: Deadline of an action.
        connect_timeout_s: Deadline of connecting and logging in.
    """

    def __init__(
        self,
        host: str,
        port: int,
        username: str,
        secret: str,
        *,
        on_messages: Callable[[list[Message]], None] = lambda _: None,
        timeout_s: float = 5.0,
        connect_timeout_s: float = 5.0,
    ) -> None:
        self._address = (host, port)
        self._username = username
        self._secret = secret
        self._on_messages = on_messages
        self.timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._protocol: Protocol | None = None
        self._manager: _OneConnection | None = None

    async def connect(self) -> None:
        """Connect and log in.

        Raises:
            LinkDownError: Nobody there, or no answer in time.
            LoginRefusedError: Wrong user or secret.
            UnsafeValueError: The user or secret cannot be sent.
        """
        loop = asyncio.get_running_loop()
        host, port = self._address
        protocol = self._protocol = Protocol(self._on_messages)
        manager = self._manager = _OneConnection(
            loop=loop,
            host=host,
            port=port,
            username=self._username,
            secret=self._secret,
            # Events only after the login, so that no chunk comes before somebody listens.
            events="on",
            protocol_factory=lambda: protocol,
        )
        manager.failed = loop.create_future()
        attempt = manager.connect()
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await manager.failed
        except TimeoutError:
            attempt.cancel()
            self.close()
            where = f"{host}:{port}"
            limit = self._connect_timeout_s
            raise LinkDownError(f"{where} did not answer within {limit} s") from None
        except BaseException:
            attempt.cancel()
            self.close()
            raise
        finally:
            if manager.pinger is not None:
                manager.pinger.cancel()

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._protocol is not None and not self._protocol.lost.done()

    @property
    def malformed(self) -> int:
        """Messages refused since the connection was made."""
        return self._protocol.malformed if self._protocol is not None else 0

    async def wait_lost(self) -> None:
        """Return when the connection is gone."""
        if self._protocol is not None:
            await asyncio.shield(self._protocol.lost)

    def close(self) -> None:
        """Drop the connection."""
        if self._protocol is not None:
            self._protocol.close()

    async def action(self, name: str, timeout_s: float | None = None, **headers: str) -> Reply:
        """Carry out one action and return its reply.

        Raises:
            ActionFailedError: Asterisk said no; the text is its own.
            ActionTimeoutError: No answer in time.
            LinkDownError: Not connected, or lost before the answer.
            UnsafeValueError: A header must not be sent.
        """
        reply = await self._await(name, headers, "", timeout_s)
        if not reply.success:
            raise ActionFailedError(reply.get("Message", "no reason given"))
        return reply

    async def listing(
        self, name: str, complete: str, timeout_s: float | None = None, **headers: str
    ) -> list[Message]:
        """Carry out an action that answers with a list which ends by the event `complete`."""
        reply = await self._await(name, headers, complete, timeout_s)
        if not reply.success:
            raise ActionFailedError(reply.get("Message", "no reason given"))
        return reply.items_listed

    async def _await(
        self, name: str, headers: dict[str, str], complete: str, timeout_s: float | None
    ) -> Reply:
        if self._protocol is None:
            raise LinkDownError(f"not connected; {name} was not sent")
        limit = self.timeout_s if timeout_s is None else timeout_s
        action_id, future = self._protocol.begin(name, headers, complete)
        try:
            async with asyncio.timeout(limit):
                return await future
        except TimeoutError:
            metrics.PBX_ACTIONS_TIMED_OUT.labels(metrics.bounded("action", name)).inc()
            raise ActionTimeoutError(f"{name} was not answered within {limit} s") from None
        finally:
            self._protocol.forget(action_id)
