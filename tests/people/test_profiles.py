"""Switching profiles, and the log that a listener follows."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Engine

from callrec_pbx.domain.people import Profile, User
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.load import load_people
from callrec_pbx.people.profiles import (
    last_switch,
    newest_switches,
    profile_by_code,
    switch_profile,
    switches_after,
)
from callrec_pbx.people.versions import current_version
from callrec_pbx.policy.people import changing
from tests.people.house import ANNA, D, build, raw


@pytest.fixture(autouse=True)
def house(engine: Engine) -> None:
    build(engine)


def active(engine: Engine, email: str = ANNA) -> Profile | None:
    with engine.begin() as connection:
        people = load_people(connection)
    return people.profile_of(people.users[D, email])


def test_switching_counts_and_is_logged_and_makes_no_version(engine: Engine) -> None:
    assert active(engine) is None
    assert switch_profile(engine, D, " Anna@Example.com", "Lunch", "phone:201")
    assert active(engine) == Profile(D, ANNA, "Lunch", record_direct=False, code="1")
    assert switch_profile(engine, D, ANNA, "", "api")
    assert active(engine) is None
    with engine.begin() as connection:
        log = switches_after(connection, 0)
        assert current_version(connection) == 2
    assert [(one.user, one.profile, one.by) for one in log] == [
        (ANNA, "Lunch", "phone:201"),
        (ANNA, "", "api"),
    ]
    assert abs(datetime.now(UTC) - log[0].at) < timedelta(minutes=5)


def test_switching_to_what_is_active_writes_nothing(engine: Engine) -> None:
    assert switch_profile(engine, D, ANNA, "Lunch", "cli:ann")
    assert not switch_profile(engine, D, ANNA, "Lunch", "cli:ann")
    with engine.begin() as connection:
        assert len(switches_after(connection, 0)) == 1


@pytest.mark.parametrize(
    ("tenant", "user", "profile", "message"),
    [
        (D, "nobody@example.com", "Lunch", "user nobody@example.com: is not there"),
        (D, "nobody", "Lunch", "email 'nobody': is not an e-mail address"),
        ("acme", ANNA, "Lunch", f"user acme/{ANNA}: is not there"),
        (D, ANNA, "Dinner", f"profile {ANNA}/Dinner: is not there"),
        (D, "bo@example.com", "Lunch", "profile bo@example.com/Lunch: is not there"),
    ],
)
def test_what_is_not_there_cannot_be_switched(
    engine: Engine, tenant: str, user: str, profile: str, message: str
) -> None:
    before = raw(engine)
    with pytest.raises(PeopleError) as raised:
        switch_profile(engine, tenant, user, profile, "api")
    assert message in str(raised.value)
    assert raw(engine) == before


def test_a_listener_sees_each_switch_once(engine: Engine) -> None:
    with engine.begin() as connection:
        assert last_switch(connection) == 0
        assert switches_after(connection, 0) == []
    switch_profile(engine, D, ANNA, "Lunch", "api")
    with engine.begin() as connection:
        people, seen = load_people(connection), last_switch(connection)
    switch_profile(engine, D, ANNA, "Available", "api")
    switch_profile(engine, D, ANNA, "", "api")
    with engine.begin() as connection:
        new = switches_after(connection, seen)
        assert switches_after(connection, new[-1].id) == []
    assert [one.profile for one in new] == ["Available", ""]
    for one in new:
        people.switch(one.tenant, one.user, one.profile)
    assert people.profile_of(people.users[D, ANNA]) is None


def test_no_id_comes_twice_even_when_the_log_is_emptied(engine: Engine) -> None:
    switch_profile(engine, D, ANNA, "Lunch", "api")
    with engine.begin() as connection:
        seen = last_switch(connection)
        connection.exec_driver_sql("DELETE FROM profile_switch")
    switch_profile(engine, D, ANNA, "", "api")
    with engine.begin() as connection:
        assert len(switches_after(connection, seen)) == 1


def test_the_newest_of_somebody(engine: Engine) -> None:
    with changing(engine, author="ann") as changes:
        changes.add(Profile(D, "bo@example.com", "Lunch"))
    for user, profile in ((ANNA, "Lunch"), ("bo@example.com", "Lunch"), (ANNA, "Available")):
        switch_profile(engine, D, user, profile, "api")
    with engine.begin() as connection:
        assert [one.profile for one in newest_switches(connection, user=ANNA)] == [
            "Available", "Lunch",
        ]  # fmt: skip
        assert len(newest_switches(connection, limit=1)) == 1
        assert newest_switches(connection, tenant="acme") == []


@pytest.mark.parametrize(
    ("email", "code", "name"),
    [
        (ANNA, "1", "Lunch"),
        (ANNA, "2", "Available"),
        (ANNA, "3", None),
        (ANNA, "", None),
        ("bo@example.com", "1", None),
    ],
)
def test_codes_are_the_users_own(engine: Engine, email: str, code: str, name: str | None) -> None:
    with changing(engine, author="ann") as changes:
        changes.add(Profile(D, ANNA, "No code"))
    with engine.begin() as connection:
        people = load_people(connection)
    found = profile_by_code(people, people.users[D, email], code)
    assert (found.name if found else None) == name
    assert profile_by_code(people, User(D, "gone@example.com"), code) is None
