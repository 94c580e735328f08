"""Changing the policy: looked through, compared, and kept as a new version."""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import Engine

from callrec_pbx.audio.manifest import PromptError, PromptSet
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.config import Problem, installed_languages
from callrec_pbx.domain.people import People
from callrec_pbx.domain.policy.rules import PolicyText
from callrec_pbx.policy import store
from callrec_pbx.policy.diff import Change
from callrec_pbx.policy.references import Known, resolve
from callrec_pbx.resources import resource_dir


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a change.

    Attributes:
        version: The new version; the current one where nothing was changed.
        warnings: What looks odd and may be meant so.
    """

    version: int
    changes: tuple[Change, ...]
    warnings: tuple[Problem, ...] = ()


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
    dry_run: bool = False,
) -> Result:
    """Make a policy the current one.

    Args:
        source: The file, as error messages name it.
        expected_version: The version that the author started from; None takes any.
        dry_run: Only look through it and compare.

    Raises:
        PolicyFileError: It names what is not there, or lacks consent.
        PolicyChangedError: Somebody else has changed the policy meanwhile.
    """
    resolved = resolve(text, known, source)
    saved = store.save(
        engine,
        resolved.text,
        author,
        comment,
        expected_version=expected_version,
        dry_run=dry_run,
    )
    return Result(saved.version, saved.changes, resolved.warnings)


def rollback(
    engine: Engine,
    version: int,
    known: Known,
    *,
    author: str,
    comment: str = "",
    dry_run: bool = False,
) -> Result:
    """Make the policy what it was in a version; people and places stay as they are.

    Raises:
        NoSuchVersionError: There is no such version.
        PolicyFileError: It names what is not there any more.
    """
    with reading(engine).begin() as connection:
        text = store.at(connection, version)
    resolved = resolve(text, known, f"version {version}")
    saved = store.save(
        engine, resolved.text, author, comment, restored_from=version, dry_run=dry_run
    )
    return Result(saved.version, saved.changes, resolved.warnings)
