"""Searches find what looking at every recording finds, page by page, by way of an index."""

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event, text

from callrec_pbx.catalogue import search as module
from callrec_pbx.catalogue import search_keys, search_plan, search_streams
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.search import Hours, Search, SearchError, every, find, find_all
from callrec_pbx.catalogue.search_terms import digits, length_band, length_bands, part
from callrec_pbx.catalogue.search_times import Span, spans
from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import Consent, Direction, RecordingState
from tests.catalogue.searching import SEARCHES, a_catalogue, by_looking, moved, save
from tests.storage.samples import START, a_call, a_recording

STOCKHOLM = ZoneInfo("Europe/Stockholm")
Catalogue = list[tuple[CallFacts, RecordingFacts]]

SMALL = {
    (search_keys, "FEW"): 2,
    (search_plan, "FEW"): 2,
    (module, "FEW"): 2,
    (search_keys, "MOST_NEXT"): 3,
    (search_keys, "SAMPLE"): 2,
    (search_keys, "LEAST"): 2,
    (search_plan, "COUNTED"): 3,
    (search_streams, "MOST_STREAMS"): 7,
    (module, "MOST_WORK"): 9,
    (module, "MOST_ARMS"): 6,
    (module, "SIDE_BY_SIDE"): 3,
    (search_keys, "SWEPT"): 4,
}
"""Limits under which a catalogue of eighty recordings is a large one."""


@pytest.fixture(params=["as they are", "small"])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "small":
        for (owner, name), value in SMALL.items():
            monkeypatch.setattr(owner, name, value)


@pytest.fixture
def catalogue(engine: Engine) -> Catalogue:
    """Recordings of every kind, in the database too."""
    made = a_catalogue(80, random.Random(7))
    save(engine, made)
    return made


def in_pages(engine: Engine, search: Search, limit: int) -> Iterator[list[str]]:
    """The ids that a search finds, page by page."""
    cursor: str | None = None
    while True:
        page = find(engine, search, after=cursor, limit=limit)
        yield [one.recording.recording_id for one in page.found]
        if (cursor := page.next_cursor) is None:
            return


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(search=SEARCHES, limit=st.sampled_from((1, 3, 10, 100)))
def test_any_search_finds_what_looking_finds(
    engine: Engine, limits: None, catalogue: Catalogue, search: Search, limit: int
) -> None:
    pages = list(in_pages(engine, search, limit))
    assert [one for page in pages for one in page] == by_looking(catalogue, search)
    assert max(map(len, pages)) <= limit


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize(
    "search",
    [
        Search(),
        Search(tags=("a", "b")),
        Search(number="070"),
        Search(hours=(Hours(from_minute=480, to_minute=1200),)),
    ],
)
def test_what_is_written_meanwhile_makes_none_come_twice_or_be_left_out(
    engine: Engine, limits: None, search: Search, oldest_first: bool
) -> None:
    chance = random.Random(11)
    catalogue = a_catalogue(40, chance)
    save(engine, catalogue)
    search = replace(search, oldest_first=oldest_first)
    found: list[str] = []
    for page in in_pages(engine, search, 3):
        found += page
        save(engine, moved(chance.sample(catalogue, 2)))
    assert len(found) == len(set(found))
    assert [one for one in found if one[0] == "r"] == by_looking(catalogue, search)


