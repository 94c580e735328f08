"""Which tenants there are and have been: recordings keep the name that theirs had."""

from sqlalchemy import Engine, select

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.people_models import Entity, PeopleChangeRow, TenantRow
from callrec_pbx.catalogue.rows import RECORDING


def is_known(engine: Engine, name: str) -> bool:
    """Whether a tenant has that name, has had it, or left recordings under it."""
    query = select(PeopleChangeRow.before, PeopleChangeRow.after).where(
        PeopleChangeRow.entity == Entity.TENANT
    )
    with reading(engine).begin() as connection:
        for known in (TenantRow.name, RECORDING.c.tenant):
            if connection.execute(select(known).where(known == name).limit(1)).first():
                return True
        return any(
            state and state.get("name") == name
            for states in connection.execute(query)
            for state in states
        )
