"""The AMI link against peers that misbehave in ways that a real Asterisk cannot be made to.

What it does with a real one is in `tests/asterisk/test_link.py`.
"""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.asterisk.link import AmiLink
from callrec_pbx.pbx.errors import (
    ActionFailedError,
    ActionTimeoutError,
    LinkDownError,
    LoginRefusedError,
    UnsafeValueError,
)
from tests.pbx.server import GREETING, Peer, Script, Server, for_ever

pytestmark = pytest.mark.usefixtures("nothing_left")

SHORT_S = 0.05
"""A deadline that is meant to be missed."""

HANG_S = 5.0
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


def link_to(port: int, heard: Heard | None = None, timeout_s: float = HANG_S) -> AmiLink:
    """A link that is not connected yet."""
    on_messages = (heard if heard is not None else Heard()).take
    return AmiLink(
        "127.0.0.1",
        port,
        "callrec",
        "secret",
        on_messages=on_messages,
        timeout_s=timeout_s,
        connect_timeout_s=HANG_S,
    )


@asynccontextmanager
async def linked(
    script: Script, heard: Heard | None = None, timeout_s: float = HANG_S
) -> AsyncIterator[tuple[AmiLink, Peer]]:
    """A link that is logged in, and the peer, which plays the script from then on."""

    async def play(peer: Peer) -> None:
        await peer.login()
        await script(peer)

    async with Server(play) as server:
        link = link_to(server.port, heard, timeout_s)
        await link.connect()
        try:
            yield link, server.peers[0]
        finally:
            link.close()


async def lost(link: AmiLink) -> None:
    """Wait until the link knows that it is down."""
    async with asyncio.timeout(HANG_S):
        await link.wait_lost()
    assert not link.connected


# connecting


async def test_login() -> None:
    async with linked(for_ever) as (link, peer):
        assert link.connected
        assert link.malformed == 0
        (login,) = peer.actions
        assert (login["Action"], login["Username"], login["Secret"]) == (
            "Login",
            "callrec",
            "secret",
        )


async def test_nobody_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        link = link_to(reserved.getsockname()[1])
        with pytest.raises(LinkDownError, match="cannot connect"):
            await link.connect()
    assert not link.connected


async def test_the_connection_is_lost_before_the_login_is_answered() -> None:
    async def hang_up(peer: Peer) -> None:
        peer.writer.write(GREETING)
        await peer.action()

    async with Server(hang_up) as server:
        link = link_to(server.port)
        with pytest.raises(LinkDownError, match="lost during login"):
            await link.connect()
        await lost(link)


async def test_the_peer_takes_the_connection_and_says_nothing() -> None:
    async with Server(for_ever) as server:
        link = AmiLink("127.0.0.1", server.port, "a", "b", connect_timeout_s=SHORT_S)
        with pytest.raises(LinkDownError, match=f"did not answer within {SHORT_S} s"):
            await link.connect()
        await lost(link)


async def test_a_wrong_secret_is_tried_once() -> None:
    async def refuse(peer: Peer) -> None:
        peer.writer.write(GREETING)
        login = await peer.action()
        text = "Response: Error|ActionID: {}|Message: Authentication failed||"
        peer.send(text.format(login["ActionID"]))
        await for_ever(peer)

    async with Server(refuse) as server:
        link = link_to(server.port)
        with pytest.raises(LoginRefusedError, match="Authentication failed"):
            await link.connect()
        await lost(link)
        assert len(server.peers) == 1
        assert [action["Action"] for action in server.peers[0].actions] == ["Login"]


