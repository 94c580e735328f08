"""Commands are carried out in order, and what comes of them is reported.

The PBX is a fake: a real one cannot be made to refuse, or to fall silent, at a given command.
"""

import asyncio
import threading
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog

from callrec_pbx.domain import commands as c
from callrec_pbx.domain import events as e
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.people import Profile
from callrec_pbx.domain.words import ConsentMode, KeyResult, LegKind, OnTrouble, RecordingState
from callrec_pbx.pbx.errors import (
    ActionFailedError,
    ActionTimeoutError,
    LinkDownError,
    PbxError,
)
from callrec_pbx.recorder import carrier as carriers
from callrec_pbx.recorder.carrier import Carrier
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.storage.store import RecordingStore
from tests.recorder.fakes import (
    CALL,
    CALL_ID,
    HANG_S,
    NOW,
    FakePbx,
    Rows,
    recording,
    until,
    write_wav,
)

STARTING = recording()
RUNNING = recording(state=RecordingState.RECORDING)
CAPTURED = recording(state=RecordingState.CAPTURED)
DISCARDED = recording(state=RecordingState.DISCARDED)


class Reports(list[e.Event]):
    """What is reported, and a way to wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self._came = asyncio.Event()

    def take(self, event: e.Event) -> None:
        """What the carrier calls."""
        self.append(event)
        self._came.set()

    async def wait(self) -> e.Event:
        """The first report."""
        async with asyncio.timeout(HANG_S):
            await self._came.wait()
        return self[0]

    def failures(self) -> list[tuple[str, str]]:
        """Which commands have failed, and why."""
        return [(r.command, r.reason) for r in self if isinstance(r, e.CommandFailed)]


def call_of(call_id: str) -> CallFacts | None:
    """The one call there is."""
    return CALL if call_id == CALL_ID else None


@pytest.fixture
def pbx() -> FakePbx:
    """A PBX that does all it is told."""
    return FakePbx()


@pytest.fixture
def reports() -> Reports:
    """What has been reported."""
    return Reports()


@pytest.fixture
def carrier(spool: Spool, pbx: FakePbx, reports: Reports) -> Iterator[Carrier]:
    """Speaks to the fake PBX."""
    made = Carrier(spool, reports.take, call_of, 0.0)
    made.use(pbx)
    yield made
    made.cancel_timers()


async def done(carrier: Carrier, *commands: c.Command) -> None:
    """Carry out, and wait for the end of it."""
    carrier.carry_out(list(commands))
    async with asyncio.timeout(HANG_S):
        await carrier.idle()


def start(number: int = 2, leg: str = "301") -> list[c.Command]:
    """What begins a recording."""
    facts = recording(number, leg)
    return [c.SaveRecording(facts), c.StartRecording(facts, 0)]


async def test_the_pbx_hears_of_a_stop_before_the_sidecar_is_written(
    carrier: Carrier, pbx: FakePbx
) -> None:
    """The same event may make it open the recorder anew, which would only delay the stop."""
    carrier.carry_out([c.SaveRecording(RUNNING), c.StopRecording(RUNNING)])
    assert (pbx.due, pbx.done) == (["301"], [])
    async with asyncio.timeout(HANG_S):
        await carrier.idle()
    assert pbx.done == ["stop 301"]
    carrier.use(None)
    carrier.carry_out([c.StopRecording(RUNNING)])
    assert pbx.due == ["301"]


async def test_what_goes_wrong_is_logged_with_the_ids(
    carrier: Carrier, pbx: FakePbx, logged: list[MutableMapping[str, Any]]
) -> None:
    """And whatever is logged on the way has them bound."""
    pbx.raises["stop"] = ZeroDivisionError("defect")
    bound: list[dict[str, Any]] = []
    pbx.on_start = lambda _: bound.append(structlog.contextvars.get_contextvars())
    await done(carrier, *start(), c.StopRecording(RUNNING))
    (line,) = [line for line in logged if line["event"] == "command_broke"]
    ids = {"recording": RUNNING.recording_id, "call": CALL_ID}
    assert {key: line[key] for key in (*ids, "leg")} == {**ids, "leg": "301"}
    assert bound == [ids]
    assert structlog.contextvars.get_contextvars() == {}


async def test_the_sidecar_is_there_before_the_recorder_starts(
    carrier: Carrier, pbx: FakePbx, spool: Spool
) -> None:
    sidecar = spool.store.sidecar_path(STARTING)
    there: list[tuple[str, bool]] = []
    pbx.on_start = lambda path: there.append((path, sidecar.exists()))
    await done(carrier, *start())
    assert there == [(spool.store.pbx_path(STARTING), True)]


async def test_commands_of_a_leg_wait_for_each_other(carrier: Carrier, pbx: FakePbx) -> None:
    gate = pbx.gates["start"] = asyncio.Event()
    other = recording(3, "302", RecordingState.RECORDING)
    carrier.carry_out(
        [*start(), c.PauseRecording(RUNNING), c.ResumeRecording(RUNNING), c.StopRecording(RUNNING)]
    )
    carrier.carry_out([c.StopRecording(other)])
    await until(lambda: len(pbx.done) >= 2)
    assert sorted(pbx.done) == ["start 301", "stop 302"]
    gate.set()
    await done(carrier)
    assert pbx.done[-3:] == ["pause 301", "resume 301", "stop 301"]


async def test_an_answer_overtakes(carrier: Carrier, pbx: FakePbx) -> None:
    gate = pbx.gates["stop"] = asyncio.Event()
    offer = c.AnswerOffer(
        leg="301",
        channel="PJSIP/301-1",
        ask=ConsentMode.NONE,
        ask_callee=ConsentMode.NONE,
        callee=LegKind.LINE,
        prompt="",
        whisper="",
        language="en",
        on_refusal=OnTrouble.CONTINUE,
    )
    key = c.AnswerKey("301", "PJSIP/301-1", KeyResult.PAUSED, "", "en")
    carrier.carry_out(
        [
            c.StopRecording(RUNNING),
            c.StopRecording(RUNNING),
            offer,
            key,
            c.TellParties("301", "PJSIP/301-1", "stopped", "en"),
            c.HangUpCall(("a",), "", ""),
        ]
    )
    await until(lambda: len(pbx.done) >= 5)
    assert sorted(pbx.done) == [
        "hang up a",
        "key paused 301",
        "offer 301",
        "stop 301",
        "tell stopped 301",
    ]
    gate.set()
    await done(carrier)


@pytest.mark.parametrize("error", [LinkDownError("gone"), ActionFailedError("no")])
async def test_an_answer_that_does_not_arrive_is_the_dialplans_affair(
    carrier: Carrier, pbx: FakePbx, reports: Reports, error: PbxError
) -> None:
    pbx.raises["key paused"] = error
    await done(carrier, c.AnswerKey("301", "PJSIP/301-1", KeyResult.PAUSED, "", "en"))
    carrier.use(None)
    await done(carrier, c.AnswerKey("301", "PJSIP/301-1", KeyResult.PAUSED, "", "en"))
    assert reports == []
    assert not pbx.closed


DIALLED = c.SwitchProfile("301", "42", "leg", "PJSIP/301-1", "en")
LUNCH = Profile("acme", "anna@acme.se", "Lunch", record_direct=False, code="42")


@pytest.mark.parametrize(
    ("found", "prompt"),
    [
        (LUNCH, "profile_not_recorded"),
        (replace(LUNCH, record_direct=True), "profile_recorded"),
        (None, "profile_unknown"),
    ],
)
async def test_a_profile_is_confirmed_once_it_is_written(
    spool: Spool, pbx: FakePbx, reports: Reports, found: Profile | None, prompt: str
) -> None:
    written = threading.Event()
    asked = []

    def switch(line: str, code: str) -> Profile | None:
        asked.append((line, code))
        assert written.wait(HANG_S)
        return found

    carrier = Carrier(spool, reports.take, call_of, 0.0, switch)
    carrier.use(pbx)
    carrier.carry_out([DIALLED])
    await until(lambda: bool(asked))
    assert pbx.done == []
    written.set()
    await done(carrier)
    assert asked == [("301", "42")]
    assert pbx.done == [f"profile {prompt} leg"]
    switched = [report.profile for report in reports if isinstance(report, e.ProfileSwitched)]
    assert switched == ([found] if found else [])


async def test_a_profile_that_cannot_be_written_is_not_confirmed(
    spool: Spool, pbx: FakePbx, reports: Reports, logged: list[MutableMapping[str, Any]]
) -> None:
    def switch(line: str, code: str) -> Profile | None:
        raise OSError("the disk is full")

    carrier = Carrier(spool, reports.take, call_of, 0.0, switch)
    carrier.use(pbx)
    await done(carrier, DIALLED)
    assert (pbx.done, reports) == (["profile profile_failed leg"], [])
    assert [entry["event"] for entry in logged] == ["profile_not_switched"]


async def test_without_people_no_profile_can_be_switched(carrier: Carrier, pbx: FakePbx) -> None:
    await done(carrier, DIALLED)
    assert pbx.done == ["profile profile_failed leg"]
    pbx.raises["profile profile_failed"] = LinkDownError("gone")
    await done(carrier, DIALLED)


COMMANDS: dict[str, c.Command] = {
    "start": c.StartRecording(STARTING, 0),
    "pause": c.PauseRecording(RUNNING),
    "resume": c.ResumeRecording(RUNNING),
    "stop": c.StopRecording(RUNNING),
}


@pytest.mark.parametrize("what", COMMANDS)
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("No such channel", "leg_gone"),
        ("Channel not found.", "leg_gone"),
        ("Could not start monitoring channel", "pbx_refused"),
    ],
)
async def test_what_the_pbx_refuses_is_reported(  # noqa: PLR0917
    carrier: Carrier, pbx: FakePbx, reports: Reports, what: str, text: str, reason: str
) -> None:
    pbx.raises[what] = ActionFailedError(text)
    await done(carrier, COMMANDS[what])
    assert reports.failures() == [(what, reason)]
    (report,) = reports
    assert isinstance(report, e.CommandFailed)
    assert (report.recording, report.detail) == (STARTING.recording_id, text)
    assert report.at == NOW
    assert not pbx.closed


@pytest.mark.parametrize("what", COMMANDS)
@pytest.mark.parametrize("error", [LinkDownError("lost"), ActionTimeoutError("late")])
async def test_what_is_not_answered_is_looked_for_on_a_new_link(
    carrier: Carrier, pbx: FakePbx, reports: Reports, what: str, error: PbxError
) -> None:
    pbx.raises[what] = error
    await done(carrier, COMMANDS[what])
    assert reports == []
    assert pbx.closed


async def test_without_a_link_nothing_is_sent(
    carrier: Carrier, pbx: FakePbx, reports: Reports
) -> None:
    carrier.use(None)
    await done(carrier, *COMMANDS.values())
    assert (pbx.done, reports) == ([], [])


async def test_without_a_link_the_clock_of_the_last_one_goes_on(
    carrier: Carrier, reports: Reports, rows: Rows, spool: Spool
) -> None:
    """A disk does not wait for the PBX; before the first link there is the machine's clock only."""
    carrier.use(None)
    carrier.carry_out([c.CheckAudio(recording(3)), c.SetTimer("resume:a", 0.0)])
    await done(carrier, c.FinishRecording(CAPTURED))
    await done(carrier, c.DiscardAudio(DISCARDED))
    await until(lambda: len(reports) >= 4)
    assert len({type(report) for report in reports}) == 3
    assert {report.at for report in reports} == {NOW}
    before = datetime.now(UTC)
    assert before <= Carrier(spool, reports.take, call_of, 0.0).now() <= datetime.now(UTC)
    assert rows.recordings == []


