"""The migrations: they make what the models say, all or nothing, and say what is wrong."""

import re
import shutil
import sqlite3
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, select
from sqlalchemy.schema import CreateTable

from callrec_pbx import resources
from callrec_pbx.catalogue import migrate, rows
from callrec_pbx.catalogue.engine import CatalogueError, make_engine
from callrec_pbx.catalogue.models import Base
from callrec_pbx.catalogue.people_models import VersionKind
from callrec_pbx.domain.facts import Explanation
from callrec_pbx.domain.people import Tenant
from callrec_pbx.domain.words import Channels, Switch
from callrec_pbx.people.change import document
from callrec_pbx.people.history import changes_of
from callrec_pbx.people.load import load_people
from callrec_pbx.people.versions import versions


def table_names(url: str) -> list[str]:
    engine = create_engine(url)
    try:
        return inspect(engine).get_table_names()
    finally:
        engine.dispose()


def test_migrated_from_empty_equals_the_models(engine: Engine) -> None:
    with engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_the_words_allowed_are_those_of_the_models(engine: Engine) -> None:
    """compare_metadata does not look at CHECKs."""
    for table in Base.metadata.sorted_tables:
        text = str(CreateTable(table).compile(engine))
        expected = dict(re.findall(r"CONSTRAINT (ck_\w+) CHECK \((.*)\)", text))
        found = {
            str(check["name"]): check["sqltext"]
            for check in inspect(engine).get_check_constraints(table.name)
        }
        assert found == expected


def test_upgrade_downgrade_upgrade(url: str) -> None:
    assert migrate.current(url) == migrate.head() == "0002"
    migrate.upgrade(url)
    migrate.downgrade(url, "base")
    assert migrate.current(url) is None
    assert table_names(url) == ["alembic_version"]
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
FIRST_RECORDING = """INSERT INTO recording VALUES ('r1', 'c1', '1.2', 'PJSIP/201', '201', 'stored',
    '2026-03-01 09:00:00.000000', NULL, NULL, 0, '', 'sales', 'p1', 'always', 'none', 'continue',
    'beep', 0, 'en', 30, NULL, 1000, 16044, 'ab', 0, NULL, '', '')"""


@pytest.fixture
def old(tmp_path: Path) -> str:
    """A catalogue of the first schema with a call and a recording."""
    url = f"sqlite:///{tmp_path}/old.db"
    migrate.upgrade(url, "0001")
    with sqlite3.connect(tmp_path / "old.db") as raw:
        raw.execute(FIRST_CALL)
        raw.execute(FIRST_RECORDING)
    raw.close()
    return url


def raw_rows(path: Path) -> dict[str, list[Any]]:
    with sqlite3.connect(path) as raw:
        found = {
            table: raw.execute(f"SELECT * FROM {table}").fetchall()
            for table in ("call", "recording")
        }
    raw.close()
    return found


def test_old_rows_have_no_explanation_and_are_mixed(old: str) -> None:
    migrate.upgrade(old)
    engine = migrate.open_current(old)
    with engine.begin() as connection:
        calls = connection.execute(select(rows.CALL)).mappings().all()
        recordings = connection.execute(select(rows.RECORDING)).mappings().all()
        (call,) = rows.calls_of(connection, calls)
        (recording,) = rows.recordings_of(connection, recordings)
    engine.dispose()
    assert (call.call.a_name, call.call.tenant) == ("Ann", "")
    assert call.call.explanation == recording.recording.explanation == Explanation()
    assert recording.recording.channels is Channels.MIXED
    places = (recording.recording.line, recording.recording.site, recording.recording.department)
    assert places == ("", "", "")


def test_going_back_keeps_calls_and_recordings(old: str, tmp_path: Path) -> None:
    before = raw_rows(tmp_path / "old.db")
    migrate.upgrade(old)
    migrate.downgrade(old, "0001")
    assert raw_rows(tmp_path / "old.db") == before
    assert set(table_names(old)) == {
        "alembic_version", "call", "consent", "leg", "pause", "recording",
    }  # fmt: skip
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
    assert (str(change), change.after) == (
        "tenant default added",
        document(people.tenants["default"]),
    )


def test_a_new_database_is_not_for_others_to_read(tmp_path: Path) -> None:
    migrate.upgrade(f"sqlite:///{tmp_path}/deep/er/catalogue.db")
    mode = (tmp_path / "deep/er/catalogue.db").stat().st_mode
    assert stat.S_IMODE(mode) & 0o007 == 0


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/a b%20#?.db".replace("?", "%3F")
    migrate.upgrade(url)
    migrate.open_current(url).dispose()


def test_a_migration_cut_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/catalogue.db"
    upgrade = command.upgrade

    def killed_at_the_end(*arguments: Any) -> None:
        upgrade(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", killed_at_the_end)
        with pytest.raises(KeyboardInterrupt):
            migrate.upgrade(url)
    assert table_names(url) == []
    migrate.upgrade(url)
    assert migrate.current(url) == migrate.head()


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


def test_opening_asks_for_the_right_schema(url: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="run: callrec-pbx migrate"):
        migrate.open_current(f"sqlite:///{tmp_path}/no.db")
    with sqlite3.connect(tmp_path / "catalogue.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with pytest.raises(CatalogueError, match="a newer callrec-pbx made it"):
        migrate.open_current(url)
    with pytest.raises(CatalogueError, match="nothing was changed"):
        migrate.upgrade(url)


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
    assert migrate.head() == "0002"
    migrate.upgrade(f"sqlite:///{tmp_path}/catalogue.db")


def test_connections_are_set_up_for_several_processes(engine: Engine) -> None:
    with engine.begin() as connection:

        def pragma(name: str) -> Any:
            return connection.exec_driver_sql(f"PRAGMA {name}").scalar()

        assert pragma("journal_mode") == "wal"
        assert pragma("foreign_keys") == 1
        assert pragma("synchronous") == 1
        assert pragma("busy_timeout") == 200
