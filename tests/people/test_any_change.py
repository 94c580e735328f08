"""Whatever is done in whatever order: what a change says is what is there after it."""

import csv
import io
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine

from callrec_pbx.catalogue.people_models import Entity
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
from callrec_pbx.people.changes import Changes
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.history import changes_of
from callrec_pbx.people.importing import Status
from callrec_pbx.people.kinds import KINDS, Thing
from callrec_pbx.people.load import load_people
from callrec_pbx.people.table import write_table
from callrec_pbx.people.versions import current_version
from callrec_pbx.policy.people import changing, import_table
from tests.databases import only_sqlite
from tests.people.house import D, everything, raw

# What these go through is the same on both, and slow on a server.
pytestmark = only_sqlite

QUICK = settings(
    deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

TENANTS = st.sampled_from([D, "acme"])
NAMES = st.sampled_from(["A", "B", "C"])
EMAILS = st.sampled_from(["a@x.se", "b@x.se", "c@x.se"])
DIGITS = st.sampled_from(["1", "2", "3"])
MAYBE = st.sampled_from(["", "A", "B", "C"])
WHO = st.just("") | EMAILS

THINGS: st.SearchStrategy[Thing] = st.one_of(
    st.builds(Tenant, st.just("acme")),
    st.builds(Site, TENANTS, NAMES),
    st.builds(Department, TENANTS, NAMES, MAYBE),
    st.builds(User, TENANTS, EMAILS, department=MAYBE, site=MAYBE),
    st.builds(Profile, TENANTS, EMAILS, NAMES, code=st.just("") | DIGITS),
    st.builds(Line, TENANTS, DIGITS, st.just("") | DIGITS, WHO),
    st.builds(Ddi, TENANTS, DIGITS, MAYBE),
    st.builds(Queue, TENANTS, DIGITS, MAYBE, MAYBE),
)
STEPS = st.lists(
    st.tuples(st.sampled_from(["add", "add", "add", "set", "set", "remove", "cascade"]), THINGS),
    min_size=4,
    max_size=20,
)


def take(changes: Changes, what: str, thing: Thing, others: list[Thing]) -> None:
    """Do one step; `set` turns what was there before into that thing, as far as may be."""
    kind = next(kind for kind in KINDS.values() if kind.made is type(thing))
    if what == "add":
        changes.add(thing)
    elif what == "set":
        same = [one for one in others if type(one) is type(thing)]
        old = kind.key_of(same[0]) if same else kind.key_of(thing)
        values = {
            field.name: getattr(thing, field.name) for field in kind.fields if not field.instead
        }
        changes.set(kind.entity, old, values)
    else:
        changes.remove(kind.entity, kind.key_of(thing), cascade=what == "cascade")


def empty(engine: Engine) -> None:
    with changing(engine, author="test") as changes:
        if changes.get(Entity.TENANT, (D,)) is None:
            changes.add(Tenant(D))
        for tenant in changes.tenants():
            if tenant != D:
                changes.remove(Entity.TENANT, (tenant,), cascade=True)
        changes.add(Tenant("other"))
        changes.remove(Entity.TENANT, (D,), cascade=True)
        changes.add(Tenant(D))
        changes.remove(Entity.TENANT, ("other",))


@QUICK
@given(rounds=st.lists(STEPS, min_size=1, max_size=3), read_before=st.booleans())
def test_what_a_change_says_is_what_is_there(
    engine: Engine, rounds: list[list[tuple[str, Thing]]], read_before: bool
) -> None:
    empty(engine)
    for steps in rounds:
        before, started = everything(engine), _version(engine)
        with changing(engine, author="test") as changes:
            if read_before:
                for entity in KINDS:
                    changes.preload(entity)
            taken: list[Thing] = []
            for what, thing in steps:
                # What is refused leaves the rest as it is.
                with suppress(PeopleError):
                    take(changes, what, thing, taken)
                    taken.append(thing)
            told = {
                entity: _seen(changes, entity, before, [thing for _, thing in steps])
                for entity in KINDS
            }
        after = everything(engine)
        assert {entity: set(things) for entity, things in after.items()} == told
        assert changes.version in (None, started + 1)
        assert _version(engine) == (changes.version or started)
        assert changes.version is not None or after == before
        _check(engine)
        with engine.begin() as connection:
            logged = changes_of(connection, changes.version) if changes.version else []
        assert [(str(one.entity), one.key, one.before, one.after) for one in logged] == [
            tuple(change.document().values()) for change in changes.done()
        ]


def _seen(changes: Changes, entity: Entity, before: Any, named: list[Thing]) -> set[Thing]:
    """All that the change still knows of a kind, asked for by every key that there may be."""
    kind = KINDS[entity]
    tenants = [*changes.tenants()]
    keys = {
        kind.key_of(thing) for things in before.values() for thing in things if _is(kind, thing)
    }
    keys |= {kind.key_of(thing) for thing in named if _is(kind, thing)}
    # After a rename its things have other keys.
    keys |= {(tenant, *key[1:]) for tenant in tenants for key in keys if kind.key[0] == "tenant"}
    if entity is Entity.PROFILE:
        emails = ["a@x.se", "b@x.se", "c@x.se"]
        keys |= {(key[0], email, key[2]) for email in emails for key in keys}
    if entity is Entity.TENANT:
        keys |= {(tenant,) for tenant in tenants}
    return {thing for thing in (changes.get(entity, key) for key in keys) if thing is not None}


def _is(kind: Any, thing: Thing) -> bool:
    return isinstance(thing, kind.made)


def _version(engine: Engine) -> int:
    with engine.begin() as connection:
        return current_version(connection)


def _check(engine: Engine) -> None:
    with engine.begin() as connection:
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        people = load_people(connection)
    for line in people.lines():
        assert not line.user or (line.tenant, line.user) in people.users


TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=9)


