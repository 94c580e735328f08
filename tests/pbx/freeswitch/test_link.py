"""The event socket link: connecting, commands, and the end of a connection.

What it does with a real FreeSWITCH is in `tests/freeswitch/test_link.py`, and what hostile bytes
do in `test_link_hostile.py`.
"""

import asyncio
import gc
import os
import socket
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from gevent.hub import Hub

from callrec_pbx import metrics
from callrec_pbx.pbx.errors import (
    ActionFailedError,
    ActionTimeoutError,
    LinkDownError,
    LoginRefusedError,
    UnsafeValueError,
)
from callrec_pbx.pbx.freeswitch.connection import THREAD
from callrec_pbx.pbx.freeswitch.framing import MAX_COMMAND
from callrec_pbx.pbx.freeswitch.link import EVENTS, SUBCLASSES, SUBSCRIPTION, EslLink
from callrec_pbx.pbx.freeswitch.session import Session
from callrec_pbx.pbx.freeswitch.translate import Translator
from tests.pbx.freeswitch.linked import HANG_S, SHORT_S, Heard, link_to, linked, lost
from tests.pbx.freeswitch.server import (
    GREETING,
    PASSWORD,
    Peer,
    Server,
    event,
    framed,
    numbered,
    reply,
    response,
)

pytestmark = pytest.mark.usefixtures("nothing_left", "no_thread_left")


def silent(peer: Peer) -> None:
    """Take everything and answer nothing."""
    peer.wait()


# connecting


async def test_login_and_subscription() -> None:
    async with linked(Peer.answer_all) as (link, peer):
        assert link.connected
        assert peer.commands == [f"auth {PASSWORD}", SUBSCRIPTION]
        assert await link.api("version") == "version"


def test_no_digit_is_asked_for() -> None:
    words = SUBSCRIPTION.split()
    assert words[:2] == ["event", "json"]
    assert not {"DTMF", "ALL", "CHANNEL_EXECUTE_COMPLETE", "KEY"} & set(words)
    # Whatever follows CUSTOM is the name of a subclass to FreeSWITCH.
    assert words.index("CUSTOM") == 2 + len(EVENTS)
    assert all("::" in word for word in words[words.index("CUSTOM") + 1 :])


def test_what_is_asked_for_is_what_is_understood() -> None:
    translator = Translator(("trunk*",), lambda: datetime.now(UTC))
    assert set(EVENTS) == set(translator._handlers)
    assert set(SUBCLASSES) == set(translator._reports)


async def test_without_a_listener_no_events_are_asked_for() -> None:
    def play(peer: Peer) -> None:
        peer.send(GREETING)
        peer.command()
        peer.send(reply("+OK accepted"))
        peer.answer_all()

    with Server(play) as server:
        link = EslLink("127.0.0.1", server.port, PASSWORD)
        await link.connect()
        assert await link.api("version") == "version"
        assert server.peers[0].commands == [f"auth {PASSWORD}", "api version"]
        link.close()


async def test_a_host_by_its_name() -> None:
    """It has an address that nobody listens at, too, on most machines."""

    def play(peer: Peer) -> None:
        peer.login()
        peer.answer_all()

    with Server(play) as server:
        link = EslLink("localhost", server.port, PASSWORD, on_messages=Heard().take)
        await link.connect()
        assert await link.api("version") == "version"
        link.close()


@pytest.mark.skipif(not Path("/proc/net/if_inet6").exists(), reason="needs IPv6")
async def test_ipv6() -> None:
    def play(peer: Peer) -> None:
        peer.login()
        peer.answer_all()

    with Server(play, family=socket.AF_INET6) as server:
        link = EslLink("::1", server.port, PASSWORD, on_messages=Heard().take)
        await link.connect()
        assert await link.api("version") == "version"
        link.close()


async def test_nobody_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        link = link_to(reserved.getsockname()[1])
        with pytest.raises(LinkDownError, match="cannot connect"):
            await link.connect()
    assert not link.connected
    await lost(link)


async def test_a_host_that_is_none() -> None:
    link = EslLink("no-such-host.invalid", 8021, PASSWORD)
    with pytest.raises(LinkDownError, match="cannot connect"):
        await link.connect()
    link = EslLink("a..b", 8021, PASSWORD)
    with pytest.raises(LinkDownError, match="cannot connect"):
        await link.connect()


