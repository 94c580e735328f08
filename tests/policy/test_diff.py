"""What two policies differ in."""

from dataclasses import replace
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain.policy.rules import Holiday, Place, PolicyText, Rule, Window
from callrec_pbx.domain.policy.settings import Settings
from callrec_pbx.domain.words import ConsentMode, Direction, Mode, OnHoliday
from callrec_pbx.policy.diff import Did, change_document, changes
from tests.policy.made import policies

BOARD = Rule("board", Mode.NEVER, line=("301", "302"))
SUPPORT = Rule(
    "support",
    Mode.ALWAYS_PAUSABLE,
    Settings(consent=ConsentMode.OPT_OUT, retention="unlimited"),
    queue=("support",),
    when=(Window((0, 1, 2, 3, 4), 8 * 60, 17 * 60, OnHoliday.OPEN), Window()),
)
REST = Rule("rest", Mode.ON_DEMAND, Settings(consent=ConsentMode.OPT_IN))
NEW = Rule("new", Mode.NEVER, direction=(Direction.INBOUND,))
OLD = PolicyText(rules=(BOARD, SUPPORT, REST))


def said(new: PolicyText, old: PolicyText = OLD) -> list[str]:
    return [str(change) for change in changes(old, new)]


def with_rules(*rules: Rule) -> PolicyText:
    return replace(OLD, rules=rules)


def place(settings: Settings, kind: str = "site", tenant: str = "acme") -> PolicyText:
    return replace(OLD, places=(Place(kind, tenant, "" if kind == "tenant" else "S", settings),))


@pytest.mark.parametrize(
    ("new", "lines"),
    [
        (OLD, []),
        (with_rules(SUPPORT, REST), ["- rule board"]),
        (with_rules(BOARD, REST, SUPPORT), ["> rule support: now after rest"]),
        (with_rules(SUPPORT, REST, BOARD), ["> rule board: now after rest"]),
        (with_rules(REST, BOARD, SUPPORT), ["> rule rest: now first"]),
        (
            with_rules(BOARD, NEW, SUPPORT, REST),
            ["+ rule new: direction inbound, mode never"],
        ),
        (
            with_rules(BOARD, replace(SUPPORT, queue=(), when=()), REST),
            [
                "~ rule support: queue support -> (none); "
                "when mon-fri 08:00-17:00 holidays open | 00:00-24:00 -> (none)"
            ],
        ),
        (
            with_rules(
                BOARD,
                replace(
                    SUPPORT,
                    enabled=False,
                    valid_from=datetime(2026, 3, 1, tzinfo=UTC),
                    settings=Settings(consent=ConsentMode.ANNOUNCE, announcement=""),
                ),
                REST,
            ),
            [
                "~ rule support: enabled (none) -> false; "
                "valid_from (none) -> 2026-03-01T00:00:00+00:00; consent opt_out -> announce; "
                'announcement (none) -> ""; retention unlimited -> (none)'
            ],
        ),
        (place(Settings(language="sv")), ["+ site S: language sv"]),
        (place(Settings(whisper=False), "tenant"), ["+ tenant acme: whisper false"]),
        (
            replace(OLD, holidays=(Holiday(date(2026, 12, 24), "Eve", "acme", ("S", "T")),)),
            ["+ holiday 2026-12-24 Eve of acme in S | T"],
        ),
        (
            replace(OLD, excluded_numbers=tuple("7654321")),
            ["+ 7 excluded numbers: 1, 2, 3, 4, 5, ..."],
        ),
        (replace(OLD, excluded_numbers=("1",)), ["+ 1 excluded number: 1"]),
    ],
)  # fmt: skip
def test_lines(new: PolicyText, lines: list[str]) -> None:
    assert said(new) == lines


def test_the_other_way_round() -> None:
    old = place(Settings(language="sv", whisper=True))
    new = place(Settings(language="de"))
    assert said(new, old) == ["~ site S: language sv -> de; whisper true -> (none)"]
    assert said(OLD, old) == ["- site S"]
    numbers = replace(OLD, excluded_numbers=("1", "2"))
    assert said(OLD, numbers) == ["- 2 excluded numbers: 1, 2"]


def test_sites_of_several_tenants_are_told_apart() -> None:
    old = place(Settings(language="sv"))
    new = replace(old, places=(*old.places, Place("site", "other", "S", Settings(language="de"))))
    assert said(new, old) == ["+ site other/S: language de"]


def test_only_the_order_of_rules_counts() -> None:
    two = (Place("site", "a", "S", Settings()), Place("site", "a", "T", Settings()))
    old = replace(OLD, places=two, excluded_numbers=("1", "2"))
    new = replace(OLD, places=two[::-1], excluded_numbers=("2", "1"))
    assert changes(old, new) == ()


def test_for_programs() -> None:
    new = PolicyText(
        rules=(REST, replace(SUPPORT, queue=("a", "b"), when=())), excluded_numbers=("1", "2")
    )
    assert [change_document(change) for change in changes(OLD, new)] == [
        {"did": "removed", "kind": "rule", "name": "board", "position": 1, "new_position": None},
        {
            "did": "moved",
            "kind": "rule",
            "name": "support",
            "position": 2,
            "new_position": 2,
            "after": "rest",
        },
        {
            "did": "changed",
            "kind": "rule",
            "name": "support",
            "fields": [
                {"field": "queue", "old": "support", "new": ["a", "b"]},
                {
                    "field": "when",
                    "old": [
                        {"days": "mon-fri", "from": "08:00", "to": "17:00", "holidays": "open"},
                        {},
                    ],
                    "new": None,
                },
            ],
            "position": 2,
            "new_position": 2,
        },
        {"did": "added", "kind": "excluded", "count": 2, "first": ["1", "2"]},
    ]


@given(policies(), policies())
def test_no_change_means_the_same_policy(old: PolicyText, new: PolicyText) -> None:
    assert changes(old, old) == ()
    found = changes(old, new)
    same = (
        set(old.places) == set(new.places)
        and old.rules == new.rules
        and set(old.holidays) == set(new.holidays)
        and set(old.excluded_numbers) == set(new.excluded_numbers)
    )
    assert (not found) == same


@given(st.permutations("abcdefgh"))
def test_moving_what_is_said_to_have_moved_gives_the_new_order(order: list[str]) -> None:
    rules = {name: Rule(name, Mode.NEVER) for name in "abcdefgh"}
    old = PolicyText(rules=tuple(rules.values()))
    new = PolicyText(rules=tuple(rules[name] for name in order))
    found = changes(old, new)
    assert {change.did for change in found} <= {Did.MOVED}
    moved = {change.name: change.new_position for change in found}
    result = [name for name in "abcdefgh" if name not in moved]
    for name, place_ in sorted(moved.items(), key=lambda item: item[1]):
        result.insert(place_ - 1, name)
    assert result == order
