"""The listener's look at the policy in a real catalogue."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.domain.people import Line, Profile, User
from callrec_pbx.domain.policy.settings import BUILT_IN
from callrec_pbx.people.profiles import newest_switches
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.store import save
from callrec_pbx.recorder import policies
from callrec_pbx.recorder.policies import Policies
from tests.acknowledged import add
from tests.bed.postgres import Postgres
from tests.databases import only_postgresql

ANNA = User("default", "anna@x.se")


@pytest.fixture
def engine(url: str) -> Iterator[Engine]:
    """A catalogue with Anna, who has a line and two profiles."""
    engine = open_current(url)
    add(
        engine,
        ANNA,
        Line("default", "301", user=ANNA.email),
        Line("default", "302"),
        Profile("default", ANNA.email, "Lunch", record_direct=False, code="1"),
        Profile("default", ANNA.email, "Office", code="2"),
    )
    yield engine
    engine.dispose()


def apply(engine: Engine, name: str) -> str:
    """Make one rule the policy."""
    rules = parse(f'[[rule]]\nname = "{name}"\nmode = "never"\n', "test")
    return str(save(engine, rules, "test").version)


def rules_of(found: Policies) -> list[str]:
    return [rule.name for rule in found.policy.text.rules]


def test_a_new_version_is_news_once(engine: Engine) -> None:
    found = Policies(engine, BUILT_IN)
    assert found.look() == policies.News()
    version = apply(engine, "one")
    news = found.look()
    assert news.policy is not None
    assert (news.policy.version, rules_of(found)) == (version, ["one"])
    assert found.look() == policies.News()


def test_a_database_that_is_away_for_a_moment(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one cannot be made to fail between two statements: one call is made to."""
    found = Policies(engine, BUILT_IN)
    apply(engine, "one")

    def away(*_: object) -> None:
        raise OperationalError("select", {}, Exception("database is locked"))

    monkeypatch.setattr(policies, "load_policy", away)
    with pytest.raises(OperationalError):
        found.look()
    assert rules_of(found) == []
    monkeypatch.undo()
    assert found.look().policy is not None
    assert rules_of(found) == ["one"]


def test_a_version_that_makes_no_sense_leaves_the_one_before(engine: Engine) -> None:
    found = Policies(engine, BUILT_IN)
    apply(engine, "one")
    found.look()
    two = apply(engine, "two")
    swap = text(
        "update policy_version set document = cast(replace(cast(document as text),"
        " 'never', 'perhaps') as json) where version = :v"
        if engine.dialect.name == "postgresql"
        else "update policy_version set document = replace(document, 'never', 'perhaps')"
        " where version = :v"
    )
    with engine.begin() as connection:
        connection.execute(swap, {"v": two})
    assert found.look() == policies.News()
    assert found.look() == policies.News()
    assert rules_of(found) == ["one"]
    apply(engine, "three")
    assert found.look().policy is not None
    assert rules_of(found) == ["three"]


def test_a_profile_that_is_switched_elsewhere(engine: Engine) -> None:
    found = Policies(engine, BUILT_IN)
    other = Policies(engine, BUILT_IN)
    switched = other.switch_profile("301", "1")
    assert switched is not None
    assert switched.name == "Lunch"
    (switch,) = found.look().switches
    assert (switch.user, switch.profile, switch.by) == (ANNA.email, "Lunch", "phone:301")
    assert found.look() == policies.News()


def test_a_code_that_nobody_has(engine: Engine) -> None:
    found = Policies(engine, BUILT_IN)
    assert found.switch_profile("301", "9") is None
    assert found.switch_profile("302", "1") is None
    assert found.switch_profile("999", "1") is None
    with engine.begin() as connection:
        assert newest_switches(connection) == []


@only_postgresql
def test_a_server_that_is_away_for_a_moment(engine: Engine, postgres: Postgres) -> None:
    found = Policies(engine, BUILT_IN)
    apply(engine, "one")
    found.look()
    postgres.stop("immediate")
    try:
        for _ in range(2):
            with pytest.raises(OperationalError):
                found.look()
            with pytest.raises(OperationalError):
                found.switch_profile("301", "1")
        assert rules_of(found) == ["one"]
    finally:
        postgres.start()
    assert found.look() == policies.News()
    assert found.switch_profile("301", "1") is not None
    apply(engine, "two")
    assert found.look().policy is not None
    assert rules_of(found) == ["two"]
