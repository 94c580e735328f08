"""Taking people and places over from a CSV file: all of it, or nothing."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

from sqlalchemy import Engine

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.config.checks import BadValueError
from callrec_pbx.people.change import Difference, differences
from callrec_pbx.people.changes import Changes, changing
from callrec_pbx.people.checking import check_values, problem
from callrec_pbx.people.errors import PeopleError, Problem, shown_value
from callrec_pbx.people.following import Follow
from callrec_pbx.people.kinds import KINDS, Key, Kind, changed
from callrec_pbx.people.table import TableRow, columns, read_table
from callrec_pbx.people.tenants import which_tenant

MANY = 200
"""From how many rows on whole kinds are read at once, rather than row by row."""


class Status(StrEnum):
    """What comes of a line."""

    ADDED = "added"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LineReport:
    """What comes of one line of the file.

    Attributes:
        line: Its number, from 1.
        what: The thing that it is about; empty when that cannot be told.
    """

    line: int
    what: str
    status: Status
    differences: tuple[Difference, ...] = ()
    problems: tuple[Problem, ...] = ()


@dataclass(slots=True)
class Report:
    """What comes of a file.

    Attributes:
        version: The version that it made; None if nothing was changed.
    """

    lines: list[LineReport] = field(default_factory=list)
    version: int | None = None

    def count(self, status: Status) -> int:
        """How many lines came to that."""
        return sum(line.status is status for line in self.lines)

    @property
    def failed(self) -> bool:
        """Whether there is an error; then nothing was changed."""
        return self.count(Status.ERROR) > 0


def import_table(
    engine: Engine,
    entity: Entity,
    data: bytes,
    *,
    author: str,
    comment: str = "",
    tenant: str | None = None,
    update: bool = False,
    dry_run: bool = False,
    planned: Callable[[int], None] = lambda _rows: None,
    progress: Callable[[], None] = lambda: None,
    follow: Follow,
) -> Report:
    """Add the things of a CSV file, in one version; with any error nothing is changed.

    `policy.people.import_table` is for everybody who imports them: it has the policy follow.

    Args:
        engine: The catalogue.
        entity: Their kind.
        data: The file.
        author: Who imports it.
        comment: Why.
        tenant: The tenant of rows that name none; needed when there are several.
        update: Change what is there already; else that is an error, unless it is the same.
        dry_run: Only report.
        planned: Told how many rows there are.
        progress: Told of each row done.
        follow: Begins what goes along with the change.

    Raises:
        PeopleError: it is no such file, or its header is wrong.
    """
    kind = KINDS[entity]
    rows = read_table(data, kind)
    planned(len(rows))
    report = Report()
    with changing(
        engine, author=author, comment=comment, dry_run=dry_run, follow=follow
    ) as changes:
        importing = _Importing(changes, kind, tenant, update)
        if len(rows) >= MANY:
            importing.preload()
        for row in rows:
            report.lines.append(importing.take(row))
            progress()
        if report.failed:
            changes.discard()
    report.version = changes.version
    return report


class _Importing:
    """An import in the making: what one line after the other comes to."""

    def __init__(self, changes: Changes, kind: Kind, tenant: str | None, update: bool) -> None:
        self._changes = changes
        self._kind = kind
        self._tenant = tenant
        self._tenants = changes.tenants()
        self._update = update
        self._columns = {column.name: column for column in columns(kind)}
        self._lines: dict[Key, int] = {}

    def preload(self) -> None:
        """Read all that rows may be about or refer to."""
        self._changes.preload(self._kind.entity)
        for column in self._columns.values():
            if column.refers is not None:
                self._changes.preload(column.refers)

    def take(self, row: TableRow) -> LineReport:
        """Add, change or leave what a row is about."""
        try:
            values = self._values(row)
            return self._apply(row.line, values)
        except PeopleError as error:
            return LineReport(row.line, error.what, Status.ERROR, problems=error.problems)

    def _values(self, row: TableRow) -> dict[str, Any]:
        """The checked values of a row.

        Raises:
            PeopleError: some are wrong.
        """
        if row.cells is None:
            raise PeopleError.one(
                "",
                "has more or fewer cells than the header",
                "give as many; a cell with a separator in it stands in quotation marks",
            )
        values: dict[str, Any] = {}
        problems: list[Problem] = []
        for name, text in row.cells.items():
            if not text.strip() and name in self._kind.defaults:
                # As it is; for a new thing the field's default.
                continue
            try:
                values[name] = self._columns[name].parse(text)
            except BadValueError as error:
                problems.append(problem(name, text, error))
        if self._kind.of_tenant and not values.setdefault("tenant", ""):
            try:
                values["tenant"] = which_tenant(self._tenant, self._tenants)
            except PeopleError as error:
                del values["tenant"]
                (found,) = error.problems
                problems.append(replace(found, field="tenant"))
        kept, more = check_values(self._kind, values)
        problems += more
        if problems:
            problems += self._changes.missing(self._kind.entity, kept)
            raise PeopleError(self._what(kept), problems)
        return kept

    def _what(self, values: dict[str, Any]) -> str:
        if all(name in values for name in self._kind.key):
            return self._kind.label(tuple(values[name] for name in self._kind.key))
        return ""

    def _apply(self, line: int, values: dict[str, Any]) -> LineReport:
        kind = self._kind
        key = tuple(values[name] for name in kind.key)
        what = kind.label(key)
        if key in self._lines:
            raise PeopleError.one(what, f"is on line {self._lines[key]} already", "keep one")
        self._lines[key] = line
        old = self._changes.get(kind.entity, key)
        if old is None:
            self._changes.add(kind.made(**values))
            return LineReport(line, what, Status.ADDED)
        differing = differences(old, changed(old, values))
        if not differing:
            return LineReport(line, what, Status.UNCHANGED)
        if not self._update:
            raise PeopleError(what, [self._differs(one) for one in differing])
        self._changes.set(kind.entity, key, values)
        return LineReport(line, what, Status.CHANGED, differing)

    def _differs(self, one: Difference) -> Problem:
        """The problem of a thing that is there, with another value."""
        remedy = self._kind.by_name[one.field].instead or "give --update to change it"
        text = f"is {one.old or 'empty'} where it is there already"
        return Problem(one.field, shown_value(one.new), text, remedy)
