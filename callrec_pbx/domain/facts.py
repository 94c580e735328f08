"""What is kept of a call: immutable facts, as sidecars, catalogue and API show them.

All times are aware UTC datetimes, all durations and offsets milliseconds, all sizes bytes.
"""

from dataclasses import dataclass, field
from datetime import datetime

from callrec_pbx.domain.plans import UNLIMITED
from callrec_pbx.domain.words import (
    AudioFormat,
    Channels,
    Consent,
    ConsentMode,
    Direction,
    FollowUp,
    LegKind,
    Mode,
    Notice,
    OnTrouble,
    Outcome,
    RecordingState,
    Tried,
)


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that a decision looked at.

    Attributes:
        what: `tenant`, `excluded`, `consent`, `limit`, `user`, `profile` or `rule`.
        detail: For people: the rule's name and the criterion that did not fit, and the like.
            Never a number of the call.
    """

    what: str
    result: Tried
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Inherited:
    """A setting that counts, and where it comes from (`rule support`, `tenant default`, ...)."""

    setting: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a decision is what it is: the steps in the order tried, and the settings."""

    steps: tuple[Step, ...] = ()
    settings: tuple[Inherited, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy says of a call or leg, with the rule and reason that say it.

    Attributes:
        outcome: What the call will count as if nothing else happens; `recorded` means record.
        reason: One word for the account (`rule`, `no_rule`, `excluded_number`, ...).
        user: E-mail of the line's user; like tenant, site and department empty when not known.
        announcement: Name of the announcement where the administrator chose one, else empty.
        start_stop: How the parties are told that a recording starts or stops in mid-call.
        voicemail: Whether a message left on the voicemail is recorded too.
        reminder_s: Seconds between reminder tones, 10 to 90; 0 plays none.
        resume_after_s: Seconds after which a pause ends by itself; 0 means never.
        retention: The retention plan, as `plans.parse` reads it.
        format: What the audio is encoded to when the call is over; wav: it is not.
        keep_wav: Whether the WAV file is kept beside the encoded one.
    """

    outcome: Outcome
    reason: str
    rule: str = ""
    policy_version: str = ""
    mode: Mode = Mode.NEVER
    consent: ConsentMode = ConsentMode.NONE
    on_refusal: OnTrouble = OnTrouble.CONTINUE
    on_failure: OnTrouble = OnTrouble.CONTINUE
    whisper: bool = False
    notice: Notice = Notice.BEEP
    reminder_s: int = 0
    resume_after_s: int = 0
    retention: str = UNLIMITED
    format: AudioFormat = AudioFormat.WAV
    keep_wav: bool = False
    language: str = "en"
    announcement: str = ""
    start_stop: Notice = Notice.NONE
    channels: Channels = Channels.MIXED
    voicemail: bool = False
    tenant: str = ""
    site: str = ""
    department: str = ""
    user: str = ""
    explanation: Explanation = Explanation()

    @property
    def may_record(self) -> bool:
        """Whether a recording is wanted, or may be asked for by the agent."""
        return self.outcome is Outcome.RECORDED


@dataclass(frozen=True, slots=True)
class ConsentFacts:
    """The evidence for one party: what was played to whom, how far, and what was pressed.

    Attributes:
        party: PBX id of the leg that was asked.
        prompt: Name of the announcement, such as `announce_opt_out`.
        prompt_sha256: Hash of the audio as installed; empty when it is not known.
        played_from: When playing began; None when nothing was played.
        played_ms: How much of the announcement the party can have heard.
        prompt_ms: How long the announcement is.
        key: The digit pressed, empty for none.
    """

    party: str
    number: str
    mode: ConsentMode
    outcome: Consent
    prompt: str = ""
    prompt_sha256: str = ""
    prompt_version: str = ""
    language: str = ""
    played_from: datetime | None = None
    played_to: datetime | None = None
    played_ms: int = 0
    prompt_ms: int = 0
    key: str = ""


@dataclass(frozen=True, slots=True)
class PauseFacts:
    """One pause; offsets count real time from the recording's start. None: still paused."""

    from_ms: int
    to_ms: int | None = None


@dataclass(frozen=True, slots=True)
class LegFacts:
    """One channel of a call, with the PBX's own id."""

    leg: str
    channel: str
    kind: LegKind
    line: str
    number: str
    name: str
    created_at: datetime
    bridged_at: datetime | None = None
    ended_at: datetime | None = None
    whispered_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class CallFacts:
    """One conversation from first leg to last hangup.

    Attributes:
        call_id: Our own id.
        pbx_ids: The PBX's ids for it (Asterisk `Linkedid`, FreeSWITCH
            `Channel-Call-UUID`); more than one after a merge.
        reason: Why the outcome is what it is; of an open call, why it may not be recorded.
        merged_into: Our id of the call that this one became part of, else empty.
        explanation: Why the call's decision is what it is.
    """

    call_id: str
    pbx_ids: tuple[str, ...]
    started_at: datetime
    direction: Direction | None = None
    a_number: str = ""
    a_name: str = ""
    b_number: str = ""
    c_number: str = ""
    ddi: str = ""
    queue: str = ""
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    reason: str = ""
    rule: str = ""
    policy_version: str = ""
    merged_into: str = ""
    tenant: str = ""
    explanation: Explanation = Explanation()
    legs: tuple[LegFacts, ...] = ()
    consents: tuple[ConsentFacts, ...] = ()
    transfers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordingFacts:
    """One audio file of one leg.

    Attributes:
        owner: The user's e-mail; the line where its user is not known.
        created_at: When it was asked for; its date is the folder the audio lies in.
        started_at: When the PBX confirmed the start.
        late_ms: Talk before the start that is not in the file, 0 when in time.
        reason: Why it failed, was stopped, interrupted or discarded; empty otherwise.
        audio_ms: Length of the audio, known once it is stored.
        retention: The retention plan, as `plans.parse` reads it.
        delete_after: When retention prunes it; None keeps it.
        size: Of the WAV file as it was finished (bytes), as `sha256` is its checksum.
        format: What it is encoded to when the call is over; wav: it stays as it is.
        encoded_size: Of the encoded file; None while there is none.
        has_wav: Whether the WAV file is still there; it goes when it is replaced.
        to_do: Follow-up work that is still to be done, in this order.
        tries: How often the first of it was begun without coming to its end.
        follow_up_error: Why it was set aside, or did not go through the last time.
        named: Where it lies under its name for people, below `named/`; empty where nowhere.
        evaluated: Whether somebody has evaluated it.
        deletion_at: When the deletion that somebody asked for takes effect; None: nobody did.
        deletion_by: Who asked for it.
        deletion_why: The reason that they gave.
    """

    recording_id: str
    call_id: str
    leg: str
    channel: str
    owner: str
    state: RecordingState
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    late_ms: int = 0
    reason: str = ""
    rule: str = ""
    policy_version: str = ""
    mode: Mode = Mode.ALWAYS
    consent: ConsentMode = ConsentMode.NONE
    on_failure: OnTrouble = OnTrouble.CONTINUE
    notice: Notice = Notice.BEEP
    resume_after_s: int = 0
    language: str = "en"
    retention: str = UNLIMITED
    delete_after: datetime | None = None
    channels: Channels = Channels.MIXED
    line: str = ""
    tenant: str = ""
    site: str = ""
    department: str = ""
    explanation: Explanation = Explanation()
    pauses: tuple[PauseFacts, ...] = ()
    audio_ms: int | None = None
    size: int | None = None
    sha256: str = ""
    repaired: bool = False
    format: AudioFormat = AudioFormat.WAV
    keep_wav: bool = False
    encoded_size: int | None = None
    encoded_sha256: str = ""
    has_wav: bool = True
    to_do: tuple[FollowUp, ...] = ()
    tries: int = 0
    follow_up_error: str = ""
    named: str = ""
    tags: tuple[str, ...] = ()
    flagged: bool = False
    evaluated: bool = False
    deletion_at: datetime | None = None
    deletion_by: str = ""
    deletion_why: str = ""

    @property
    def encoded(self) -> bool:
        """Whether there is an encoded file."""
        return self.encoded_size is not None


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """An announcement as the policy may choose it: enough to play it and to prove it."""

    name: str
    language: str
    sha256: str
    duration_ms: int
    version: str = ""


@dataclass(frozen=True, slots=True)
class PromptBook:
    """The announcements installed, by (language, name), with the language to fall back on."""

    prompts: dict[tuple[str, str], PromptFacts] = field(default_factory=dict)
    fallback: str = "en"

    def find(self, name: str, language: str) -> PromptFacts | None:
        """The prompt in that language, else in the fallback language, else None."""
        return self.prompts.get((language, name)) or self.prompts.get((self.fallback, name))