@pytest.mark.parametrize("oldest_first", [False, True])
@pytest.mark.parametrize(
    "search",
    [
        Search(),
        Search(owners=("a", "b", "")),
        Search(number="4"),
        Search(hours=(Hours(from_minute=0, to_minute=1),)),
        Search(hours=(Hours(from_minute=0, to_minute=1),), owners=("a",)),
    ],
)
def test_recordings_of_the_same_moment_are_told_apart(
    engine: Engine, limits: None, search: Search, oldest_first: bool
) -> None:
    made = [
        (call, replace(recording, created_at=START.replace(hour=0, minute=0, second=number // 30)))
        for number, (call, recording) in enumerate(a_catalogue(60, random.Random(5)))
    ]
    save(engine, made)
    search = replace(search, oldest_first=oldest_first)
    expected = by_looking(made, search)
    assert len(expected) > 15
    for limit in (1, 4, 20):
        pages = list(in_pages(engine, search, limit))
        assert [one for page in pages for one in page] == expected


def test_of_a_band_of_lengths_only_those_that_are_meant_are_found(engine: Engine) -> None:
    lengths = (29_999, 45_000, 49_999, 50_000, 54_999, 55_000, 60_000)
    calls = [a_call(n) for n in range(len(lengths))]
    made = [
        (call, a_recording(n, call, audio_ms=length))
        for n, (call, length) in enumerate(zip(calls, lengths, strict=True))
    ]
    save(engine, made)
    search = Search(tenants=("default",), longer_ms=50_000, shorter_ms=55_000)
    assert sorted(one.recording.audio_ms or 0 for one in every(engine, search)) == [50_000, 54_999]


def test_all_of_them_come_page_by_page_too(engine: Engine, catalogue: Catalogue) -> None:
    search = Search(owners=("a",))
    expected = by_looking(catalogue, search)
    assert [one.recording.recording_id for one in every(engine, search, page=4)] == expected
    first, cursor = find_all(engine, search, limit=5)
    rest, end = find_all(engine, search, after=cursor, limit=1000)
    assert [one.recording.recording_id for one in (*first, *rest)] == expected
    assert (len(first), end) == (5, None)
    assert all(one.call.call_id == one.recording.call_id for one in first)


def test_a_page_is_given_out_when_much_was_looked_at_in_vain(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However bad a search is, one page of it costs little."""
    calls = [a_call(n, START + timedelta(seconds=n), ddi=f"+{n % 2}", queue="q") for n in range(60)]
    recordings = [
        a_recording(n, call, call.started_at, flagged=n % 2 == 0) for n, call in enumerate(calls)
    ]
    save(engine, list(zip(calls, recordings, strict=True)))
    for (owner, name), value in SMALL.items():
        monkeypatch.setattr(owner, name, value)
    search = Search(ddis=("+1",), flagged=True)
    page = find(engine, search, limit=5)
    assert (page.found, page.next_cursor is None) == ((), False)
    assert list(every(engine, search)) == []


def test_who_may_see_no_tenant_sees_nothing(engine: Engine, catalogue: Catalogue) -> None:
    assert find(engine, Search(tenants=())).found == ()
    assert find(engine, Search(tenants=(), owners=("a",))).found == ()


@pytest.mark.parametrize("cursor", ["", "x", "1", "1.", "1.A", "9" * 18 + ".r", "1.r\n", "١.r"])
def test_a_cursor_that_is_none_is_said_so(engine: Engine, cursor: str) -> None:
    if cursor == "1.":  # the beginning of a time
        assert find(engine, Search(), after=cursor).found == ()
        return
    with pytest.raises(SearchError, match=re.escape(f"cursor {cursor!r}: is none")):
        find(engine, Search(), after=cursor)


@pytest.mark.parametrize(
    "word", ["'; DROP TABLE recording; --", "%", "_", "\0", "\udc80", "x" * 9999]
)
def test_words_from_outside_are_words(engine: Engine, catalogue: Catalogue, word: str) -> None:
    for name in ("tenants", "owners", "lines", "ddis", "queues", "departments", "sites", "tags"):
        assert find(engine, Search(**{name: (word,)})).found == ()  # type: ignore[arg-type]
    assert len(list(every(engine, Search()))) == len(catalogue)


def test_words_that_the_database_has_in_another_form_are_found(engine: Engine) -> None:
    odd = "a\0b" + "x" * 5000
    call = a_call(1, queue=odd, ddi=odd)
    save(engine, [(call, a_recording(1, call, tags=(odd,), owner="a\0b"))])
    for search in (Search(queues=(odd,)), Search(ddis=(odd,)), Search(tags=(odd,)),
                   Search(owners=("a\0b",))):  # fmt: skip
        assert len(find(engine, search).found) == 1


SEARCHED: dict[str, Search] = {
    "all": Search(),
    "oldest": Search(oldest_first=True),
    "tenant": Search(tenants=("a",)),
    "tenants": Search(tenants=("a", "b")),
    "period": Search(tenants=("a",), start=START - timedelta(days=900), end=START),
    "hours": Search(hours=(Hours((0, 1, 2, 3, 4), 480, 1020),), zone=STOCKHOLM),
    "owner": Search(owners=("a",)),
    "owner of a tenant": Search(tenants=("a",), owners=("a",)),
    "many owners": Search(tenants=("a",), owners=tuple(f"u{n}" for n in range(40))),
    "line": Search(lines=("a",)),
    "number": Search(number="070-123"),
    "many numbers": Search(number="4"),
    "number of a tenant": Search(tenants=("a",), number="070-123"),
    "ddi": Search(ddis=("a",)),
    "queue": Search(queues=("a",)),
    "department": Search(departments=("a",)),
    "site": Search(sites=("a",)),
    "direction": Search(directions=(Direction.INBOUND,)),
    "length": Search(longer_ms=60_000, shorter_ms=600_000),
    "tag": Search(tags=("a",)),
    "tag and owner": Search(tags=("a",), owners=("a",)),
    "flag": Search(flagged=True),
    "evaluated": Search(evaluated=False),
    "consent": Search(consents=(Consent.DECLINED,)),
    "state": Search(states=(RecordingState.FAILED,)),
    "several": Search(
        tenants=("a",), owners=("a",), number="070", flagged=False, longer_ms=1,
        hours=(Hours(from_minute=480, to_minute=1020),),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SEARCHED)
def test_a_search_reads_no_table_and_sorts_no_rows(
    engine: Engine, catalogue: Catalogue, limits: None, name: str
) -> None:
    search = SEARCHED[name]
    statements: list[tuple[str, Any]] = []
    with reading(engine).begin() as connection:
        event.listen(
            connection, "before_cursor_execute", lambda *a: statements.append((a[2], a[3]))
        )
        module._Walk(connection, search, None).page(5)
        plans = [
            (one, _plan(connection, one, values)) for one, values in tuple(statements)
            if "set_config" not in one
        ]  # fmt: skip
    assert plans
    for statement, plan in plans:
        heads = "json_each" in statement or "LATERAL" in statement
        for line in plan:
            assert not re.search(r"SCAN (recording|number|k\b|r\b|t\b)|Seq Scan", line), line
            sorts = re.search(r"TEMP B-TREE FOR (LAST TERM OF )?ORDER|\bSort\b", line)
            assert heads or not sorts, (statement, plan)


def _plan(connection: Any, statement: str, values: Any) -> list[str]:
    if connection.dialect.name == "sqlite":
        rows = connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values).all()
        # The tenants are counted up in a table of that name.
        return [row[3] for row in rows if not row[3].startswith("SCAN t")]
    return [row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", values)]


def test_the_tenants_are_found_by_steps_in_the_index(engine: Engine, catalogue: Catalogue) -> None:
    with engine.begin() as connection:
        found = connection.execute(search_streams._TENANTS).scalars().all()
        assert found == ["", "a", "b"]
        connection.execute(text("DELETE FROM call"))
        assert connection.execute(search_streams._TENANTS).scalars().all() == []
    assert find(engine, Search(owners=("a",))).found == ()


@pytest.mark.parametrize(
    ("number", "kept", "wanted"),
    [
        ("+46 (70) 123-45", "467012345", "467012345"),
        ("004670123", "4670123", "4670123"),
        ("070-123", "070123", "70123"),
        ("Alice.Smith", "alicesmith", "alicesmith"),
        ("٠٧٠", "070", "70"),
        ("0", "0", "0"),
        ("00", "", "0"),
        ("9" * 99, "9" * 40, "9" * 40),
    ],
)
def test_numbers_as_they_are_searched(number: str, kept: str, wanted: str) -> None:
    assert (digits(number), part(number)) == (kept, wanted)


@pytest.mark.parametrize("number", ["", "+", "-*%", "é"])
def test_a_number_without_digits_is_said_so(engine: Engine, number: str) -> None:
    with pytest.raises(SearchError, match=re.escape(f"number {number!r}: has no digit")):
        part(number)


@given(ms=st.integers(0, 10**9), longer=st.integers(0, 10**9), more=st.integers(1, 10**9))
def test_a_length_is_in_the_bands_of_every_search_that_means_it(
    ms: int, longer: int, more: int
) -> None:
    if longer <= ms < longer + more:
        assert length_band(ms) in length_bands(longer, longer + more)
    assert length_band(ms) in length_bands(None, None)


# The clocks go back at three to two, and forward at two to three.
@example(datetime(2026, 10, 25, 0, 20, tzinfo=UTC), Hours((6,), 135, 165), STOCKHOLM)
@example(datetime(2026, 10, 25, 1, 20, tzinfo=UTC), Hours((6,), 135, 165), STOCKHOLM)
@example(datetime(2026, 3, 29, 0, 40, tzinfo=UTC), Hours((6,), 90, 135), STOCKHOLM)
@example(datetime(2026, 3, 29, 1, 20, tzinfo=UTC), Hours((6,), 135, 240), STOCKHOLM)
@given(
    at=st.datetimes(datetime(2026, 3, 20), datetime(2026, 4, 5)).map(  # noqa: DTZ001
        lambda at: at.replace(tzinfo=UTC)
    )
    | st.datetimes(datetime(2026, 10, 20), datetime(2026, 11, 5)).map(  # noqa: DTZ001
        lambda at: at.replace(tzinfo=UTC)
    ),
    hours=st.builds(
        Hours,
        st.sampled_from([(6,), (0, 1, 2), (0, 1, 2, 3, 4, 5, 6)]),
        st.integers(0, 1439),
        st.integers(0, 1440),
    ),
    zone=st.sampled_from([STOCKHOLM, ZoneInfo("America/St_Johns"), ZoneInfo("Pacific/Apia")]),
)
def test_no_moment_in_the_hours_is_left_out(at: datetime, hours: Hours, zone: ZoneInfo) -> None:
    within = Span(at - timedelta(days=1, hours=3), at + timedelta(hours=11))
    found = spans((hours,), zone, within)
    if hours.include(at.astimezone(zone)):
        assert any(span.begin <= at < span.end for span in found)
    for one, other in pairwise(found):
        assert one.end < other.begin
    assert all(within.begin <= span.begin < span.end <= within.end for span in found)


def test_on_other_days_the_hours_are_exact() -> None:
    day = Span(datetime(2026, 6, 1, tzinfo=UTC), datetime(2026, 6, 2, tzinfo=UTC))
    (span,) = spans((Hours((0,), 480, 1020),), STOCKHOLM, day)
    assert span == Span(day.begin + timedelta(hours=6), day.begin + timedelta(hours=15))
