"""The policy follows the people and places that it names."""

from typing import Any

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue.people_models import Entity, VersionKind
from callrec_pbx.domain.people import (
    Line,
    Site,
    Tenant,
)
from callrec_pbx.domain.policy import PolicyText
from callrec_pbx.people import changes as people_changes
from callrec_pbx.people import importing
from callrec_pbx.people.changes import Changes
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.kinds import Key, Thing
from callrec_pbx.people.load import load_people
from callrec_pbx.people.versions import Version, versions
from callrec_pbx.policy import change, store
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.errors import PolicyChangedError, PolicyFileError
from callrec_pbx.policy.people import changing, import_table
from callrec_pbx.policy.references import Known, resolve
from callrec_pbx.policy.toml_text import to_toml
from tests.databases import only_sqlite
from tests.people.house import everything
from tests.policy.house import furnish, people

pytestmark = only_sqlite  # the SQL is that of tests that run in both


E = Entity
D = "default"
TEXT = """
excluded_numbers = ["+461"]
[[tenant]]
consent = "opt_out"
[[site]]
name = "Stockholm"
consent = "opt_in"
[[department]]
name = "Support"
retention = "7 days"
[[holiday]]
date = 2026-12-24
tenant = "default"
sites = ["Stockholm", "Berlin"]
[[holiday]]
date = 2026-12-31
sites = "Berlin"
[[rule]]
name = "named"
tenant = ["default", "other*"]
site = ["Stockholm", "Ber*"]
department = "Support"
user = ["anna@example.org", "*@elsewhere.org"]
line = ["302", "bernd-desk", "9??"]
ddi = "+46812345"
queue = ["support", "other"]
profile = "Abroad"
mode = "never"
[[rule]]
name = "rest"
mode = "always"
"""


@pytest.fixture(autouse=True)
def _policy(engine: Engine) -> None:
    furnish(engine)
    apply(engine, TEXT)


def apply(engine: Engine, text: str, **options: Any) -> change.Result:
    with engine.begin() as connection:
        known = Known(load_people(connection))
    return change.apply(engine, parse(text, "p"), known, source="p", author="anna", **options)


def current(engine: Engine) -> PolicyText:
    with engine.begin() as connection:
        return store.current(connection)[1]


def toml(engine: Engine) -> str:
    return to_toml(current(engine), [])


def newest(engine: Engine) -> Version:
    with engine.begin() as connection:
        return versions(connection, limit=1)[0]


def kept(engine: Engine) -> tuple[str, int, dict[Entity, list[Thing]]]:
    """All that a change may touch."""
    with engine.begin() as connection:
        version, text = store.current(connection)
    return to_toml(text, []), version, everything(engine)


RENAMES: list[tuple[E, Key, dict[str, Any], list[tuple[str, str]]]] = [
    (E.TENANT, (D,), {"name": "acme"}, [('"default"', '"acme"')]),
    (E.SITE, (D, "Stockholm"), {"name": "Kista"}, [('"Stockholm"', '"Kista"')]),
    (E.DEPARTMENT, (D, "Support"), {"name": "Care"}, [('"Support"', '"Care"')]),
    (
        E.USER,
        (D, "anna@example.org"),
        {"email": "A.Berg@example.org"},
        [('"anna@example.org"', '"a.berg@example.org"')],
    ),
    (E.LINE, (D, "302"), {"extension": "402"}, [('"302"', '"402"')]),
    (E.LINE, (D, "302"), {"endpoint": "bernd-new"}, [('"bernd-desk"', '"bernd-new"')]),
    (
        E.LINE,
        (D, "302"),
        {"extension": "402", "endpoint": ""},
        [('"302", "bernd-desk"', '"402"')],
    ),
    (E.LINE, (D, "302"), {"endpoint": "bernd-*"}, []),
    (E.LINE, (D, "302"), {"endpoint": "x-*"}, [('"bernd-desk", ', "")]),
    (E.DDI, ("+46812345",), {"number": "+46899999"}, [('"+46812345"', '"+46899999"')]),
    (E.QUEUE, ("support",), {"name": "care"}, [('"support"', '"care"')]),
    (E.QUEUE, ("support",), {"name": "other"}, [('["support", "other"]', '"other"')]),
    (E.PROFILE, (D, "anna@example.org", "Abroad"), {"name": "Away"}, []),
    (E.USER, (D, "carl@example.org"), {"email": "c@example.org"}, []),
]


