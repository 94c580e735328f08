"""What goes along with a change of people and places from outside of their own tables.

The policy's text names them, and stands above them in the imports: so it hands in what follows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from callrec_pbx.people.kinds import Thing

MARK = "policy: "
"""What the lines of what has followed begin with, among those of a version."""


@dataclass(frozen=True, slots=True)
class Followed:
    """What has followed, to be kept with the version of the change.

    Attributes:
        lines: What it is, for people to read.
        document: The policy's text as it is now.
    """

    lines: tuple[str, ...]
    document: dict[str, Any]


class Following(Protocol):
    """Follows one change, step by step; asked before anything is written."""

    def renaming(self, old: Thing, new: Thing) -> None:
        """A thing is to be another.

        Raises:
            PeopleError: That cannot be followed.
        """

    def removing(self, things: Sequence[Thing], *, cascade: bool) -> None:
        """Things are to be no more, the last of them being what is removed for its own sake.

        Args:
            cascade: Take them out of what names them; else that is refused.

        Raises:
            PeopleError: They are named, and cannot be taken out.
        """

    def followed(self) -> Followed | None:
        """What has followed so far; None where nothing has."""

    @property
    def remarks(self) -> tuple[str, ...]:
        """What does not follow, and may have been meant to."""


Follow = Callable[[Connection, Callable[[], None]], Following]
"""Begins to follow: is given the change's connection, and what writes all that still waits."""
