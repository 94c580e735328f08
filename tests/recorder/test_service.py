"""The service keeps the link: back-off, beats, refusals, the disk, the end."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from callrec_pbx import metrics
from callrec_pbx.domain.facts import CallFacts, PromptBook, RecordingFacts
from callrec_pbx.domain.policy import Policy
from callrec_pbx.pbx.errors import ActionTimeoutError, LinkDownError, LoginRefusedError
from callrec_pbx.pbx.interface import OnEvents, Seen
from callrec_pbx.recorder import observe
from callrec_pbx.recorder import service as s
from callrec_pbx.recorder.notify import Notifier
from callrec_pbx.recorder.pump import Pump
from callrec_pbx.recorder.service import Service
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.storage.serial import Tombstone
from callrec_pbx.storage.store import RecordingStore

SLEEP = asyncio.sleep
WATCH_S = 55.0
"""Stands for the time between two looks at the disk or the prompts."""


class NoRows:
    """A catalogue that keeps nothing."""

    backlog = 0

    def save_call(self, call: CallFacts, tombstone: Tombstone | None = None) -> None:
        """Forget it."""

    def save_recording(self, recording: RecordingFacts, tombstone: Tombstone | None = None) -> None:
        """Forget it."""


class FakePbx:
    """A PBX that connects, or does not, as its exchange says."""

    def __init__(self, exchange: "Exchange") -> None:
        self._exchange = exchange
        self._lost = asyncio.Event()
        self.closed = False

    async def connect(self) -> None:
        """Succeed or fail as planned."""
        error = self._exchange.next_error()
        if error is not None:
            raise error

    async def look(self, _recordings: dict[str, str]) -> Seen:
        """No calls."""
        if self._exchange.look_error is not None:
            raise self._exchange.look_error
        return Seen(datetime.now(UTC), (), None)

    async def beat(self) -> None:
        """Count, or fail."""
        self._exchange.beats += 1
        if self._exchange.beats in self._exchange.failing_beats:
            raise ActionTimeoutError("Setvar was not answered within 5 s")

    async def wait_lost(self) -> None:
        """Wait for `lose`."""
        await self._lost.wait()

    def lose(self) -> None:
        """The connection is gone."""
        self._lost.set()

    def close(self) -> None:
        """Remember it."""
        self.closed = True

    def now(self) -> datetime:
        """That of the machine."""
        return datetime.now(UTC)


class Exchange:
    """Makes PBXes. `errors`: what becomes of the attempts to connect, then they succeed."""

    def __init__(self, *errors: Exception | None) -> None:
        self._errors = list(errors)
        self.look_error: Exception | None = None
        self.made: list[FakePbx] = []
        self.beats = 0
        self.failing_beats: set[int] = set()

    def next_error(self) -> Exception | None:
        """What becomes of this attempt."""
        return self._errors.pop(0) if self._errors else None

    def make(self, _on_events: OnEvents) -> Any:
        """One more connection."""
        self.made.append(FakePbx(self))
        return self.made[-1]


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between attempts; none takes longer than a moment."""
    found: list[float] = []

    async def note(seconds: float) -> None:
        if seconds == WATCH_S:
            await SLEEP(0.01)
        else:
            found.append(seconds)
            await SLEEP(0)

    monkeypatch.setattr(s, "DISK_WATCH_S", WATCH_S)
    monkeypatch.setattr(s, "PROMPTS_WATCH_S", WATCH_S)
    monkeypatch.setattr(observe, "TICK_S", WATCH_S)
    monkeypatch.setattr(s, "BEAT_S", 0.01)
    monkeypatch.setattr(asyncio, "sleep", note)
    return found


