"""What is kept of a recording's life after the call: plan, follow-up work, encoded file, deletion.

A number of days becomes a retention plan.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

# Written out, as a column can be added with its CHECK without copying a table of any size.
ADDED = {
    "retention": "TEXT{collate} DEFAULT 'unlimited' NOT NULL",
    "format": "VARCHAR(20) DEFAULT 'wav' NOT NULL"
    " CONSTRAINT ck_recording_format CHECK (format IN ('wav', 'opus', 'mp3', 'flac'))",
    "keep_wav": "BOOLEAN DEFAULT {false} NOT NULL",
    "encoded_size": "BIGINT",
    "encoded_sha256": "TEXT{collate} DEFAULT '' NOT NULL",
    "has_wav": "BOOLEAN DEFAULT {true} NOT NULL",
    "to_do": "TEXT{collate} DEFAULT '' NOT NULL",
    "tries": "{whole} DEFAULT 0 NOT NULL",
    "follow_up_error": "TEXT{collate} DEFAULT '' NOT NULL",
    "named": "TEXT{collate} DEFAULT '' NOT NULL",
    "tags": "JSON DEFAULT '[]' NOT NULL",
    "flagged": "BOOLEAN DEFAULT {false} NOT NULL",
    "evaluated": "BOOLEAN DEFAULT {false} NOT NULL",
    "deletion_by": "TEXT{collate} DEFAULT '' NOT NULL",
    "deletion_why": "TEXT{collate} DEFAULT '' NOT NULL",
}


def upgrade() -> None:
    words = (
        {"false": "0", "true": "1", "collate": "", "whole": "INTEGER"}
        if op.get_bind().dialect.name == "sqlite"
        else {"false": "false", "true": "true", "collate": ' COLLATE "C"', "whole": "BIGINT"}
    )
    for column, definition in ADDED.items():
        op.execute(f"ALTER TABLE recording ADD COLUMN {column} {definition.format(**words)}")
    op.add_column("recording", sa.Column("deletion_at", sa.DateTime(timezone=True)))
    op.execute(
        "UPDATE recording SET retention = retention_days || ' days'"
        " WHERE retention_days IS NOT NULL"
    )
    op.execute("ALTER TABLE recording DROP COLUMN retention_days")
    op.execute("CREATE INDEX ix_recording_to_do ON recording (created_at) WHERE to_do <> ''")
    op.execute(
        "CREATE INDEX ix_recording_deletion_at ON recording (deletion_at)"
        " WHERE deletion_at IS NOT NULL"
    )


def downgrade() -> None:
    op.drop_index("ix_recording_deletion_at", "recording")
    op.drop_index("ix_recording_to_do", "recording")
    whole = "INTEGER" if op.get_bind().dialect.name == "sqlite" else "BIGINT"
    op.execute(f"ALTER TABLE recording ADD COLUMN retention_days {whole}")
    # Other plans are more than a number of days; `delete_after` has their date.
    op.execute(
        "UPDATE recording SET retention_days = CAST(replace(replace(retention, ' days', ''),"
        " ' day', '') AS INTEGER) WHERE retention LIKE '% day' OR retention LIKE '% days'"
    )
    for column in (*ADDED, "deletion_at"):
        op.execute(f"ALTER TABLE recording DROP COLUMN {column}")
