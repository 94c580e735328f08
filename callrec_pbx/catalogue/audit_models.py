"""The table of the audit trail.

All that the hash covers is kept as the very text that is hashed, time and detail too: so a change
of any byte shows, and both databases keep the same.
"""

from sqlalchemy import BigInteger, Index
from sqlalchemy.orm import Mapped, mapped_column

from callrec_pbx.catalogue.models import Base


class AuditRow(Base):
    """One line of the trail; triggers refuse to change or delete it."""

    __tablename__ = "audit"
    __table_args__ = (
        Index(None, "at"),
        Index(None, "subject"),
    )

    tenant: Mapped[str] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger(), primary_key=True, autoincrement=False)
    at: Mapped[str]
    actor: Mapped[str]
    action: Mapped[str]
    kind: Mapped[str]
    subject: Mapped[str]
    detail: Mapped[str]
    prev_hash: Mapped[str]
    hash: Mapped[str]
