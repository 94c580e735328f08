"""What single values of a policy file must look like, and how they become the domain's.

Each check raises ValueError with problem and remedy.
"""

import re
import unicodedata
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from callrec_pbx.config.checks import BadValueError
from callrec_pbx.domain.policy.rules import EVERY_DAY, MINUTES_A_DAY
from callrec_pbx.domain.policy.settings import SUPPRESS

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
LEAST_REMINDER_S = 10
LONGEST_NAME = 80
LONGEST_CASE = 120
FIRST_YEAR, LAST_YEAR = 1970, 2999
"""When made-up calls may begin; time zones reach no further than the years of a computer."""
LONGEST_PATTERN = 254
"""As long as an e-mail may be."""

_NUMBER = re.compile(r"[0-9A-Za-z+#*?_.@:/() -]{1,80}")
_ANNOUNCEMENT = re.compile(r"([a-z][a-z0-9_]{0,31})?")
"""A prompt's name may have 40 characters, of which `_opt_out` takes the last."""
_TIME = re.compile(r"([01]\d|2[0-3]):([0-5]\d)|24:00")


def as_list(value: Any) -> Any:
    """Take a single value for a list of one."""
    return [value] if isinstance(value, str) else value


def whole(value: Any) -> Any:
    """Refuse what a reader would take for a whole number, and the writer did not write as one."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadValueError("is not a whole number", "give one, without quotes and point")
    return value


def reminder(value: int) -> int:
    """Check the interval of reminder tones."""
    if 0 < value < LEAST_REMINDER_S:
        raise BadValueError("is too short", f"give 0 for none, or {LEAST_REMINDER_S} to 90")
    return value


def written(value: str) -> str:
    """A name in the characters in which people and places have theirs."""
    return unicodedata.normalize("NFC", value).strip()


def written_email(value: str) -> str:
    """An e-mail address as users have theirs."""
    return written(value).lower()


def case_name(value: str) -> str:
    """Check the name of a case."""
    if not value.strip() or len(value) > LONGEST_CASE or not value.isprintable():
        raise BadValueError(
            "is not a name for a case",
            f"use 1 to {LONGEST_CASE} printable characters, such as support is asked",
        )
    return value


def name(value: str) -> str:
    """Check the name of a tenant, site, department or holiday, and write it as people do."""
    value = written(value)
    if not value or len(value) > LONGEST_NAME or not value.isprintable():
        raise BadValueError("is not a name", f"use 1 to {LONGEST_NAME} printable characters")
    return value


def name_pattern(value: str) -> str:
    """Check a pattern of names of people or places."""
    value = written(value)
    if not value or len(value) > LONGEST_PATTERN or not value.isprintable():
        raise BadValueError(
            "is not a pattern of names",
            f"use 1 to {LONGEST_PATTERN} printable characters, with * for any characters and ? "
            "for one",
        )
    return value


def email_pattern(value: str) -> str:
    """Check a pattern of e-mails, which are kept in small letters."""
    return written_email(name_pattern(value))


def number_pattern(value: str) -> str:
    """Check an outside number, or a pattern of them, in any spelling."""
    value = value.strip()
    if value.startswith("_"):
        raise BadValueError(
            "looks like a dialplan pattern",
            "write the whole number with * for any characters and ? for one, such as 0800*",
        )
    if not _NUMBER.fullmatch(value):
        raise BadValueError(
            "is not a number or pattern",
            "use digits, letters and + # _ . @ : - / ( ) and blanks, with * for any characters "
            "and ? for one",
        )
    return value


def announcement(value: str) -> str:
    """Check the name of an announcement; empty stands for the built-in one."""
    if not _ANNOUNCEMENT.fullmatch(value):
        raise BadValueError(
            "is not the name of an announcement",
            "use 1 to 32 of a-z 0-9 _ with a letter first, such as acme",
        )
    return value


def announcement_of_level(value: str) -> str:
    """Check the announcement of a tenant or site, where none can be suppressed."""
    if value == SUPPRESS:
        raise BadValueError(
            "can only be said in a [[department]] or a [[rule]]",
            'leave it out here; to tell nobody anything is consent = "none"',
        )
    return announcement(value)


def no_language(_value: Any) -> None:
    """Refuse a language where it would say nothing."""
    raise BadValueError(
        "is not said here, but with DDIs, queues, users, sites and tenants",
        "use `callrec-pbx site set NAME --language CODE`, or tenant, or say it in a [[rule]]",
    )


def minute(value: Any) -> int:
    """Minutes after midnight of a time of day, `24:00` included.

    Args:
        value: A text such as `08:00`, or a TOML time.
    """
    if isinstance(value, time):
        value = value.isoformat("minutes" if not (value.second or value.microsecond) else "auto")
    found = _TIME.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise BadValueError("is not a time of day", 'give hours and minutes, such as "08:00"')
    if found[1] is None:
        return MINUTES_A_DAY
    return int(found[1]) * 60 + int(found[2])


def first_minute(value: Any) -> int:
    """When a window begins; at 24:00 none does."""
    found = minute(value)
    if found == MINUTES_A_DAY:
        raise BadValueError("is the end of the day", 'begin the next day with "00:00"')
    return found


def minute_text(value: int) -> str:
    """Minutes after midnight as a time of day."""
    return f"{value // 60:02d}:{value % 60:02d}"


def days(value: Any) -> tuple[int, ...]:
    """Days of the week, 0 for Monday, from words and spans such as `mon-fri`."""
    if not isinstance(value, list | tuple) or not value:
        raise BadValueError("names no day", 'give days such as ["mon-fri", "sun"]')
    found: set[int] = set()
    for part in value:
        found |= _span(part)
    return tuple(sorted(found))


def _span(part: object) -> set[int]:
    first, dash, last = part.lower().partition("-") if isinstance(part, str) else ("", "", "")
    if first not in DAYS or (dash and last not in DAYS):
        raise BadValueError(
            f"has {part!r}, which is not a day",
            f'use {", ".join(DAYS)}, or a span such as "mon-fri"',
        )
    begin, end = DAYS.index(first), DAYS.index(last if dash else first)
    length = (end - begin) % len(DAYS)
    return {(begin + step) % len(DAYS) for step in range(length + 1)}


def days_text(value: tuple[int, ...]) -> list[str]:
    """Days of the week as words, three and more in a row as a span."""
    words: list[str] = []
    row: list[int] = []
    for day in (*value, None):
        if day is not None and (not row or day == row[-1] + 1):
            row.append(day)
            continue
        if len(row) > 2:  # noqa: PLR2004 - a span of two days is no shorter
            words.append(f"{DAYS[row[0]]}-{DAYS[row[-1]]}")
        else:
            words += [DAYS[one] for one in row]
        row = [] if day is None else [day]
    return words


def is_every_day(value: tuple[int, ...]) -> bool:
    """Whether nothing need be said about days."""
    return value == EVERY_DAY


def day(value: Any) -> date:
    """A date, as TOML has it or as a text."""
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError:
            pass
    elif isinstance(value, date) and not isinstance(value, datetime):
        return value
    raise BadValueError("is not a date", "give one such as 2026-12-24, without quotes")


def since(value: Any) -> datetime:
    """From when a rule counts: a date means its first moment in UTC."""
    return _moment(value, 0)


def until(value: Any) -> datetime:
    """Before when a rule counts: a date means the whole of that day in UTC."""
    return _moment(value, 1)


def moment(value: Any) -> datetime:
    """When a made-up call began; without a zone it is by the site's clock."""
    found = _parsed(value)
    if isinstance(found, datetime):
        if not FIRST_YEAR <= found.year <= LAST_YEAR:
            raise BadValueError(
                f"is not in the years {FIRST_YEAR} to {LAST_YEAR}",
                "give a time at which a call can be",
            )
        return found
    raise BadValueError(
        "is not a time", "give one such as 2026-03-02T10:00:00, or 2026-03-02T10:00:00+01:00"
    )


def _moment(value: Any, extra_days: int) -> datetime:
    found = _parsed(value)
    try:
        if isinstance(found, datetime):
            if found.tzinfo is None:
                raise BadValueError(
                    "does not say which zone its time is in",
                    "add Z or the distance from UTC, such as 2026-03-01T08:00:00+01:00",
                )
            return found.astimezone(UTC)
        if isinstance(found, date):
            found += timedelta(days=extra_days)
            return datetime(found.year, found.month, found.day, tzinfo=UTC)
    except OverflowError:
        raise BadValueError(
            "is a date or time at the end of all dates, with which nothing can be reckoned",
            "leave it out: without it a rule counts from ever, and for ever",
        ) from None
    raise BadValueError(
        "is not a date or time", "give one such as 2026-03-01, or 2026-03-01T08:00:00+01:00"
    )


def _parsed(value: Any) -> date | datetime | None:
    """What TOML or a text says; None when it is neither date nor time."""
    if isinstance(value, date):
        return value
    for parse in (date.fromisoformat, datetime.fromisoformat):
        try:
            return parse(value)
        except (ValueError, TypeError):
            continue
    return None
