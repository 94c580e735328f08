"""The catalogue's database as the doctor sees it, of both kinds."""

from dataclasses import replace
from pathlib import Path

import pytest

from callrec_pbx.catalogue import migrate, postgresql
from callrec_pbx.config import Config, load_config
from callrec_pbx.doctor import database
from callrec_pbx.doctor.database import check_catalogue
from callrec_pbx.doctor.finding import Finding, Status
from tests.bed.postgres import SECRET, SIGNED_IN, Postgres
from tests.catalogue.cli import configured
from tests.databases import only_postgresql, only_sqlite


def examined(url: str, folder: Path) -> Finding:
    """What the doctor finds."""
    config: Config = load_config(configured(folder, url, folder).config)
    (finding,) = check_catalogue(config)
    return finding


def test_one_that_is_well(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = postgresql.state
    monkeypatch.setattr(postgresql, "state", lambda c: replace(asked(c), commits_are_kept=True))
    finding = examined(url, tmp_path)
    assert (finding.status, finding.check) == (Status.OK, "catalogue")
    assert migrate.head() in finding.seen


def test_one_that_is_empty_or_old(empty_url: str, tmp_path: Path) -> None:
    assert "missing or empty" in examined(empty_url, tmp_path).seen
    migrate.upgrade(empty_url, "0001")
    finding = examined(empty_url, tmp_path)
    assert (finding.status, finding.remedy) == (Status.FAIL, "run `callrec-pbx migrate`")
    assert "is at 0001" in finding.seen


@only_sqlite
def test_no_room(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "LEAST_FREE_MB", 1 << 40)
    finding = examined(url, tmp_path)
    assert (finding.status, finding.remedy) == (Status.WARN, "make room there")


@only_postgresql
def test_a_server_that_only_reads(url: str, postgres: Postgres, tmp_path: Path) -> None:
    name = url.split("@/")[1].partition("?")[0]
    postgres.admin("ALTER DATABASE {} SET default_transaction_read_only = on", name)
    finding = examined(url, tmp_path)
    assert finding.status is Status.FAIL
    assert "it only reads" in finding.seen


@only_postgresql
def test_a_server_that_forgets(url: str, tmp_path: Path) -> None:
    """As the tests' own, which does not wait for the disk."""
    finding = examined(url, tmp_path)
    assert (finding.status, finding.remedy) == (
        Status.WARN,
        "set fsync and synchronous_commit to on",
    )


@only_postgresql
def test_few_connections_left(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "FEW_CONNECTIONS", 1000)
    finding = examined(url, tmp_path)
    assert finding.status is Status.WARN
    assert "max_connections" in finding.remedy


def test_no_password_is_printed(postgres: Postgres, tmp_path: Path) -> None:
    with postgres.database() as name:
        postgres.admin("ALTER DATABASE {} OWNER TO {}", name, SIGNED_IN)
        migrate.upgrade(postgres.url(name, SIGNED_IN, SECRET))
        finding = examined(postgres.url(name, SIGNED_IN, SECRET), tmp_path)
    gone = examined(postgres.url(name, SIGNED_IN, SECRET), tmp_path)
    assert gone.status is Status.FAIL
    for text in (str(finding), str(gone)):
        assert "s3cret" not in text
