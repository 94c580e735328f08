"""`callrec-pbx audit`: who did what; whether anybody has meddled with the record of it."""

import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain, islice
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from rich.table import Table

from callrec_pbx.catalogue import audit_export, audit_queries
from callrec_pbx.catalogue.audit import Action, Entry, append
from callrec_pbx.catalogue.audit_anchor import head_from, path_of
from callrec_pbx.catalogue.audit_chain import Detail, Head, Line, written_time
from callrec_pbx.catalogue.audit_export import ExportError, ExportFormat, verify_file
from callrec_pbx.catalogue.audit_queries import WantedLines
from callrec_pbx.catalogue.audit_verify import Finding
from callrec_pbx.catalogue.audit_whole import accept as accept_trail
from callrec_pbx.catalogue.audit_whole import verify_catalogue
from callrec_pbx.catalogue.engine import reading
from callrec_pbx.cli.call_facts import check_limit
from callrec_pbx.cli.common import (
    Site,
    beginning,
    check_order,
    console,
    ending,
    plain,
    print_json,
    progress_bar,
    shown,
    site,
)
from callrec_pbx.cli.people_common import actor

app = typer.Typer(help="Who did what, in a chain that shows tampering.", no_args_is_help=True)

MOST_FINDINGS = 1000
"""So many are shown; a trail with more is not worth reading on."""

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TenantOption = Annotated[
    str | None,
    typer.Option("--tenant", help="Only this one's; '' is that of the whole installation."),
]
FromOption = Annotated[
    str | None, typer.Option("--from", help="Date or time (local) of the first.")
]
ToOption = Annotated[
    str | None, typer.Option("--to", help="Date (included) or time (local) of the last.")
]


