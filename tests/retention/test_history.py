"""Histories that name people go when their time has come."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import func, select

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.people import Profile
from callrec_pbx.domain.plans import parse
from callrec_pbx.people.history import PEOPLE_CHANGE
from callrec_pbx.people.profiles import PROFILE_SWITCH, switch_profile
from callrec_pbx.people.versions import POLICY_VERSION
from callrec_pbx.policy.people import changing
from callrec_pbx.retention import history
from callrec_pbx.retention.run import Terms, run
from tests.retention.house import ANNA, apply, furnish
from tests.retention.made import Made


def counts(made: Made) -> tuple[int, int]:
    """Changes of people, and switches of profiles."""
    with made.engine.connect() as connection:
        changes, switches = (
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (PEOPLE_CHANGE, PROFILE_SWITCH)
        )
    return changes, switches


def test_histories_are_cleared_when_their_term_is_over(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    furnish(made.engine)
    apply(made.engine)
    with changing(made.engine, author="ann") as changes:
        changes.add(Profile("default", ANNA, "Lunch"))
        changes.set(Entity.USER, ("default", ANNA), {"name": "Anna"})
    switch_profile(made.engine, "default", ANNA, "Lunch", "cli:ann")
    before = counts(made)
    assert before[1] == 1
    now = datetime.now(UTC)
    assert run(made.place, Terms(), now=now + timedelta(days=9999)).histories == 0
    terms = Terms(history=parse("2 years"))
    assert run(made.place, terms, now=now + timedelta(days=700)).histories == 0
    monkeypatch.setattr(history, "BATCH", 2)
    assert run(made.place, terms, now=now + timedelta(days=740)).histories == sum(before)
    assert counts(made) == (0, 0)
    with made.engine.connect() as connection:
        kept = connection.execute(select(POLICY_VERSION).order_by(POLICY_VERSION.c.version)).all()
    assert ANNA not in repr([row.changes for row in kept])
    assert [row.author for row in kept if row.kind == "people"][1:] == ["ann", "ann"]
    assert any(row.document for row in kept)
