"""One recording: its table of states, and the facts it gathers on the way.

The state is `recording` only when the PBX has confirmed it. The adapter carries commands for one
leg out one after the other, so a pause may be asked for while the start is still under way.
A pair that the table does not list keeps the state: PBX events come late, twice and out of order.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from callrec_pbx.domain.commands import (
    CheckAudio,
    Command,
    DiscardAudio,
    FinishRecording,
    PauseRecording,
    ResumeRecording,
    SaveRecording,
    StartRecording,
    StopRecording,
)
from callrec_pbx.domain.facts import Decision, PauseFacts, RecordingFacts
from callrec_pbx.domain.words import RecordingState as S

PAUSE_FAILED = "pause_failed"
"""Reason of a recording that was stopped as it could not be paused."""

LATE_MS = 1000
"""Talk before the start that makes a recording count as late (ms)."""


class Input(StrEnum):
    """What can happen to a recording."""

    STARTED = "started"
    START_FAILED = "start_failed"
    PAUSE_WANTED = "pause_wanted"
    PAUSED = "paused"
    PAUSE_FAILED = "pause_failed"
    RESUME_WANTED = "resume_wanted"
    RESUMED = "resumed"
    RESUME_FAILED = "resume_failed"
    STOP_WANTED = "stop_wanted"
    STOP_FAILED = "stop_failed"
    ENDED = "ended"
    DISCARD_WANTED = "discard_wanted"
    AUDIO_MISSING = "audio_missing"
    PBX_DIED = "pbx_died"
    ADOPTED = "adopted"
    STORED = "stored"
    SPOILED = "spoiled"


class Do(StrEnum):
    """What a transition asks for."""

    NOTE_START = "note start"
    SEND_PAUSE = "send pause"
    SEND_RESUME = "send resume"
    SEND_STOP = "send stop"
    CHECK_AUDIO = "check audio"
    OPEN_PAUSE = "open pause"
    CLOSE_PAUSE = "close pause"
    FINISH = "finish"
    DISCARD = "discard"


I = Input  # noqa: E741

TABLE: dict[tuple[S, Input], tuple[S, tuple[Do, ...]]] = {
    (S.STARTING, I.STARTED): (S.RECORDING, (Do.NOTE_START, Do.CHECK_AUDIO)),
    (S.STARTING, I.ADOPTED): (S.RECORDING, (Do.NOTE_START, Do.CHECK_AUDIO)),
    # A start that was not answered may still have happened: see that it is closed.
    (S.STARTING, I.START_FAILED): (S.FAILED, (Do.SEND_STOP,)),
    (S.STARTING, I.PAUSE_WANTED): (S.PAUSING, (Do.SEND_PAUSE,)),
    (S.STARTING, I.STOP_WANTED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.STARTING, I.DISCARD_WANTED): (S.DISCARDING, (Do.SEND_STOP,)),
    (S.STARTING, I.ENDED): (S.CAPTURED, (Do.FINISH,)),
    (S.STARTING, I.PBX_DIED): (S.INTERRUPTED, (Do.FINISH,)),
    (S.STARTING, I.AUDIO_MISSING): (S.FAILED, (Do.SEND_STOP,)),
    (S.RECORDING, I.PAUSE_WANTED): (S.PAUSING, (Do.SEND_PAUSE,)),
    (S.RECORDING, I.PAUSED): (S.PAUSED, (Do.OPEN_PAUSE,)),
    (S.RECORDING, I.STOP_WANTED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.RECORDING, I.DISCARD_WANTED): (S.DISCARDING, (Do.SEND_STOP,)),
    (S.RECORDING, I.ENDED): (S.CAPTURED, (Do.FINISH,)),
    (S.RECORDING, I.PBX_DIED): (S.INTERRUPTED, (Do.FINISH,)),
    (S.RECORDING, I.AUDIO_MISSING): (S.FAILED, (Do.SEND_STOP,)),
    (S.PAUSING, I.STARTED): (S.PAUSING, (Do.NOTE_START,)),
    (S.PAUSING, I.START_FAILED): (S.FAILED, (Do.SEND_STOP,)),
    (S.PAUSING, I.PAUSED): (S.PAUSED, (Do.OPEN_PAUSE,)),
    # A pause that fails must not leave a card number in the file: stop instead.
    (S.PAUSING, I.PAUSE_FAILED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.PAUSING, I.ADOPTED): (S.PAUSING, (Do.SEND_PAUSE,)),
    (S.PAUSING, I.RESUME_WANTED): (S.RESUMING, (Do.SEND_RESUME,)),
    (S.PAUSING, I.STOP_WANTED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.PAUSING, I.DISCARD_WANTED): (S.DISCARDING, (Do.SEND_STOP,)),
    (S.PAUSING, I.ENDED): (S.CAPTURED, (Do.FINISH,)),
    (S.PAUSING, I.PBX_DIED): (S.INTERRUPTED, (Do.FINISH,)),
    (S.PAUSING, I.AUDIO_MISSING): (S.FAILED, (Do.SEND_STOP,)),
    # The PBX may have lost the pause with the link: asking again does no harm.
    (S.PAUSED, I.ADOPTED): (S.PAUSED, (Do.SEND_PAUSE,)),
    (S.PAUSED, I.PAUSE_FAILED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.PAUSED, I.RESUME_WANTED): (S.RESUMING, (Do.SEND_RESUME,)),
    (S.PAUSED, I.RESUMED): (S.RECORDING, (Do.CLOSE_PAUSE,)),
    (S.PAUSED, I.STOP_WANTED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.PAUSED, I.DISCARD_WANTED): (S.DISCARDING, (Do.SEND_STOP,)),
    (S.PAUSED, I.ENDED): (S.CAPTURED, (Do.FINISH,)),
    (S.PAUSED, I.PBX_DIED): (S.INTERRUPTED, (Do.FINISH,)),
    (S.PAUSED, I.AUDIO_MISSING): (S.FAILED, (Do.SEND_STOP,)),
    (S.RESUMING, I.STARTED): (S.RESUMING, (Do.NOTE_START,)),
    (S.RESUMING, I.START_FAILED): (S.FAILED, (Do.SEND_STOP,)),
    (S.RESUMING, I.PAUSED): (S.RESUMING, (Do.OPEN_PAUSE,)),
    (S.RESUMING, I.RESUMED): (S.RECORDING, (Do.CLOSE_PAUSE,)),
    (S.RESUMING, I.PAUSE_FAILED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.RESUMING, I.RESUME_FAILED): (S.PAUSED, ()),
    (S.RESUMING, I.ADOPTED): (S.RESUMING, (Do.SEND_RESUME,)),
    (S.RESUMING, I.PAUSE_WANTED): (S.PAUSING, (Do.SEND_PAUSE,)),
    (S.RESUMING, I.STOP_WANTED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.RESUMING, I.DISCARD_WANTED): (S.DISCARDING, (Do.SEND_STOP,)),
    (S.RESUMING, I.ENDED): (S.CAPTURED, (Do.FINISH,)),
    (S.RESUMING, I.PBX_DIED): (S.INTERRUPTED, (Do.FINISH,)),
    (S.RESUMING, I.AUDIO_MISSING): (S.FAILED, (Do.SEND_STOP,)),
    (S.STOPPING, I.STARTED): (S.STOPPING, (Do.NOTE_START,)),
    (S.STOPPING, I.START_FAILED): (S.FAILED, ()),
    (S.STOPPING, I.STOP_FAILED): (S.CAPTURED, (Do.FINISH,)),
    (S.STOPPING, I.ENDED): (S.CAPTURED, (Do.FINISH,)),
    (S.STOPPING, I.ADOPTED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.STOPPING, I.DISCARD_WANTED): (S.DISCARDING, ()),
    (S.STOPPING, I.PBX_DIED): (S.INTERRUPTED, (Do.FINISH,)),
    (S.DISCARDING, I.STARTED): (S.DISCARDING, (Do.NOTE_START,)),
    (S.DISCARDING, I.START_FAILED): (S.DISCARDED, (Do.DISCARD,)),
    (S.DISCARDING, I.STOP_FAILED): (S.DISCARDED, (Do.DISCARD,)),
    (S.DISCARDING, I.ENDED): (S.DISCARDED, (Do.DISCARD,)),
    (S.DISCARDING, I.ADOPTED): (S.DISCARDING, (Do.SEND_STOP,)),
    (S.DISCARDING, I.PBX_DIED): (S.DISCARDED, (Do.DISCARD,)),
    # Failed for want of audio while the PBX still had it open: keep what there is.
    (S.FAILED, I.ENDED): (S.FAILED, (Do.FINISH,)),
    (S.FAILED, I.STOP_FAILED): (S.FAILED, (Do.FINISH,)),
    (S.FAILED, I.PBX_DIED): (S.FAILED, (Do.FINISH,)),
    (S.FAILED, I.DISCARD_WANTED): (S.DISCARDED, (Do.DISCARD,)),
    # A stop that was not answered may not have happened: the PBX names that file when we look.
    (S.FAILED, I.ADOPTED): (S.FAILED, (Do.SEND_STOP,)),
    (S.CAPTURED, I.ADOPTED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.STORED, I.ADOPTED): (S.STOPPING, (Do.SEND_STOP,)),
    (S.DISCARDED, I.ADOPTED): (S.DISCARDING, (Do.SEND_STOP,)),
    # The customer objects to the whole call: what an earlier leg captured goes too.
    (S.CAPTURED, I.DISCARD_WANTED): (S.DISCARDED, (Do.DISCARD,)),
    (S.INTERRUPTED, I.DISCARD_WANTED): (S.DISCARDED, (Do.DISCARD,)),
    (S.STORED, I.DISCARD_WANTED): (S.DISCARDED, (Do.DISCARD,)),
    (S.CAPTURED, I.STORED): (S.STORED, ()),
    (S.CAPTURED, I.SPOILED): (S.FAILED, ()),
    (S.INTERRUPTED, I.SPOILED): (S.FAILED, ()),
}

OVER = frozenset({S.CAPTURED, S.STORED, S.FAILED, S.INTERRUPTED, S.DISCARDED, S.PRUNED})
"""States in which the PBX writes nothing any more (or has been told to stop)."""

PAUSED_STATES = frozenset({S.PAUSING, S.PAUSED})


@dataclass(slots=True)
class Recording:
    """One audio file in the making."""

    recording_id: str
    call_id: str
    leg: str
    channel: str
    owner: str
    decision: Decision
    created_at: datetime
    bridged_at: datetime
    line: str = ""
    state: S = S.STARTING
    started_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str = ""
    refused: str = ""
    """Why the PBX has not begun it, which may be known after the end of its leg only."""
    pauses: list[PauseFacts] = field(default_factory=list)
    measured: RecordingFacts | None = None
    closing: bool = False
    """A stop has been asked for, and the PBX has not answered yet."""
    unstopped: bool = False
    """A stop was refused or not answered, so that the PBX may still be writing."""
    doubtful: bool = False
    """Found on the PBX after it was over, and stopped again."""

    @property
    def over(self) -> bool:
        """Whether the PBX has stopped writing."""
        return self.state in OVER

    @property
    def late_ms(self) -> int:
        """Talk before the start (ms), 0 when within the allowance."""
        if self.started_at is None:
            return 0
        late = round((self.started_at - self.bridged_at).total_seconds() * 1000)
        return late if late > LATE_MS else 0

    def paused_s(self, at: datetime) -> float:
        """For how long (s) it has been paused."""
        return (self._offset(at) - self.pauses[-1].from_ms) / 1000 if self.pauses else 0.0

    def start(self) -> list[Command]:
        """Ask for it: the sidecar first, then the PBX."""
        facts = self.facts()
        return [SaveRecording(facts), StartRecording(facts, self.decision.reminder_s)]

    def finished(self, measured: RecordingFacts) -> list[Command]:
        """Take over what the follow-up work found, unless the recording has moved on since."""
        input_ = Input.SPOILED if measured.state is S.FAILED else Input.STORED
        entry = TABLE.get((self.state, input_))
        if entry is None and measured.state is not self.state:
            return []
        if entry is not None:
            self.state = entry[0]
        self.measured = measured
        self.reason = (input_ is Input.SPOILED and self.refused) or measured.reason
        return [] if self.state is S.DISCARDED else [SaveRecording(self.facts())]

    def take(self, input_: Input, at: datetime, reason: str = "") -> list[Command]:
        """Move by the table and say what is to be done; an unlisted pair does nothing."""
        if input_ in (Input.ENDED, Input.PBX_DIED, Input.STOP_FAILED):
            self.closing = False
            self.unstopped = input_ is Input.STOP_FAILED
        entry = TABLE.get((self.state, input_))
        if entry is None:
            return []
        before = self.state
        self.state, todo = entry
        self.doubtful = self.doubtful or (before in OVER and input_ is Input.ADOPTED)
        if before in OVER and not self.over:
            self.ended_at = None
        if reason:
            self.reason = reason
        if self.over and self.ended_at is None:
            self.ended_at = at
            self._close_pause(at)
        commands: list[Command] = []
        for do in todo:
            commands += self._carry_out(do, at)
        # The state is written before a command goes out, so that a restart knows what was meant.
        return [SaveRecording(self.facts()), *commands]

    def _carry_out(self, do: Do, at: datetime) -> list[Command]:
        if do is Do.NOTE_START:
            self.started_at = self.started_at or at
        elif do is Do.OPEN_PAUSE:
            if not self.pauses or self.pauses[-1].to_ms is not None:
                self.pauses.append(PauseFacts(self._offset(at)))
        elif do is Do.CLOSE_PAUSE:
            self._close_pause(at)
        elif do is Do.SEND_PAUSE:
            return [PauseRecording(self.facts())]
        elif do is Do.SEND_RESUME:
            return [ResumeRecording(self.facts())]
        elif do is Do.SEND_STOP:
            self.closing, self.measured = True, None
            return [StopRecording(self.facts())]
        elif do is Do.CHECK_AUDIO:
            return [CheckAudio(self.facts())]
        elif do is Do.FINISH:
            self.measured = None
            return [FinishRecording(self.facts())]
        else:
            self.measured = None
            return [DiscardAudio(self.facts())]
        return []

    def _close_pause(self, at: datetime) -> None:
        if self.pauses and self.pauses[-1].to_ms is None:
            opened = self.pauses[-1].from_ms
            self.pauses[-1] = PauseFacts(opened, max(opened, self._offset(at)))

    def _offset(self, at: datetime) -> int:
        start = self.started_at or self.created_at
        return max(0, round((at - start) / timedelta(milliseconds=1)))

    def facts(self) -> RecordingFacts:
        """What is known now."""
        decision = self.decision
        measured = self.measured if self.state is not S.DISCARDED else None
        return RecordingFacts(
            recording_id=self.recording_id,
            call_id=self.call_id,
            leg=self.leg,
            channel=self.channel,
            owner=self.owner,
            state=self.state,
            created_at=self.created_at,
            started_at=self.started_at,
            ended_at=self.ended_at,
            late_ms=self.late_ms,
            reason=self.reason,
            rule=decision.rule,
            policy_version=decision.policy_version,
            mode=decision.mode,
            consent=decision.consent,
            on_failure=decision.on_failure,
            notice=decision.notice,
            resume_after_s=decision.resume_after_s,
            language=decision.language,
            retention=decision.retention,
            format=decision.format,
            keep_wav=decision.keep_wav,
            channels=measured.channels if measured else decision.channels,
            line=self.line,
            tenant=decision.tenant,
            site=decision.site,
            department=decision.department,
            explanation=decision.explanation,
            pauses=tuple(self.pauses),
            delete_after=measured.delete_after if measured else None,
            audio_ms=measured.audio_ms if measured else None,
            size=measured.size if measured else None,
            sha256=measured.sha256 if measured else "",
            repaired=measured.repaired if measured else False,
            to_do=measured.to_do if measured else (),
        )
