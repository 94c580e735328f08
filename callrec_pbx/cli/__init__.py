"""`callrec-pbx`: the commands, and how their errors are told."""

import importlib
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from callrec_pbx import __version__

OUR_PACKAGE = "callrec_pbx"

COMMANDS = {
    "run": "callrec_pbx.cli.run:run",
    "setup": "callrec_pbx.cli.setup:app",
    "doctor": "callrec_pbx.cli.doctor:doctor",
    "health": "callrec_pbx.cli.health:health",
    "migrate": "callrec_pbx.cli.migrate:migrate",
    "policy": "callrec_pbx.cli.policy:app",
    "recordings": "callrec_pbx.cli.recordings:app",
    "calls": "callrec_pbx.cli.calls:app",
    "account": "callrec_pbx.cli.account:account",
    "catalogue": "callrec_pbx.cli.catalogue:app",
    "tenant": "callrec_pbx.cli.people_tenant:app",
    "site": "callrec_pbx.cli.people_kinds:site_app",
    "department": "callrec_pbx.cli.people_kinds:department_app",
    "user": "callrec_pbx.cli.people_kinds:user_app",
    "profile": "callrec_pbx.cli.people_profile:app",
    "line": "callrec_pbx.cli.people_kinds:line_app",
    "ddi": "callrec_pbx.cli.people_kinds:ddi_app",
    "queue": "callrec_pbx.cli.people_kinds:queue_app",
    "people": "callrec_pbx.cli.people:app",
    "prompts": "callrec_pbx.cli.prompts:app",
    "retention": "callrec_pbx.cli.retention:app",
    "audit": "callrec_pbx.cli.audit:app",
    "evidence": "callrec_pbx.cli.evidence:evidence",
    "hold": "callrec_pbx.cli.holds:app",
    "erase": "callrec_pbx.cli.erase:erase",
}
"""Where each command is; it is loaded only when it is called."""


class Commands(TyperGroup):
    """The root group: loads a command's module on use, so that starting stays quick."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names, in the order of the manual."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """Load the command of that name; None for an unknown one."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(importlib.import_module(module), name)
        if not isinstance(found, typer.Typer):
            single = typer.Typer(add_completion=False)
            single.command(cmd_name)(found)
            found = single
        command = typer.main.get_command(found)
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Call recording for Asterisk and FreeSWITCH: consent, pause, catalogue, retention.",
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"callrec-pbx {__version__}")
        raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            help="Configuration file; else $CALLREC_CONFIG, else /etc/callrec-pbx/callrec.toml.",
            show_default=False,
        ),
    ] = None,
    debug: Annotated[  # noqa: ARG001 - main() looks for it
        bool, typer.Option("--debug", help="Show the traceback of an error.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback does it
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """Call recording for Asterisk and FreeSWITCH: consent, pause, catalogue, retention."""
    ctx.obj = config


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; an error is one clear message, and exit status 2 if it is ours."""
    try:
        app(arguments)
    except Exception as error:
        if "--debug" in (sys.argv if arguments is None else arguments):
            traceback.print_exc()
        sys.exit(tell(error))


def tell(error: Exception) -> int:
    """Print an error for people and return the exit status.

    Errors of this package say what to do, so they are shown as they are (status 2); any other is
    a defect or the machine's trouble (status 1).
    """
    if type(error).__module__.partition(".")[0] == OUR_PACKAGE:
        typer.echo(f"callrec-pbx: {error}", err=True)
        return 2
    kind = type(error).__name__
    typer.echo(f"callrec-pbx: {kind}: {error} (--debug shows where)", err=True)
    return 1
