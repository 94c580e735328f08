"""`callrec-pbx policy`: the policy, its versions, and what it says of a call."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.cli import policy_check, policy_exclude, policy_try
from callrec_pbx.cli.common import console, plain, print_json, shown, shown_time, site
from callrec_pbx.cli.people_common import AuthorOption, CommentOption, JsonOption
from callrec_pbx.cli.policy_common import (
    FileArgument,
    VersionOption,
    known,
    print_changes,
    read_text,
    tell,
    version_text,
)
from callrec_pbx.people.following import MARK
from callrec_pbx.people.versions import Version, people_versions, versions
from callrec_pbx.policy import change, store
from callrec_pbx.policy.diff import change_document, changes, value_text
from callrec_pbx.policy.document import CRITERIA, EXAMPLE, parse
from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.toml_text import to_toml
from callrec_pbx.policy.written import KINDS, to_document, to_json
from callrec_pbx.storage.serial import time_to_text

MOST = 10_000
SHOWN = 5
"""How many changes of people `diff` shows of a version; `people history` has all of them."""

app = typer.Typer(
    help="The policy: what is recorded, and how; its versions; what it says of a call.",
    no_args_is_help=True,
)
app.add_typer(policy_exclude.app, name="exclude")
app.command("explain")(policy_try.explain)
app.command("test")(policy_try.try_cases)
app.command("check")(policy_check.check)
app.command("countries")(policy_check.countries)

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be changed.")]


@app.command()
def show(ctx: typer.Context, version: VersionOption = None, as_json: JsonOption = False) -> None:
    """Show the policy in short: its rules in order, settings of places, holidays."""
    with site(ctx) as here:
        number, text = version_text(here, version)
        with reading(here.engine).begin() as connection:
            changed = store.text_version(connection, number)
    if as_json:
        print_json(
            {
                "version": number,
                "last_changed": None if changed is None else _version(changed),
                "policy": to_json(text),
            }
        )
        return
    by = f", last changed in {_line(changed)}" if changed is not None else ""
    typer.echo(plain(f"version {number}{by}"))
    document = to_document(text)
    _print_rules(document.get("rule", []))
    _print_places(document)
    for holiday in document.get("holiday", []):
        said = " ".join(value_text(value) for value in holiday.values())
        typer.echo(plain(f"holiday {said}"))
    count = len(text.excluded_numbers)
    typer.echo(f"{count or 'no'} excluded numbers")


@app.command()
def export(
    ctx: typer.Context,
    version: VersionOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; else standard output.")
    ] = None,
) -> None:
    """Print the policy in TOML, as `apply` takes it."""
    with site(ctx) as here:
        number, text = version_text(here, version)
        with reading(here.engine).begin() as connection:
            changed = store.text_version(connection, number)
    toml = to_toml(text, [_line(changed)] if changed is not None else [])
    if output is None:
        typer.echo(toml, nl=False)
        return
    try:
        output.write_text(toml)
    except OSError as error:
        raise PolicyFileError.one(
            output, f"cannot be written ({error.strerror})", "choose another file"
        ) from error


@app.command()
def apply(
    ctx: typer.Context,
    file: FileArgument,
    *,
    dry_run: DryRunOption = False,
    if_none: Annotated[
        bool, typer.Option("--if-none", help="Only where no policy was applied before.")
    ] = False,
    expect_version: Annotated[
        int | None,
        typer.Option(
            "--expect-version",
            help="The version that FILE was made from; refused if the policy was changed since.",
        ),
    ] = None,
    empty: Annotated[
        bool, typer.Option("--empty", help="Take a FILE without any rule, setting or number too.")
    ] = False,
    author: AuthorOption,
    comment: CommentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make FILE the policy; a running listener takes it over by itself.

    Excluded numbers that FILE does not name are not excluded any more; the output says so.
    """
    with site(ctx) as here:
        if if_none and _keep(here.engine, as_json=as_json):
            return
        text, source = read_text(file)
        result = change.apply(
            here.engine,
            parse(text, source),
            known(here),
            source=source,
            author=author,
            comment=comment,
            expected_version=expect_version,
            empty=empty,
            dry_run=dry_run,
        )
    tell(result, as_json=as_json, dry_run=dry_run)


