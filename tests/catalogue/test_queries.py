"""One recording, and the account."""

import re
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue import rows
from callrec_pbx.catalogue.account import Line, account
from callrec_pbx.catalogue.queries import (
    NoSuchIdError,
    find_recording,
)
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.domain.facts import CallFacts
from callrec_pbx.domain.words import Outcome, RecordingState
from callrec_pbx.storage.serial import CallSidecar, Tombstone
from tests.storage.samples import START, a_call, a_recording, an_id

HOUR = timedelta(hours=1)
S = RecordingState


def save(engine: Engine, *items: rows.Item) -> None:
    with engine.begin() as connection:
        rows.write(connection, items)


def three(engine: Engine) -> None:
    """Three recordings an hour apart, of different owners, numbers and states."""
    tombstone = Tombstone(START + 9 * HOUR, "retention", "over")
    for number, owner, state in ((1, "201", S.STORED), (2, "202", S.FAILED), (3, "201", S.PRUNED)):
        call = a_call(number, START + number * HOUR, a_number=f"+49{number}")
        recording = a_recording(number, call, START + number * HOUR, owner=owner, state=state)
        save(engine, CallSidecar(call))
        save(engine, RecordingRow(recording, tombstone if state is S.PRUNED else None))


def test_one_recording_with_all_that_belongs_to_it(engine: Engine) -> None:
    three(engine)
    found = find_recording(engine, an_id(1))
    assert found.recording == a_recording(1, at=START + HOUR)
    assert found.call == a_call(1, START + HOUR, a_number="+491")
    assert found.tombstone is None
    pruned = find_recording(engine, an_id(3))
    assert pruned.tombstone == Tombstone(START + 9 * HOUR, "retention", "over")


def test_the_beginning_of_an_id_is_enough_when_it_is_one_alone(engine: Engine) -> None:
    save(engine, RecordingRow(a_recording(1)), RecordingRow(a_recording(1, recording_id="q" * 20)))
    save(engine, RecordingRow(a_recording(1, recording_id="q" * 21)))
    assert find_recording(engine, "r0").recording.recording_id == an_id(1)
    assert find_recording(engine, "q" * 20).recording.recording_id == "q" * 20
    with pytest.raises(NoSuchIdError, match="more than one"):
        find_recording(engine, "q")


@pytest.mark.parametrize("prefix", ["", "x", "%", "_", "r'", an_id(1) + "0"])
def test_an_id_that_is_not_there_is_said_so(engine: Engine, prefix: str) -> None:
    three(engine)
    with pytest.raises(NoSuchIdError, match=re.escape(f"recording {prefix!r}: there is none")):
        find_recording(engine, prefix)


def test_the_account_adds_up(engine: Engine) -> None:
    kinds: list[tuple[Outcome | None, str, dict[str, Any]]] = [
        (Outcome.RECORDED, "rule", {}),
        (Outcome.RECORDED, "rule", {}),
        (Outcome.RECORDED, "started_late", {}),
        (Outcome.DECLINED, "declined", {}),
        (Outcome.FAILED, "disk_full", {}),
        (Outcome.MISSED, "listener_down", {}),
        (Outcome.MISSED, "listener_down", {}),
        (None, "", {"ended_at": None}),
        (Outcome.RECORDED, "rule", {"merged_into": an_id(0, "c")}),
        (None, "", {"ended_at": None, "started_at": START + 30 * HOUR}),
        (Outcome.NOT_SELECTED, "no_rule", {"ended_at": START + 24 * HOUR}),
        (Outcome.NOT_SELECTED, "no_rule", {"ended_at": START - timedelta(microseconds=1)}),
        (Outcome.NOT_SELECTED, "no_rule", {"ended_at": START}),
    ]
    for number, (outcome, reason, changes) in enumerate(kinds):
        call = a_call(number, outcome=outcome, reason=reason, **changes)
        save(engine, CallSidecar(call))
    found = account(engine, START, START + 24 * HOUR)
    assert found.lines == (
        Line(Outcome.RECORDED, "rule", 2),
        Line(Outcome.RECORDED, "started_late", 1),
        Line(Outcome.DECLINED, "declined", 1),
        Line(Outcome.NOT_SELECTED, "no_rule", 1),
        Line(Outcome.FAILED, "disk_full", 1),
        Line(Outcome.MISSED, "listener_down", 2),
    )
    assert (found.ended, found.still_open, found.balanced) == (8, 1, True)
    assert ids(found.failed) == [an_id(4, "c")]
    assert ids(found.missed) == [an_id(5, "c"), an_id(6, "c")]
    assert found.unaccounted == ()


def test_an_ended_call_without_outcome_is_an_alarm(engine: Engine) -> None:
    save(engine, CallSidecar(a_call(1)), CallSidecar(a_call(2, outcome=None, reason="")))
    found = account(engine, START, START + HOUR)
    assert (found.ended, found.balanced) == (2, False)
    assert ids(found.unaccounted) == [an_id(2, "c")]


def test_an_empty_period_balances(engine: Engine) -> None:
    found = account(engine, START, START + HOUR)
    assert (found.ended, found.lines, found.still_open, found.balanced) == (0, (), 0, True)


def ids(calls: tuple[CallFacts, ...]) -> list[str]:
    return [call.call_id for call in calls]
