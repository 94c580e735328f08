"""The searches that are measured, each with the same as people write it otherwise."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from bench.catalogue_fill import DAYS, DDIS, FIRST_DAY, NUMBERS, USERS
from callrec_pbx.catalogue.search import Hours, Search
from callrec_pbx.domain.words import Consent, Direction, RecordingState

ZONE = "Europe/Stockholm"
LARGE = ("t0",)
OFFICE = Hours((0, 1, 2, 3, 4), 8 * 60, 17 * 60)
NIGHT = Hours(from_minute=3 * 60, to_minute=3 * 60 + 5)


@dataclass(frozen=True, slots=True)
class Asked:
    """One search with its values.

    Attributes:
        where: The plain condition, with `:names` of the values.
    """

    search: Search
    where: str
    values: dict[str, Any] = field(default_factory=dict)


Make = Callable[[random.Random], Asked]


def searches(sqlite: bool) -> dict[str, Make]:
    """What the console's people ask for; with other values each time."""

    def plain(where: str, **values: Any) -> tuple[str, dict[str, Any]]:
        return f"r.tenant = :tenant AND {where}", {"tenant": "t0", **values}

    def word(name: str, column: str, value: Callable[[random.Random], str]) -> Make:
        def make(chance: random.Random) -> Asked:
            one = value(chance)
            search = Search(tenants=LARGE, **{name: (one,)})  # type: ignore[arg-type]
            return Asked(search, *plain(f"{column} = :word", word=one))

        return make

    def number(length: int) -> Make:
        def make(chance: random.Random) -> Asked:
            some = _number(chance)[:length]
            like = " OR ".join(f"c.{column} LIKE :like" for column in _COLUMNS)
            where = plain(f"({like})", like=f"%{some[1:] if length > 6 else some}%")
            return Asked(Search(tenants=LARGE, number=some), *where)

        return make

    def period(chance: random.Random) -> Asked:
        begin = datetime.fromisoformat(FIRST_DAY).replace(tzinfo=UTC)
        begin += timedelta(days=chance.randrange(DAYS - 30))
        end = begin + timedelta(days=30)
        bounds = [_stored(at) if sqlite else at for at in (begin, end)]
        where = plain(
            "r.created_at >= :begin AND r.created_at < :end", begin=bounds[0], end=bounds[1]
        )
        return Asked(Search(tenants=LARGE, start=begin, end=end), *where)

    def hours(of: Hours) -> Make:
        search = Search(tenants=LARGE, hours=(of,), zone=ZoneInfo(ZONE))
        return lambda _chance: Asked(search, *plain(_hours(sqlite, of)))

    def length(longer: int, shorter: int | None) -> Make:
        where = f"r.audio_ms >= {longer * 1000}"
        where += "" if shorter is None else f" AND r.audio_ms < {shorter * 1000}"
        below = None if shorter is None else shorter * 1000
        search = Search(tenants=LARGE, longer_ms=longer * 1000, shorter_ms=below)
        return lambda _chance: Asked(search, *plain(where))

    def several(chance: random.Random) -> Asked:
        owner, some = f"u{chance.randrange(30)}@example.com", _number(chance)[3:6]
        search = Search(tenants=LARGE, owners=(owner,), number=some, flagged=False)
        like = " OR ".join(f"c.{column} LIKE :like" for column in _COLUMNS)
        no = "0" if sqlite else "false"
        where = plain(
            f"r.owner = :owner AND r.flagged = {no} AND ({like})", owner=owner, like=f"%{some}%"
        )
        return Asked(search, *where)

    def queue_hours_length(chance: random.Random) -> Asked:
        queue = f"q{chance.randrange(50)}"
        search = Search(
            tenants=LARGE, queues=(queue,), longer_ms=600_000, hours=(OFFICE,), zone=ZoneInfo(ZONE)
        )
        where = f"c.queue = :queue AND r.audio_ms >= 600000 AND {_hours(sqlite, OFFICE)}"
        return Asked(search, *plain(where, queue=queue))

    tagged = _tag(sqlite)
    yes, no = ("1", "0") if sqlite else ("true", "false")
    return {
        "newest, all tenants": lambda _chance: Asked(Search(), "1 = 1"),
        "newest of a tenant": lambda _chance: Asked(Search(tenants=LARGE), *plain("1 = 1")),
        "a month": period,
        "office hours": hours(OFFICE),
        "03:00 to 03:05": hours(NIGHT),
        "owner": word("owners", "r.owner", lambda c: f"u{c.randrange(USERS)}@example.com"),
        "line": word("lines", "r.line", lambda c: str(1000 + c.randrange(USERS))),
        "number, whole": number(12),
        "number, 6 digits": number(6),
        "number, 4 digits": lambda c: number(4)(c) if c.random() < 0.5 else _middle(c, 4, plain),
        "number, 3 digits": lambda c: _middle(c, 3, plain),
        "number that nobody has": lambda c: _middle(c, 0, plain),
        "DDI": word("ddis", "c.ddi", lambda c: f"+46860{10000 + c.randrange(DDIS)}"),
        "queue": word("queues", "c.queue", lambda c: f"q{c.randrange(50)}"),
        "queue, rare": word("queues", "c.queue", lambda _c: "rare"),
        "department": word("departments", "r.department", lambda c: f"d{c.randrange(20)}"),
        "site": word("sites", "r.site", lambda c: f"s{c.randrange(5)}"),
        "direction": word("directions", "c.direction", lambda c: c.choice(tuple(Direction))),
        "30 minutes and more": length(1800, None),
        "62 to 63 seconds": length(62, 63),
        "tag": lambda _c: Asked(
            Search(tenants=LARGE, tags=("complaint",)), *plain(tagged, tag='%"complaint"%')
        ),
        "tag, rare": lambda _c: Asked(
            Search(tenants=LARGE, tags=("rare",)), *plain(tagged, tag='%"rare"%')
        ),
        "flagged": lambda _c: Asked(
            Search(tenants=LARGE, flagged=True), *plain(f"r.flagged = {yes}")
        ),
        "not evaluated": lambda _c: Asked(
            Search(tenants=LARGE, evaluated=False), *plain(f"r.evaluated = {no}")
        ),
        "consent declined": lambda _c: Asked(
            Search(tenants=LARGE, consents=(Consent.DECLINED,)),
            *plain("r.consent_outcome = 'declined'"),
        ),
        "state failed": lambda _c: Asked(
            Search(tenants=LARGE, states=(RecordingState.FAILED,)), *plain("r.state = 'failed'")
        ),
        "owner, number, no flag": several,
        "queue, length, hours": queue_hours_length,
        "owner, all tenants": lambda c: _everywhere(f"u{c.randrange(USERS)}@example.com"),
    }


