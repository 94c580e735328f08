"""What is wrong with a file, said so that the administrator can mend it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    Attributes:
        source: The file, or the environment variable, that says it.
        key: Dotted key, with number and name of the table in a list (`rule 2 "support"`); empty
            when it is about the whole file.
        value: The value as shown to people; None when there is none or it must not be shown.
        text: What is wrong with it.
        remedy: What to do.
    """

    source: str
    key: str
    value: str | None
    text: str
    remedy: str

    def __str__(self) -> str:
        shown = "" if self.value is None else f" = {self.value}"
        key = f" {self.key}{shown}:" if self.key else ""
        return f"{self.source}:{key} {self.text}; {self.remedy}"


class ProblemsError(Exception):
    """A file that people write cannot be used; they must mend what the message names."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))

    @classmethod
    def one(
        cls, source: object, text: str, remedy: str, key: str = "", value: str | None = None
    ) -> Self:
        """Build an error of a single problem."""
        return cls([Problem(str(source), key, value, text, remedy)])


class ConfigError(ProblemsError):
    """The configuration cannot be used; the administrator must mend what the message names."""
