"""The sections of the configuration file, one class each.

A field's description is the manual's and the error message's text; its example is the remedy.
"""

import re
from datetime import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    model_validator,
)

from callrec_pbx.config import checks
from callrec_pbx.domain import plans
from callrec_pbx.domain.words import OnTrouble

LEAST_REMINDER_S = 10


def _as_list(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


def _as_time(value: Any) -> Any:
    if isinstance(value, time):
        return value
    if not isinstance(value, str) or not re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", value):
        raise checks.BadValueError(
            "is not a time of day", 'give hours and minutes, such as "03:15"'
        )
    return time.fromisoformat(value)


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise checks.BadValueError("is not a number", "give a whole number")
    return value


def _as_reminder(value: int) -> int:
    if 0 < value < LEAST_REMINDER_S:
        raise checks.BadValueError("is too short", f"give 0 for none, or {LEAST_REMINDER_S} to 90")
    return value


def _as_secret(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        checks.secret(value.get_secret_value())
    return value


def _as_password(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        checks.password(value.get_secret_value())
    return value


def _safe_path(value: Path) -> Path:
    checks.path(str(value))
    return value


PbxPath = Annotated[Path, AfterValidator(_safe_path)]
Text = Annotated[str, Field(strict=True)]
Whole = Annotated[int, BeforeValidator(_no_truth)]
Pattern = Annotated[Text, AfterValidator(checks.pattern)]
OfferedPattern = Annotated[Text, AfterValidator(checks.offered_pattern)]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_as_list)]
OfferedPatterns = Annotated[tuple[OfferedPattern, ...], BeforeValidator(_as_list)]
InCallKey = Annotated[Text, AfterValidator(checks.key)]
TimeOfDay = Annotated[time, BeforeValidator(_as_time)]
Reminder = Annotated[Whole, AfterValidator(_as_reminder)]
RetentionPlan = Annotated[str, BeforeValidator(checks.plan)]

NameTemplate = Annotated[Text, AfterValidator(checks.name_template)]
OnDiskTemplate = Annotated[Text, AfterValidator(checks.name_template_or_none)]
ZoneName = Annotated[Text, AfterValidator(checks.zone)]


class Section(BaseModel):
    """A section: frozen, and without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class AsteriskSection(Section):
    """How to reach Asterisk, and where it keeps its files."""

    host: Annotated[Text, AfterValidator(checks.host)] = Field(
        default="127.0.0.1",
        description="host of the manager interface (AMI)",
        examples=["127.0.0.1"],
    )
    port: Whole = Field(
        default=5038,
        ge=1,
        le=65535,
        description="TCP port of the manager interface",
        examples=[5038],
    )
    username: Annotated[Text, AfterValidator(checks.username)] = Field(
        default="callrec", description="name of the manager user", examples=["callrec"]
    )
    secret: Annotated[SecretStr, AfterValidator(_as_secret)] = Field(
        default=SecretStr(""),
        description="secret of the manager user; empty takes that of secret_file",
        examples=["a long random word"],
    )
    secret_file: Path | None = Field(
        default=None,
        description="file that holds the secret; without it asterisk.secret beside this file",
        examples=["/etc/callrec-pbx/asterisk.secret"],
    )
    trunks: Patterns = Field(
        default=("trunk*",),
        description="patterns of endpoints that are outside lines",
        examples=["trunk*"],
    )
    config_dir: PbxPath = Field(
        default=Path("/etc/asterisk"), description="Asterisk's configuration (astetcdir)"
    )
    data_dir: PbxPath = Field(
        default=Path("/var/lib/asterisk"),
        description="Asterisk's data (astdatadir), with sounds below it",
    )
    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="longest wait for connection and login", examples=[5]
    )
    action_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="longest wait for the answer to an action",
        examples=[5],
    )

    @property
    def sounds_dir(self) -> Path:
        """Where the prompts are installed: the manifest, and a folder for each language."""
        return self.data_dir / "sounds" / "callrec"

    def is_trunk(self, endpoint: str) -> bool:
        """Whether an endpoint of that name is an outside line."""
        return any(fnmatchcase(endpoint, pattern) for pattern in self.trunks)


class FreeSwitchSection(Section):
    """How to reach FreeSWITCH, and where it keeps its files."""

    host: Annotated[Text, AfterValidator(checks.host)] = Field(
        default="127.0.0.1",
        description="host of the event socket (ESL)",
        examples=["127.0.0.1"],
    )
    port: Whole = Field(
        default=8021,
        ge=1,
        le=65535,
        description="TCP port of the event socket",
        examples=[8021],
    )
    password: Annotated[SecretStr, AfterValidator(_as_password)] = Field(
        default=SecretStr(""),
        description="password of the event socket; empty takes that of password_file",
        examples=["a long random word"],
    )
    password_file: Path | None = Field(
        default=None,
        description="file that holds the password; without it freeswitch.password beside this file",
        examples=["/etc/callrec-pbx/freeswitch.password"],
    )
    trunks: Patterns = Field(
        default=("external*",),
        description="patterns of gateways and SIP profiles that are outside lines",
        examples=["external*"],
    )
    config_dir: PbxPath = Field(
        default=Path("/etc/freeswitch"), description="FreeSWITCH's configuration (conf_dir)"
    )
    scripts_dir: PbxPath = Field(
        default=Path("/usr/share/freeswitch/scripts"),
        description="FreeSWITCH's Lua scripts (script_dir)",
    )
    sounds_dir: PbxPath = Field(
        default=Path("/usr/share/freeswitch/sounds"),
        description="FreeSWITCH's sounds (sounds_dir)",
    )
    connect_timeout_s: float = Field(
        default=5.0, gt=0, le=60, description="longest wait for connection and login", examples=[5]
    )
    action_timeout_s: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="longest wait for the answer to a command",
        examples=[5],
    )

    def is_trunk(self, name: str) -> bool:
        """Whether a gateway or SIP profile of that name is an outside line."""
        return any(fnmatchcase(name, pattern) for pattern in self.trunks)


class RecordingsSection(Section):
    """Where the PBX writes the audio."""

    directory: PbxPath = Field(
        default=Path("/var/spool/callrec-pbx"),
        description="folder of audio and sidecars, as seen here",
    )
    pbx_directory: PbxPath | None = Field(
        default=None, description="the same folder as the PBX sees it, when that differs"
    )
    min_free_mb: Whole = Field(
        default=200,
        ge=0,
        description="free space below which nothing is started, in MB",
        examples=[200],
    )
    start_check_s: float = Field(
        default=8.0,
        gt=0,
        le=60,
        description="seconds after which a started recording without a file has failed",
        examples=[8],
    )

    @property
    def as_seen_by_pbx(self) -> Path:
        """The folder by the path that the PBX must be given."""
        return self.pbx_directory or self.directory


class CatalogueSection(Section):
    """Where the rows are."""

    url: Annotated[Text, AfterValidator(checks.catalogue_url)] = Field(
        default="sqlite:////var/lib/callrec-pbx/catalogue.db",
        description="address of the database",
        repr=False,
    )
    check_at: TimeOfDay = Field(
        default=time(4, 45), description="time of the nightly check, local time"
    )
    checksum_gb_per_night: float = Field(
        default=20.0,
        ge=0,
        description="audio that it reads each night to compare checksums, in GB; 0 reads none",
        examples=[20],
    )


class PromptsSection(Section):
    """What callers and agents hear."""

    language: Text = Field(
        default="en",
        description="language where neither the policy nor people and places name one",
        examples=["en", "de"],
    )


class KeysSection(Section):
    """What an agent presses during a call."""

    pause: InCallKey = Field(default="#1", description="pause and resume")
    start: InCallKey = Field(default="#2", description="start on demand")
    discard: InCallKey = Field(default="#9", description="stop and delete, the customer objected")

    @model_validator(mode="after")
    def _distinct(self) -> "KeysSection":
        checks.distinct_keys({"pause": self.pause, "start": self.start, "discard": self.discard})
        return self


class OfferSection(Section):
    """What the PBX does while it waits for a decision."""

    on_unavailable: OnTrouble = Field(
        default=OnTrouble.CONTINUE,
        description="what happens to a call when the listener does not answer",
    )
    wait_ms: Whole = Field(
        default=500,
        ge=50,
        le=500,
        description="longest wait for the decision, in ms",
        examples=[500],
    )


class RetentionSection(Section):
    """How long things are kept."""

    run_at: TimeOfDay = Field(default=time(3, 15), description="time of the daily run, local time")
    default: RetentionPlan = Field(
        default=plans.UNLIMITED,
        description="how long a recording is kept where nothing else says it",
        examples=["90 days"],
    )
    call_days: Whole | None = Field(
        default=None,
        ge=1,
        le=36500,
        description="days until the personal data of calls without a recording is cleared",
        examples=[90],
    )
    history: RetentionPlan = Field(
        default=plans.UNLIMITED,
        description="how long it is kept who was changed how, and who was in which profile",
        examples=["2 years"],
    )
    undo_minutes: Whole = Field(
        default=30,
        ge=0,
        le=50,
        description="minutes until a deletion that somebody asks for takes effect; undone until",
        examples=[30],
    )


class MetricsSection(Section):
    """Where metrics and health are asked for."""

    listen: Annotated[Text, AfterValidator(checks.listen)] = Field(
        default="127.0.0.1:9464",
        description="address of /metrics and /healthz, host:port; empty switches them off",
        examples=["127.0.0.1:9464"],
    )


class FollowUpSection(Section):
    """What is done with a recording once it is stored."""

    threads: Whole = Field(
        default=1,
        ge=0,
        le=16,
        description="how many recordings are worked on at once; 0 leaves it to `recordings "
        "follow-up --run`",
        examples=[1],
    )


class NamesSection(Section):
    """What recordings are called for people."""

    download: NameTemplate = Field(
        default="flat",
        description="preset or template of the names of downloaded files",
        examples=["matelso"],
    )
    on_disk: OnDiskTemplate = Field(
        default="",
        description="preset or template of names beside those by id; empty gives none",
        examples=["by_day"],
    )
    zone: ZoneName = Field(
        default="",
        description="time zone of date and time in names; empty takes the machine's",
        examples=["Europe/Berlin"],
    )


class LogSection(Section):
    """What is logged, on standard error."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="least important level that is logged"
    )
    format: Literal["console", "json"] = Field(
        default="console", description="for people or for programs"
    )
