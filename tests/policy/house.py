"""A small company, for policies to decide about."""

from sqlalchemy import Engine, update

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
from callrec_pbx.domain.words import Device, Switch
from callrec_pbx.people.rows import TENANT
from callrec_pbx.policy.people import changing

TENANT_OF_HOUSE = Tenant(
    "default",
    Switch.ON,
    country="SE",
    language="en",
    time_zone="Europe/Stockholm",
    holidays="SE",
    concurrent_limit=2,
)
PARTS = (
    Site("default", "Stockholm", language="sv"),
    Site("default", "Berlin", country="DE", time_zone="Europe/Berlin", holidays="DE-BE"),
    Department("default", "Support", site="Stockholm"),
    User("default", "anna@example.org", "Anna", department="Support"),
    User("default", "bernd@example.org", "Bernd", site="Berlin"),
    User("default", "carl@example.org", "Carl"),
    Profile("default", "anna@example.org", "Abroad", record_direct=False),
    Profile("default", "anna@example.org", "Lunch"),
    Line("default", "301", user="anna@example.org"),
    Line("default", "302", "bernd-desk", user="bernd@example.org", device=Device.MOBILE),
    Ddi("default", "+46812345", site="Stockholm"),
    Queue("default", "support", department="Support"),
)


def people() -> People:
    """Everybody."""

    def all_of(kind: type) -> list[object]:
        return [part for part in PARTS if isinstance(part, kind)]

    return People.of(
        tenants=[TENANT_OF_HOUSE],
        sites=all_of(Site),  # type: ignore[arg-type]
        departments=all_of(Department),  # type: ignore[arg-type]
        users=all_of(User),  # type: ignore[arg-type]
        profiles=all_of(Profile),  # type: ignore[arg-type]
        lines=all_of(Line),  # type: ignore[arg-type]
        ddis=all_of(Ddi),  # type: ignore[arg-type]
        queues=all_of(Queue),  # type: ignore[arg-type]
    )


def furnish(engine: Engine) -> None:
    """Put everybody into a new catalogue, with recording switched on."""
    with changing(engine, author="test", comment="") as changes:
        for part in PARTS:
            changes.add(part)
    of_house = TENANT_OF_HOUSE
    with engine.begin() as connection:
        connection.execute(
            update(TENANT).values(
                recording=of_house.recording,
                country=of_house.country,
                language=of_house.language,
                time_zone=of_house.time_zone,
                holidays=of_house.holidays,
                concurrent_limit=of_house.concurrent_limit,
            )
        )
