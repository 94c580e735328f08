"""A small company for tests, and everything that is kept of people."""

from typing import Any

from sqlalchemy import Engine, select

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.people import (
    Ddi,
    Department,
    Line,
    Profile,
    Queue,
    Site,
    User,
)
from callrec_pbx.domain.words import Device
from callrec_pbx.people.kinds import KINDS, Thing
from callrec_pbx.people.rows import TABLES, read
from callrec_pbx.people.versions import POLICY_VERSION
from callrec_pbx.policy.people import changing

D = "default"
ANNA = "anna@example.com"

HOUSE: tuple[Thing, ...] = (
    Site(D, "Stockholm", country="SE", time_zone="Europe/Stockholm", holidays="SE"),
    Site(D, "Berlin", country="DE"),
    Department(D, "Sales", "Stockholm"),
    Department(D, "Support"),
    User(D, ANNA, "Anna", department="Sales", site="Berlin"),
    User(D, "bo@example.com", "Bo", department="Sales", recording=False),
    Profile(D, ANNA, "Lunch", record_direct=False, code="1"),
    Profile(D, ANNA, "Available", code="2"),
    Line(D, "201", user=ANNA),
    Line(D, "202", "202-*", "bo@example.com", Device.SOFTPHONE),
    Line(D, "203"),
    Ddi(D, "+468100", "Stockholm", "sv", "reception"),
    Queue(D, "support", "Stockholm", "Support", "sv"),
)


def build(engine: Engine) -> None:
    """Have the whole house added, in one version."""
    with changing(engine, author="builder", comment="the house") as changes:
        for thing in HOUSE:
            changes.add(thing)


def everything(engine: Engine) -> dict[Entity, list[Thing]]:
    """All things as they are in the database, without their ids."""
    with engine.begin() as connection:
        return {
            entity: sorted(
                (thing for _, thing in read(connection, entity)), key=KINDS[entity].key_of
            )
            for entity in KINDS
        }


def raw(engine: Engine) -> dict[str, list[Any]]:
    """All rows of people and versions."""
    with engine.begin() as connection:
        return {
            table.name: [tuple(row) for row in connection.execute(select(table))]
            for table in (*TABLES.values(), POLICY_VERSION)
        }
