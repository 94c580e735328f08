"""Fills a catalogue with recordings of a busy company, made by the database itself.

Ten percent of the calls are at odd hours, a tenth of all is internal; 1,000 users of whom a few
talk most, 50 queues, a million outside numbers, twenty tenants of which one is large; some values
are rare. Legs, consents and explanations are left out: no search looks at them.
"""

# ruff: noqa: E501 - SQL is easier to read in its own lines

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection, Engine

NUMBERS = 1_000_000
USERS = 1_000
DDIS = 100
DAYS = 3 * 365
FIRST_DAY = "2023-09-01"

# The n-th of numbers that look random, from 0 to 1, in 64 bits of either database.
_MIXED = "((n + {seed} * 1000003) * 48271 % 2147483647)"
_CHANCE = f"({_MIXED} * {_MIXED} % 2147483647 / 2147483647.0)"
# Of a day's calls few are at night, before eight and after six.
_SECOND = (
    "CASE WHEN f < 0.03 THEN f / 0.03 * 28800 WHEN f < 0.97 THEN 28800 + (f - 0.03) / 0.94 * 36000"
    " ELSE 64800 + (f - 0.97) / 0.03 * 21600 END"
)


def fill(engine: Engine, rows: int) -> dict[str, float]:
    """Fill an empty catalogue; returns the seconds that each step took."""
    took: dict[str, float] = {}
    sqlite = engine.dialect.name == "sqlite"
    pooled = engine.raw_connection()
    raw: Any = pooled.driver_connection
    if not sqlite:
        raw.autocommit = True
    # SQLite without a journal: what is cut off is thrown away.
    for setting in _SQLITE if sqlite else _POSTGRESQL:
        raw.execute(setting)
    indexes = list(_drop_indexes(raw, sqlite))
    for name, statement in _statements(sqlite, rows).items():
        with timed(took, name):
            raw.execute(statement)
    with timed(took, "indexes"):
        for index in indexes:
            raw.execute(index)
    with timed(took, "statistics"):
        raw.execute("ANALYZE" if sqlite else "VACUUM (ANALYZE)")
    pooled.invalidate()
    return took


_SQLITE = (
    "PRAGMA journal_mode=OFF",
    "PRAGMA synchronous=OFF",
    "PRAGMA cache_size=-1000000",
    "PRAGMA foreign_keys=OFF",
)
_POSTGRESQL = (
    "SET statement_timeout = 0",
    "SET maintenance_work_mem = '1GB'",
    "SET work_mem = '512MB'",
)


@contextmanager
def timed(took: dict[str, float], name: str) -> Iterator[None]:
    """Note how long something takes, and say so."""
    begin = time.perf_counter()
    yield
    took[name] = time.perf_counter() - begin
    print(f"  {name:18}{took[name]:8.0f} s", flush=True)


def _drop_indexes(raw: Any, sqlite: bool) -> Iterator[str]:
    """Drop the indexes that fill more quickly at once; gives what makes them again."""
    if sqlite:
        query = "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    else:
        query = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    tables = ("recording", "call", "leg")
    for name, statement in raw.execute(query).fetchall():
        if name.startswith(tuple(f"ix_{table}_" for table in tables)):
            raw.execute(f"DROP INDEX {name}")
            yield statement


