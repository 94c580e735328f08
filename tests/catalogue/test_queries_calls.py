"""Lists of calls, and one call."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.queries import NoSuchIdError
from callrec_pbx.catalogue.queries_calls import (
    WantedCalls,
    find_call,
    list_calls,
    list_calls_page,
)
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.words import Direction, Outcome
from callrec_pbx.storage.serial import CallSidecar, Tombstone
from tests.storage.samples import START, a_call, a_recording, an_id

HOUR = timedelta(hours=1)
CLEARED = Tombstone(START + 9 * HOUR, "retention", "over")


@pytest.fixture(autouse=True)
def five(engine: Engine) -> None:
    """Calls an hour apart: recorded twice over, declined, not selected, open, and merged away."""
    kinds: list[dict[str, Any]] = [
        {},
        {"outcome": Outcome.DECLINED, "reason": "declined"},
        {"outcome": Outcome.NOT_SELECTED, "reason": "no_rule", "direction": Direction.INTERNAL},
        {"outcome": None, "reason": "", "ended_at": None, "direction": None},
        {"merged_into": an_id(1, "c")},
    ]
    items: list[rows.Item] = [
        CallSidecar(
            a_call(number, START + number * HOUR, a_number=f"+49{number}", **changes),
            CLEARED if number == 2 else None,
        )
        for number, changes in enumerate(kinds, 1)
    ]
    of_first = a_call(1)
    later = RecordingRow(a_recording(8, of_first, START + 2 * HOUR), CLEARED)
    items += [later, RecordingRow(a_recording(9, of_first, START + HOUR))]
    with engine.begin() as connection:
        rows.write(connection, items)


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        ({}, [4, 3, 2, 1]),
        ({"limit": 2}, [4, 3]),
        ({"start": START + 3 * HOUR}, [4, 3]),
        ({"end": START + 3 * HOUR}, [2, 1]),
        ({"number": "+492"}, [2]),
        ({"number": "+49*"}, [4, 3, 2, 1]),
        ({"number": "*123456"}, [4, 3, 2, 1]),  # a leg's number
        ({"number": "%"}, []),
        ({"outcomes": (Outcome.DECLINED, Outcome.RECORDED)}, [2, 1]),
        ({"reason": "no_rule"}, [3]),
        ({"reason": "no"}, []),
        ({"direction": Direction.INTERNAL}, [3]),
        ({"direction": Direction.INBOUND, "outcomes": (Outcome.RECORDED,)}, [1]),
    ],
)
def test_calls_are_listed(engine: Engine, wanted: dict[str, Any], numbers: list[int]) -> None:
    found = list_calls(engine, WantedCalls(**wanted))
    assert [one.call.call_id for one in found] == [an_id(number, "c") for number in numbers]


def test_calls_come_page_by_page(engine: Engine) -> None:
    same = [CallSidecar(a_call(number, START + 4 * HOUR)) for number in range(10, 15)]
    with engine.begin() as connection:
        rows.write(connection, same)
    found: list[str] = []
    cursor: str | None = None
    while True:
        page, cursor = list_calls_page(engine, WantedCalls(after=cursor, limit=2))
        found += [one.call.call_id for one in page]
        if cursor is None:
            break
    assert found == [one.call.call_id for one in list_calls(engine, WantedCalls())]
    assert len(found) == 9


def test_a_listed_call_names_its_recordings_oldest_first(engine: Engine) -> None:
    *_, cleared, recorded = list_calls(engine, WantedCalls())
    assert recorded.recording_ids == (an_id(9), an_id(8))
    assert (cleared.recording_ids, cleared.tombstone) == ((), CLEARED)


def test_one_call_with_its_recordings(engine: Engine) -> None:
    found = find_call(engine, an_id(1, "c"))
    assert found.call == a_call(1, START + HOUR, a_number="+491")
    assert found.tombstone is None
    assert [one.recording.recording_id for one in found.recordings] == [an_id(9), an_id(8)]
    assert [one.tombstone for one in found.recordings] == [None, CLEARED]
    assert find_call(engine, an_id(2, "c")).tombstone == CLEARED


def test_a_call_that_was_merged_into_another_is_found(engine: Engine) -> None:
    found = find_call(engine, an_id(5, "c"))
    assert (found.call.merged_into, found.recordings) == (an_id(1, "c"), ())


def test_the_beginning_of_an_id_is_enough_when_it_is_one_alone(engine: Engine) -> None:
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(a_call(6, call_id="q" * 20))])
    assert find_call(engine, "q").call.call_id == "q" * 20
    with engine.begin() as connection:
        rows.write(connection, [CallSidecar(a_call(6, call_id="q" * 21))])
    assert find_call(engine, "q" * 20).call.call_id == "q" * 20
    with pytest.raises(NoSuchIdError, match="call 'q': more than one"):
        find_call(engine, "q")


@pytest.mark.parametrize("prefix", ["", "x", "%", an_id(9), an_id(1, "c") + "0"])
def test_an_id_that_is_not_there_is_said_so(engine: Engine, prefix: str) -> None:
    said = f"call {prefix!r}: there is none; callrec-pbx calls list"
    with pytest.raises(NoSuchIdError, match=re.escape(said)):
        find_call(engine, prefix)