async def test_the_peer_takes_the_connection_and_says_nothing() -> None:
    with Server(silent) as server:
        link = EslLink("127.0.0.1", server.port, PASSWORD, connect_timeout_s=SHORT_S)
        with pytest.raises(ActionTimeoutError, match=f"did not answer within {SHORT_S} s"):
            await link.connect()
        await lost(link)


async def test_the_login_is_not_answered() -> None:
    def play(peer: Peer) -> None:
        peer.send(GREETING)
        peer.wait()

    with Server(play) as server:
        link = EslLink("127.0.0.1", server.port, PASSWORD, connect_timeout_s=SHORT_S)
        with pytest.raises(ActionTimeoutError):
            await link.connect()
        await lost(link)


async def test_the_events_are_not_answered() -> None:
    def play(peer: Peer) -> None:
        peer.send(GREETING)
        peer.command()
        peer.send(reply("+OK accepted"))
        peer.wait()

    with Server(play) as server:
        link = EslLink(
            "127.0.0.1", server.port, PASSWORD, on_messages=Heard().take, connect_timeout_s=0.2
        )
        with pytest.raises(ActionTimeoutError):
            await link.connect()
        await lost(link)
        assert server.peers[0].commands == [f"auth {PASSWORD}", SUBSCRIPTION]


async def test_the_events_are_refused() -> None:
    def play(peer: Peer) -> None:
        peer.send(GREETING)
        peer.command()
        peer.send(reply("+OK accepted"))
        peer.command()
        peer.send(reply("-ERR permission denied"))
        peer.wait()

    with Server(play) as server:
        link = link_to(server.port)
        with pytest.raises(ActionFailedError, match="-ERR permission denied"):
            await link.connect()
        await lost(link)


@pytest.mark.parametrize("goodbye", [True, False])
async def test_a_wrong_password_is_tried_once(goodbye: bool) -> None:
    """FreeSWITCH says goodbye in the same breath; the password is the reason nevertheless."""

    def play(peer: Peer) -> None:
        peer.send(GREETING)
        peer.command()
        notice = framed("text/disconnect-notice", b"Disconnected, goodbye.\n")
        peer.send(reply("-ERR invalid"), notice if goodbye else b"")

    with Server(play) as server:
        link = link_to(server.port)
        with pytest.raises(LoginRefusedError, match="-ERR invalid"):
            await link.connect()
        await lost(link)
        assert [peer.commands for peer in server.peers] == [[f"auth {PASSWORD}"]]


async def test_the_access_list_refuses_this_machine() -> None:
    def play(peer: Peer) -> None:
        peer.send(framed("text/rude-rejection", b"Access Denied, go away.\n"))

    with Server(play) as server:
        link = link_to(server.port)
        with pytest.raises(LoginRefusedError, match=r"^Access Denied, go away\.$"):
            await link.connect()
        await lost(link)


@pytest.mark.parametrize("sent", [b"", b"Content-Ty", GREETING, GREETING + b"Content-Type: com"])
async def test_the_connection_is_lost_before_the_login_is_answered(sent: bytes) -> None:
    def play(peer: Peer) -> None:
        peer.send(sent)
        if sent.startswith(GREETING):
            peer.command()

    with Server(play) as server:
        link = link_to(server.port)
        with pytest.raises(LinkDownError, match="FreeSWITCH closed the connection"):
            await link.connect()
        await lost(link)


@pytest.mark.parametrize(
    "greeting",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n\n\n",
        b"\x00\xff\n\n\n\n",
        b"HTTP/1.1 400 Bad Request\nContent-Type: text/html\n\n<html>",
        b"Asterisk Call Manager/11.0.0\r\n" * 10000,
    ],
)
async def test_what_answers_is_no_freeswitch(greeting: bytes) -> None:
    def play(peer: Peer) -> None:
        peer.send(greeting)
        peer.wait()

    with Server(play) as server:
        link = link_to(server.port)
        with pytest.raises(LinkDownError, match="not understood"):
            await link.connect()
        await lost(link)
        assert server.peers[0].commands == []


async def test_closed_while_connecting() -> None:
    with Server(silent) as server:
        link = link_to(server.port)
        attempt = asyncio.create_task(link.connect())
        await asyncio.to_thread(server.connected.wait, HANG_S)
        link.close()
        with pytest.raises(LinkDownError, match="closed"):
            await attempt
        await lost(link)


