"""The one sequence of versions, and changes at the same moment."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Engine

from callrec_pbx.catalogue import migrate
from callrec_pbx.catalogue.people_models import Entity, VersionKind
from callrec_pbx.domain.people import Line, Site
from callrec_pbx.people.history import changes_of
from callrec_pbx.people.profiles import switch_profile
from callrec_pbx.people.versions import (
    POLICY_VERSION,
    current_version,
    find_version,
    lock,
    next_version,
    versions,
)
from callrec_pbx.policy.people import changing
from tests.people.house import D, everything

WRITERS = 4
EACH = 12

WRITER = """
import sys
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.domain.people import Line
from callrec_pbx.policy.people import changing
url, name, each = sys.argv[1:]
engine = open_current(url, busy_ms=60_000)
sys.stdin.read()
for number in range(int(each)):
    with changing(engine, author=name) as changes:
        changes.add(Line("default", f"{name}{number}"))
    print(changes.version)
"""


def test_numbers_follow_each_other_and_keep_what_they_are_for(engine: Engine) -> None:
    document = {"rules": [{"name": "all", "mode": "always"}]}
    with engine.begin() as connection:
        first = next_version(
            connection,
            "ann",
            "because",
            VersionKind.POLICY,
            changes=["rule all added"],
            document=document,
        )
        second = next_version(connection, "bo", "", VersionKind.ROLLBACK, restored_from=first)
    with engine.begin() as connection:
        assert (first, second, current_version(connection)) == (2, 3, 3)
        newest, older, _ = versions(connection)
        assert [one.version for one in versions(connection, [VersionKind.POLICY])] == [2]
        assert [one.version for one in versions(connection, limit=1)] == [3]
        assert find_version(connection, 2) == older
        assert find_version(connection, 9) is None
        kept = connection.execute(
            POLICY_VERSION.select().where(POLICY_VERSION.c.version == 2)
        ).one()
    assert (newest.kind, newest.restored_from, newest.author) == (VersionKind.ROLLBACK, 2, "bo")
    assert (older.comment, older.changes) == ("because", ("rule all added",))
    assert kept.document == document


def test_without_a_commit_there_is_no_version(engine: Engine) -> None:
    with engine.connect() as connection, connection.begin() as transaction:
        assert next_version(connection, "ann", "", VersionKind.POLICY) == 2
        transaction.rollback()
    with engine.begin() as connection:
        assert current_version(connection) == 1


def test_where_there_is_none_yet(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM people_change")
        connection.exec_driver_sql("DELETE FROM policy_version")
        assert lock(connection) == current_version(connection) == 0
        assert next_version(connection, "ann", "", VersionKind.POLICY) == 1


def test_a_change_waits_for_the_one_before_it(url: str, engine: Engine) -> None:
    """Nobody reads what a change under way is about to change."""
    other = migrate.open_current(url, busy_ms=50)
    with engine.begin() as connection:
        lock(connection)
        with pytest.raises(Exception, match=r"locked|lock timeout"), changing(other, author="bo"):
            pass
        with pytest.raises(Exception, match=r"locked|lock timeout"):
            switch_profile(other, D, "anna@x.se", "", "test")
    other.dispose()


@pytest.mark.parametrize("preload", [False, True])
def test_changes_of_several_threads_are_all_kept(url: str, preload: bool) -> None:
    def write(name: str) -> list[int | None]:
        engine = migrate.open_current(url, busy_ms=60_000)
        made = []
        for number in range(EACH):
            with changing(engine, author=name) as changes:
                if preload:
                    changes.preload(Entity.SITE)
                changes.add(Site(D, f"{name}{number}"))
                changes.set(Entity.TENANT, (D,), {"concurrent_limit": number + 1})
            made.append(changes.version)
        engine.dispose()
        return made

    with ThreadPoolExecutor(WRITERS) as pool:
        made = [one for several in pool.map(write, "abcd") for one in several]
    assert sorted(made) == list(range(2, 2 + WRITERS * EACH))  # type: ignore[type-var]
    engine = migrate.open_current(url)
    assert len(everything(engine)[Entity.SITE]) == WRITERS * EACH
    _check_log(engine, made)
    engine.dispose()


def test_changes_of_several_processes_are_all_kept(url: str) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, url, name, str(EACH)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "abcd"
    ]
    # Closing its input lets each begin.
    outputs = [writer.communicate(timeout=120)[0] for writer in _started(writers)]
    assert [writer.returncode for writer in writers] == [0] * WRITERS
    made = [int(line) for output in outputs for line in output.split()]
    assert sorted(made) == list(range(2, 2 + WRITERS * EACH))
    engine = migrate.open_current(url)
    names = {line.extension for line in everything(engine)[Entity.LINE] if isinstance(line, Line)}
    assert names == {f"{name}{number}" for name in "abcd" for number in range(EACH)}
    _check_log(engine, made)
    engine.dispose()


def _started(writers: "list[subprocess.Popen[str]]") -> "list[subprocess.Popen[str]]":
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.close()
        writer.stdin = None
    return writers


def _check_log(engine: Engine, made: "list[int] | list[int | None]") -> None:
    """Each version has the changes of one writer, and the sequence has no hole."""
    with engine.begin() as connection:
        assert [one.version for one in versions(connection, limit=1000)] == [
            *sorted((one for one in made if one), reverse=True),
            1,
        ]
        for version in made:
            assert version is not None
            one = find_version(connection, version)
            logged = changes_of(connection, version)
            assert one is not None
            assert logged[0].key.startswith(f"{D}/{one.author}")