def _statements(sqlite: bool, rows: int) -> dict[str, str]:
    chance = [_CHANCE.format(seed=seed) for seed in range(12)]
    numbers = _series(sqlite, NUMBERS)
    extensions, ddis = _series(sqlite, USERS), _series(sqlite, DDIS)
    per_day = max(1, rows // DAYS)
    columns = f"""
        SELECT n, n / {per_day} AS day, (n % {per_day}) * 1.0 / {per_day} AS f,
            {chance[1]} AS a, {chance[2]} AS b, {chance[3]} AS c, {chance[4]} AS d,
            {chance[5]} AS e, {chance[6]} AS g, {chance[7]} AS h, {chance[8]} AS i,
            {chance[9]} AS j, {chance[10]} AS k
        FROM {_series(sqlite, rows)}"""
    if sqlite:
        at = f"strftime('%Y-%m-%d %H:%M:%f', '{FIRST_DAY}', day || ' days', ({_SECOND}) || ' seconds') || '000'"
    else:
        at = f"timestamptz '{FIRST_DAY} 00:00+00' + day * interval '1 day' + ({_SECOND}) * interval '1 second'"
    floor = "CAST({} AS INTEGER)".format if sqlite else "CAST(floor({}) AS INTEGER)".format
    derived = f"""
        SELECT n, {at} AS at,
            CASE WHEN a < 0.8 THEN 't0' ELSE 't' || {floor("1 + (a - 0.8) * 95")} END AS tenant,
            {floor(f"b * b * {USERS}")} AS u,
            CASE WHEN c < 0.6 THEN 'inbound' WHEN c < 0.9 THEN 'outbound' ELSE 'internal' END AS way,
            CASE WHEN d < 0.00001 THEN 'rare' WHEN d < 0.4 THEN '' ELSE 'q' || {floor("(d - 0.4) / 0.6 * 50")} END AS queue,
            {floor(f"e * e * {NUMBERS}")} AS o,
            {floor(f"g * {DDIS}")} AS ddi,
            {floor("2000 + h * h * h * h * h * 3600000")} AS ms,
            i, j, k
        FROM ({columns}) AS x"""
    outside = "'467' || substr(CAST(100000000 + o * 7919 % 100000000 AS TEXT), 2)"
    if not sqlite:
        outside = outside.replace("o * 7919", "CAST(o AS BIGINT) * 7919")
    staged = f"CREATE {'TEMP' if sqlite else 'UNLOGGED'} TABLE staged AS {derived}"
    inside, dialled = "CAST(1000 + u AS TEXT)", "'46860' || CAST(10000 + ddi AS TEXT)"
    on, off = ("1", "0") if sqlite else ("true", "false")
    id_of = "'{}' || substr(CAST(10000000000 + n AS TEXT), 2) || '000000000000000'".format
    a = f"CASE way WHEN 'inbound' THEN '+' || {outside} ELSE {inside} END"
    b = f"CASE way WHEN 'inbound' THEN {inside} WHEN 'outbound' THEN '+' || {outside} ELSE '1000' END"
    ddi = f"CASE way WHEN 'inbound' THEN '+' || {dialled} ELSE '' END"
    consent = "CASE WHEN j < 0.01 THEN 'declined' WHEN j < 0.6 THEN 'announced' WHEN j < 0.8 THEN 'accepted' ELSE '' END"
    tag = "CASE WHEN k < 0.00001 THEN 'rare' WHEN k < 0.01 THEN 'complaint' ELSE '' END"
    bands = (0, 5, 10, 20, 30, 60, 120, 180, 300, 600, 900, 1200, 1800, 2700, 3600)
    band = (
        "CASE "
        + " ".join(f"WHEN ms >= {s * 1000} THEN {at}" for at, s in reversed(list(enumerate(bands))))
        + " END"
    )
    numbers_of = (
        f"CASE way WHEN 'inbound' THEN {inside} || ' ' || {outside} || ' ' || {dialled}"
        f" WHEN 'outbound' THEN {inside} || ' ' || {outside} ELSE {inside} || ' 1000' END"
    )
    json_tags = f"CASE {tag} WHEN '' THEN '[]' ELSE '[\"' || {tag} || '\"]' END"
    if not sqlite:
        json_tags = f"CAST({json_tags} AS JSON)"
    return {
        "staging": staged,
        "call": f"""INSERT INTO call (call_id, pbx_ids, started_at, direction, a_number, a_name,
            b_number, c_number, ddi, queue, answered_at, ended_at, outcome, reason, rule,
            policy_version, merged_into, tenant, transfers, pruned_at, pruned_by, prune_reason)
            SELECT {id_of("c")}, '[]', at, way, {a}, '', {b}, '', {ddi}, queue, at, at, 'recorded',
            'rule', 'r', '1', '', tenant, '[]', NULL, '', '' FROM staged ORDER BY n""",
        "recording": f"""INSERT INTO recording (recording_id, call_id, leg, channel, owner, state,
            created_at, started_at, ended_at, late_ms, reason, rule, policy_version, mode, consent,
            on_failure, notice, resume_after_s, language, delete_after, line, tenant, site,
            department, audio_ms, size, sha256, repaired, tags, flagged, evaluated, direction, ddi,
            queue, consent_outcome, numbers, length_band, pruned_at, pruned_by, prune_reason)
            SELECT {id_of("r")}, {id_of("c")}, '1.1', 'PJSIP/x', 'u' || u || '@example.com',
            CASE WHEN i < 0.001 THEN 'failed' WHEN i < 0.002 THEN 'interrupted' ELSE 'stored' END,
            at, at, at, 0, '', 'r', '1', 'always', 'opt_out', 'continue', 'beep', 0, 'en', NULL,
            {inside}, tenant, 's' || (u / 200), 'd' || (u / 50), ms, ms * 16, '', {off},
            {json_tags}, CASE WHEN i > 0.999 THEN {on} ELSE {off} END,
            CASE WHEN i > 0.98 THEN {on} ELSE {off} END, way, {ddi}, queue, {consent},
            {numbers_of}, {band}, NULL, '', '' FROM staged ORDER BY n""",
        "recording_tag": f"""INSERT INTO recording_tag (tenant, tag, created_at, recording_id)
            SELECT tenant, {tag}, at, {id_of("r")} FROM staged WHERE k < 0.01 ORDER BY 1, 2, 3, 4""",
        "number": f"""INSERT INTO number (id, digits)
            SELECT n + 1, {outside.replace("o", "n") if sqlite else outside.replace("o AS", "n AS")} FROM {numbers}
            UNION ALL SELECT {NUMBERS} + 1 + n, CAST(1000 + n AS TEXT) FROM {extensions}
            UNION ALL SELECT {NUMBERS + USERS} + 1 + n, '46860' || CAST(10000 + n AS TEXT)
            FROM {ddis}""",
        "number_part": f"""INSERT INTO number_part (part, number_id)
            SELECT substr(digits, CAST(n + 1 AS INTEGER)), id FROM number CROSS JOIN {_series(sqlite, 12)}
            WHERE n < length(digits) ORDER BY substr(digits, CAST(n + 1 AS INTEGER)), id""",
        "recording_number": f"""INSERT INTO recording_number (number_id, created_at, recording_id)
            SELECT o + 1, at, {id_of("r")} FROM staged WHERE way <> 'internal'
            UNION ALL SELECT {NUMBERS} + 1 + u, at, {id_of("r")} FROM staged
            UNION ALL SELECT {NUMBERS + USERS} + 1 + ddi, at, {id_of("r")} FROM staged
            WHERE way = 'inbound'
            UNION ALL SELECT {NUMBERS} + 1, at, {id_of("r")} FROM staged
            WHERE way = 'internal' AND u <> 0 ORDER BY 1, 2, 3""",
        "drop": "DROP TABLE staged",
    }  # fmt: skip


def _series(sqlite: bool, upto: int) -> str:
    """A table of the numbers from 0 on, with the column `n`."""
    if not sqlite:
        return f"(SELECT n FROM generate_series(CAST(0 AS BIGINT), {upto - 1}) AS n) AS s"
    return (
        f"(WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n < {upto - 1})"
        " SELECT n FROM s) AS s"
    )


def size_of(connection: Connection) -> int:
    """Bytes that the database takes."""
    if connection.dialect.name == "sqlite":
        pages: Any = connection.exec_driver_sql("PRAGMA page_count").scalar()
        return int(pages) * int(connection.exec_driver_sql("PRAGMA page_size").scalar() or 0)
    return int(
        connection.exec_driver_sql("SELECT pg_database_size(current_database())").scalar() or 0
    )
