"""People and places as CSV: reading a file into rows, and writing one."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from callrec_pbx.people.errors import PeopleError, Problem, shown_value
from callrec_pbx.people.kinds import Field, Kind, Thing

_FILE = "file"


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row.

    Attributes:
        line: The line of the file on which it begins, from 1.
        cells: Texts by field; None where the row has another number of cells than the header.
    """

    line: int
    cells: dict[str, str] | None


def columns(kind: Kind) -> tuple[Field, ...]:
    """The fields that a file may have: all that can be added."""
    return tuple(field for field in kind.fields if not field.instead or field.refers)


def read_table(data: bytes, kind: Kind) -> list[TableRow]:
    """The rows of a CSV file in UTF-8, with or without BOM, separated by `,` or `;`.

    Raises:
        PeopleError: it is none, or its header is wrong.
    """
    text = _decoded(data)
    header_line = next(iter(text.splitlines()), "")
    delimiter = ";" if header_line.count(";") > header_line.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = _rows(reader)
    _, header = next(rows, (1, []))
    names = [cell.strip().lower() for cell in header]
    _check_header(names, kind)
    return [
        TableRow(line, dict(zip(names, cells, strict=True)) if len(cells) == len(names) else None)
        for line, cells in rows
    ]


def write_table(things: Iterable[Thing], kind: Kind) -> Iterator[str]:
    """The lines of a CSV file that `read_table` reads: the header, and one for each thing."""
    fields = columns(kind)
    yield _line([field.name for field in fields])
    for thing in things:
        yield _line([field.show(getattr(thing, field.name)) for field in fields])


def _line(cells: list[str]) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue()


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise PeopleError.one(
            f"{_FILE}, line {line}",
            f"byte {data[error.start]:#04x} is not UTF-8",
            "save the file as CSV UTF-8",
        ) from None


def _rows(reader: Iterator[list[str]]) -> Iterator[tuple[int, list[str]]]:
    """Rows that are not empty, each with the line on which it begins."""
    begins = 1
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise PeopleError.one(
                f"{_FILE}, line {begins}",
                f"cannot be read ({error})",
                "see that every quotation mark is closed, and doubled inside of a cell",
            ) from None
        if any(cell.strip() for cell in cells):
            yield begins, cells
        begins = reader.line_num + 1  # type: ignore[attr-defined]


def _check_header(names: list[str], kind: Kind) -> None:
    known = {field.name for field in columns(kind)}
    remedy = "use " + ", ".join(field.name for field in columns(kind))
    problems = []
    for position, name in enumerate(names):
        if name not in known:
            instead = kind.by_name[name].instead if name in kind.by_name else remedy
            problems.append(Problem("column", shown_value(name), "is not known", instead))
        elif name in names[:position]:
            problems.append(Problem("column", shown_value(name), "is there twice", "keep one"))
    needed = [name for name in kind.key if name != "tenant" and name not in names]
    if needed:
        text = f"{', '.join(needed)} is missing"
        problems.append(Problem("", None, text, "the first line names the columns"))
    if problems:
        raise PeopleError(f"{_FILE}, line 1", problems)
