"""Who has said which retention plan, and how many recordings are kept by each."""

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import Engine, func, select

from callrec_pbx.catalogue.amend import SETTLED
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.rows import RECORDING
from callrec_pbx.domain.people import People
from callrec_pbx.domain.plans import Plan, parse
from callrec_pbx.domain.policy import PolicyText

LEVELS = ("rule", "user", "queue", "department", "site", "tenant", "default")
"""In this order; the first that says anything counts."""


@dataclass(frozen=True, slots=True)
class Said:
    """A plan, and who or what has it."""

    level: str
    tenant: str
    name: str
    plan: str


def said_plans(text: PolicyText, people: People, default: str) -> list[Said]:
    """Every plan that anybody has said, in the order in which they count."""
    found = [*_said(text, people), Said("default", "", "", default)]
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def _said(text: PolicyText, people: People) -> Iterator[Said]:
    for rule in text.rules:
        if rule.settings.retention is not None:
            yield Said("rule", "", rule.name, rule.settings.retention)
    for user in people.users.values():
        if user.retention:
            yield Said("user", user.tenant, user.email, user.retention)
    for queue in people.queues.values():
        if queue.retention:
            yield Said("queue", queue.tenant, queue.name, queue.retention)
    for place in text.places:
        if place.settings.retention is not None:
            yield Said(place.kind, place.tenant, place.name, place.settings.retention)


def counts_by_plan(engine: Engine) -> dict[str, int]:
    """How many recordings are kept by each plan, the shortest plan first."""
    query = (
        select(RECORDING.c.retention, func.count())
        .where(RECORDING.c.state.in_(sorted(SETTLED)))
        .group_by(RECORDING.c.retention)
    )
    with reading(engine).begin() as connection:
        found = [(plan, count) for plan, count in connection.execute(query)]
    return dict(sorted(found, key=lambda one: _length(parse(one[0]))))


def _length(plan: Plan) -> float:
    """Days, about."""
    per = {"day": 1, "month": 30.44, "year": 365.25}[plan.unit]
    return plan.count * per if plan.count else float("inf")
