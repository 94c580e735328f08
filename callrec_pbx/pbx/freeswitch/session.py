"""The half of a connection that lives in the thread with the gevent hub, on greenswitch.

greenswitch's `InboundESL` waits for FreeSWITCH's greeting, logs in and owns socket and greenlets;
framing, decoding, the completion of commands and their deadlines are ours
(docs/decisions/0022-greenswitch.md says why).
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass

import gevent
import structlog
from gevent.event import AsyncResult, Event
from gevent.queue import Queue
from gevent.socket import socket as GeventSocket  # noqa: N812
from greenswitch.esl import InboundESL, NotConnectedError

from callrec_pbx import metrics
from callrec_pbx.pbx.errors import (
    LinkDownError,
    LoginRefusedError,
    MalformedMessageError,
    PbxError,
)
from callrec_pbx.pbx.freeswitch import framing
from callrec_pbx.pbx.freeswitch.framing import Frame
from callrec_pbx.pbx.freeswitch.messages import Message, message

log = structlog.get_logger(__name__)

CHUNK = 64 * 1024
"""Bytes read before the other greenlets have their turn."""

ITEM_BYTES = 256
"""What an item counts beside the bytes that FreeSWITCH sent."""


class Command:
    """Something asked of FreeSWITCH.

    Attributes:
        given_up: Nobody waits for the answer any more; what has not been sent then never is.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.given_up = False


@dataclass(frozen=True, slots=True)
class Answer:
    """What FreeSWITCH answered to a command."""

    command: Command
    text: str


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """FreeSWITCH took the password."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is gone; always the last item."""

    error: PbxError


Item = Message | Answer | LoggedIn | Ended

Post = Callable[[list[tuple[int, Item]]], bool]
"""Hands items on with their sizes in bytes; returns whether there is room for more.

Raises `RuntimeError` when nobody takes them any more.
"""