@pytest.mark.parametrize(("entity", "key", "values", "replaced"), RENAMES)
def test_another_name_is_another_name_in_the_policy(
    *,
    engine: Engine,
    entity: E,
    key: Key,
    values: dict[str, Any],
    replaced: list[tuple[str, str]],
) -> None:
    before, version, _ = kept(engine)
    expected = before
    for old, new in replaced:
        assert old in expected
        expected = expected.replace(old, new)
    with changing(engine, author="bo", comment="moved") as changes:
        changes.set(entity, key, values)
    assert toml(engine) == expected
    assert current(engine).excluded_numbers == ("+461",)
    made = newest(engine)
    assert (made.version, made.author, made.comment) == (version + 1, "bo", "moved")
    policy_lines = [line for line in made.changes if line.startswith("policy: ")]
    if replaced:
        assert made.kind is VersionKind.PEOPLE_AND_POLICY
        assert made.changes[0] == str(changes.done()[0])
        assert policy_lines
        assert changes.followed is not None
        assert list(changes.followed.lines) == policy_lines
    else:
        assert (made.kind, policy_lines, changes.followed) == (VersionKind.PEOPLE, [], None)
    with engine.begin() as connection:
        assert to_toml(store.at(connection, version), []) == before
        known = Known(load_people(connection))
    # What came of it can be applied again.
    resolve(current(engine), known, "p")


def test_the_version_says_both(engine: Engine) -> None:
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Stockholm"), {"name": "Kista"})
    made = newest(engine)
    assert made.changes == (
        "site Stockholm: name Stockholm -> Kista",
        "policy: - site Stockholm",
        "policy: + site Kista: consent opt_in",
        "policy: - holiday 2026-12-24 of default in Stockholm | Berlin",
        "policy: + holiday 2026-12-24 of default in Kista | Berlin",
        "policy: ~ rule named: site Stockholm | Ber* -> Kista | Ber*",
    )
    with engine.begin() as connection:
        assert store.text_version(connection) == made


def test_names_can_be_swapped_and_taken_back(engine: Engine) -> None:
    before, version, _ = kept(engine)
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Stockholm"), {"name": "x"})
        changes.set(E.SITE, (D, "x"), {"name": "Stockholm"})
    assert (toml(engine), newest(engine).version) == (before, version)
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Stockholm"), {"name": "x"})
        changes.set(E.SITE, (D, "Berlin"), {"name": "Stockholm"})
        changes.set(E.SITE, (D, "x"), {"name": "Berlin"})
    assert 'name = "Berlin"\ntenant = "default"\nconsent = "opt_in"' in toml(engine)
    assert 'sites = ["Berlin", "Stockholm"]' in toml(engine)
    back = rolled_back(engine, version)
    assert [str(one) for one in back.changes] == []


def rolled_back(engine: Engine, version: int, *, dry_run: bool = False) -> change.Result:
    return change.rollback(engine, version, Known(people()), author="eva", dry_run=dry_run)


def rename_and_fail(changes: Changes) -> None:
    changes.set(E.SITE, (D, "Stockholm"), {"name": "Kista"})
    changes.set(E.SITE, (D, "Kista"), {"country": "??"})


def test_nothing_follows_a_change_that_is_dry_or_refused(engine: Engine) -> None:
    before = kept(engine)
    with changing(engine, author="bo", dry_run=True) as changes:
        changes.set(E.SITE, (D, "Stockholm"), {"name": "Kista"})
    assert changes.followed is not None
    assert kept(engine) == before
    with pytest.raises(PeopleError), changing(engine, author="bo") as changes:
        rename_and_fail(changes)
    assert kept(engine) == before


def test_what_is_to_follow_cannot_be_forgotten(engine: Engine) -> None:
    with pytest.raises(TypeError, match="follow"):
        people_changes.changing(engine, author="bo")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="follow"):
        importing.import_table(engine, E.LINE, b"", author="bo")  # type: ignore[call-arg]


def test_an_import_has_the_policy_follow(engine: Engine) -> None:
    data = b"extension,endpoint\n302,bernd-new\n"
    report = import_table(engine, E.LINE, data, author="bo", update=True)
    assert not report.failed
    assert current(engine).rules[0].line == ("302", "bernd-new", "9??")


def test_a_pattern_that_fits_no_longer_is_told(engine: Engine) -> None:
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Berlin"), {"name": "Bernau"})
    assert changes.remarks == ()
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Bernau"), {"name": "Bonn"})
    assert changes.remarks == ('rule "named": site Ber* fits Bernau, and not Bonn',)
    assert current(engine).rules[0].site == ("Stockholm", "Ber*")
    assert current(engine).holidays[1].sites == ("Bonn",)


