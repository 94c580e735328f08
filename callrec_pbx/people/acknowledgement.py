"""Who has taken note, for a tenant, of what recording asks of it."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Connection, Engine, Table, insert, select

from callrec_pbx.catalogue.audit import Action, Entry, append
from callrec_pbx.catalogue.people_models import AcknowledgementRow, Entity
from callrec_pbx.config.checks import BadValueError
from callrec_pbx.domain.people import Tenant
from callrec_pbx.people import checks
from callrec_pbx.people.checking import problem
from callrec_pbx.people.errors import PeopleError
from callrec_pbx.people.kinds import KINDS
from callrec_pbx.people.lookup import find
from callrec_pbx.people.rows import TENANT
from callrec_pbx.people.versions import lock

ACKNOWLEDGEMENT = cast(Table, AcknowledgementRow.__table__)


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """One of them.

    Attributes:
        tenant: The tenant's name at that time.
        who: The person who answers for it.
        text_version: Version of the text.
        text_sha256: Hash of the text.
    """

    tenant: str
    at: datetime
    who: str
    text_version: str
    text_sha256: str


def acknowledge(
    engine: Engine, tenant: str, *, who: str, text_version: str, text_sha256: str
) -> Acknowledgement:
    """Keep that somebody has taken note of the text, for a tenant.

    Raises:
        PeopleError: there is no such tenant, or `who` is nobody.
    """
    label = KINDS[Entity.TENANT].label((tenant,))
    try:
        who = checks.author(who)
    except BadValueError as error:
        raise PeopleError(label, [problem("who", who, error)]) from None
    made = Acknowledgement(tenant, datetime.now(UTC), who, text_version, text_sha256)
    with engine.begin() as connection:
        lock(connection)
        tenant_id, found = find(connection, Entity.TENANT, (tenant,))
        made = replace(made, tenant=cast(Tenant, found).name)
        connection.execute(
            insert(ACKNOWLEDGEMENT).values(
                tenant_id=tenant_id,
                tenant=made.tenant,
                at=made.at,
                who=who,
                text_version=text_version,
                text_sha256=text_sha256,
            )
        )
        detail = {"text_version": text_version, "text_sha256": text_sha256}
        entry = Entry(made.tenant, who, Action.PEOPLE, "acknowledgement", made.tenant, detail)
        append(connection, entry, made.at)
    return made


def acknowledgements(connection: Connection, tenant: str) -> list[Acknowledgement]:
    """Those of a tenant, oldest first."""
    columns = [ACKNOWLEDGEMENT.c[name] for name in Acknowledgement.__dataclass_fields__]
    query = (
        select(*columns)
        .join_from(ACKNOWLEDGEMENT, TENANT, ACKNOWLEDGEMENT.c.tenant_id == TENANT.c.id)
        .where(TENANT.c.name == tenant)
        .order_by(ACKNOWLEDGEMENT.c.id)
    )
    return [Acknowledgement(*row) for row in connection.execute(query)]


def is_acknowledged(
    connection: Connection, tenant_id: int, text_version: str, text_sha256: str
) -> bool:
    """Whether somebody has taken note of just that text for the tenant of that row."""
    query = select(ACKNOWLEDGEMENT.c.id).where(
        ACKNOWLEDGEMENT.c.tenant_id == tenant_id,
        ACKNOWLEDGEMENT.c.text_version == text_version,
        ACKNOWLEDGEMENT.c.text_sha256 == text_sha256,
    )
    return connection.execute(query.limit(1)).first() is not None
