"""Verifying lines, whatever has become of them; and an export by itself."""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.catalogue import audit_anchor
from callrec_pbx.catalogue.audit_chain import Head, Line, hash_of, written_detail
from callrec_pbx.catalogue.audit_export import ExportError, verify_file, write_csv, write_jsonl
from callrec_pbx.catalogue.audit_queries import FIELDS, Part
from callrec_pbx.catalogue.audit_verify import Begins, Wrong, verify


def chained(count: int, tenant: str = "acme") -> list[Line]:
    """A trail that is in order."""
    lines: list[Line] = []
    for seq in range(1, count + 1):
        line = Line(
            tenant,
            seq,
            f"2026-03-01T12:00:0{seq}.000000Z",
            "anna@acme.example",
            "change",
            "recording",
            f"r{seq}",
            '{"flagged":true,"number":1,"was":null}',
            lines[-1].hash if lines else "",
            "",
        )
        lines.append(replace(line, hash=hash_of(line)))
    return lines


def head(line: Line) -> Head:
    """What an anchor has of a line."""
    return Head(line.tenant, line.seq, line.hash, line.at)


LINES = chained(4)


def test_the_hash_is_the_one_that_the_manual_describes() -> None:
    """Nobody may change it: what has been written could be verified no longer."""
    assert LINES[0].hash == "36b1d8e500ad78b3bb6b8f3c3e0d5c14335ba598b697311c21e62a6e89acbc08"


@pytest.mark.parametrize(
    ("why", "kept"),
    [
        ("called from +49 (0)30 123-456 twice", "called from [number] twice"),
        ("0301234567", "[number]"),
        ("90 days are over since 2026-03-01", "90 days are over since 2026-03-01"),
        ("asked for at 2026-03-01 09:30:00", "asked for at 2026-03-01 09:30:00"),
    ],
)
def test_what_somebody_has_written_is_kept_without_numbers(why: str, kept: str) -> None:
    assert json.loads(written_detail({"why": why, "sha256": why})) == {"why": kept, "sha256": why}


def test_a_trail_in_order() -> None:
    assert list(verify(LINES, [head(LINES[3]), head(LINES[1])])) == []
    assert list(verify(LINES[2:], [], {"acme": Begins(2, LINES[1].hash)})) == []


@given(
    st.integers(0, len(LINES) - 1),
    st.sampled_from(FIELDS),
    st.one_of(st.text(), st.integers(), st.none(), st.binary()),
    st.integers(0, 63),
)
def test_any_change_of_any_field_is_found(at: int, name: str, value: object, byte: int) -> None:
    """The value replaces the field, and a character in it."""
    for new in (value, _flipped(getattr(LINES[at], name), byte)):
        values: dict[str, Any] = {name: new}
        changed = replace(LINES[at], **values)
        if changed == LINES[at] and type(new) is type(getattr(LINES[at], name)):
            continue
        assert list(verify([*LINES[:at], changed, *LINES[at + 1 :]], [head(LINES[3])])), changed


def _flipped(value: object, byte: int) -> object:
    if not isinstance(value, str):
        return -1
    byte %= len(value) or 1
    return value[:byte] + chr(ord(value[byte : byte + 1] or "a") ^ 1) + value[byte + 1 :]


@given(st.data())
def test_any_removal_insertion_or_move_is_found(data: st.DataObject) -> None:
    order = data.draw(st.lists(st.integers(0, 3), max_size=6))
    found = list(verify([LINES[one] for one in order], [head(LINES[3])]))
    assert (not found) == (order == [0, 1, 2, 3])


def test_what_is_found_says_where() -> None:
    (found,) = verify([*LINES[:1], *LINES[3:]], [head(LINES[3])])
    assert (found.seq, found.wrong) == (2, Wrong.MISSING)
    assert str(found) == "tenant acme, line 2: is missing, and all after it up to line 3"


def test_a_line_that_is_there_twice() -> None:
    found = list(verify([LINES[0], LINES[1], LINES[0], *LINES[2:]], [head(LINES[3])]))
    assert [(one.seq, one.wrong) for one in found] == [(1, Wrong.UNEXPECTED)]


