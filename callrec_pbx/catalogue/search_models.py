"""Tables by which recordings are found; they hold nothing that is not in the other tables too."""

from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, Integer
from sqlalchemy.orm import Mapped, mapped_column

from callrec_pbx.catalogue.models import Base, IdText

_NUMBER_ID = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite counts up in a column of this type alone."""


class NumberRow(Base):
    """A number that a recording has, as it is searched; it goes with the last of them."""

    __tablename__ = "number"

    id: Mapped[int] = mapped_column(_NUMBER_ID, primary_key=True)
    digits: Mapped[str] = mapped_column(unique=True)


class NumberPart(Base):
    """The end of a number: any part of the number is the beginning of one of its ends."""

    __tablename__ = "number_part"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    part: Mapped[str] = mapped_column(primary_key=True)
    number_id: Mapped[int] = mapped_column(_NUMBER_ID, primary_key=True, autoincrement=False)


class RecordingNumber(Base):
    """A recording that has a number."""

    __tablename__ = "recording_number"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    number_id: Mapped[int] = mapped_column(
        _NUMBER_ID, ForeignKey("number.id"), primary_key=True, autoincrement=False
    )
    created_at: Mapped[datetime] = mapped_column(primary_key=True)
    recording_id: Mapped[str] = mapped_column(IdText(), primary_key=True)


class RecordingTag(Base):
    """A tag of a recording."""

    __tablename__ = "recording_tag"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    tenant: Mapped[str] = mapped_column(primary_key=True)
    tag: Mapped[str] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(primary_key=True)
    recording_id: Mapped[str] = mapped_column(IdText(), primary_key=True)
