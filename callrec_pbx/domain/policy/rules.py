"""A rule: which calls it is for, when, and what it sets."""

from dataclasses import dataclass
from datetime import date, datetime

from callrec_pbx.domain.policy.settings import Settings
from callrec_pbx.domain.words import Device, Direction, Mode, OnHoliday

EVERY_DAY = (0, 1, 2, 3, 4, 5, 6)
MINUTES_A_DAY = 24 * 60
OPEN = Settings()


@dataclass(frozen=True, slots=True)
class Window:
    """A part of the week, in the site's time zone.

    Attributes:
        days: Days of the week, 0 for Monday.
        from_minute: Minutes after midnight when it begins.
        to_minute: When it ends, not included; at or before the beginning: on the next day.
        holidays: What it means on a holiday of the site, which is any day the holiday began.
    """

    days: tuple[int, ...] = EVERY_DAY
    from_minute: int = 0
    to_minute: int = MINUTES_A_DAY
    holidays: OnHoliday = OnHoliday.CLOSED


@dataclass(frozen=True, slots=True)
class Holiday:
    """A day that counts as a holiday beside the public ones; without sites at all of them."""

    day: date
    name: str = ""
    tenant: str = ""
    sites: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One line of the policy; a criterion that is empty matches everything.

    Criteria are patterns, whole strings in which `*` stands for any characters and `?` for one.

    Attributes:
        number: Outside numbers, in any spelling.
        profile: Names of the profile that is active for the user.
        when: The rule counts in any of these windows; empty: always.
        valid_from: The rule counts from then on.
        valid_to: The rule counts before then.
    """

    name: str
    mode: Mode
    settings: Settings = OPEN
    enabled: bool = True
    tenant: tuple[str, ...] = ()
    direction: tuple[Direction, ...] = ()
    ddi: tuple[str, ...] = ()
    queue: tuple[str, ...] = ()
    department: tuple[str, ...] = ()
    user: tuple[str, ...] = ()
    line: tuple[str, ...] = ()
    site: tuple[str, ...] = ()
    trunk: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()
    device: tuple[Device, ...] = ()
    number: tuple[str, ...] = ()
    when: tuple[Window, ...] = ()
    valid_from: datetime | None = None
    valid_to: datetime | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """Settings of a tenant, a site or a department; `name` is empty for the tenant itself."""

    kind: str
    tenant: str
    name: str
    settings: Settings


@dataclass(frozen=True, slots=True)
class PolicyText:
    """All that an administrator writes down: what versions keep and `policy export` prints.

    Attributes:
        excluded_numbers: Outside numbers, or patterns of them, that are never recorded.
    """

    places: tuple[Place, ...] = ()
    rules: tuple[Rule, ...] = ()
    holidays: tuple[Holiday, ...] = ()
    excluded_numbers: tuple[str, ...] = ()
