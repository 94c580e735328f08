"""Carries the domain's commands out and reports what came of them as events.

Commands about one leg run one after the other: starting and stopping a recorder on one channel at
the same moment has crashed Asterisk (asterisk/asterisk #1673), and the sidecar must be on the disk
before the recorder is started.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import structlog

from callrec_pbx import metrics
from callrec_pbx.domain import commands as c
from callrec_pbx.domain import events
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.people import Profile
from callrec_pbx.domain.words import RecordingState
from callrec_pbx.log import about
from callrec_pbx.pbx.errors import (
    ActionFailedError,
    ActionTimeoutError,
    LinkDownError,
    PbxError,
)
from callrec_pbx.pbx.interface import Pbx
from callrec_pbx.recorder.spool import Spool
from callrec_pbx.storage.finish import WAIT_S
from callrec_pbx.storage.store import SpoolError

log = structlog.get_logger(__name__)

Report = Callable[[events.Event], None]

SwitchProfile = Callable[[str, str], Profile | None]
"""Makes the profile with that code the active one of that line's user, and writes it down.

Called with line and code, in a thread. It returns the profile, or None where the user has none
with that code; what it raises means that nothing was written.
"""

PROFILE_RECORDED = "profile_recorded"
PROFILE_NOT_RECORDED = "profile_not_recorded"
PROFILE_UNKNOWN = "profile_unknown"
PROFILE_FAILED = "profile_failed"

GONE = ("no such channel", "channel not found", "channel does not exist")
"""How PBXes say that the leg has hung up meanwhile."""

RETRY_S = (1.0, 5.0, 30.0)
"""Between attempts to read, or to delete, a file that the disk does not give."""

DISCARD_AGAIN_S = 60.0
"""Between further attempts to delete; these do not end, as somebody objected to that audio."""


Answer = c.AnswerOffer | c.AnswerKey | c.TellParties | c.HangUpCall


class Carrier:
    """Carries commands out.

    Args:
        spool: Where facts and audio lie.
        report: Takes what came of a command, as an event.
        call_of: The call facts that go into a recording's sidecar.
        audio_patience_s: How long a started recording may be without a file.
        switch_profile: Carries out what a user has dialled; None: no profile can be switched.

    Attributes:
        now: Tells the time by the clock of the PBX that was linked last; by the machine's before.
            What ends a recording must not be by another clock than what has begun it.
    """

    def __init__(
        self,
        spool: Spool,
        report: Report,
        call_of: Callable[[str], CallFacts | None],
        audio_patience_s: float,
        switch_profile: SwitchProfile | None = None,
    ) -> None:
        self._switch_profile = switch_profile
        self._spool = spool
        self._report = report
        self._call_of = call_of
        self._patience_s = audio_patience_s
        self._pbx: Pbx | None = None
        self.now: Callable[[], datetime] = partial(datetime.now, UTC)
        self._queues: dict[str, deque[c.Command]] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._drains: set[asyncio.Future[None]] = set()
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._unstartable: dict[str, SpoolError] = {}
        self._undeleted: dict[str, int] = {}
        self._handlers: dict[type, Callable[..., Awaitable[None]]] = {
            c.SaveRecording: self._save_recording,
            c.StartRecording: self._start,
            c.PauseRecording: self._pause,
            c.ResumeRecording: self._resume,
            c.StopRecording: self._stop,
            c.DiscardAudio: self._discard,
        }

    def use(self, pbx: Pbx | None) -> None:
        """Speak to this PBX from now on; None while there is no link."""
        self._pbx = pbx
        if pbx is not None:
            self.now = pbx.now

    def carry_out(self, commands: list[c.Command]) -> None:
        """Begin to carry out; returns at once."""
        for command in commands:
            if isinstance(command, c.SaveCall):
                self._spool.save_call(command.call)
            elif isinstance(command, c.SetTimer):
                self._later(command.key, command.after_s, partial(self._fire, command.key))
            elif isinstance(command, c.CancelTimer):
                self._cancel_timer(command.key)
            elif isinstance(command, Answer):
                # A caller or an agent waits for these: they overtake what concerns the disk.
                self._spawn(self._answer(command))
            elif isinstance(command, c.SwitchProfile):
                self._spawn(self._switch(command))
            elif isinstance(command, c.CheckAudio):
                self._check_audio_later(command.recording)
            elif isinstance(command, c.FinishRecording):
                self._spawn(self._finish(command.recording))
            else:
                if isinstance(command, c.StopRecording) and self._pbx is not None:
                    self._pbx.stop_is_due(command.recording)
                self._enqueue(command)

    def _enqueue(self, command: c.Command) -> None:
        leg = command.recording.leg  # type: ignore[union-attr]
        queue = self._queues.get(leg)
        if queue is None:
            self._queues[leg] = deque([command])
            task = self._spawn(self._drain(leg))
            self._drains.add(task)
            task.add_done_callback(self._drains.discard)
        else:
            queue.append(command)

    async def _drain(self, leg: str) -> None:
        queue = self._queues[leg]
        while queue:
            command = queue.popleft()
            if queue and _overtaken(command, queue[0]):
                continue
            recording = command.recording  # type: ignore[union-attr]
            try:
                with about(recording.call_id, recording.recording_id):
                    await self._handlers[type(command)](command)
            except Exception:
                log.exception(
                    "command_broke",
                    command=type(command).__name__,
                    leg=leg,
                    call=recording.call_id,
                    recording=recording.recording_id,
                )
                metrics.DEFECTS.labels("command").inc()
        del self._queues[leg]

    def _spawn(self, work: Awaitable[None]) -> asyncio.Future[None]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Future[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("command_broke", exc_info=task.exception())
            metrics.DEFECTS.labels("command").inc()

    async def drained(self) -> None:
        """Wait until no command about a leg is under way; with no link they end at once."""
        while self._drains:
            await asyncio.wait(self._drains)

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    # timers

    def _later(self, key: str, after_s: float, act: Callable[[], object]) -> None:
        def run() -> None:
            self._timers.pop(key, None)
            act()

        self._cancel_timer(key)
        self._timers[key] = asyncio.get_running_loop().call_later(after_s, run)

    def _cancel_timer(self, key: str) -> None:
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def _fire(self, key: str) -> None:
        self._report(events.TimerFired(self.now(), key))

    def cancel_timers(self) -> None:
        """Forget all timers, at the end of the process."""
        for key in list(self._timers):
            self._cancel_timer(key)

    # what goes to the PBX

    def _link(self) -> Pbx:
        if self._pbx is None:
            raise LinkDownError("the PBX is not connected")
        return self._pbx

    async def _answer(self, command: Answer) -> None:
        try:
            if isinstance(command, c.AnswerOffer):
                await self._link().answer_offer(command)
            elif isinstance(command, c.AnswerKey):
                await self._link().answer_key(command)
            elif isinstance(command, c.TellParties):
                await self._link().tell(command)
            else:
                await self._link().hang_up(command)
        except PbxError as error:
            # The PBX goes on by itself after half a second, and says so.
            log.warning(
                "answer_not_delivered",
                leg=getattr(command, "leg", ""),
                command=type(command).__name__,
                reason=str(error),
            )

    async def _switch(self, command: c.SwitchProfile) -> None:
        """Confirm a profile only when it is written, and counts."""
        prompt = await self._switched(command)
        try:
            await self._link().answer_profile(command, prompt)
        except PbxError as error:
            log.warning(
                "answer_not_delivered",
                leg=command.leg,
                command="SwitchProfile",
                reason=str(error),
            )

    async def _switched(self, command: c.SwitchProfile) -> str:
        """The prompt that says what came of it."""
        if self._switch_profile is None:
            return PROFILE_FAILED
        try:
            profile = await asyncio.to_thread(self._switch_profile, command.line, command.code)
        except Exception:
            log.exception("profile_not_switched", leg=command.leg)
            return PROFILE_FAILED
        if profile is None:
            return PROFILE_UNKNOWN
        self._report(events.ProfileSwitched(self.now(), profile))
        return PROFILE_RECORDED if profile.record_direct else PROFILE_NOT_RECORDED

    async def _save_recording(self, command: c.SaveRecording) -> None:
        recording = command.recording
        call = self._call_of(recording.call_id)
        if call is None:
            log.error(
                "recording_without_call",
                recording=recording.recording_id,
                call=recording.call_id,
            )
            return
        starting = recording.state is RecordingState.STARTING
        try:
            await self._spool.save_recording(recording, call)
        except SpoolError as error:
            log.exception(
                "sidecar_not_written", recording=recording.recording_id, reason=error.reason
            )
            metrics.SIDECAR_ERRORS.inc()
            if starting:
                self._unstartable[recording.recording_id] = error

    async def _start(self, command: c.StartRecording) -> None:
        recording = command.recording
        spoiled = self._unstartable.pop(recording.recording_id, None)
        if spoiled is not None:
            self._failed(recording, "start", spoiled.reason, spoiled.detail)
            return
        path = self._spool.store.pbx_path(recording)
        await self._steer(
            recording, "start", lambda pbx: pbx.start(recording, path, command.reminder_s)
        )

    async def _pause(self, command: c.PauseRecording) -> None:
        await self._steer(command.recording, "pause", lambda pbx: pbx.pause(command.recording))

    async def _resume(self, command: c.ResumeRecording) -> None:
        await self._steer(command.recording, "resume", lambda pbx: pbx.resume(command.recording))

    async def _stop(self, command: c.StopRecording) -> None:
        await self._steer(command.recording, "stop", lambda pbx: pbx.stop(command.recording))

    async def _steer(
        self, recording: RecordingFacts, what: str, act: Callable[[Pbx], Awaitable[None]]
    ) -> None:
        pbx = self._pbx
        try:
            await act(self._link())
        except (LinkDownError, ActionTimeoutError) as error:
            # Whether it was done is not known: what the PBX shows when we look again decides.
            log.warning("command_unanswered", **_about(recording, what), detail=str(error))
            if pbx is not None:
                pbx.close()
        except PbxError as error:
            text = str(error)
            gone = isinstance(error, ActionFailedError) and text.lower().startswith(GONE)
            self._failed(recording, what, "leg_gone" if gone else "pbx_refused", text)

    def _failed(self, recording: RecordingFacts, what: str, reason: str, detail: str) -> None:
        log.warning("command_failed", **_about(recording, what), reason=reason, detail=detail)
        metrics.PBX_COMMANDS_FAILED.labels(what, metrics.bounded("command", reason)).inc()
        self._report(events.CommandFailed(self.now(), recording.recording_id, what, reason, detail))

    # what concerns the audio

    def _check_audio_later(self, recording: RecordingFacts) -> None:
        key = f"audio:{recording.recording_id}"
        self._later(key, self._patience_s, lambda: self._spawn(self._check_audio(recording)))

    async def _check_audio(self, recording: RecordingFacts) -> None:
        if not await self._spool.has_audio(recording):
            self._report(events.AudioMissing(self.now(), recording.recording_id, "no_audio"))

    def _unplan(self, recording: RecordingFacts, *plans: str) -> None:
        for plan in plans:
            self._cancel_timer(f"{plan}:{recording.recording_id}")

    async def _finish(self, recording: RecordingFacts, failures: int = 0) -> None:
        """Measure the file; one that can never be read has failed, so that its call comes to an
        end. Until then its sidecar stays open for the next start."""
        # Not `discard`: the audio may have been discarded while it was being measured.
        self._unplan(recording, "audio", "finish")
        wait_s = 0.0 if recording.state is RecordingState.INTERRUPTED else WAIT_S
        try:
            measured = await self._spool.finish(recording, wait_s)
        except OSError as error:
            log.exception(
                "audio_not_readable",
                recording=recording.recording_id,
                call=recording.call_id,
                reason=str(error),
            )
            if failures < len(RETRY_S):
                self._later(
                    f"finish:{recording.recording_id}",
                    RETRY_S[failures],
                    lambda: self._spawn(self._finish(recording, failures + 1)),
                )
                return
            failed_before = recording.state is RecordingState.FAILED and recording.reason
            measured = replace(
                recording,
                state=RecordingState.FAILED,
                reason=failed_before or "audio_not_readable",
            )
        # The domain has it saved, unless the recording was discarded while it was measured.
        self._report(events.RecordingFinished(self.now(), measured))

    async def _discard(self, command: c.DiscardAudio) -> None:
        """Delete the audio, again and again until it is gone; the call does not wait for that."""
        recording = command.recording
        self._unplan(recording, "audio", "finish", "discard")
        failures = self._undeleted.pop(recording.recording_id, 0)
        try:
            await self._spool.discard(recording)
        except SpoolError as error:
            again_in_s = RETRY_S[failures] if failures < len(RETRY_S) else DISCARD_AGAIN_S
            log.exception(
                "audio_not_discarded",
                recording=recording.recording_id,
                reason=error.reason,
                again_in_s=again_in_s,
            )
            self._undeleted[recording.recording_id] = failures + 1
            self._later(
                f"discard:{recording.recording_id}", again_in_s, partial(self._enqueue, command)
            )
        self._report(events.RecordingFinished(self.now(), recording))


def _overtaken(command: c.Command, following: c.Command) -> bool:
    """Whether newer facts of the same recording are about to be written anyway."""
    return (
        isinstance(command, c.SaveRecording)
        and isinstance(following, c.SaveRecording)
        and command.recording.recording_id == following.recording.recording_id
    )


def _about(recording: RecordingFacts, what: str) -> dict[str, str]:
    return {
        "recording": recording.recording_id,
        "call": recording.call_id,
        "leg": recording.leg,
        "command": what,
    }
