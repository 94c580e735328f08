"""Single excluded numbers, in any spelling."""

import pytest

from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.excluded import entries_of, key_of, like, new_among, parse_numbers

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
