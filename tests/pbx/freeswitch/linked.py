"""A link to the scripted server, and what it heard."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from callrec_pbx.pbx.freeswitch.link import EslLink, Message, OnMessages
from tests.pbx.freeswitch.server import PASSWORD, Peer, Script, Server

SHORT_S = 0.05
"""A deadline that is meant to be missed."""

HANG_S = 10.0
"""A deadline against a test that hangs."""


class Heard(list[Message]):
    """The events that came, and a way to wait for so many."""

    def __init__(self) -> None:
        super().__init__()
        self._came = asyncio.Event()

    def take(self, messages: list[Message]) -> None:
        """What the link calls."""
        self.extend(messages)
        self._came.set()

    async def wait(self, count: int) -> list[Message]:
        """The events, once there are so many."""
        async with asyncio.timeout(HANG_S):
            while len(self) < count:
                self._came.clear()
                await self._came.wait()
        return list(self)

    @property
    def numbers(self) -> list[int]:
        """Which of the numbered events came."""
        return [int(message["Number"]) for message in self if "Number" in message]


def link_to(port: int, on_messages: OnMessages | None = None, timeout_s: float = HANG_S) -> EslLink:
    """A link that is not connected yet."""
    return EslLink(
        "127.0.0.1",
        port,
        PASSWORD,
        on_messages=on_messages or Heard().take,
        timeout_s=timeout_s,
        connect_timeout_s=HANG_S,
    )


@asynccontextmanager
async def linked(
    script: Script, heard: Heard | None = None, timeout_s: float = HANG_S
) -> AsyncIterator[tuple[EslLink, Peer]]:
    """A link that is logged in, and the peer, which plays the script from then on."""

    def play(peer: Peer) -> None:
        peer.login()
        script(peer)

    with Server(play) as server:
        link = link_to(server.port, heard.take if heard is not None else None, timeout_s)
        await link.connect()
        try:
            yield link, server.peers[0]
        finally:
            link.close()


async def lost(link: EslLink) -> None:
    """Wait until the link knows that it is down."""
    async with asyncio.timeout(HANG_S):
        await link.wait_lost()
    assert not link.connected
