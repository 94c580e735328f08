"""The migrations: they make what the models say, all or nothing, and say what is wrong."""

import re
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, create_engine, inspect, select, text

from callrec_pbx import resources
from callrec_pbx.catalogue import migrate, rows
from callrec_pbx.catalogue.engine import CatalogueError, make_engine
from callrec_pbx.catalogue.models import Base
from callrec_pbx.catalogue.people_models import VersionKind
from callrec_pbx.domain.facts import Explanation
from callrec_pbx.domain.people import Tenant
from callrec_pbx.domain.words import AudioFormat, Channels, Switch
from callrec_pbx.people.change import document
from callrec_pbx.people.history import changes_of
from callrec_pbx.people.load import load_people
from callrec_pbx.people.versions import versions
from tests.databases import Databases, only_postgresql, only_sqlite

REVISIONS = [
    path.name.partition("_")[0]
    for path in sorted((resources.resource_dir("migrations") / "versions").glob("0*.py"))
]


def table_names(url: str) -> set[str]:
    engine = create_engine(url)
    try:
        return set(inspect(engine).get_table_names())
    finally:
        engine.dispose()


@contextmanager
def another(url: str, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """An empty database of the same kind."""
    if url.startswith("sqlite"):
        path = tmp_path / "another.db"
        path.touch()
        yield f"sqlite:///{path}"
        return
    with databases.postgres.database() as name:
        yield databases.postgres.url(name)


def described(connection: Connection) -> dict[str, Any]:
    """All that the database says of its tables."""
    inspector = inspect(connection)

    def sorted_by_name(found: Any) -> Any:
        for one in found:
            options = one.get("dialect_options", {})
            one["dialect_options"] = {name: str(value) for name, value in options.items()}
        return sorted(found, key=lambda one: str(one["name"]))

    return {
        table: {
            "columns": {
                column["name"]: {name: str(value) for name, value in column.items()}
                for column in inspector.get_columns(table)
            },
            "key": inspector.get_pk_constraint(table),
            "foreign": sorted_by_name(inspector.get_foreign_keys(table)),
            "unique": sorted_by_name(inspector.get_unique_constraints(table)),
            "checks": sorted_by_name(inspector.get_check_constraints(table)),
            "indexes": sorted_by_name(inspector.get_indexes(table)),
        }
        for table in inspector.get_table_names()
        if table != "alembic_version"
    }


def test_migrated_from_empty_equals_the_models(
    url: str, engine: Engine, databases: Databases, tmp_path: Path
) -> None:
    """Types and collations, defaults, CHECKs, indexes, and what a deletion takes along."""
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
        migrated = described(connection)
    with another(url, databases, tmp_path) as models_url:
        models = make_engine(models_url)
        with models.begin() as connection:
            Base.metadata.create_all(connection)
            expected = described(connection)
        models.dispose()
    assert migrated == expected


@only_postgresql
def test_text_sorts_alike_on_any_server(engine: Engine) -> None:
    with engine.begin() as connection:
        found = connection.exec_driver_sql(
            "SELECT table_name || '.' || column_name FROM information_schema.columns"
            " WHERE table_schema = 'public' AND table_name <> 'alembic_version'"
            " AND (data_type = 'text' OR character_maximum_length > 20)"
            " AND collation_name IS DISTINCT FROM 'C'"
        )
        assert found.scalars().all() == []


def test_upgrade_downgrade_upgrade(url: str) -> None:
    assert migrate.current(url) == migrate.head()
    migrate.upgrade(url)
    migrate.downgrade(url, "base")
    assert migrate.current(url) is None
    assert table_names(url) == {"alembic_version"}
    migrate.upgrade(url)
    assert migrate.current(url) == migrate.head()


def test_a_migrations_file_is_named_by_its_revision() -> None:
    scripts = ScriptDirectory(str(resources.resource_dir("migrations")))
    assert scripts.get_current_head() == migrate.head()
    for script in scripts.walk_revisions():
        assert Path(script.path).name.startswith(f"{script.revision}_")


FIRST_CALL = """INSERT INTO call VALUES ('c1', '["1.1"]', '2026-03-01 09:00:00.000000', 'inbound',
    '+4930123456', 'Ann', '201', '201', '', '', NULL, NULL, 'recorded', 'rule', 'sales', 'p1', '',
    '[]', NULL, '', '')"""
FIRST_LEG = """INSERT INTO leg VALUES ('c1', 0, '1.1', 'PJSIP/t', 'outside', '', '+4930123456',
    'Ann', '2026-03-01 09:00:00.000000', NULL, NULL, NULL)"""
FIRST_CONSENT = """INSERT INTO consent VALUES ('c1', 0, 'caller', '+4930123456', 'announce',
    'announced', 'p', 'ab', '1', 'en', NULL, NULL, 900, 1000, '')"""
FIRST_RECORDING = """INSERT INTO recording VALUES ('r1', 'c1', '1.2', 'PJSIP/201', '201', 'stored',
    '2026-03-01 09:00:00.000000', NULL, NULL, 0, '', 'sales', 'p1', 'always', 'none', 'continue',
    'beep', 0, 'en', 30, NULL, 1000, 16044, 'ab', {false}, NULL, '', '')"""
FIRST_PAUSE = "INSERT INTO pause VALUES ('r1', 0, 100, 200)"

FIRST_TABLES = ("call", "consent", "leg", "pause", "recording")


@pytest.fixture
def old(empty_url: str) -> str:
    """A catalogue of the first schema with a call and a recording."""
    migrate.upgrade(empty_url, "0001")
    false = "0" if empty_url.startswith("sqlite") else "false"
    with opened(empty_url) as connection:
        for statement in (FIRST_CALL, FIRST_LEG, FIRST_CONSENT, FIRST_RECORDING, FIRST_PAUSE):
            connection.exec_driver_sql(statement.format(false=false))
    return empty_url


@contextmanager
def opened(url: str) -> Iterator[Connection]:
    """A transaction on a catalogue of any schema."""
    engine = make_engine(url)
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def raw_rows(url: str) -> dict[str, list[Any]]:
    """The first schema's tables; the order of columns is not what it was."""
    with opened(url) as connection:
        return {
            table: [
                dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table}").mappings()
            ]
            for table in FIRST_TABLES
        }


