"""When a rule counts: parts of the week by the site's clock, holidays, and the rule's validity.

Moments are of the week of Monday, 2 March 2026, in Berlin (UTC+1) where nothing else is said.
"""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from callrec_pbx.domain.people import Belonging, Line, People, Site, Tenant, User
from callrec_pbx.domain.policy import CallInQuestion, Policy, PolicyText
from callrec_pbx.domain.policy.rules import Holiday, Window
from callrec_pbx.domain.policy.schedule import Calendar, local_time
from callrec_pbx.domain.words import Direction, OnHoliday, Outcome, Switch
from tests.rules import rule

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MONDAY = date(2026, 3, 2)
BERLIN = ZoneInfo("Europe/Berlin")
TENANT = Tenant("acme", Switch.ON, time_zone="Europe/Berlin", holidays="DE")
HERE = Belonging(tenant=TENANT)


def day(name: str) -> date:
    """That day of the week."""
    return MONDAY + timedelta(days=DAYS.index(name))


def at(moment: str) -> datetime:
    """Such as `fri 22:00:30`, in Berlin, as the PBX tells it: in UTC."""
    name, clock = moment.split()
    local = datetime.fromisoformat(f"{day(name)}T{clock}")
    return local.replace(tzinfo=BERLIN).astimezone(UTC)


def window(days: str, span: str = "", holidays: OnHoliday = OnHoliday.CLOSED) -> Window:
    """Such as `mon fri` and `22:00-06:00`; without a span the whole day."""
    numbers = tuple(DAYS.index(name) for name in (days.split() or DAYS))
    if not span:
        return Window(numbers, holidays=holidays) if days else Window(holidays=holidays)
    begin, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in span.split("-"))
    return Window(numbers, begin, end, holidays)


@pytest.mark.parametrize(
    ("days", "span", "moment", "is_open"),
    [
        # Within a day: from is in it, to is not.
        ("mon", "08:00-17:00", "mon 07:59:59", False),
        ("mon", "08:00-17:00", "mon 08:00", True),
        ("mon", "08:00-17:00", "mon 16:59:59", True),
        ("mon", "08:00-17:00", "mon 17:00", False),
        ("mon", "08:00-17:00", "tue 12:00", False),
        ("mon", "08:00-17:00", "sun 12:00", False),
        ("", "08:00-17:00", "sun 12:00", True),
        ("mon wed", "08:00-17:00", "wed 12:00", True),
        ("mon wed", "08:00-17:00", "tue 12:00", False),
        ("fri", "22:00-24:00", "fri 23:59:59", True),
        ("fri", "22:00-24:00", "sat 00:00", False),
        # Past midnight: it belongs to the day on which it began.
        ("fri", "22:00-06:00", "fri 05:00", False),
        ("fri", "22:00-06:00", "fri 21:59:59", False),
        ("fri", "22:00-06:00", "fri 22:00", True),
        ("fri", "22:00-06:00", "sat 00:00", True),
        ("fri", "22:00-06:00", "sat 05:59:59", True),
        ("fri", "22:00-06:00", "sat 06:00", False),
        ("fri", "22:00-06:00", "sat 22:00", False),
        ("fri", "22:00-06:00", "sun 05:00", False),
        ("sun", "22:00-06:00", "mon 05:00", True),
        ("fri", "22:00-00:00", "fri 23:59:59", True),
        ("fri", "22:00-00:00", "sat 00:00", False),
        # The whole day, unless it says otherwise.
        ("tue", "", "mon 23:59:59", False),
        ("tue", "", "tue 00:00", True),
        ("tue", "", "tue 23:59:59", True),
        ("tue", "", "wed 00:00", False),
        ("", "", "mon 00:00", True),
        ("", "", "sun 23:59:59", True),
        # From and to alike: 24 hours from then on.
        ("tue", "09:00-09:00", "tue 08:59:59", False),
        ("tue", "09:00-09:00", "tue 09:00", True),
        ("tue", "09:00-09:00", "wed 08:59:59", True),
        ("tue", "09:00-09:00", "wed 09:00", False),
        ("tue", "00:00-00:00", "tue 00:00", True),
        ("tue", "00:00-00:00", "wed 00:00", False),
    ],
)
def test_parts_of_the_week(days: str, span: str, moment: str, is_open: bool) -> None:
    calendar = Calendar({}, ())
    assert calendar.is_open((window(days, span),), at(moment), HERE) is is_open


