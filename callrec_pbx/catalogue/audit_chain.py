"""How the lines of the audit trail are chained: what is hashed, and how.

The hash of a line is the SHA-256, in lower-case hexadecimal, of the UTF-8 bytes of a JSON array
without any white space:

    ["callrec-audit-1",tenant,seq,at,actor,action,kind,subject,detail,prev_hash]

`detail` is an object, its keys sorted; only what JSON requires is escaped. `at` is UTC with six
digits of a second, `2026-03-01T09:00:00.000000Z`. `prev_hash` is the hash of the line before, empty
in the first line of a tenant. `docs/audit.md` has a script that checks it.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

FORMAT = "callrec-audit-1"
"""Begins what is hashed, so that no other text of ours can have the same hash."""

FREE_TEXT = frozenset({"why", "reason", "comment"})
"""Keys of a detail whose value somebody has written, and may have named a caller in."""

NUMBER_LEFT_OUT = "[number]"
_NUMBER = re.compile(r"\+?\d[\d\s()/.-]{3,}\d")
_DATE = re.compile(r"\d{4}-\d\d-\d\d(\s\d\d)?")

Detail = str | int | bool | None


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the trail as it is kept; `detail` is the JSON text that is hashed."""

    tenant: str
    seq: int
    at: str
    actor: str
    action: str
    kind: str
    subject: str
    detail: str
    prev_hash: str
    hash: str


@dataclass(frozen=True, slots=True)
class Head:
    """The last line of a tenant's trail: how far it goes."""

    tenant: str
    seq: int
    hash: str
    at: str


def written_time(at: datetime) -> str:
    """A time as lines have it.

    Raises:
        ValueError: it has no time zone.
    """
    if at.tzinfo is None:
        raise ValueError(f"time {at!r}: has no time zone; use aware UTC datetimes")
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def written_detail(detail: Mapping[str, Detail]) -> str:
    """A detail as lines have it; in what people have written, numbers of callers are left out."""
    return _json({clean(key): _clean_value(key, value) for key, value in detail.items()})


def clean(text: str) -> str:
    """A text without what a database or UTF-8 refuses: NUL, halves of surrogate pairs."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode(errors="replace").decode()


def hash_of(line: Line) -> str:
    """The hash that a line must have.

    Raises:
        ValueError: its detail is no JSON in the form that is hashed.
    """
    detail = json.loads(line.detail)
    if _json(detail) != line.detail:
        raise ValueError("the detail is not written as it was hashed")
    hashed = [FORMAT, line.tenant, line.seq, line.at, line.actor, line.action, line.kind]
    hashed += [line.subject, detail, line.prev_hash]
    return hashlib.sha256(_json(hashed).encode()).hexdigest()


def _clean_value(key: str, value: Detail) -> Detail:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _NUMBER.sub(_left_out, clean(value)) if key in FREE_TEXT else clean(value)
    if isinstance(value, int):
        return int(value)
    # A fraction is written differently by different languages, and a list has no bound.
    raise TypeError(f"detail {value!r}: is no text, whole number or truth")


def _left_out(found: re.Match[str]) -> str:
    return found[0] if _DATE.fullmatch(found[0]) else NUMBER_LEFT_OUT


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
