"""The catalogue's tables. A column is named as the field of the facts that it holds.

A pruned row keeps `pruned_at`, `pruned_by` and `prune_reason`, its tombstone.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Text,
    TypeDecorator,
    false,
    text,
    true,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeEngine

from callrec_pbx.domain.facts import Explanation
from callrec_pbx.domain.plans import UNLIMITED
from callrec_pbx.domain.words import (
    AudioFormat,
    Channels,
    Consent,
    ConsentMode,
    Direction,
    FollowUp,
    LegKind,
    Mode,
    Notice,
    OnTrouble,
    Outcome,
    RecordingState,
)
from callrec_pbx.storage.serial import explanation_from_dict, explanation_to_dict


class UtcDateTime(TypeDecorator[datetime]):
    """An aware time, kept in UTC: it sorts as stored, and reads back aware."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse a time without zone: it would be stored as another moment than was meant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"time {value!r}: has no time zone; use aware UTC datetimes")
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(
        self,
        value: datetime | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy passes it
    ) -> datetime | None:
        """Give the zone back."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class ExplanationJson(TypeDecorator[Explanation]):
    """Why a decision is what it is, kept as JSON in the sidecars' format."""

    impl = JSON
    cache_ok = True

    def process_bind_param(
        self,
        value: Explanation | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy passes it
    ) -> dict[str, Any] | None:
        """Write it as a sidecar does."""
        return None if value is None else explanation_to_dict(value)

    def process_result_value(
        self,
        value: Any | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy passes it
    ) -> Explanation | None:
        """Read it as from a sidecar."""
        return None if value is None else explanation_from_dict(value)


def _collation(dialect: Dialect) -> str | None:
    """The order of SQLite by its name in PostgreSQL."""
    return "C" if dialect.name == "postgresql" else None


class FollowUpWords(TypeDecorator[tuple[FollowUp, ...]]):
    """Follow-up work, kept as words with spaces between, so that a WHERE can ask for none."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type."""
        return Text(collation=_collation(dialect))

    def process_bind_param(
        self,
        value: tuple[FollowUp, ...] | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy passes it
    ) -> str | None:
        """Write the words."""
        return None if value is None else " ".join(value)

    def process_result_value(
        self,
        value: str | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy passes it
    ) -> tuple[FollowUp, ...] | None:
        """Read the words."""
        return None if value is None else tuple(FollowUp(word) for word in value.split())


def word_column(kind: type[StrEnum], name: str) -> Enum:
    """A column that takes the words of an enumeration; others are refused by a CHECK."""
    return Enum(
        kind,
        name=name,
        native_enum=False,
        create_constraint=True,
        length=20,
        values_callable=lambda words: [word.value for word in words],
    )


class PlainText(TypeDecorator[str]):
    """Text of any kind that both databases keep alike, compared and sorted by its characters.

    PostgreSQL's own order is that of the database's locale, and changes with the system's library.
    """

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The column's type."""
        return self._made(_collation(dialect))

    def process_bind_param(
        self,
        value: str | None,
        dialect: Dialect,  # noqa: ARG002 - SQLAlchemy passes it
    ) -> str | None:
        """Replace what one of them refuses: a row is not lost for a caller's name."""
        if value is None or (value.isascii() and "\0" not in value):
            return value
        whole = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return whole.replace("\0", "\ufffd")

    def _made(self, collation: str | None) -> String:
        return Text(collation=collation)


class IdText(PlainText):
    """An id of ours."""

    cache_ok = True

    def _made(self, collation: str | None) -> String:
        return String(32, collation=collation)


def _id() -> IdText:
    return IdText()


