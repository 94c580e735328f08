"""Events in, commands out, and what waits for what.

The PBX is a fake where it is to be in a certain state at a certain moment; whole calls on a real
one are in `tests/calls`.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from callrec_pbx.domain import events as e
from callrec_pbx.domain.facts import PromptBook
from callrec_pbx.domain.words import Direction, LegKind, Outcome, RecordingState
from callrec_pbx.pbx.errors import ActionFailedError, LinkDownError
from callrec_pbx.recorder.pump import Pump, new_id
from callrec_pbx.recorder.spool import Spool
from tests.recorder.fakes import CALL, HANG_S, NOW, START, FakePbx, Rows, recording, write_wav
from tests.rules import policy, rule

POLICY = policy(rule("all"))
CALLER = e.Who("1.1", "PJSIP/trunk-1", "1.1", LegKind.OUTSIDE, number="+46701234567")
AGENT = e.Who("1.2", "PJSIP/301-2", "1.1", LegKind.LINE, line="301")


def after(seconds: float) -> datetime:
    """A time of the call."""
    return START + timedelta(seconds=seconds)


def conversation() -> list[e.Event]:
    """A call up to its conversation."""
    return [
        e.LegCreated(after(0), CALLER),
        e.CallOffered(after(0), CALLER, Direction.INBOUND, "301", "301", "", "301"),
        e.LegCreated(after(1), AGENT),
        e.LegBridged(after(5), CALLER, "b", holding=False),
        e.LegBridged(after(5), AGENT, "b", holding=False),
    ]


def ends() -> list[e.Event]:
    """Both hang up after 9 s of talk."""
    return [
        e.RecordingStopped(after(14), AGENT.leg),
        e.LegHungUp(after(14), AGENT.leg),
        e.LegHungUp(after(14), CALLER.leg),
    ]


@pytest.fixture
def pump(spool: Spool) -> Pump:
    """Records everything."""
    return Pump(POLICY, PromptBook(), spool, 60.0)


@pytest.fixture
def pbx() -> FakePbx:
    """A PBX without calls."""
    return FakePbx()


async def idle(pump: Pump) -> None:
    """Wait until nothing is under way."""
    async with asyncio.timeout(HANG_S):
        await pump.carrier.idle()


async def test_a_whole_call(pump: Pump, pbx: FakePbx, rows: Rows, spool: Spool) -> None:
    await pump.agree_with(pbx)
    pump.take_all(conversation())
    await idle(pump)
    assert pbx.done == ["look ", "offer 1.1", "start 1.2"]
    pump.take(e.RecordingStarted(after(5), AGENT.leg))
    (known,) = pump.calls.recordings.values()
    write_wav(spool.store.audio_path(known.facts()), 9000)
    pump.take_all(ends())
    await idle(pump)
    assert pump.calls.calls == {}
    assert rows.recordings[-1].state is RecordingState.STORED
    assert rows.recordings[-1].audio_ms == 9000
    await spool._write_calls()
    assert rows.calls[-1].outcome is Outcome.RECORDED
    sidecar = spool.store.read(spool.store.sidecar_path(rows.recordings[-1]))
    assert sidecar[0] == rows.recordings[-1]
    pump.carrier.cancel_timers()


async def test_events_wait_for_the_snapshot(pump: Pump, pbx: FakePbx) -> None:
    pump.take_all(conversation())
    assert pump.calls.calls == {}
    gate = pbx.gates["look"] = asyncio.Event()
    agreeing = asyncio.create_task(pump.agree_with(pbx))
    await asyncio.sleep(0)
    pump.take_all(ends()[1:])
    gate.set()
    await agreeing
    await idle(pump)
    (call,) = pump.calls.closed.values()
    assert len(call.facts().legs) == 2


async def test_a_snapshot_that_fails_leaves_events_waiting(pump: Pump, pbx: FakePbx) -> None:
    pbx.raises["look"] = LinkDownError("lost")
    with pytest.raises(LinkDownError):
        await pump.agree_with(pbx)
    pump.take_all(conversation())
    assert pump.calls.calls == {}
    pump.hold()
    del pbx.raises["look"]
    await pump.agree_with(pbx)
    assert pump.calls.calls == {}  # of a link that is gone nothing counts but the snapshot


async def test_the_snapshot_is_asked_for_what_is_known(pump: Pump, pbx: FakePbx) -> None:
    await pump.agree_with(pbx)
    pump.take_all(conversation())
    await idle(pump)
    (recording_id,) = pump.calls.recordings
    pump.hold()
    again = FakePbx()
    again.legs = (
        e.LegSeen(CALLER, START, "b"),
        e.LegSeen(AGENT, START, "b", recording=recording_id),
    )
    await pump.agree_with(again)
    assert list(again.looked.values()) == [recording_id]
    assert next(iter(again.looked)).endswith(f"/{recording_id}.wav")
    assert pump.calls.recordings[recording_id].state is RecordingState.RECORDING
    await idle(pump)
    pump.carrier.cancel_timers()


async def test_a_new_listener_takes_over(
    pump: Pump, pbx: FakePbx, spool: Spool, rows: Rows
) -> None:
    await pump.agree_with(pbx)
    pump.take_all(conversation())
    await idle(pump)
    await spool._write_calls()
    (recording_id,) = pump.calls.recordings
    second, other = Pump(POLICY, PromptBook(), spool, 60.0), FakePbx()
    other.legs = (
        e.LegSeen(CALLER, START, "b"),
        e.LegSeen(AGENT, START, "b", recording=recording_id),
    )
    await second.agree_with(other)
    await idle(second)
    assert list(second.calls.recordings) == [recording_id]
    assert list(second.calls.calls) == list(pump.calls.calls)
    assert other.done == ["look "]
    second.carrier.cancel_timers()


async def test_what_could_not_be_read_is_read_at_the_next_link(
    pump: Pump, pbx: FakePbx, spool: Spool
) -> None:
    left = recording(state=RecordingState.CAPTURED)
    await spool.save_recording(left, CALL)
    marks = spool.store.directory / "open"
    marks.rename(spool.store.directory / "away")
    marks.touch()
    await pump.prepare()
    await pump.agree_with(pbx)
    assert pbx.looked == {}
    pump.hold()
    marks.unlink()
    (spool.store.directory / "away").rename(marks)
    await pump.prepare()
    await pump.agree_with(pbx)
    assert list(pbx.looked.values()) == [left.recording_id]
    await idle(pump)
    pump.hold()
    await pump.agree_with(FakePbx())
    assert pump.calls.recordings == {}


async def test_what_is_left_is_read_once(
    pump: Pump, pbx: FakePbx, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before there is a link, as an agent waits for his key between the login and the snapshot."""
    left = recording(state=RecordingState.CAPTURED)
    await spool.save_recording(left, CALL)
    await pump.prepare()
    monkeypatch.setattr(spool, "unfinished", None)
    await pump.prepare()
    pbx.raises["look"] = LinkDownError("lost")
    with pytest.raises(LinkDownError):
        await pump.agree_with(pbx)
    del pbx.raises["look"]
    await pump.prepare()
    await pump.agree_with(pbx)
    assert list(pbx.looked.values()) == [left.recording_id]
    await idle(pump)