async def test_closed_before_the_connection_is_made() -> None:
    """An attempt that nobody wants any more ends by itself, and does not log in."""
    with Server(silent) as server:
        link = link_to(server.port)
        attempt = asyncio.create_task(link.connect())
        await asyncio.sleep(0)
        link.close()
        assert not link.connected
        with pytest.raises(LinkDownError):
            await attempt
        assert [peer.commands for peer in server.peers] in ([], [[]])


async def test_given_up_while_connecting() -> None:
    with Server(silent) as server:
        link = link_to(server.port)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(link.connect(), SHORT_S)
        await lost(link)


@pytest.mark.parametrize("bad", ["a\n\napi hupall", "a\r", "a\0", "\ud800", "x" * MAX_COMMAND])
async def test_a_password_that_cannot_be_sent(bad: str) -> None:
    with Server(silent) as server:
        link = EslLink("127.0.0.1", server.port, bad)
        with pytest.raises(UnsafeValueError, match="the password") as raised:
            await link.connect()
        assert bad not in str(raised.value)
        assert server.peers == []
    assert not link.connected


async def test_before_the_connection() -> None:
    link = link_to(1)
    link.close()
    await link.wait_lost()
    assert not link.connected
    assert link.malformed == 0
    with pytest.raises(LinkDownError, match="status was not sent"):
        await link.api("status")


# commands


async def test_answers_come_in_the_order_of_the_commands() -> None:
    async with linked(Peer.answer_all) as (link, _):
        names = [f"echo {number}" for number in range(200)]
        assert await asyncio.gather(*(link.api(name) for name in names)) == names


@pytest.mark.parametrize(
    "answer",
    [
        response(b"-ERR No such channel!\n"),
        response(b"-USAGE: <uuid> start|stop <path>\n"),
        response(b"-Error no\n"),
        response(b"-ERR no reply\n"),
        reply("-ERR permission denied"),
        reply("-ERR command not found"),
    ],
)
async def test_freeswitch_says_no(answer: bytes) -> None:
    def play(peer: Peer) -> None:
        peer.command()
        peer.send(answer)
        peer.answer_all()

    async with linked(play) as (link, _):
        text = answer.partition(b"\n\n")[2] or answer.partition(b"Reply-Text: ")[2]
        with pytest.raises(ActionFailedError) as raised:
            await link.api("uuid_record x start y")
        assert str(raised.value) == text.decode().strip()
        assert await link.api("version") == "version"


async def test_what_freeswitch_printed_is_stripped() -> None:
    def play(peer: Peer) -> None:
        for text in ("+OK\n", " a\n b \n", "é-ERR\n", ""):
            peer.command()
            peer.send(response(text.encode()))
        peer.wait()

    async with linked(play) as (link, _):
        assert [await link.api("x") for _ in range(4)] == ["+OK", "a\n b", "é-ERR", ""]


async def test_a_late_answer_is_not_that_of_the_next_command() -> None:
    def play(peer: Peer) -> None:
        first, second = peer.command(), peer.command()
        peer.send(response(first.encode()))
        peer.send(response(second.encode()))
        peer.answer_all()

    before = metrics.PBX_ACTIONS_TIMED_OUT.labels("uuid_record")._value.get()
    async with linked(play) as (link, _):
        with pytest.raises(ActionTimeoutError, match=f"uuid_record was not answered .* {SHORT_S}"):
            await link.api("uuid_record late", SHORT_S)
        assert link._connection is not None
        assert not link._connection._waiting
        assert await link.api("second") == "api second"
        assert await link.api("third") == "third"
    assert metrics.PBX_ACTIONS_TIMED_OUT.labels("uuid_record")._value.get() == before + 1


async def test_a_command_that_was_given_up_in_the_queue_is_never_sent() -> None:
    """FreeSWITCH reads nothing: what waits behind is old when it reads again."""
    release = threading.Event()

    def play(peer: Peer) -> None:
        release.wait(HANG_S)
        peer.answer_all()

    async with linked(play) as (link, peer):
        tasks = [asyncio.create_task(link.api(f"fill {'x' * 8000}")) for _ in range(1500)]
        await asyncio.sleep(0)
        with pytest.raises(ActionTimeoutError):
            await link.api("uuid_record stale start", SHORT_S)
        release.set()
        await asyncio.gather(*tasks)
        assert await link.api("fresh") == "fresh"
        assert [text for text in peer.commands if "fill" not in text][2:] == ["api fresh"]


