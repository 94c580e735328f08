"""Everybody, as decisions need them."""

from typing import Any

from sqlalchemy import Connection

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.domain.people import People
from callrec_pbx.people.rows import read


def load_people(connection: Connection) -> People:
    """Read all people and places."""

    def all_of(entity: Entity) -> Any:
        return (thing for _, thing in read(connection, entity))

    return People.of(
        tenants=all_of(Entity.TENANT),
        sites=all_of(Entity.SITE),
        departments=all_of(Entity.DEPARTMENT),
        users=all_of(Entity.USER),
        profiles=all_of(Entity.PROFILE),
        lines=all_of(Entity.LINE),
        ddis=all_of(Entity.DDI),
        queues=all_of(Entity.QUEUE),
    )
