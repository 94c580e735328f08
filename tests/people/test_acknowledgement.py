"""Recording is switched on only after somebody has taken note of the current text."""

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.people import Tenant
from callrec_pbx.domain.words import Switch
from callrec_pbx.people.acknowledgement import acknowledge, acknowledgements
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.load import load_people
from callrec_pbx.policy.people import changing
from tests.people.house import D, raw

TEXT = {"text_version": "3", "text_sha256": "ab" * 32}


def switch(engine: Engine, to: Switch, tenant: str = D, **text: str) -> int | None:
    with changing(engine, author="ann") as changes:
        changes.switch_recording(tenant, to, **text)
    return changes.version


def recording(engine: Engine, tenant: str = D) -> Switch:
    with engine.begin() as connection:
        return load_people(connection).tenants[tenant].recording


def test_on_after_the_acknowledgement_and_off_at_any_time(engine: Engine) -> None:
    assert switch(engine, Switch.OFF_NOW) == 2
    made = acknowledge(engine, D, who=" Dr. Berg ", **TEXT)
    assert (made.tenant, made.who, made.text_version) == (D, "Dr. Berg", "3")
    assert switch(engine, Switch.ON, **TEXT) == 3
    assert recording(engine) is Switch.ON
    assert switch(engine, Switch.OFF_NEW) == 4
    assert recording(engine) is Switch.OFF_NEW
    assert switch(engine, Switch.OFF_NEW) is None


@pytest.mark.parametrize(
    "text", [{}, TEXT | {"text_version": "4"}, TEXT | {"text_sha256": "cd" * 32}]
)
def test_another_text_is_not_acknowledged_by_it(engine: Engine, text: dict[str, str]) -> None:
    acknowledge(engine, D, who="Dr. Berg", **TEXT)
    before = raw(engine)
    with pytest.raises(PeopleError, match="is not acknowledged; read and acknowledge it"):
        switch(engine, Switch.ON, **text)
    assert raw(engine) == before


def test_one_tenants_acknowledgement_is_not_anothers(engine: Engine) -> None:
    acknowledge(engine, D, who="Dr. Berg", **TEXT)
    with changing(engine, author="ann") as changes:
        changes.add(Tenant("acme"))
    with pytest.raises(PeopleError, match="is not acknowledged"):
        switch(engine, Switch.ON, "acme", **TEXT)


def test_it_stays_with_a_tenant_that_gets_another_name(engine: Engine) -> None:
    acknowledge(engine, D, who="Dr. Berg", **TEXT)
    with changing(engine, author="ann") as changes:
        changes.set(Entity.TENANT, (D,), {"name": "acme"})
    assert switch(engine, Switch.ON, "acme", **TEXT)
    with engine.begin() as connection:
        assert [one.tenant for one in acknowledgements(connection, "acme")] == [D]


def test_it_outlives_its_tenant_and_does_not_count_for_the_next(engine: Engine) -> None:
    with changing(engine, author="ann") as changes:
        changes.add(Tenant("acme"))
    acknowledge(engine, "acme", who="Dr. Berg", **TEXT)
    with changing(engine, author="ann") as changes:
        changes.remove(Entity.TENANT, ("acme",))
    with changing(engine, author="ann") as changes:
        changes.add(Tenant("acme"))
    with pytest.raises(PeopleError, match="is not acknowledged"):
        switch(engine, Switch.ON, "acme", **TEXT)
    with engine.begin() as connection:
        kept = connection.exec_driver_sql("SELECT tenant, who FROM acknowledgement").all()
        assert acknowledgements(connection, "acme") == []
    assert kept == [("acme", "Dr. Berg")]


@pytest.mark.parametrize(
    ("tenant", "who", "message"),
    [
        ("acme", "Dr. Berg", "tenant acme: is not there"),
        (D, "  ", "who '  ': is empty; say who"),
        (D, "a\nb", "who 'a\\\\nb': is too long or has control"),
    ],
)
def test_it_needs_a_tenant_and_a_person(
    engine: Engine, tenant: str, who: str, message: str
) -> None:
    with pytest.raises(PeopleError, match=message):
        acknowledge(engine, tenant, who=who, **TEXT)
    with engine.begin() as connection:
        assert acknowledgements(connection, D) == []
