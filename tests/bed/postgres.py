"""A temporary PostgreSQL server of its own, and databases in it."""

from __future__ import annotations

import functools
import itertools
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, LiteralString
from urllib.parse import quote

import psycopg
from psycopg import sql

REPOSITORY = Path(__file__).resolve().parents[2]

START_S = 60.0
STOP_S = 30.0
POLL_S = 0.02

USER = "callrec"
"""Who owns the databases, as a user's own would: no superuser."""

SIGNED_IN = "callrec_signed"
"""A role that has to give its password, which is `SECRET`."""
SECRET = "s3cret:/@?"

_NOBODY = 65534

NEWER = 15
"""The first version that has some of the options used here."""

_MEMORY = Path("/dev/shm")
_ROOM = 1 << 30
_PREFIX = "callrec-pg-"

# Nothing has to outlive the machine, but what is committed has to outlive the server.
_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "64MB",
    "max_connections": "60",
    "log_min_messages": "warning",
    "timezone": "Asia/Kolkata",
}

_HBA = f"""
local all {SIGNED_IN} scram-sha-256
local all all trust
"""

StopMode = Literal["fast", "immediate"]


class PostgresError(Exception):
    """There is no server to be had; the message says why."""


@functools.cache
def programs() -> Path:
    """The folder of the newest PostgreSQL here; it is installed first where there is none.

    Raises:
        PostgresError: there is none, and this user cannot install it.
    """
    found = _found()
    if found is None:
        script = REPOSITORY / "docker" / "get-tools.sh"
        done = subprocess.run([script, "postgres"], check=False)
        found = _found()
        if found is None:
            raise PostgresError(f"no PostgreSQL here; {script} ended with {done.returncode}")
    return found


def _found() -> Path | None:
    """Debian keeps the server's programs off the PATH, in a folder for each version."""
    debian = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"),
        key=lambda program: float(program.parents[1].name),
    )
    on_path = shutil.which("postgres")
    if debian:
        return debian[-1].parent
    return Path(on_path).resolve().parent if on_path else None


def _new_folder() -> Path:
    """Make a folder in memory where there is room: others who use the disk slow it down."""
    memory = os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _ROOM
    place = _MEMORY if memory else Path(tempfile.gettempdir())
    for old in place.glob(f"{_PREFIX}*"):
        # What a run that was killed could not remove.
        if not Path("/proc", old.name.split("-")[2]).exists():
            shutil.rmtree(old, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-", dir=place))


class Postgres:
    """One server on a socket in a folder of its own. It goes when this process goes."""

    def __init__(self) -> None:
        """Make its folder, which `remove` removes."""
        self._programs = programs()
        self.folder = _new_folder()
        self._data = self.folder / "data"
        self._numbers = itertools.count(1)
        self._server: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root.
        self._as_other: list[str] = []
        if os.geteuid() == 0:
            os.chown(self.folder, _NOBODY, _NOBODY)
            self._as_other = [f"--reuid={_NOBODY}", f"--regid={_NOBODY}", "--clear-groups"]
        try:
            self._make()
        except BaseException:
            self.remove()
            raise

    def _make(self) -> None:
        # A locale that sorts as people do, unlike SQLite: nothing here may depend on it.
        icu = ["--locale-provider=icu", "--icu-locale=en-US"] if self._version >= NEWER else []
        done = subprocess.run(
            [
                "setpriv",
                *self._as_other,
                str(self._programs / "initdb"),
                f"--pgdata={self._data}",
                "--username=postgres",
                "--auth=trust",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                *icu,
                "--no-sync",
                "--no-instructions",
            ],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PostgresError(f"initdb failed:\n{done.stdout}")
        lines = [f"{name} = '{value}'\n" for name, value in _SETTINGS.items()]
        with (self._data / "postgresql.conf").open("a") as conf:
            conf.writelines([*lines, f"unix_socket_directories = '{self.folder}'\n"])
        (self._data / "pg_hba.conf").write_text(_HBA)
        self.start()
        with self.connect("postgres", "postgres") as db:
            for role in (USER, SIGNED_IN):
                db.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(role)))
            db.execute(
                sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(SIGNED_IN), SECRET)
            )

    @functools.cached_property
    def _version(self) -> int:
        said = subprocess.run(
            [self._programs / "postgres", "--version"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
        found = re.search(r"\d+", said)
        assert found is not None, said
        return int(found[0])

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            PostgresError: it does not start.
        """
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [
                    "setpriv",
                    *self._as_other,
                    "--pdeathsig=INT",
                    str(self._programs / "postgres"),
                    "-D",
                    str(self._data),
                ],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C at the terminal is for pytest, which then stops it.
                start_new_session=True,
            )
        deadline = time.monotonic() + START_S
        while True:
            try:
                self.connect("postgres", "postgres").close()
            except psycopg.OperationalError as error:
                if self._server.poll() is not None or time.monotonic() > deadline:
                    raise PostgresError(f"no start: {error}\n{self.log()}") from None
                time.sleep(POLL_S)
            else:
                return

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop it and wait until it is gone; `immediate` leaves what a crash leaves."""
        if self._server is None:
            return
        self._server.send_signal(signal.SIGINT if mode == "fast" else signal.SIGQUIT)
        self._server.wait(STOP_S)
        self._server = None

    def remove(self) -> None:
        """Stop it, and leave nothing of it."""
        try:
            self.stop("immediate")
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def log(self) -> str:
        """The end of what the server has written."""
        return (self.folder / "log").read_text(errors="replace")[-4000:]

    def url(self, database: str, user: str = USER, password: str = "") -> str:
        """The address of a database, as an administrator would configure it."""
        secret = f":{quote(password, safe='')}" if password else ""
        return f"postgresql://{user}{secret}@/{database}?host={self.folder}"

    def connect(self, database: str, user: str = USER) -> psycopg.Connection:
        """Connect past the product; each statement is a transaction of its own."""
        return psycopg.connect(
            host=str(self.folder), dbname=database, user=user, autocommit=True, connect_timeout=10
        )

    def admin(self, statement: LiteralString, *names: str) -> None:
        """Run a statement as the superuser; `{}` are the names."""
        with self.connect("postgres", "postgres") as db:
            db.execute(sql.SQL(statement).format(*(sql.Identifier(name) for name in names)))

    def create(self, template: str = "template0") -> str:
        """Make a database of the ordinary user's, empty or like another one; returns its name."""
        name = f"test{next(self._numbers)}"
        if self._version >= NEWER:
            # The quicker way where nothing reaches a disk.
            statement: LiteralString = "CREATE DATABASE {} OWNER {} TEMPLATE {} STRATEGY FILE_COPY"
        else:
            statement = "CREATE DATABASE {} OWNER {} TEMPLATE {}"
        self.admin(statement, name, USER, template)
        return name

    def drop(self, database: str) -> None:
        """Remove a database, whoever is connected to it."""
        self.admin("DROP DATABASE IF EXISTS {} WITH (FORCE)", database)

    @contextmanager
    def database(self, template: str = "template0") -> Iterator[str]:
        """A database for a while; gives its name."""
        name = self.create(template)
        try:
            yield name
        finally:
            self.drop(name)
