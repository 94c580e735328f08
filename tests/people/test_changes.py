"""Changing people and places: what is kept, what is refused, what the log says."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue.people_models import Entity, VersionKind
from callrec_pbx.domain.people import (
    Ddi,
    Department,
    Line,
    Profile,
    Queue,
    Site,
    Tenant,
    User,
)
from callrec_pbx.domain.words import Device, Switch
from callrec_pbx.people.changes import Changes
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.history import changes_of
from callrec_pbx.people.kinds import KINDS, Key, Kind, Thing, changed
from callrec_pbx.people.profiles import switch_profile, switches_after
from callrec_pbx.people.versions import current_version, versions
from callrec_pbx.policy.people import changing
from tests.people.conftest import Change
from tests.people.house import ANNA, HOUSE, D, build, everything, raw

E = Entity


def refused(change: Change, act: Callable[[Changes], object]) -> PeopleError:
    """What a change is refused with."""
    with pytest.raises(PeopleError) as raised, change() as changes:
        act(changes)
    return raised.value


def test_what_is_added_is_there(engine: Engine) -> None:
    build(engine)
    found = everything(engine)
    assert {thing for things in found.values() for thing in things} == {*HOUSE, Tenant(D)}


def test_a_change_makes_one_version_that_says_all(engine: Engine) -> None:
    build(engine)
    with engine.begin() as connection:
        assert current_version(connection) == 2
        newest = versions(connection)[0]
        logged = changes_of(connection, 2)
    assert (newest.author, newest.comment, newest.kind) == (
        "builder", "the house", VersionKind.PEOPLE,
    )  # fmt: skip
    assert newest.changes[0] == "site Stockholm added"
    assert len(newest.changes) == len(logged) == len(HOUSE)
    assert (logged[4].entity, logged[4].key, logged[4].before) == (E.USER, f"{D}/{ANNA}", None)
    assert logged[4].after == {
        "tenant": D, "email": ANNA, "name": "Anna", "language": "", "country": "",
        "department": "Sales", "site": "Berlin", "recording": True, "profile": "", "retention": "",
    }  # fmt: skip


def test_what_was_set_is_logged_before_and_after(engine: Engine, change: Change) -> None:
    build(engine)
    with change() as changes:
        changes.set(E.USER, (D, ANNA), {"department": "Support", "language": "SV"})
    assert changes.version == 3
    with engine.begin() as connection:
        (logged,) = changes_of(connection, 3)
    assert logged.before is not None
    assert logged.after == logged.before | {"department": "Support", "language": "sv"}
    assert str(logged).endswith(": language empty -> sv, department Sales -> Support")


def test_a_change_that_changes_nothing_writes_nothing(engine: Engine, change: Change) -> None:
    build(engine)
    before = raw(engine)
    with change() as changes:
        changes.set(E.USER, (D, "ANNA@example.com"), {"department": "Sales", "name": " Anna "})
        changes.add(Site(D, "Oslo"))
        changes.set(E.LINE, (D, "203"), {"device": Device.MOBILE})
        changes.set(E.LINE, (D, "203"), {"device": Device.DESK})
        changes.remove(E.SITE, (D, "Oslo"))
    assert changes.version is None
    assert raw(engine) == before


def test_a_refusal_takes_everything_back(engine: Engine, change: Change) -> None:
    before = raw(engine)
    refused(
        change,
        lambda changes: (
            changes.add(Site(D, "Oslo")),
            changes.add(Department(D, "Sales", "Nowhere")),
        ),
    )
    assert raw(engine) == before


def test_a_dry_run_writes_nothing_and_tells_what_it_would(engine: Engine) -> None:
    before = raw(engine)
    with changing(engine, author="ann", dry_run=True) as changes:
        changes.add(Site(D, "Oslo"))
    assert [str(one) for one in changes.done()] == ["site Oslo added"]
    assert changes.version is None
    assert raw(engine) == before


def test_several_steps_with_one_thing_are_one_change(engine: Engine, change: Change) -> None:
    build(engine)
    with change() as changes:
        changes.set(E.SITE, (D, "Berlin"), {"country": "AT"})
        changes.set(E.SITE, (D, "Berlin"), {"name": "Wien", "language": "de"})
    assert [str(one) for one in changes.done()] == [
        "site Berlin: name Berlin -> Wien, language empty -> de, country DE -> AT"
    ]


def test_a_version_does_not_tell_thousands_of_lines(engine: Engine, change: Change) -> None:
    with change() as changes:
        for number in range(150):
            changes.add(Line(D, str(number)))
    with engine.begin() as connection:
        lines = versions(connection)[0].changes
        assert len(changes_of(connection, 2)) == 150
    assert (len(lines), lines[-1]) == (101, "and 50 more")


WRONG: list[tuple[Thing, str]] = [
    (Tenant("default"), "tenant default: name 'default': is there already"),
    (Tenant("acme", recording=Switch.ON), "recording 'on': cannot be set here; use callrec-pbx"),
    (Tenant("acme", concurrent_limit=0), "concurrent_limit '0': is not a limit"),
    (Tenant("acme", user_switch="yes"), "user_switch 'yes': is neither"),  # type: ignore[arg-type]
    (Site(D, "Berlin"), "site Berlin: name 'Berlin': is there already; choose another, or change"),
    (Site(D, "Bonn", country="ZZ"), "site Bonn: country 'ZZ': is not a country"),
    (Site("acme", "Bonn"), "tenant 'acme': there is no such tenant; add it first: callrec-pbx te"),
    (Department(D, "X", "Bonn"), "site 'Bonn': there is no such site; add it first: callrec-pbx"),
    (User(D, ANNA.upper()), f"email '{ANNA}': is there already"),
    (User(D, "c@x.se", profile="Lunch"), "profile 'Lunch': cannot be set here; use callrec-pbx pr"),
    (User(D, "c@x.se", recording=None), "recording 'None': is neither yes nor no"),  # type: ignore[arg-type]
    (Profile(D, "nobody@x.se", "Lunch"), "user 'nobody@x.se': there is no such user"),
    (Profile(D, ANNA, "Lunch"), "name 'Lunch': is there already"),
    (Profile(D, ANNA, "Abroad", code="1"), f"code '1': is that of profile {ANNA}/Lunch already"),
    (Line(D, "201"), "extension '201': is there already"),
    (Line(D, "204", "201"), "endpoint '201': is that of line 201 already; give the endpoint"),
    (Line(D, "202-*"), "is a pattern, not an extension"),
    (Line(D, "204", "202-*"), "endpoint '202-*': is that of line 202 already"),
    (Line(D, "204", user="nobody@x.se"), "user 'nobody@x.se': there is no such user"),
    (Line(D, "204", device="phone"), "device 'phone': is not known; give one of desk, "),  # type: ignore[arg-type]
    (Ddi(D, "+468100"), "number '+468100': is there already"),
    (Queue(D, "support"), "name 'support': is there already"),
    (Site(D, "\x1b[31m\nX"), r"site ?[31m?X: name '\x1b[31m\nX': is not a name"),
    (Site(D, None), "site None: name 'None': is not a text; give a text"),  # type: ignore[arg-type]
    (Queue(D, "sales", department="Nobody's"), "callrec-pbx department add 'Nobody'\"'\"'s'"),
]


@pytest.mark.parametrize(("thing", "message"), WRONG)
def test_what_cannot_be_added_is_said_why(
    engine: Engine, change: Change, thing: Thing, message: str
) -> None:
    build(engine)
    before = raw(engine)
    assert message in str(refused(change, lambda changes: changes.add(thing)))
    assert raw(engine) == before


@pytest.mark.parametrize(("thing", "message"), WRONG)
def test_the_same_when_everything_is_read_before(
    engine: Engine, change: Change, thing: Thing, message: str
) -> None:
    build(engine)

    def add(changes: Changes) -> None:
        for entity in E:
            changes.preload(entity)
        changes.add(thing)

    assert message in str(refused(change, add))


def test_all_that_is_wrong_is_said_at_once(engine: Engine, change: Change) -> None:
    build(engine)
    wrong = User(D, "x", country="ZZ", department="Nope", site="Berlin")
    error = refused(change, lambda changes: changes.add(wrong))
    assert [problem.field for problem in error.problems] == [
        "email", "country", "department",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("entity", "key", "values", "message"),
    [
        (E.SITE, (D, "Bonn"), {}, "site Bonn: is not there; callrec-pbx site list shows sites"),
        (E.SITE, (D, "Berlin"), {"size": 1}, "size: a site has no such field; tenant, name, lan"),
        (E.SITE, (D, "Berlin"), {"name": "Stockholm"}, "name 'Stockholm': is there already"),
        (E.SITE, (D, "Berlin"), {"tenant": "acme"}, "tenant 'acme': cannot be set here; remove it"),
        (E.USER, (D, ANNA), {"profile": "Lunch"}, "use callrec-pbx profile switch"),
        (
            E.USER,
            (D, ANNA),
            {"email": "bo@example.com"},
            "email 'bo@example.com': is there already",
        ),
        (E.USER, (D, ANNA), {"department": "Nope"}, "department 'Nope': there is no such depart"),
        (E.TENANT, (D,), {"recording": Switch.ON}, "use callrec-pbx tenant recording on|off"),
        (E.TENANT, (D,), {"time_zone": "Mars/Olympus"}, "time_zone 'Mars/Olympus': is not a time"),
        (E.LINE, (D, "203"), {"endpoint": "202-*"}, "endpoint '202-*': is that of line 202"),
        (E.LINE, (D, "203"), {"extension": "201"}, "extension '201': is there already"),
        (E.PROFILE, (D, ANNA, "Lunch"), {"code": "2"}, f"code '2': is that of profile {ANNA}/Av"),
        (E.PROFILE, (D, ANNA, "Lunch"), {"user": "bo@example.com"}, "user 'bo@example.com': cann"),
    ],
)
def test_what_cannot_be_set_is_said_why(
    *,
    engine: Engine,
    change: Change,
    entity: E,
    key: Key,
    values: dict[str, Any],
    message: str,
) -> None:
    build(engine)
    before = raw(engine)
    assert message in str(refused(change, lambda changes: changes.set(entity, key, values)))
    assert raw(engine) == before


def test_a_name_of_one_tenant_is_free_in_another(engine: Engine, change: Change) -> None:
    build(engine)
    with change() as changes:
        changes.add(Tenant("acme"))
        changes.add(Site("acme", "Berlin"))
        changes.add(User("acme", ANNA))
    with change() as changes:
        changes.add(Line("acme", "201", "acme-201"))
    for thing, message in (
        (Line("acme", "2010", "201"), "endpoint '201': is that of line 201 already"),
        (Queue("acme", "support"), "is there already, of tenant default"),
        (Department("acme", "Sales", "Stockholm"), "site 'Stockholm': there is no such site"),
    ):
        assert message in str(refused(change, partial(Changes.add, thing=thing)))


def test_an_endpoint_like_its_extension_follows_it(engine: Engine, change: Change) -> None:
    build(engine)
    with change() as changes:
        changes.set(E.LINE, (D, "201"), {"extension": "301"})
        changes.add(Line(D, "201"))
        changes.set(E.LINE, (D, "203"), {"endpoint": "203"})
    assert changes.get(E.LINE, (D, "301")) == Line(D, "301", user=ANNA)
    lines = [line for line in everything(engine)[E.LINE] if isinstance(line, Line)]
    assert [(line.extension, line.endpoint) for line in lines] == [
        ("201", ""), ("202", "202-*"), ("203", ""), ("301", ""),
    ]  # fmt: skip


RENAMES: list[tuple[E, Key, str, str]] = [
    (E.TENANT, (D,), "name", "acme"),
    (E.SITE, (D, "Stockholm"), "name", "Kista"),
    (E.DEPARTMENT, (D, "Sales"), "name", "Sellers"),
    (E.USER, (D, ANNA), "email", "a@x.se"),
    (E.PROFILE, (D, ANNA, "Lunch"), "name", "Food"),
    (E.LINE, (D, "202"), "extension", "302"),
]


@pytest.mark.parametrize(("entity", "key", "name", "value"), RENAMES)
@pytest.mark.parametrize("read_before", [False, True])
def test_another_name_is_carried_to_all_that_refer_to_it(
    *,
    engine: Engine,
    change: Change,
    entity: E,
    key: Key,
    name: str,
    value: str,
    read_before: bool,
) -> None:
    build(engine)
    switch_profile(engine, D, ANNA, "Lunch", "cli:ann")
    before = everything(engine)

    def renamed(kind: Kind, thing: Thing) -> Thing:
        if kind.entity is entity and kind.key_of(thing) == key:
            return changed(thing, {name: value})
        old = {field.name: key[-1] for field in kind.fields if field.refers is entity}
        if isinstance(thing, User) and entity is E.PROFILE:
            old = {"profile": key[-1]}
        hit = {field: value for field, was in old.items() if getattr(thing, field) == was}
        return changed(thing, hit)

    expected = {
        each: {renamed(KINDS[each], thing) for thing in things} for each, things in before.items()
    }
    assert expected[E.USER] != set(before[E.USER]) or entity in (E.LINE, E.SITE)
    with change() as changes:
        if read_before:
            for each in E:
                changes.preload(each)
        changes.set(entity, key, {name: value})
        seen = {
            changes.get(each, KINDS[each].key_of(thing))
            for each, things in expected.items()
            for thing in things
        }
    assert len(changes.done()) == 1
    assert {each: set(things) for each, things in everything(engine).items()} == expected
    assert seen == {thing for things in expected.values() for thing in things}


@pytest.mark.parametrize(
    ("entity", "key", "message"),
    [
        (
            E.SITE,
            (D, "Stockholm"),
            "is referred to by 1 department (Sales) and 1 DDI (+468100) and",
        ),
        (E.DEPARTMENT, (D, "Sales"), f"2 users ({ANNA}, bo@example.com); change or remove them"),
        (E.USER, (D, ANNA), "is referred to by 1 line (201)"),
        (E.PROFILE, (D, ANNA, "Lunch"), "is active; switch to another first"),
        (E.TENANT, (D,), "is the only tenant; rename it"),
    ],
)
def test_what_is_referred_to_cannot_be_removed(
    engine: Engine, change: Change, entity: E, key: Key, message: str
) -> None:
    build(engine)
    switch_profile(engine, D, ANNA, "Lunch", "cli:ann")
    before = raw(engine)
    assert message in str(refused(change, lambda changes: changes.remove(entity, key)))
    assert raw(engine) == before


def test_a_tenant_with_something_in_it_cannot_be_removed(engine: Engine, change: Change) -> None:
    build(engine)
    with change() as changes:
        changes.add(Tenant("acme"))
    error = refused(change, lambda changes: changes.remove(E.TENANT, (D,)))
    assert "has 2 sites (Stockholm, Berlin) and 2 departments" in str(error)
    with change() as changes:
        changes.remove(E.TENANT, ("acme",))
    assert [str(one) for one in changes.done()] == ["tenant acme removed"]


def test_cascade_empties_what_can_be_without(engine: Engine, change: Change) -> None:
    build(engine)
    with change() as changes:
        changes.remove(E.SITE, (D, "Stockholm"), cascade=True)
    assert [str(one) for one in changes.done()] == [
        "department Sales: site Stockholm -> empty",
        "DDI +468100: site Stockholm -> empty",
        "queue support: site Stockholm -> empty",
        "site Stockholm removed",
    ]
    found = everything(engine)
    assert found[E.DDI] == [Ddi(D, "+468100", "", "sv", "reception")]
    assert len(found[E.SITE]) == 1


def test_a_user_goes_with_the_profiles(engine: Engine, change: Change) -> None:
    build(engine)
    with change() as changes:
        changes.set(E.LINE, (D, "201"), {"user": ""})
        changes.remove(E.USER, (D, ANNA))
    assert {str(one) for one in changes.done()} == {
        f"line 201: user {ANNA} -> empty",
        f"profile {ANNA}/Lunch removed",
        f"profile {ANNA}/Available removed",
        f"user {ANNA} removed",
    }
    assert everything(engine)[E.PROFILE] == []


def test_cascade_removes_all_of_a_tenant_and_nothing_else(engine: Engine, change: Change) -> None:
    build(engine)
    with change() as changes:
        changes.add(Tenant("acme"))
        changes.add(User("acme", ANNA))
        changes.add(Profile("acme", ANNA, "Lunch", code="1"))
        changes.add(Line("acme", "900", user=ANNA))
    with change() as changes:
        changes.remove(E.TENANT, (D,), cascade=True)
    assert len(changes.done()) == len(HOUSE) + 1
    found = everything(engine)
    assert {thing for things in found.values() for thing in things} == {
        Tenant("acme"),
        User("acme", ANNA),
        Profile("acme", ANNA, "Lunch", code="1"),
        Line("acme", "900", user=ANNA),
    }


def test_cascade_leaves_an_active_profile_and_logs_it(engine: Engine, change: Change) -> None:
    build(engine)
    switch_profile(engine, D, ANNA, "Lunch", "cli:ann")
    with change() as changes:
        changes.remove(E.PROFILE, (D, ANNA, "Lunch"), cascade=True)
    assert [str(one) for one in changes.done()] == [f"profile {ANNA}/Lunch removed"]
    users = everything(engine)[E.USER]
    assert all(isinstance(user, User) and user.profile == "" for user in users)
    with engine.begin() as connection:
        last = switches_after(connection, 0)[-1]
    assert (last.user, last.profile, last.by) == (ANNA, "", "ann")


def test_a_name_given_up_can_be_taken_in_the_same_change(engine: Engine, change: Change) -> None:
    build(engine)
    with change() as changes:
        changes.set(E.LINE, (D, "203"), {"extension": "204"})
        changes.add(Line(D, "203"))
        changes.remove(E.PROFILE, (D, ANNA, "Lunch"))
        changes.set(E.PROFILE, (D, ANNA, "Available"), {"name": "Lunch", "code": "1"})
        changes.set(E.SITE, (D, "Berlin"), {"name": "Bonn"})
        changes.add(Site(D, "Berlin"))
        changes.set(E.USER, (D, ANNA), {"site": "Berlin"})
    assert changes.get(E.PROFILE, (D, ANNA, "Lunch")) == Profile(D, ANNA, "Lunch", code="1")
    found = everything(engine)
    assert [site.name for site in found[E.SITE] if isinstance(site, Site)] == [
        "Berlin", "Bonn", "Stockholm",
    ]  # fmt: skip
    assert changes.get(E.USER, (D, ANNA)) in found[E.USER]


@pytest.mark.parametrize(("author", "comment"), [("", ""), ("a\nb", ""), ("ann", "x" * 300)])
def test_author_and_comment_are_checked(engine: Engine, author: str, comment: str) -> None:
    before = raw(engine)
    wrong = partial(changing, engine, author=author, comment=comment)
    assert re.match(r"change: (author|comment) ", str(refused(wrong, lambda _changes: None)))
    assert raw(engine) == before