class Base(DeclarativeBase):
    """What the tables have in common: constraint names that a migration can rely on."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012
        str: PlainText(),
        # A wrong clock makes times of any length: no row is lost for that.
        int: BigInteger().with_variant(Integer(), "sqlite"),
        datetime: UtcDateTime(),
        Explanation: ExplanationJson(),
        list[str]: JSON(),
    }


_NO_TEXT = text("''")
_NO_EXPLANATION = text("'{}'")
_NO_LIST = text("'[]'")
_UNLIMITED = text(f"'{UNLIMITED}'")
"""What rows have that are older than their column."""


class Tombstoned:
    """Columns of a row whose personal data may be cleared."""

    pruned_at: Mapped[datetime | None]
    pruned_by: Mapped[str]
    prune_reason: Mapped[str]


class Call(Tombstoned, Base):
    """One conversation."""

    __tablename__ = "call"
    __table_args__ = (
        Index(None, "started_at"),
        Index(None, "ended_at"),
        Index(None, "merged_into"),
        Index(
            "ix_call_not_cleared",
            "ended_at",
            "call_id",
            sqlite_where=text("pruned_at IS NULL"),
            postgresql_where=text("pruned_at IS NULL"),
        ),
    )

    call_id: Mapped[str] = mapped_column(_id(), primary_key=True)
    pbx_ids: Mapped[list[str]]
    started_at: Mapped[datetime]
    direction: Mapped[Direction | None] = mapped_column(word_column(Direction, "direction"))
    a_number: Mapped[str]
    a_name: Mapped[str]
    b_number: Mapped[str]
    c_number: Mapped[str]
    ddi: Mapped[str]
    queue: Mapped[str]
    answered_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    outcome: Mapped[Outcome | None] = mapped_column(word_column(Outcome, "outcome"))
    reason: Mapped[str]
    rule: Mapped[str]
    policy_version: Mapped[str]
    merged_into: Mapped[str] = mapped_column(_id())
    tenant: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    explanation: Mapped[Explanation] = mapped_column(server_default=_NO_EXPLANATION)
    transfers: Mapped[list[str]]


class Leg(Base):
    """One channel of a call."""

    __tablename__ = "leg"
    __table_args__ = (Index(None, "number"),)

    call_id: Mapped[str] = mapped_column(
        _id(), ForeignKey("call.call_id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    leg: Mapped[str]
    channel: Mapped[str]
    kind: Mapped[LegKind] = mapped_column(word_column(LegKind, "kind"))
    line: Mapped[str]
    number: Mapped[str]
    name: Mapped[str]
    created_at: Mapped[datetime]
    bridged_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    whispered_at: Mapped[datetime | None]


class ConsentRow(Base):
    """The evidence of asking one party."""

    __tablename__ = "consent"

    call_id: Mapped[str] = mapped_column(
        _id(), ForeignKey("call.call_id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    party: Mapped[str]
    number: Mapped[str]
    mode: Mapped[ConsentMode] = mapped_column(word_column(ConsentMode, "mode"))
    outcome: Mapped[Consent] = mapped_column(word_column(Consent, "outcome"))
    prompt: Mapped[str]
    prompt_sha256: Mapped[str]
    prompt_version: Mapped[str]
    language: Mapped[str]
    played_from: Mapped[datetime | None]
    played_to: Mapped[datetime | None]
    played_ms: Mapped[int]
    prompt_ms: Mapped[int]
    key: Mapped[str]


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
"""Columns of a recording by which it is searched; what each value has lies in order of time."""


class Recording(Tombstoned, Base):
    """One audio file of one leg."""

    __tablename__ = "recording"
    __table_args__ = (
        Index(None, "created_at", "recording_id"),
        Index(None, "call_id"),
        Index(None, "tenant", "created_at", "recording_id"),
        *(Index(None, "tenant", name, "created_at", "recording_id") for name in SEARCHED),
        Index(None, "state", "delete_after"),
        # Few rows have something to do or a deletion that waits, of any number of rows.
        Index(
            "ix_recording_to_do",
            "created_at",
            sqlite_where=text("to_do <> ''"),
            postgresql_where=text("to_do <> ''"),
        ),
        Index(
            "ix_recording_deletion_at",
            "deletion_at",
            sqlite_where=text("deletion_at IS NOT NULL"),
            postgresql_where=text("deletion_at IS NOT NULL"),
        ),
    )

    recording_id: Mapped[str] = mapped_column(_id(), primary_key=True)
    call_id: Mapped[str] = mapped_column(_id(), ForeignKey("call.call_id", ondelete="CASCADE"))
    leg: Mapped[str]
    channel: Mapped[str]
    owner: Mapped[str]
    state: Mapped[RecordingState] = mapped_column(word_column(RecordingState, "state"))
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    late_ms: Mapped[int]
    reason: Mapped[str]
    rule: Mapped[str]
    policy_version: Mapped[str]
    mode: Mapped[Mode] = mapped_column(word_column(Mode, "mode"))
    consent: Mapped[ConsentMode] = mapped_column(word_column(ConsentMode, "consent"))
    on_failure: Mapped[OnTrouble] = mapped_column(word_column(OnTrouble, "on_failure"))
    notice: Mapped[Notice] = mapped_column(word_column(Notice, "notice"))
    resume_after_s: Mapped[int]
    language: Mapped[str]
    retention: Mapped[str] = mapped_column(server_default=_UNLIMITED)
    delete_after: Mapped[datetime | None]
    channels: Mapped[Channels] = mapped_column(
        word_column(Channels, "channels"), server_default=Channels.MIXED.value
    )
    line: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    tenant: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    site: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    department: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    explanation: Mapped[Explanation] = mapped_column(server_default=_NO_EXPLANATION)
    audio_ms: Mapped[int | None]
    size: Mapped[int | None] = mapped_column(BigInteger())
    sha256: Mapped[str]
    repaired: Mapped[bool]
    format: Mapped[AudioFormat] = mapped_column(
        word_column(AudioFormat, "format"), server_default=AudioFormat.WAV.value
    )
    keep_wav: Mapped[bool] = mapped_column(server_default=false())
    encoded_size: Mapped[int | None] = mapped_column(BigInteger())
    encoded_sha256: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    has_wav: Mapped[bool] = mapped_column(server_default=true())
    to_do: Mapped[tuple[FollowUp, ...]] = mapped_column(FollowUpWords(), server_default=_NO_TEXT)
    tries: Mapped[int] = mapped_column(server_default=text("0"))
    follow_up_error: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    named: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    tags: Mapped[list[str]] = mapped_column(server_default=_NO_LIST)
    flagged: Mapped[bool] = mapped_column(server_default=false())
    evaluated: Mapped[bool] = mapped_column(server_default=false())
    deletion_at: Mapped[datetime | None]
    deletion_by: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    deletion_why: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    # What follows is no fact of its own: `search_rows` keeps it as the call and `audio_ms` say.
    direction: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    ddi: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    queue: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    consent_outcome: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    numbers: Mapped[str] = mapped_column(server_default=_NO_TEXT)
    length_band: Mapped[int | None]


class Pause(Base):
    """One pause of a recording."""

    __tablename__ = "pause"

    recording_id: Mapped[str] = mapped_column(
        _id(), ForeignKey("recording.recording_id", ondelete="CASCADE"), primary_key=True
    )
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    from_ms: Mapped[int]
    to_ms: Mapped[int | None]
