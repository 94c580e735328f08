"""The criteria of a search as streams: parts of an index whose keys lie in order of time.

A key is the time of a recording, and its id. Each stream is what one value of a criterion has in
one index; to read some keys of it costs the same however many there are.

SQL is written out here: hundreds of these statements are made for a busy console, and putting
them together by SQLAlchemy takes longer than the database does. Names of tables and columns are
this module's; all values are bound.
"""

# ruff: noqa: S608 - names are this module's own, values are bound

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from sqlalchemy import Connection, Dialect, text

from callrec_pbx.catalogue.models import PlainText
from callrec_pbx.catalogue.search_rows import LONGEST
from callrec_pbx.catalogue.search_terms import Search, length_bands, part

MOST_STREAMS = 4_000
"""A criterion of more is looked at row by row, and drives no search."""

Value = str | int | bool
Stream = tuple[Value, ...]
WithTenants = Callable[[Sequence[Value]], tuple[Stream, ...] | None]


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion of a search.

    Attributes:
        table: In whose index its streams lie.
        columns: What a stream has a value of, with the types that PostgreSQL has for them.
        streams: Those that have all recordings which fit; None: too many.
        test: An SQL expression on a row `r` of `recording`; empty: all in the streams fit.
        values: What the test compares with.
        exact: Whether the streams have no others, so that who reads them need not test.
    """

    table: str
    columns: Mapping[str, str]
    streams: tuple[Stream, ...] | None
    test: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
    exact: bool = True


_WORDS = {
    "owner": "owners",
    "line": "lines",
    "ddi": "ddis",
    "queue": "queues",
    "department": "departments",
    "site": "sites",
    "direction": "directions",
    "consent_outcome": "consents",
    "state": "states",
}
"""Columns of words, and what a search calls them."""

_CUT = ("ddis", "queues", "tags")
"""Words that come from outside, of any length; the columns have the beginning."""

_PLAIN = PlainText()

_TENANTS = text(
    "WITH RECURSIVE t(tenant) AS ("
    "SELECT (SELECT min(tenant) FROM recording)"
    " UNION ALL SELECT (SELECT min(r.tenant) FROM recording r WHERE r.tenant > t.tenant)"
    " FROM t WHERE t.tenant IS NOT NULL"
    ") SELECT tenant FROM t WHERE tenant IS NOT NULL"
)
"""One step in the index for each of them."""

_NUMBERS = text(
    "SELECT number_id FROM number_part WHERE part >= :part AND part < :beyond LIMIT :most"
)


def as_kept(search: Search, dialect: Dialect) -> Search:
    """A search whose words are as the columns have them."""
    kept: dict[str, Any] = {}
    for name in ("tenants", "tags", *_WORDS.values()):
        given = getattr(search, name)
        if given is None:
            continue
        words = (_PLAIN.process_bind_param(str(word), dialect) for word in given)
        longest = LONGEST if name in _CUT else None
        kept[name] = tuple(dict.fromkeys((word or "")[:longest] for word in words))
    return replace(search, **kept)


def base_of(search: Search) -> Criterion:
    """All recordings of the tenants."""
    if search.tenants is None:
        return Criterion("recording", {}, ((),))
    test, values = _one_of("tenant", search.tenants)
    streams = tuple((tenant,) for tenant in search.tenants)
    return Criterion("recording", {"tenant": "text"}, streams, test, values)


def criteria_of(connection: Connection, search: Search) -> list[Criterion]:
    """What else a recording has to be."""
    found: list[Criterion] = []
    tenants = search.tenants

    def with_tenants(values: Sequence[Value]) -> tuple[Stream, ...] | None:
        nonlocal tenants
        if tenants is None:
            tenants = tuple(connection.execute(_TENANTS).scalars())
        if len(tenants) * len(values) > MOST_STREAMS:
            return None
        return tuple(product(tenants, values))

    for column, name in _WORDS.items():
        if words := getattr(search, name):
            test, values = _one_of(column, words)
            columns = {"tenant": "text", column: "text"}
            found.append(Criterion("recording", columns, with_tenants(words), test, values))
    for column in ("flagged", "evaluated"):
        wanted = getattr(search, column)
        if wanted is not None:
            test, values = f"r.{column} = :{column}", {column: wanted}
            columns = {"tenant": "text", column: "boolean"}
            found.append(Criterion("recording", columns, with_tenants([wanted]), test, values))
    if search.longer_ms is not None or search.shorter_ms is not None:
        found.append(_length(search, with_tenants))
    if search.tags:
        found.append(_tags(search, with_tenants))
    if search.number:
        found.append(_number(connection, search))
    return found


def _length(search: Search, with_tenants: WithTenants) -> Criterion:
    bands = length_bands(search.longer_ms, search.shorter_ms)
    tests, values = ["r.audio_ms IS NOT NULL"], {}
    if search.longer_ms is not None:
        tests.append("r.audio_ms >= :longer_ms")
        values["longer_ms"] = search.longer_ms
    if search.shorter_ms is not None:
        tests.append("r.audio_ms < :shorter_ms")
        values["shorter_ms"] = search.shorter_ms
    columns = {"tenant": "text", "length_band": "integer"}
    return Criterion(
        "recording", columns, with_tenants(bands), " AND ".join(tests), values, exact=False
    )


def _tags(search: Search, with_tenants: WithTenants) -> Criterion:
    one_of, values = _one_of("tag", search.tags, "t")
    test = (
        f"EXISTS (SELECT 1 FROM recording_tag t WHERE t.tenant = r.tenant AND {one_of}"
        " AND t.created_at = r.created_at AND t.recording_id = r.recording_id)"
    )
    columns = {"tenant": "text", "tag": "text"}
    return Criterion("recording_tag", columns, with_tenants(search.tags), test, values)


def _number(connection: Connection, search: Search) -> Criterion:
    wanted = part(search.number)
    # Parts are made of 0-9 and a-z; `{` is the character after `z`.
    values = {"part": wanted, "beyond": wanted + "{", "most": MOST_STREAMS + 1}
    ids = connection.execute(_NUMBERS, values).scalars().all()
    # A number has some parts twice.
    streams = None if len(ids) > MOST_STREAMS else tuple((one,) for one in dict.fromkeys(ids))
    test, like = "r.numbers LIKE :number", {"number": f"%{wanted}%"}
    return Criterion("recording_number", {"number_id": "bigint"}, streams, test, like)


def _one_of(column: str, words: Sequence[str], row: str = "r") -> tuple[str, dict[str, Any]]:
    values = {f"{column}_{at}": word for at, word in enumerate(words)}
    return f"{row}.{column} IN ({', '.join(f':{name}' for name in values)})", values