def test_any_of_several_parts_is_enough() -> None:
    parts = (window("mon", "08:00-12:00"), window("mon", "13:00-17:00"))
    calendar = Calendar({}, ())
    found = [
        calendar.is_open(parts, at(f"mon {hour}:30"), HERE) for hour in ("07", "11", "12", "16")
    ]
    assert found == [False, True, False, True]
    assert not calendar.is_open((), at("mon 11:30"), HERE)


@pytest.mark.parametrize(
    ("holidays", "days", "span", "moment", "is_open"),
    [
        # Thursday is a holiday.
        (OnHoliday.CLOSED, "", "08:00-17:00", "wed 12:00", True),
        (OnHoliday.CLOSED, "", "08:00-17:00", "thu 12:00", False),
        (OnHoliday.OPEN, "", "08:00-17:00", "wed 12:00", True),
        (OnHoliday.OPEN, "", "08:00-17:00", "thu 12:00", True),
        (OnHoliday.OPEN, "mon", "08:00-17:00", "thu 12:00", False),
        (OnHoliday.ONLY, "", "08:00-17:00", "wed 12:00", False),
        (OnHoliday.ONLY, "", "08:00-17:00", "thu 12:00", True),
        (OnHoliday.ONLY, "", "08:00-17:00", "thu 17:00", False),
        (OnHoliday.ONLY, "mon", "08:00-17:00", "thu 12:00", False),
        (OnHoliday.ONLY, "mon", "08:00-17:00", "mon 12:00", False),
        # A night is a holiday's if it began on one.
        (OnHoliday.CLOSED, "", "22:00-06:00", "thu 05:00", True),
        (OnHoliday.CLOSED, "", "22:00-06:00", "thu 22:00", False),
        (OnHoliday.CLOSED, "", "22:00-06:00", "fri 05:00", False),
        (OnHoliday.CLOSED, "", "22:00-06:00", "fri 22:00", True),
        (OnHoliday.OPEN, "", "22:00-06:00", "fri 05:00", True),
        (OnHoliday.ONLY, "", "22:00-06:00", "thu 05:00", False),
        (OnHoliday.ONLY, "", "22:00-06:00", "thu 22:00", True),
        (OnHoliday.ONLY, "", "22:00-06:00", "fri 05:00", True),
        (OnHoliday.ONLY, "", "22:00-06:00", "fri 06:00", False),
    ],
)
@pytest.mark.parametrize("kind", ["public", "own"])
def test_on_holidays(  # noqa: PLR0917
    kind: str, holidays: OnHoliday, days: str, span: str, moment: str, is_open: bool
) -> None:
    thursday = day("thu")
    public = {"DE": frozenset({thursday}), "SE": frozenset({day("wed")})}
    calendar = Calendar(public, ()) if kind == "public" else Calendar({}, (Holiday(thursday),))
    assert calendar.is_open((window(days, span, holidays),), at(moment), HERE) is is_open


@pytest.mark.parametrize(
    ("of_tenant", "of_site", "closed"),
    [
        ("DE", None, "wed"),
        ("DE", "", "wed"),
        ("DE", "DE-BY", "thu"),
        ("", "DE-BY", "thu"),
        ("", "", ""),
        ("SE", None, ""),
    ],
)
def test_public_holidays_are_the_sites_else_the_tenants(
    of_tenant: str, of_site: str | None, closed: str
) -> None:
    public = {"DE": frozenset({day("wed")}), "DE-BY": frozenset({day("thu")})}
    site = None if of_site is None else Site("acme", "Munich", holidays=of_site)
    belonging = Belonging(tenant=Tenant("acme", holidays=of_tenant), site=site)
    calendar = Calendar(public, ())
    assert [name for name in DAYS if calendar.is_holiday(day(name), belonging)] == closed.split()


