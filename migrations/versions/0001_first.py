"""The first schema: call, leg, consent, recording, pause."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# PostgreSQL would sort as the database's locale says: this is the order that SQLite has.
TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
WHOLE = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
ID = sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "call",
        sa.Column("call_id", ID, nullable=False),
        sa.Column("pbx_ids", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "direction",
            sa.Enum(
                "inbound",
                "outbound",
                "internal",
                name="direction",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=True,
        ),
        sa.Column("a_number", TEXT, nullable=False),
        sa.Column("a_name", TEXT, nullable=False),
        sa.Column("b_number", TEXT, nullable=False),
        sa.Column("c_number", TEXT, nullable=False),
        sa.Column("ddi", TEXT, nullable=False),
        sa.Column("queue", TEXT, nullable=False),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "outcome",
            sa.Enum(
                "recorded",
                "declined",
                "excluded",
                "not_selected",
                "limited",
                "discarded",
                "failed",
                "missed",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=True,
        ),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("rule", TEXT, nullable=False),
        sa.Column("policy_version", TEXT, nullable=False),
        sa.Column("merged_into", ID, nullable=False),
        sa.Column("transfers", sa.JSON(), nullable=False),
        sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pruned_by", TEXT, nullable=False),
        sa.Column("prune_reason", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("call_id", name=op.f("pk_call")),
    )
    with op.batch_alter_table("call") as batch_op:
        batch_op.create_index(batch_op.f("ix_call_ended_at"), ["ended_at"])
        batch_op.create_index(batch_op.f("ix_call_merged_into"), ["merged_into"])
        batch_op.create_index(batch_op.f("ix_call_started_at"), ["started_at"])

    op.create_table(
        "consent",
        sa.Column("call_id", ID, nullable=False),
        sa.Column("position", WHOLE, autoincrement=False, nullable=False),
        sa.Column("party", TEXT, nullable=False),
        sa.Column("number", TEXT, nullable=False),
        sa.Column(
            "mode",
            sa.Enum(
                "none",
                "announce",
                "opt_out",
                "opt_in",
                name="mode",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column(
            "outcome",
            sa.Enum(
                "not_required",
                "unasked",
                "asking",
                "announced",
                "accepted",
                "declined",
                "no_answer",
                name="outcome",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("prompt", TEXT, nullable=False),
        sa.Column("prompt_sha256", TEXT, nullable=False),
        sa.Column("prompt_version", TEXT, nullable=False),
        sa.Column("language", TEXT, nullable=False),
        sa.Column("played_from", sa.DateTime(timezone=True), nullable=True),
        sa.Column("played_to", sa.DateTime(timezone=True), nullable=True),
        sa.Column("played_ms", WHOLE, nullable=False),
        sa.Column("prompt_ms", WHOLE, nullable=False),
        sa.Column("key", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"], ["call.call_id"], name=op.f("fk_consent_call_id_call"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("call_id", "position", name=op.f("pk_consent")),
    )
    op.create_table(
        "leg",
        sa.Column("call_id", ID, nullable=False),
        sa.Column("position", WHOLE, autoincrement=False, nullable=False),
        sa.Column("leg", TEXT, nullable=False),
        sa.Column("channel", TEXT, nullable=False),
        sa.Column(
            "kind",
            sa.Enum(
                "line",
                "outside",
                "other",
                name="kind",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("line", TEXT, nullable=False),
        sa.Column("number", TEXT, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("bridged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("whispered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["call_id"], ["call.call_id"], name=op.f("fk_leg_call_id_call"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("call_id", "position", name=op.f("pk_leg")),
    )
    with op.batch_alter_table("leg") as batch_op:
        batch_op.create_index(batch_op.f("ix_leg_number"), ["number"])

    op.create_table(
        "recording",
        sa.Column("recording_id", ID, nullable=False),
        sa.Column("call_id", ID, nullable=False),
        sa.Column("leg", TEXT, nullable=False),
        sa.Column("channel", TEXT, nullable=False),
        sa.Column("owner", TEXT, nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "starting",
                "recording",
                "pausing",
                "paused",
                "resuming",
                "stopping",
                "discarding",
                "captured",
                "stored",
                "interrupted",
                "failed",
                "discarded",
                "pruning",
                "pruned",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("late_ms", WHOLE, nullable=False),
        sa.Column("reason", TEXT, nullable=False),
        sa.Column("rule", TEXT, nullable=False),
        sa.Column("policy_version", TEXT, nullable=False),
        sa.Column(
            "mode",
            sa.Enum(
                "never",
                "always",
                "always_pausable",
                "on_demand",
                name="mode",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column(
            "consent",
            sa.Enum(
                "none",
                "announce",
                "opt_out",
                "opt_in",
                name="consent",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column(
            "on_failure",
            sa.Enum(
                "continue",
                "hang_up",
                name="on_failure",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column(
            "notice",
            sa.Enum(
                "none",
                "beep",
                "announcement",
                name="notice",
                native_enum=False,
                create_constraint=True,
                length=20,
            ),
            nullable=False,
        ),
        sa.Column("resume_after_s", WHOLE, nullable=False),
        sa.Column("language", TEXT, nullable=False),
        sa.Column("retention_days", WHOLE, nullable=True),
        sa.Column("delete_after", sa.DateTime(timezone=True), nullable=True),
        sa.Column("audio_ms", WHOLE, nullable=True),
        sa.Column("size", sa.BigInteger(), nullable=True),
        sa.Column("sha256", TEXT, nullable=False),
        sa.Column("repaired", sa.Boolean(), nullable=False),
        sa.Column("pruned_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pruned_by", TEXT, nullable=False),
        sa.Column("prune_reason", TEXT, nullable=False),
        sa.ForeignKeyConstraint(
            ["call_id"],
            ["call.call_id"],
            name=op.f("fk_recording_call_id_call"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("recording_id", name=op.f("pk_recording")),
    )
    with op.batch_alter_table("recording") as batch_op:
        batch_op.create_index(batch_op.f("ix_recording_call_id"), ["call_id"])
        batch_op.create_index(batch_op.f("ix_recording_created_at"), ["created_at"])
        batch_op.create_index(batch_op.f("ix_recording_owner_created_at"), ["owner", "created_at"])
        batch_op.create_index(
            batch_op.f("ix_recording_state_delete_after"), ["state", "delete_after"]
        )

    op.create_table(
        "pause",
        sa.Column("recording_id", ID, nullable=False),
        sa.Column("position", WHOLE, autoincrement=False, nullable=False),
        sa.Column("from_ms", WHOLE, nullable=False),
        sa.Column("to_ms", WHOLE, nullable=True),
        sa.ForeignKeyConstraint(
            ["recording_id"],
            ["recording.recording_id"],
            name=op.f("fk_pause_recording_id_recording"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("recording_id", "position", name=op.f("pk_pause")),
    )


def downgrade() -> None:
    op.drop_table("pause")
    op.drop_table("recording")
    op.drop_table("leg")
    op.drop_table("consent")
    op.drop_table("call")
