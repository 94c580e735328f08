"""A scripted AMI server, for what a real Asterisk cannot be made to do."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Self

GREETING = b"Asterisk Call Manager/11.0.0\r\n"

Action = dict[str, str]


class Peer:
    """One connection, from the server's side.

    Attributes:
        actions: All that the client has asked for on it.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer
        self.actions: list[Action] = []

    async def action(self) -> Action:
        """The next action; empty when the client has gone."""
        try:
            block = await self._reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return {}
        lines = block.decode().removesuffix("\r\n\r\n").split("\r\n")
        found = {name: value for name, _, value in (line.partition(": ") for line in lines)}
        self.actions.append(found)
        return found

    def send(self, text: str) -> None:
        """Send lines; `|` stands for a line's end, `||` for a message's."""
        self.writer.write(text.replace("|", "\r\n").encode())

    def answer(self, action: Action, text: str = "Message: done") -> None:
        """Say yes to an action."""
        self.send(f"Response: Success|ActionID: {action['ActionID']}|{text}||")

    async def login(self) -> None:
        """Greet, and let the client in."""
        self.writer.write(GREETING)
        self.answer(await self.action(), "Message: Authentication accepted")


Script = Callable[[Peer], Awaitable[None]]


class Server:
    """Plays one script per connection, the last one again and again; then it closes.

    Attributes:
        peers: All connections so far.
    """

    def __init__(self, *scripts: Script) -> None:
        self._scripts = list(scripts)
        self.peers: list[Peer] = []
        self.connected = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        """Listen on a port of its own."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything; a script that failed fails the test."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        ends = await asyncio.gather(*self._tasks, return_exceptions=True)
        for peer in self.peers:
            peer.writer.transport.abort()
        for end in ends:
            if isinstance(end, Exception):
                raise end

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer)
        script = self._scripts[min(len(self.peers), len(self._scripts) - 1)]
        self.peers.append(peer)
        self.connected.set()
        self._tasks.add(asyncio.create_task(self._play(script, peer)))

    async def _play(self, script: Script, peer: Peer) -> None:
        try:
            await script(peer)
        finally:
            peer.writer.close()


async def for_ever(peer: Peer) -> None:
    """Read on and say nothing."""
    while await peer.action():
        pass
