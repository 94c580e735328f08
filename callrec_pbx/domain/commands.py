"""What is to be done, in the imperative. A command is a request: only an event says it happened."""

from dataclasses import dataclass

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import ConsentMode, KeyResult, LegKind, OnTrouble


@dataclass(frozen=True, slots=True)
class AnswerOffer:
    """Tell the PBX what to do with an offered call.

    Attributes:
        ask: How to ask the offering party; `none` asks nothing.
        ask_callee: How to ask the called party on answer (outbound calls).
        callee: What stands behind the called legs.
        whisper: Name of the whisper prompt, empty for none.
        prompt: Name of the announcement, empty for none.
        on_refusal: Whether a refusal ends the call.
        refused: The party has refused already, and that ends the call.
    """

    leg: str
    channel: str
    ask: ConsentMode
    ask_callee: ConsentMode
    callee: LegKind
    prompt: str
    whisper: str
    language: str
    on_refusal: OnTrouble
    refused: bool = False


@dataclass(frozen=True, slots=True)
class StartRecording:
    """Begin to write the leg's audio. `reminder_s`: seconds between tones, 0 for none."""

    recording: RecordingFacts
    reminder_s: int


@dataclass(frozen=True, slots=True)
class PauseRecording:
    """Write nothing more until resumed."""

    recording: RecordingFacts


@dataclass(frozen=True, slots=True)
class ResumeRecording:
    """Go on writing."""

    recording: RecordingFacts


@dataclass(frozen=True, slots=True)
class StopRecording:
    """Close the file."""

    recording: RecordingFacts


@dataclass(frozen=True, slots=True)
class CheckAudio:
    """See that audio arrives in the file; `AudioMissing` if it does not."""

    recording: RecordingFacts


@dataclass(frozen=True, slots=True)
class FinishRecording:
    """The file is closed: measure it, hash it, repair it where needed, and store the facts."""

    recording: RecordingFacts


@dataclass(frozen=True, slots=True)
class DiscardAudio:
    """Delete the audio of a recording and keep the fact."""

    recording: RecordingFacts


@dataclass(frozen=True, slots=True)
class SaveRecording:
    """Write the sidecar, then the row. Commands about the recording come after it."""

    recording: RecordingFacts


@dataclass(frozen=True, slots=True)
class SaveCall:
    """Write what is known of the call."""

    call: CallFacts


@dataclass(frozen=True, slots=True)
class AnswerKey:
    """Tell the PBX what came of an agent's key.

    Attributes:
        prompt: Played to the agent, if not empty.
        tell: Played to all parties of the conversation, if not empty.
    """

    leg: str
    channel: str
    result: KeyResult
    prompt: str
    language: str
    tell: str = ""


@dataclass(frozen=True, slots=True)
class TellParties:
    """Play a prompt to all parties of the conversation that the leg is in."""

    leg: str
    channel: str
    prompt: str
    language: str


@dataclass(frozen=True, slots=True)
class SwitchProfile:
    """Make the profile with that code the active one of the line's user, and say so."""

    line: str
    code: str
    leg: str
    channel: str
    language: str


@dataclass(frozen=True, slots=True)
class HangUpCall:
    """End a call whose recording failed, after a notice to the parties.

    Attributes:
        channels: Their channels, by name.
        legs: The PBX's ids of the same channels, in the same order.
    """

    channels: tuple[str, ...]
    prompt: str
    language: str
    legs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Raise `TimerFired` with this key after that many seconds; setting it anew replaces it."""

    key: str
    after_s: float


@dataclass(frozen=True, slots=True)
class CancelTimer:
    """Forget a timer."""

    key: str


Command = (
    AnswerOffer
    | StartRecording
    | PauseRecording
    | ResumeRecording
    | StopRecording
    | CheckAudio
    | FinishRecording
    | DiscardAudio
    | SaveRecording
    | SaveCall
    | AnswerKey
    | TellParties
    | SwitchProfile
    | HangUpCall
    | SetTimer
    | CancelTimer
)