@QUICK
@given(
    users=st.lists(
        st.builds(
            User,
            st.just(D),
            st.from_regex(r"[a-z]{1,4}@[a-z]{1,3}\.se", fullmatch=True),
            name=TEXTS | st.sampled_from(['"', ";", "a,b", "'", "=1+1", "a;b,c"]),
            recording=st.booleans(),
        ),
        unique_by=lambda user: user.email,
        max_size=5,
    ),
    delimiter=st.sampled_from([",", ";"]),
    bom=st.sampled_from(["", "\ufeff"]),
)
def test_what_is_exported_can_be_imported(
    engine: Engine, users: list[User], delimiter: str, bom: str
) -> None:
    empty(engine)
    text = "".join(write_table(users, KINDS[Entity.USER]))
    if delimiter == ";":
        text = _with_semicolons(text)
    data = (bom + text).encode()
    report = import_table(engine, Entity.USER, data, author="ann")
    assert [line.problems for line in report.lines] == [()] * len(users)
    kept = {user for user in everything(engine)[Entity.USER] if isinstance(user, User)}
    assert {user.email for user in kept} == {user.email for user in users}
    exported = "".join(write_table(everything(engine)[Entity.USER], KINDS[Entity.USER]))
    before = raw(engine)
    again = import_table(engine, Entity.USER, exported.encode(), author="ann")
    assert again.count(Status.UNCHANGED) == len(users)
    assert again.version is None
    assert raw(engine) == before


def _with_semicolons(text: str) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=";").writerows(csv.reader(io.StringIO(text)))
    return out.getvalue()


@pytest.mark.parametrize("entity", [one for one in Entity if one is not Entity.TENANT])
@QUICK
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode), header=st.booleans())
def test_no_file_does_harm(engine: Engine, entity: Entity, data: bytes, header: bool) -> None:
    before = raw(engine)
    if header:
        data = next(iter(write_table([], KINDS[entity]))).encode() + data
    try:
        report = import_table(engine, entity, data, author="ann", dry_run=True)
    except PeopleError:
        pass
    else:
        assert all(line.problems for line in report.lines if line.status is Status.ERROR)
    assert raw(engine) == before
