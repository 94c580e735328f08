"""Catalogues to search, and the same search by looking at every recording in Python."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from hypothesis import strategies as st
from sqlalchemy import Engine

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.catalogue.search import Hours, Search
from callrec_pbx.domain.facts import CallFacts, ConsentFacts, LegFacts, RecordingFacts
from callrec_pbx.domain.words import (
    Consent,
    ConsentMode,
    Direction,
    LegKind,
    RecordingState,
)
from callrec_pbx.storage.serial import CallSidecar
from tests.storage.samples import a_call, a_recording

T = TypeVar("T")

ZONES = (UTC, ZoneInfo("Europe/Stockholm"), ZoneInfo("America/St_Johns"), ZoneInfo("Asia/Kolkata"))
NUMBERS = ("+46701234567", "0046701239999", "070-1234567", "201", "alice", "", "+4930777")
PARTS = ("070-123", "+46 70", "01", "0", "00", "Ali", "7", "9999", "123456789")
CONSENTS = (
    Consent.DECLINED,
    Consent.NO_ANSWER,
    Consent.ACCEPTED,
    Consent.ANNOUNCED,
    Consent.ASKING,
)
STATES = (RecordingState.STORED, RecordingState.FAILED, RecordingState.PRUNED)

# The nights on which European and Canadian clocks change, and days around them.
DAYS = (
    datetime(2026, 3, 7, tzinfo=UTC),
    datetime(2026, 3, 28, tzinfo=UTC),
    datetime(2026, 10, 24, tzinfo=UTC),
    datetime(2026, 10, 25, tzinfo=UTC),
)
FEW = ("a", "b", "")
LENGTHS = (None, 0, 4999, 5000, 45_000, 59_999, 61_000, 700_000, 800_000, 20_000_000)


def a_leg(number: str, at: datetime) -> LegFacts:
    """A leg with that number."""
    return LegFacts("1.1", "PJSIP/x", LegKind.OUTSIDE, "", number, "", at)


def a_consent(outcome: Consent) -> ConsentFacts:
    """A party that was asked."""
    return ConsentFacts("1.1", "", ConsentMode.OPT_OUT, outcome)


def a_catalogue(size: int, chance: random.Random) -> list[tuple[CallFacts, RecordingFacts]]:
    """That many recordings, of calls with one or two each, some at the very same moment."""
    found: list[tuple[CallFacts, RecordingFacts]] = []

    def some(values: Sequence[T]) -> tuple[T, ...]:
        return tuple(chance.sample(values, chance.randrange(3)))

    while len(found) < size:
        at = chance.choice(DAYS) + timedelta(minutes=chance.choice((0, chance.randrange(3000))))
        call = a_call(
            len(found),
            at,
            direction=chance.choice((None, *Direction)),
            a_number=chance.choice(NUMBERS),
            b_number=chance.choice(NUMBERS),
            c_number="",
            ddi=chance.choice(FEW),
            queue=chance.choice(FEW),
            legs=tuple(a_leg(one, at) for one in some(NUMBERS)),
            consents=tuple(map(a_consent, some(CONSENTS))),
        )
        for _ in range(chance.choice((1, 1, 2))):
            recording = a_recording(
                len(found),
                call,
                created_at=at + timedelta(seconds=chance.choice((0, 0, 1))),
                owner=chance.choice(FEW),
                line=chance.choice(FEW),
                tenant=chance.choice(FEW),
                site=chance.choice(FEW),
                department=chance.choice(FEW),
                state=chance.choice(STATES),
                audio_ms=chance.choice(LENGTHS),
                tags=some(FEW),
                flagged=chance.random() < 0.3,
                evaluated=chance.random() < 0.3,
            )
            found.append((call, recording))
    return found


TIMES = st.builds(
    lambda day, minutes: day + timedelta(minutes=minutes),
    st.sampled_from(DAYS),
    st.integers(0, 3000) | st.just(0),
)


def _some(values: st.SearchStrategy[T]) -> st.SearchStrategy[tuple[T, ...]]:
    return st.lists(values, min_size=1, max_size=3).map(tuple)


CRITERIA: dict[str, st.SearchStrategy[Any]] = {
    "tenants": _some(st.sampled_from(FEW)),
    "start": TIMES,
    "end": TIMES,
    "hours": _some(
        st.builds(
            Hours,
            st.sets(st.integers(0, 6), min_size=1).map(lambda days: tuple(sorted(days))),
            st.integers(0, 47).map(lambda half: half * 30),
            st.integers(0, 48).map(lambda half: half * 30),
        )
    ),
    "owners": _some(st.sampled_from(FEW)),
    "lines": _some(st.sampled_from(FEW)),
    "number": st.sampled_from(PARTS),
    "ddis": _some(st.sampled_from(FEW)),
    "queues": _some(st.sampled_from(FEW)),
    "departments": _some(st.sampled_from(FEW)),
    "sites": _some(st.sampled_from(FEW)),
    "directions": _some(st.sampled_from(Direction)),
    "longer_ms": st.sampled_from(LENGTHS),
    "shorter_ms": st.sampled_from(LENGTHS),
    "tags": _some(st.sampled_from(FEW)),
    "flagged": st.booleans(),
    "evaluated": st.booleans(),
    "consents": _some(st.sampled_from(CONSENTS)),
    "states": _some(st.sampled_from(STATES)),
}

SEARCHES = st.lists(st.sampled_from(list(CRITERIA)), max_size=3, unique=True).flatmap(
    lambda names: st.builds(
        Search,
        zone=st.sampled_from(ZONES),
        oldest_first=st.booleans(),
        **{name: CRITERIA[name] for name in names},
    )
)
"""Searches with few criteria, so that most find something."""


def by_looking(catalogue: Iterable[tuple[CallFacts, RecordingFacts]], search: Search) -> list[str]:
    """The ids of the recordings that fit, in order."""
    found = [recording for call, recording in catalogue if fits(call, recording, search)]
    found.sort(key=lambda one: (one.created_at, one.recording_id), reverse=not search.oldest_first)
    return [one.recording_id for one in found]


def fits(call: CallFacts, recording: RecordingFacts, search: Search) -> bool:
    """Whether a recording is what is searched for."""
    words = (
        (search.tenants, {recording.tenant}),
        (search.owners, {recording.owner}),
        (search.lines, {recording.line}),
        (search.ddis, {call.ddi}),
        (search.queues, {call.queue}),
        (search.departments, {recording.department}),
        (search.sites, {recording.site}),
        (search.directions, {call.direction}),
        (search.tags, set(recording.tags)),
        (search.consents, {_decisive(call)}),
        (search.states, {recording.state}),
    )
    if any(wanted and not set(wanted) & has for wanted, has in words):
        return False
    switches = ((search.flagged, recording.flagged), (search.evaluated, recording.evaluated))
    if any(wanted is not None and wanted != has for wanted, has in switches):
        return False
    if search.start and recording.created_at < search.start:
        return False
    if search.end and recording.created_at >= search.end:
        return False
    length = recording.audio_ms
    if search.longer_ms is not None and (length is None or length < search.longer_ms):
        return False
    if search.shorter_ms is not None and (length is None or length >= search.shorter_ms):
        return False
    if search.number and not any(_plain(search.number) in one for one in _numbers(call)):
        return False
    return not search.hours or _in_hours(recording.created_at.astimezone(search.zone), search.hours)


def _decisive(call: CallFacts) -> Consent | None:
    outcomes = [consent.outcome for consent in call.consents]
    return next((one for one in CONSENTS[:-1] if one in outcomes), None)


def _numbers(call: CallFacts) -> set[str]:
    numbers = {call.a_number, call.b_number, call.c_number, call.ddi}
    numbers |= {leg.number for leg in call.legs}
    return {"".join(filter(str.isalnum, number.lower())).removeprefix("00") for number in numbers}


def _plain(number: str) -> str:
    bare = "".join(filter(str.isalnum, number.lower()))
    return (bare[2:] if bare.startswith("00") else bare.removeprefix("0")) or "0"


def _in_hours(local: datetime, hours: Iterable[Hours]) -> bool:
    """Minute by minute, as a calendar on the wall would say it."""
    for one in hours:
        length = (one.to_minute - one.from_minute) or 24 * 60
        length += 24 * 60 if length < 0 else 0
        midnight = local.replace(tzinfo=None, hour=0, minute=0, second=0, microsecond=0)
        for day in (midnight, midnight - timedelta(days=1)):
            begin = day + timedelta(minutes=one.from_minute)
            within = begin <= local.replace(tzinfo=None) < begin + timedelta(minutes=length)
            if within and day.weekday() in one.days:
                return True
    return False


def save(engine: Engine, catalogue: Iterable[tuple[CallFacts, RecordingFacts]]) -> None:
    """Write calls and recordings, all in one transaction."""
    items: list[rows.Item] = []
    for call, recording in catalogue:
        items += [CallSidecar(call), RecordingRow(recording)]
    with engine.begin() as connection:
        rows.write(connection, items)


def moved(
    catalogue: Iterable[tuple[CallFacts, RecordingFacts]],
) -> list[tuple[CallFacts, RecordingFacts]]:
    """The same recordings under other ids, to be written beside them."""
    return [
        (replace(call, call_id="n" + call.call_id[1:]), replace(
            recording, call_id="n" + call.call_id[1:], recording_id="n" + recording.recording_id[1:]
        ))
        for call, recording in catalogue
    ]  # fmt: skip
