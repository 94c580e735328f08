"""`callrec-pbx people`: CSV in and out, and the history of changes."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.cli.common import (
    console,
    plain,
    print_json,
    progress_bar,
    shown,
    shown_time,
    site,
)
from callrec_pbx.cli.people_common import (
    AuthorOption,
    CommentOption,
    JsonOption,
    TenantOption,
    tenant_of,
)
from callrec_pbx.people.following import MARK
from callrec_pbx.people.history import Logged, changes_of
from callrec_pbx.people.importing import LineReport, Report, Status
from callrec_pbx.people.kinds import KINDS
from callrec_pbx.people.lookup import listed
from callrec_pbx.people.table import write_table
from callrec_pbx.people.versions import OF_PEOPLE, Version, find_version, versions
from callrec_pbx.policy.people import import_table
from callrec_pbx.storage.serial import time_to_text

MOST = 10_000
COUNTED = {
    Status.ADDED: "added",
    Status.CHANGED: "changed",
    Status.UNCHANGED: "unchanged",
    Status.ERROR: "wrong",
}
SHOWN = 3
"""How many changes of a version the list shows."""

app = typer.Typer(help="People and places: CSV, and the history.", no_args_is_help=True)


class FileKind(StrEnum):
    """What a CSV file can hold."""

    USER = "user"
    LINE = "line"
    DDI = "ddi"
    QUEUE = "queue"
    SITE = "site"
    DEPARTMENT = "department"
    PROFILE = "profile"


KindOption = Annotated[FileKind, typer.Option("--kind", help="What the file holds.")]


@app.command("import")
def import_(
    ctx: typer.Context,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, readable=True, help="A CSV file.")
    ],
    *,
    kind: KindOption,
    update: Annotated[
        bool,
        typer.Option("--update", help="Change what is there already; empty cells change nothing."),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only report what would be changed.")
    ] = False,
    tenant: TenantOption = None,
    author: AuthorOption,
    comment: CommentOption = "",
    as_json: JsonOption = False,
) -> None:
    """Add what FILE holds, all or nothing, and report line by line.

    An empty cell leaves what is there already as it is (the command `set` of its kind empties a
    field), and is the field's default for what is new.

    Exit status 2 when a line is wrong; nothing is changed then.
    """
    with site(ctx) as here, progress_bar(quiet=as_json) as bar:
        task = bar.add_task("importing", total=None)
        report = import_table(
            here.engine,
            Entity(kind),
            file.read_bytes(),
            author=author,
            comment=comment,
            tenant=tenant,
            update=update,
            dry_run=dry_run,
            planned=lambda rows: bar.update(task, total=rows),
            progress=lambda: bar.advance(task),
        )
    if as_json:
        print_json(_report_document(report, dry_run=dry_run))
    else:
        _print_report(report, dry_run=dry_run)
    if report.failed:
        raise typer.Exit(2)


@app.command()
def export(
    ctx: typer.Context,
    *,
    kind: KindOption,
    tenant: TenantOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="File to write; else it is printed.")
    ] = None,
) -> None:
    """Write a CSV file that `people import` reads."""
    with site(ctx) as here:
        belonging = {Entity.TENANT: tenant_of(here.engine, tenant)} if tenant else {}
        with reading(here.engine).begin() as connection:
            things = listed(connection, Entity(kind), belonging)
    text = "".join(write_table(things, KINDS[Entity(kind)]))
    if output is None:
        typer.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


@app.command()
def history(
    ctx: typer.Context,
    *,
    version: Annotated[
        int | None, typer.Option("--version", help="All changes of this version.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many versions at the most.")] = 20,
    as_json: JsonOption = False,
) -> None:
    """Show who has changed people and places, newest first."""
    if not 1 <= limit <= MOST:
        raise typer.BadParameter(f"{limit}: give 1 to {MOST}", param_hint="--limit")
    with site(ctx) as here, reading(here.engine).begin() as connection:
        if version is None:
            found = versions(connection, OF_PEOPLE, limit)
            logged: list[Logged] = []
        else:
            one = find_version(connection, version)
            found = [one] if one is not None and one.kind in OF_PEOPLE else []
            logged = changes_of(connection, version)
    if version is not None and not found:
        raise typer.BadParameter(
            f"{version} is no version of people and places; callrec-pbx people history shows them",
            param_hint="--version",
        )
    if version is None:
        _print_versions(found, as_json=as_json)
    else:
        _print_changes(found[0], logged, as_json=as_json)


def _report_document(report: Report, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "version": report.version,
        **{str(status): report.count(status) for status in Status},
        "lines": [
            {
                "line": line.line,
                "what": line.what,
                "status": str(line.status),
                "differences": [
                    {"field": one.field, "old": one.old, "new": one.new} for one in line.differences
                ],
                "problems": [
                    {
                        "column": one.field,
                        "value": one.value,
                        "problem": one.text,
                        "remedy": one.remedy,
                    }
                    for one in line.problems
                ],
            }
            for line in report.lines
        ],
    }


def _print_report(report: Report, *, dry_run: bool) -> None:
    for line in report.lines:
        for text in _texts(line):
            typer.echo(plain(f"line {line.line}: {text}"), err=line.status is Status.ERROR)
    counts = ", ".join(f"{report.count(status)} {words}" for status, words in COUNTED.items())
    if report.failed:
        typer.echo(f"{counts}; nothing was changed", err=True)
    elif dry_run:
        typer.echo(f"{counts}; dry run: nothing was changed")
    elif report.version is None:
        typer.echo(f"{counts}; nothing to change")
    else:
        typer.echo(f"{counts}; version {report.version}")


def _texts(line: LineReport) -> list[str]:
    what = f" {line.what}" if line.what else ""
    if line.problems:
        return [f"{line.status}{what}: {one}" for one in line.problems]
    differences = ", ".join(map(str, line.differences))
    return [f"{line.status}{what}" + (f": {differences}" if differences else "")]


def _print_versions(found: list[Version], *, as_json: bool) -> None:
    if as_json:
        print_json({"versions": [_version(one) for one in found]})
        return
    table = Table("Version", "At", "Author", "Comment", "Changes")
    for one in found:
        lines = [shown(line) for line in one.changes[:SHOWN]]
        if len(one.changes) > SHOWN:
            lines.append(f"... (--version {one.version} shows all)")
        table.add_row(
            str(one.version),
            shown_time(one.at),
            shown(one.author),
            shown(one.comment),
            "\n".join(lines),
        )
    console().print(table if found else "no changes")


def _print_changes(version: Version, logged: list[Logged], *, as_json: bool) -> None:
    if as_json:
        changes = [
            {"entity": str(one.entity), "key": one.key, "before": one.before, "after": one.after}
            for one in logged
        ]
        print_json(_version(version) | {"changes": changes, "policy": _of_policy(version)})
        return
    typer.echo(plain(f"version {version.version}, {shown_time(version.at)}, {version.author}"))
    if version.comment:
        typer.echo(plain(version.comment))
    for line in (*map(str, logged), *_of_policy(version)):
        typer.echo(plain(line))


def _of_policy(version: Version) -> list[str]:
    """What a version has changed of the policy's text, where it names what was changed."""
    return [line for line in version.changes if line.startswith(MARK)]


def _version(version: Version) -> dict[str, Any]:
    return {
        "version": version.version,
        "at": time_to_text(version.at),
        "author": version.author,
        "comment": version.comment,
        "changes": list(version.changes),
    }
