"""A catalogue is moved to another database, with everything in it, or not at all."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, select

from callrec_pbx.catalogue import copying, migrate, rows
from callrec_pbx.catalogue.copying import copy
from callrec_pbx.catalogue.engine import CatalogueError
from callrec_pbx.catalogue.rows import RecordingRow
from callrec_pbx.catalogue.tables import all_tables
from callrec_pbx.domain.people import Line, Profile, User
from callrec_pbx.people.profiles import newest_switches, switch_profile
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.store import save
from callrec_pbx.storage.serial import CallSidecar
from tests.acknowledged import add
from tests.bed.postgres import SECRET, SIGNED_IN, Postgres
from tests.catalogue.cli import configured
from tests.databases import Databases, only_sqlite
from tests.storage.samples import a_call, a_recording

ANNA = User("default", "anna@x.se")
RULE = '[[rule]]\nname = "one"\nmode = "never"\n'


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """A catalogue with something in the tables that matter most."""
    with engine.begin() as connection:
        for number in range(5):
            call = a_call(number)
            recording = a_recording(number, call, tags=("vip",))
            rows.write(connection, [CallSidecar(call), RecordingRow(recording)])
    add(engine, ANNA, Line("default", "301", user=ANNA.email), Profile("default", ANNA.email, "A"))
    save(engine, parse(RULE, "test"), "ann")
    switch_profile(engine, "default", ANNA.email, "A", "test")
    return engine


@pytest.fixture
def to(url: str, databases: Databases, tmp_path: Path) -> Iterator[str]:
    """The address of an empty database of the other kind."""
    if not url.startswith("sqlite"):
        yield f"sqlite:///{tmp_path}/other.db"
        return
    with databases.postgres.database() as name:
        yield databases.postgres.url(name)


def everything(engine: Engine) -> dict[str, list[Any]]:
    with engine.begin() as connection:
        return {
            table.name: [
                tuple(row)
                for row in connection.execute(select(table).order_by(*table.primary_key.columns))
            ]
            for table in all_tables()
        }


def test_all_that_there_is_arrives(
    filled: Engine, to: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "BATCH", 2)
    told: dict[str, list[int]] = {}
    before = everything(filled)
    assert sum(map(len, before.values())) > 40
    copied = copy(filled, to, lambda name, done, _total: told.setdefault(name, []).append(done))
    other = migrate.open_current(to)
    assert everything(other) == before == everything(filled)
    assert copied == sum(map(len, before.values()))
    assert told["call"] == [0, 2, 4, 5]
    assert set(told) == set(inspect(other).get_table_names()) - {"alembic_version"}
    other.dispose()


def test_it_goes_on_from_there(filled: Engine, to: str) -> None:
    copy(filled, to)
    other = migrate.open_current(to)
    add(other, User("default", "bo@x.se"), Line("default", "302", user="bo@x.se"))
    assert switch_profile(other, "default", ANNA.email, "", "test")
    with other.begin() as connection:
        newest, older = newest_switches(connection)
    assert newest.id > older.id
    assert save(other, parse(RULE.replace("one", "two"), "test"), "ann").version > 2
    other.dispose()


def test_what_is_not_empty_is_left_alone(filled: Engine, to: str) -> None:
    copy(filled, to)
    other = migrate.open_current(to)
    before = everything(other)
    with pytest.raises(CatalogueError, match="give the address of an empty database"):
        copy(filled, to)
    assert everything(other) == before
    other.dispose()


def test_one_that_somebody_has_changed_is_not_empty(filled: Engine, to: str) -> None:
    migrate.upgrade(to)
    other = migrate.open_current(to)
    save(other, parse(RULE, "test"), "ann")
    with pytest.raises(CatalogueError, match="rows already"):
        copy(filled, to)
    other.dispose()


def test_cut_off_it_leaves_nothing(filled: Engine, to: str) -> None:
    def killed(table: str, done: int, _total: int) -> None:
        if table == "recording" and done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copy(filled, to, killed)
    copy(filled, to)


@only_sqlite
def test_the_command(filled: Engine, url: str, postgres: Postgres, tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    callrec = configured(tmp_path, url, tmp_path / "recordings")
    with postgres.database() as name:
        postgres.admin("ALTER DATABASE {} OWNER TO {}", name, SIGNED_IN)
        to = postgres.url(name, SIGNED_IN, SECRET)
        ran = callrec("catalogue", "copy", "--to", to, "--json")
        assert ran.status == 0
        assert ran.json["rows"] == sum(map(len, everything(filled).values()))
        again = callrec("catalogue", "copy", "--to", to)
        assert again.status == 2
        assert "empty database" in again.err
        for text in (ran.out, ran.err, again.err):
            assert "s3cret" not in text
        moved = configured(tmp_path, to, tmp_path / "recordings")
        assert len(moved("recordings", "list", "--json").json["recordings"]) == 5