def test_a_detail_of_any_depth_is_no_crash() -> None:
    deep = replace(LINES[0], detail="[" * 100_000)
    assert [one.wrong for one in verify([deep])] == [Wrong.CHANGED]


def test_an_anchor_goes_back_only_by_force(tmp_path: Path) -> None:
    """Of two that are written at the same time, the later may come first."""
    for line, expected in ((LINES[2], 3), (LINES[1], 3), (LINES[3], 4)):
        audit_anchor.write(tmp_path, head(line))
        found = audit_anchor.read(tmp_path, "acme")
        assert found is not None
        assert found.seq == expected
    audit_anchor.write(tmp_path, head(LINES[0]), force=True)
    assert audit_anchor.read_all(tmp_path) == ({"acme": head(LINES[0])}, [])


def test_an_anchor_of_another_is_none(tmp_path: Path) -> None:
    audit_anchor.write(tmp_path, head(LINES[0]))
    path = audit_anchor.path_of(tmp_path, "acme")
    other = audit_anchor.path_of(tmp_path, "../acme")
    assert other.parent == path.parent
    path.rename(other)
    with pytest.raises(audit_anchor.AnchorError, match="of tenant 'acme', not of"):
        audit_anchor.read(tmp_path, "../acme")
    found, (problem,) = audit_anchor.read_all(tmp_path)
    assert (found, str(other) in problem) == ({}, True)


def exported(lines: list[Line], begins: Begins) -> list[str]:
    out = io.StringIO()
    write_jsonl(lines, [Part("acme", begins, head(lines[-1]))], out, None, None)
    return out.getvalue().splitlines(keepends=True)


def problems(rows: list[str]) -> list[tuple[int, Wrong]]:
    return [(one.seq, one.wrong) for one in verify_file(iter(rows))]


def test_an_export_is_verified_by_itself() -> None:
    rows = exported(LINES, Begins())
    assert problems(rows) == []
    assert problems(rows[:-1]) == [(4, Wrong.CUT_OFF)]
    assert problems([*rows[:2], *rows[3:]]) == [(2, Wrong.MISSING)]
    assert problems([rows[0], rows[2], rows[1], *rows[3:]])
    assert problems([rows[0], rows[1].replace("anna", "bert"), *rows[2:]]) == [(1, Wrong.CHANGED)]
    part = exported(LINES[1:3], Begins(1, LINES[0].hash))
    assert problems(part) == []
    assert problems([part[0], part[2]]) == [(2, Wrong.MISSING)]


def test_an_export_must_reach_the_heads_kept_elsewhere() -> None:
    (found,) = verify_file(iter(exported(LINES[:2], Begins())), [head(LINES[3])])
    assert (found.seq, found.wrong) == (3, Wrong.CUT_OFF)


def _broken() -> Iterator[tuple[list[str], str]]:
    rows = exported(LINES, Begins())
    yield [], "line 1"
    yield rows[1:], "line 1"
    yield ["tenant,seq\n"], "line 1"
    yield [rows[0], "nonsense"], "line 2"
    yield [rows[0], "[]"], "line 2"
    yield [rows[0], rows[1], '{"seq": 1}'], "line 3"


@pytest.mark.parametrize(("rows", "where"), list(_broken()))
def test_what_is_no_export_is_told(rows: list[str], where: str) -> None:
    with pytest.raises(ExportError, match=where):
        list(verify_file(iter(rows)))


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n"])
def test_csv_has_no_formulas(start: str) -> None:
    out = io.StringIO()
    formula = f'{start}HYPERLINK("http://x";"y")'
    assert write_csv([replace(LINES[0], actor=formula, subject=formula)], out) == 1
    _, row = csv.reader(io.StringIO(out.getvalue(), newline=""))
    assert row[3] == row[6] == f"'{formula}"


def test_jsonl_has_every_field() -> None:
    row = json.loads(exported(LINES, Begins())[1])
    assert row == asdict(LINES[0]) | {"detail": {"flagged": True, "number": 1, "was": None}}