@app.command()
def verify(
    ctx: typer.Context,
    *,
    tenant: TenantOption = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="An export in JSON lines, in place of the catalogue."),
    ] = None,
    heads: Annotated[
        Path | None,
        typer.Option("--heads", help="What `audit head --json` said once: it must be there."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that no line was changed, removed, inserted or moved; exit status 1 if one was."""
    known = () if heads is None else _heads_of(heads)
    if tenant is not None:
        known = tuple(head for head in known if head.tenant == tenant)
    lines = 0
    with progress_bar(quiet=as_json) as bar:
        task = bar.add_task("verifying", total=None)

        def seen() -> None:
            nonlocal lines
            lines += 1
            bar.update(task, advance=1)

        if file is not None:
            with _opened(file) as rows:
                found = _few(verify_file(_each(rows, seen), known))
        else:
            with site(ctx) as here:
                if not known:
                    _check_trail(here, tenant)
                found = _few(
                    verify_catalogue(
                        here.engine,
                        here.config.recordings.directory,
                        tenant=tenant,
                        heads=known,
                        counted=lambda total: bar.update(task, total=total),
                        seen=seen,
                    )
                )
    # The first line of an export is about the others.
    _tell(found, lines - (file is not None), as_json=as_json)
    if found:
        raise typer.Exit(1)


@app.command("list")
def list_(
    ctx: typer.Context,
    *,
    start: FromOption = None,
    end: ToOption = None,
    tenant: TenantOption = None,
    actor: Annotated[str | None, typer.Option(help="Only what this one did.")] = None,
    action: Annotated[
        list[Action] | None, typer.Option(help="Only this was done; repeatable.")
    ] = None,
    kind: Annotated[str | None, typer.Option(help="Only to this kind of thing.")] = None,
    subject: Annotated[str | None, typer.Option(help="Only to what has this id or name.")] = None,
    after: Annotated[
        str | None, typer.Option(help="Go on where the page before ended, as it says.")
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at the most.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List lines of the trail, newest first."""
    check_limit(limit)
    wanted = WantedLines(
        start=beginning(start, "--from"),
        end=ending(end, "--to"),
        tenant=tenant,
        actor=actor,
        actions=tuple(action or ()),
        kind=kind,
        subject=subject,
        after=after,
        limit=limit,
    )
    check_order(wanted.start, wanted.end, end)
    with site(ctx) as here, reading(here.engine).begin() as connection:
        page = audit_queries.page(connection, wanted)
    if as_json:
        print_json({"lines": [line_document(one) for one in page.lines], "more": page.more})
        return
    print_lines(page.lines)
    if page.more is not None:
        typer.echo(f"more: --after {plain(page.more)!r}")


@app.command()
def head(ctx: typer.Context, *, tenant: TenantOption = None, as_json: JsonOption = False) -> None:
    """Show the last line of each trail; kept elsewhere, it proves later that none is cut off."""
    with site(ctx) as here, reading(here.engine).begin() as connection:
        found = audit_queries.heads(connection, tenant)
    if as_json:
        print_json({"heads": [asdict(one) for one in found]})
        return
    table = Table("Tenant", "Line", "At", "Hash")
    for one in found:
        table.add_row(shown(one.tenant), str(one.seq), shown(one.at), shown(one.hash))
    console().print(table if found else "no lines")


@app.command()
def export(
    ctx: typer.Context,
    *,
    form: Annotated[ExportFormat, typer.Option("--format", help="How it is written.")],
    start: FromOption = None,
    end: ToOption = None,
    tenant: TenantOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", help="A new file; else standard output.")
    ] = None,
) -> None:
    """Write the trail for others: CSV, or JSON lines that they can verify. Itself a line of it."""
    since, until = beginning(start, "--from"), ending(end, "--to")
    check_order(since, until, end)
    # First, so that nobody is refused only when the line that says so is written.
    with written(output) as out, site(ctx) as here, progress_bar(quiet=output is None) as bar:
        detail: dict[str, Detail] = {
            "format": str(form),
            "from": None if since is None else written_time(since),
            "to": None if until is None else written_time(until),
        }
        _check_trail(here, tenant)
        entry = Entry(tenant or "", actor(), Action.EXPORT, "audit", tenant or "", detail)
        with here.engine.begin() as connection:
            append(connection, entry)
        with reading(here.engine).begin() as connection:
            parts = audit_queries.parts(connection, since, until, tenant)
            lines = chain.from_iterable(
                audit_queries.part_lines(connection, part) for part in parts
            )
            total = sum(part.last.seq - part.begins.seq for part in parts)
            tracked = bar.track(lines, total=total, description="exporting")
            if form is ExportFormat.CSV:
                count = audit_export.write_csv(tracked, out)
            else:
                count = audit_export.write_jsonl(tracked, parts, out, since, until)
    if output is not None:
        typer.echo(f"{count} lines written to {plain(str(output))}")


@app.command()
def accept(
    ctx: typer.Context,
    *,
    tenant: Annotated[
        str, typer.Option("--tenant", help="Whose trail; '' is that of the whole installation.")
    ],
    why: Annotated[str, typer.Option("--why", help="What has happened to the trail.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Go on with a trail that is not the one it was, as after a restore; the trail says so.

    The catalogue is not changed but for one line, which names the last line that there was; what is
    wrong within the trail stays to be found.
    """
    if not why.strip():
        raise typer.BadParameter("is empty; say what has happened", param_hint="--why")
    with site(ctx) as here:
        _check_trail(here, tenant)
        if not yes:
            typer.confirm(
                "Its end can no longer be checked against what it was before. Accept the trail?",
                abort=True,
            )
        directory = here.config.recordings.directory
        made = accept_trail(here.engine, directory, tenant, actor=actor(), why=why)
    typer.echo(f"line {made.seq} says so; the trail is checked from there on")


def _check_trail(here: Site, tenant: str | None) -> None:
    """Refuse a misspelt tenant: a trail that never was would be called intact."""
    if not tenant or path_of(here.config.recordings.directory, tenant).exists():
        return
    with reading(here.engine).begin() as connection:
        if audit_queries.heads(connection, tenant):
            return
    raise typer.BadParameter(
        f"{tenant!r} has no trail; `callrec-pbx audit head` shows whose there are",
        param_hint="--tenant",
    )


def line_document(line: Line) -> dict[str, Any]:
    """A line as JSON has it."""
    try:
        detail = json.loads(line.detail)
    except ValueError:
        # Somebody has meddled with it, which `verify` says.
        detail = line.detail
    return asdict(line) | {"detail": detail}


def print_lines(lines: list[Line]) -> None:
    """Print lines as a table."""
    table = Table("At", "Tenant", "Line", "Who", "Did", "To", "Detail")
    for line in lines:
        table.add_row(
            shown(line.at[:19].replace("T", " ") + "Z"),
            shown(line.tenant),
            str(line.seq),
            shown(line.actor),
            shown(line.action),
            shown(f"{line.kind} {line.subject}".strip()),
            shown("" if line.detail == "{}" else line.detail),
        )
    console().print(table if lines else "no lines")


@contextmanager
def written(output: Path | None) -> Iterator[TextIO]:
    """Where an export goes: a new file, whole or not at all, or standard output.

    Raises:
        ExportError: the file is there already, or cannot be written.
    """
    if output is None:
        yield sys.stdout
        return
    if output.exists():
        raise ExportError(f"--output {plain(str(output))}: is there already; name a new file")
    beside = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o640)
    except OSError as error:
        raise ExportError(
            f"--output {plain(str(output))}: {error.strerror}; name a file in a folder that this "
            "user may write"
        ) from None
    try:
        with open(handle, "w", encoding="utf-8", newline="") as out:  # noqa: PTH123
            yield out
        beside.rename(output)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _few(found: Iterable[Finding]) -> list[Finding]:
    return list(islice(found, MOST_FINDINGS))


def _each(rows: Iterable[str], seen: Any) -> Iterator[str]:
    for row in rows:
        seen()
        yield row


def _tell(found: list[Finding], lines: int, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {"intact": not found, "lines": lines, "findings": [asdict(one) for one in found]}
        )
        return
    for one in found:
        typer.echo(plain(str(one)))
    if len(found) == MOST_FINDINGS:
        typer.echo(f"only the first {MOST_FINDINGS} are shown")
    typer.echo(f"{lines} lines: " + (f"{len(found)} findings" if found else "intact"))


def _heads_of(file: Path) -> tuple[Head, ...]:
    with _opened(file) as text:
        try:
            return tuple(head_from(one) for one in json.load(text)["heads"])
        except (ValueError, KeyError, TypeError):
            raise ExportError(
                f"--heads {plain(str(file))}: is not what `callrec-pbx audit head --json` prints"
            ) from None


@contextmanager
def _opened(file: Path) -> Iterator[TextIO]:
    try:
        text = file.open(encoding="utf-8", newline="\n")
    except OSError as error:
        raise ExportError(f"{plain(str(file))}: {error.strerror}; name a file to read") from None
    with text:
        try:
            yield text
        except UnicodeDecodeError:
            raise ExportError(f"{plain(str(file))}: is not UTF-8") from None