async def test_a_command_that_breaks_does_not_hold_up_the_next(
    carrier: Carrier, pbx: FakePbx
) -> None:
    pbx.raises["pause"] = RuntimeError("a defect")
    await done(carrier, c.PauseRecording(RUNNING), c.StopRecording(RUNNING))
    assert pbx.done == ["pause 301", "stop 301"]


async def test_an_answer_that_breaks_is_logged(carrier: Carrier, pbx: FakePbx) -> None:
    pbx.raises["hang up"] = RuntimeError("a defect")
    await done(carrier, c.HangUpCall(("a",), "", ""))
    assert pbx.done == ["hang up a"]


async def test_no_recording_begins_without_its_sidecar(
    tmp_path: Path, rows: Rows, pbx: FakePbx, reports: Reports
) -> None:
    (tmp_path / "file").write_text("in the way")
    spool = Spool(RecordingStore(tmp_path / "file"), rows, 0)
    carrier = Carrier(spool, reports.take, call_of, 0.0)
    carrier.use(pbx)
    await done(carrier, *start())
    assert pbx.done == []
    assert [command for command, _ in reports.failures()] == ["start"]
    assert reports.failures()[0][1] in ("spool_missing", "spool_not_writable")
    assert rows.recordings == [STARTING]
    await spool.close()