def test_names_of_other_tenants_stay_theirs(engine: Engine) -> None:
    with changing(engine, author="bo") as changes:
        changes.add(Tenant("beta"))
        changes.add(Site("beta", "Stockholm"))
        changes.add(Site("beta", "Bonn"))
    apply(
        engine,
        """
[[tenant]]
name = "default"
consent = "none"
[[tenant]]
name = "beta"
consent = "none"
[[site]]
tenant = "beta"
name = "Stockholm"
[[site]]
tenant = "default"
name = "Stockholm"
[[holiday]]
date = 2026-12-24
sites = "Stockholm"
[[rule]]
name = "all"
site = "Stockholm"
mode = "always"
[[rule]]
name = "theirs"
tenant = "beta"
site = "Stockholm"
mode = "never"
""",
    )
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Stockholm"), {"name": "Kista"})
    found = current(engine)
    assert {(place.tenant, place.name) for place in found.places if place.name} == {
        ("beta", "Stockholm"), (D, "Kista"),
    }  # fmt: skip
    assert found.rules[0].site == ("Stockholm", "Kista")
    assert found.rules[1].site == ("Stockholm",)
    assert found.holidays[0].sites == ("Stockholm", "Kista")
    before = kept(engine)
    with (
        pytest.raises(PeopleError, match='rule "all" would be for site Bonn of tenant beta, too'),
        changing(engine, author="bo") as changes,
    ):
        changes.set(E.SITE, (D, "Kista"), {"name": "Bonn"})
    assert kept(engine) == before
    # What others have too stays named when one of them goes.
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Kista"), {"name": "Stockholm"})
        changes.remove(E.SITE, (D, "Stockholm"), cascade=True)
    assert current(engine).rules[0].site == ("Stockholm",)


def test_settings_of_a_name_are_not_taken_over(engine: Engine) -> None:
    apply(engine, TEXT + "[[site]]\nname = 'Berlin'\n")
    with engine.begin() as connection:
        connection.exec_driver_sql("UPDATE site SET name = 'Kista' WHERE name = 'Stockholm'")
    before = kept(engine)
    with (
        pytest.raises(PeopleError, match="are settings of a site Stockholm that is not there"),
        changing(engine, author="bo") as changes,
    ):
        changes.set(E.SITE, (D, "Berlin"), {"name": "Stockholm"})
    assert kept(engine) == before


NAMED_BY: list[tuple[E, Key, list[str]]] = [
    (E.SITE, (D, "Stockholm"), ["settings of site Stockholm ([[site]])", "holiday 2026-12-24"]),
    (E.SITE, (D, "Berlin"), ["holiday 2026-12-24", "holiday 2026-12-31"]),
    (E.DEPARTMENT, (D, "Support"), ["settings of department Support", 'rule "named" (department)']),
    (E.USER, (D, "anna@example.org"), ['rule "named" (user)']),
    (E.LINE, (D, "302"), ['rule "named" (line)']),
    (E.DDI, ("+46812345",), ['rule "named" (ddi)']),
    (E.QUEUE, ("support",), ['rule "named" (queue)']),
]


def free(engine: Engine) -> None:
    """Have nobody refer to anybody, so that the policy alone is in the way."""
    with changing(engine, author="test") as changes:
        for email in ("anna@example.org", "bernd@example.org"):
            changes.set(E.USER, (D, email), {"department": "", "site": ""})
        for line in ("301", "302"):
            changes.set(E.LINE, (D, line), {"user": ""})
        changes.set(E.DEPARTMENT, (D, "Support"), {"site": ""})
        changes.set(E.DDI, ("+46812345",), {"site": ""})
        changes.set(E.QUEUE, ("support",), {"department": ""})


@pytest.mark.parametrize(("entity", "key", "where"), NAMED_BY)
def test_what_the_policy_names_is_not_removed(
    engine: Engine, entity: E, key: Key, where: list[str]
) -> None:
    free(engine)
    before = kept(engine)
    with pytest.raises(PeopleError) as raised, changing(engine, author="bo") as changes:
        changes.remove(entity, key)
    said = str(raised.value)
    assert "is named by the policy: " in said
    assert "or give --cascade" in said
    assert [part for part in where if part not in said] == []
    assert kept(engine) == before


@pytest.mark.parametrize("entity_key", [(E.DEPARTMENT, (D, "Support")), (E.DDI, ("+46812345",))])
def test_a_rule_never_becomes_one_for_everybody(engine: Engine, entity_key: tuple[E, Key]) -> None:
    before = kept(engine)
    with pytest.raises(PeopleError) as raised, changing(engine, author="bo") as changes:
        changes.remove(*entity_key, cascade=True)
    assert f'nothing else is in rule "named" ({entity_key[0]})' in str(raised.value)
    assert "for everybody" in str(raised.value)
    assert kept(engine) == before


