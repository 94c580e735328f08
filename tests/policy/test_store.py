"""The policy's versions."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, func, select, update

from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.catalogue.people_models import VersionKind
from callrec_pbx.domain.policy.rules import PolicyText, Rule
from callrec_pbx.domain.words import Mode
from callrec_pbx.people import versions
from callrec_pbx.policy.errors import NoSuchVersionError, PolicyChangedError
from callrec_pbx.policy.store import (
    EXCLUDED,
    LINES_KEPT,
    Saved,
    at,
    change_excluded,
    current,
    save,
    text_version,
)
from tests.databases import only_sqlite
from tests.policy.made import policies

ONE = PolicyText(rules=(Rule("one", Mode.NEVER, line=("301",)),), excluded_numbers=("+461", "+462"))
TWO = PolicyText(rules=(Rule("two", Mode.NEVER),), excluded_numbers=("+462", "+463"))


def now(engine: Engine) -> tuple[int, PolicyText]:
    with engine.begin() as connection:
        return current(connection)


def in_version(engine: Engine, version: int) -> PolicyText:
    with engine.begin() as connection:
        return at(connection, version)


def history(engine: Engine) -> list[versions.Version]:
    with engine.begin() as connection:
        return versions.versions(connection)


@pytest.fixture
def begin(engine: Engine) -> int:
    """The version that a new catalogue has."""
    version, text = now(engine)
    assert text == PolicyText()
    return version


def test_a_version_for_each_change(engine: Engine, begin: int) -> None:
    first = save(engine, ONE, "anna", "the first")
    assert (first.before, first.version) == (begin, begin + 1)
    assert [str(change) for change in first.changes] == [
        "+ rule one: line 301, mode never",
        "+ 2 excluded numbers: +461, +462",
    ]
    second = save(engine, TWO, "bertil")
    assert now(engine) == (second.version, TWO)
    assert in_version(engine, first.version) == ONE
    assert in_version(engine, 0) == PolicyText()
    newest, before = history(engine)[:2]
    assert (newest.author, newest.comment, newest.kind) == ("bertil", "", VersionKind.POLICY)
    assert (before.author, before.comment) == ("anna", "the first")
    assert before.changes == (
        "+ rule one: line 301, mode never",
        "+ 2 excluded numbers: +461, +462",
    )


def test_saving_the_same_makes_no_version(engine: Engine) -> None:
    version = save(engine, ONE, "anna").version
    again = save(engine, replace(ONE, excluded_numbers=ONE.excluded_numbers[::-1]), "anna")
    assert (again.version, again.changes) == (version, ())
    assert now(engine)[0] == version


def test_a_dry_run_says_the_same_and_changes_nothing(engine: Engine, begin: int) -> None:
    dry = save(engine, ONE, "anna", dry_run=True)
    assert now(engine) == (begin, PolicyText())
    assert dry.changes == save(engine, ONE, "anna").changes


def test_two_editors_do_not_overwrite_each_other(engine: Engine, begin: int) -> None:
    version = save(engine, ONE, "anna", expected_version=begin).version
    with pytest.raises(PolicyChangedError, match=f"anna has changed .* version {version}; export"):
        save(engine, TWO, "bertil", expected_version=begin)
    assert now(engine)[1] == ONE
    with pytest.raises(NoSuchVersionError, match="version 99: there is none"):
        save(engine, TWO, "bertil", expected_version=99)
    with engine.begin() as connection:  # a change of people is none of the policy
        people = versions.next_version(connection, "carl", "", VersionKind.PEOPLE)
    assert now(engine) == (people, ONE)
    assert save(engine, TWO, "bertil", expected_version=version).version == people + 1


def test_a_change_of_people_keeps_the_policy(engine: Engine) -> None:
    version = save(engine, ONE, "anna").version
    with engine.begin() as connection:
        people = versions.next_version(connection, "carl", "", VersionKind.PEOPLE)
        found = text_version(connection)
        assert found is not None
        assert (found.version, found.author) == (version, "anna")
    assert in_version(engine, people) == ONE
    save(engine, TWO, "anna")
    with engine.begin() as connection:
        found = text_version(connection, people)
    assert found is not None
    assert found.version == version


def test_a_version_that_is_not_there(engine: Engine, begin: int) -> None:
    for version in (-1, begin + 1):
        with pytest.raises(NoSuchVersionError, match=f"version {version}: there is none"):
            in_version(engine, version)


def test_excluded_numbers_cost_a_row_each_and_not_one_per_version(engine: Engine) -> None:
    save(engine, ONE, "anna")
    added = change_excluded(engine, "anna", "asked for", add=["+463", "+461"], remove=["+462"])
    assert [str(change) for change in added.changes] == [
        "- 1 excluded number: +462",
        "+ 1 excluded number: +463",
    ]
    assert now(engine) == (added.version, replace(ONE, excluded_numbers=("+461", "+463")))
    assert in_version(engine, added.before) == ONE
    assert history(engine)[0].comment == "asked for"
    nothing = change_excluded(engine, "anna", add=["+461"], remove=["+469"])
    assert (nothing.version, nothing.changes) == (added.version, ())
    dry = change_excluded(engine, "anna", add=["+470"], dry_run=True)
    assert len(dry.changes) == 1
    assert now(engine)[0] == added.version
    with engine.begin() as connection:
        assert connection.scalar(select(func.count()).select_from(EXCLUDED)) == 3
        text_less = connection.scalar(
            select(versions.POLICY_VERSION.c.document).where(
                versions.POLICY_VERSION.c.version == added.version
            )
        )
    assert text_less is None


def test_a_number_may_be_excluded_again(engine: Engine) -> None:
    one = change_excluded(engine, "anna", add=["+461"]).version
    two = change_excluded(engine, "anna", remove=["+461"]).version
    three = change_excluded(engine, "anna", add=["+461"]).version
    found = [in_version(engine, version).excluded_numbers for version in (one, two, three)]
    assert found == [("+461",), (), ("+461",)]


def test_a_version_keeps_a_part_of_a_long_list_of_changes(engine: Engine) -> None:
    rules = tuple(Rule(f"r{number}", Mode.NEVER) for number in range(LINES_KEPT + 5))
    saved = save(engine, PolicyText(rules=rules), "anna")
    assert len(saved.changes) == LINES_KEPT + 5
    lines = history(engine)[0].changes
    assert len(lines) == LINES_KEPT + 1
    assert lines[-1] == "and 5 more"


@only_sqlite
def test_nothing_of_a_change_that_fails_stays(engine: Engine, url: str) -> None:
    version = save(engine, ONE, "anna").version
    with sqlite3.connect(url.removeprefix("sqlite:///")) as raw:
        raw.execute(
            "CREATE TRIGGER no BEFORE INSERT ON excluded_number "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    raw.close()
    with pytest.raises(Exception, match="no"):
        save(engine, TWO, "anna")
    assert now(engine) == (version, ONE)


@only_sqlite
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(policies(), max_size=4))
def test_every_version_stays_as_it_was(engine: Engine, texts: list[PolicyText]) -> None:
    saved = [(save(engine, text, "anna").version, text) for text in texts]
    for (version, text), (newer, _) in pairwise([*saved, (now(engine)[0] + 1, PolicyText())]):
        for number in range(version, newer):
            found = in_version(engine, number)
            assert found.rules == text.rules
            assert set(found.places) == set(text.places)
            assert set(found.holidays) == set(text.holidays)
            assert found.excluded_numbers == tuple(sorted(text.excluded_numbers))


def test_two_who_save_at_the_same_moment_make_two_versions(engine: Engine, url: str) -> None:
    ready = threading.Barrier(2, timeout=20)

    def save_one(text: PolicyText) -> Saved:
        other = open_current(url)
        try:
            ready.wait()
            return save(other, text, "anna")
        finally:
            other.dispose()

    with ThreadPoolExecutor(2) as pool:
        first, second = sorted(pool.map(save_one, (ONE, TWO)), key=lambda saved: saved.version)
    assert (first.before, first.version) == (1, 2)
    assert (second.before, second.version) == (2, 3)


def test_days_of_an_earlier_version_are_read_as_a_plan(engine: Engine) -> None:
    """A version that is in the catalogue cannot be written anew."""
    save(engine, ONE, "anna")
    document = {
        "tenant": [{"name": "default", "consent": "none", "retention_days": 30}],
        "rule": [{"name": "all", "mode": "always", "retention_days": "unlimited"}],
    }
    with engine.begin() as connection:
        connection.execute(update(versions.POLICY_VERSION).values(document=document))
        _, text = current(connection)
    assert [place.settings.retention for place in text.places] == ["30 days"]
    assert [rule.settings.retention for rule in text.rules] == ["unlimited"]
