"""The policy's versions in the database: reading one, and adding one.

The text is kept whole with each version that changes it. Excluded numbers are rows of their own
with the versions in which they count, so that many of them cost nothing per version.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, cast

from sqlalchemy import Connection, Engine, Table, bindparam, insert, or_, select, update

from callrec_pbx.catalogue.audit import Detail
from callrec_pbx.catalogue.people_models import ExcludedNumberRow, VersionKind
from callrec_pbx.domain.policy.rules import PolicyText
from callrec_pbx.people import versions
from callrec_pbx.people.versions import POLICY_VERSION, Version
from callrec_pbx.policy.diff import Change, changes
from callrec_pbx.policy.document import from_document
from callrec_pbx.policy.errors import NoSuchVersionError, PolicyChangedError, PolicyFileError
from callrec_pbx.policy.written import KINDS, to_json

EXCLUDED = cast(Table, ExcludedNumberRow.__table__)

WITH_SETTINGS = (*KINDS, "rule")
"""The tables of a document that have settings."""

LINES_KEPT = 50
"""Lines of a change that its version keeps; the document has the rest."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What came of saving.

    Attributes:
        version: The new version; the current one when nothing was changed.
        before: The version that it follows.
    """

    version: int
    before: int
    changes: tuple[Change, ...]


def current(connection: Connection) -> tuple[int, PolicyText]:
    """The newest version, 0 when there is none, and the policy as it is in it."""
    version = versions.current_version(connection)
    return version, _text_of(connection, version)


def at(connection: Connection, version: int) -> PolicyText:
    """The policy as it was in a version; version 0 is the empty one before the first.

    Raises:
        NoSuchVersionError: there is no such version.
    """
    newest = versions.current_version(connection)
    if not 0 <= version <= newest:
        raise NoSuchVersionError(
            f"version {version}: there is none; the newest is {newest}, and "
            "`callrec-pbx policy history` shows all"
        )
    return _text_of(connection, version)


def text_version(connection: Connection, until: int | None = None) -> Version | None:
    """The newest version that changed the policy, by itself or with the people whom it names.

    Args:
        until: The newest up to that version.
    """
    columns = [column for column in POLICY_VERSION.c if column.name != "document"]
    query = select(*columns).where(POLICY_VERSION.c.kind.in_(versions.OF_THE_POLICY))
    if until is not None:
        query = query.where(POLICY_VERSION.c.version <= until)
    row = connection.execute(query.order_by(POLICY_VERSION.c.version.desc()).limit(1)).mappings()
    found = row.first()
    return None if found is None else Version(**(dict(found) | {"changes": tuple(found.changes)}))


def save(
    engine: Engine,
    text: PolicyText,
    author: str,
    comment: str = "",
    *,
    expected_version: int | None = None,
    restored_from: int | None = None,
    dry_run: bool = False,
) -> Saved:
    """Make a policy the current one; when it says what the current one says, nothing is done.

    Args:
        text: Resolved, see `references`.
        expected_version: The version that the author started from; None takes any.
        restored_from: The version that is brought back by it.
        dry_run: Only say what would be changed.

    Raises:
        PolicyChangedError: The policy was changed after the expected version.
    """
    with engine.begin() as connection:
        return save_within(
            connection,
            text,
            author,
            comment,
            expected_version=expected_version,
            restored_from=restored_from,
            dry_run=dry_run,
        )


def save_within(
    connection: Connection,
    text: PolicyText,
    author: str,
    comment: str = "",
    *,
    expected_version: int | None = None,
    restored_from: int | None = None,
    dry_run: bool = False,
) -> Saved:
    """The same as `save`, in a transaction that has begun."""
    before = versions.lock(connection)
    _check_expected(connection, expected_version, before)
    found = changes(_text_replaced(connection, before), text)
    if not found or dry_run:
        return Saved(before, before, found)
    rules_changed = any(change.kind != "excluded" for change in found)
    version = versions.next_version(
        connection,
        author,
        comment,
        VersionKind.POLICY if restored_from is None else VersionKind.ROLLBACK,
        changes=lines_of(found),
        document=to_json(replace(text, excluded_numbers=())) if rules_changed else None,
        restored_from=restored_from,
        trails={"": _told(found)},
    )
    _write_excluded(connection, version, text.excluded_numbers)
    return Saved(version, before, found)


def change_excluded(
    engine: Engine,
    author: str,
    comment: str = "",
    *,
    add: Iterable[str] = (),
    remove: Iterable[str] = (),
    dry_run: bool = False,
) -> Saved:
    """Add and remove excluded numbers; one that is there already, or is not there, is left out.

    Args:
        add: Numbers as the policy has them; see `values.number_pattern`.
        dry_run: Only say what would be changed.
    """
    with engine.begin() as connection:
        before = versions.lock(connection)
        there = excluded_at(connection, before)
        wanted = dict.fromkeys((*there, *add))
        for number in remove:
            wanted.pop(number, None)
        old = PolicyText(excluded_numbers=there)
        found = changes(old, PolicyText(excluded_numbers=tuple(wanted)))
        if not found or dry_run:
            return Saved(before, before, found)
        version = versions.next_version(
            connection,
            author,
            comment,
            VersionKind.POLICY,
            changes=lines_of(found),
            trails={"": _told(found)},
        )
        _write_excluded(connection, version, wanted)
        return Saved(version, before, found)


def excluded_at(connection: Connection, version: int) -> tuple[str, ...]:
    """The excluded numbers of a version, sorted."""
    query = select(EXCLUDED.c.number).where(
        EXCLUDED.c.since <= version,
        or_(EXCLUDED.c.until.is_(None), EXCLUDED.c.until > version),
    )
    return tuple(sorted(connection.execute(query).scalars()))


def text_alone(connection: Connection, version: int) -> PolicyText:
    """The policy as it was in a version, without the excluded numbers."""
    query = (
        select(POLICY_VERSION.c.version, POLICY_VERSION.c.document)
        .where(POLICY_VERSION.c.version <= version, POLICY_VERSION.c.document.is_not(None))
        .order_by(POLICY_VERSION.c.version.desc())
        .limit(1)
    )
    row = connection.execute(query).first()
    if row is None:
        return PolicyText()
    return from_document(_as_now(row.document), f"version {row.version}")


def _as_now(document: dict[str, Any]) -> dict[str, Any]:
    """A document as an earlier version kept it: its days of retention are a plan now."""
    return {
        key: [_part_as_now(part) for part in value] if key in WITH_SETTINGS else value
        for key, value in document.items()
    }


def _part_as_now(part: dict[str, Any]) -> dict[str, Any]:
    return {"retention" if key == "retention_days" else key: value for key, value in part.items()}


def _text_of(connection: Connection, version: int) -> PolicyText:
    text = text_alone(connection, version)
    return replace(text, excluded_numbers=excluded_at(connection, version))


def _text_replaced(connection: Connection, version: int) -> PolicyText:
    """The policy that a new one replaces; one that cannot be read must not stand in its way."""
    try:
        return _text_of(connection, version)
    except PolicyFileError:
        return PolicyText(excluded_numbers=excluded_at(connection, version))


def _check_expected(connection: Connection, expected: int | None, before: int) -> None:
    if expected is None:
        return
    if expected > before:
        raise NoSuchVersionError(f"version {expected}: there is none; the newest is {before}")
    newest = text_version(connection)
    if newest is not None and newest.version > expected:
        raise PolicyChangedError(
            f"version {expected}: {newest.author} has changed the policy since, in version "
            f"{newest.version}; export that one, and make your change in it"
        )


def lines_of(found: tuple[Change, ...]) -> list[str]:
    """The lines of changes that a version keeps."""
    lines = [str(change) for change in found[:LINES_KEPT]]
    if len(found) > LINES_KEPT:
        lines.append(f"and {len(found) - LINES_KEPT} more")
    return lines


def _told(found: tuple[Change, ...]) -> dict[str, Detail]:
    """How much of what has changed, for the audit trail: never an excluded number itself."""
    told: Counter[str] = Counter()
    for change in found:
        told[f"{change.kind}_{change.did.name.lower()}"] += len(change.numbers) or 1
    return dict(told)


def _write_excluded(connection: Connection, version: int, numbers: Iterable[str]) -> None:
    """Bring the rows to those numbers from that version on."""
    query = select(EXCLUDED.c.id, EXCLUDED.c.number).where(EXCLUDED.c.until.is_(None))
    there = {number: row_id for row_id, number in connection.execute(query)}
    wanted = dict.fromkeys(numbers)
    ended = [{"row": row_id} for number, row_id in there.items() if number not in wanted]
    added = [{"number": number, "since": version} for number in wanted if number not in there]
    if ended:
        end = update(EXCLUDED).where(EXCLUDED.c.id == bindparam("row")).values(until=version)
        connection.execute(end, ended)
    if added:
        connection.execute(insert(EXCLUDED), added)
