"""A PBX that does what a test says, and rows that are only kept."""

import asyncio
import wave
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callrec_pbx.domain import events as e
from callrec_pbx.domain.commands import (
    AnswerKey,
    AnswerOffer,
    HangUpCall,
    SwitchProfile,
    TellParties,
)
from callrec_pbx.domain.facts import CallFacts, Decision, RecordingFacts
from callrec_pbx.domain.recording import Recording
from callrec_pbx.domain.words import Outcome, RecordingState
from callrec_pbx.pbx.interface import Seen
from callrec_pbx.storage.serial import Tombstone

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
NOW = START + timedelta(minutes=5)
HANG_S = 5.0
CALL_ID = f"{1:026d}"
CALL = CallFacts(CALL_ID, ("1.1",), START)


def recording(
    number: int = 2, leg: str = "301", state: RecordingState = RecordingState.STARTING
) -> RecordingFacts:
    """The facts of a recording in that state."""
    decision = Decision(Outcome.RECORDED, "rule", "sales", "7", retention="90 days")
    made = Recording(
        recording_id=f"{number:026d}",
        call_id=CALL_ID,
        leg=leg,
        channel=f"PJSIP/{leg}-1",
        owner=leg,
        decision=decision,
        created_at=START,
        bridged_at=START,
        state=state,
        started_at=START,
        ended_at=START + timedelta(seconds=9),
    )
    return made.facts()


def write_wav(path: Path, ms: int = 1000) -> None:
    """A file as a PBX writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(b"\1\0" * (8 * ms))


async def until(done: Callable[[], bool]) -> None:
    """Wait for something to be so, with a deadline against hanging only."""
    async with asyncio.timeout(HANG_S):
        while not done():  # noqa: ASYNC110 - threads make it so, and have no event
            await asyncio.sleep(0.001)


class Rows:
    """Keeps what would be written into the catalogue."""

    def __init__(self) -> None:
        self.calls: list[CallFacts] = []
        self.recordings: list[RecordingFacts] = []

    backlog = 0

    def save_call(
        self,
        call: CallFacts,
        tombstone: Tombstone | None = None,  # noqa: ARG002
    ) -> None:
        """Keep it."""
        self.calls.append(call)

    def save_recording(
        self,
        recording: RecordingFacts,
        tombstone: Tombstone | None = None,  # noqa: ARG002
    ) -> None:
        """Keep it."""
        self.recordings.append(recording)


class FakePbx:
    """Stands for a PBX: a real one refuses and falls silent when it wants, not when a test does.

    Attributes:
        done: What was asked, as `start 301`.
        due: The legs of which it was told that a stop will come.
        raises: What to raise, by the name of the method.
        gates: To wait for before answering, by the name of the method.
        on_start: Called with the path that is to be written.
    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self.due: list[str] = []
        self.raises: dict[str, Exception] = {}
        self.gates: dict[str, asyncio.Event] = {}
        self.on_start: Callable[[str], None] = lambda _: None
        self.legs: tuple[e.LegSeen, ...] = ()
        self.looked: dict[str, str] = {}
        self.closed = False

    async def _do(self, what: str, leg: str) -> None:
        self.done.append(f"{what} {leg}")
        gate = self.gates.get(what)
        if gate is not None:
            await gate.wait()
        error = self.raises.get(what)
        if error is not None:
            raise error

    async def connect(self) -> None:
        """Nothing to do."""

    async def wait_lost(self) -> None:
        """Never."""
        await asyncio.Event().wait()

    def close(self) -> None:
        """Note that it was closed."""
        self.closed = True

    def now(self) -> datetime:
        """A time of its own, far from the machine's."""
        return NOW

    async def beat(self) -> None:
        """Nothing to do."""
        await self._do("beat", "")

    async def look(self, recordings: dict[str, str]) -> Seen:
        """What the test has put into `legs`."""
        await self._do("look", "")
        self.looked = recordings
        return Seen(NOW, self.legs, START - timedelta(days=1))

    async def answer_offer(self, command: AnswerOffer) -> None:
        """Note it."""
        await self._do("offer", command.leg)

    async def answer_key(self, command: AnswerKey) -> None:
        """Note it."""
        await self._do(f"key {command.result}", command.leg)

    async def answer_profile(self, command: SwitchProfile, prompt: str) -> None:
        """Note it."""
        await self._do(f"profile {prompt}", command.leg)

    async def tell(self, command: TellParties) -> None:
        """Note it."""
        await self._do(f"tell {command.prompt}", command.leg)

    def stop_is_due(self, recording: RecordingFacts) -> None:
        """Note it, apart from what is asked."""
        self.due.append(recording.leg)

    async def start(self, recording: RecordingFacts, path: str, reminder_s: int) -> None:
        """Note it."""
        self.on_start(path)
        await self._do(f"start B({reminder_s})" if reminder_s else "start", recording.leg)

    async def pause(self, recording: RecordingFacts) -> None:
        """Note it."""
        await self._do("pause", recording.leg)

    async def resume(self, recording: RecordingFacts) -> None:
        """Note it."""
        await self._do("resume", recording.leg)

    async def stop(self, recording: RecordingFacts) -> None:
        """Note it."""
        await self._do("stop", recording.leg)

    async def hang_up(self, command: HangUpCall) -> None:
        """Note it."""
        await self._do("hang up", ",".join(command.channels))
