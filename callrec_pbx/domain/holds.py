"""Legal holds: what they cover. Where it is not sure, a recording is held.

A recording that is held too long can still be deleted; one that is gone cannot be brought back.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.policy.numbers import AsGiven, Numbers
from callrec_pbx.domain.words import HoldKind

SURE_DIGITS = 6
"""Last digits that two numbers must share to be held as the same where no reading says so."""

UNSURE_DIGITS = 8
"""Last digits that are compared where no country is known."""

_WORDS = re.compile(r"[ :]+")
_PARTS = re.compile(r"[+*#0-9][+*#0-9 ().-]*")


@dataclass(frozen=True, slots=True)
class Hold:
    """An order to keep what it covers, whatever else says that it is to be deleted.

    Attributes:
        subject: The id of a recording or call, a number, or a person's e-mail or line; empty for
            a period.
        tenant: Narrows a number, a person or a period to a tenant; empty: all of them.
        start: Where a period begins; None: with the first recording.
        end: Where a period ends; None: it goes on.
        owner: Narrows a period to the recordings of one person.
        people: Every e-mail that the person has had, in small letters.
        lines: The lines of the person.
        tenants: Every name that the tenant has had.
        countries: Whose numbers those without a country code are.
        outside_prefixes: What is dialled there for an outside line.
        pbx_ids: The PBX's ids of the call, so that what it was merged into is known by them.
        released_at: None: it is active.
    """

    hold_id: str
    kind: HoldKind
    subject: str
    reason: str
    placed_at: datetime
    placed_by: str
    tenant: str = ""
    start: datetime | None = None
    end: datetime | None = None
    owner: str = ""
    people: tuple[str, ...] = ()
    lines: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    outside_prefixes: tuple[str, ...] = ()
    pbx_ids: tuple[str, ...] = ()
    released_at: datetime | None = None
    released_by: str = ""
    release_why: str = ""

    @property
    def active(self) -> bool:
        """Whether it still holds."""
        return self.released_at is None


def covers(
    hold: Hold,
    recording: RecordingFacts,
    call: CallFacts | None,
    related: Iterable[CallFacts] = (),
    numbers: Numbers | None = None,
) -> bool:
    """Whether a hold, active or not, is about a recording.

    Args:
        hold: The hold.
        recording: The recording.
        call: Its call; None where that is not known.
        related: The calls that were merged with it.
        numbers: Reads numbers; None takes them as they are.
    """
    calls = () if call is None else (call, *related)
    if hold.kind is HoldKind.RECORDING:
        return recording.recording_id == hold.subject
    if hold.kind is HoldKind.CALL:
        return recording.call_id == hold.subject or any(_is_call(hold, one) for one in calls)
    if not _of_tenant(hold, {recording.tenant, *(one.tenant for one in calls)}):
        return False
    if hold.kind is HoldKind.NUMBER:
        # What the number of an unknown call is cannot be told.
        return call is None or any(_has_number(hold, one, numbers or AsGiven()) for one in calls)
    if hold.kind is HoldKind.PERSON:
        return _of_person(hold, recording, calls)
    return _in_period(hold, recording, call) and (
        not hold.owner or _of_person(hold, recording, calls)
    )


def covers_call(
    hold: Hold,
    call: CallFacts,
    related: Iterable[CallFacts] = (),
    numbers: Numbers | None = None,
) -> bool:
    """Whether a hold is about a call itself, whatever recordings it has."""
    calls = (call, *related)
    if hold.kind is HoldKind.RECORDING:
        return False
    if hold.kind is HoldKind.CALL:
        return any(_is_call(hold, one) for one in calls)
    if not _of_tenant(hold, {one.tenant for one in calls}):
        return False
    if hold.kind is HoldKind.NUMBER:
        return any(_has_number(hold, one, numbers or AsGiven()) for one in calls)
    if hold.kind is HoldKind.PERSON:
        return _takes_part(hold, calls)
    began, ended = call.started_at, call.ended_at
    return _overlap(hold, began, ended) and (not hold.owner or _takes_part(hold, calls))


def numbers_of(call: CallFacts) -> tuple[str, ...]:
    """Everything that a call has where a number stands, or may stand, each once."""
    found = [call.a_number, call.b_number, call.c_number, call.ddi]
    # Such as "blind:202".
    found += [word for one in call.transfers for word in (one, *_WORDS.split(one))]
    found += [leg.number for leg in call.legs]
    found += [consent.number for consent in call.consents]
    texts = [call.a_name, *(text for leg in call.legs for text in (leg.name, leg.line))]
    texts += [leg.channel for leg in call.legs]
    for text in texts:
        found += parts_of(text)
    return tuple(dict.fromkeys(number for number in found if number))


def parts_of(text: str) -> list[str]:
    """What may be a number in a text such as a caller's name or a channel's."""
    return [part.strip(" .-(") for part in _PARTS.findall(text) if len(part) >= SURE_DIGITS]


def same_number(
    one: str,
    other: str,
    countries: Iterable[str] = (),
    prefixes: Iterable[str] = (),
    numbers: Numbers | None = None,
) -> bool:
    """Whether two numbers may be the same, in any spelling: rather one too many than too few."""
    if one == other:
        return True
    reader, countries = numbers or AsGiven(), tuple(countries)
    for country in countries or ("",):
        for prefix in ("", *prefixes):
            if not set(reader.spellings(one, country, prefix)).isdisjoint(
                reader.spellings(other, country, prefix)
            ):
                return True
    short, long = sorted((_significant(one), _significant(other)), key=len)
    if not countries:
        # What stands before the subscriber's digits cannot be told from them.
        short, long = short[-UNSURE_DIGITS:], long[-UNSURE_DIGITS:]
    return len(short) >= SURE_DIGITS and long.endswith(short)


def _significant(number: str) -> str:
    """The digits without what may stand before them: zeros of a trunk or of a call abroad."""
    return "".join(str(int(char)) for char in number if char.isdecimal()).lstrip("0")


def _is_call(hold: Hold, call: CallFacts) -> bool:
    if hold.subject in (call.call_id, call.merged_into):
        return True
    return not set(hold.pbx_ids).isdisjoint(call.pbx_ids)


def _of_tenant(hold: Hold, tenants: set[str]) -> bool:
    if not hold.tenant or "" in tenants:
        return True
    return not tenants.isdisjoint({hold.tenant, *hold.tenants})


def _has_number(hold: Hold, call: CallFacts, numbers: Numbers) -> bool:
    return any(
        same_number(hold.subject, number, hold.countries, hold.outside_prefixes, numbers)
        for number in numbers_of(call)
    )


def _persons(hold: Hold) -> set[str]:
    names = {hold.owner or hold.subject, *hold.people, *hold.lines}
    return {name.casefold() for name in names if name}


def _of_person(hold: Hold, recording: RecordingFacts, calls: Iterable[CallFacts]) -> bool:
    calls = tuple(calls)
    if not calls and not recording.owner and not recording.line:
        return True
    mine = {recording.owner.casefold(), recording.line.casefold()}
    return not _persons(hold).isdisjoint(mine) or _takes_part(hold, calls)


def _takes_part(hold: Hold, calls: Iterable[CallFacts]) -> bool:
    persons = _persons(hold)
    return any(leg.line.casefold() in persons for call in calls for leg in call.legs if leg.line)


def _in_period(hold: Hold, recording: RecordingFacts, call: CallFacts | None) -> bool:
    began = min(recording.created_at, recording.started_at or recording.created_at)
    ended = recording.ended_at
    if ended is None and call is not None:
        ended = call.ended_at
    return _overlap(hold, began, ended)


def _overlap(hold: Hold, began: datetime, ended: datetime | None) -> bool:
    """Whether times share a moment; what has no known end may last to this day."""
    begins_before = hold.end is None or began <= hold.end
    ends_after = hold.start is None or ended is None or ended >= hold.start
    return begins_before and ends_after
