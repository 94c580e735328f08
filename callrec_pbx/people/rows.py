"""Things to rows and back."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Select, Table, case, func, select

from callrec_pbx.catalogue.people_models import (
    DdiRow,
    DepartmentRow,
    Entity,
    LineRow,
    PersonRow,
    ProfileRow,
    QueueRow,
    SiteRow,
    TenantRow,
)
from callrec_pbx.domain.people import Line, Profile
from callrec_pbx.people.kinds import KIND_OF, KINDS, Thing

TENANT = cast(Table, TenantRow.__table__)
SITE = cast(Table, SiteRow.__table__)
DEPARTMENT = cast(Table, DepartmentRow.__table__)
PERSON = cast(Table, PersonRow.__table__)
PROFILE = cast(Table, ProfileRow.__table__)
LINE = cast(Table, LineRow.__table__)
DDI = cast(Table, DdiRow.__table__)
QUEUE = cast(Table, QueueRow.__table__)

TABLES: dict[Entity, Table] = {
    Entity.TENANT: TENANT,
    Entity.SITE: SITE,
    Entity.DEPARTMENT: DEPARTMENT,
    Entity.USER: PERSON,
    Entity.PROFILE: PROFILE,
    Entity.LINE: LINE,
    Entity.DDI: DDI,
    Entity.QUEUE: QUEUE,
}


def _name(table: Table) -> Any:
    """The name of what a row may refer to, empty where it does not."""
    return func.coalesce(table.c.name, "")


_EXTENSION_OR_ENDPOINT = case((LINE.c.endpoint == LINE.c.extension, ""), else_=LINE.c.endpoint)

# The id, and then the fields in the order of the domain's class.
_SELECTS: dict[Entity, Select[Any]] = {
    Entity.TENANT: select(
        TENANT.c.id,
        TENANT.c.name,
        TENANT.c.recording,
        TENANT.c.user_switch,
        TENANT.c.concurrent_limit,
        TENANT.c.language,
        TENANT.c.country,
        TENANT.c.time_zone,
        TENANT.c.holidays,
        TENANT.c.outside_prefix,
        TENANT.c.quota_gb,
        TENANT.c.on_quota,
    ),
    Entity.SITE: select(
        SITE.c.id,
        TENANT.c.name,
        SITE.c.name,
        SITE.c.language,
        SITE.c.country,
        SITE.c.time_zone,
        SITE.c.holidays,
        SITE.c.outside_prefix,
    ).join_from(SITE, TENANT, SITE.c.tenant_id == TENANT.c.id),
    Entity.DEPARTMENT: select(DEPARTMENT.c.id, TENANT.c.name, DEPARTMENT.c.name, _name(SITE))
    .join_from(DEPARTMENT, TENANT, DEPARTMENT.c.tenant_id == TENANT.c.id)
    .outerjoin(SITE, DEPARTMENT.c.site_id == SITE.c.id),
    Entity.USER: select(
        PERSON.c.id,
        TENANT.c.name,
        PERSON.c.email,
        PERSON.c.name,
        PERSON.c.language,
        PERSON.c.country,
        _name(DEPARTMENT),
        _name(SITE),
        PERSON.c.recording,
        PERSON.c.profile,
        PERSON.c.retention,
    )
    .join_from(PERSON, TENANT, PERSON.c.tenant_id == TENANT.c.id)
    .outerjoin(DEPARTMENT, PERSON.c.department_id == DEPARTMENT.c.id)
    .outerjoin(SITE, PERSON.c.site_id == SITE.c.id),
    Entity.PROFILE: select(
        PROFILE.c.id,
        TENANT.c.name,
        PERSON.c.email,
        PROFILE.c.name,
        PROFILE.c.record_direct,
        PROFILE.c.code,
    )
    .join_from(PROFILE, PERSON, PROFILE.c.user_id == PERSON.c.id)
    .join(TENANT, PERSON.c.tenant_id == TENANT.c.id),
    Entity.LINE: select(
        LINE.c.id,
        TENANT.c.name,
        LINE.c.extension,
        _EXTENSION_OR_ENDPOINT,
        func.coalesce(PERSON.c.email, ""),
        LINE.c.device,
    )
    .join_from(LINE, TENANT, LINE.c.tenant_id == TENANT.c.id)
    .outerjoin(PERSON, LINE.c.user_id == PERSON.c.id),
    Entity.DDI: select(
        DDI.c.id, TENANT.c.name, DDI.c.number, _name(SITE), DDI.c.language, DDI.c.label
    )
    .join_from(DDI, TENANT, DDI.c.tenant_id == TENANT.c.id)
    .outerjoin(SITE, DDI.c.site_id == SITE.c.id),
    Entity.QUEUE: select(
        QUEUE.c.id,
        TENANT.c.name,
        QUEUE.c.name,
        _name(SITE),
        _name(DEPARTMENT),
        QUEUE.c.language,
        QUEUE.c.retention,
    )
    .join_from(QUEUE, TENANT, QUEUE.c.tenant_id == TENANT.c.id)
    .outerjoin(SITE, QUEUE.c.site_id == SITE.c.id)
    .outerjoin(DEPARTMENT, QUEUE.c.department_id == DEPARTMENT.c.id),
}

_KEY_COLUMNS: dict[Entity, tuple[Any, ...]] = {
    Entity.TENANT: (TENANT.c.name,),
    Entity.SITE: (TENANT.c.name, SITE.c.name),
    Entity.DEPARTMENT: (TENANT.c.name, DEPARTMENT.c.name),
    Entity.USER: (TENANT.c.name, PERSON.c.email),
    Entity.PROFILE: (TENANT.c.name, PERSON.c.email, PROFILE.c.name),
    Entity.LINE: (TENANT.c.name, LINE.c.extension),
    Entity.DDI: (DDI.c.number,),
    Entity.QUEUE: (QUEUE.c.name,),
}


_NAMES: dict[Entity, Any] = {
    Entity.TENANT: TENANT.c.name,
    Entity.SITE: SITE.c.name,
    Entity.DEPARTMENT: DEPARTMENT.c.name,
    Entity.USER: PERSON.c.email,
}
"""What those that refer to a thing show of it."""


def read(
    connection: Connection, entity: Entity, *where: Any, limit: int | None = None
) -> Iterator[tuple[int, Thing]]:
    """Things of a kind with the ids of their rows, in order of their ids."""
    made = KINDS[entity].made
    query = _SELECTS[entity].where(*where).order_by(TABLES[entity].c.id).limit(limit)
    for row_id, *values in connection.execute(query):
        yield row_id, made(*values)


def by_key(entity: Entity, key: tuple[str, ...]) -> tuple[Any, ...]:
    """The conditions for the one thing of that key."""
    return tuple(column == value for column, value in zip(_KEY_COLUMNS[entity], key, strict=True))


def named(entity: Entity, name: str) -> ColumnElement[bool]:
    """The condition for the things of that name, of all tenants."""
    return cast(ColumnElement[bool], _KEY_COLUMNS[entity][-1] == name)


def referring_to(entity: Entity, name: str) -> ColumnElement[bool]:
    """The condition for what refers to a thing of that name, for kinds that refer to its kind."""
    return cast(ColumnElement[bool], _NAMES[entity] == name)


def by_unique(thing: Thing) -> tuple[Any, ...]:
    """The conditions for what has the same endpoint, or code of the same user."""
    if isinstance(thing, Line):
        return (LINE.c.endpoint == (thing.endpoint or thing.extension),)
    if isinstance(thing, Profile) and thing.code:
        same_user = (TENANT.c.name == thing.tenant, PERSON.c.email == thing.user)
        return (*same_user, PROFILE.c.code == thing.code)
    return ()


def values_of(thing: Thing, ids: Mapping[str, int | None]) -> dict[str, Any]:
    """The columns of a thing.

    Args:
        thing: What is to be written.
        ids: By field: the ids of what it refers to.
    """
    kind = KIND_OF[type(thing)]
    columns = TABLES[kind.entity].c
    values = {
        field.name: getattr(thing, field.name) for field in kind.fields if field.refers is None
    }
    if isinstance(thing, Line):
        values["endpoint"] = thing.endpoint or thing.extension
    # A profile's tenant is its user's.
    return values | {f"{name}_id": id_ for name, id_ in ids.items() if f"{name}_id" in columns}
