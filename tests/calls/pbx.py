"""What the scenarios know of a PBX: what it reports, in words of no PBX, and what is done to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bed.far import FarEnd


class What(StrEnum):
    """What a PBX reports of a leg, each at the moment when it is so."""

    CREATED = "created"
    GONE = "gone"
    JOINED = "joined"
    """It is in a conversation; `detail` is which."""
    LEFT = "left"
    STARTED = "started"
    """Its recording runs."""
    STOPPED = "stopped"
    PAUSED = "paused"
    RESUMED = "resumed"
    HELD = "held"
    """This party has put the other one on hold."""
    UNHELD = "unheld"
    MUSIC = "music"
    """This party begins to hear music on hold."""
    MUSIC_OVER = "music_over"
    PARKED = "parked"
    """`detail` is where it can be picked up."""
    DIGIT = "digit"
    """`detail` is the key, released."""
    VOICEMAIL = "voicemail"
    """It comes to a voicemail box."""
    OFFERED = "offered"
    """`detail` is the report of the script."""
    WENT_ON = "went_on"
    """The script that offered it does something else than wait for the decision."""
    UNANSWERED = "unanswered"
    ANNOUNCING = "announcing"
    """The announcement begins."""
    ASKING = "asking"
    """The announcement that can be answered by a key begins."""
    CONSENT = "consent"
    """`detail` is the report of the script."""
    WHISPERING = "whispering"
    KEY = "key"
    """The script of an in-call key begins."""
    KEY_OVER = "key_over"
    STOPPED_BY_SCRIPT = "stopped_by_script"
    """The script has stopped the recording, as nobody answered; `detail` is the key."""
    PROFILE = "profile"
    """A profile's code is asked about; `detail` is the code."""
    PROFILE_ANSWER = "profile_answer"
    """What became of it begins to be played."""
    TELLING = "telling"
    """A party begins to be told in mid-call that a recording has started or stopped."""
    TOLD = "told"
    BEAT = "beat"
    """The listener has set the heartbeat; of no leg."""


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that the PBX has reported.

    Attributes:
        leg: The PBX's id of the leg.
        endpoint: Whose leg: the line, or `trunk` for the outside.
        at_ms: When, by the PBX's own clock.
        detail: What `What` says about it.
        number: The party's number, where the leg was created.
        name: The party's name, likewise.
    """

    what: What
    leg: str
    endpoint: str
    at_ms: float
    detail: str = ""
    number: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Words:
    """Patterns of what is said between listener and PBX, to find it in the stream.

    Attributes:
        start: In the command that starts a recording.
        stop: In the command that stops one.
        started: In the event that says that one runs.
        joined: In the event that says that a leg is in a conversation.
    """

    start: bytes
    stop: bytes
    started: bytes
    joined: bytes


@dataclass(frozen=True, slots=True)
class Traits:
    """Where the PBXes differ in fact.

    Attributes:
        words: What is said between listener and PBX.
        played_ms: Tolerance of how long a prompt was played, at its end and between two steps of
            the PBX's script together.
        writes_on_hold: Whether the recording of a leg goes on while its own phone, which then sends
            no packets, has the other party on hold.
        all_digits: Whether a phone that is recorded gets all digits of the other party, as the far
            end takes them.
        digit_ms: How much longer a recording gets by a key that the leg's phone sends beside its
            audio, as the far end does.
        mark_ms: Tolerance of the moment at which a pause takes effect.
        reminder_ms: Tolerance of the time between two reminder tones.
        slice_bytes: Half of a usual event, more or less.
        refused: In texts that no call is made from or to, with or without us: as a number, the PBX
            itself or the phone that it calls with it refuses them.
        misread: In texts that the PBX does not take as they were dialled.
        expansion: How it shows the sign of a variable that a caller sends.
        unwritable: Why a recording fails that the PBX cannot write.
        stereo_files: What the files of a recording with two channels end in while it runs.
        blind_key: The in-call key of a blind transfer.
        consult_key: The in-call key of a transfer with a consultation.
        park: The extension that parks a call.
        pickups: Extensions by which a colleague takes the call that rings at 301.
    """

    words: Words
    played_ms: float
    writes_on_hold: bool
    all_digits: bool
    digit_ms: float
    mark_ms: float
    slice_bytes: int
    unwritable: str
    stereo_files: tuple[str, ...]
    refused: tuple[str, ...] = ()
    misread: tuple[str, ...] = ()
    expansion: str = "${"
    blind_key: str = "*1"
    consult_key: str = "*2"
    park: str = "700"
    reminder_ms: float = 200
    pickups: tuple[str, ...] = ("8301", "*8")


class House(ABC):
    """A PBX with lines, queues and a trunk, and the far end that is at their other side.

    Use as an async context manager, after `prepare` (`tests.calls.listener.install` does that).

    Attributes:
        pbx: Its name in the configuration, and that of its section.
        traits: Where it differs from others.
    """

    pbx: str
    traits: Traits

    def __init__(self) -> None:
        self._happenings: list[Happening] = []

    @property
    @abstractmethod
    def far(self) -> FarEnd:
        """The far end."""

    @property
    @abstractmethod
    def dir(self) -> Path:
        """A folder that the PBX sees by the same path."""

    @property
    @abstractmethod
    def sounds(self) -> Path:
        """Where the PBX has our prompts, a folder for each language."""

    @property
    @abstractmethod
    def control_port(self) -> int:
        """Where the listener connects to."""

    @property
    @abstractmethod
    def sip_port(self) -> int:
        """Where the trunk connects to."""

    @property
    @abstractmethod
    def spools(self) -> tuple[Path, ...]:
        """Folders where the PBX itself would write a recording without a path."""

    @abstractmethod
    def section(self) -> str:
        """The section of the listener's configuration about this PBX, without its header."""

    # what it reports

    def mark(self) -> int:
        """Return the place to look from, to miss nothing that is reported from now on."""
        self._read()
        return len(self._happenings)

    def since(self, mark: int = 0) -> list[Happening]:
        """Return what was reported since the mark."""
        self._read()
        return self._happenings[mark:]

    @abstractmethod
    def _read(self) -> None:
        """Add what has come since the last time."""

    @abstractmethod
    def messages_taken(self) -> int:
        """How many voicemail boxes have begun to record a message so far."""

    @abstractmethod
    def log_tail(self) -> str:
        """Return the end of its log, for a failure message."""

    # what is done to it

    @abstractmethod
    def prepare(self) -> None:
        """Write its configuration; nothing runs yet."""

    @abstractmethod
    async def start(self) -> None:
        """Start it and the far end."""

    @abstractmethod
    async def stop(self) -> None:
        """Stop both and remove all folders."""

    @abstractmethod
    async def quiet(self) -> None:
        """Hang everybody up, and return when no leg is left on either side."""

    @abstractmethod
    def kill(self) -> None:
        """End the PBX at once (SIGKILL)."""

    @abstractmethod
    async def restart(self) -> None:
        """End the PBX as its administrator does, if it runs, and start it again."""

    @abstractmethod
    async def set_heartbeat(self, seconds: int) -> None:
        """Say when the listener has last been alive (epoch seconds)."""

    @abstractmethod
    def behind_dialplan(self, queue: str, line: str) -> AbstractAsyncContextManager[None]:
        """Have that queue ring that line alone, through the dialplan."""

    @abstractmethod
    def one_clock(self) -> AbstractAsyncContextManager[None]:
        """Have each leg's RTP stamped by one clock in calls that begin now.

        A far end drops digits whose timestamp is behind: see "On FreeSWITCH" in limits.md.
        """

    @abstractmethod
    async def take_anything(self, extensions: str, line: str) -> None:
        """Let callers from outside dial whatever begins so; that line rings for it."""

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; after an error, with the PBX's log."""
        if isinstance(error, Exception):
            error.add_note(self.log_tail())
        await self.stop()
