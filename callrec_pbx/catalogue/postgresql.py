"""What is particular to a catalogue in PostgreSQL: its connections, its errors, its version."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, ExceptionContext

OLDEST = 13
"""The first version of the server that can be used."""

LOCK_SPACE = 0x63726563
"""The first half of the key of each advisory lock of ours: others may use the database too."""

CONNECT_S = 5
STATEMENT_MS = 300_000
"""Nothing here works as long on one statement; one that does is stuck."""
TABLE_MS = 15_000
"""How long a migration waits for a table (ms)."""
IDLE_MS = 300_000
"""A process that stands still in a transaction must not hold its locks for ever."""

# A server whose machine has gone says nothing: noticed within about 20 s.
_LIVELINESS = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 2,
    "tcp_user_timeout": 20_000,
}

_OUTAGES = ("08", "25006", "28", "3D", "3F", "40", "42501", "42703", "42P01", "53", "55", "57",
            "58", "F0", "XX")  # fmt: skip
"""Beginnings of codes of what may go through later: no connection, a standby that only reads, no
right or no table (yet), a deadlock, no room, a lock, a shutdown, broken files.

Source: PostgreSQL 17, appendix A, error codes.
"""


def make_engine(url: URL, busy_ms: int, statement_ms: int | None) -> Engine:
    """Prepare connections; see `catalogue.engine.make_engine`."""
    longest = STATEMENT_MS if statement_ms is None else statement_ms
    # What the URL says counts.
    asked = {"connect_timeout": CONNECT_S, **_LIVELINESS, "application_name": "callrec-pbx"}
    engine = create_engine(
        url.set(drivername="postgresql+psycopg"),
        connect_args={
            **{name: value for name, value in asked.items() if name not in url.query},
            "client_encoding": "utf8",
        },
        isolation_level="READ COMMITTED",
        pool_pre_ping=True,
        # Errors are logged, and the parameters are callers' numbers and names.
        hide_parameters=True,
    )

    def on_connect(connection: Any, _record: Any) -> None:
        connection.autocommit = True
        # 0 would be for ever.
        connection.execute(
            f"SET lock_timeout = {max(busy_ms, 1)}; SET statement_timeout = {longest};"
            f" SET idle_in_transaction_session_timeout = {IDLE_MS}; SET TIME ZONE 'UTC'"
        )
        connection.autocommit = False

    event.listen(engine, "connect", on_connect)
    event.listen(engine, "handle_error", _hide_rows)
    return engine


def _hide_rows(context: ExceptionContext) -> None:
    """Leave out the detail of an error: it has the values of the row that was refused."""
    raised, shown = context.original_exception, context.sqlalchemy_exception
    said = getattr(getattr(raised, "diag", None), "message_primary", None)
    if said is not None and shown is not None:
        raised.args = (said,)
        shown.args = (f"({type(raised).__module__}.{type(raised).__name__}) {said}",)


def reading(engine: Engine) -> Engine:
    """The same database for reading alone, in transactions that see one moment."""
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def is_outage(error: BaseException | None) -> bool | None:
    """Whether an error of the server's is an outage; None: it is none of the server's."""
    code = getattr(error, "sqlstate", None)
    return code.startswith(_OUTAGES) if isinstance(code, str) else None


def unusable(connection: Connection) -> str:
    """Why this server or database cannot be used, with the remedy; empty when it can."""
    version = connection.dialect.server_version_info or (0,)
    if int(version[0]) < OLDEST:
        found = ".".join(map(str, version))
        return f"is PostgreSQL {found}; use PostgreSQL {OLDEST} or later"
    encoding = connection.exec_driver_sql("SHOW server_encoding").scalar()
    if encoding != "UTF8":
        return (
            f"has the encoding {encoding}, in which names can be lost; create the database again"
            " with ENCODING 'UTF8' TEMPLATE template0"
        )
    return ""


def alone_to_migrate(connection: Connection) -> None:
    """Wait, however long, until nobody else migrates; then for a table only a little.

    Whoever waits for a table keeps all who come later from it.
    """
    connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
    lock(connection, "migrate")
    connection.exec_driver_sql(f"SET LOCAL lock_timeout = {TABLE_MS}")


def lock(connection: Connection, what: str) -> None:
    """Take an advisory lock until the transaction ends."""
    connection.execute(
        text("SELECT pg_advisory_xact_lock(:space, hashtext(:what))"),
        {"space": LOCK_SPACE, "what": what},
    )


def remedy(error: BaseException | None) -> str:
    """What the administrator does about an error of the server's, or of reaching it."""
    code = getattr(error, "sqlstate", None)
    if code is not None:
        return _BY_CODE.get(code, _SEE)
    return next((what for hint, what in (_WRONG | _AWAY).items() if hint in str(error)), _SEE)


def will_pass(error: BaseException | None) -> bool:
    """Whether a server may yet be reached that was not, with the same address."""
    if getattr(error, "sqlstate", None) is not None:
        return bool(is_outage(error))
    return not any(hint in str(error) for hint in _WRONG)


_SEE = "see docs/postgresql.md, and the server's log"

_BY_CODE = {
    "42501": "let this role make tables: GRANT CREATE, USAGE ON SCHEMA public TO callrec",
    "55P03": "something else works on these tables for long; end it, and try again",
    "25006": "this server is a standby that only reads; give the address of the one that writes",
    "53300": "raise the server's max_connections, or end other connections",
}

# Who is turned away at the door is told no code, in English on most servers.
_WRONG = {
    "password authentication failed": "check the role and its password in catalogue.url",
    "no password supplied": "give a password in catalogue.url, or in a password file (pgpass)",
    "Peer authentication failed": "run as the system's user of that name, or name a host",
    "no pg_hba.conf entry": "let this host and role in, in the server's pg_hba.conf",
    'role "': "create it: CREATE ROLE callrec LOGIN PASSWORD '...'",
    'database "': "create it: CREATE DATABASE callrec OWNER callrec ENCODING 'UTF8' "
    "TEMPLATE template0",
}
_AWAY = {
    "Connection refused": "start the server, or correct host and port in catalogue.url",
    "No such file or directory": "start the server, or correct the host in catalogue.url",
    "could not translate host name": "correct the host in catalogue.url",
    "failed to resolve host": "correct the host in catalogue.url",
    "timeout": "check host, port, and the firewall on the way",
    "starting up": "wait until it has started",
}


@dataclass(frozen=True, slots=True)
class State:
    """How a server is.

    Attributes:
        size: Of the database, in bytes.
        read_only: Whether it is a standby, or told to refuse changes.
        commits_are_kept: Whether what it has confirmed is there after a crash.
    """

    version: str
    size: int
    read_only: bool
    connections_left: int
    commits_are_kept: bool


def state(connection: Connection) -> State:
    """Ask a server how it is."""
    row = connection.exec_driver_sql(
        "SELECT current_setting('server_version'), pg_database_size(current_database()),"
        " pg_is_in_recovery() OR current_setting('default_transaction_read_only')::bool,"
        " current_setting('max_connections')::int"
        " - current_setting('superuser_reserved_connections')::int"
        " - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),"
        " current_setting('fsync')::bool AND current_setting('synchronous_commit') <> 'off'"
    ).one()
    return State(str(row[0]), int(row[1]), bool(row[2]), int(row[3]), bool(row[4]))