@asynccontextmanager
async def serving(
    exchange: Exchange,
    folder: Path,
    prompts: Callable[[], PromptBook] = PromptBook,
    counts: Callable[[], None] | None = None,
) -> AsyncIterator[Service]:
    """A service at work, stopped at the end."""
    spool = Spool(RecordingStore(folder), NoRows(), 0)
    pump = Pump(Policy("1"), PromptBook({}), spool, 1.0)
    service = Service(pump, exchange.make, None, prompts, counts=counts)
    work = asyncio.create_task(service.serve())
    try:
        yield service
    finally:
        service.stop()
        async with asyncio.timeout(10):
            await work


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds."""
    async with asyncio.timeout(5):
        while not condition():
            await SLEEP(0.002)


async def test_it_backs_off_and_begins_anew_after_success(
    tmp_path: Path, waits: list[float]
) -> None:
    """Longer and longer while it fails; after a link it starts with the shortest wait again."""
    down = [LinkDownError("no") for _ in range(7)]
    exchange = Exchange(*down, None, LinkDownError("no"))
    async with serving(exchange, tmp_path) as service:
        await asyncio.wait_for(service.linked.wait(), 5)
        assert waits == [0.5, 1.0, 2.0, 5.0, 10.0, 10.0, 10.0]
        exchange.made[-1].lose()
        await until(lambda: len(exchange.made) == 10 and service.linked.is_set())
        assert waits[7:] == [10.0, 1.0]
    assert all(pbx.closed for pbx in exchange.made)


async def test_a_refused_login_is_not_tried_soon(tmp_path: Path, waits: list[float]) -> None:
    """Only a person can mend it, and Asterisk logs each attempt."""
    exchange = Exchange(LoginRefusedError("Authentication failed"), LinkDownError("no"))
    async with serving(exchange, tmp_path) as service:
        await asyncio.wait_for(service.linked.wait(), 5)
    assert waits == [s.REFUSED_BACK_OFF_S, 1.0]


async def test_a_pbx_that_does_not_tell_what_it_has(tmp_path: Path, waits: list[float]) -> None:
    """Without a snapshot there is no link."""
    exchange = Exchange()
    exchange.look_error = ActionTimeoutError("Status was not answered within 5 s")
    async with serving(exchange, tmp_path) as service:
        await until(lambda: len(exchange.made) >= 3)
        assert not service.linked.is_set()
        exchange.look_error = None
        await asyncio.wait_for(service.linked.wait(), 5)
    assert exchange.made[0].closed


async def test_a_pbx_that_falls_silent(tmp_path: Path, waits: list[float]) -> None:
    """A beat that is not answered ends the connection, though nobody said that it is lost."""
    exchange = Exchange()
    exchange.failing_beats = {4}
    async with serving(exchange, tmp_path) as service:
        await until(lambda: len(exchange.made) == 2 and service.linked.is_set())
        assert exchange.made[0].closed
        await until(lambda: exchange.beats >= 7)
    assert waits == [0.5]


async def test_what_is_left_is_read_before_the_login(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events are held from the login to the snapshot, and an agent's key with them."""
    done: list[str] = []
    unfinished, connect = Spool.unfinished, FakePbx.connect

    async def noted_unfinished(self: Spool) -> Any:
        done.append("read")
        return await unfinished(self)

    async def noted_connect(self: FakePbx) -> None:
        done.append("connect")
        await connect(self)

    monkeypatch.setattr(Spool, "unfinished", noted_unfinished)
    monkeypatch.setattr(FakePbx, "connect", noted_connect)
    async with serving(Exchange(LinkDownError("no")), tmp_path) as service:
        await asyncio.wait_for(service.linked.wait(), 5)
    assert done == ["read", "connect", "connect"]


async def test_a_spool_that_cannot_be_read_does_not_end_it(
    tmp_path: Path, waits: list[float]
) -> None:
    """New calls can be told about, and perhaps recorded."""
    (tmp_path / "open").touch()
    async with serving(Exchange(), tmp_path) as service:
        await asyncio.wait_for(service.linked.wait(), 5)


async def test_it_ends_without_waiting_for_the_link(tmp_path: Path, waits: list[float]) -> None:
    """Stopping while there is no PBX, and while there is one."""
    async with serving(Exchange(*[LinkDownError("no")] * 1000), tmp_path):
        await until(lambda: len(waits) > 2)
    async with serving(Exchange(), tmp_path) as service:
        await asyncio.wait_for(service.linked.wait(), 5)
    assert not service.linked.is_set()


