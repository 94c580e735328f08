"""Columns, tables and indexes that searches need.

A recording gets columns that belong to its call, so that one index finds and sorts it.
"""

import json
import re
import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
ID = sa.String(length=32).with_variant(sa.String(length=32, collation="C"), "postgresql")
NUMBER_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

ADDED = {
    "direction": "TEXT{collate} DEFAULT '' NOT NULL",
    "ddi": "TEXT{collate} DEFAULT '' NOT NULL",
    "queue": "TEXT{collate} DEFAULT '' NOT NULL",
    "consent_outcome": "TEXT{collate} DEFAULT '' NOT NULL",
    "numbers": "TEXT{collate} DEFAULT '' NOT NULL",
    "length_band": "{whole}",
}

SEARCHED = (
    "owner",
    "line",
    "ddi",
    "queue",
    "department",
    "site",
    "direction",
    "state",
    "consent_outcome",
    "flagged",
    "evaluated",
    "length_band",
)

BANDS_S = (
    *(0, 5, 10, 20, 30, 60, 120, 180, 300, 600, 900),
    *(1200, 1800, 2700, 3600, 5400, 7200, 10800, 14400),
)
DECISIVE = ("declined", "no_answer", "accepted", "announced", "not_required")
LONGEST = 200
LONGEST_NUMBER = 40
BATCH = 2000


