"""The options that choose recordings, the same for every command that works on several."""

import functools
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Annotated, Any
from zoneinfo import ZoneInfo

import typer
from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.search import Hours, Search
from callrec_pbx.catalogue.search_terms import part
from callrec_pbx.cli.common import beginning, check_order, ending
from callrec_pbx.domain.words import Consent, Direction, RecordingState
from callrec_pbx.people.load import load_people

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_A_DAY = 24 * 60

_CLOCK = re.compile(r"([01]?[0-9]|2[0-4]):([0-5][0-9])")
_LENGTH = re.compile(r"([0-9]{1,6})(s|m|h)?")
_UNITS_MS = {"s": 1000, "m": 60_000, "h": 3_600_000}


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was given on the command line."""

    options: Mapping[str, Any]

    @property
    def nothing(self) -> bool:
        """Whether no criterion was given, so that all recordings are meant."""
        return all(value in (None, [], ()) for value in self.options.values())

    def search(self, engine: Engine, *, oldest_first: bool = False) -> Search:
        """The search that is meant.

        Raises:
            BadParameter: an option makes no sense.
        """
        given = self.options
        start, end = beginning(given["start"], "--from"), ending(given["end"], "--to")
        check_order(start, end, given["end"])
        tenants = tuple(given["tenant"]) if given["tenant"] else None
        hours = _hours(given["time_of_day"] or (), given["weekday"] or ())
        if given["number"]:
            part(given["number"])
        return Search(
            tenants=tenants,
            start=start,
            end=end,
            hours=hours,
            zone=_zone(engine, given["time_zone"], tenants) if hours else UTC,
            owners=tuple(given["owner"] or ()),
            lines=tuple(given["line"] or ()),
            number=given["number"] or "",
            ddis=tuple(given["ddi"] or ()),
            queues=tuple(given["queue"] or ()),
            departments=tuple(given["department"] or ()),
            sites=tuple(given["site"] or ()),
            directions=tuple(given["direction"] or ()),
            longer_ms=_length(given["longer_than"], "--longer-than"),
            shorter_ms=_length(given["shorter_than"], "--shorter-than"),
            tags=tuple(given["tag"] or ()),
            flagged=given["flagged"],
            evaluated=given["evaluated"],
            consents=tuple(given["consent"] or ()),
            states=tuple(given["state"] or ()),
            oldest_first=oldest_first,
        )


def _options(
    *,
    start: Annotated[
        str | None, typer.Option("--from", help="Date or time (local) of the first.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Date (included) or time (local) of the last.")
    ] = None,
    tenant: Annotated[list[str] | None, typer.Option(help="Whose they are; repeatable.")] = None,
    owner: Annotated[
        list[str] | None, typer.Option(help="A user's e-mail, or a line; repeatable.")
    ] = None,
    line: Annotated[list[str] | None, typer.Option(help="The line; repeatable.")] = None,
    number: Annotated[
        str | None, typer.Option(help="Any part of a number of the call, in any spelling.")
    ] = None,
    ddi: Annotated[list[str] | None, typer.Option(help="The number dialled; repeatable.")] = None,
    queue: Annotated[list[str] | None, typer.Option(help="The queue; repeatable.")] = None,
    department: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    site: Annotated[list[str] | None, typer.Option(help="Repeatable.")] = None,
    direction: Annotated[list[Direction] | None, typer.Option(help="Repeatable.")] = None,
    longer_than: Annotated[
        str | None, typer.Option(help="Of at least this length: 90, 90s, 10m or 1h.")
    ] = None,
    shorter_than: Annotated[
        str | None, typer.Option(help="Shorter than this: 90, 90s, 10m or 1h.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option(help="With this tag; repeatable.")] = None,
    flagged: Annotated[
        bool | None, typer.Option("--flagged/--not-flagged", help="Whether it has the flag.")
    ] = None,
    evaluated: Annotated[
        bool | None,
        typer.Option("--evaluated/--not-evaluated", help="Whether somebody has evaluated it."),
    ] = None,
    consent: Annotated[
        list[Consent] | None, typer.Option(help="What came of asking; repeatable.")
    ] = None,
    state: Annotated[
        list[RecordingState] | None, typer.Option(help="Only in this state; repeatable.")
    ] = None,
    time_of_day: Annotated[
        list[str] | None, typer.Option(help="Such as 08:00-17:00 or 22:00-06:00; repeatable.")
    ] = None,
    weekday: Annotated[
        list[str] | None, typer.Option(help="Such as mon-fri or sat; repeatable.")
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option(help="Whose clocks the time of day means; else the tenant's, else UTC."),
    ] = None,
) -> None:
    """What is added to a command."""


def takes_search(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options that choose recordings; it takes them as `chosen`."""
    own = inspect.signature(command, eval_str=True)
    options = inspect.signature(_options, eval_str=True).parameters

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        chosen = Chosen({name: given.pop(name) for name in options})
        command(chosen=chosen, **given)

    first = [one for name, one in own.parameters.items() if name != "chosen"]
    keyword = [one for one in first if one.kind is inspect.Parameter.KEYWORD_ONLY]
    others = [one for one in first if one not in keyword]
    parameters = [*others, *options.values(), *keyword]
    changed: Any = with_options
    changed.__signature__ = own.replace(parameters=parameters)
    changed.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
    return with_options


