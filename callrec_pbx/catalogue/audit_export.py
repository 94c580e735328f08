"""The audit trail as a file: CSV for a spreadsheet, JSON lines that anybody can verify."""

import csv
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import datetime
from enum import StrEnum
from typing import Any, TextIO

from callrec_pbx.catalogue.audit_anchor import head_from
from callrec_pbx.catalogue.audit_chain import FORMAT, Head, Line, written_time
from callrec_pbx.catalogue.audit_queries import FIELDS, Part
from callrec_pbx.catalogue.audit_verify import Begins, Finding, Wrong, verify
from callrec_pbx.catalogue.engine import CatalogueError

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class ExportFormat(StrEnum):
    """How an export is written."""

    CSV = "csv"
    JSONL = "jsonl"


class ExportError(CatalogueError):
    """A file is no export that can be verified."""


def write_csv(lines: Iterable[Line], out: TextIO) -> int:
    """Write lines as CSV.

    A cell that a spreadsheet would take for a formula gets an apostrophe before it, as OWASP says.
    Source: https://owasp.org/www-community/attacks/CSV_Injection

    Returns:
        How many.
    """
    writer = csv.writer(out)
    writer.writerow(FIELDS)
    count = 0
    for line in lines:
        writer.writerow([_cell(value) for value in asdict(line).values()])
        count += 1
    return count


def write_jsonl(
    lines: Iterable[Line],
    parts: Iterable[Part],
    out: TextIO,
    start: datetime | None,
    end: datetime | None,
) -> int:
    """Write lines as JSON, after one that says from where to where each trail is there.

    Returns:
        How many, without the first.
    """
    header = {
        "format": FORMAT,
        "from": None if start is None else written_time(start),
        "to": None if end is None else written_time(end),
        "trails": [
            {
                "tenant": part.tenant,
                "follows": {"seq": part.begins.seq, "hash": part.begins.hash},
                "last": asdict(part.last),
            }
            for part in parts
        ],
    }
    out.write(_json(header))
    count = 0
    for line in lines:
        out.write(_json(asdict(line) | {"detail": json.loads(line.detail)}))
        count += 1
    return count


def verify_file(rows: Iterable[str], heads: Iterable[Any] = ()) -> Iterator[Finding]:
    """Verify an export in JSON lines by itself, without any database.

    Args:
        rows: Its lines.
        heads: Lines that must be there besides those that it says it ends with.

    Raises:
        ExportError: it is no such export, or a line of it is none.
    """
    numbered = enumerate(rows, 1)
    begins, ends = _header(next(numbered, (1, ""))[1])
    for tenant, begin in begins.items():
        if begin.seq == 0 and begin.hash:
            yield Finding(tenant, 1, Wrong.BROKEN, "follows on nothing, and yet on a hash")
    yield from verify(map(_parsed, numbered), (*ends, *heads), begins)


def _header(row: str) -> tuple[dict[str, Begins], list[Head]]:
    """Where each trail begins in an export, and with what it ends."""
    try:
        header = json.loads(row)
        if header["format"] == FORMAT:
            begins = {
                str(trail["tenant"]): Begins(int(trail["follows"]["seq"]), trail["follows"]["hash"])
                for trail in header["trails"]
            }
            return begins, [head_from(trail["last"]) for trail in header["trails"]]
    except (ValueError, KeyError, TypeError):
        pass
    raise ExportError(
        f"line 1: does not begin an export in JSON lines of format {FORMAT}; make one with: "
        "callrec-pbx audit export --format jsonl"
    )


def _parsed(numbered: tuple[int, str]) -> Line:
    number, row = numbered
    try:
        values = json.loads(row)
    except ValueError:
        values = None
    if not isinstance(values, dict) or set(values) != set(FIELDS):
        raise ExportError(
            f"line {number}: is no line of the trail; it is JSON with {', '.join(FIELDS)}"
        )
    return Line(**(values | {"detail": _json(values["detail"], sort=True).rstrip("\n")}))


def _cell(value: object) -> str:
    text = str(value)
    return f"'{text}" if text.startswith(_FORMULA) else text


def _json(document: Any, *, sort: bool = False) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=sort) + "\n"
