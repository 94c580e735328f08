"""The policy as people write it: a TOML document, checked, and from there to the domain.

A field's description is the manual's and the error message's text; its example is the remedy.
"""

from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from callrec_pbx.config import checks
from callrec_pbx.config.errors import Problem
from callrec_pbx.config.explain import problem_of, shown_value
from callrec_pbx.config.toml import TomlError, read_toml
from callrec_pbx.domain.policy.rules import (
    EVERY_DAY,
    MINUTES_A_DAY,
    Holiday,
    Place,
    PolicyText,
    Rule,
    Window,
)
from callrec_pbx.domain.policy.settings import SUPPRESS, Settings, names
from callrec_pbx.domain.words import (
    AudioFormat,
    Channels,
    ConsentMode,
    Device,
    Direction,
    Mode,
    Notice,
    OnHoliday,
    OnTrouble,
)
from callrec_pbx.policy import values
from callrec_pbx.policy.errors import PolicyFileError

EXAMPLE = Path(__file__).with_name("example.toml")
LONGEST_PAUSE_S = 86400
LONGEST_REMINDER_S = 90

Text = Annotated[str, Field(strict=True)]
Truth = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True), BeforeValidator(values.whole)]
Retention = Annotated[Text, BeforeValidator(checks.plan)]
Reminder = Annotated[Whole, AfterValidator(values.reminder)]
Name = Annotated[Text, AfterValidator(values.name)]
RuleName = Annotated[Text, AfterValidator(values.written), AfterValidator(checks.name)]
Names = Annotated[tuple[Name, ...], BeforeValidator(values.as_list)]
NamePatterns = Annotated[
    tuple[Annotated[Text, AfterValidator(values.name_pattern)], ...],
    BeforeValidator(values.as_list),
]
NumberPatterns = Annotated[
    tuple[Annotated[Text, AfterValidator(values.number_pattern)], ...],
    BeforeValidator(values.as_list),
]
OfferedPatterns = Annotated[
    tuple[Annotated[Text, AfterValidator(checks.offered_pattern)], ...],
    BeforeValidator(values.as_list),
]
TrunkPatterns = Annotated[
    tuple[Annotated[Text, AfterValidator(checks.pattern)], ...], BeforeValidator(values.as_list)
]
Day = Annotated[date, BeforeValidator(values.day)]
Announcement = Annotated[Text, AfterValidator(values.announcement)]
LevelAnnouncement = Annotated[Text, AfterValidator(values.announcement_of_level)]


