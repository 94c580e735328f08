"""`callrec-pbx policy exclude`: numbers that are never recorded."""

from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy import Engine

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.cli.common import plain, print_json, site
from callrec_pbx.cli.people_common import AuthorOption, CommentOption, JsonOption
from callrec_pbx.cli.policy_common import read_text, tell
from callrec_pbx.config.checks import BadValueError
from callrec_pbx.people.versions import current_version
from callrec_pbx.policy import excluded, store
from callrec_pbx.policy.change import Result
from callrec_pbx.policy.values import number_pattern

app = typer.Typer(help="Outside numbers that are never recorded.", no_args_is_help=True)

NumbersArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="NUMBER...", help="Numbers in any spelling; * for any characters, ? for one."
    ),
]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be changed.")]


@app.command()
def add(
    ctx: typer.Context,
    numbers: NumbersArgument,
    *,
    dry_run: DryRunOption = False,
    author: AuthorOption,
    comment: CommentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Exclude numbers; those that are excluded already are left as they are."""
    wanted = [_number(number) for number in numbers]
    with site(ctx) as here:
        new = excluded.new_among(wanted, *_there(here.engine))
        saved = store.change_excluded(here.engine, author, comment, add=new, dry_run=dry_run)
    tell(Result(saved.version, saved.changes), as_json=as_json, dry_run=dry_run)


@app.command()
def remove(
    ctx: typer.Context,
    numbers: NumbersArgument,
    *,
    dry_run: DryRunOption = False,
    author: AuthorOption,
    comment: CommentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Exclude numbers no longer, in whatever spelling; all of them must be excluded now."""
    wanted = [_number(number) for number in numbers]
    with site(ctx) as here:
        gone = excluded.entries_of(wanted, *_there(here.engine))
        saved = store.change_excluded(here.engine, author, comment, remove=gone, dry_run=dry_run)
    tell(Result(saved.version, saved.changes), as_json=as_json, dry_run=dry_run)


@app.command("list")
def list_(
    ctx: typer.Context,
    numbers: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NUMBER]...", help="Only these; * for any characters, ? for one."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List excluded numbers as written and, where that is another, after a # as read."""
    with site(ctx) as here:
        there, countries = _there(here.engine)
    found = excluded.like(there, map(_number, numbers or ()), countries)
    readings = {number: list(excluded.readings_of(number, countries)) for number in found}
    if as_json:
        print_json({"excluded_numbers": list(found), "readings": readings})
        return
    for number in found:
        # A remark to `import`, which can read the list.
        plainly = readings[number] == [excluded.key_of(number)]
        remark = "" if plainly else f"  # {', '.join(readings[number])}"
        typer.echo(plain(number + remark))
    if not found:
        typer.echo("no excluded numbers")


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="A number in each line, # before a remark; - reads standard input."
        ),
    ],
    *,
    replace: Annotated[
        bool, typer.Option("--replace", help="Exclude those that FILE does not have no longer.")
    ] = False,
    dry_run: DryRunOption = False,
    author: AuthorOption,
    comment: CommentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Exclude the numbers of a file; all or none."""
    text, source = read_text(file)
    wanted = excluded.parse_numbers(text, source)
    with site(ctx) as here:
        there, countries = _there(here.engine)
        gone = excluded.gone_from(there, wanted, countries) if replace else ()
        stay = set(there).difference(gone)
        saved = store.change_excluded(
            here.engine,
            author,
            comment,
            add=excluded.new_among(wanted, stay, countries),
            remove=gone,
            dry_run=dry_run,
        )
    tell(Result(saved.version, saved.changes), as_json=as_json, dry_run=dry_run)


def _there(engine: Engine) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The numbers that are excluded now, and the countries as whose they are read."""
    with reading(engine).begin() as connection:
        there = store.excluded_at(connection, current_version(connection))
        return there, excluded.home_countries(connection)


def _number(value: str) -> str:
    try:
        return number_pattern(value)
    except BadValueError as error:
        raise typer.BadParameter(f"{value!r} {error}", param_hint="NUMBER") from None
