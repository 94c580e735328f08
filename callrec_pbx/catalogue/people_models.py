"""The tables of people, places and the policy's versions.

They are no index over sidecars: nothing brings them back but a backup or an export.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, ForeignKey, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from callrec_pbx.catalogue.models import Base, word_column
from callrec_pbx.domain.words import Device, OnQuota, Switch

_NULLABLE_JSON = JSON(none_as_null=True)
_NO_TEXT = text("''")


class VersionKind(StrEnum):
    """What made a version: a policy applied, people changed, an earlier policy brought back.

    Where the policy names people who were changed, its text has changed with them.
    """

    POLICY = "policy"
    PEOPLE = "people"
    PEOPLE_AND_POLICY = "people_and_policy"
    ROLLBACK = "rollback"


class Entity(StrEnum):
    """The kinds of people and places."""

    TENANT = "tenant"
    SITE = "site"
    DEPARTMENT = "department"
    USER = "user"
    PROFILE = "profile"
    LINE = "line"
    DDI = "ddi"
    QUEUE = "queue"


class TenantRow(Base):
    """A company."""

    __tablename__ = "tenant"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    recording: Mapped[Switch] = mapped_column(word_column(Switch, "recording"))
    user_switch: Mapped[bool]
    concurrent_limit: Mapped[int | None]
    language: Mapped[str]
    country: Mapped[str]
    time_zone: Mapped[str]
    holidays: Mapped[str]
    outside_prefix: Mapped[str]
    quota_gb: Mapped[int | None]
    on_quota: Mapped[OnQuota] = mapped_column(
        word_column(OnQuota, "on_quota"), server_default=OnQuota.WARN.value
    )


class SiteRow(Base):
    """A location of a tenant."""

    __tablename__ = "site"
    __table_args__ = (UniqueConstraint("tenant_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str]
    language: Mapped[str]
    country: Mapped[str]
    time_zone: Mapped[str]
    holidays: Mapped[str]
    outside_prefix: Mapped[str]


class DepartmentRow(Base):
    """A department, at one site or none."""

    __tablename__ = "department"
    __table_args__ = (UniqueConstraint("tenant_id", "name"), Index(None, "site_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str]
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))


class PersonRow(Base):
    """A user; `profile` is the name of the active one, empty for none."""

    __tablename__ = "person"
    __table_args__ = (
        UniqueConstraint("tenant_id", "email"),
        Index(None, "department_id"),
        Index(None, "site_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    email: Mapped[str]
    name: Mapped[str]
    language: Mapped[str]
    country: Mapped[str]
    department_id: Mapped[int | None] = mapped_column(ForeignKey("department.id"))
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))
    recording: Mapped[bool]
    profile: Mapped[str]
    retention: Mapped[str] = mapped_column(server_default=_NO_TEXT)


class ProfileRow(Base):
    """A profile of a user."""

    __tablename__ = "profile"
    __table_args__ = (UniqueConstraint("user_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("person.id"))
    name: Mapped[str]
    record_direct: Mapped[bool]
    code: Mapped[str]


class LineRow(Base):
    """An extension; `endpoint` is what the PBX calls it, filled in where it is the extension."""

    __tablename__ = "line"
    __table_args__ = (UniqueConstraint("tenant_id", "extension"), Index(None, "user_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    extension: Mapped[str]
    endpoint: Mapped[str] = mapped_column(unique=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("person.id"))
    device: Mapped[Device] = mapped_column(word_column(Device, "device"))


class DdiRow(Base):
    """A dialled direct number."""

    __tablename__ = "ddi"
    __table_args__ = (Index(None, "tenant_id"), Index(None, "site_id"))

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    number: Mapped[str] = mapped_column(unique=True)
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))
    language: Mapped[str]
    label: Mapped[str]


class QueueRow(Base):
    """A queue."""

    __tablename__ = "queue"
    __table_args__ = (
        Index(None, "tenant_id"),
        Index(None, "site_id"),
        Index(None, "department_id"),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int] = mapped_column(ForeignKey("tenant.id"))
    name: Mapped[str] = mapped_column(unique=True)
    site_id: Mapped[int | None] = mapped_column(ForeignKey("site.id"))
    department_id: Mapped[int | None] = mapped_column(ForeignKey("department.id"))
    language: Mapped[str]
    retention: Mapped[str] = mapped_column(server_default=_NO_TEXT)


class AcknowledgementRow(Base):
    """Who has taken note of what recording asks of a tenant; kept when the tenant is gone.

    `tenant` is its name at that time; `tenant_id` is empty once it is removed, so that another of
    the same name has to acknowledge for itself.
    """

    __tablename__ = "acknowledgement"
    __table_args__ = (Index(None, "tenant_id"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    tenant_id: Mapped[int | None] = mapped_column(ForeignKey("tenant.id", ondelete="SET NULL"))
    tenant: Mapped[str]
    at: Mapped[datetime]
    who: Mapped[str]
    text_version: Mapped[str]
    text_sha256: Mapped[str]


class PolicyVersionRow(Base):
    """One change of the policy, or of people and places; decisions name its number."""

    __tablename__ = "policy_version"

    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    at: Mapped[datetime]
    author: Mapped[str]
    comment: Mapped[str]
    kind: Mapped[VersionKind] = mapped_column(word_column(VersionKind, "kind"))
    changes: Mapped[list[str]]
    document: Mapped[dict[str, Any] | None] = mapped_column(_NULLABLE_JSON)
    """The policy text without the excluded numbers; empty where it was not changed."""
    restored_from: Mapped[int | None]


class ExcludedNumberRow(Base):
    """A number that is never recorded, in versions from `since` on and before `until`."""

    __tablename__ = "excluded_number"
    __table_args__ = (Index(None, "number"), Index(None, "until"))

    id: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[str]
    since: Mapped[int] = mapped_column(ForeignKey("policy_version.version"))
    until: Mapped[int | None] = mapped_column(ForeignKey("policy_version.version"))


class PeopleChangeRow(Base):
    """One thing before and after a version; without `before` it was added, without `after` removed.

    `key` is its name as it was before, or as it was added.
    """

    __tablename__ = "people_change"
    __table_args__ = (Index(None, "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(ForeignKey("policy_version.version"))
    entity: Mapped[Entity] = mapped_column(word_column(Entity, "entity"))
    key: Mapped[str]
    before: Mapped[dict[str, Any] | None] = mapped_column(_NULLABLE_JSON)
    after: Mapped[dict[str, Any] | None] = mapped_column(_NULLABLE_JSON)


class ProfileSwitchRow(Base):
    """A user who has switched to another profile; `by` is who or what did it."""

    __tablename__ = "profile_switch"
    # A listener asks for what is newer than the last id that it saw: no id may come twice.
    __table_args__ = (Index(None, "tenant", "user"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    tenant: Mapped[str]
    user: Mapped[str]
    profile: Mapped[str]
    by: Mapped[str]
