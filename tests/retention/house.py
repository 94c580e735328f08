"""A tenant with people, and recordings of theirs."""

from datetime import datetime
from typing import Any

from sqlalchemy import Engine, select

from callrec_pbx.catalogue.audit import AUDIT
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.facts import Explanation, Inherited
from callrec_pbx.domain.people import Department, Queue, Tenant, User
from callrec_pbx.policy import store
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.people import changing
from tests.retention.made import Made
from tests.storage.samples import START, a_call, a_recording

ANNA = "anna@example.com"
POLICY = """
[[tenant]]
name = "default"
consent = "none"
retention = "{tenant}"
[[rule]]
name = "sales"
mode = "always"
{rule}
"""


def furnish(engine: Engine, **tenant: Any) -> None:
    """The tenant `default` with Anna of Sales and the queue `sales`."""
    with changing(engine, author="ann") as changes:
        if tenant:
            changes.set(Entity.TENANT, ("default",), tenant)
        changes.add(Department("default", "Sales"))
        changes.add(User("default", ANNA, department="Sales"))
        changes.add(Queue("default", "sales"))


def add_tenant(engine: Engine, name: str, **values: Any) -> None:
    """Another tenant."""
    with changing(engine, author="ann") as changes:
        changes.add(Tenant(name, **values))


def apply(engine: Engine, tenant: str = "30 days", rule: str = "") -> None:
    """A policy with that plan of the tenant, and perhaps of the rule."""
    said = f'retention = "{rule}"' if rule else ""
    store.save(engine, parse(POLICY.format(tenant=tenant, rule=said), "p"), "ann")


def recorded(
    made: Made,
    number: int = 1,
    at: datetime = START,
    origin: str = "tenant default",
    **changes: Any,
) -> None:
    """A call of Anna's with its recording, which has its plan from there."""
    settings = (Inherited("retention", "30 days", origin),)
    facts: dict[str, Any] = {
        "owner": ANNA, "department": "Sales", "site": "",
        "explanation": Explanation(settings=settings),
    } | changes  # fmt: skip
    call = a_call(number, at)
    made.call(call, a_recording(number, call, at, **facts))


def audited(engine: Engine, action: str, kind: str = "recording") -> list[str]:
    """What the audit trail says was done to, in order."""
    query = select(AUDIT.c.subject).where(AUDIT.c.action == action, AUDIT.c.kind == kind)
    with engine.connect() as connection:
        return list(connection.execute(query.order_by(AUDIT.c.tenant, AUDIT.c.seq)).scalars())
