"""People and places, the policy's versions, and why a decision is what it is.

Begins with the tenant `default`, whose recording is off.
"""

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

# Written out, as a column can be added with its CHECK without copying a table of any size.
ADDED = {
    "call": {
        "tenant": "TEXT{collate} DEFAULT '' NOT NULL",
        "explanation": "JSON DEFAULT '{{}}' NOT NULL",
    },
    "recording": {
        "channels": "VARCHAR(20) DEFAULT 'mixed' NOT NULL"
        " CONSTRAINT ck_recording_channels CHECK (channels IN ('mixed', 'stereo'))",
        "line": "TEXT{collate} DEFAULT '' NOT NULL",
        "tenant": "TEXT{collate} DEFAULT '' NOT NULL",
        "site": "TEXT{collate} DEFAULT '' NOT NULL",
        "department": "TEXT{collate} DEFAULT '' NOT NULL",
        "explanation": "JSON DEFAULT '{{}}' NOT NULL",
    },
}


def upgrade() -> None:
    # PostgreSQL would sort as the database's locale says: this is the order that SQLite has.
    collate = "" if op.get_bind().dialect.name == "sqlite" else ' COLLATE "C"'
    for table, columns in ADDED.items():
        for column, definition in columns.items():
            definition = definition.format(collate=collate)
            op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {definition}")
    _create_people()
    _create_versions()
    _begin()


def downgrade() -> None:
    for table in (
        "profile_switch",
        "people_change",
        "excluded_number",
        "policy_version",
        "acknowledgement",
        "queue",
        "ddi",
        "line",
        "profile",
        "person",
        "department",
        "site",
        "tenant",
    ):
        op.drop_table(table)
    for table, columns in ADDED.items():
        for column in columns:
            op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")