async def test_no_recording_begins_on_a_full_disk(
    tmp_path: Path, rows: Rows, pbx: FakePbx, reports: Reports
) -> None:
    spool = Spool(RecordingStore(tmp_path), rows, 1 << 60)
    carrier = Carrier(spool, reports.take, call_of, 0.0)
    carrier.use(pbx)
    await done(carrier, *start())
    assert (pbx.done, reports.failures()) == ([], [("start", "disk_full")])
    await done(carrier, c.SaveRecording(RUNNING))
    assert len(reports) == 1
    await spool.close()


async def test_of_facts_that_overtake_each_other_only_the_newest_are_written(
    carrier: Carrier, rows: Rows
) -> None:
    other = recording(3)
    await done(
        carrier,
        c.SaveRecording(STARTING),
        c.SaveRecording(RUNNING),
        c.SaveRecording(other),
        c.SaveRecording(CAPTURED),
    )
    assert rows.recordings == [RUNNING, other, CAPTURED]


async def test_a_recording_of_no_call_is_not_saved(
    spool: Spool, rows: Rows, reports: Reports
) -> None:
    carrier = Carrier(spool, reports.take, lambda _: None, 0.0)
    await done(carrier, c.SaveRecording(RUNNING))
    assert rows.recordings == []


# timers