def test_settings_and_holidays_go_with_their_place(engine: Engine) -> None:
    with changing(engine, author="bo") as changes:
        changes.remove(E.SITE, (D, "Berlin"), cascade=True)
        changes.remove(E.SITE, (D, "Stockholm"), cascade=True)
        changes.remove(E.USER, (D, "anna@example.org"), cascade=True)
        changes.remove(E.LINE, (D, "302"), cascade=True)
        changes.remove(E.QUEUE, ("support",), cascade=True)
    found = current(engine)
    assert [place.kind for place in found.places] == ["tenant", "department"]
    assert found.holidays == ()
    rule = found.rules[0]
    assert (rule.site, rule.user, rule.line, rule.queue) == (
        ("Ber*",), ("*@elsewhere.org",), ("9??",), ("other",),
    )  # fmt: skip
    made = newest(engine)
    assert made.kind is VersionKind.PEOPLE_AND_POLICY
    assert "site Stockholm removed" in made.changes
    assert "policy: - site Stockholm" in made.changes


def empty_and_remove(changes: Changes, tenant: str) -> None:
    changes.remove(E.LINE, (tenant, "900"))
    changes.remove(E.SITE, (tenant, "Oslo"), cascade=True)
    changes.remove(E.TENANT, (tenant,))


def test_a_tenant_goes_with_all_that_the_policy_says_of_it(engine: Engine) -> None:
    with changing(engine, author="bo") as changes:
        changes.add(Tenant("beta"))
        changes.add(Site("beta", "Oslo"))
        changes.add(Line("beta", "900"))
    text = TEXT.replace('"other*"', '"beta"').replace("[[tenant]]", "[[tenant]]\nname = 'default'")
    text = text.replace("[[site]]", "[[site]]\ntenant = 'default'")
    text = text.replace("[[department]]", "[[department]]\ntenant = 'default'")
    mine = "[[tenant]]\nname='beta'\nconsent='none'\n[[site]]\ntenant='beta'\nname='Oslo'\n"
    apply(engine, text + mine)
    with (
        pytest.raises(PeopleError, match=r'settings of tenant beta .*, rule "named" \(tenant\)'),
        changing(engine, author="bo") as changes,
    ):
        empty_and_remove(changes, "beta")
    with changing(engine, author="bo") as changes:
        changes.remove(E.TENANT, ("beta",), cascade=True)
    found = current(engine)
    assert {place.tenant for place in found.places} == {D}
    assert found.rules[0].tenant == (D,)


def test_rollback_names_people_as_they_are_called_by_now(engine: Engine) -> None:
    before, version, _ = kept(engine)
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Stockholm"), {"name": "x"})
        changes.set(E.TENANT, (D,), {"name": "acme"})
        changes.set(E.LINE, ("acme", "302"), {"extension": "402", "endpoint": "desk"})
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, ("acme", "x"), {"name": "Kista"})
        changes.add(Site("acme", "Stockholm"))
    renamed = toml(engine)
    apply(engine, "[[rule]]\nname='none'\nmode='never'\n")
    dry = rolled_back(engine, version, dry_run=True)
    done = rolled_back(engine, version)
    assert done.changes == dry.changes
    assert toml(engine) == renamed
    assert newest(engine).restored_from == version
    for old, new in (
        ('"Stockholm"', '"Kista"'), ('"default"', '"acme"'), ('"302"', '"402"'),
        ('"bernd-desk"', '"desk"'),
    ):  # fmt: skip
        before = before.replace(old, new)
    assert renamed == before


def test_rollback_to_what_is_gone_is_refused(engine: Engine) -> None:
    _, version, _ = kept(engine)
    with changing(engine, author="bo") as changes:
        changes.remove(E.SITE, (D, "Stockholm"), cascade=True)
    before = kept(engine)
    with pytest.raises(PolicyFileError, match="there is no such site"):
        rolled_back(engine, version)
    assert kept(engine) == before


def test_rollback_never_makes_a_rule_one_for_others(engine: Engine) -> None:
    text = "[[rule]]\nname='all'\nsite='Stockholm'\nmode='never'\n"
    version = apply(engine, text).version
    apply(engine, "[[rule]]\nname='none'\nmode='never'\n")
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Stockholm"), {"name": "Kista"})
        changes.add(Tenant("beta"))
        changes.add(Site("beta", "Kista"))
    before = kept(engine)
    with pytest.raises(PolicyFileError, match='rule "all" would be for site Kista of tenant beta'):
        rolled_back(engine, version)
    assert kept(engine) == before


def test_whoever_has_the_text_from_before_is_told(engine: Engine) -> None:
    before, version, _ = kept(engine)
    with changing(engine, author="bo") as changes:
        changes.set(E.SITE, (D, "Stockholm"), {"name": "Kista"})
    with pytest.raises(PolicyChangedError, match="bo has changed the policy since"):
        apply(engine, TEXT.replace("Stockholm", "Kista"), expected_version=version)
    # People who were read before that do not count.
    with pytest.raises(PolicyFileError, match="there is no such site"):
        change.apply(engine, parse(before, "p"), Known(people()), source="p", author="anna")
