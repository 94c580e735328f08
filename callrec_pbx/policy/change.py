"""Changing the policy: looked through, compared, and kept as a new version."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy import Connection, Engine

from callrec_pbx.audio.manifest import PromptError, PromptSet
from callrec_pbx.config import Problem, installed_languages
from callrec_pbx.domain.people import People
from callrec_pbx.domain.policy.rules import OPEN, PolicyText
from callrec_pbx.people import versions
from callrec_pbx.people.load import load_people
from callrec_pbx.policy import excluded, store
from callrec_pbx.policy.diff import Change, Did
from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.following import brought_forward
from callrec_pbx.policy.references import Known, Resolved, resolve
from callrec_pbx.policy.store import Saved
from callrec_pbx.resources import resource_dir


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a change.

    Attributes:
        version: The new version; the current one where nothing was changed.
        warnings: What looks odd and may be meant so.
        remarks: What nobody should overlook among the changes.
    """

    version: int
    changes: tuple[Change, ...]
    warnings: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = ()


def known_to(people: People, sounds_dir: Path) -> Known:
    """What a policy may name: these people and places, and the prompts there are.

    Args:
        sounds_dir: Where the PBX has its prompts; the shipped ones count too.
    """
    names: set[str] = set()
    for folder in (resource_dir("prompts"), sounds_dir):
        try:
            names.update(prompt.name for prompt in PromptSet.load(folder).prompts)
        except PromptError:
            continue  # not installed yet, or broken, which the doctor reports
    return Known(people, frozenset(installed_languages(sounds_dir)), frozenset(names))


def apply(
    engine: Engine,
    text: PolicyText,
    known: Known,
    *,
    source: str,
    author: str,
    comment: str = "",
    expected_version: int | None = None,
    empty: bool = False,
    dry_run: bool = False,
) -> Result:
    """Make a policy the current one.

    Args:
        known: What it may name; the people are read again, when nobody else can change them.
        source: The file, as error messages name it.
        expected_version: The version that the author started from; None takes any.
        empty: Whether a policy may be taken that says nothing.
        dry_run: Only look through it and compare.

    Raises:
        PolicyFileError: It names what is not there, lacks consent, or says nothing.
        PolicyChangedError: Somebody else has changed the policy meanwhile.
    """
    with engine.begin() as connection:
        resolved = _resolved(connection, text, known, source)
        if not empty and _says_nothing(text):
            raise PolicyFileError.one(
                source,
                "has no rule, no setting and no excluded number: nothing would be recorded any "
                "more, and nobody be excluded",
                "see that it is the file that you mean; --empty applies it all the same",
            )
        saved = store.save_within(
            connection,
            resolved.text,
            author,
            comment,
            expected_version=expected_version,
            dry_run=dry_run,
        )
    return _result(saved, resolved)


def rollback(
    engine: Engine,
    version: int,
    known: Known,
    *,
    author: str,
    comment: str = "",
    expected_version: int | None = None,
    with_excluded: bool = False,
    dry_run: bool = False,
) -> Result:
    """Make the policy what it was in a version; people and places stay as they are.

    Whom it named it names again, by the names that they have by now. Who is excluded now stays so:
    people who have asked for it since must not be recorded because a rule was wrong.

    Args:
        expected_version: The version that the author has seen; None takes any.
        with_excluded: Whether the excluded numbers become what they were, too.

    Raises:
        NoSuchVersionError: There is no such version.
        PolicyChangedError: Somebody else has changed the policy meanwhile.
        PolicyFileError: It names what is not there any more.
    """
    source = f"version {version}"
    with engine.begin() as connection:
        now = versions.lock(connection)
        text, problems = brought_forward(connection, store.at(connection, version), version)
        if problems:
            raise PolicyFileError(
                Problem(
                    source,
                    "",
                    None,
                    f"with the names that people and places have now, {problem}",
                    "export it, change that, and apply it",
                )
                for problem in problems
            )
        kept: tuple[str, ...] = ()
        if not with_excluded:
            there = store.excluded_at(connection, now)
            kept = tuple(number for number in there if number not in text.excluded_numbers)
            text = replace(text, excluded_numbers=_united(there, text.excluded_numbers))
        resolved = _resolved(connection, text, known, source)
        saved = store.save_within(
            connection,
            resolved.text,
            author,
            comment,
            expected_version=expected_version,
            restored_from=version,
            dry_run=dry_run,
        )
    result = _result(saved, resolved)
    if not kept:
        return result
    stay = (
        f"{_counted(kept)} that {source} does not have stay{'s' if len(kept) == 1 else ''} "
        "excluded; --with-excluded makes them what they were"
    )
    return replace(result, remarks=(*result.remarks, stay))


def _united(there: tuple[str, ...], former: tuple[str, ...]) -> tuple[str, ...]:
    """All that is excluded now, and what was and is not in any spelling."""
    return (*there, *excluded.new_among(former, there))


def _says_nothing(text: PolicyText) -> bool:
    settings = any(place.settings != OPEN for place in text.places)
    return not (text.rules or settings or text.excluded_numbers)


def _result(saved: Saved, resolved: Resolved) -> Result:
    return Result(
        saved.version,
        saved.changes,
        resolved.warnings,
        tuple(_remarks(saved.changes, resolved.text)),
    )


def _remarks(found: tuple[Change, ...], text: PolicyText) -> Iterator[str]:
    gone = [change for change in found if change.did is Did.REMOVED]
    rules = sum(change.kind == "rule" for change in gone)
    if rules and not text.rules:
        what = "the only rule is" if rules == 1 else f"all {rules} rules are"
        yield f"{what} taken away: nothing is recorded any more"
    for change in gone:
        # One that is there in another spelling now is still excluded.
        numbers = excluded.new_among(change.numbers, text.excluded_numbers)
        if numbers:
            are = "is" if len(numbers) == 1 else "are"
            yield (
                f"{_counted(numbers)} {are} excluded no longer: calls with them are "
                "recorded where a rule says so"
            )


def _counted(numbers: tuple[str, ...]) -> str:
    return "1 number" if len(numbers) == 1 else f"{len(numbers)} numbers"


def _resolved(connection: Connection, text: PolicyText, known: Known, source: str) -> Resolved:
    """The policy, looked through while nobody can rename or remove what it names."""
    versions.lock(connection)
    return resolve(text, replace(known, people=load_people(connection)), source)
