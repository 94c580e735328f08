"""What the audit trail says of changes of the policy, of people and of profiles."""

import json
from typing import Any

import pytest
from sqlalchemy import Engine, select

from callrec_pbx.catalogue import audit_queries
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.people import Profile, Site, Tenant, User
from callrec_pbx.domain.policy import PolicyText
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.profiles import switch_profile
from callrec_pbx.people.versions import POLICY_VERSION, document_sha256
from callrec_pbx.policy import store
from callrec_pbx.policy.people import changing
from tests.acknowledged import add, switch_on
from tests.rules import rule

NAMES = ("anna", "bert", "carl")

Said = tuple[str, str, str, str, dict[str, Any]]


def said(engine: Engine) -> list[Said]:
    """Tenant, actor, action, subject and detail of all lines, as they were written."""
    with reading(engine).begin() as connection:
        lines = list(audit_queries.everything(connection))
    lines.sort(key=lambda line: (line.at, line.tenant))
    return [
        (line.tenant, line.actor, line.action, line.subject, json.loads(line.detail))
        for line in lines
    ]


def test_the_policy(engine: Engine) -> None:
    """Its text by its hash; excluded numbers by how many they are."""
    store.save(engine, PolicyText(rules=(rule("a"), rule("b")), excluded_numbers=("+491",)), "anna")
    store.change_excluded(engine, "bert", "for +492", add=["+492", "+493"], remove=["+491"])
    store.save(engine, PolicyText(rules=(rule("b"),)), "carl", restored_from=1)
    with engine.begin() as connection:
        query = select(POLICY_VERSION.c.version, POLICY_VERSION.c.document)
        rows = connection.execute(query.where(POLICY_VERSION.c.author.in_(NAMES)))
        kept = {row.version: row.document for row in rows}
    first, second, third = sorted(kept)
    hashes = [document_sha256(kept[one]) for one in (first, third) if kept[one]]
    policy, rollback = {"version": "policy"}, {"version": "rollback", "restored_from": 1}
    assert said(engine) == [
        ("", "anna", "policy", str(first),
         policy | {"rule_added": 2, "excluded_added": 1, "policy_sha256": hashes[0]}),
        ("", "bert", "policy", str(second), policy | {"excluded_added": 2, "excluded_removed": 1}),
        ("", "carl", "policy", str(third),
         rollback | {"rule_removed": 1, "excluded_removed": 2, "policy_sha256": hashes[1]}),
    ]  # fmt: skip


def test_people_of_several_tenants(engine: Engine) -> None:
    """In the trail of each whom the change is about; who is recorded is told with its value."""
    switch_on(engine)
    add(engine, Tenant("acme"), Site("default", "Berlin"), Site("default", "Bonn"))
    with changing(engine, author="anna") as changes:
        changes.set(Entity.TENANT, ("acme",), {"name": "beta", "language": "de"})
    with changing(engine, author="anna") as changes:
        changes.set(Entity.SITE, ("default", "Bonn"), {"language": "de"})
    with pytest.raises(PeopleError):
        add(engine, Site("default", "Kiel"), Site("default", "Bonn"))

    found = said(engine)
    people = {"version": "people"}
    assert [one[0] for one in found] == ["default", "default", "acme", "default",
                                        "acme", "beta", "default"]  # fmt: skip
    assert found[0][4].keys() == {"text_version", "text_sha256"}
    switched = {"what": "tenant default", "did": "changed", "fields": "recording"}
    assert found[1][4] == people | switched | {"recording": "on"}
    assert found[2][4] == people | {"what": "tenant acme", "did": "added"}
    assert found[3][4] == people | {"added": 2, "removed": 0, "changed": 0}
    renamed = {"what": "tenant acme", "did": "changed", "fields": "name language", "name": "beta"}
    assert found[4][4] == found[5][4] == people | renamed
    assert found[6] == (
        "default", "anna", "people", found[6][3],
        people | {"what": "site Bonn", "did": "changed", "fields": "language"},
    )  # fmt: skip


def test_a_profile_that_is_switched(engine: Engine) -> None:
    add(
        engine, User("default", "anna@example.com"), Profile("default", "anna@example.com", "Lunch")
    )
    assert switch_profile(engine, "default", "anna@example.com", "Lunch", "phone:201")
    assert not switch_profile(engine, "default", "anna@example.com", "Lunch", "phone:201")
    assert said(engine)[1:] == [
        ("default", "phone:201", "people", "anna@example.com", {"profile": "Lunch"})
    ]
