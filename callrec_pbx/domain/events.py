"""What the PBX reports, in words of our own. Past tense; `at` is aware UTC."""

from dataclasses import dataclass
from datetime import datetime

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.people import Profile
from callrec_pbx.domain.words import Consent, ConsentMode, Direction, Key, LegKind


@dataclass(frozen=True, slots=True)
class Who:
    """A channel as the PBX describes it in every event.

    Attributes:
        leg: The PBX's id of the channel.
        channel: Its name, by which commands address it.
        ref: The PBX's id of the call.
        line: The endpoint, for a leg of kind `line`.
        trunk: The endpoint, for a leg of kind `outside`.
    """

    leg: str
    channel: str
    ref: str
    kind: LegKind
    line: str = ""
    number: str = ""
    name: str = ""
    trunk: str = ""


@dataclass(frozen=True, slots=True)
class LegCreated:
    """A channel came into being."""

    at: datetime
    who: Who


@dataclass(frozen=True, slots=True)
class CallOffered:
    """The PBX asks what to do with a call, and waits a moment for the answer.

    Attributes:
        line: None when it is not known yet who will answer (a queue).
        outer_consent: What the party has answered in the administrator's own menu: `accepted`,
            `declined`, or None where it was not asked there.
    """

    at: datetime
    who: Who
    direction: Direction
    line: str | None
    ddi: str
    queue: str
    dialled: str
    outer_consent: Consent | None = None


@dataclass(frozen=True, slots=True)
class OfferUnanswered:
    """The PBX stopped waiting for the decision and went on without it."""

    at: datetime
    leg: str


@dataclass(frozen=True, slots=True)
class ConsentReported:
    """A party was asked. `played_ms` is what the PBX played at the most of the prompt."""

    at: datetime
    leg: str
    mode: ConsentMode
    prompt: str
    language: str
    key: str
    played_from: datetime
    played_to: datetime
    completed: bool


@dataclass(frozen=True, slots=True)
class WhisperPlayed:
    """The agent heard the whisper."""

    at: datetime
    leg: str


@dataclass(frozen=True, slots=True)
class LegBridged:
    """A leg entered a bridge. `holding`: one where nobody talks (parking)."""

    at: datetime
    who: Who
    bridge: str
    holding: bool


@dataclass(frozen=True, slots=True)
class LegUnbridged:
    """A leg left a bridge."""

    at: datetime
    leg: str
    bridge: str


@dataclass(frozen=True, slots=True)
class CallTransferred:
    """A leg handed its call on; `kind` is `blind` or `attended`."""

    at: datetime
    leg: str
    kind: str
    target: str


@dataclass(frozen=True, slots=True)
class KeyPressed:
    """An agent used an in-call key."""

    at: datetime
    leg: str
    key: Key


@dataclass(frozen=True, slots=True)
class VoicemailReached:
    """A caller is about to leave a message; `line` is None for the line that was offered."""

    at: datetime
    who: Who
    line: str | None = None


@dataclass(frozen=True, slots=True)
class ProfileDialled:
    """Somebody dialled the code of a profile, and waits a moment for the answer."""

    at: datetime
    who: Who
    code: str


@dataclass(frozen=True, slots=True)
class ProfileSwitched:
    """A profile is the active one of its user from now on, and that is written."""

    at: datetime
    profile: Profile


@dataclass(frozen=True, slots=True)
class RecordingStarted:
    """The PBX confirmed that it records the leg."""

    at: datetime
    leg: str


@dataclass(frozen=True, slots=True)
class RecordingPaused:
    """The PBX confirmed that nothing of the leg is written any more."""

    at: datetime
    leg: str


@dataclass(frozen=True, slots=True)
class RecordingResumed:
    """The PBX confirmed that the leg is written again."""

    at: datetime
    leg: str


@dataclass(frozen=True, slots=True)
class RecordingStopped:
    """The PBX closed the leg's file.

    Attributes:
        offline_pause: It did so by itself, for a pause key that nobody answered.
        offline_discard: It did so by itself, for a discard key that nobody answered.
    """

    at: datetime
    leg: str
    offline_pause: bool = False
    offline_discard: bool = False


@dataclass(frozen=True, slots=True)
class CommandFailed:
    """A command about a recording was refused or not answered.

    Attributes:
        command: `start`, `pause`, `resume` or `stop`.
        reason: One word for the account, such as `leg_gone`, `spool_not_writable`.
        detail: The text for people.
    """

    at: datetime
    recording: str
    command: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class AudioMissing:
    """The PBX says that it records, but no audio arrives, or the disk is full."""

    at: datetime
    recording: str
    reason: str


@dataclass(frozen=True, slots=True)
class RecordingFinished:
    """The follow-up work on a closed file is done; its state says what came of it."""

    at: datetime
    recording: RecordingFacts


@dataclass(frozen=True, slots=True)
class TimerFired:
    """A timer set by `SetTimer` ran out."""

    at: datetime
    key: str


@dataclass(frozen=True, slots=True)
class LegHungUp:
    """A channel is gone."""

    at: datetime
    leg: str
    cause: str = ""


@dataclass(frozen=True, slots=True)
class LegSeen:
    """One channel of a snapshot, with what it carries of earlier decisions.

    Attributes:
        offer: The offer made on this leg, if one was.
        consent: The report of asking this party, if it was asked.
        voicemail: That it has come to a voicemail, if it has.
        recording: Our id of the recording that the PBX runs on it, else empty.
        offline_pause: The PBX stopped the recording by itself for a pause key.
        offline_discard: The PBX stopped the recording by itself for a discard key.
    """

    who: Who
    created_at: datetime
    bridge: str = ""
    holding: bool = False
    offer: CallOffered | None = None
    consent: ConsentReported | None = None
    voicemail: VoicemailReached | None = None
    recording: str = ""
    offline_pause: bool = False
    offline_discard: bool = False


@dataclass(frozen=True, slots=True)
class SnapshotTaken:
    """All that the PBX has at this moment, taken after each (re)connect.

    Attributes:
        pbx_started_at: When the PBX was started; what began before it is over.
        partial: A channel could not be read: who is not in it may still be there.
        unfinished: Recordings whose sidecars do not say how they ended, and all others of the
            open calls: they count for the outcome, and an objection concerns them too.
        open_calls: Calls whose end was never written, or which have an unfinished recording.
    """

    at: datetime
    legs: tuple[LegSeen, ...]
    pbx_started_at: datetime | None = None
    partial: bool = False
    unfinished: tuple[RecordingFacts, ...] = ()
    open_calls: tuple[CallFacts, ...] = ()


Event = (
    LegCreated
    | CallOffered
    | OfferUnanswered
    | ConsentReported
    | WhisperPlayed
    | LegBridged
    | LegUnbridged
    | CallTransferred
    | KeyPressed
    | VoicemailReached
    | ProfileDialled
    | ProfileSwitched
    | RecordingStarted
    | RecordingPaused
    | RecordingResumed
    | RecordingStopped
    | CommandFailed
    | AudioMissing
    | RecordingFinished
    | TimerFired
    | LegHungUp
    | SnapshotTaken
)
