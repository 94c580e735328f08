"""Whatever is renamed and removed: the policy says the same of the same calls."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
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
    People,
    Profile,
    Queue,
    Site,
    Tenant,
    User,
)
from callrec_pbx.domain.policy import CallInQuestion, Policy, PolicyText
from callrec_pbx.domain.policy.rules import Place, Rule
from callrec_pbx.domain.policy.settings import Settings
from callrec_pbx.domain.words import ConsentMode, Direction, Mode, Switch
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.kinds import KIND_OF, Thing
from callrec_pbx.people.load import load_people
from callrec_pbx.people.rows import TENANT
from callrec_pbx.policy import store
from callrec_pbx.policy.document import from_document
from callrec_pbx.policy.people import changing
from tests.databases import only_sqlite

E = Entity
D = "default"
PAIR = st.sampled_from(["A", "B"])
EMAILS = st.sampled_from(["a@x.se", "b@x.se", "c@x.se"])
DIGITS = st.sampled_from(["1", "2", "3"])
TENANTS = st.sampled_from([D, "beta"])
WORLD: tuple[Thing, ...] = (
    *(Site(tenant, name) for tenant in (D, "beta") for name in "AB"),
    Site(D, "C"),
    *(Department(tenant, name, name) for tenant in (D, "beta") for name in "AB"),
    User(D, "a@x.se", department="A"),
    User(D, "b@x.se", site="C"),
    User("beta", "a@x.se", department="B", site="A"),
    Profile(D, "a@x.se", "P"),
    Line(D, "1", user="a@x.se"),
    Line(D, "2", "3", user="b@x.se"),
    Line("beta", "1", "beta-1", user="a@x.se"),
    Line("beta", "2", "beta-2"),
    Ddi(D, "1", "A"),
    Ddi("beta", "2", "B"),
    Queue(D, "1", "A", "B"),
    Queue("beta", "2", "", "A"),
)


def some(values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.just(()) | st.lists(values, min_size=1, max_size=2, unique=True).map(tuple)


NAMES = st.sampled_from(["A", "B", "C", "Z"])
RULES = st.builds(
    Rule,
    st.just("r"),
    st.sampled_from([Mode.NEVER, Mode.ALWAYS]),
    tenant=some(TENANTS),
    site=some(NAMES),
    department=some(NAMES),
    user=some(EMAILS),
    line=some(st.sampled_from(["1", "2", "3", "beta-1"])),
    ddi=some(DIGITS),
    queue=some(DIGITS),
)
TEXTS = st.builds(
    lambda rules, places: PolicyText(
        places=tuple(dict(places).values()),
        rules=tuple(replace(rule, name=str(at)) for at, rule in enumerate(rules)),
    ),
    st.lists(RULES, min_size=1, max_size=4),
    st.lists(
        st.builds(
            lambda kind, tenant, name, consent: (
                (kind, tenant, name),
                Place(kind, tenant, name, Settings(consent=consent)),
            ),
            st.sampled_from(["site", "department"]),
            TENANTS,
            PAIR,
            st.sampled_from(ConsentMode),
        ),
        max_size=4,
    ),
)
STEPS = st.tuples(
    st.sampled_from((*WORLD, Tenant(D), Tenant("beta"))),
    st.sampled_from(["A", "B", "C", "Z", "1", "2", "3", "c@x.se", "b@x.se", "Q"]),
    st.booleans(),
)


def ask(text: PolicyText, everybody: People, given: tuple[str | None, str, str]) -> Any:
    """What is decided, with every rule that matches."""
    line, ddi, queue = given
    found = []
    for rule in text.rules:
        policy = Policy("1", replace(text, rules=(rule,)), people=everybody)
        call = CallInQuestion(
            Direction.INBOUND, line, ddi, queue, at=datetime(2026, 3, 2, tzinfo=UTC)
        )
        decision = policy.decide(call)
        found.append((decision.outcome, decision.rule, decision.consent))
    return found


@pytest.fixture
def world(engine: Engine) -> Engine:
    with changing(engine, author="test") as changes:
        changes.add(Tenant("beta"))
        for thing in WORLD:
            changes.add(thing)
    with engine.begin() as connection:
        connection.execute(TENANT.update().values(recording=Switch.ON))
    return engine


@only_sqlite
@settings(
    deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(text=TEXTS, steps=st.lists(STEPS, min_size=1, max_size=3))
def test_the_same_calls_are_decided_the_same(
    world: Engine, text: PolicyText, steps: list[tuple[Any, str, bool]]
) -> None:
    """Whatever is renamed; and no rule is for more after a removal, with any criterion left."""
    store.save(world, text, "anna")
    with world.begin() as connection:
        everybody = load_people(connection)
    calls = [(line, ddi, queue) for line in (None, "1", "2", "3", "beta-1", "beta-2")
             for ddi in ("", "1", "2") for queue in ("", "1", "2")]  # fmt: skip
    before = [ask(text, everybody, call) for call in calls]
    new_names: dict[tuple[E, str], str] = {}
    with changing(world, author="bo", dry_run=True) as changes:
        removed = False
        for thing, name, remove in steps:
            kind = KIND_OF[type(thing)]
            if remove:
                with suppress(PeopleError):
                    changes.remove(kind.entity, kind.key_of(thing), cascade=True)
                    removed = True
            elif isinstance(thing, (Site, Department, Tenant, User, Ddi, Queue)):
                with suppress(PeopleError):
                    changes.set(kind.entity, kind.key_of(thing), {kind.key[-1]: name})
                    new_names[kind.entity, kind.key_of(thing)[-1]] = name
        connection = changes._connection
        changes._batch.flush()
        later = load_people(connection)
        document = changes.followed.document if changes.followed else None
    followed = from_document(document, "followed") if document else text
    if removed:
        for old, new in zip(text.rules, followed.rules, strict=True):
            for entity in ("tenant", "site", "department", "user", "line", "ddi", "queue"):
                assert bool(getattr(old, entity)) == bool(getattr(new, entity))
        return
    if any(entity in (E.DDI, E.QUEUE) for entity, _ in new_names):
        return
    assert [ask(followed, later, call) for call in calls] == before
