"""Single excluded numbers, in any spelling."""

import pytest

from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.excluded import (
    entries_of,
    gone_from,
    key_of,
    like,
    new_among,
    parse_numbers,
    readings_of,
)

THERE = ("+46 70-123 45 67", "+49 30 123*", "08-12 34 56", "sip:anna@example.org")


@pytest.mark.parametrize(
    ("spelling", "key"),
    [
        ("+46 70-123 45 67", "+46701234567"),
        ("0046701234567", "+46701234567"),
        ("+46 (0)70/123.45.67", "+46701234567"),
        ("(08) 12 34 56", "08123456"),
        ("+49 30 123*", "+4930123*"),
        ("*31#*", "*31#*"),
        ("sip:anna@example.org", "sip:anna@example.org"),
    ],
)
def test_a_number_without_what_makes_it_readable(spelling: str, key: str) -> None:
    assert key_of(spelling) == key


def test_a_number_that_is_there_is_not_new() -> None:
    wanted = ["0046701234567", "+4670 1234568", "+46701234568", "+4930 123*"]
    assert new_among(wanted, THERE) == ("+4670 1234568",)


def test_entries_are_found_in_any_spelling() -> None:
    assert entries_of(["+46701234567", "08123456"], THERE) == (THERE[0], THERE[2])
    with pytest.raises(PolicyFileError) as caught:
        entries_of(["+46701234567", "+461", "2"], THERE)
    assert str(caught.value).splitlines() == [
        'excluded number: "+461": is not there; `callrec-pbx policy exclude list` shows all',
        'excluded number: "2": is not there; `callrec-pbx policy exclude list` shows all',
    ]


def test_a_number_without_its_country_code_is_one_of_the_home_countries() -> None:
    assert readings_of("070-123 45 67", ["SE", "DE"]) == ("+46701234567", "+49701234567")
    assert readings_of("070-123 45 67") == ("0701234567",)
    assert new_among(["0701234567", "08 12 34 56", "08-123457"], THERE, ["SE"]) == ("08-123457",)
    assert new_among(["+46812 34 56"], THERE, ["SE"]) == ()
    assert new_among(["0701234567"], THERE, ["SE", "DE"]) == ("0701234567",), "the German one"


def test_all_entries_of_a_number_go() -> None:
    twice = (*THERE, "0701234567")
    assert entries_of(["0701234567"], twice, ["SE"]) == (THERE[0], "0701234567")
    assert entries_of(["+46 70 123 45 67", "070-1234567"], twice, ["SE"]) == (
        THERE[0],
        "0701234567",
    )
    assert entries_of(["+4681234 56"], THERE, ["SE"]) == ("08-12 34 56",)
    with pytest.raises(PolicyFileError, match=r"0701234567.*is not there"):
        entries_of(["0701234567"], THERE, ["NO"])


def test_entries_stay_when_all_that_they_mean_is_meant() -> None:
    assert gone_from(THERE, ["0701234567", "+49 30 123*"], ["SE"]) == THERE[2:]
    assert gone_from(["0701234567"], ["+46701234567"], ["SE"]) == ()
    assert gone_from(["0701234567"], ["+46701234567"], ["SE", "DE"]) == ("0701234567",)


def test_entries_that_fit_as_they_are_read() -> None:
    assert like(THERE, ["070*"], ["SE"]) == THERE[:1]
    assert like(THERE, ["+468*"], ["SE"]) == (THERE[2],)


@pytest.mark.parametrize(
    ("patterns", "found"),
    [
        ([], THERE),
        (["+46*"], THERE[:1]),
        (["+4930*"], THERE[1:2]),
        (["+49 30 123*"], THERE[1:2]),
        (["(08)123456", "sip*"], THERE[2:]),
        (["9"], ()),
    ],
)
def test_entries_that_fit(patterns: list[str], found: tuple[str, ...]) -> None:
    assert like(THERE, patterns) == found


def test_a_file_of_numbers() -> None:
    text = "# who asked not to be recorded\n+46 70-123 45 67   # Anna\n\n#31#0701\n+461\n+461\n"
    assert parse_numbers(text, "x.txt") == ("+46 70-123 45 67", "#31#0701", "+461")
    with pytest.raises(PolicyFileError) as caught:
        parse_numbers("+461\n[x]\n_0X.\n", "x.txt")
    first, second = str(caught.value).splitlines()
    assert first.startswith('x.txt: line 2 = "[x]": is not a number or pattern; use digits')
    assert second.startswith('x.txt: line 3 = "_0X.": looks like a dialplan pattern')
