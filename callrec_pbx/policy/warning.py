"""One thing that looks wrong with a policy."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

LISTED = 5
"""How many names a warning lists."""


class Severity(StrEnum):
    """How much a warning matters: hints are for information alone."""

    SERIOUS = "serious"
    WARNING = "warning"
    HINT = "hint"


@dataclass(frozen=True, slots=True)
class PolicyWarning:
    """What looks wrong, and what to do.

    Attributes:
        kind: One word for programs.
        rule: The rule's name, empty when it is about no rule.
    """

    severity: Severity
    kind: str
    rule: str
    what: str
    remedy: str


Warnings = Iterator[PolicyWarning]


def serious(kind: str, rule: str, what: str, remedy: str) -> PolicyWarning:
    """What must not stay so."""
    return PolicyWarning(Severity.SERIOUS, kind, rule, what, remedy)


def warning(kind: str, rule: str, what: str, remedy: str) -> PolicyWarning:
    """What is hardly meant so."""
    return PolicyWarning(Severity.WARNING, kind, rule, what, remedy)


def hint(kind: str, rule: str, what: str, remedy: str) -> PolicyWarning:
    """What is only worth knowing."""
    return PolicyWarning(Severity.HINT, kind, rule, what, remedy)


def listed(names: Collection[str], count: int | None = None) -> str:
    """Names for people to read; of many, the first ones.

    Args:
        count: How many there are, where not all of them are given.
    """
    left = (len(names) if count is None else count) - LISTED
    return ", ".join(list(names)[:LISTED]) + (f" and {left} more" if left > 0 else "")
