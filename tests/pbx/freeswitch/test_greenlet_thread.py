"""A thread with a hub of its own: it begins, takes calls, and leaves nothing."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path

import gevent
import pytest
from gevent.event import Event

from callrec_pbx.pbx.errors import LinkDownError
from callrec_pbx.pbx.freeswitch import connection, greenlet_thread
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


# the end of the process

HELD = """
import atexit, ctypes, os, signal, sys, threading

def say(what):
    os.write(1, what.encode() + b"\\n")

atexit.register(say, "the interpreter ends")

from gevent.event import Event
from callrec_pbx.pbx.freeswitch import greenlet_thread

ending = threading.Event()

@atexit.register
def end():
    ending.set()
    sys.setswitchinterval(HANG_S)  # from here on the main thread runs until it waits

class Work:
    def __init__(self):
        self.over = Event()
        say("begun")

    def run(self):
        self.over.wait()

    def end(self):
        self.over.set()

def failed(error):
    raise error

destroy = greenlet_thread._destroy

@ctypes.CFUNCTYPE(None, ctypes.c_void_p)
def at_its_very_end(_):
    ending.wait(HANG_S)
    say("gone")

def hold_hub(hub):
    destroying.set()
    ending.wait(HANG_S)
    destroy(hub)
    say("gone")

def hold_thread(hub):
    destroy(hub)
    key = ctypes.c_uint()
    libc = ctypes.CDLL(None)
    assert libc.pthread_key_create(ctypes.byref(key), at_its_very_end) == 0
    assert libc.pthread_setspecific(key, ctypes.c_void_p(1)) == 0
    destroying.set()

def hold_and_interrupt(hub):
    destroying.set()
    ending.wait(HANG_S)
    os.kill(os.getpid(), signal.SIGINT)
    destroy(hub)
    say("gone")

destroying = threading.Event()
greenlet_thread._destroy = globals()[sys.argv[1]]
thread = greenlet_thread.GreenletThread(Work, failed, "held")
thread.start()
thread.call(Work.end)
destroying.wait(HANG_S)
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc")
@pytest.mark.parametrize("held", ["hold_hub", "hold_thread", "hold_and_interrupt"])
def test_the_process_does_not_end_before_its_threads_are_gone(held: str) -> None:
    """A thread that meets the end of the interpreter crashes it, now and then."""
    ended = subprocess.run(
        [sys.executable, "-c", HELD.replace("HANG_S", str(HANG_S)), held],
        capture_output=True,
        text=True,
        timeout=2 * HANG_S,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert ended.stdout.splitlines() == ["begun", "gone", "the interpreter ends"]
    assert (ended.returncode, ended.stderr) == (0, "")


def test_threads_that_are_gone_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: set[threading.Thread] = set()
    monkeypatch.setattr(greenlet_thread, "_threads", threads)
    for _ in range(20):
        thread = GreenletThread(Counter, fail, THREAD)
        thread.start()
        thread.call(Counter.end)
        assert thread.join(HANG_S)
    greenlet_thread._end_all()
    thread = GreenletThread(Counter, fail, THREAD)
    thread.start()
    assert threads == {thread._thread}
    thread.call(Counter.end)
    assert thread.join(HANG_S)


def test_a_thread_that_cannot_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    thread = GreenletThread(Counter, fail, THREAD)
    with pytest.raises(RuntimeError, match="can't start"):
        thread.start()
    assert thread not in greenlet_thread._running
    assert thread.join(HANG_S)
