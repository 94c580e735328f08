"""Checks of the catalogue's database."""

import shutil
from collections.abc import Iterator

from callrec_pbx.catalogue import migrate, postgresql
from callrec_pbx.catalogue.engine import make_engine, reading, shown, sqlite_file
from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, fail, ok, warn

MB = 1 << 20
LEAST_FREE_MB = 500
"""A catalogue of a year of a busy house is no larger."""

FEW_CONNECTIONS = 20


def check_catalogue(config: Config) -> Iterator[Finding]:
    """The database answers, has this version's schema, and room."""
    url = config.catalogue.url
    where = shown(url)
    try:
        found, needed = migrate.current(url), migrate.head()
    except Exception as error:
        yield fail("catalogue", str(error), "see that the database is there; docs/postgresql.md")
        return
    if found != needed:
        seen = "is missing or empty" if found is None else f"is at {found}, and not at {needed}"
        yield fail("catalogue", f"{where} {seen}", "run `callrec-pbx migrate`")
        return
    path = sqlite_file(url)
    if path is None:
        yield from _check_server(url)
        return
    free_mb = shutil.disk_usage(path.parent).free // MB
    if free_mb < LEAST_FREE_MB:
        yield warn("catalogue", f"{where}: {free_mb} MB free in {path.parent}", "make room there")
        return
    yield ok("catalogue", f"{where} is at {needed}")


def _check_server(url: str) -> Iterator[Finding]:
    engine = make_engine(url)
    try:
        with reading(engine).connect() as connection:
            state = postgresql.state(connection)
    finally:
        engine.dispose()
    where = f"{shown(url)} is at {migrate.head()}, PostgreSQL {state.version}"
    if state.read_only:
        yield fail(
            "catalogue",
            f"{where}: it only reads, as a standby does",
            "give the address of the server that writes in catalogue.url",
        )
    elif state.connections_left < FEW_CONNECTIONS:
        yield warn(
            "catalogue",
            f"{where}: {state.connections_left} more connections are all that it takes",
            "raise max_connections on the server, or end other connections",
        )
    elif not state.commits_are_kept:
        yield warn(
            "catalogue",
            f"{where}: a crash of the server loses what it has confirmed",
            "set fsync and synchronous_commit to on",
        )
    else:
        yield ok("catalogue", f"{where}, {state.size >> 20} MB")
