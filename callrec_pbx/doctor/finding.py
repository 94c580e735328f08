"""What a check has found."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How well it is. `warn`: it works, or it could not be checked."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        check: Stable name of the check.
        seen: What was seen, for people.
        remedy: How to mend it; empty when all is well.
    """

    check: str
    status: Status
    seen: str
    remedy: str = ""


def ok(check: str, seen: str) -> Finding:
    """It is as it should be."""
    return Finding(check, Status.OK, seen)


def warn(check: str, seen: str, remedy: str) -> Finding:
    """It works, but not well; or it could not be checked."""
    return Finding(check, Status.WARN, seen, remedy)


def fail(check: str, seen: str, remedy: str) -> Finding:
    """Calls are not recorded as they should be."""
    return Finding(check, Status.FAIL, seen, remedy)
