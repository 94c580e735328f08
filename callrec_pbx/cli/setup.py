"""`callrec-pbx setup asterisk`: shows what it would change, asks, and does it."""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.syntax import Syntax

from callrec_pbx.audio.manifest import SUFFIX_OF_RATE
from callrec_pbx.config import Config, config_path, load_config
from callrec_pbx.setup import systemd as units_of_systemd
from callrec_pbx.setup.apply import apply
from callrec_pbx.setup.asterisk import asterisk_version, first_configuration, plan_setup
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.plan import Plan
from callrec_pbx.setup.reload import RELOADS, reload_asterisk
from callrec_pbx.setup.undo import plan_undo

app = typer.Typer(help="Put callrec-pbx beside the PBX.", no_args_is_help=True)

AUDIO = SUFFIX_OF_RATE.values()

DIALPLAN_LINES = """\
In your dialplan, before Dial or Queue:
    same => n,Gosub(callrec-offer,s,1(inbound,${EXTEN},${EXTEN},))   ; direction,line,ddi,queue
    same => n,Dial(PJSIP/${EXTEN},30,U(callrec-whisper))
or for a queue:
    same => n,Gosub(callrec-offer,s,1(inbound,,${EXTEN},sales))
    same => n,Queue(sales,,,,60,,callrec-whisper)
Directions are inbound, outbound and internal."""

NEXT = """\
Then:
    callrec-pbx migrate                           the catalogue
    callrec-pbx policy init policy.toml           what is to be recorded: an example to be changed
    callrec-pbx policy apply policy.toml
    callrec-pbx tenant set default --country GB   your own
    callrec-pbx tenant acknowledge                read it; then with --who and --text-version
    callrec-pbx tenant recording on
    callrec-pbx doctor                            says what is missing
    callrec-pbx run"""


@app.callback()
def group() -> None:
    """Put callrec-pbx beside the PBX."""


@app.command()
def asterisk(
    ctx: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it only.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take it all away again.")] = False,
    enable_manager: Annotated[
        bool, typer.Option("--enable-manager", help="Switch AMI on, on loopback.")
    ] = False,
    reload: Annotated[bool, typer.Option("--reload", help="Have Asterisk read it.")] = False,
    program: Annotated[
        str, typer.Option("--asterisk", help="The program, for its version and for --reload.")
    ] = "asterisk",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Install dialplan, keys, manager user and prompts on this machine's Asterisk."""
    if as_json and not (yes or dry_run):
        raise SetupError("--json: nobody can be asked; give --dry-run or --yes with it")
    path = config_path(ctx.obj)
    plan = _plan_undo(path) if undo else _plan_setup(path, program, enable_manager)
    if not as_json:
        _show(plan)
    do_it = not plan.empty and not dry_run
    if do_it and not yes and not typer.confirm("Make these changes?"):
        typer.echo("nothing was changed")
        raise typer.Exit(1)
    if do_it:
        apply(plan)
    outputs = reload_asterisk(program) if reload and not dry_run else []
    if as_json:
        typer.echo(json.dumps(_document(plan, do_it, outputs), indent=2, ensure_ascii=False))
    elif do_it or outputs:
        _tell_next(undo, outputs)


@app.command()
def systemd(
    ctx: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it only.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take it away again.")] = False,
    now: Annotated[
        bool, typer.Option("--now", help="Also start it, now and at boot; with --undo stop it.")
    ] = False,
    user: Annotated[
        str, typer.Option("--user", help="Whom the listener runs as; else Asterisk's own user.")
    ] = "",
    group: Annotated[
        str, typer.Option("--group", help="Its group; else Asterisk's, who shares its files.")
    ] = "",
    program: Annotated[
        Path | None, typer.Option("--program", help="The installed callrec-pbx; else this one.")
    ] = None,
    units: Annotated[
        Path, typer.Option("--units", help="Folder of the units.")
    ] = units_of_systemd.FOLDER,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Install a unit that starts the listener with the machine, and watches over it."""
    if as_json and not (yes or dry_run):
        raise SetupError("--json: nobody can be asked; give --dry-run or --yes with it")
    if undo:
        plan = units_of_systemd.plan_undo_systemd(units)
    else:
        plan = units_of_systemd.plan_systemd(load_config(ctx.obj), user, group, program, units)
    if not as_json:
        _show(plan)
        for change in plan.files:
            if change.action == "create":
                typer.echo((change.after or b"").decode())
    do_it = not plan.empty and not dry_run
    if do_it and not yes and not typer.confirm("Make these changes?"):
        typer.echo("nothing was changed")
        raise typer.Exit(1)
    first, then = units_of_systemd.COMMANDS[undo]
    outputs = [units_of_systemd.systemctl(*words) for words in first if now and not dry_run]
    if do_it:
        apply(plan)
    outputs += [units_of_systemd.systemctl(*words) for words in then if now and not dry_run]
    if as_json:
        typer.echo(json.dumps(_document(plan, do_it, outputs), indent=2, ensure_ascii=False))
        return
    for command, output in outputs:
        typer.echo(f"{command}: {output or 'done'}")
    if do_it and not now:
        typer.echo("Now have systemd take it over (or run this again with --now):")
        for words in then:
            typer.echo(f"    {' '.join(('systemctl', *words))}")


def _plan_setup(path: Path, program: str, enable_manager: bool) -> Plan:
    config, text = (load_config(path), "") if path.exists() else first_configuration(path)
    return plan_setup(config, asterisk_version(program), enable_manager, text)


def _plan_undo(path: Path) -> Plan:
    config: Config = load_config(path) if path.exists() else first_configuration(path)[0]
    return plan_undo(config)


def _show(plan: Plan) -> None:
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


def _tell_next(undo: bool, outputs: list[tuple[str, str]]) -> None:
    typer.echo("\ndone")
    for command, output in outputs:
        typer.echo(f"{command}: {output}")
    if not outputs:
        typer.echo("Now have Asterisk read it (or run this again with --reload):")
        for command in RELOADS:
            typer.echo(f'    asterisk -rx "{command}"')
    if undo:
        typer.echo("Take the calls of callrec-... out of your own dialplan before that.")
    else:
        typer.echo(DIALPLAN_LINES)
        typer.echo(NEXT)


def _document(plan: Plan, applied: bool, outputs: list[tuple[str, str]]) -> dict[str, Any]:
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
