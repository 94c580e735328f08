"""Addresses of databases: what is wrong is said with its remedy, and never with a password."""

import re
import socket

import pytest

from callrec_pbx.catalogue import migrate, postgresql
from callrec_pbx.catalogue.engine import CatalogueError, parse, shown, sqlite_file
from tests.bed.postgres import SECRET, SIGNED_IN, Postgres

SECRETS = ["hunter2", "hun@ter2", "hun/ter2", "hun#ter2", "hun?ter2", "hun:ter2", "h%75nter2"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("nonsense", "is no database URL"),
        ("postgresql://", "names no database"),
        ("postgresql://host", "names no database"),
        ("postgresql+psycopg2://host/db", "by psycopg"),
        ("postgres://host/db", "only SQLite and PostgreSQL"),
        ("mysql://host/db", "only SQLite and PostgreSQL"),
        ("postgresql://u:p@q@host/db", "written %40"),
        ("postgresql://host:port/db", "is no database URL"),
    ],
)
def test_what_is_no_address_of_a_catalogue(url: str, words: str) -> None:
    with pytest.raises(CatalogueError, match=re.escape(words)):
        parse(url)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://callrec:p@host:5433/callrec?sslmode=verify-full",
        "postgresql+psycopg:///callrec",
        "postgresql:///callrec?host=/run/postgresql",
        "postgresql://callrec@/callrec?host=a:5432&host=b:5432&target_session_attrs=read-write",
    ],
)
def test_addresses_on_servers(url: str) -> None:
    assert sqlite_file(url) is None
    assert "callrec" in shown(url)


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "pattern",
    [
        "postgresql://callrec:{}@host/db",
        "postgresql://callrec@host/db?password={}",
        "postgresql://callrec:{}@host:no/db",
        "postgresql://callrec:{}@",
        "mysql://root:{}@host/db",
        "postgresql://callrec:{}@host",
        "postgresql//callrec:{}@host/db",
    ],
)
def test_no_password_is_shown(pattern: str, secret: str) -> None:
    url = pattern.format(secret)
    texts = [shown(url)]
    try:
        parse(url)
    except CatalogueError as error:
        texts.append(str(error))
    for text in texts:
        assert "ter2" not in text
        assert "hun" not in text


def said(url: str) -> str:
    with pytest.raises(CatalogueError) as raised:
        migrate.current(url)
    with pytest.raises(CatalogueError):
        migrate.upgrade(url)
    with pytest.raises(CatalogueError):
        migrate.open_current(url)
    return str(raised.value)


def test_a_server_that_is_not_there(postgres: Postgres) -> None:
    text = said(f"postgresql://callrec:hunter2@/db?host={postgres.folder}/nowhere")
    assert "start the server" in text
    assert "hunter2" not in text


def test_a_port_where_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    assert "start the server" in said(f"postgresql://callrec@127.0.0.1:{port}/db")


def test_a_server_that_says_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        url = f"postgresql://callrec@127.0.0.1:{port}/db?connect_timeout=2"
        with pytest.raises(CatalogueError, match="check host, port, and the firewall"):
            migrate.current(url)


def test_a_database_that_is_not_there(postgres: Postgres) -> None:
    assert "CREATE DATABASE callrec OWNER callrec" in said(postgres.url("nowhere"))


def test_a_role_that_is_not_there(postgres: Postgres) -> None:
    assert "CREATE ROLE callrec" in said(postgres.url("postgres", "stranger"))


def test_passwords(postgres: Postgres) -> None:
    with postgres.database() as name:
        postgres.admin("ALTER DATABASE {} OWNER TO {}", name, SIGNED_IN)
        migrate.upgrade(postgres.url(name, SIGNED_IN, SECRET))
        text = said(postgres.url(name, SIGNED_IN, "hunter2"))
        assert "check the role and its password" in text
        assert "hunter2" not in text
        assert "give a password" in said(postgres.url(name, SIGNED_IN))


def test_a_database_of_somebody_else(postgres: Postgres) -> None:
    with postgres.database() as name:
        postgres.admin("ALTER DATABASE {} OWNER TO {}", name, "postgres")
        url = postgres.url(name)
        assert migrate.current(url) is None
        with pytest.raises(CatalogueError, match="GRANT CREATE, USAGE ON SCHEMA public"):
            migrate.upgrade(url)


def test_an_encoding_that_loses_names(postgres: Postgres) -> None:
    postgres.admin(
        "CREATE DATABASE latin OWNER callrec ENCODING 'LATIN1' LOCALE 'C' LOCALE_PROVIDER libc"
        " TEMPLATE template0"
    )
    try:
        assert "ENCODING 'UTF8'" in said(postgres.url("latin"))
    finally:
        postgres.drop("latin")


def test_a_server_that_is_too_old(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "OLDEST", 99)
    with postgres.database() as name:
        assert "use PostgreSQL 99 or later" in said(postgres.url(name))


def test_a_table_that_somebody_holds(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql, "TABLE_MS", 50)
    with postgres.database() as name:
        url = postgres.url(name)
        migrate.upgrade(url, "0001")
        with postgres.connect(name) as other, other.transaction():
            other.execute("SELECT * FROM call")
            with pytest.raises(CatalogueError, match="something else works on these tables"):
                migrate.upgrade(url)
        assert migrate.current(url) == "0001"
        migrate.upgrade(url)
