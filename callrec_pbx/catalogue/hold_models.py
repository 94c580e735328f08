"""The table of legal holds: an index of the files that are the truth of them.

A column is named as the field of the hold.
"""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from callrec_pbx.catalogue.models import Base, word_column
from callrec_pbx.domain.words import HoldKind


class LegalHold(Base):
    """One legal hold, active or released."""

    __tablename__ = "legal_hold"

    hold_id: Mapped[str] = mapped_column(primary_key=True)
    kind: Mapped[HoldKind] = mapped_column(word_column(HoldKind, "kind"))
    subject: Mapped[str]
    reason: Mapped[str]
    placed_at: Mapped[datetime]
    placed_by: Mapped[str]
    tenant: Mapped[str]
    start: Mapped[datetime | None]
    end: Mapped[datetime | None]
    owner: Mapped[str]
    people: Mapped[list[str]]
    lines: Mapped[list[str]]
    tenants: Mapped[list[str]]
    countries: Mapped[list[str]]
    outside_prefixes: Mapped[list[str]]
    pbx_ids: Mapped[list[str]]
    released_at: Mapped[datetime | None]
    released_by: Mapped[str]
    release_why: Mapped[str]
