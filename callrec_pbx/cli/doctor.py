"""`callrec-pbx doctor`: what is right, what is not, and how to mend it."""

import asyncio
import json
from typing import Annotated

import typer

from callrec_pbx.doctor.examine import examine
from callrec_pbx.doctor.finding import Finding, Status

COLOURS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}


def doctor(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Check everything between a call and its recording; exit status 1 when something fails."""
    findings = asyncio.run(examine(ctx.obj))
    failed = any(finding.status is Status.FAIL for finding in findings)
    if as_json:
        checks = [
            {"name": f.check, "status": f.status.value, "seen": f.seen, "remedy": f.remedy}
            for f in findings
        ]
        typer.echo(json.dumps({"ok": not failed, "checks": checks}, indent=2, ensure_ascii=False))
    else:
        _print(findings)
    if failed:
        raise typer.Exit(1)


def _print(findings: list[Finding]) -> None:
    width = max(len(finding.check) for finding in findings)
    for finding in findings:
        status = typer.style(f"{finding.status.value:4}", fg=COLOURS[finding.status])
        typer.echo(f"{status}  {finding.check:{width}}  {finding.seen}")
        if finding.remedy:
            typer.echo(f"      {'':{width}}  -> {finding.remedy}")