MUNICH = Site("acme", "Munich")
OSLO = Site("acme", "Oslo")
ACME, OTHER = Tenant("acme"), Tenant("other")


@pytest.mark.parametrize(
    ("tenant", "sites", "belonging", "counts"),
    [
        ("", (), Belonging(), True),
        ("", (), Belonging(ACME, MUNICH), True),
        ("acme", (), Belonging(ACME), True),
        ("acme", (), Belonging(ACME, MUNICH), True),
        ("acme", (), Belonging(OTHER), False),
        ("acme", (), Belonging(), False),
        ("", ("Munich", "Bonn"), Belonging(ACME, MUNICH), True),
        ("", ("Munich", "Bonn"), Belonging(ACME, OSLO), False),
        ("", ("Munich", "Bonn"), Belonging(ACME), False),
        ("acme", ("Munich",), Belonging(ACME, MUNICH), True),
        ("acme", ("Munich",), Belonging(OTHER, Site("other", "Munich")), False),
    ],
)
def test_own_holidays(
    tenant: str, sites: tuple[str, ...], belonging: Belonging, counts: bool
) -> None:
    holiday = Holiday(day("wed"), "Founder's day", tenant, sites)
    calendar = Calendar({}, (holiday,))
    assert calendar.is_holiday(day("wed"), belonging) is counts
    assert not calendar.is_holiday(day("thu"), belonging)
    # Another one on that day, of somebody else, takes nothing away.
    both = Calendar({}, (Holiday(day("wed"), tenant="third"), holiday))
    assert both.is_holiday(day("wed"), belonging) is counts


@pytest.mark.parametrize(
    ("span", "moment", "is_open"),
    [
        # The clock goes from 02:00 to 03:00 at 01:00 UTC on 29 March: there is no 02:30.
        ("02:00-03:00", "2026-03-29T00:59:59", False),
        ("02:00-03:00", "2026-03-29T01:00:00", False),
        ("01:00-03:00", "2026-03-29T00:59:59", True),
        ("01:00-03:00", "2026-03-29T01:00:00", False),
        ("08:00-17:00", "2026-03-28T06:30:00", False),
        ("08:00-17:00", "2026-03-29T06:30:00", True),
        ("08:00-17:00", "2026-03-28T15:30:00", True),
        ("08:00-17:00", "2026-03-29T15:30:00", False),
        # It goes from 03:00 to 02:00 at 01:00 UTC on 25 October: 02:30 is there twice.
        ("02:00-03:00", "2026-10-24T23:59:59", False),
        ("02:00-03:00", "2026-10-25T00:30:00", True),
        ("02:00-03:00", "2026-10-25T01:30:00", True),
        ("02:00-03:00", "2026-10-25T02:00:00", False),
        ("22:00-02:30", "2026-10-25T00:29:59", True),
        ("22:00-02:30", "2026-10-25T00:30:00", False),
        ("08:00-17:00", "2026-10-25T06:30:00", False),
        ("08:00-17:00", "2026-10-25T07:00:00", True),
    ],
)
def test_summer_time(span: str, moment: str, is_open: bool) -> None:
    moment_utc = datetime.fromisoformat(moment).replace(tzinfo=UTC)
    assert Calendar({}, ()).is_open((window("", span),), moment_utc, HERE) is is_open