@app.command()
def history(
    ctx: typer.Context,
    limit: Annotated[int, typer.Option(help="How many at the most.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """List the versions, newest first, with what was changed; also of people and places."""
    if not 1 <= limit <= MOST:
        raise typer.BadParameter(f"{limit}: give 1 to {MOST}", param_hint="--limit")
    with site(ctx) as here, reading(here.engine).begin() as connection:
        found = versions(connection, limit=limit)
    if as_json:
        print_json({"versions": [_version(one) for one in found]})
        return
    for one in found:
        restored = f", as in version {one.restored_from}" if one.restored_from is not None else ""
        typer.echo(plain(f"{_line(one)} ({one.kind}{restored})"))
        for line in one.changes:
            typer.echo(plain(f"    {line}"))
    if not found:
        typer.echo("no versions")


@app.command()
def diff(
    ctx: typer.Context,
    old: Annotated[int, typer.Argument(metavar="A", help="A version.")],
    new: Annotated[
        int | None, typer.Argument(metavar="B", help="Another one; else the newest.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what version B has that version A has not, and the other way round.

    Of people and places, which are no part of the policy's text, it shows what was changed between.
    """
    with site(ctx) as here:
        before, after = version_text(here, old), version_text(here, new)
        first, last = sorted((before[0], after[0]))
        with reading(here.engine).begin() as connection:
            of_people = people_versions(connection, first, last)
    found = changes(before[1], after[1])
    if as_json:
        print_json(
            {
                "from": before[0],
                "to": after[0],
                "changes": [change_document(one) for one in found],
                "people": [
                    {"version": one.version, "changes": _of_people(one)} for one in of_people
                ],
            }
        )
        return
    print_changes(found)
    if not found:
        but = ", but people and places were changed:" if of_people else ""
        typer.echo(f"versions {before[0]} and {after[0]} say the same{but}")
    for one in of_people:
        lines = _of_people(one)
        for line in lines[:SHOWN]:
            typer.echo(plain(f"people, version {one.version}: {line}"))
        if len(lines) > SHOWN:
            typer.echo(f"    ... (callrec-pbx people history --version {one.version} shows all)")


@app.command()
def rollback(
    ctx: typer.Context,
    version: Annotated[int, typer.Argument(metavar="N", help="The version to bring back.")],
    *,
    dry_run: DryRunOption = False,
    expect_version: Annotated[
        int | None,
        typer.Option(
            "--expect-version",
            help="The version that you have seen; refused if the policy was changed since.",
        ),
    ] = None,
    with_excluded: Annotated[
        bool,
        typer.Option("--with-excluded", help="Exclude who was excluded then, and nobody else."),
    ] = False,
    author: AuthorOption,
    comment: CommentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Make the policy what it was in version N, as a new version; people and places stay.

    Who is excluded now stays so, also where version N does not exclude them.
    """
    with site(ctx) as here:
        result = change.rollback(
            here.engine,
            version,
            known(here),
            author=author,
            comment=comment,
            expected_version=expect_version,
            with_excluded=with_excluded,
            dry_run=dry_run,
        )
    tell(result, as_json=as_json, dry_run=dry_run)


@app.command()
def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to write it.")] = Path(
        "policy.toml"
    ),
) -> None:
    """Write an example of a policy, with every setting in it."""
    try:
        with file.open("x") as out:
            out.write(EXAMPLE.read_text())
    except FileExistsError:
        raise PolicyFileError.one(file, "is there already", "name another file") from None
    except OSError as error:
        raise PolicyFileError.one(
            file, f"cannot be written ({error.strerror})", "name another file"
        ) from error
    typer.echo(f"{file}: change it, then `callrec-pbx policy apply {file} --dry-run`")


def _keep(engine: Engine, *, as_json: bool) -> bool:
    """Whether there is a policy already; says so."""
    with reading(engine).begin() as connection:
        found = store.text_version(connection)
    if found is None:
        return False
    if as_json:
        print_json({"dry_run": False, "version": found.version, "changed": False, "changes": []})
    else:
        typer.echo(plain(f"nothing to change: there is a policy, {_line(found)}"))
    return True


def _of_people(version: Version) -> list[str]:
    """What a version has changed of people and places."""
    return [line for line in version.changes if not line.startswith(MARK)]


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "at": time_to_text(version.at),
        "author": version.author,
        "comment": version.comment,
        "kind": version.kind,
        "changes": list(version.changes),
        "restored_from": version.restored_from,
    }


def _line(version: Version) -> str:
    comment = f": {version.comment}" if version.comment else ""
    return f"version {version.version} of {shown_time(version.at)} by {version.author}{comment}"


def _print_rules(rules: list[dict[str, Any]]) -> None:
    table = Table("", "Rule", "Mode", "Counts for", "Settings")
    for number, rule in enumerate(rules, 1):
        counts = [name for name in CRITERIA if name in rule]
        counts += [name for name in ("when", "valid_from", "valid_to") if name in rule]
        others = [name for name in rule if name not in (*counts, "name", "mode", "enabled")]
        off = "" if rule.get("enabled", True) else " (off)"
        table.add_row(
            str(number),
            shown(rule["name"]) + off,
            rule["mode"],
            shown(_said(rule, counts)) or "every call",
            shown(_said(rule, others)),
        )
    console().print(table if rules else "no rules: nothing is recorded")


def _print_places(document: dict[str, Any]) -> None:
    table = Table("Place", "Name", "Tenant", "Settings")
    for kind in KINDS:
        for place in document.get(kind, []):
            names = [name for name in place if name not in ("name", "tenant")]
            table.add_row(
                kind,
                shown(place.get("name", "")),
                shown(place.get("tenant", "")),
                shown(_said(place, names)),
            )
    if table.row_count:
        console().print(table)


def _said(table: dict[str, Any], names: list[str]) -> str:
    return ", ".join(f"{name} {value_text(table[name])}" for name in names)
