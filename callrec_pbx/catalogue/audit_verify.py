"""Checking the audit trail: every line's hash, every link, and how far each trail must go."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from enum import StrEnum
from itertools import groupby

from callrec_pbx.catalogue.audit_chain import Head, Line, hash_of


class Wrong(StrEnum):
    """What can be wrong with a trail."""

    CHANGED = "changed"
    MISSING = "missing"
    UNEXPECTED = "unexpected"
    BROKEN = "broken"
    CUT_OFF = "cut_off"
    REPLACED = "replaced"
    NO_ANCHOR = "no_anchor"
    BAD_ANCHOR = "bad_anchor"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, and where.

    Attributes:
        seq: The line, or the first of those that are missing; 0 where it is about no line.
        what: In words.
    """

    tenant: str
    seq: int
    wrong: Wrong
    what: str

    def __str__(self) -> str:
        whose = f"tenant {self.tenant}" if self.tenant else "the installation's trail"
        where = f", line {self.seq}" if self.seq else ""
        return f"{whose}{where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Begins:
    """Where a trail begins of which a part is shown: the line before it, and that one's hash."""

    seq: int = 0
    hash: str = ""


def verify(
    lines: Iterable[Line],
    heads: Iterable[Head] = (),
    begins: Mapping[str, Begins] | None = None,
) -> Iterator[Finding]:
    """Check trails, a line at a time.

    Args:
        lines: Each tenant's one after the other, in the order in which they are to be. A field may
            be of a wrong type, as a database takes what it is given.
        heads: Lines that must be there, as anchors or a copy kept elsewhere have them.
        begins: Of a tenant of which only a part is shown: what it follows on.
    """
    required: dict[str, list[Head]] = {}
    for head in heads:
        required.setdefault(head.tenant, []).append(head)
    for tenant, several in groupby(lines, key=lambda line: line.tenant):
        after = (begins or {}).get(tenant, Begins())
        yield from _verify_one(_shown(tenant), several, required.pop(tenant, []), after)
    for tenant, missing in required.items():
        yield from _cut_off(tenant, missing, 0)


def _verify_one(
    tenant: str, lines: Iterable[Line], required: list[Head], after: Begins
) -> Iterator[Finding]:
    expected, seq = after.seq + 1, after.seq
    before = {after.hash}
    for line in lines:
        odd = _of_wrong_type(line)
        if odd:
            yield Finding(tenant, seq + 1, Wrong.CHANGED, f"its {odd} is not what it was")
            continue
        seq = line.seq
        computed = _computed(line)
        if computed != line.hash:
            yield Finding(
                tenant, seq, Wrong.CHANGED, "what it says, or its hash, is not what it was"
            )
        if seq < expected:
            what = "is there again, or in the wrong place: it was inserted or moved"
            yield Finding(tenant, seq, Wrong.UNEXPECTED, what)
            continue
        if seq > expected:
            yield _missing(tenant, expected, seq - 1)
        elif line.prev_hash not in before and computed == line.hash:
            what = f"does not follow on line {seq - 1}: that one, or this, is not the one of before"
            yield Finding(tenant, seq, Wrong.BROKEN, what)
        for head in required:
            if head.seq == seq and head.hash not in {line.hash, computed}:
                what = f"is not the line that was the last one at {head.at}: it was replaced"
                yield Finding(tenant, seq, Wrong.REPLACED, what)
        expected, before = seq + 1, {line.hash, computed}
    yield from _cut_off(tenant, required, expected - 1)


def _missing(tenant: str, first: int, last: int) -> Finding:
    what = "is missing" if first == last else f"is missing, and all after it up to line {last}"
    return Finding(tenant, first, Wrong.MISSING, what)


def _cut_off(tenant: str, required: Iterable[Head], last: int) -> Iterator[Finding]:
    beyond = [head for head in required if head.seq > last]
    if beyond:
        furthest = max(beyond, key=lambda head: head.seq)
        what = (
            f"is missing: the trail went on to line {furthest.seq}, written at {furthest.at}, and "
            "its end was cut off, or an older state of the database was put back"
        )
        yield Finding(tenant, last + 1, Wrong.CUT_OFF, what)


def _computed(line: Line) -> str:
    """The hash that a line should have; empty where it cannot have one."""
    try:
        return hash_of(line)
    except (ValueError, RecursionError):
        return ""


def _of_wrong_type(line: Line) -> str:
    for one in fields(Line):
        wanted = int if one.name == "seq" else str
        if type(getattr(line, one.name)) is not wanted:
            return one.name
    return ""


def _shown(tenant: object) -> str:
    return tenant if isinstance(tenant, str) else repr(tenant)