_COLUMNS = ("a_number", "b_number", "c_number", "ddi")
Plain = Callable[..., tuple[str, dict[str, Any]]]


def _number(chance: random.Random) -> str:
    """One of the outside numbers."""
    return f"+467{chance.randrange(NUMBERS) * 7919 % 100_000_000:08}"


def _middle(chance: random.Random, length: int, plain: Plain) -> Asked:
    """Digits from the middle of a number; none: digits that no number has."""
    some = _number(chance)[5 : 5 + length] if length else "999999999"
    some = some.replace("0", "5")
    like = " OR ".join(f"c.{column} LIKE :like" for column in _COLUMNS)
    return Asked(Search(tenants=LARGE, number=some), *plain(f"({like})", like=f"%{some}%"))


def _everywhere(owner: str) -> Asked:
    return Asked(Search(owners=(owner,)), "r.owner = :owner", {"owner": owner})


def _hours(sqlite: bool, hours: Hours) -> str:
    """The same as people write it; SQLite knows no time zones, so that an hour is added."""
    if sqlite:
        minute = (
            "(CAST(strftime('%H', r.created_at, '+1 hour') AS INTEGER) * 60"
            " + CAST(strftime('%M', r.created_at, '+1 hour') AS INTEGER))"
        )
        weekday = "(CAST(strftime('%w', r.created_at, '+1 hour') AS INTEGER) + 6) % 7"
    else:
        local = f"(r.created_at AT TIME ZONE '{ZONE}')"
        minute = f"(extract(hour FROM {local}) * 60 + extract(minute FROM {local}))"
        weekday = f"extract(isodow FROM {local}) - 1"
    days = ", ".join(map(str, hours.days))
    begin, end = hours.from_minute, hours.to_minute
    return f"{minute} >= {begin} AND {minute} < {end} AND {weekday} IN ({days})"


def _tag(sqlite: bool) -> str:
    return "r.tags LIKE :tag" if sqlite else "CAST(r.tags AS TEXT) LIKE :tag"


def _stored(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(sep=" ", timespec="microseconds")