def upgrade() -> None:
    words = (
        {"collate": "", "whole": "INTEGER"}
        if op.get_bind().dialect.name == "sqlite"
        else {"collate": ' COLLATE "C"', "whole": "BIGINT"}
    )
    for column, definition in ADDED.items():
        op.execute(f"ALTER TABLE recording ADD COLUMN {column} {definition.format(**words)}")
    op.create_table(
        "number",
        sa.Column("id", NUMBER_ID, nullable=False),
        sa.Column("digits", TEXT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_number"),
        sa.UniqueConstraint("digits", name="uq_number_digits"),
    )
    op.create_table(
        "number_part",
        sa.Column("part", TEXT, nullable=False),
        sa.Column("number_id", NUMBER_ID, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("part", "number_id", name="pk_number_part"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "recording_number",
        sa.Column("number_id", NUMBER_ID, autoincrement=False, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recording_id", ID, nullable=False),
        sa.ForeignKeyConstraint(
            ["number_id"], ["number.id"], name="fk_recording_number_number_id_number"
        ),
        sa.PrimaryKeyConstraint(
            "number_id", "created_at", "recording_id", name="pk_recording_number"
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "recording_tag",
        sa.Column("tenant", TEXT, nullable=False),
        sa.Column("tag", TEXT, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recording_id", ID, nullable=False),
        sa.PrimaryKeyConstraint(
            "tenant", "tag", "created_at", "recording_id", name="pk_recording_tag"
        ),
        sqlite_with_rowid=False,
    )
    fill()
    # After the rows, as an index is made much faster at once.
    op.drop_index("ix_recording_created_at", "recording")
    op.drop_index("ix_recording_owner_created_at", "recording")
    for columns in indexes():
        op.create_index(f"ix_recording_{'_'.join(columns)}", "recording", list(columns))


def downgrade() -> None:
    for columns in indexes():
        op.drop_index(f"ix_recording_{'_'.join(columns)}", "recording")
    op.create_index("ix_recording_created_at", "recording", ["created_at"])
    op.create_index("ix_recording_owner_created_at", "recording", ["owner", "created_at"])
    for table in ("recording_tag", "recording_number", "number_part", "number"):
        op.drop_table(table)
    for column in ADDED:
        op.execute(f"ALTER TABLE recording DROP COLUMN {column}")


def indexes() -> list[tuple[str, ...]]:
    newest = ("created_at", "recording_id")
    return [newest, ("tenant", *newest), *(("tenant", name, *newest) for name in SEARCHED)]


def fill() -> None:
    """What the rows that are there already say."""
    bands = " ".join(f"WHEN audio_ms >= {s * 1000} THEN {n}" for n, s in reversed(list(enumerate(BANDS_S))))  # fmt: skip
    op.execute(f"UPDATE recording SET length_band = CASE {bands} END WHERE audio_ms IS NOT NULL")
    outcomes = " ".join(
        f"WHEN EXISTS (SELECT 1 FROM consent WHERE consent.call_id = recording.call_id"
        f" AND consent.outcome = '{outcome}') THEN '{outcome}'"
        for outcome in DECISIVE
    )
    op.execute(f"UPDATE recording SET consent_outcome = CASE {outcomes} ELSE '' END")
    for name in ("direction", "ddi", "queue"):
        op.execute(
            f"UPDATE recording SET {name} = COALESCE((SELECT substr(call.{name}, 1, {LONGEST})"
            " FROM call WHERE call.call_id = recording.call_id), '')"
        )
    connection = op.get_bind()
    fill_tags(connection)
    last = ""
    while rows := connection.execute(
        sa.text(
            "SELECT r.recording_id, r.created_at, c.call_id, c.a_number, c.b_number, c.c_number,"
            " c.ddi FROM recording r JOIN call c ON c.call_id = r.call_id"
            " WHERE r.recording_id > :last ORDER BY r.recording_id LIMIT :batch"
        ),
        {"last": last, "batch": BATCH},
    ).all():
        fill_numbers(connection, rows)
        last = rows[-1][0]


def fill_tags(connection: sa.Connection) -> None:
    query = sa.text(
        "SELECT tenant, created_at, recording_id, CAST(tags AS TEXT) FROM recording"
        " WHERE CAST(tags AS TEXT) <> '[]'"
    )
    rows = [
        {"tenant": row[0], "tag": tag, "at": row[1], "id": row[2]}
        for row in connection.execute(query)
        for tag in dict.fromkeys(tag[:LONGEST] for tag in json.loads(row[3]))
    ]
    if rows:
        connection.execute(
            sa.text(
                "INSERT INTO recording_tag (tenant, tag, created_at, recording_id)"
                " VALUES (:tenant, :tag, :at, :id)"
            ),
            rows,
        )


def fill_numbers(connection: sa.Connection, rows: list) -> None:
    legs: dict[str, list[str]] = {}
    query = sa.text("SELECT call_id, number FROM leg WHERE call_id IN :calls")
    query = query.bindparams(sa.bindparam("calls", expanding=True))
    calls = sorted({row[2] for row in rows})
    for at in range(0, len(calls), 500):
        for call_id, number in connection.execute(query, {"calls": calls[at : at + 500]}):
            legs.setdefault(call_id, []).append(number)
    numbers = {
        row[0]: {digits(number) for number in (*row[3:], *legs.get(row[2], ()))} - {""}
        for row in rows
    }
    found = {number for several in numbers.values() for number in several}
    if not found:
        return
    connection.execute(
        sa.text("UPDATE recording SET numbers = :numbers WHERE recording_id = :id"),
        [{"id": one, "numbers": " ".join(sorted(found))} for one, found in numbers.items()],
    )
    ids = known(connection, found)
    if new := sorted(found - ids.keys()):
        connection.execute(
            sa.text("INSERT INTO number (digits) VALUES (:digits)"),
            [{"digits": number} for number in new],
        )
        ids |= known(connection, set(new))
        connection.execute(
            sa.text("INSERT INTO number_part (part, number_id) VALUES (:part, :id)"),
            [
                {"part": number[at:], "id": ids[number]}
                for number in new
                for at in range(len(number))
            ],
        )
    connection.execute(
        sa.text(
            "INSERT INTO recording_number (number_id, created_at, recording_id)"
            " VALUES (:number, :at, :id)"
        ),
        [
            {"number": ids[number], "at": row[1], "id": row[0]}
            for row in rows
            for number in numbers[row[0]]
        ],
    )


def known(connection: sa.Connection, numbers: set[str]) -> dict[str, int]:
    query = sa.text("SELECT digits, id FROM number WHERE digits IN :numbers")
    query = query.bindparams(sa.bindparam("numbers", expanding=True))
    listed, found = sorted(numbers), {}
    for at in range(0, len(listed), 500):
        for number, one in connection.execute(query, {"numbers": listed[at : at + 500]}):
            found[number] = one
    return found


def digits(number: str) -> str:
    own = (
        sign if sign.isascii() else str(unicodedata.decimal(sign, sign)) for sign in number
    )
    bare = re.sub("[^0-9a-z]+", "", "".join(own).lower())
    return bare.removeprefix("00")[:LONGEST_NUMBER]
