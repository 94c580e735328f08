"""A scripted event socket that speaks raw bytes, for what FreeSWITCH cannot be made to do.

It has threads of its own, so that it goes on when the listener's loop stands still.
"""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Self

WAIT_S = 10.0
"""Against a test that hangs."""

PASSWORD = "sesame"


class Peer:
    """One connection, from FreeSWITCH's side.

    Attributes:
        commands: All that the client has sent on it.
        gone: Set when the script has come to its end and the connection is closed.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(WAIT_S)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self.commands: list[str] = []
        self.gone = threading.Event()
        self._read = b""

    def command(self) -> str:
        """The next command; empty when the client has gone."""
        while b"\n\n" not in self._read:
            data = self.sock.recv(65536)
            if not data:
                return ""
            self._read += data
        block, _, self._read = self._read.partition(b"\n\n")
        self.commands.append(block.decode())
        return self.commands[-1]

    def send(self, *data: bytes) -> None:
        """Send bytes as they are, in one segment if the system will."""
        self.sock.sendall(b"".join(data))

    def login(self) -> None:
        """Greet, let the client in, and give it its events."""
        self.send(GREETING)
        self._expect(f"auth {PASSWORD}")
        self.send(reply("+OK accepted"))
        self._expect("event json ")
        self.send(reply("+OK event listener enabled json"))

    def _expect(self, begin: str) -> None:
        asked = self.command()
        if not asked:
            raise ConnectionError("the client has gone")
        assert asked.startswith(begin)

    def answer_all(self) -> None:
        """Answer each command with its own text, until the client goes."""
        while asked := self.command():
            self.send(response(asked.removeprefix("api ").encode()))

    def wait(self) -> None:
        """Read on and say nothing, until the client goes."""
        while self.command():
            pass


GREETING = b"Content-Type: auth/request\n\n"


def reply(text: str) -> bytes:
    """The answer to a command of the event socket's own."""
    return f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode()


def framed(kind: str, body: bytes) -> bytes:
    """A frame with a body, as FreeSWITCH orders its headers."""
    return f"Content-Length: {len(body)}\nContent-Type: {kind}\n\n".encode() + body


def response(body: bytes) -> bytes:
    """The answer to an API command."""
    return framed("api/response", body)


def event(**headers: object) -> bytes:
    """An event in JSON; `_` in a name stands for `-`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return framed("text/event-json", json.dumps(named).encode())


def numbered(*numbers: int) -> bytes:
    """Events that can be told apart."""
    return b"".join(event(Event_Name="RECORD_START", Number=str(number)) for number in numbers)


Script = Callable[[Peer], None]


class Server:
    """Plays one script per connection, the last one again and again; then it closes.

    Attributes:
        peers: All connections so far.
        connected: Set when there has been one.
    """

    def __init__(self, *scripts: Script, family: socket.AddressFamily = socket.AF_INET) -> None:
        self._scripts = scripts
        self._family = family
        self._threads: list[threading.Thread] = []
        self._errors: list[Exception] = []
        self._ending = False
        self.peers: list[Peer] = []
        self.connected = threading.Event()

    def __enter__(self) -> Self:
        """Listen on a port of its own."""
        host = "::1" if self._family == socket.AF_INET6 else "127.0.0.1"
        self._listener = socket.create_server((host, 0), family=self._family)
        self.port: int = self._listener.getsockname()[1]
        self._start(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything; a script that failed fails the test."""
        self._ending = True
        for sock in (self._listener, *(peer.sock for peer in self.peers)):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        self._listener.close()
        for error in self._errors:
            raise error

    def _start(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=work, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._ending:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
            peer = Peer(sock)
            self.peers.append(peer)
            self.connected.set()
            self._start(lambda script=script, peer=peer: self._play(script, peer))  # type: ignore[misc]

    def _play(self, script: Script, peer: Peer) -> None:
        try:
            script(peer)
        except ConnectionError:
            pass  # the client went in mid-script, which is what it may do
        except Exception as error:
            if not self._ending:
                self._errors.append(error)
        finally:
            peer.sock.close()
            peer.gone.set()