@pytest.mark.parametrize(
    "greeting",
    [b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\xff\r\n\r\n\r\n\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"],
)
async def test_what_answers_is_no_asterisk(greeting: bytes) -> None:
    async def talk(peer: Peer) -> None:
        peer.writer.write(greeting)
        await for_ever(peer)

    async with Server(talk) as server:
        link = AmiLink("127.0.0.1", server.port, "a", "b", connect_timeout_s=SHORT_S)
        with pytest.raises(LinkDownError):
            await link.connect()


async def test_what_answers_never_ends_a_message() -> None:
    async def flood(peer: Peer) -> None:
        peer.writer.write(GREETING)
        peer.writer.write(b"x" * (3 << 20))
        await for_ever(peer)

    async with Server(flood) as server:
        link = link_to(server.port)
        with pytest.raises(LinkDownError):
            await link.connect()
        await lost(link)


async def test_closed_while_connecting() -> None:
    async with Server(for_ever) as server:
        link = link_to(server.port)
        attempt = asyncio.create_task(link.connect())
        async with asyncio.timeout(HANG_S):
            await server.connected.wait()
        link.close()
        with pytest.raises(LinkDownError):
            await attempt
        await lost(link)


async def test_closed_before_the_connection_is_made() -> None:
    """An attempt that nobody wants any more ends by itself, and does not log in."""
    async with Server(for_ever) as server:
        link = link_to(server.port)
        attempt = asyncio.create_task(link.connect())
        await asyncio.sleep(0)
        link.close()
        assert not link.connected
        with pytest.raises(LinkDownError):
            await attempt
        assert [action for peer in server.peers for action in peer.actions if action] == []


async def test_a_secret_that_cannot_be_sent() -> None:
    async with Server(for_ever) as server:
        link = AmiLink("127.0.0.1", server.port, "callrec", "a\r\nAction: Originate")
        with pytest.raises(UnsafeValueError, match="Secret of 'Login' holds a line break"):
            await link.connect()
        await lost(link)


async def test_given_up_while_connecting() -> None:
    async with Server(for_ever) as server:
        link = link_to(server.port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(link.connect(), SHORT_S)
        await lost(link)


async def test_before_the_connection() -> None:
    link = link_to(1)
    link.close()
    await link.wait_lost()
    assert not link.connected
    assert link.malformed == 0
    with pytest.raises(LinkDownError, match="Ping was not sent"):
        await link.action("Ping")


# actions


async def test_answers_find_their_actions_in_any_order() -> None:
    async def backwards(peer: Peer) -> None:
        one, two = await peer.action(), await peer.action()
        peer.answer(two, f"Value: {two['Variable']}")
        peer.answer(one, f"Value: {one['Variable']}")
        await for_ever(peer)

    async with linked(backwards) as (link, _):
        one, two = await asyncio.gather(
            link.action("Getvar", Variable="a"), link.action("Getvar", Variable="b")
        )
        assert (one["Value"], two["Value"]) == ("a", "b")


async def test_asterisk_says_no() -> None:
    async def refuse(peer: Peer) -> None:
        for text in ("|Message: No such channel", ""):
            action = await peer.action()
            peer.send(f"Response: Error|ActionID: {action['ActionID']}{text}||")
        await for_ever(peer)

    async with linked(refuse) as (link, _):
        with pytest.raises(ActionFailedError, match=r"^No such channel$"):
            await link.action("MixMonitor", Channel="x")
        with pytest.raises(ActionFailedError, match="no reason given"):
            await link.action("MixMonitor", Channel="x")
        assert link.connected


async def test_no_answer_in_time_and_a_late_one() -> None:
    answered = asyncio.Event()

    async def late(peer: Peer) -> None:
        first, second = await peer.action(), await peer.action()
        peer.answer(first, "Value: late")
        peer.answer(second, "Value: in time")
        answered.set()
        await for_ever(peer)

    async with linked(late) as (link, _):
        with pytest.raises(ActionTimeoutError, match=f"Getvar was not answered within {SHORT_S}"):
            await link.action("Getvar", SHORT_S, Variable="a")
        assert link._protocol is not None
        assert not link._protocol._waiting
        reply = await link.action("Getvar", Variable="b")
        assert reply["Value"] == "in time"
        assert answered.is_set()


async def test_the_link_is_lost_while_actions_wait() -> None:
    async def hang_up(peer: Peer) -> None:
        await peer.action()
        await peer.action()

    async with linked(hang_up) as (link, _):
        ends = await asyncio.gather(
            link.action("Getvar", Variable="a"),
            link.listing("Status", "StatusComplete"),
            return_exceptions=True,
        )
        assert [str(end) for end in ends] == [
            "connection lost during Getvar",
            "connection lost during Status",
        ]
        await lost(link)
        with pytest.raises(LinkDownError, match="Setvar was not sent"):
            await link.action("Setvar", Variable="a", Value="b")


async def test_nothing_is_sent_again_on_a_new_connection() -> None:
    async def hang_up(peer: Peer) -> None:
        await peer.login()
        await peer.action()

    async def stay(peer: Peer) -> None:
        await peer.login()
        await for_ever(peer)

    async with Server(hang_up, stay) as server:
        first = link_to(server.port)
        await first.connect()
        with pytest.raises(LinkDownError):
            await first.action("MixMonitor", Channel="x", File="/r/a.wav")
        second = link_to(server.port)
        await second.connect()
        with pytest.raises(ActionTimeoutError):
            await second.action("Ping", SHORT_S)
        sent = [action["Action"] for peer in server.peers for action in peer.actions]
        assert sent == ["Login", "MixMonitor", "Login", "Ping"]
        second.close()


async def test_a_peer_that_falls_silent_is_noticed_by_the_next_action() -> None:
    """As the recorder's beat is one, a dead peer is known within a beat and a deadline."""
    async with linked(for_ever, timeout_s=SHORT_S) as (link, _):
        with pytest.raises(ActionTimeoutError):
            await link.action("Setvar", Variable="CALLREC_HEARTBEAT", Value="1")


@pytest.mark.parametrize("bad", ["a\r\nAction: Originate", "a\nb", "a\rb", "a\0b", "x" * 1024])
async def test_what_must_not_be_sent_is_not(bad: str) -> None:
    async with linked(for_ever) as (link, peer):
        with pytest.raises(UnsafeValueError):
            await link.action("Setvar", Channel="x", Variable="a", Value=bad)
        with pytest.raises(ActionTimeoutError):
            await link.action("Ping", SHORT_S)
        assert [action["Action"] for action in peer.actions] == ["Login", "Ping"]


# lists


def item(action: dict[str, str], name: str) -> str:
    """One item of a list."""
    return f"Event: BridgeListItem|ActionID: {action['ActionID']}|BridgeUniqueid: {name}||"


def complete(action: dict[str, str]) -> str:
    """The end of a list."""
    return f"Event: BridgeListComplete|ActionID: {action['ActionID']}|EventList: Complete||"


async def listed(link: AmiLink) -> list[str]:
    """The bridges that a list names."""
    found = await link.listing("BridgeList", "BridgeListComplete")
    return [message["BridgeUniqueid"] for message in found]


async def test_a_list() -> None:
    async def tell(peer: Peer) -> None:
        for names in (["a", "b"], []):
            action = await peer.action()
            peer.answer(action, "EventList: start")
            peer.send("".join(item(action, name) for name in names) + complete(action))
        await for_ever(peer)

    async with linked(tell) as (link, _):
        assert await listed(link) == ["a", "b"]
        assert await listed(link) == []


async def test_two_lists_at_once() -> None:
    async def mix(peer: Peer) -> None:
        one, two = await peer.action(), await peer.action()
        peer.answer(one, "EventList: start")
        peer.answer(two, "EventList: start")
        peer.send(item(two, "b") + item(one, "a") + complete(two) + item(one, "c") + complete(one))
        await for_ever(peer)

    async with linked(mix) as (link, _):
        one, two = await asyncio.gather(listed(link), listed(link))
        assert (one, two) == (["a", "c"], ["b"])


async def test_a_list_answered_by_an_error() -> None:
    async def refuse(peer: Peer) -> None:
        action = await peer.action()
        peer.send(f"Response: Error|ActionID: {action['ActionID']}|Message: No bridges||")
        await for_ever(peer)

    async with linked(refuse) as (link, _):
        with pytest.raises(ActionFailedError, match="No bridges"):
            await listed(link)


async def test_the_link_is_lost_within_a_list() -> None:
    async def hang_up(peer: Peer) -> None:
        action = await peer.action()
        peer.answer(action, "EventList: start")
        peer.send(item(action, "a"))

    async with linked(hang_up) as (link, _):
        with pytest.raises(LinkDownError):
            await listed(link)


async def test_a_list_without_an_end() -> None:
    async def stop(peer: Peer) -> None:
        action = await peer.action()
        peer.answer(action, "EventList: start")
        peer.send(item(action, "a"))
        again = await peer.action()
        peer.send(item(action, "late") + complete(action))
        peer.answer(again, "Ping: Pong")
        await for_ever(peer)

    async with linked(stop) as (link, _):
        with pytest.raises(ActionTimeoutError):
            await link.listing("BridgeList", "BridgeListComplete", SHORT_S)
        await link.action("Ping")


async def test_a_list_whose_answer_was_not_seen() -> None:
    """The end of a list answers it, too; items without a beginning are not kept."""

    async def tell(peer: Peer) -> None:
        action = await peer.action()
        peer.send(item(action, "a") + complete(action))
        await for_ever(peer)

    async with linked(tell) as (link, _):
        with pytest.raises(ActionFailedError):
            await listed(link)


# events

EVENT = "Event: BridgeListItem|BridgeUniqueid: {}||"


def flow(count: int) -> str:
    """So many events in one piece."""
    return "".join(EVENT.format(number) for number in range(count))


def numbers(heard: list[Message]) -> list[int]:
    """Which events came."""
    return [int(message["BridgeUniqueid"]) for message in heard]


async def test_two_messages_in_one_segment() -> None:
    heard = Heard()

    async def tell(peer: Peer) -> None:
        peer.send(flow(2))
        await for_ever(peer)

    async with linked(tell, heard):
        assert numbers(await heard.wait(2)) == [0, 1]


async def test_bytes_one_by_one() -> None:
    heard = Heard()

    async def drip(peer: Peer) -> None:
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in flow(3).replace("|", "\r\n").encode():
            peer.writer.write(bytes([byte]))
            await asyncio.sleep(0)
        await for_ever(peer)

    async with linked(drip, heard):
        assert numbers(await heard.wait(3)) == [0, 1, 2]


async def test_events_and_answers_in_one_segment() -> None:
    heard = Heard()

    async def tell(peer: Peer) -> None:
        action = await peer.action()
        peer.send(flow(1))
        peer.answer(action)
        peer.send(flow(1))
        await for_ever(peer)

    async with linked(tell, heard) as (link, _):
        await link.action("Ping")
        assert numbers(await heard.wait(2)) == [0, 0]


async def test_a_malformed_message_costs_only_itself() -> None:
    heard = Heard()

    async def tell(peer: Peer) -> None:
        peer.send("Event: Shutdown|this is no header||" + flow(1))
        await for_ever(peer)

    async with linked(tell, heard) as (link, _):
        assert numbers(await heard.wait(1)) == [0]
        assert link.malformed == 1


async def test_an_answer_to_nobody() -> None:
    heard = Heard()

    async def tell(peer: Peer) -> None:
        prefix = peer.actions[0]["ActionID"].rpartition("-")[0]
        peer.send(f"Response: Success|ActionID: {prefix}-77||Response: Success|ActionID: mine||")
        peer.send(flow(1))
        await for_ever(peer)

    async with linked(tell, heard) as (link, _):
        assert numbers(await heard.wait(1)) == [0]
        assert link.connected


async def test_action_ids_cannot_be_guessed() -> None:
    async def stay(peer: Peer) -> None:
        await peer.login()
        await for_ever(peer)

    async with Server(stay) as server:
        links = [link_to(server.port) for _ in range(2)]
        for link in links:
            await link.connect()
        first, second = (peer.actions[0]["ActionID"] for peer in server.peers)
        assert first != second
        for link in links:
            link.close()


async def test_a_slow_consumer_loses_nothing() -> None:
    heard = Heard()
    busy = asyncio.get_running_loop().time

    def take(messages: list[Message]) -> None:
        until = busy() + 0.005
        while busy() < until:
            pass
        heard.take(messages)

    async def tell(peer: Peer) -> None:
        await peer.login()
        for begin in range(0, 2000, 100):
            text = "".join(EVENT.format(number) for number in range(begin, begin + 100))
            peer.send(text)
            await peer.writer.drain()
        await for_ever(peer)

    async with Server(tell) as server:
        link = AmiLink("127.0.0.1", server.port, "a", "b", on_messages=take)
        await link.connect()
        assert numbers(await heard.wait(2000)) == list(range(2000))
        link.close()


async def test_a_consumer_that_breaks_is_seen(caplog: pytest.LogCaptureFixture) -> None:
    """asyncio drops the connection when the protocol raises: no event is lost unseen."""

    def take(messages: list[Message]) -> None:
        raise RuntimeError("broken")

    broken: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    before: Callable[..., object] | None = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: broken.append(context))
    try:

        async def tell(peer: Peer) -> None:
            await peer.login()
            peer.send(flow(1))
            await for_ever(peer)

        async with Server(tell) as server:
            link = AmiLink("127.0.0.1", server.port, "a", "b", on_messages=take)
            await link.connect()
            await lost(link)
    finally:
        loop.set_exception_handler(before)
    assert isinstance(broken[0]["exception"], RuntimeError)
