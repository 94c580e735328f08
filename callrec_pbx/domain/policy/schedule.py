"""Whether a moment lies in a window of the week, by the site's clock and holidays."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from callrec_pbx.domain.people import Belonging
from callrec_pbx.domain.policy.rules import Holiday, Window
from callrec_pbx.domain.words import OnHoliday

PublicHolidays = Mapping[str, frozenset[date]]
"""Public holidays by their code, such as `SE` or `DE-BY`."""


@lru_cache(maxsize=1000)
def zone(name: str) -> ZoneInfo | None:
    """The time zone of that IANA name; None for UTC, and where there is no such zone."""
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        return None


def local_time(at: datetime, belonging: Belonging) -> datetime:
    """The site's time of day, else the tenant's."""
    site, tenant = belonging.site, belonging.tenant
    name = (site.time_zone if site else "") or (tenant.time_zone if tenant else "")
    try:
        return at.astimezone(zone(name) or UTC)
    except OverflowError:  # the first or last day of all dates, which is no real call's
        return at


class Calendar:
    """Public holidays and the days that an administrator added."""

    def __init__(self, public: PublicHolidays, own: tuple[Holiday, ...]) -> None:
        self._public = public
        self._own: dict[date, list[Holiday]] = {}
        for holiday in own:
            self._own.setdefault(holiday.day, []).append(holiday)

    def is_holiday(self, day: date, belonging: Belonging) -> bool:
        """Whether the day is a holiday at the site that a call belongs to."""
        site, tenant = belonging.site, belonging.tenant
        code = (site.holidays if site else "") or (tenant.holidays if tenant else "")
        if day in self._public.get(code, frozenset()):
            return True
        for holiday in self._own.get(day, ()):
            if holiday.tenant and (tenant is None or holiday.tenant != tenant.name):
                continue
            if not holiday.sites or (site is not None and site.name in holiday.sites):
                return True
        return False

    def is_open(self, windows: tuple[Window, ...], at: datetime, belonging: Belonging) -> bool:
        """Whether one of the windows is open at that moment."""
        local = local_time(at, belonging)
        minute = local.hour * 60 + local.minute
        today = local.date()
        for window in windows:
            past_midnight = window.to_minute <= window.from_minute
            begun = window.from_minute <= minute and (past_midnight or minute < window.to_minute)
            if begun and self._counts(window, today, belonging):
                return True
            # A window that goes past midnight belongs to the day on which it began.
            late = past_midnight and minute < window.to_minute and today > date.min
            if late and self._counts(window, today - timedelta(days=1), belonging):
                return True
        return False

    def _counts(self, window: Window, day: date, belonging: Belonging) -> bool:
        if window.holidays is not OnHoliday.OPEN:
            holiday = self.is_holiday(day, belonging)
            if window.holidays is OnHoliday.ONLY:
                return holiday and day.weekday() in window.days
            if holiday:
                return False
        return day.weekday() in window.days