def test_old_rows_get_what_says_nothing_new(old: str) -> None:
    migrate.upgrade(old)
    engine = migrate.open_current(old)
    with engine.begin() as connection:
        calls = connection.execute(select(rows.CALL)).mappings().all()
        recordings = connection.execute(select(rows.RECORDING)).mappings().all()
        (call,) = rows.calls_of(connection, calls)
        (recording,) = rows.recordings_of(connection, recordings)
    engine.dispose()
    facts = recording.recording
    assert (call.call.a_name, call.call.tenant) == ("Ann", "")
    assert call.call.explanation == facts.explanation == Explanation()
    assert facts.channels is Channels.MIXED
    assert (facts.line, facts.site, facts.department) == ("", "", "")
    assert (facts.retention, facts.format, facts.has_wav) == ("30 days", AudioFormat.WAV, True)
    assert (facts.to_do, facts.tags, facts.tries, facts.flagged) == ((), (), 0, False)
    assert call.call.legs[0].name == "Ann"
    assert [(pause.from_ms, pause.to_ms) for pause in facts.pauses] == [(100, 200)]


def test_going_back_keeps_calls_and_recordings(old: str) -> None:
    """From each revision to the first: what was there then is there again."""
    before = raw_rows(old)
    for revision in REVISIONS[1:]:
        migrate.upgrade(old, revision)
        migrate.downgrade(old, "0001")
        assert raw_rows(old) == before
        assert table_names(old) == {"alembic_version", *FIRST_TABLES}
    migrate.upgrade(old)


def test_it_begins_with_one_tenant_whose_recording_is_off(engine: Engine) -> None:
    with engine.begin() as connection:
        people = load_people(connection)
        (first,) = versions(connection)
        (change,) = changes_of(connection, first.version)
    assert people.tenants == {"default": Tenant("default")}
    assert people.tenants["default"].recording is Switch.OFF_NEW
    assert (first.version, first.author, first.kind) == (
        1, "callrec-pbx migrate", VersionKind.PEOPLE,
    )  # fmt: skip
    assert abs(datetime.now(UTC) - first.at) < timedelta(minutes=5)
    assert str(change) == "tenant default added"
    assert change.after is not None
    # What a later schema adds to a tenant is not in it.
    assert change.after.items() <= document(people.tenants["default"]).items()


