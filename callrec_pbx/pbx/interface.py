"""What the recorder needs of a PBX, whichever it is."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from callrec_pbx.domain.commands import (
    AnswerKey,
    AnswerOffer,
    HangUpCall,
    SwitchProfile,
    TellParties,
)
from callrec_pbx.domain.events import Event, LegSeen
from callrec_pbx.domain.facts import RecordingFacts

OnEvents = Callable[[list[Event]], None]
"""Called with each chunk of events, in the order in which the PBX sent them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a PBX has at one moment: its legs, and since when it runs.

    Attributes:
        partial: A leg could not be read and is left out.
    """

    at: datetime
    legs: tuple[LegSeen, ...]
    pbx_started_at: datetime | None
    partial: bool = False


class Pbx(Protocol):
    """One connection to one PBX. Every method but `close` raises `PbxError` on failure."""

    async def connect(self) -> None:
        """Connect and log in; events flow from then on."""

    async def wait_lost(self) -> None:
        """Return when the connection is gone."""

    def close(self) -> None:
        """Drop the connection."""

    def now(self) -> datetime:
        """The time by the PBX's clock, which its events go by; as far as it is known, never raises.

        That clock goes on when the connection is gone.
        """

    async def beat(self) -> None:
        """Tell the PBX's call flow that somebody listens, and see that the PBX answers."""

    async def look(self, recordings: dict[str, str]) -> Seen:
        """Take a snapshot. `recordings`: our ids by the path that the PBX writes to."""

    async def answer_offer(self, command: AnswerOffer) -> None:
        """Hand the decision to the waiting call flow."""

    async def answer_key(self, command: AnswerKey) -> None:
        """Hand the result to the waiting key."""

    async def answer_profile(self, command: SwitchProfile, prompt: str) -> None:
        """Play to the phone that has dialled a code what came of it."""

    async def tell(self, command: TellParties) -> None:
        """Play a prompt to all parties of a conversation, which goes on meanwhile."""

    async def start(self, recording: RecordingFacts, path: str, reminder_s: int) -> None:
        """Begin to write the leg's audio into that file."""

    async def pause(self, recording: RecordingFacts) -> None:
        """Write nothing more until resumed."""

    async def resume(self, recording: RecordingFacts) -> None:
        """Go on writing."""

    def stop_is_due(self, recording: RecordingFacts) -> None:
        """Hear that `stop` will be called as soon as its sidecar is written; never raises."""

    async def stop(self, recording: RecordingFacts) -> None:
        """Close the file."""

    async def hang_up(self, command: HangUpCall) -> None:
        """End a call after a notice."""
