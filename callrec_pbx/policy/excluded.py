"""Single excluded numbers: the same one in another spelling, and lists of them in a file."""

import re
from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, select

from callrec_pbx.catalogue.people_models import SiteRow, TenantRow
from callrec_pbx.config.checks import BadValueError
from callrec_pbx.config.errors import Problem
from callrec_pbx.config.explain import shown_value
from callrec_pbx.domain.patterns import compiled
from callrec_pbx.numbers import Numbers
from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.values import number_pattern

_WRITTEN = re.compile(r"[0-9+*#?/().\s-]+")
_DECORATION = re.compile(r"[/().\s-]")


def key_of(number: str) -> str:
    """A number without what only makes it readable, so that spellings can be compared."""
    if not _WRITTEN.fullmatch(number):
        return number
    bare = _DECORATION.sub("", number.replace("(0)", "") if number.startswith("+") else number)
    return "+" + bare[2:] if bare.startswith("00") else bare


def home_countries(connection: Connection) -> tuple[str, ...]:
    """The countries of tenants and sites: a number without its country code is of one of them."""
    tenants = connection.scalars(select(TenantRow.country))
    sites = connection.scalars(select(SiteRow.country))
    return tuple(sorted({country for country in (*tenants, *sites) if country}))


def readings_of(number: str, countries: Iterable[str] = ()) -> tuple[str, ...]:
    """What a number or pattern means in each of the countries, each meaning once."""
    found = Numbers().patterns_e164(number, tuple(countries) or ("",))
    return tuple(dict.fromkeys(key_of(reading) for reading in found))


def new_among(
    numbers: Iterable[str], there: Iterable[str], countries: Iterable[str] = ()
) -> tuple[str, ...]:
    """Those numbers of which something that they mean is not there in any spelling, each once."""
    countries = tuple(countries)
    meant = {reading for number in there for reading in readings_of(number, countries)}
    found = []
    for number in numbers:
        if not meant.issuperset(meanings := readings_of(number, countries)):
            meant.update(meanings)
            found.append(number)
    return tuple(found)


def entries_of(
    numbers: Iterable[str], there: Iterable[str], countries: Iterable[str] = ()
) -> tuple[str, ...]:
    """All the entries that mean those numbers, in whatever spelling, so that none is left.

    Raises:
        PolicyFileError: One of them is not there; it names all that are not.
    """
    countries = tuple(countries)
    by_reading: dict[str, list[str]] = {}
    for entry in there:
        for reading in readings_of(entry, countries):
            by_reading.setdefault(reading, []).append(entry)
    found: dict[str, list[str]] = {}
    for number in numbers:
        meanings = readings_of(number, countries)
        found[number] = [one for reading in meanings for one in by_reading.get(reading, ())]
    missing = [number for number, entries in found.items() if not entries]
    if missing:
        raise PolicyFileError(
            Problem(
                "excluded number",
                shown_value(number),
                None,
                "is not there",
                "`callrec-pbx policy exclude list` shows all",
            )
            for number in missing
        )
    return tuple(dict.fromkeys(entry for entries in found.values() for entry in entries))


def gone_from(
    there: Iterable[str], numbers: Iterable[str], countries: Iterable[str] = ()
) -> tuple[str, ...]:
    """The entries that mean something that none of those numbers means."""
    countries = tuple(countries)
    meant = {reading for number in numbers for reading in readings_of(number, countries)}
    return tuple(one for one in there if not meant.issuperset(readings_of(one, countries)))


def like(
    there: Iterable[str], patterns: Iterable[str], countries: Iterable[str] = ()
) -> tuple[str, ...]:
    """The entries that fit one of the patterns, in any spelling; without patterns all."""
    listed, countries = tuple(patterns), tuple(countries)
    if not listed:
        return tuple(there)

    def ways(number: str) -> set[str]:
        return {key_of(number), *readings_of(number, countries)}

    keys = set[str]().union(*map(ways, listed))
    expressions = [compiled(key) for key in keys]
    return tuple(
        entry
        for entry in there
        if not keys.isdisjoint(ways(entry))
        or any(one.fullmatch(way) for way in ways(entry) for one in expressions)
    )


def parse_numbers(text: str, source: str) -> tuple[str, ...]:
    """Numbers of a file: one in a line, `#` before a remark, empty lines left out.

    Raises:
        PolicyFileError: A line is no number; it names all such lines.
    """
    problems: list[Problem] = []
    found = dict.fromkeys(_numbers(text, source, problems))
    if problems:
        raise PolicyFileError(problems)
    return tuple(found)


def _numbers(text: str, source: str, problems: list[Problem]) -> Iterator[str]:
    for count, line in enumerate(text.splitlines(), 1):
        # `#` is a key of the phone too (#31#), so that a remark begins after a blank, or the line.
        number = re.split(r"(?:^|\s)#(?:\s|$)", line, maxsplit=1)[0].strip()
        if not number:
            continue
        try:
            yield number_pattern(number)
        except BadValueError as error:
            problem, _, remedy = str(error).partition("; ")
            problems.append(Problem(source, f"line {count}", shown_value(number), problem, remedy))