def test_a_new_database_is_not_for_others_to_read(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path}/deep/er/catalogue.db")
    mode = (tmp_path / "deep/er/catalogue.db").stat().st_mode
    assert stat.S_IMODE(mode) & 0o007 == 0


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a b%20#?.db".replace("?", "%3F")
    migrate.upgrade(url)
    migrate.open_current(url).dispose()


def test_a_migration_cut_off_leaves_nothing(
    empty_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    upgrade = command.upgrade

    def killed_at_the_end(*arguments: Any) -> None:
        upgrade(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", killed_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            migrate.upgrade(empty_url)
    assert table_names(empty_url) == set()
    migrate.upgrade(empty_url)
    assert migrate.current(empty_url) == migrate.head()


MIGRATE = """
import sys
from callrec_pbx.catalogue.migrate import upgrade
sys.stdin.read()
upgrade(sys.argv[1])
"""


def test_two_who_migrate_at_once_do_it_once(empty_url: str) -> None:
    both = [
        subprocess.Popen([sys.executable, "-c", MIGRATE, empty_url], stdin=subprocess.PIPE)
        for _ in range(2)
    ]
    # Closing its input lets each begin.
    for one in both:
        assert one.stdin is not None
        one.stdin.close()
    assert [one.wait(60) for one in both] == [0, 0]
    engine = migrate.open_current(empty_url)
    with engine.begin() as connection:
        assert len(versions(connection)) == 1
    engine.dispose()


@only_sqlite
def test_migrating_finds_rows_that_refer_to_nothing(url: str, tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "catalogue.db") as raw:
        raw.execute("INSERT INTO pause (recording_id, position, from_ms) VALUES ('gone', 0, 1)")
    raw.close()
    with pytest.raises(CatalogueError, match="refers to a missing row of 'recording'"):
        migrate.upgrade(url)


def test_current_of_nothing_is_none_and_makes_nothing(tmp_path: Path) -> None:
    assert migrate.current(f"sqlite:///{tmp_path}/no.db") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "url", ["nonsense", "sqlite://", "sqlite:///:memory:", "sqlite:///", "x://"]
)
def test_a_url_that_cannot_be_used_is_named(url: str) -> None:
    with pytest.raises(CatalogueError, match=re.escape(f"catalogue.url {url!r}")):
        migrate.current(url)


def test_opening_asks_for_the_right_schema(url: str) -> None:
    with opened(url) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(CatalogueError, match="a newer callrec-pbx made it"):
        migrate.open_current(url)
    with pytest.raises(CatalogueError, match="nothing was changed"):
        migrate.upgrade(url)


def test_opening_what_is_empty(empty_url: str) -> None:
    with pytest.raises(CatalogueError, match="run: callrec-pbx migrate"):
        migrate.open_current(empty_url)


def test_a_file_that_is_no_database_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "catalogue.db").write_text("hello, I am a shopping list" * 50)
    url = f"sqlite:///{tmp_path}/catalogue.db"
    with pytest.raises(CatalogueError, match="not a database"):
        migrate.current(url)
    with pytest.raises(CatalogueError, match="not a database"):
        migrate.upgrade(url)
    assert (tmp_path / "catalogue.db").read_text().startswith("hello")


def test_only_migrating_makes_the_file(tmp_path: Path) -> None:
    engine = make_engine(f"sqlite:///{tmp_path}/no.db")
    with pytest.raises(Exception, match="unable to open"), engine.begin():
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_wheels_copy_is_found_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "callrec_pbx"
    shutil.copytree(resources.resource_dir("migrations"), package / "_data" / "migrations")
    monkeypatch.setattr(resources, "_PACKAGE", package)
    assert migrate.head() == REVISIONS[-1]
    migrate.upgrade(f"sqlite:///{tmp_path}/catalogue.db")


@only_sqlite
def test_connections_are_set_up_for_several_processes(engine: Engine) -> None:
    with engine.begin() as connection:

        def pragma(name: str) -> Any:
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

        assert pragma("journal_mode") == "wal"
        assert pragma("foreign_keys") == 1
        assert pragma("synchronous") == 1
        assert pragma("busy_timeout") == 200