@pytest.mark.parametrize(
    ("of_tenant", "of_site", "local"),
    [
        ("Europe/Berlin", None, "mon 01:30"),
        ("Europe/Berlin", "", "mon 01:30"),
        ("Europe/Berlin", "America/New_York", "sun 19:30"),
        ("", "America/New_York", "sun 19:30"),
        ("UTC", None, "mon 00:30"),
        ("", None, "mon 00:30"),
        ("Nowhere/Land", None, "mon 00:30"),
        (None, None, "mon 00:30"),
    ],
)
def test_the_sites_clock_else_the_tenants(
    of_tenant: str | None, of_site: str | None, local: str
) -> None:
    """Half past midnight on Monday in UTC; the day of the week is the site's, too."""
    site = None if of_site is None else Site("acme", "there", time_zone=of_site)
    tenant = None if of_tenant is None else Tenant("acme", time_zone=of_tenant)
    belonging = Belonging(tenant=tenant, site=site)
    moment = datetime(2026, 3, 2, 0, 30, tzinfo=UTC)
    there = local_time(moment, belonging)
    assert f"{DAYS[there.weekday()]} {there:%H:%M}" == local
    calendar = Calendar({}, ())
    is_open = [name for name in DAYS if calendar.is_open((window(name),), moment, belonging)]
    assert is_open == [local[:3]]


def test_the_first_and_the_last_day_of_all() -> None:
    night = (window("", "22:00-06:00"),)
    calendar = Calendar({}, ())
    west = Belonging(tenant=Tenant("acme", time_zone="America/New_York"))
    first = datetime.min.replace(tzinfo=UTC)
    last = datetime.max.replace(tzinfo=UTC)
    assert not calendar.is_open(night, first, Belonging())
    assert not calendar.is_open(night, first, west)
    assert calendar.is_open(night, last, HERE)


FROM = datetime(2026, 3, 2, 8, tzinfo=UTC)
TO = datetime(2026, 3, 6, 17, tzinfo=UTC)
A_MOMENT = timedelta(microseconds=1)


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "moment", "counts"),
    [
        (FROM, None, FROM - A_MOMENT, False),
        (FROM, None, FROM, True),
        (FROM, None, TO, True),
        (None, TO, FROM, True),
        (None, TO, TO - A_MOMENT, True),
        (None, TO, TO, False),
        (FROM, TO, FROM, True),
        (FROM, TO, TO, False),
        (FROM, TO, None, False),
        (FROM, None, None, False),
        (None, TO, None, False),
        (None, None, None, True),
        (FROM, None, FROM.astimezone(ZoneInfo("Asia/Tokyo")), True),
    ],
)
@pytest.mark.parametrize("line", ["301", None])
def test_validity(
    line: str | None,
    valid_from: datetime | None,
    valid_to: datetime | None,
    moment: datetime | None,
    counts: bool,
) -> None:
    """The first moment is in it, the last is not; also while nobody has answered."""
    policy = Policy("1", PolicyText(rules=(rule("r", valid_from=valid_from, valid_to=valid_to),)))
    decision = policy.decide(CallInQuestion(Direction.INBOUND, line, at=moment))
    assert decision.outcome is (Outcome.RECORDED if counts else Outcome.NOT_SELECTED)
    assert decision.reason == ("rule" if counts else "no_rule")


def test_a_rule_by_the_calendar_of_who_is_recorded() -> None:
    """Munich has a holiday on Wednesday, and Berlin has none; both are of one tenant."""
    people = People.of(
        [TENANT],
        sites=[Site("acme", "Munich", holidays="DE-BY"), Site("acme", "Berlin")],
        users=[User("acme", "m@x.se", site="Munich"), User("acme", "b@x.se", site="Berlin")],
        lines=[Line("acme", "301", user="m@x.se"), Line("acme", "302", user="b@x.se")],
    )
    hours = rule("hours", when=(window("mon tue wed", "08:00-17:00"),))
    text = PolicyText(rules=(hours,), holidays=(Holiday(day("tue"), sites=("Berlin",)),))
    public = {"DE-BY": frozenset({day("wed")})}
    policy = Policy("1", text, people=people, public_holidays=public)

    def recorded(line: str) -> list[str]:
        calls = {n: CallInQuestion(Direction.INBOUND, line, at=at(f"{n} 12:00")) for n in DAYS}
        return [name for name, call in calls.items() if policy.decide(call).may_record]

    assert recorded("301") == ["mon", "tue"]
    assert recorded("302") == ["mon", "wed"]
    assert not policy.decide(CallInQuestion(Direction.INBOUND, "301")).may_record
