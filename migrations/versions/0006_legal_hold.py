"""Legal holds."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KINDS = ("recording", "call", "number", "person", "period")
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    kinds = ", ".join(f"'{kind}'" for kind in KINDS)
    op.create_table(
        "legal_hold",
        sa.Column("hold_id", TEXT, nullable=False),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("subject", TEXT, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("placed_at", TIME, nullable=False),
        sa.Column("placed_by", TEXT, nullable=False),
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("start", TIME),
        sa.Column("end", TIME),
        sa.Column("owner", TEXT, nullable=False),
        *(
            sa.Column(name, sa.JSON(), nullable=False)
            for name in (
                "people",
                "lines",
                "tenants",
                "countries",
                "outside_prefixes",
                "pbx_ids",
            )
        ),
        sa.Column("released_at", TIME),
        sa.Column("released_by", TEXT, nullable=False),
        sa.Column("release_why", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("hold_id", name="pk_legal_hold"),
        sa.CheckConstraint(f"kind IN ({kinds})", name=op.f("ck_legal_hold_kind")),
    )


def downgrade() -> None:
    op.drop_table("legal_hold")
