"""Retention plans of users and queues, quotas of tenants, and what finds calls to clear."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    collate = "" if op.get_bind().dialect.name == "sqlite" else ' COLLATE "C"'
    for table in ("person", "queue"):
        op.execute(f"ALTER TABLE {table} ADD COLUMN retention TEXT{collate} DEFAULT '' NOT NULL")
    op.add_column("tenant", sa.Column("quota_gb", WHOLE, nullable=True))
    # Written out, as a column can be added with its CHECK without copying the table.
    op.execute(
        "ALTER TABLE tenant ADD COLUMN on_quota VARCHAR(20) DEFAULT 'warn' NOT NULL"
        " CONSTRAINT ck_tenant_on_quota CHECK (on_quota IN ('warn', 'stop', 'prune'))"
    )
    op.create_index(
        "ix_call_not_cleared",
        "call",
        ["ended_at", "call_id"],
        sqlite_where=sa.text("pruned_at IS NULL"),
        postgresql_where=sa.text("pruned_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_call_not_cleared", "call")
    for column in ("on_quota", "quota_gb"):
        op.execute(f"ALTER TABLE tenant DROP COLUMN {column}")
    for table in ("queue", "person"):
        op.execute(f"ALTER TABLE {table} DROP COLUMN retention")
