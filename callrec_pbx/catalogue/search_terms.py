"""What to search recordings for, and the words by which the catalogue finds them.

Nothing here speaks to the database; rows are written and searched by the same words.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo

from callrec_pbx.catalogue.engine import CatalogueError
from callrec_pbx.domain.words import Consent, Direction, RecordingState

LONGEST_NUMBER = 40
"""Characters of a number that are searched; a telephone number has 15, an e-mail address more."""

DECISIVE = (
    Consent.DECLINED,
    Consent.NO_ANSWER,
    Consent.ACCEPTED,
    Consent.ANNOUNCED,
    Consent.NOT_REQUIRED,
)
"""Outcomes of asking, of which the first that any party gave is the call's."""

BANDS_S = (
    *(0, 5, 10, 20, 30, 60, 120, 180, 300, 600, 900),
    *(1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400),
)
"""Where the bands of length begin (seconds), each about half as long again as the one before."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_CURSOR = re.compile(r"(-?[0-9]{1,18})\.([0-9a-z]{0,32})")
_NO_SIGN = re.compile(r"[^0-9a-z]+")


class SearchError(CatalogueError):
    """What is searched for makes no sense; the user writes it as the text says."""


@dataclass(frozen=True, slots=True)
class Hours:
    """A part of the week, such as office hours.

    Attributes:
        days: Days of the week on which it begins, 0 for Monday.
        from_minute: Minutes after midnight when it begins.
        to_minute: When it ends, not included; at or before the beginning: on the next day.
    """

    days: tuple[int, ...] = (0, 1, 2, 3, 4, 5, 6)
    from_minute: int = 0
    to_minute: int = 24 * 60

    def include(self, local: datetime) -> bool:
        """Whether a moment, by the clock on the wall, lies in it."""
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.to_minute > self.from_minute:
            return day in self.days and self.from_minute <= minute < self.to_minute
        if minute >= self.from_minute and day in self.days:
            return True
        return minute < self.to_minute and (day - 1) % 7 in self.days


@dataclass(frozen=True, slots=True)
class Search:
    """Which recordings are wanted, and in which order.

    A criterion that is left open takes all; of several values one has to fit; all criteria have to.

    Attributes:
        tenants: Names of tenants; None: all there are. Without a name nothing is found: who may see
            no tenant sees no recording.
        start: Created at this time or later.
        end: Created before this time.
        hours: Created in one of these parts of the week, by the clocks of `zone`.
        owners: E-mails of users, or lines without user.
        number: Any part of a number of the call or of one of its legs, in any spelling.
        ddis: Dialled direct numbers, as the call has them.
        longer_ms: Audio of at least this length.
        shorter_ms: Audio shorter than this.
        consents: The decisive outcome of asking the parties (`DECISIVE`).
    """

    tenants: tuple[str, ...] | None = None
    start: datetime | None = None
    end: datetime | None = None
    hours: tuple[Hours, ...] = ()
    zone: tzinfo = UTC
    owners: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    number: str = ""
    ddis: tuple[str, ...] = ()
    queues: tuple[str, ...] = ()
    departments: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    directions: tuple[Direction, ...] = ()
    longer_ms: int | None = None
    shorter_ms: int | None = None
    tags: tuple[str, ...] = ()
    flagged: bool | None = None
    evaluated: bool | None = None
    consents: tuple[Consent, ...] = ()
    states: tuple[RecordingState, ...] = ()
    oldest_first: bool = False


def digits(number: str) -> str:
    """A number as it is searched: digits and small letters, without plus or 00."""
    return _bare(number).removeprefix("00")[:LONGEST_NUMBER]


def part(number: str) -> str:
    """What to look for where somebody searches for that number: without a leading zero either.

    Raises:
        SearchError: there is no digit and no letter in it.
    """
    bare = _bare(number)
    if not bare:
        raise SearchError(
            f"number {number!r}: has no digit; give a part of the number, such as 070-123 or +4670"
        )
    zeros = "00" if bare.startswith("00") else "0"
    return (bare.removeprefix(zeros) or "0")[:LONGEST_NUMBER]


def numbers_of(numbers: Iterable[str]) -> str:
    """Numbers as they are searched, each once, with spaces between."""
    return " ".join(sorted({digits(number) for number in numbers} - {""}))


def consent_outcome(outcomes: Iterable[Consent]) -> str:
    """What came of asking the parties of a call, in one word; empty where nothing did."""
    found = set(outcomes)
    return next((outcome.value for outcome in DECISIVE if outcome in found), "")


def length_band(audio_ms: int | None) -> int | None:
    """The band that a length belongs to; None where it is not known."""
    return None if audio_ms is None else bisect_right(BANDS_S, audio_ms / 1000) - 1


def length_bands(longer_ms: int | None, shorter_ms: int | None) -> tuple[int, ...]:
    """The bands that have lengths from the one on and below the other."""
    first = length_band(max(longer_ms or 0, 0)) or 0
    last = len(BANDS_S) - 1 if shorter_ms is None else length_band(shorter_ms - 1)
    return tuple(range(first, (-1 if last is None else last) + 1))


def as_cursor(at: datetime, key: str) -> str:
    """A place in a list that is sorted by time and id, as a text."""
    return f"{(at - _EPOCH) // _MICROSECOND}.{key}"


def from_cursor(cursor: str) -> tuple[datetime, str]:
    """The place that a cursor means.

    Raises:
        SearchError: it is none.
    """
    found = _CURSOR.fullmatch(cursor)
    try:
        if found:
            return _EPOCH + int(found[1]) * _MICROSECOND, found[2]
    except OverflowError:
        pass
    raise SearchError(f"cursor {cursor!r}: is none; give the one that came with the page before")


def _bare(number: str) -> str:
    if not number.isascii():
        found = ((sign, unicodedata.decimal(sign, None)) for sign in number)
        number = "".join(sign if value is None else str(value) for sign, value in found)
    return _NO_SIGN.sub("", number.lower())