async def test_a_peer_that_falls_silent_is_noticed_by_the_next_command() -> None:
    """As the recorder's beat is one, a frozen FreeSWITCH is known within a beat and a deadline."""
    async with linked(silent, timeout_s=SHORT_S) as (link, _):
        with pytest.raises(ActionTimeoutError):
            await link.api("global_setvar callrec_heartbeat=1")
        link.close()
        await lost(link)


@pytest.mark.parametrize("bad", ["a\n\napi hupall", "a\nb: c", "a\rb", "a\0b", "\udcff"])
async def test_what_must_not_be_sent_is_not(bad: str) -> None:
    async with linked(Peer.answer_all) as (link, peer):
        with pytest.raises(UnsafeValueError, match="uuid_setvar holds"):
            await link.api(f"uuid_setvar u {bad}")
        assert await link.api("version") == "version"
        assert peer.commands[2:] == ["api version"]


async def test_too_long_a_command() -> None:
    async with linked(Peer.answer_all) as (link, peer):
        longest = "x" * (MAX_COMMAND - len("api "))
        with pytest.raises(UnsafeValueError, match=f"longer than {MAX_COMMAND} bytes"):
            await link.api(longest[:-1] + "é")
        assert await link.api(longest) == longest
        assert len(peer.commands) == 3


async def test_whoever_asked_may_go_away() -> None:
    asked, cancelled = threading.Event(), threading.Event()

    def play(peer: Peer) -> None:
        first = peer.command()
        asked.set()
        cancelled.wait(HANG_S)
        peer.send(response(first.encode()))
        peer.answer_all()

    async with linked(play) as (link, _):
        task = asyncio.create_task(link.api("a"))
        await asyncio.to_thread(asked.wait, HANG_S)
        task.cancel()
        cancelled.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await link.api("b") == "b"


# the end


async def test_the_link_is_lost_while_commands_wait() -> None:
    def play(peer: Peer) -> None:
        peer.command()
        peer.command()

    async with linked(play) as (link, _):
        ends = await asyncio.gather(link.api("one a"), link.api("two"), return_exceptions=True)
        assert [str(end) for end in ends] == [
            "connection lost during one",
            "connection lost during two",
        ]
        await lost(link)
        with pytest.raises(LinkDownError, match="three was not sent"):
            await link.api("three")


async def test_closed_while_commands_wait() -> None:
    async with linked(silent) as (link, _):
        tasks = [asyncio.create_task(link.api(name)) for name in ("one", "two")]
        waiters = [asyncio.create_task(link.wait_lost()) for _ in range(3)]
        await asyncio.sleep(SHORT_S)
        waiters[0].cancel()
        link.close()
        link.close()
        for task in tasks:
            with pytest.raises(LinkDownError, match="connection lost during"):
                await task
        await asyncio.gather(*waiters[1:])
        await lost(link)
        link.close()


async def test_nothing_is_heard_after_the_end() -> None:
    """Events that have come but were not handed on belong to a past that nobody asks for."""
    heard = Heard()
    sent = threading.Event()

    def play(peer: Peer) -> None:
        peer.command()
        peer.send(numbered(*range(50)))
        sent.set()
        peer.wait()

    async with linked(play, heard) as (link, _):
        task = asyncio.create_task(link.api("go"))
        await asyncio.sleep(0)
        sent.wait(HANG_S)  # the loop stands still meanwhile
        link.close()
        with pytest.raises(LinkDownError):
            await task
        await asyncio.sleep(SHORT_S)
    assert heard == []


async def test_events_before_the_end_are_heard() -> None:
    heard = Heard()
    async with linked(lambda peer: peer.send(numbered(1, 2, 3)), heard) as (link, _):
        assert link._connection is not None
        assert link._connection._thread is not None
        assert link._connection._thread.join(HANG_S)  # the loop stands still meanwhile
        await lost(link)
        assert heard.numbers == [1, 2, 3]


async def test_an_event_before_an_answer_is_heard_before_it() -> None:
    heard = Heard()

    def play(peer: Peer) -> None:
        peer.command()
        peer.send(numbered(1), response(b"+OK"), numbered(2))
        peer.wait()

    async with linked(play, heard) as (link, _):
        await link.api("uuid_record")
        assert heard.numbers[0] == 1
        await heard.wait(2)