class Session(InboundESL):  # type: ignore[misc]
    """One connection.

    Args:
        sock: Connected already; it is taken over.
    """

    def __init__(self, sock: socket.socket, password: str, post: Post) -> None:
        super().__init__("", 0, password)
        self.sock = GeventSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
        self.connected = True
        self.malformed = 0
        self._post = post
        self._framer = framing.Framer()
        self._items: list[tuple[int, Item]] = []
        self._to_send: Queue[tuple[Command | AsyncResult, bytes]] = Queue()
        self._login = gevent.Greenlet(self.connect)
        self._login_answer = AsyncResult()
        self._room = Event()
        self._room.set()
        self._over = Event()
        self._error: PbxError | None = None

    def run(self) -> None:
        """Work until `end`, and leave nothing behind."""
        self.start_event_handlers()
        self._login.start()
        greenlets = (self._receive_events_greenlet, self._process_events_greenlet, self._login)
        try:
            self._over.wait()
        finally:
            gevent.killall(greenlets)
            self.sock.close()
            error = self._error or LinkDownError("closed")
            self._hand_over([(ITEM_BYTES, Ended(error))])

    def end(self, error: PbxError | None = None) -> None:
        """Have `run` return; the first reason given counts."""
        if not self._over.is_set():
            self._error = error
            self._over.set()

    def submit(self, command: Command) -> None:
        """Send a command; its answer becomes an item."""
        self._to_send.put((command, command.data))

    def go_on(self) -> None:
        """Read again: there is room."""
        self._room.set()

    def connect(self) -> None:
        """Log in when FreeSWITCH asks for it."""
        try:
            self._auth_request_event.wait()
            self.authenticate()
        except NotConnectedError:
            return
        except (KeyError, ValueError):
            text = self._login_answer.get().headers.get("Reply-Text", "no reason given")
            self.end(LoginRefusedError(text))
        else:
            self._hand_over([(ITEM_BYTES, LoggedIn())])

    def send(self, data: str) -> Frame:
        """What greenswitch calls, for its login."""
        if not self.connected:
            raise NotConnectedError
        self._to_send.put((self._login_answer, framing.command(data, "the login")))
        frame: Frame = self._login_answer.get()
        return frame

    def process_events(self) -> None:
        """Send what is to be sent, in order. (Events are handed on as they are read.)"""
        for command, data in self._to_send:
            if isinstance(command, Command) and command.given_up:
                continue
            self._commands_sent.append(command)
            try:
                self.sock.sendall(data)
            except OSError:
                # The reader learns of it too, after what FreeSWITCH has said before it went.
                return

    def receive_events(self) -> None:
        """Read until the end of the connection."""
        error = self._read()
        self.connected = False
        self._auth_request_event.set()
        if not self._login_answer.ready():
            self._login_answer.set_exception(NotConnectedError())
        # A refused login is the reason then, and not that FreeSWITCH hung up after it.
        self._login.join()
        self.end(error)

    def _read(self) -> PbxError:
        try:
            while data := self.sock.recv(CHUNK):
                self._take(data)
                gevent.sleep(0)  # under a flood, recv never waits, and nobody else had a turn
                self._room.wait()
        except MalformedMessageError as error:
            log.exception("esl_not_esl", reason=str(error))
            return LinkDownError(f"not understood: {error}")
        except PbxError as error:
            return error
        except OSError as error:
            return LinkDownError(f"connection lost: {error}")
        except Exception as error:
            log.exception("esl_reader_failed", reason=str(error))
            return LinkDownError(f"reader failed: {error}")
        where = " in the middle of a message" if self._framer.within else ""
        return LinkDownError(f"FreeSWITCH closed the connection{where}")

    def _take(self, data: bytes) -> None:
        try:
            for frame in self._framer.feed(data):
                self.handle_event(frame)
        finally:
            items, self._items = self._items, []
            if items:
                self._hand_over(items)

    def _hand_over(self, items: list[tuple[int, Item]]) -> None:
        try:
            if not self._post(items):
                self._room.clear()
        except RuntimeError:
            self.end()  # the loop is closed, and nobody is there to be told

    def handle_event(self, event: Frame) -> None:
        """Take one frame.

        Raises:
            MalformedMessageError: It is not known which command the next answer belongs to.
            LoginRefusedError: FreeSWITCH's access list refuses this machine.
            LinkDownError: FreeSWITCH says goodbye.
        """
        match event.kind:
            case "auth/request":
                self._auth_request_event.set()
            case "command/reply" | "api/response":
                self._answer(event)
            case "text/rude-rejection":
                raise LoginRefusedError(_text(event) or "no reason given")
            case "text/disconnect-notice":
                if event.headers.get("Content-Disposition") != "linger":
                    raise LinkDownError(f"FreeSWITCH ended the connection: {_text(event)}")
            case _:
                self._event(event)

    def _answer(self, frame: Frame) -> None:
        if frame.fault:
            self._refuse(frame.fault)
        if not self._commands_sent:
            raise MalformedMessageError("an answer to nothing that was asked")
        command = self._commands_sent.pop(0)
        if isinstance(command, AsyncResult):
            command.set(frame)
        else:
            size = len(frame.body) + ITEM_BYTES
            self._items.append((size, Answer(command, _text(frame))))

    def _event(self, frame: Frame) -> None:
        if not frame.kind and self._commands_sent:
            # Had it been the answer, all that follow would be taken for that of another command.
            raise MalformedMessageError("a frame without a type, while an answer is awaited")
        try:
            found = message(frame)
        except MalformedMessageError as error:
            self._refuse(str(error))
        else:
            self._items.append((len(frame.body) + ITEM_BYTES, found))

    def _refuse(self, reason: str) -> None:
        self.malformed += 1
        metrics.PBX_EVENTS_MALFORMED.labels(metrics.OTHER).inc()
        log.warning("esl_message_malformed", error=reason)


def _text(frame: Frame) -> str:
    if frame.kind == "command/reply":
        return frame.headers.get("Reply-Text", "")
    return frame.body.decode(errors="replace").strip()
