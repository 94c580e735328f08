"""Showing what setup would change, to people and to programs."""

from collections import Counter
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.syntax import Syntax

from callrec_pbx.audio.manifest import SUFFIX_OF_RATE
from callrec_pbx.setup.plan import Plan

AUDIO = SUFFIX_OF_RATE.values()


def show(plan: Plan) -> None:
    """Print a plan: the diff of what changes, the names of what comes and goes, the notes."""
    console = Console(highlight=False, soft_wrap=True)
    for change in plan.files:
        if change.action == "change" and (diff := change.diff()):
            console.print(Syntax(diff, "diff", theme="ansi_dark", background_color="default"))
    for new in plan.folders:
        typer.echo(f"make folder {new.path}")
    audio: Counter[tuple[str, Path]] = Counter()
    for change in plan.files:
        if change.path.suffix in AUDIO:
            audio[change.action, change.path.parent] += 1
        elif change.action != "change":
            typer.echo(f"{change.action} {change.path}")
    for (action, folder), count in audio.items():
        typer.echo(f"{action} {count} audio files in {folder}")
    for old in plan.old_folders:
        typer.echo(f"remove folder {old}, if it is empty then")
    for note in plan.notes:
        typer.echo(f"note: {note}")
    if plan.empty:
        typer.echo("nothing to change: everything is in place")


def document(plan: Plan, applied: bool, outputs: list[tuple[str, str]]) -> dict[str, Any]:
    """Return a plan and what came of it, for JSON."""
    return {
        "changes": [
            {"path": str(change.path), "action": change.action, "diff": change.diff()}
            for change in plan.files
        ],
        "folders_made": [str(folder.path) for folder in plan.folders],
        "folders_removed": [str(folder) for folder in plan.old_folders],
        "notes": plan.notes,
        "applied": applied,
        "reloaded": [{"command": command, "output": output} for command, output in outputs],
    }