class Part(BaseModel):
    """A table of the document: frozen, and without keys that nobody knows."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class SettingsPart(Part):
    """What a rule or place may set; what is left out comes from the next level up."""

    consent: ConsentMode | None = Field(default=None, description="what the other party is asked")
    announcement: Announcement | None = Field(
        default=None, description="name of the announcement", examples=["acme", SUPPRESS]
    )
    announce_inbound: Truth | None = Field(
        default=None, description="whether consent = announce is announced to callers"
    )
    announce_outbound: Truth | None = Field(
        default=None, description="whether consent = announce is announced to those called"
    )
    on_refusal: OnTrouble | None = Field(default=None, description="what a refusal does")
    on_failure: OnTrouble | None = Field(default=None, description="what a failed recording does")
    whisper: Truth | None = Field(default=None, description="whether the agent is told")
    start_stop: Notice | None = Field(
        default=None, description="how a start or stop in mid-call is told to all parties"
    )
    notice: Notice | None = Field(default=None, description="how an agent's key is confirmed")
    reminder_s: Reminder | None = Field(
        default=None,
        ge=0,
        le=LONGEST_REMINDER_S,
        description="seconds between reminder tones: 0, or 10 to 90",
        examples=[15],
    )
    resume_after_s: Whole | None = Field(
        default=None,
        ge=0,
        le=LONGEST_PAUSE_S,
        description="seconds after which a pause ends by itself",
        examples=[120],
    )
    channels: Channels | None = Field(default=None, description="how the two directions are kept")
    voicemail: Truth | None = Field(default=None, description="whether voicemail is recorded too")
    retention: Retention | None = Field(
        default=None, description="how long the recording is kept", examples=["90 days"]
    )
    format: AudioFormat | None = Field(
        default=None, description="what audio is encoded to when the call is over"
    )
    keep_wav: Truth | None = Field(
        default=None, description="whether the WAV file is kept beside the encoded one"
    )

    def settings(self) -> Settings:
        """The settings alone."""
        return Settings(**{name: getattr(self, name, None) for name in names()})


class PlacePart(SettingsPart):
    """Settings of a place; its language is known with people and places, and not said here."""

    language: Annotated[None, BeforeValidator(values.no_language)] = Field(
        default=None, description="said with people and places"
    )


class TenantPart(PlacePart):
    """Settings of a whole tenant."""

    name: Name | None = Field(default=None, description="name of the tenant", examples=["default"])
    announcement: LevelAnnouncement | None = Field(
        default=None, description="name of the announcement", examples=["acme"]
    )


class SitePart(PlacePart):
    """Settings of a site."""

    name: Name = Field(description="name of the site", examples=["Stockholm"])
    tenant: Name | None = Field(default=None, description="its tenant", examples=["default"])
    announcement: LevelAnnouncement | None = Field(
        default=None, description="name of the announcement", examples=["acme"]
    )


class DepartmentPart(PlacePart):
    """Settings of a department."""

    name: Name = Field(description="name of the department", examples=["Support"])
    tenant: Name | None = Field(default=None, description="its tenant", examples=["default"])


class HolidayPart(Part):
    """A day that counts as a holiday beside the public ones."""

    date: Day = Field(description="date", examples=["2026-12-24"])
    name: Name | None = Field(
        default=None, description="what the day is called", examples=["Christmas Eve"]
    )
    tenant: Name | None = Field(
        default=None, description="whose holiday it is", examples=["default"]
    )
    sites: Names = Field(default=(), description="where it is one", examples=["Stockholm"])


class WindowPart(Part):
    """A part of the week in which a rule counts."""

    days: Annotated[
        tuple[int, ...], BeforeValidator(values.days), BeforeValidator(values.as_list)
    ] = Field(default=EVERY_DAY, description="days of the week", examples=["mon-fri"])
    from_: Annotated[int, BeforeValidator(values.first_minute)] = Field(
        default=0, alias="from", description="time at which it begins", examples=["08:00"]
    )
    to: Annotated[int, BeforeValidator(values.minute)] = Field(
        default=MINUTES_A_DAY, description="time at which it ends", examples=["17:00"]
    )
    holidays: OnHoliday = Field(default=OnHoliday.CLOSED, description="what it means on a holiday")


class RulePart(SettingsPart):
    """One rule of the list: criteria that are left out match everything."""

    name: RuleName = Field(description="name, shown with every decision", examples=["support"])
    mode: Mode = Field(description="whether to record, and who may steer it")
    enabled: Truth = Field(default=True, description="whether the rule counts")
    valid_from: Annotated[datetime, BeforeValidator(values.since)] | None = Field(
        default=None, description="date or time from which it counts", examples=["2026-03-01"]
    )
    valid_to: Annotated[datetime, BeforeValidator(values.until)] | None = Field(
        default=None, description="last day, or time until which it counts", examples=["2026-03-31"]
    )
    tenant: NamePatterns = Field(default=(), description="tenants", examples=["acme"])
    direction: Annotated[tuple[Direction, ...], BeforeValidator(values.as_list)] = Field(
        default=(), description="where calls come from and go to"
    )
    ddi: OfferedPatterns = Field(
        default=(), description="dialled direct numbers", examples=["+4930123*"]
    )
    queue: OfferedPatterns = Field(default=(), description="queues", examples=["sales"])
    department: NamePatterns = Field(default=(), description="departments", examples=["Support"])
    user: Annotated[
        tuple[Annotated[Text, AfterValidator(values.email_pattern)], ...],
        BeforeValidator(values.as_list),
    ] = Field(default=(), description="e-mail of users", examples=["anna@example.org"])
    line: OfferedPatterns = Field(default=(), description="lines of users", examples=["30?"])
    site: NamePatterns = Field(default=(), description="sites", examples=["Stockholm"])
    trunk: TrunkPatterns = Field(
        default=(), description="endpoints of outside lines", examples=["trunk-de"]
    )
    profile: NamePatterns = Field(
        default=(), description="the user's active profile", examples=["Abroad"]
    )
    device: Annotated[tuple[Device, ...], BeforeValidator(values.as_list)] = Field(
        default=(), description="kinds of phone"
    )
    number: NumberPatterns = Field(default=(), description="outside numbers", examples=["+49*"])
    when: tuple[WindowPart, ...] = Field(default=(), description="parts of the week")
    language: Text | None = Field(
        default=None, description="language of the prompts", examples=["de"]
    )


CRITERIA = (
    "tenant",
    "direction",
    "ddi",
    "queue",
    "department",
    "user",
    "line",
    "site",
    "trunk",
    "profile",
    "device",
    "number",
)
"""What a rule looks at, in the manual's order; `when` and validity come on top."""


