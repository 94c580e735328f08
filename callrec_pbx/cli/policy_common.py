"""What the commands of the policy share."""

import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.cli.common import Site, plain, print_json
from callrec_pbx.config import Problem
from callrec_pbx.domain.people import People
from callrec_pbx.domain.policy import Policy, PolicyText
from callrec_pbx.domain.words import Switch
from callrec_pbx.people.load import load_people
from callrec_pbx.policy import store
from callrec_pbx.policy.change import Result, known_to
from callrec_pbx.policy.diff import Change, change_document
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.load import compiled, defaults_of
from callrec_pbx.policy.references import Known, resolve

STDIN = Path("-")

FileArgument = Annotated[
    Path, typer.Argument(metavar="FILE", help="A policy in TOML; - reads standard input.")
]
VersionOption = Annotated[
    int | None, typer.Option("--version", help="Version of the policy; else the newest.")
]
PolicyFileOption = Annotated[
    Path | None, typer.Option("--file", help="A policy in TOML, in place of one that is kept.")
]

AsIfOnOption = Annotated[
    bool, typer.Option("--as-if-on", help="As if recording were switched on for every tenant.")
]


def read_text(file: Path) -> tuple[str, str]:
    """The text of a file, and what error messages call it.

    Raises:
        PolicyFileError: It cannot be read.
    """
    name = "standard input" if file == STDIN else str(file)
    try:
        data = sys.stdin.buffer.read() if file == STDIN else file.read_bytes()
        return data.decode("utf-8-sig"), name
    except FileNotFoundError:
        raise PolicyFileError.one(
            name, "there is no such file", "see that it is spelt right"
        ) from None
    except IsADirectoryError:
        raise PolicyFileError.one(
            name, "cannot be read: it is a directory", "name a file in it"
        ) from None
    except OSError as error:
        raise PolicyFileError.one(
            name, f"cannot be read ({error.strerror})", "check its permissions"
        ) from error
    except UnicodeDecodeError as error:
        raise PolicyFileError.one(name, "is not UTF-8", "save it as UTF-8") from error


def people_of(engine: Engine) -> People:
    """Everybody, now."""
    with reading(engine).begin() as connection:
        return load_people(connection)


def known(here: Site) -> Known:
    """What a policy may name here."""
    return known_to(people_of(here.engine), here.config.sounds_dir)


def wanted_policy(
    here: Site, version: int | None, file: Path | None, today: date, *, as_if_on: bool = False
) -> tuple[Policy, tuple[Problem, ...]]:
    """The policy to try: of a version, of a file, or the newest; and what looks odd in a file.

    People and places are always those of now.
    """
    if version is not None and file is not None:
        raise typer.BadParameter("give a version or a file, not both", param_hint="--file")
    warnings: tuple[Problem, ...] = ()
    if file is not None:
        text, called = read_text(file)
        there = known(here)
        people = there.people
        resolved = resolve(parse(text, called), there, called)
        kept, warnings = resolved.text, resolved.warnings
    else:
        with reading(here.engine).begin() as connection:
            people = load_people(connection)
            number, kept = store.current(connection)
            if version is not None:
                number, kept = version, store.at(connection, version)
        called = str(number)
    if as_if_on:
        people = _switched_on(people)
    return compiled(called, kept, people, defaults_of(here.config), today), warnings


def _switched_on(people: People) -> People:
    tenants = {
        name: replace(tenant, recording=Switch.ON) for name, tenant in people.tenants.items()
    }
    return replace(people, tenants=tenants)


def version_text(here: Site, version: int | None) -> tuple[int, PolicyText]:
    """A version of the policy, or the newest."""
    with reading(here.engine).begin() as connection:
        if version is None:
            return store.current(connection)
        return version, store.at(connection, version)


def warn(warnings: tuple[Problem, ...]) -> None:
    """Tell what looks odd."""
    for warning in warnings:
        typer.echo(f"warning: {plain(str(warning))}", err=True)


def print_changes(changes: tuple[Change, ...]) -> None:
    """What differs, a line for each part of the policy."""
    for change in changes:
        typer.echo(plain(str(change)))


def tell(result: Result, *, as_json: bool, dry_run: bool) -> None:
    """Print what came of a change."""
    warn(result.warnings)
    if as_json:
        print_json(
            {
                "dry_run": dry_run,
                "version": result.version,
                "changed": bool(result.changes) and not dry_run,
                "changes": [change_document(change) for change in result.changes],
                "warnings": [str(warning) for warning in result.warnings],
                "remarks": list(result.remarks),
            }
        )
        return
    print_changes(result.changes)
    for remark in result.remarks:
        typer.echo(f"note: {plain(remark)}")
    if not result.changes:
        typer.echo(f"nothing to change: version {result.version} says the same")
    elif dry_run:
        typer.echo("dry run: nothing was changed")
    else:
        typer.echo(f"version {result.version}")
