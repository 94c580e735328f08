"""A thread with a hub of its own: it begins, takes calls, and leaves nothing."""

import asyncio
import threading

import gevent
import pytest
from gevent.event import Event

from callrec_pbx.pbx.errors import LinkDownError
from callrec_pbx.pbx.freeswitch import connection
from callrec_pbx.pbx.freeswitch.connection import THREAD
from callrec_pbx.pbx.freeswitch.greenlet_thread import GreenletThread
from tests.pbx.freeswitch.linked import HANG_S, link_to, lost
from tests.pbx.freeswitch.server import Peer, Server, numbered

pytestmark = pytest.mark.usefixtures("no_thread_left")


class Counter:
    """Counts calls until told to end."""

    def __init__(self) -> None:
        self.hub = gevent.get_hub()
        self.thread = threading.current_thread()
        self.calls: list[int] = []
        self._over = Event()

    def run(self) -> None:
        """Wait."""
        self._over.wait()

    def end(self) -> None:
        """Return."""
        self._over.set()


def fail(error: Exception) -> None:
    """No test below expects it."""
    raise AssertionError from error


def test_calls_are_made_in_order_in_the_thread() -> None:
    made: list[Counter] = []

    def make() -> Counter:
        made.append(Counter())
        return made[0]

    def add(number: int) -> None:
        def call(counter: Counter) -> None:
            assert threading.current_thread() is counter.thread
            counter.calls.append(number)

        thread.call(call)

    thread = GreenletThread(make, fail, THREAD)
    for number in range(10):
        add(number)  # before it has begun
    thread.start()
    for number in range(10, 1000):
        add(number)
    assert not thread.join(0)
    thread.call(Counter.end)
    thread.call(Counter.end)
    assert thread.join(HANG_S)
    assert made[0].calls == list(range(1000))
    assert made[0].hub.loop is None
    add(1000)
    assert len(made[0].calls) == 1000


def test_the_hub_is_that_of_the_thread_alone() -> None:
    made: list[Counter] = []

    def make() -> Counter:
        made.append(Counter())
        return made[0]

    thread = GreenletThread(make, fail, THREAD)
    thread.start()
    thread.call(Counter.end)
    assert thread.join(HANG_S)
    assert made[0].thread is not threading.main_thread()
    assert gevent.hub._get_hub() is not made[0].hub


def test_told_to_end_before_it_has_begun() -> None:
    thread = GreenletThread(Counter, fail, THREAD)
    thread.call(Counter.end)
    thread.start()
    assert thread.join(HANG_S)


def test_a_thread_that_was_not_started_has_ended() -> None:
    assert GreenletThread(Counter, fail, THREAD).join(HANG_S)


def test_work_that_cannot_be_made() -> None:
    errors: list[Exception] = []

    def make() -> Counter:
        raise OSError("no more files")

    thread = GreenletThread(make, errors.append, THREAD)
    thread.start()
    assert thread.join(HANG_S)
    assert [str(error) for error in errors] == ["no more files"]
    thread.call(Counter.end)


async def test_a_connection_that_cannot_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    def session(*_: object) -> None:
        raise OSError("no more files")

    monkeypatch.setattr(connection, "Session", session)
    with Server(Peer.wait) as server:
        link = link_to(server.port)
        with pytest.raises(LinkDownError, match="cannot begin: no more files"):
            await link.connect()
        await lost(link)


def test_a_loop_that_is_closed_under_an_open_link() -> None:
    """There is nobody to be told, and nothing to wait for."""

    def play(peer: Peer) -> None:
        peer.login()
        closed.wait(HANG_S)
        peer.send(numbered(1))
        peer.wait()

    closed = threading.Event()
    with Server(play) as server:
        loop = asyncio.new_event_loop()
        loop.run_until_complete(link_to(server.port, lambda _: None).connect())
        loop.close()
        closed.set()
        for thread in threading.enumerate():
            if thread.name == THREAD:
                thread.join(HANG_S)
                assert not thread.is_alive()
