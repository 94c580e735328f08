"""The policy as the listener loads it."""

from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import structlog
from sqlalchemy import Engine

from callrec_pbx.config import parse_config
from callrec_pbx.domain.plans import UNLIMITED
from callrec_pbx.domain.policy import CallInQuestion, PolicyText
from callrec_pbx.domain.policy.settings import BUILT_IN
from callrec_pbx.domain.words import Direction, Outcome
from callrec_pbx.people.profiles import switch_profile
from callrec_pbx.policy import store
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.load import defaults_of, load_policy, newest_version, public_holidays
from tests.policy.house import furnish, people

TODAY = date(2026, 11, 1)
TEXT = parse(
    """
excluded_numbers = ["070-123 45 67"]
[[tenant]]
name = "default"
consent = "announce"
[[rule]]
name = "office"
mode = "always"
[[rule.when]]
from = "08:00"
to = "17:00"
""",
    "policy.toml",
)


def call(number: str = "+46812", at: datetime | None = None) -> CallInQuestion:
    return CallInQuestion(
        Direction.INBOUND, "301", numbers=(number,), at=at or datetime(2026, 11, 2, 9, tzinfo=UTC)
    )


def test_text_people_numbers_and_holidays_come_together(engine: Engine) -> None:
    furnish(engine)
    version = store.save(engine, TEXT, "anna").version
    loaded = load_policy(engine, BUILT_IN, TODAY)
    assert loaded.version == version
    policy = loaded.policy
    decision = policy.decide(call())
    assert (decision.outcome, decision.rule) == (Outcome.RECORDED, "office")
    assert decision.policy_version == str(version)
    assert (decision.user, decision.site, decision.language) == (
        "anna@example.org",
        "Stockholm",
        "sv",
    )
    assert policy.decide(call("+46701234567")).outcome is Outcome.EXCLUDED
    # 16:30 UTC is 17:30 in Stockholm, and 6 January a public holiday there.
    for at in (datetime(2026, 11, 2, 16, 30, tzinfo=UTC), datetime(2027, 1, 6, 9, tzinfo=UTC)):
        assert policy.decide(call(at=at)).reason == "no_rule"


def test_what_no_level_says_comes_from_the_configuration(engine: Engine) -> None:
    furnish(engine)
    store.save(engine, TEXT, "anna")
    config = parse_config("[retention]\ndefault = '30 days'\n[prompts]\nlanguage = 'de'", Path("c"))
    defaults = defaults_of(config)
    assert defaults == replace(BUILT_IN, retention="30 days", language="de")
    decision = load_policy(engine, defaults, TODAY).policy.decide(call())
    assert (decision.retention, decision.language) == ("30 days", "sv")
    assert defaults_of(parse_config("", Path("c"))).retention == UNLIMITED


def test_a_new_catalogue_decides_that_nothing_is_recorded(engine: Engine) -> None:
    policy = load_policy(engine, BUILT_IN, TODAY).policy
    assert policy.text == PolicyText()
    assert policy.decide(call()).reason == "recording_off"


def test_the_newest_version_tells_that_something_has_changed(engine: Engine) -> None:
    def newest() -> int:
        with engine.begin() as connection:
            return newest_version(connection)

    before = newest()
    furnish(engine)
    assert newest() == before + 1
    version = store.save(engine, TEXT, "anna").version
    assert newest() == version == before + 2
    assert load_policy(engine, BUILT_IN, TODAY).version == version


def test_switches_of_profiles_up_to_that_moment_are_known(engine: Engine) -> None:
    furnish(engine)
    before = load_policy(engine, BUILT_IN, TODAY).last_switch
    switch_profile(engine, "default", "anna@example.org", "Abroad", "test")
    loaded = load_policy(engine, BUILT_IN, TODAY)
    assert loaded.last_switch > before
    assert loaded.policy.decide(call()).reason in {"profile", "no_rule"}


def test_public_holidays_of_all_countries_named() -> None:
    found = public_holidays(people(), 2026)
    assert set(found) == {"SE", "DE-BE"}
    assert {date(2025, 12, 25), date(2026, 6, 6), date(2031, 1, 1)} <= found["SE"]
    assert date(2026, 11, 1) not in found["SE"]  # a Sunday is no holiday by itself
    assert date(2026, 3, 8) in found["DE-BE"]  # which Berlin alone has


def test_a_country_without_known_holidays_has_none() -> None:
    everybody = people()
    tenant = everybody.tenants["default"]
    everybody.tenants["default"] = replace(tenant, holidays="XX")
    with structlog.testing.capture_logs() as logged:
        assert public_holidays(everybody, 2026)["XX"] == frozenset()
    assert [entry["event"] for entry in logged] == ["holidays_not_known"]


def test_settings_of_places_that_are_not_there_are_told_once_per_version(engine: Engine) -> None:
    furnish(engine)
    text = parse("[[site]]\nname='Berlin'\ntenant='default'\nconsent='opt_in'", "policy.toml")
    version = store.save(engine, text, "anna").version
    with structlog.testing.capture_logs() as logged:
        before = load_policy(engine, BUILT_IN, TODAY).policy
    assert logged == []
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE site SET name = 'Bonn' WHERE name = 'Berlin'")
    with structlog.testing.capture_logs() as logged:
        policy = load_policy(engine, BUILT_IN, TODAY).policy
        load_policy(engine, BUILT_IN, TODAY, policy)
    (entry,) = logged
    assert entry["event"] == "policy_names_missing_places"
    assert (entry["log_level"], entry["version"]) == ("warning", version)
    assert entry["names"] == ("site Berlin",)
    store.save(engine, replace(text, excluded_numbers=("+461",)), "anna")
    with structlog.testing.capture_logs() as logged:
        load_policy(engine, BUILT_IN, TODAY, before)
    assert [entry["version"] for entry in logged] == [version + 1]


def test_a_version_that_cannot_be_read_is_named(engine: Engine) -> None:
    version = store.save(engine, TEXT, "anna").version
    with engine.begin() as connection:
        connection.exec_driver_sql(
            'UPDATE policy_version SET document = \'{"rule": [{"name": "x"}]}\' '
            "WHERE document IS NOT NULL"
        )
    with pytest.raises(Exception, match=rf'version {version}: rule 1 "x" mode: is missing'):
        load_policy(engine, BUILT_IN, TODAY)