async def test_the_reminder_tone_reaches_the_pbx(carrier: Carrier, pbx: FakePbx) -> None:
    await done(carrier, c.StartRecording(STARTING, 15))
    assert pbx.done == ["start B(15) 301"]


async def test_a_timer_fires_once(carrier: Carrier, reports: Reports) -> None:
    carrier.carry_out([c.SetTimer("resume:a", 0.0)])
    event = await reports.wait()
    assert isinstance(event, e.TimerFired)
    assert event.key == "resume:a"
    carrier.carry_out([c.CancelTimer("resume:a")])
    assert len(reports) == 1


async def test_a_timer_is_replaced_and_cancelled(carrier: Carrier, reports: Reports) -> None:
    carrier.carry_out([c.SetTimer("resume:a", 0.0), c.SetTimer("resume:a", 60.0)])
    carrier.carry_out([c.SetTimer("resume:b", 0.0), c.CancelTimer("resume:b")])
    carrier.carry_out([c.SetTimer("resume:c", 0.0)])
    await reports.wait()
    carrier.cancel_timers()
    assert [event.key for event in reports if isinstance(event, e.TimerFired)] == ["resume:c"]


# audio


async def test_a_recording_without_a_file_is_reported(carrier: Carrier, reports: Reports) -> None:
    carrier.carry_out([c.CheckAudio(RUNNING)])
    event = await reports.wait()
    assert isinstance(event, e.AudioMissing)
    assert (event.recording, event.reason) == (RUNNING.recording_id, "no_audio")
    assert carrier._timers == {}


async def test_a_recording_with_a_file_is_not(
    carrier: Carrier, reports: Reports, spool: Spool
) -> None:
    write_wav(spool.store.audio_path(RUNNING))
    carrier.carry_out([c.CheckAudio(RUNNING), c.SetTimer("later", 0.01)])
    await reports.wait()
    await done(carrier)
    assert [type(event) for event in reports] == [e.TimerFired]


async def test_a_recording_that_is_over_is_not_looked_after(
    spool: Spool, pbx: FakePbx, reports: Reports
) -> None:
    write_wav(spool.store.audio_path(CAPTURED))
    carrier = Carrier(spool, reports.take, call_of, 60.0)
    await done(carrier, c.CheckAudio(RUNNING), c.FinishRecording(CAPTURED))
    assert [type(event) for event in reports] == [e.RecordingFinished]
    assert carrier._timers == {}
    await done(carrier, c.CheckAudio(RUNNING), c.DiscardAudio(DISCARDED))
    assert carrier._timers == {}


async def test_a_closed_file_is_measured(carrier: Carrier, reports: Reports, spool: Spool) -> None:
    write_wav(spool.store.audio_path(CAPTURED), 1500)
    await done(carrier, c.FinishRecording(CAPTURED))
    (event,) = reports
    assert isinstance(event, e.RecordingFinished)
    assert (event.recording.state, event.recording.audio_ms) == (RecordingState.STORED, 1500)


def make_unreadable(path: Path) -> None:
    """Names that lead to each other; removing the file itself mends it."""
    path.parent.mkdir(parents=True)
    (path.parent / "loop.wav").symlink_to(path)
    path.symlink_to(path.parent / "loop.wav")


