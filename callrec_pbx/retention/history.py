"""Histories that name people: who was changed how, who was in which profile. They have a term."""

from datetime import datetime

from sqlalchemy import Engine, delete, select, update

from callrec_pbx.catalogue.people_models import VersionKind
from callrec_pbx.people.history import PEOPLE_CHANGE
from callrec_pbx.people.profiles import PROFILE_SWITCH
from callrec_pbx.people.versions import POLICY_VERSION

BATCH = 1000


def clear_histories(engine: Engine, before: datetime) -> int:
    """Delete what is older, a batch at a time.

    Of a version of people and places its number, time, author and comment remain. A version that
    has changed the policy too stays as it is: it may be brought back.

    Returns:
        How many lines of histories were deleted.
    """
    old = POLICY_VERSION.c.at < before
    versions = select(POLICY_VERSION.c.version).where(old)
    changes = select(PEOPLE_CHANGE.c.id).where(PEOPLE_CHANGE.c.version.in_(versions))
    switches = select(PROFILE_SWITCH.c.id).where(PROFILE_SWITCH.c.at < before)
    deleted = 0
    for table, query in ((PEOPLE_CHANGE, changes), (PROFILE_SWITCH, switches)):
        while True:
            with engine.begin() as connection:
                ids = list(connection.execute(query.limit(BATCH)).scalars())
                if ids:
                    connection.execute(delete(table).where(table.c.id.in_(ids)))
            deleted += len(ids)
            if len(ids) < BATCH:
                break
    with engine.begin() as connection:
        of_people = POLICY_VERSION.c.kind == VersionKind.PEOPLE
        connection.execute(update(POLICY_VERSION).where(old, of_people).values(changes=[]))
    return deleted
