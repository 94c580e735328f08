"""What a legal hold covers; where it is not sure, it is held."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.holds import Hold, covers, covers_call, numbers_of, same_number
from callrec_pbx.domain.words import HoldKind, LegKind
from callrec_pbx.numbers import Numbers
from tests.storage.samples import START, a_call, a_recording, anything

NUMBERS = Numbers()


def a_hold(kind: HoldKind, subject: str = "", **more: Any) -> Hold:
    return Hold("20260301-0badcafe", kind, subject, "dispute", START, "cli:anna", **more)


def held(
    hold: Hold, recording: RecordingFacts, call: CallFacts | None, *related: CallFacts
) -> bool:
    return covers(hold, recording, call, related, NUMBERS)


def of_number(number: str) -> CallFacts:
    call = a_call(a_number=number, ddi="", b_number="", c_number="", consents=())
    return replace(call, legs=(replace(call.legs[0], number=number),), transfers=())


@pytest.mark.parametrize(
    "there",
    [
        "+46701234567",
        "0701234567",
        "070-123 45 67",
        "0046701234567",
        "46701234567",
        "701234567",
        "90701234567",
        "*31#0701234567",
        "sip:+46701234567@carrier.example",
        "00 46 (0)70 123 45 67",
        "\N{FULLWIDTH DIGIT ZERO}701234567",
    ],
)
@pytest.mark.parametrize("wanted", ["+46701234567", "070-123 45 67"])
@pytest.mark.parametrize("countries", [("SE",), ()])
def test_a_number_is_held_in_any_spelling(
    wanted: str, there: str, countries: tuple[str, ...]
) -> None:
    hold = a_hold(HoldKind.NUMBER, wanted, countries=countries, outside_prefixes=("9",))
    assert held(hold, a_recording(), of_number(there))
    assert covers_call(hold, of_number(there), (), NUMBERS)


@pytest.mark.parametrize("there", ["", "anonymous", "+46701234568", "12", "+4671234567", "567"])
def test_another_number_is_not(there: str) -> None:
    hold = a_hold(HoldKind.NUMBER, "+46701234567", countries=("SE",))
    assert not held(hold, a_recording(), of_number(there))


@pytest.mark.parametrize("place", ["a_number", "b_number", "c_number", "ddi", "a_name"])
def test_a_number_is_held_wherever_it_stands_in_a_call(place: str) -> None:
    hold = a_hold(HoldKind.NUMBER, "+46701234567", countries=("SE",))
    call = of_number("1")
    assert not held(hold, a_recording(), call)
    named: dict[str, Any] = {place: "0701234567"}
    assert held(hold, a_recording(), replace(call, **named))
    leg = replace(a_call().legs[1], name="Bo 070-1234567", channel="")
    assert held(hold, a_recording(), replace(call, legs=(leg,)))
    leg = replace(leg, name="", channel="Local/0701234567@default-0001;1")
    assert held(hold, a_recording(), replace(call, legs=(leg,)))
    asked = replace(a_call().consents[0], number="0701234567")
    assert held(hold, a_recording(), replace(call, consents=(asked,)))
    assert held(hold, a_recording(), replace(call, transfers=("blind:0701234567",)))


@pytest.mark.parametrize("number", ["0701234567", "202", "*98202"])
def test_where_a_call_was_transferred_is_one_of_its_numbers(number: str) -> None:
    assert number in numbers_of(replace(a_call(), transfers=(f"blind:{number}",)))


def test_the_number_of_an_unknown_call_may_be_that_one() -> None:
    assert held(a_hold(HoldKind.NUMBER, "+46701234567"), a_recording(), None)


def test_a_short_number_is_no_part_of_a_longer_one() -> None:
    assert not same_number("201", "+49301201", ("DE",), (), NUMBERS)
    assert same_number("201", "201", ("DE",), (), NUMBERS)


def test_a_call_is_held_with_all_that_was_merged_with_it() -> None:
    hold = a_hold(HoldKind.CALL, a_call(2).call_id, pbx_ids=("2.1",))
    assert held(hold, a_recording(), a_call(2))
    assert not held(hold, a_recording(), a_call(1))
    gone = a_call(3, merged_into=a_call(2).call_id)
    assert held(hold, a_recording(3), gone)
    older = a_call(1, pbx_ids=("1.1", "2.1"))
    assert held(hold, a_recording(1), older)
    assert held(hold, a_recording(1), a_call(1), a_call(2, merged_into=a_call(1).call_id))
    assert covers_call(hold, older)
    assert held(hold, a_recording(call=a_call(2)), None)


def test_a_recording_is_held_alone() -> None:
    hold = a_hold(HoldKind.RECORDING, a_recording(2).recording_id)
    assert held(hold, a_recording(2), None)
    assert not held(hold, a_recording(1), a_call(2))
    assert not covers_call(hold, a_call(2))


def test_a_person_is_held_as_owner_by_line_and_as_a_party() -> None:
    hold = a_hold(HoldKind.PERSON, "Bo@Example.com", people=("bo@old.example",), lines=("202",))
    theirs = a_recording(owner="anna@example.com", line="201")
    assert not held(hold, theirs, a_call())
    assert held(hold, replace(theirs, owner="bo@example.com"), a_call())
    assert held(hold, replace(theirs, owner="bo@old.example"), a_call())
    assert held(hold, replace(theirs, line="202"), a_call())
    leg = replace(a_call().legs[1], line="202", kind=LegKind.LINE)
    assert held(hold, theirs, replace(a_call(), legs=(*a_call().legs, leg)))
    assert held(hold, replace(theirs, owner="", line=""), None)
    assert held(a_hold(HoldKind.PERSON, "201"), theirs, a_call())


@pytest.mark.parametrize(
    ("start", "end", "is_held"),
    [
        (None, 4, False),
        (None, 5, True),
        (65, None, True),
        (66, None, False),
        (30, 40, True),
        (0, 90, True),
    ],
)
def test_a_period_holds_what_was_said_in_it(
    start: int | None, end: int | None, is_held: bool
) -> None:
    def at(seconds: int | None) -> datetime | None:
        return None if seconds is None else START + timedelta(seconds=seconds)

    hold = a_hold(HoldKind.PERIOD, start=at(start), end=at(end))
    assert held(hold, a_recording(), a_call()) is is_held


def test_a_period_holds_what_may_not_be_over_yet() -> None:
    hold = a_hold(HoldKind.PERIOD, start=START + timedelta(days=1))
    assert held(hold, a_recording(ended_at=None), a_call(ended_at=None))
    assert not held(hold, a_recording(ended_at=None), a_call())


def test_a_period_may_be_of_one_owner() -> None:
    hold = a_hold(HoldKind.PERIOD, start=START, owner="bo@example.com")
    assert not held(hold, a_recording(), a_call())
    assert held(hold, a_recording(owner="bo@example.com"), a_call())


@pytest.mark.parametrize("kind", [HoldKind.NUMBER, HoldKind.PERSON, HoldKind.PERIOD])
def test_a_tenant_narrows_by_any_name_that_it_has_had(kind: HoldKind) -> None:
    subject = {HoldKind.NUMBER: "+4930123456", HoldKind.PERSON: "201"}.get(kind, "")
    hold = a_hold(kind, subject, tenant="acme", start=START, tenants=("acme ltd",))
    assert not held(hold, a_recording(), a_call())
    for name in ("acme", "acme ltd", ""):
        assert held(hold, a_recording(tenant=name), a_call(tenant=name))


@given(recording=anything(RecordingFacts), call=anything(CallFacts))
def test_whoever_takes_part_in_any_way_is_held(recording: RecordingFacts, call: CallFacts) -> None:
    assert held(a_hold(HoldKind.RECORDING, recording.recording_id), recording, call)
    assert held(a_hold(HoldKind.CALL, call.call_id), recording, call)
    for number in numbers_of(call):
        assert held(a_hold(HoldKind.NUMBER, number), recording, call)
    for person in filter(None, (recording.owner, recording.line, *(leg.line for leg in call.legs))):
        assert held(a_hold(HoldKind.PERSON, person), recording, call)
    assert (
        held(a_hold(HoldKind.PERIOD, start=recording.created_at), recording, call)
        or (recording.ended_at or call.ended_at or recording.created_at) < recording.created_at
    )


@given(st.text("0123456789+*# ()-", max_size=16), st.text("0123456789+*# ()-", max_size=16))
def test_the_same_number_is_so_both_ways(one: str, other: str) -> None:
    here = same_number(one, other, ("SE",), ("0",), NUMBERS)
    assert here == same_number(other, one, ("SE",), ("0",), NUMBERS)
