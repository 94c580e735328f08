"""What a rule may set, what places hand down, and how an open setting is filled."""

from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from callrec_pbx.domain.facts import Inherited
from callrec_pbx.domain.plans import UNLIMITED
from callrec_pbx.domain.words import AudioFormat, Channels, ConsentMode, Notice, OnTrouble

SUPPRESS = "suppress"
"""The announcement of a rule or department that has none, whatever tenant and site have."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to record; None is open, and comes from the next level up.

    Attributes:
        announcement: Name of the announcement, for all modes of consent: `acme` stands for
            `acme`, `acme_opt_out` and `acme_opt_in`. Empty: the built-in one. `suppress`: none.
        announce_inbound: Whether consent `announce` is announced on inbound calls of a trunk;
            where it is not, the mode is `none`. Modes that ask for an answer always ask.
        announce_outbound: The same for outbound calls.
        start_stop: How all parties are told that recording starts or stops in mid-call.
        notice: How the agent is told of pause and resume.
        reminder_s: Seconds between reminder tones, 10 to 90; 0 for none.
        resume_after_s: Seconds after which a pause ends by itself; 0 for never.
        retention: The retention plan, as `plans.parse` reads it.
        format: What audio is encoded to when the call is over; wav: it is not.
        keep_wav: Whether the WAV file is kept beside the encoded one.
    """

    consent: ConsentMode | None = None
    announcement: str | None = None
    announce_inbound: bool | None = None
    announce_outbound: bool | None = None
    on_refusal: OnTrouble | None = None
    on_failure: OnTrouble | None = None
    whisper: bool | None = None
    start_stop: Notice | None = None
    notice: Notice | None = None
    reminder_s: int | None = None
    resume_after_s: int | None = None
    channels: Channels | None = None
    voicemail: bool | None = None
    retention: str | None = None
    format: AudioFormat | None = None
    keep_wav: bool | None = None
    language: str | None = None


@cache
def names() -> tuple[str, ...]:
    """The names of all settings, in the manual's order."""
    return tuple(field.name for field in fields(Settings))


@dataclass(frozen=True, slots=True)
class Filled:
    """The same settings with nothing left open."""

    # Nobody should be recorded unasked because a setting was forgotten.
    consent: ConsentMode = ConsentMode.OPT_IN
    announcement: str = ""
    announce_inbound: bool = True
    announce_outbound: bool = True
    on_refusal: OnTrouble = OnTrouble.CONTINUE
    on_failure: OnTrouble = OnTrouble.CONTINUE
    whisper: bool = True
    start_stop: Notice = Notice.NONE
    notice: Notice = Notice.BEEP
    reminder_s: int = 0
    resume_after_s: int = 0
    channels: Channels = Channels.MIXED
    voicemail: bool = False
    retention: str = UNLIMITED
    format: AudioFormat = AudioFormat.WAV
    keep_wav: bool = False
    language: str = "en"


BUILT_IN = Filled()
"""What counts where no level says anything."""


@dataclass(frozen=True, slots=True)
class Level:
    """Settings with the name of the place that has them, such as `site Stockholm`."""

    origin: str
    settings: Settings | Filled


def resolve(
    levels: tuple[Level, ...], defaults: Filled = BUILT_IN
) -> tuple[Filled, tuple[Inherited, ...]]:
    """Fill in every setting from the first level that has it, and say which that was."""
    values: dict[str, Any] = {}
    inherited = []
    for name in names():
        for level in (*levels, Level("built in", defaults)):
            value = getattr(level.settings, name)
            if value is not None:
                values[name] = value
                inherited.append(Inherited(name, shown(value), level.origin))
                break
    return Filled(**values), tuple(inherited)


def shown(value: object) -> str:
    """A setting's value as a text."""
    return str(value).lower() if isinstance(value, bool) else str(value)
