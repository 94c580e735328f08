"""The vocabulary as enumerations; their values are what tables, sidecars and the API show."""

from enum import StrEnum


class Direction(StrEnum):
    """Where a call comes from and goes to, seen from the PBX."""

    INBOUND = "inbound"
    OUTBOUND = "outbound"
    INTERNAL = "internal"


class LegKind(StrEnum):
    """What stands behind a leg: a user's line, an outside party on a trunk, or neither."""

    LINE = "line"
    OUTSIDE = "outside"
    OTHER = "other"


class Mode(StrEnum):
    """Whether a rule records, and who may steer it."""

    NEVER = "never"
    ALWAYS = "always"
    ALWAYS_PAUSABLE = "always_pausable"
    ON_DEMAND = "on_demand"


class ConsentMode(StrEnum):
    """What a rule asks of the other party before recording."""

    NONE = "none"
    ANNOUNCE = "announce"
    OPT_OUT = "opt_out"
    OPT_IN = "opt_in"


class Consent(StrEnum):
    """What came of asking a party."""

    NOT_REQUIRED = "not_required"
    UNASKED = "unasked"
    ASKING = "asking"
    ANNOUNCED = "announced"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    NO_ANSWER = "no_answer"


class RecordingState(StrEnum):
    """The life of a recording. `pruned` is set by retention, `stored` by the follow-up work."""

    STARTING = "starting"
    RECORDING = "recording"
    PAUSING = "pausing"
    PAUSED = "paused"
    RESUMING = "resuming"
    STOPPING = "stopping"
    DISCARDING = "discarding"
    CAPTURED = "captured"
    STORED = "stored"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    DISCARDED = "discarded"
    PRUNING = "pruning"
    PRUNED = "pruned"


class CallState(StrEnum):
    """The life of a call. `refused`: nothing more of it may be recorded."""

    RINGING = "ringing"
    TALKING = "talking"
    REFUSED = "refused"
    ENDED = "ended"


class Outcome(StrEnum):
    """How a call ended for the account; every call gets exactly one."""

    RECORDED = "recorded"
    DECLINED = "declined"
    EXCLUDED = "excluded"
    NOT_SELECTED = "not_selected"
    LIMITED = "limited"
    DISCARDED = "discarded"
    FAILED = "failed"
    MISSED = "missed"


class Notice(StrEnum):
    """How the agent is told that a key has worked."""

    NONE = "none"
    BEEP = "beep"
    ANNOUNCEMENT = "announcement"


class OnTrouble(StrEnum):
    """What happens to the call when recording is refused, fails or cannot be decided."""

    CONTINUE = "continue"
    HANG_UP = "hang_up"


class Key(StrEnum):
    """What an agent can ask for by a key sequence during a call."""

    PAUSE = "pause"
    START = "start"
    DISCARD = "discard"


class KeyResult(StrEnum):
    """What came of an agent's key."""

    PAUSED = "paused"
    RESUMED = "resumed"
    STARTED = "started"
    DISCARDED = "discarded"
    REFUSED = "refused"


class Channels(StrEnum):
    """How the two directions of a conversation are kept: as one sound, or side by side."""

    MIXED = "mixed"
    STEREO = "stereo"


class AudioFormat(StrEnum):
    """How audio is kept: as the PBX writes it, or encoded when the call is over."""

    WAV = "wav"
    OPUS = "opus"
    MP3 = "mp3"
    FLAC = "flac"


class FollowUp(StrEnum):
    """What may still be to do on a recording that is stored, in this order."""

    ENCODE = "encode"
    WAVEFORM = "waveform"
    NAME = "name"


class HoldKind(StrEnum):
    """What a legal hold is about."""

    RECORDING = "recording"
    CALL = "call"
    NUMBER = "number"
    PERSON = "person"
    PERIOD = "period"


class OnQuota(StrEnum):
    """What happens when a tenant's recordings take more room than its quota."""

    WARN = "warn"
    STOP = "stop"
    PRUNE = "prune"


class Device(StrEnum):
    """What kind of phone a line is."""

    DESK = "desk"
    SOFTPHONE = "softphone"
    MOBILE = "mobile"
    OTHER = "other"


class Switch(StrEnum):
    """A tenant's recording: on; off for new calls; off at once, running recordings too."""

    ON = "on"
    OFF_NEW = "off_new"
    OFF_NOW = "off_now"


class OnHoliday(StrEnum):
    """What a window of a weekly schedule means on a holiday of the site."""

    CLOSED = "closed"
    OPEN = "open"
    ONLY = "only"


class Tried(StrEnum):
    """What came of one step of a decision."""

    PASSED = "passed"
    STOPPED = "stopped"
    MATCHED = "matched"
    NO_MATCH = "no_match"
    POSSIBLE = "possible"
    """The rule may match once it is known who answers."""