async def test_a_defect_costs_one_event(
    pump: Pump, pbx: FakePbx, monkeypatch: pytest.MonkeyPatch
) -> None:
    await pump.agree_with(pbx)
    handle = pump.calls.handle

    def broken(event: e.Event) -> list[Any]:
        if type(event) is e.CallOffered:
            raise RuntimeError("a defect")
        return handle(event)

    monkeypatch.setattr(pump.calls, "handle", broken)
    pump.take_all(conversation())
    await idle(pump)
    assert pbx.done == ["look ", "start 1.2"]


async def test_without_a_link_commands_come_to_nothing_and_are_made_good(
    pump: Pump, pbx: FakePbx
) -> None:
    await pump.agree_with(pbx)
    pump.carrier.use(None)
    pump.take_all(conversation())
    await idle(pump)
    (known,) = pump.calls.recordings.values()
    assert (pbx.done, known.state) == (["look "], RecordingState.STARTING)
    pump.hold()
    pbx.legs = (e.LegSeen(CALLER, START, "b"), e.LegSeen(AGENT, START, "b"))
    await pump.agree_with(pbx)
    await idle(pump)
    assert pbx.done == ["look ", "look ", "start 1.2"]


async def test_a_disk_that_takes_nothing_stops_what_runs(
    pump: Pump, pbx: FakePbx, rows: Rows
) -> None:
    await pump.agree_with(pbx)
    pump.take_all(conversation())
    pump.take(e.RecordingStarted(after(5), AGENT.leg))
    pbx.raises["stop"] = ActionFailedError("No such channel")
    pump.spool_failed("disk_full")
    pump.spool_failed("disk_full")
    await idle(pump)
    assert pbx.done[-1] == "stop 1.2"
    assert (rows.recordings[-1].state, rows.recordings[-1].reason) == (
        RecordingState.FAILED,
        "disk_full",
    )
    pump.carrier.cancel_timers()


async def test_a_recording_ends_by_the_clock_that_it_began_by(pump: Pump, pbx: FakePbx) -> None:
    """The PBX's, be the machine's years ahead: for a refused start, a full disk, a lost file."""
    pbx.raises["start"] = ActionFailedError("No such channel")
    await pump.agree_with(pbx)
    pump.take_all(conversation())
    await idle(pump)
    (refused,) = pump.calls.recordings.values()
    assert (refused.state, refused.reason) == (RecordingState.FAILED, "leg_gone")
    assert refused.facts().ended_at == NOW


async def test_a_full_disk_ends_recordings_by_the_clock_of_the_pbx(
    pump: Pump, pbx: FakePbx
) -> None:
    await pump.agree_with(pbx)
    pump.take_all(conversation())
    pump.take(e.RecordingStarted(after(5), AGENT.leg))
    pump.hold()  # also while there is no link
    pump.spool_failed("disk_full")
    (failed,) = pump.calls.recordings.values()
    assert (failed.state, failed.facts().ended_at) == (RecordingState.FAILED, NOW)
    pump.carrier.cancel_timers()


async def test_the_facts_of_a_call_that_is_over(pump: Pump, pbx: FakePbx) -> None:
    await pump.agree_with(pbx)
    pump.take_all([*conversation()[:1], e.LegHungUp(after(3), CALLER.leg)])
    (call_id,) = pump.calls.closed
    facts = pump._call_facts(call_id)
    assert facts is not None
    assert facts.outcome is Outcome.NOT_SELECTED
    assert pump._call_facts("another") is None


def test_ids_sort_by_time_and_are_all_different() -> None:
    times = [START + timedelta(milliseconds=ms) for ms in range(3)]
    found = [[new_id(at) for _ in range(500)] for at in times]
    assert len({id_ for ids in found for id_ in ids}) == 1500
    assert max(found[0]) < min(found[1]) < max(found[1]) < min(found[2])
    for ids in found:
        assert all(
            len(id_) == 26 and set(id_) <= set("0123456789abcdefghjkmnpqrstvwxyz") for id_ in ids
        )
    assert new_id(datetime(2199, 1, 1, tzinfo=UTC)) > found[2][0]