class Document(Part):
    """The whole policy."""

    excluded_numbers: NumberPatterns = Field(
        default=(), description="outside numbers that are never recorded", examples=["+4930123*"]
    )
    tenant: tuple[TenantPart, ...] = Field(default=(), description="settings of tenants")
    site: tuple[SitePart, ...] = Field(default=(), description="settings of sites")
    department: tuple[DepartmentPart, ...] = Field(
        default=(), description="settings of departments"
    )
    holiday: tuple[HolidayPart, ...] = Field(default=(), description="own holidays")
    rule: tuple[RulePart, ...] = Field(default=(), description="rules, in order")


def parse(text: str, source: str) -> PolicyText:
    """Read a policy that people have written.

    A tenant that is not named stays empty: `references.resolve` fills it in.

    Args:
        source: The file, as error messages name it.

    Raises:
        PolicyFileError: Something cannot be used; it names all problems at once.
    """
    return from_document(parse_toml(text, source), source)


def parse_toml(text: str, source: str) -> dict[str, Any]:
    """Read TOML.

    Raises:
        PolicyFileError: It is none.
    """
    try:
        return read_toml(text)
    except TomlError as error:
        raise PolicyFileError.one(
            source, error.problem, error.remedy, error.key, error.value
        ) from None


def from_document(document: dict[str, Any], source: str) -> PolicyText:
    """Check a document and make it the domain's; raises as `parse`."""
    try:
        checked = Document.model_validate(document)
    except ValidationError as error:
        raise PolicyFileError(
            problem_of(dict(item), document, source, Document)
            for item in error.errors(include_url=False)
        ) from None
    problems = [*_repeated(checked, source), *_never_valid(checked, source)]
    if problems:
        raise PolicyFileError(problems)
    return PolicyText(
        places=tuple(_places(checked)),
        rules=tuple(_rule(part) for part in checked.rule),
        holidays=tuple(
            Holiday(part.date, part.name or "", part.tenant or "", part.sites)
            for part in checked.holiday
        ),
        excluded_numbers=tuple(dict.fromkeys(checked.excluded_numbers)),
    )


def _places(document: Document) -> Iterator[Place]:
    for of_tenant in document.tenant:
        yield Place("tenant", of_tenant.name or "", "", of_tenant.settings())
    for of_site in document.site:
        yield Place("site", of_site.tenant or "", of_site.name, of_site.settings())
    for one in document.department:
        yield Place("department", one.tenant or "", one.name, one.settings())


def _rule(part: RulePart) -> Rule:
    return Rule(
        name=part.name,
        mode=part.mode,
        settings=part.settings(),
        enabled=part.enabled,
        when=tuple(
            Window(window.days, window.from_, window.to, window.holidays) for window in part.when
        ),
        valid_from=part.valid_from,
        valid_to=part.valid_to,
        **{name: getattr(part, name) for name in CRITERIA},
    )


def _repeated(document: Document, source: str) -> Iterator[Problem]:
    """What has the name of another one of its kind."""
    yield from _twice("rule", [(one.name, one.name) for one in document.rule], source)
    tenants = [(one.name or "", one.name or "") for one in document.tenant]
    yield from _twice("tenant", tenants, source)
    sites = [((one.tenant or "", one.name), one.name) for one in document.site]
    yield from _twice("site", sites, source)
    departments = [((one.tenant or "", one.name), one.name) for one in document.department]
    yield from _twice("department", departments, source)


def _twice(kind: str, named: Sequence[tuple[object, str]], source: str) -> Iterator[Problem]:
    first: dict[object, int] = {}
    for number, (key, name) in enumerate(named, 1):
        if key in first:
            yield Problem(
                source,
                f"{kind} {number} {shown_value(name)} name",
                shown_value(name),
                f"{kind} {first[key]} has that name",
                "give each rule a name of its own"
                if kind == "rule"
                else f"put all settings of one {kind} into one [[{kind}]]",
            )
        first.setdefault(key, number)


def _never_valid(document: Document, source: str) -> Iterator[Problem]:
    for number, rule in enumerate(document.rule, 1):
        if rule.valid_from and rule.valid_to and rule.valid_to <= rule.valid_from:
            yield Problem(
                source,
                f"rule {number} {shown_value(rule.name)} valid_to",
                shown_value(rule.valid_to.isoformat()),
                "is not after valid_from",
                "give a later one",
            )