def _hours(times: list[str] | tuple[()], weekdays: list[str] | tuple[()]) -> tuple[Hours, ...]:
    if not times and not weekdays:
        return ()
    days = tuple(sorted({day for text in weekdays for day in _days(text)})) or Hours().days
    return tuple(Hours(days, *_minutes(text)) for text in times) or (Hours(days),)


def _minutes(text: str) -> tuple[int, int]:
    found = [_CLOCK.fullmatch(one.strip()) for one in text.split("-")]
    minutes = [int(one[1]) * 60 + int(one[2]) for one in found if one]
    if len(found) != len(minutes) or len(minutes) != len(("from", "to")):
        minutes = [MINUTES_A_DAY, 0]
    if not (minutes[0] < MINUTES_A_DAY and minutes[1] <= MINUTES_A_DAY):
        raise typer.BadParameter(
            f"{text!r} is no time of day; write 08:00-17:00, or 22:00-06:00 past midnight",
            param_hint="--time-of-day",
        )
    return minutes[0], minutes[1]


def _days(text: str) -> list[int]:
    first, dash, last = text.strip().lower().partition("-")
    if first not in WEEKDAYS or (dash and last not in WEEKDAYS):
        raise typer.BadParameter(
            f"{text!r} is no day of the week; write {', '.join(WEEKDAYS)}, or mon-fri",
            param_hint="--weekday",
        )
    begin = WEEKDAYS.index(first)
    days = (WEEKDAYS.index(last) - begin) % 7 + 1 if dash else 1
    return [(begin + day) % 7 for day in range(days)]


def _length(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    found = _LENGTH.fullmatch(text.strip().lower())
    if not found:
        raise typer.BadParameter(
            f"{text!r} is no length; write seconds, or 90s, 10m, 1h", param_hint=option
        )
    return int(found[1]) * _UNITS_MS[found[2] or "s"]


def _zone(engine: Engine, named: str | None, tenants: tuple[str, ...] | None) -> tzinfo:
    """The time zone that is named, else that of the tenant where only one comes in question."""
    if named is not None:
        try:
            return ZoneInfo(named)
        except (KeyError, ValueError, OSError):
            raise typer.BadParameter(
                f"{named!r} is no time zone; write it as Europe/Stockholm",
                param_hint="--time-zone",
            ) from None
    with reading(engine).begin() as connection:
        known = load_people(connection).tenants
    zones = {known[one].time_zone for one in tenants or known if one in known}
    return ZoneInfo(zones.pop()) if len(zones) == 1 else UTC