@pytest.mark.parametrize("there", [True, False])
async def test_it_is_ready_with_the_link_or_after_a_while(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    """A PBX that is away when the machine starts is no failure of the listener."""
    told: list[str] = []
    monkeypatch.setattr(s, "READY_S", WATCH_S if there else 0.05)
    monkeypatch.setattr(Notifier, "ready", lambda _: told.append("ready"))
    monkeypatch.setattr(Notifier, "stopping", lambda _: told.append("stopping"))
    exchange = Exchange(*([] if there else [LinkDownError("no")] * 10_000))
    async with serving(exchange, tmp_path) as service:
        await until(lambda: told == ["ready"])
        assert service.linked.is_set() == there
        assert metrics.REGISTRY.get_sample_value("callrec_pbx_link_up") == there
    assert told == ["ready", "stopping"]
    assert metrics.REGISTRY.get_sample_value("callrec_pbx_link_up") == 0


async def test_counts_are_brought_up_to_date(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database that is away ends nothing; it is asked again."""
    monkeypatch.setattr(s, "COUNT_S", WATCH_S)
    counted: list[int] = []

    def count() -> None:
        counted.append(1)
        raise OSError("away")

    async with serving(Exchange(), tmp_path, counts=count):
        await until(lambda: len(counted) > 1)


@pytest.mark.parametrize(
    ("owner", "name", "event"),
    [
        (RecordingStore, "rows_left", "rows_left_not_read"),
        (observe.Lookout, "look", "not_observed"),
    ],
)
async def test_a_defect_of_what_is_beside_the_calls_ends_nothing(
    tmp_path: Path,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    *,
    owner: type,
    name: str,
    event: str,
) -> None:
    """A fault that nothing real can be made to show; it is told once, with its traceback."""
    broken: list[int] = []

    def breaks(*_given: Any) -> None:
        broken.append(1)
        raise ZeroDivisionError("defect")

    monkeypatch.setattr(owner, name, breaks)
    with capture_logs() as logged:
        async with serving(Exchange(), tmp_path) as service:
            await asyncio.wait_for(service.linked.wait(), 5)
            await until(lambda: len(broken) > (name == "look"))
            assert service.linked.is_set()
    assert [line["event"] for line in logged].count(event) == 1


async def test_a_defect_in_counting_is_told_once(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s, "COUNT_S", WATCH_S)
    counted: list[int] = []

    def count() -> None:
        counted.append(1)
        raise ZeroDivisionError("defect")

    with capture_logs() as logged:
        async with serving(Exchange(), tmp_path, counts=count):
            await until(lambda: len(counted) > 2)
    assert [line["event"] for line in logged].count("not_counted") == 1


async def test_a_defect_ends_the_service_with_its_error(tmp_path: Path, waits: list[float]) -> None:
    """What is nobody's fault but ours must not be retried for ever in silence."""
    exchange = Exchange(ZeroDivisionError("defect"))
    with pytest.raises(ZeroDivisionError, match="defect"):
        async with serving(exchange, tmp_path):
            await until(lambda: bool(exchange.made) and exchange.made[0].closed)


@pytest.mark.parametrize(("free", "reason"), [(0, "disk_full"), (None, "spool_missing")])
async def test_the_disk_is_watched(
    tmp_path: Path,
    waits: list[float],
    monkeypatch: pytest.MonkeyPatch,
    free: int | None,
    reason: str,
) -> None:
    """A disk that takes nothing any more fails the running recordings."""
    reasons: list[str] = []

    async def free_bytes(_self: Spool) -> int:
        if free is None:
            raise FileNotFoundError("gone")
        return free

    monkeypatch.setattr(Spool, "free_bytes", free_bytes)
    monkeypatch.setattr(Pump, "spool_failed", lambda _self, reason: reasons.append(reason))
    async with serving(Exchange(), tmp_path):
        await until(lambda: len(reasons) > 1)
    assert set(reasons) == {reason}


async def test_one_failed_look_at_the_disk_ends_nothing(
    tmp_path: Path, waits: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system may fail once; twice in a row it is gone."""
    looks = 0
    failed_at: list[int] = []

    async def free_bytes(_self: Spool) -> int:
        nonlocal looks
        looks += 1
        if looks in (1, 3, 5, 6):
            raise OSError("stale file handle")
        return 1 << 30

    monkeypatch.setattr(Spool, "free_bytes", free_bytes)
    monkeypatch.setattr(Pump, "spool_failed", lambda _self, _reason: failed_at.append(looks))
    async with serving(Exchange(), tmp_path):
        await until(lambda: looks > 7)
    assert failed_at == [6]


async def test_prompts_are_read_anew(tmp_path: Path, waits: list[float]) -> None:
    """An announcement that was imported counts without a restart."""
    book = PromptBook({}, "sv")
    async with serving(Exchange(), tmp_path, lambda: book) as service:
        await until(lambda: service.pump.calls.prompts is book)
