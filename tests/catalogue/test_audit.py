"""The audit trail on both databases: it chains, it refuses changes, and shows every tampering."""

import json
import os
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, event, insert, text
from sqlalchemy.exc import DBAPIError

from callrec_pbx.catalogue import audit_anchor, audit_queries, migrate
from callrec_pbx.catalogue.audit import AUDIT, Action, Entry, append, append_all, head_of
from callrec_pbx.catalogue.audit_chain import Head, Line, hash_of
from callrec_pbx.catalogue.audit_queries import CursorError, WantedLines, page
from callrec_pbx.catalogue.audit_verify import Wrong
from callrec_pbx.catalogue.audit_whole import accept, verify_catalogue
from callrec_pbx.catalogue.engine import reading
from tests.catalogue.trail import (
    NOON,
    all_lines,
    allow_everything,
    anchored,
    entries,
    found_in,
)
from tests.databases import only_sqlite


def test_lines_are_numbered_and_chained_for_each_tenant(engine: Engine, tmp_path: Path) -> None:
    anchored(engine, tmp_path, ("b", 2), ("a", 1))
    anchored(engine, tmp_path, ("b", 1))
    lines = all_lines(engine)
    assert [(line.tenant, line.seq) for line in lines] == [("a", 1), ("b", 1), ("b", 2), ("b", 3)]
    assert [line.prev_hash for line in lines] == ["", "", lines[1].hash, lines[2].hash]
    assert all(line.hash == hash_of(line) for line in lines)
    assert lines[2].detail == '{"flagged":true,"number":2,"was":null}'
    assert not list(verify_catalogue(engine, tmp_path))


def test_what_a_database_refuses_is_replaced(engine: Engine, tmp_path: Path) -> None:
    audit_anchor.keep_anchors(engine, tmp_path)
    odd = "a\0b\ud800c'\"\\\n\N{GRINNING FACE}"
    with engine.begin() as connection:
        append(
            connection, Entry(odd, odd, Action.CHANGE, odd, odd * 200, {odd: odd, "n": -(10**30)})
        )
    (line,) = all_lines(engine)
    assert line.actor == "a\N{REPLACEMENT CHARACTER}b?c'\"\\\n\N{GRINNING FACE}"
    assert len(line.subject) == 500
    assert not list(verify_catalogue(engine, tmp_path))


def test_a_fraction_cannot_be_a_detail(engine: Engine) -> None:
    odd = Entry("", "x", Action.CHANGE, "x", "y", {"a": 0.5})  # type: ignore[dict-item]
    with engine.begin() as connection, pytest.raises(TypeError, match=r"0\.5"):
        append(connection, odd)


def test_two_hundred_lines_read_the_head_once(engine: Engine) -> None:
    said: list[str] = []

    def executed(_c: object, _cursor: object, statement: str, *_more: object) -> None:
        said.append(statement)

    event.listen(engine, "before_cursor_execute", executed)
    with engine.begin() as connection:
        append_all(connection, entries("a", 200))
    assert sum(one.startswith("SELECT audit") for one in said) == 1
    assert len(said) <= 4


def test_with_the_transaction_the_line_goes(engine: Engine, tmp_path: Path) -> None:
    anchored(engine, tmp_path, ("a", 1))
    with engine.connect() as connection:
        with connection.begin() as transaction:
            append(connection, entries("a", 1)[0])
            transaction.rollback()
        with connection.begin(), connection.begin_nested() as savepoint:
            append(connection, entries("a", 1)[0])
            savepoint.rollback()
    assert len(all_lines(engine)) == 1
    assert audit_anchor.read(tmp_path, "a") == Head("a", 1, *_hash_at(engine))


def test_a_commit_that_fails_moves_no_anchor(engine: Engine, tmp_path: Path) -> None:
    anchored(engine, tmp_path, ("a", 1))
    with pytest.raises(DBAPIError):
        _append_and_fail(engine)
    assert len(all_lines(engine)) == 1
    assert not list(verify_catalogue(engine, tmp_path))


def _append_and_fail(engine: Engine) -> None:
    with engine.begin() as connection:
        append(connection, entries("a", 1)[0])
        _have_the_commit_fail(connection)


