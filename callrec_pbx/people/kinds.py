"""The kinds of people and places: their fields, what they refer to, and what names them.

Commands, CSV columns, checks and the database all follow these descriptions.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, replace
from enum import Enum, StrEnum, auto
from functools import cached_property
from typing import Any, cast

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.config.checks import BadValueError, plan
from callrec_pbx.domain.people import (
    Ddi,
    Department,
    Line,
    Profile,
    Queue,
    Site,
    Tenant,
    User,
)
from callrec_pbx.domain.words import Device, OnQuota, Switch
from callrec_pbx.people import checks

Thing = Tenant | Site | Department | User | Profile | Line | Ddi | Queue
Key = tuple[str, ...]

DEFAULT_TENANT = "default"

_YES = frozenset({"yes", "true", "on", "1"})
_NO = frozenset({"no", "false", "off", "0"})


class Sort(Enum):
    """What the values of a field are."""

    TEXT = auto()
    TRUTH = auto()
    WHOLE = auto()
    WORD = auto()


def _as_it_is(value: Any) -> Any:
    return value


def _or_empty(check: Callable[[str], str]) -> Callable[[str], str]:
    return lambda value: check(value) if value.strip() else ""


@dataclass(frozen=True)
class Field:
    """A field of a kind.

    Attributes:
        text: What it is, for help and manual.
        check: Returns the value as it is kept; raises BadValueError.
        refers: The kind of thing that it names, of the same tenant.
        words: Of `Sort.WORD`: the words.
        instead: Of a field that cannot be set: what to do to change it.
    """

    name: str
    text: str
    check: Callable[[Any], Any] = _as_it_is
    sort: Sort = Sort.TEXT
    refers: Entity | None = None
    words: type[StrEnum] | None = None
    instead: str = ""

    def checked(self, value: Any) -> Any:
        """The value as it is kept.

        Raises:
            BadValueError: it cannot be kept.
        """
        if not self._is_of_its_sort(value):
            raise self._refusal()
        return self.check(value)

    def parse(self, text: str) -> Any:
        """A text, of a cell or command line, as a value; not checked yet.

        Raises:
            BadValueError: it is no such value.
        """
        text = text.strip()
        if self.sort is Sort.TRUTH:
            if text.lower() in _YES | _NO:
                return text.lower() in _YES
        elif self.sort is Sort.WHOLE:
            if not text:
                return None
            if text.isascii() and text.isdigit() and len(text) < 10:  # noqa: PLR2004
                return int(text)
        elif self.words is not None:
            if text.lower() in list(self.words):
                return self.words(text.lower())
        else:
            return text
        raise self._refusal()

    def show(self, value: Any) -> str:
        """The value as `parse` reads it."""
        if value is None:
            return ""
        if isinstance(value, bool):
            return "yes" if value else "no"
        return str(value)

    def _is_of_its_sort(self, value: Any) -> bool:
        if self.sort is Sort.TRUTH:
            return isinstance(value, bool)
        if self.sort is Sort.WHOLE:
            return value is None or (isinstance(value, int) and not isinstance(value, bool))
        if self.words is not None:
            return isinstance(value, self.words)
        return isinstance(value, str)

    def _refusal(self) -> BadValueError:
        if self.sort is Sort.TRUTH:
            return BadValueError("is neither yes nor no", "give yes or no")
        if self.sort is Sort.WHOLE:
            return BadValueError("is not a whole number", "give one such as 10, or nothing")
        if self.words is not None:
            return BadValueError("is not known", "give one of " + ", ".join(self.words))
        return BadValueError("is not a text", "give a text")


@dataclass(frozen=True)
class Kind:
    """A kind of people or places.

    Attributes:
        made: Its class in the domain, with fields of the same names.
        key: The fields that name one of it.
        article: Its name with an article.
    """

    entity: Entity
    made: type[Any]
    plural: str
    article: str
    key: tuple[str, ...]
    fields: tuple[Field, ...]

    @cached_property
    def by_name(self) -> dict[str, Field]:
        """The fields by their names."""
        return {field.name: field for field in self.fields}

    @cached_property
    def defaults(self) -> dict[str, Any]:
        """The values of the fields that need not be given."""
        return {
            field.name: field.default for field in fields(self.made) if field.default is not MISSING
        }

    @property
    def noun(self) -> str:
        """Its name, for one of it."""
        return self.article.partition(" ")[2]

    @property
    def of_tenant(self) -> bool:
        """Whether its things belong to a tenant."""
        return "tenant" in self.by_name

    def key_of(self, thing: Thing) -> Key:
        """What names that one."""
        return tuple(getattr(thing, name) for name in self.key)

    def label(self, key: Key) -> str:
        """What that one is called in messages; the tenant `default` is not named."""
        named = key[1:] if self.key[0] == "tenant" else key
        if self.key[0] == "tenant" and key[0] != DEFAULT_TENANT:
            named = key
        # It may be a name that was refused: nothing in it is to steer a terminal.
        text = "/".join(map(str, named))
        return f"{self.noun} " + "".join(char if char.isprintable() else "?" for char in text)

    def label_of(self, thing: Thing) -> str:
        """What a thing is called in messages."""
        return self.label(self.key_of(thing))


_TENANT = Field(
    "tenant",
    "The tenant.",
    checks.name,
    refers=Entity.TENANT,
    instead="remove it, and add it to the other tenant",
)
_LANGUAGE = Field("language", "Language of prompts, such as sv.", checks.language)
_COUNTRY = Field("country", "Country, such as SE.", checks.country)
_HOLIDAYS = Field("holidays", "Public holidays of, such as SE or DE-BY.", checks.holidays)
_PREFIX = Field("outside_prefix", "Digits dialled for an outside line.", checks.outside_prefix)
_SITE = Field("site", "The site.", _or_empty(checks.name), refers=Entity.SITE)
_DEPARTMENT = Field(
    "department", "The department.", _or_empty(checks.name), refers=Entity.DEPARTMENT
)

_RETENTION = Field(
    "retention",
    "Retention plan, such as 90 days; empty: that of the next level.",
    _or_empty(plan),
)

KINDS: dict[Entity, Kind] = {
    kind.entity: kind
    for kind in (
        Kind(
            Entity.TENANT,
            Tenant,
            "tenants",
            "a tenant",
            ("name",),
            (
                Field("name", "Its name.", checks.name),
                Field(
                    "recording",
                    "Whether it is recorded: on, off_new, off_now.",
                    sort=Sort.WORD,
                    words=Switch,
                    instead="use callrec-pbx tenant recording on|off",
                ),
                Field(
                    "user_switch",
                    "Record only users whose recording is switched on.",
                    sort=Sort.TRUTH,
                ),
                Field(
                    "concurrent_limit",
                    "Recordings that may run at the same time; empty: any number.",
                    checks.limit,
                    sort=Sort.WHOLE,
                ),
                _LANGUAGE,
                _COUNTRY,
                Field(
                    "time_zone",
                    "Time zone, such as Europe/Stockholm.",
                    checks.time_zone_of_tenant,
                ),
                _HOLIDAYS,
                _PREFIX,
                Field(
                    "quota_gb",
                    "Room that its recordings may take, in GB; empty: any.",
                    checks.quota,
                    sort=Sort.WHOLE,
                ),
                Field(
                    "on_quota",
                    "When they take more: warn, stop (recording), prune (the oldest first).",
                    sort=Sort.WORD,
                    words=OnQuota,
                ),
            ),
        ),
        Kind(
            Entity.SITE,
            Site,
            "sites",
            "a site",
            ("tenant", "name"),
            (
                _TENANT,
                Field("name", "Its name.", checks.name),
                _LANGUAGE,
                _COUNTRY,
                Field("time_zone", "Time zone, such as Europe/Stockholm.", checks.time_zone),
                _HOLIDAYS,
                _PREFIX,
            ),
        ),
        Kind(
            Entity.DEPARTMENT,
            Department,
            "departments",
            "a department",
            ("tenant", "name"),
            (_TENANT, Field("name", "Its name.", checks.name), _SITE),
        ),
        Kind(
            Entity.USER,
            User,
            "users",
            "a user",
            ("tenant", "email"),
            (
                _TENANT,
                Field("email", "E-mail address.", checks.email),
                Field("name", "The user's own name.", checks.text),
                _LANGUAGE,
                _COUNTRY,
                _DEPARTMENT,
                _SITE,
                Field(
                    "recording",
                    "Whether recording is switched on for the user.",
                    sort=Sort.TRUTH,
                ),
                Field(
                    "profile",
                    "The active profile.",
                    checks.text,
                    instead="use callrec-pbx profile switch",
                ),
                _RETENTION,
            ),
        ),
        Kind(
            Entity.PROFILE,
            Profile,
            "profiles",
            "a profile",
            ("tenant", "user", "name"),
            (
                _TENANT,
                Field(
                    "user",
                    "E-mail of the user.",
                    checks.email,
                    refers=Entity.USER,
                    instead="remove it, and add it to the other user",
                ),
                Field("name", "Its name.", checks.name),
                Field(
                    "record_direct",
                    "Whether direct calls, not through a queue, may be recorded.",
                    sort=Sort.TRUTH,
                ),
                Field("code", "Digits that switch to it.", checks.code),
            ),
        ),
        Kind(
            Entity.LINE,
            Line,
            "lines",
            "a line",
            ("tenant", "extension"),
            (
                _TENANT,
                Field("extension", "The extension.", checks.extension),
                Field(
                    "endpoint",
                    "The PBX's endpoint, or a pattern with * and ?; empty: like the extension.",
                    checks.endpoint,
                ),
                Field("user", "E-mail of its user.", _or_empty(checks.email), refers=Entity.USER),
                Field(
                    "device",
                    "Kind of phone: desk, softphone, mobile, other.",
                    sort=Sort.WORD,
                    words=Device,
                ),
            ),
        ),
        Kind(
            Entity.DDI,
            Ddi,
            "DDIs",
            "a DDI",
            ("number",),
            (
                _TENANT,
                Field("number", "The number, as the dialplan offers it.", checks.number),
                _SITE,
                _LANGUAGE,
                Field("label", "What it is for.", checks.text),
            ),
        ),
        Kind(
            Entity.QUEUE,
            Queue,
            "queues",
            "a queue",
            ("name",),
            (
                _TENANT,
                Field("name", "Its name on the PBX.", checks.queue),
                _SITE,
                _DEPARTMENT,
                _LANGUAGE,
                _RETENTION,
            ),
        ),
    )
}

KIND_OF: dict[type[Any], Kind] = {kind.made: kind for kind in KINDS.values()}


def made(kind: Kind, values: Mapping[str, Any]) -> Thing:
    """A thing of those values."""
    return _uniform(kind.made(**values))


def changed(thing: Thing, values: Mapping[str, Any]) -> Thing:
    """The thing with other values."""
    return _uniform(replace(cast(Any, thing), **values))


def _uniform(thing: Thing) -> Thing:
    """The thing as it reads back: an endpoint that is like the extension is left out."""
    if isinstance(thing, Line) and thing.endpoint == thing.extension:
        return replace(thing, endpoint="")
    return thing


def values_by_field(thing: Thing) -> dict[str, Any]:
    """The values of a thing."""
    return {name: getattr(thing, name) for name in KIND_OF[type(thing)].by_name}
