"""Switching profiles. It is no version of anything, and has a log of its own."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import Connection, Engine, Table, func, insert, select, update

from callrec_pbx.catalogue.audit import Action, Entry, append
from callrec_pbx.catalogue.people_models import Entity, ProfileSwitchRow
from callrec_pbx.domain.people import People, Profile, User
from callrec_pbx.people.lookup import find
from callrec_pbx.people.rows import PERSON
from callrec_pbx.people.versions import lock

PROFILE_SWITCH = cast(Table, ProfileSwitchRow.__table__)
MOST = 1000
"""How many switches one look at the log gives at the most."""


@dataclass(frozen=True, slots=True)
class ProfileSwitch:
    """A user who has switched.

    Attributes:
        id: Rises with each switch.
        profile: The profile that is active since then, empty for none.
        by: Who or what did it: `cli:<login name>`, `phone:<line>` or `api`.
    """

    id: int
    at: datetime
    tenant: str
    user: str
    profile: str
    by: str


def switch_profile(engine: Engine, tenant: str, user: str, profile: str, by: str) -> bool:
    """Switch a user to a profile, or with an empty one to none, and write it into the log.

    Returns:
        Whether that is another than the one active before; if not, nothing is written.

    Raises:
        PeopleError: there is no such user or profile.
    """
    with engine.begin() as connection:
        # A listener asks for what is newer than the last id: so ids are committed as they rise.
        lock(connection)
        row_id, person = find(connection, Entity.USER, (tenant, user))
        email = cast(User, person).email
        if profile:
            _, found = find(connection, Entity.PROFILE, (tenant, email, profile))
            profile = cast(Profile, found).name
        if cast(User, person).profile == profile:
            return False
        connection.execute(update(PERSON).where(PERSON.c.id == row_id).values(profile=profile))
        log_switch(connection, tenant, email, profile, by)
        detail = {"profile": profile}
        append(connection, Entry(tenant, by, Action.PEOPLE, "profile_switch", email, detail))
    return True


def log_switch(connection: Connection, tenant: str, user: str, profile: str, by: str) -> None:
    """Write into the log that a user has switched."""
    connection.execute(
        insert(PROFILE_SWITCH).values(
            at=datetime.now(UTC), tenant=tenant, user=user, profile=profile, by=by
        )
    )


def last_switch(connection: Connection) -> int:
    """The id of the newest switch, 0 where there is none.

    Read it in the transaction in which people are loaded: what comes after it they do not know.
    """
    return connection.execute(select(func.max(PROFILE_SWITCH.c.id))).scalar_one() or 0


def switches_after(connection: Connection, switch_id: int) -> list[ProfileSwitch]:
    """The switches that came after that one, oldest first, as many as one look gives."""
    query = select(PROFILE_SWITCH).where(PROFILE_SWITCH.c.id > switch_id)
    rows = connection.execute(query.order_by(PROFILE_SWITCH.c.id).limit(MOST))
    return [ProfileSwitch(**row) for row in rows.mappings()]


def newest_switches(
    connection: Connection, *, tenant: str | None = None, user: str | None = None, limit: int = 50
) -> list[ProfileSwitch]:
    """The newest switches, newest first."""
    query = select(PROFILE_SWITCH).order_by(PROFILE_SWITCH.c.id.desc()).limit(limit)
    if tenant is not None:
        query = query.where(PROFILE_SWITCH.c.tenant == tenant)
    if user is not None:
        query = query.where(PROFILE_SWITCH.c.user == user.strip().lower())
    return [ProfileSwitch(**row) for row in connection.execute(query).mappings()]


def profile_by_code(people: People, user: User, code: str) -> Profile | None:
    """The profile that a user's code stands for."""
    if not code:
        return None
    profiles = people.profiles.get((user.tenant, user.email), {})
    return next((profile for profile in profiles.values() if profile.code == code), None)