def _create_people() -> None:
    op.create_table(
        "tenant",
        _id(),
        _text("name"),
        sa.Column("recording", _words("recording", "on", "off_new", "off_now"), nullable=False),
        sa.Column("user_switch", sa.Boolean(), nullable=False),
        sa.Column("concurrent_limit", WHOLE, nullable=True),
        _text("language"),
        _text("country"),
        _text("time_zone"),
        _text("holidays"),
        _text("outside_prefix"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tenant")),
        sa.UniqueConstraint("name", name=op.f("uq_tenant_name")),
    )
    op.create_table(
        "site",
        _id(),
        _reference("tenant_id", nullable=False),
        _text("name"),
        _text("language"),
        _text("country"),
        _text("time_zone"),
        _text("holidays"),
        _text("outside_prefix"),
        _foreign("site", "tenant_id", "tenant"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_site_tenant_id_name")),
    )
    op.create_table(
        "department",
        _id(),
        _reference("tenant_id", nullable=False),
        _text("name"),
        _reference("site_id"),
        _foreign("department", "site_id", "site"),
        _foreign("department", "tenant_id", "tenant"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_department")),
        sa.UniqueConstraint("tenant_id", "name", name=op.f("uq_department_tenant_id_name")),
    )
    _index("department", "site_id")
    op.create_table(
        "person",
        _id(),
        _reference("tenant_id", nullable=False),
        _text("email"),
        _text("name"),
        _text("language"),
        _text("country"),
        _reference("department_id"),
        _reference("site_id"),
        sa.Column("recording", sa.Boolean(), nullable=False),
        _text("profile"),
        _foreign("person", "department_id", "department"),
        _foreign("person", "site_id", "site"),
        _foreign("person", "tenant_id", "tenant"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_person")),
        sa.UniqueConstraint("tenant_id", "email", name=op.f("uq_person_tenant_id_email")),
    )
    _index("person", "department_id")
    _index("person", "site_id")
    op.create_table(
        "profile",
        _id(),
        _reference("user_id", nullable=False),
        _text("name"),
        sa.Column("record_direct", sa.Boolean(), nullable=False),
        _text("code"),
        _foreign("profile", "user_id", "person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile")),
        sa.UniqueConstraint("user_id", "name", name=op.f("uq_profile_user_id_name")),
    )
    op.create_table(
        "line",
        _id(),
        _reference("tenant_id", nullable=False),
        _text("extension"),
        _text("endpoint"),
        _reference("user_id"),
        sa.Column(
            "device", _words("device", "desk", "softphone", "mobile", "other"), nullable=False
        ),
        _foreign("line", "tenant_id", "tenant"),
        _foreign("line", "user_id", "person"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_line")),
        sa.UniqueConstraint("endpoint", name=op.f("uq_line_endpoint")),
        sa.UniqueConstraint("tenant_id", "extension", name=op.f("uq_line_tenant_id_extension")),
    )
    _index("line", "user_id")
    op.create_table(
        "ddi",
        _id(),
        _reference("tenant_id", nullable=False),
        _text("number"),
        _reference("site_id"),
        _text("language"),
        _text("label"),
        _foreign("ddi", "site_id", "site"),
        _foreign("ddi", "tenant_id", "tenant"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ddi")),
        sa.UniqueConstraint("number", name=op.f("uq_ddi_number")),
    )
    _index("ddi", "site_id")
    _index("ddi", "tenant_id")
    op.create_table(
        "queue",
        _id(),
        _reference("tenant_id", nullable=False),
        _text("name"),
        _reference("site_id"),
        _reference("department_id"),
        _text("language"),
        _foreign("queue", "department_id", "department"),
        _foreign("queue", "site_id", "site"),
        _foreign("queue", "tenant_id", "tenant"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_queue")),
        sa.UniqueConstraint("name", name=op.f("uq_queue_name")),
    )
    _index("queue", "department_id")
    _index("queue", "site_id")
    _index("queue", "tenant_id")
    op.create_table(
        "acknowledgement",
        _id(),
        _reference("tenant_id"),
        _text("tenant"),
        _time("at"),
        _text("who"),
        _text("text_version"),
        _text("text_sha256"),
        sa.ForeignKeyConstraint(
            ["tenant_id"],
            ["tenant.id"],
            name=op.f("fk_acknowledgement_tenant_id_tenant"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_acknowledgement")),
    )
    _index("acknowledgement", "tenant_id")


def _create_versions() -> None:
    op.create_table(
        "policy_version",
        sa.Column("version", WHOLE, autoincrement=False, nullable=False),
        _time("at"),
        _text("author"),
        _text("comment"),
        sa.Column(
            "kind",
            _words("kind", "policy", "people", "people_and_policy", "rollback"),
            nullable=False,
        ),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("restored_from", WHOLE, nullable=True),
        sa.PrimaryKeyConstraint("version", name=op.f("pk_policy_version")),
    )
    op.create_table(
        "excluded_number",
        _id(),
        _text("number"),
        _reference("since", nullable=False),
        _reference("until"),
        _foreign("excluded_number", "since", "policy_version", "version"),
        _foreign("excluded_number", "until", "policy_version", "version"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_excluded_number")),
    )
    _index("excluded_number", "number")
    _index("excluded_number", "until")
    op.create_table(
        "people_change",
        _id(),
        _reference("version", nullable=False),
        sa.Column(
            "entity",
            _words(
                "entity",
                "tenant",
                "site",
                "department",
                "user",
                "profile",
                "line",
                "ddi",
                "queue",
            ),
            nullable=False,
        ),
        _text("key"),
        sa.Column("before", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("after", sa.JSON(none_as_null=True), nullable=True),
        _foreign("people_change", "version", "policy_version", "version"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_people_change")),
    )
    _index("people_change", "version")
    op.create_table(
        "profile_switch",
        _id(),
        _time("at"),
        _text("tenant"),
        _text("user"),
        _text("profile"),
        _text("by"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_profile_switch")),
        sqlite_autoincrement=True,
    )
    _index("profile_switch", "tenant", "user")


def _begin() -> None:
    """Insert the first version, with the tenant that is there from the beginning."""
    fields = {
        "name": "default",
        "recording": "off_new",
        "user_switch": False,
        "concurrent_limit": None,
        "language": "",
        "country": "",
        "time_zone": "UTC",
        "holidays": "",
        "outside_prefix": "",
    }
    columns = {name: sa.column(name) for name in fields}
    columns["user_switch"] = sa.column("user_switch", sa.Boolean())
    op.execute(sa.table("tenant", *columns.values()).insert().values(fields))
    version = sa.table(
        "policy_version",
        sa.column("version"),
        sa.column("at", sa.DateTime(timezone=True)),
        sa.column("author"),
        sa.column("comment"),
        sa.column("kind"),
        sa.column("changes", sa.JSON()),
    )
    at = datetime.now(UTC)
    op.execute(
        version.insert().values(
            version=1,
            at=at.replace(tzinfo=None) if op.get_bind().dialect.name == "sqlite" else at,
            author="callrec-pbx migrate",
            comment="the first tenant",
            kind="people",
            changes=["tenant default added"],
        )
    )
    change = sa.table(
        "people_change",
        sa.column("version"),
        sa.column("entity"),
        sa.column("key"),
        sa.column("after", sa.JSON()),
    )
    op.execute(change.insert().values(version=1, entity="tenant", key="default", after=fields))


def _id() -> sa.Column:
    return sa.Column("id", WHOLE, nullable=False)


def _text(name: str) -> sa.Column:
    kind = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
    return sa.Column(name, kind, nullable=False)


def _time(name: str) -> sa.Column:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False)


def _reference(name: str, nullable: bool = True) -> sa.Column:
    return sa.Column(name, WHOLE, nullable=nullable)


def _words(name: str, *words: str) -> sa.Enum:
    return sa.Enum(*words, name=name, native_enum=False, create_constraint=True, length=20)


def _foreign(table: str, column: str, target: str, key: str = "id") -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        [column], [f"{target}.{key}"], name=op.f(f"fk_{table}_{column}_{target}")
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))