async def test_nothing_is_sent_again_on_a_new_connection() -> None:
    def hang_up(peer: Peer) -> None:
        peer.login()
        peer.command()

    def stay(peer: Peer) -> None:
        peer.login()
        peer.answer_all()

    with Server(hang_up, stay) as server:
        link = link_to(server.port)
        await link.connect()
        with pytest.raises(LinkDownError):
            await link.api("uuid_record a start b")
        await link.connect()
        assert link.connected
        await link.api("version")
        login = [f"auth {PASSWORD}", SUBSCRIPTION]
        assert [peer.commands for peer in server.peers] == [
            [*login, "api uuid_record a start b"],
            [*login, "api version"],
        ]
        link.close()


async def test_freeswitch_says_goodbye() -> None:
    release = threading.Event()

    def play(peer: Peer) -> None:
        peer.command()
        peer.send(framed("text/disconnect-notice", b"Disconnected, goodbye.\n"))
        release.wait(HANG_S)

    async with linked(play) as (link, _):
        with pytest.raises(LinkDownError, match="connection lost during status"):
            await link.api("status")
        await lost(link)
        release.set()


async def test_a_notice_that_the_connection_lingers_is_no_goodbye() -> None:
    notice = b"Content-Type: text/disconnect-notice\nContent-Disposition: linger\n"

    def play(peer: Peer) -> None:
        peer.send(notice + b"Content-Length: 0\n\n")
        peer.answer_all()

    async with linked(play) as (link, _):
        assert await link.api("status") == "status"


async def test_a_consumer_that_breaks_ends_the_connection() -> None:
    """No event is lost unseen: the recorder connects again and looks at what there is."""

    def take(messages: object) -> None:
        raise RuntimeError("broken")

    broken: list[dict[str, object]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: broken.append(context))

    def play(peer: Peer) -> None:
        peer.login()
        peer.send(numbered(1))
        peer.wait()

    try:
        with Server(play) as server:
            link = link_to(server.port, take)
            await link.connect()
            await lost(link)
    finally:
        loop.set_exception_handler(before)
    assert [type(context["exception"]) for context in broken] == [RuntimeError]


# what is left


def descriptors() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
async def test_connections_leave_nothing_behind() -> None:
    def play(peer: Peer) -> None:
        peer.login()
        peer.send(event(Event_Name="RECORD_START"))
        if len(peer.commands) % 2:
            return
        peer.wait()

    def threads() -> list[threading.Thread]:
        return [thread for thread in threading.enumerate() if thread.name == THREAD]

    with Server(play) as server:

        async def once(number: int) -> None:
            link = link_to(server.port)
            if number % 3 == 0:
                attempt = asyncio.create_task(link.connect())
                for _ in range(number // 3):
                    await asyncio.sleep(0)
                link.close()
                await asyncio.gather(attempt, return_exceptions=True)
            else:
                await link.connect()
            link.close()
            for thread in threads():
                await asyncio.to_thread(thread.join, HANG_S)
            for peer in server.peers:
                await asyncio.to_thread(peer.gone.wait, HANG_S)

        await once(1)
        before = descriptors()
        for number in range(40):
            await once(number)
        assert threads() == []
        assert descriptors() <= before
    gc.collect()
    assert [left for left in gc.get_objects() if isinstance(left, Session | Hub)] == []


END = """
import asyncio, sys
from callrec_pbx.pbx.freeswitch.link import EslLink

async def main():
    link = EslLink("127.0.0.1", int(sys.argv[1]), "sesame", on_messages=lambda _: None)
    await link.connect()
    print("linked", flush=True)
    if sys.argv[2] == "raise":
        raise SystemExit(3)

asyncio.run(main())
"""


@pytest.mark.parametrize(("how", "status"), [("return", 0), ("raise", 3)])
async def test_an_open_link_does_not_hold_up_the_end_of_the_process(how: str, status: int) -> None:
    def flood(peer: Peer) -> None:
        peer.login()
        while True:
            peer.send(numbered(*range(100)))

    with Server(flood) as server:
        command = [sys.executable, "-W", "error", "-c", END, str(server.port), how]
        ended = await asyncio.to_thread(
            subprocess.run,
            command,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
    assert (ended.returncode, ended.stdout) == (status, "linked\n")
    assert ended.stderr == ""
