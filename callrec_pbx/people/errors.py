"""What is wrong with a change of people or places, said so that whoever made it can mend it."""

from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST = 120


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        field: The field, which is also the column of a CSV file; empty for the whole thing.
        value: What it holds, as shown to people; None when there is nothing to show.
        text: What is wrong with it.
        remedy: What to do.
    """

    field: str
    value: str | None
    text: str
    remedy: str

    def __str__(self) -> str:
        value = "" if self.value is None else f" {self.value}"
        where = f"{self.field}{value}: " if self.field else ""
        return f"{where}{self.text}; {self.remedy}"


class PeopleError(Exception):
    """A change cannot be made, and nothing was changed; whoever asked for it must act.

    Attributes:
        what: The thing that it is about, such as `site Stockholm`.
    """

    def __init__(self, what: str, problems: Iterable[Problem]) -> None:
        self.what = what
        self.problems = tuple(problems)
        super().__init__("\n".join(f"{what}: {problem}" for problem in self.problems))

    @classmethod
    def one(
        cls, what: str, text: str, remedy: str, field: str = "", value: object = None
    ) -> "PeopleError":
        """Build an error of a single problem."""
        shown = None if value is None else shown_value(value)
        return cls(what, [Problem(field, shown, text, remedy)])


def shown_value(value: object) -> str:
    """A wrong value for a message: quoted, and cut when it is long."""
    text = repr(str(value))
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