def _have_the_commit_fail(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        connection.exec_driver_sql(
            "INSERT INTO pause (recording_id, position, from_ms) VALUES ('nobody', 0, 0)"
        )
        return
    pid = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    with connection.engine.connect() as another:
        another.exec_driver_sql(f"SELECT pg_terminate_backend({pid}, 5000)")


def test_a_connection_that_stays_open_writes_its_anchors(engine: Engine, tmp_path: Path) -> None:
    anchored(engine, tmp_path, ("a", 1))
    with engine.connect() as connection:
        with connection.begin():
            append(connection, entries("a", 1)[0])
        with connection.begin():
            anchor = audit_anchor.read(tmp_path, "a")
            assert anchor is not None
            assert anchor.seq == 2


@only_sqlite
def test_a_line_is_on_the_disk_before_its_anchor(
    url: str, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a power failure could look as if the end of the trail had been cut off."""
    flushed: list[str] = []
    fsync = os.fsync

    def watched(handle: int) -> None:
        flushed.append(Path(f"/proc/self/fd/{handle}").readlink().name)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    anchored(engine, tmp_path, ("a", 1))
    assert flushed[0] == "catalogue.db-wal"
    assert audit_anchor.path_of(tmp_path, "a").name + ".tmp" in flushed[1:]


def _hash_at(engine: Engine) -> tuple[str, str]:
    line = all_lines(engine)[-1]
    return line.hash, line.at


def test_it_is_append_only(engine: Engine, tmp_path: Path) -> None:
    anchored(engine, tmp_path, ("a", 2))
    before = all_lines(engine)
    refused = [
        "UPDATE audit SET actor = 'nobody' WHERE seq = 1",
        "DELETE FROM audit WHERE seq = 2",
        "INSERT INTO audit SELECT * FROM audit WHERE seq = 1",
    ]
    if engine.dialect.name == "sqlite":
        refused.append("INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE seq = 1")
    else:
        refused.append("TRUNCATE audit")
    for one in refused:
        with pytest.raises(DBAPIError, match=r"append-only|pk_audit"), engine.begin() as raw:
            raw.execute(text(one))
    assert all_lines(engine) == before


def test_writers_at_the_same_time_make_one_chain(url: str, tmp_path: Path) -> None:
    """Each of them for two tenants, named in different orders."""
    engine = migrate.open_current(url, busy_ms=60_000)
    audit_anchor.keep_anchors(engine, tmp_path)
    together = threading.Barrier(4)
    errors: list[BaseException] = []

    def write(order: tuple[str, str]) -> None:
        try:
            together.wait()
            for _ in range(5):
                with engine.begin() as connection:
                    append_all(connection, [one for name in order for one in entries(name, 2)])
        except BaseException as error:
            errors.append(error)

    orders = [("a", "b"), ("b", "a")] * 2
    threads = [threading.Thread(target=write, args=(order,)) for order in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not errors
    assert not list(verify_catalogue(engine, tmp_path))
    with reading(engine).begin() as connection:
        heads = audit_queries.heads(connection)
    assert [(one.tenant, one.seq) for one in heads] == [("a", 40), ("b", 40)]
    assert [audit_anchor.read(tmp_path, one.tenant) for one in heads] == heads
    engine.dispose()


Meddle = Callable[[Connection], None]


def _sql(*statements: str) -> Meddle:
    def meddle(connection: Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)

    return meddle


def _forged(seq: int, actor: str, *, onwards: bool = False) -> Meddle:
    """Change a line and make its hash anew; and those of all after it."""

    def meddle(connection: Connection) -> None:
        before = ""
        for line in list(audit_queries.everything(connection, "b")):
            if line.seq == seq or (onwards and line.seq > seq):
                new = replace(line, actor=actor) if line.seq == seq else line
                new = replace(new, prev_hash=before if onwards else line.prev_hash)
                _put(connection, replace(new, hash=hash_of(new)))
                before = hash_of(new)
            else:
                before = line.hash

    return meddle


def _put(connection: Connection, line: Line) -> None:
    connection.execute(
        text("DELETE FROM audit WHERE tenant = :t AND seq = :s"), {"t": line.tenant, "s": line.seq}
    )
    connection.execute(insert(AUDIT), [asdict(line)])


def _inserted(connection: Connection) -> None:
    """A line between two, those after it renumbered."""
    lines = list(audit_queries.everything(connection, "b"))
    connection.exec_driver_sql("DELETE FROM audit WHERE tenant = 'b' AND seq >= 3")
    extra = replace(lines[2], actor="mallory", prev_hash=lines[1].hash)
    extra = replace(extra, hash=hash_of(extra))
    for line in (extra, *(replace(one, seq=one.seq + 1) for one in lines[2:])):
        connection.execute(insert(AUDIT), [asdict(line)])


def _swapped(connection: Connection) -> None:
    """Two lines in each other's place."""
    lines = list(audit_queries.everything(connection, "b"))
    _put(connection, replace(lines[2], seq=4))
    _put(connection, replace(lines[3], seq=3))


TAMPERING = {
    "changed": (_sql("UPDATE audit SET subject = 'r9' WHERE tenant = 'b' AND seq = 3"),
                [(3, Wrong.CHANGED)]),
    "a hash changed": (_sql("UPDATE audit SET hash = 'ff' WHERE tenant = 'b' AND seq = 3"),
                       [(3, Wrong.CHANGED)]),
    "a space in its detail": (
        _sql("UPDATE audit SET detail = detail || ' ' WHERE tenant = 'b' AND seq = 3"),
        [(3, Wrong.CHANGED)]),
    "a detail that is no JSON": (
        _sql("UPDATE audit SET detail = '{' WHERE tenant = 'b' AND seq = 3"),
        [(3, Wrong.CHANGED)]),
    "the first removed": (_sql("DELETE FROM audit WHERE tenant = 'b' AND seq = 1"),
                          [(1, Wrong.MISSING)]),
    "two removed": (_sql("DELETE FROM audit WHERE tenant = 'b' AND seq IN (2, 3)"),
                    [(2, Wrong.MISSING)]),
    "one removed, the others renumbered": (
        _sql("DELETE FROM audit WHERE tenant = 'b' AND seq = 3",
             "UPDATE audit SET seq = 3 WHERE tenant = 'b' AND seq = 4",
             "UPDATE audit SET seq = 4 WHERE tenant = 'b' AND seq = 5"),
        [(3, Wrong.CHANGED), (4, Wrong.CHANGED), (5, Wrong.CUT_OFF)]),
    "the last removed": (_sql("DELETE FROM audit WHERE tenant = 'b' AND seq = 5"),
                         [(5, Wrong.CUT_OFF)]),
    "all removed": (_sql("DELETE FROM audit WHERE tenant = 'b'"), [(1, Wrong.CUT_OFF)]),
    "the last changed, its hash made anew": (_forged(5, "mallory"), [(5, Wrong.REPLACED)]),
    "one changed, its hash made anew": (_forged(3, "mallory"), [(4, Wrong.BROKEN)]),
    "one changed, all hashes after it made anew": (
        _forged(3, "mallory", onwards=True), [(5, Wrong.REPLACED)]),
    "inserted": (_inserted, [(4, Wrong.CHANGED), (5, Wrong.CHANGED), (5, Wrong.REPLACED),
                             (6, Wrong.CHANGED)]),
    "swapped": (_swapped, [(3, Wrong.CHANGED), (4, Wrong.CHANGED), (5, Wrong.BROKEN)]),
    "moved to another tenant": (
        _sql("UPDATE audit SET tenant = 'c' WHERE tenant = 'b' AND seq = 3"),
        [(3, Wrong.MISSING), (3, Wrong.CHANGED), (1, Wrong.MISSING)]),
}  # fmt: skip


def test_tampering_is_found_where_it_is(engine: Engine, tmp_path: Path) -> None:
    anchored(engine, tmp_path, ("a", 2), ("b", 5))
    anchors = audit_anchor.read_all(tmp_path)[0].values()
    for name, (meddle, expected) in TAMPERING.items():
        with engine.connect() as connection, connection.begin() as transaction:
            allow_everything(connection)
            meddle(connection)
            found = found_in(connection, anchors)
            transaction.rollback()
        assert sorted((one.seq, one.wrong) for one in found) == sorted(expected), name
        assert {one.tenant for one in found} <= {"b", "c"}, name
    assert not list(verify_catalogue(engine, tmp_path))


def test_a_restored_table_is_found_and_can_be_accepted(engine: Engine, tmp_path: Path) -> None:
    anchored(engine, tmp_path, ("a", 4))
    with engine.begin() as connection:
        allow_everything(connection)
        connection.exec_driver_sql("DELETE FROM audit WHERE seq > 2")
    # Lines that are written now do not hide it, not even when there are as many as before.
    anchored(engine, tmp_path, ("a", 3))
    (found,) = verify_catalogue(engine, tmp_path)
    assert (found.seq, found.wrong) == (4, Wrong.REPLACED)
    assert [one.wrong for one in verify_catalogue(engine, tmp_path, tenant="b")] == []

    accept(engine, tmp_path, "a", actor="cli:root", why="restored from the backup of Sunday")
    assert not list(verify_catalogue(engine, tmp_path))
    last = all_lines(engine)[-1]
    assert json.loads(last.detail)["anchored_seq"] == 4
    anchored(engine, tmp_path, ("a", 1))
    assert audit_anchor.read(tmp_path, "a") == Head("a", 7, *_hash_at(engine))


def test_an_anchor_that_lags_behind_is_in_order(engine: Engine, tmp_path: Path) -> None:
    """The machine may die between the commit and the anchor."""
    anchored(engine, tmp_path, ("a", 2))
    kept = audit_anchor.path_of(tmp_path, "a").read_bytes()
    anchored(engine, tmp_path, ("a", 2))
    audit_anchor.path_of(tmp_path, "a").write_bytes(kept)
    assert not list(verify_catalogue(engine, tmp_path))
    anchored(engine, tmp_path, ("a", 1))
    anchor = audit_anchor.read(tmp_path, "a")
    assert anchor is not None
    assert anchor.seq == 5


def test_a_missing_or_broken_anchor_is_told(engine: Engine, tmp_path: Path) -> None:
    anchored(engine, tmp_path, ("a", 1), ("b", 1))
    audit_anchor.path_of(tmp_path, "a").unlink()
    audit_anchor.path_of(tmp_path, "b").write_text("{}")
    found = [(one.tenant, one.wrong) for one in verify_catalogue(engine, tmp_path)]
    assert found == [("", Wrong.BAD_ANCHOR), ("a", Wrong.NO_ANCHOR), ("b", Wrong.NO_ANCHOR)]
    anchored(engine, tmp_path, ("a", 1), ("b", 1))
    found = [(one.tenant, one.wrong) for one in verify_catalogue(engine, tmp_path)]
    assert found == [("", Wrong.BAD_ANCHOR), ("b", Wrong.NO_ANCHOR)]


def test_what_goes_wrong_with_an_anchor_undoes_nothing(engine: Engine, tmp_path: Path) -> None:
    anchored(engine, tmp_path / "not" / "there", ("a", 1))
    assert len(all_lines(engine)) == 1


def test_a_page_goes_on_where_the_one_before_ended(engine: Engine) -> None:
    later = datetime(2026, 3, 2, tzinfo=UTC)
    with engine.begin() as connection:
        append_all(connection, [*entries("a", 3), *entries("b", 2)], NOON)
        append(connection, Entry("a", "bert", Action.PLAY, "recording", "r1"), later)

    def wanted(**what: object) -> list[tuple[str, int]]:
        with reading(engine).begin() as connection:
            found = []
            after: str | None = None
            while True:
                one = page(connection, WantedLines(**what, limit=2, after=after))  # type: ignore[arg-type]
                found += [(line.tenant, line.seq) for line in one.lines]
                if one.more is None:
                    return found
                after = one.more

    everything = [("a", 4), ("b", 2), ("b", 1), ("a", 3), ("a", 2), ("a", 1)]
    assert wanted() == everything
    assert wanted(start=later) == [("a", 4)]
    assert wanted(end=later) == everything[1:]
    assert wanted(tenant="b") == [("b", 2), ("b", 1)]
    assert wanted(actor="bert") == [("a", 4)]
    assert wanted(actions=(Action.PLAY, Action.SHARE)) == [("a", 4)]
    assert wanted(kind="call") == []
    assert wanted(subject="r1") == [("a", 4), ("b", 1), ("a", 1)]
    with reading(engine).begin() as connection, pytest.raises(CursorError, match="nonsense"):
        page(connection, WantedLines(after="nonsense"))


def test_the_head_of_a_trail(engine: Engine) -> None:
    with engine.begin() as connection:
        assert head_of(connection, "a") is None
        append(connection, entries("a", 1)[0], NOON)
        head = head_of(connection, "a")
    assert head is not None
    assert (head.seq, head.at) == (1, "2026-03-01T12:00:00.000000Z")