async def test_a_file_that_cannot_be_read_is_tried_again(
    carrier: Carrier, reports: Reports, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carriers, "RETRY_S", (0.0, 60.0))
    path, finish = spool.store.audio_path(CAPTURED), spool.finish

    async def finish_and_mend(recording: RecordingFacts, wait_s: float) -> RecordingFacts:
        try:
            return await finish(recording, wait_s)
        except OSError:
            path.unlink()
            write_wav(path, 1500)
            raise

    monkeypatch.setattr(spool, "finish", finish_and_mend)
    make_unreadable(path)
    await done(carrier, c.FinishRecording(CAPTURED))
    event = await reports.wait()
    assert isinstance(event, e.RecordingFinished)
    assert (event.recording.state, event.recording.audio_ms) == (RecordingState.STORED, 1500)
    assert carrier._timers == {}


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        (CAPTURED, "audio_not_readable"),
        (replace(CAPTURED, state=RecordingState.INTERRUPTED), "audio_not_readable"),
        (replace(CAPTURED, state=RecordingState.FAILED, reason="disk_full"), "disk_full"),
    ],
)
async def test_a_file_that_can_never_be_read_has_failed(  # noqa: PLR0917
    carrier: Carrier,
    reports: Reports,
    spool: Spool,
    logged: list[MutableMapping[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    facts: RecordingFacts,
    reason: str,
) -> None:
    monkeypatch.setattr(carriers, "RETRY_S", (0.0, 0.0))
    make_unreadable(spool.store.audio_path(facts))
    await done(carrier, c.FinishRecording(facts))
    event = await reports.wait()
    assert isinstance(event, e.RecordingFinished)
    assert event.recording == replace(facts, state=RecordingState.FAILED, reason=reason)
    assert [entry["event"] for entry in logged] == ["audio_not_readable"] * 3
    assert carrier._timers == {}


async def test_the_end_does_not_wait_for_another_try(
    carrier: Carrier, reports: Reports, spool: Spool
) -> None:
    make_unreadable(spool.store.audio_path(CAPTURED))
    await done(carrier, c.FinishRecording(CAPTURED))
    assert list(carrier._timers) == [f"finish:{CAPTURED.recording_id}"]
    carrier.cancel_timers()
    await done(carrier)
    assert reports == []


async def test_discarded_audio_is_gone(carrier: Carrier, reports: Reports, spool: Spool) -> None:
    path = spool.store.audio_path(DISCARDED)
    write_wav(path)
    await done(carrier, c.SaveRecording(DISCARDED), c.DiscardAudio(DISCARDED))
    assert not path.exists()
    (event,) = reports
    assert isinstance(event, e.RecordingFinished)
    assert event.recording == DISCARDED


async def test_what_is_discarded_is_not_measured_any_more(
    carrier: Carrier, reports: Reports, spool: Spool
) -> None:
    make_unreadable(spool.store.audio_path(CAPTURED))
    await done(carrier, c.FinishRecording(CAPTURED))
    await done(carrier, c.DiscardAudio(DISCARDED))
    assert carrier._timers == {}
    assert [type(event) for event in reports] == [e.RecordingFinished]


async def test_measuring_does_not_keep_audio_from_being_deleted(
    carrier: Carrier, spool: Spool
) -> None:
    """The recording is discarded while it is measured, and the disk refuses both."""
    path = spool.store.audio_path(DISCARDED)
    path.mkdir(parents=True)
    await done(carrier, c.DiscardAudio(DISCARDED))
    await done(carrier, c.FinishRecording(CAPTURED))
    assert f"discard:{DISCARDED.recording_id}" in carrier._timers


async def test_audio_that_cannot_be_deleted_is_tried_again(
    carrier: Carrier,
    reports: Reports,
    spool: Spool,
    logged: list[MutableMapping[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call settles meanwhile; a restart would find the recording by its marker."""
    monkeypatch.setattr(carriers, "RETRY_S", (0.0, 0.0))
    monkeypatch.setattr(carriers, "DISCARD_AGAIN_S", 0.001)
    path = spool.store.audio_path(DISCARDED)
    path.mkdir(parents=True)
    (path / "in the way").touch()
    marker = spool.store.directory / "open" / f"20260301-{DISCARDED.recording_id}"
    await done(carrier, c.SaveRecording(DISCARDED), c.DiscardAudio(DISCARDED))
    event = reports[0]
    assert isinstance(event, e.RecordingFinished)
    assert event.recording == DISCARDED
    await until(lambda: len(logged) > 4)
    assert {(entry["event"], entry["log_level"]) for entry in logged} == {
        ("audio_not_discarded", "error")
    }
    assert (path / "in the way").exists()
    assert await asyncio.to_thread(marker.exists)
    (path / "in the way").unlink()
    path.rmdir()
    await until(lambda: not marker.exists())
    await done(carrier)
    assert (carrier._timers, carrier._undeleted) == ({}, {})
