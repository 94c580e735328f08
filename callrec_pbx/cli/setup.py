"""`callrec-pbx setup`: shows what it would change, asks, and does it."""

import json
from pathlib import Path
from typing import Annotated

import typer

from callrec_pbx.cli.setup_show import document, show
from callrec_pbx.config import config_path, load_config
from callrec_pbx.setup import asterisk as for_asterisk
from callrec_pbx.setup import event_socket
from callrec_pbx.setup import freeswitch as for_freeswitch
from callrec_pbx.setup import systemd as units_of_systemd
from callrec_pbx.setup.apply import apply
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.plan import Plan
from callrec_pbx.setup.reload import RELOADS, reload_asterisk
from callrec_pbx.setup.reload_freeswitch import RELOAD, RELOAD_SOCKET, reload_freeswitch
from callrec_pbx.setup.undo import plan_undo

app = typer.Typer(help="Put callrec-pbx beside the PBX.", no_args_is_help=True)

ASTERISK_LINES = """\
In your dialplan, before Dial or Queue:
    same => n,Gosub(callrec-offer,s,1(inbound,${EXTEN},${EXTEN},))   ; direction,line,ddi,queue
    same => n,Dial(PJSIP/${EXTEN},30,U(callrec-whisper))
or for a queue:
    same => n,Gosub(callrec-offer,s,1(inbound,,${EXTEN},sales))
    same => n,Queue(sales,,,,60,,callrec-whisper)
Directions are inbound, outbound and internal."""

FREESWITCH_LINES = """\
In your dialplan, before bridge or callcenter:
    <action application="lua" data="callrec_offer.lua inbound 301 301"/>   direction line ddi queue
    <action application="bridge" data="user/301"/>
or for a queue:
    <action application="lua" data="callrec_offer.lua inbound - 600 sales"/>
    <action application="callcenter" data="sales"/>
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
    path = config_path(ctx.obj)
    config, text = (
        (load_config(path), "") if path.exists() else for_asterisk.first_configuration(path)
    )
    if undo:
        plan = plan_undo(config, "asterisk")
    else:
        version = for_asterisk.asterisk_version(program)
        plan = for_asterisk.plan_setup(config, version, enable_manager, text)
    do_it = _carry_out(plan, dry_run, yes, as_json)
    outputs = reload_asterisk(program) if reload and not dry_run else []
    if as_json:
        typer.echo(json.dumps(document(plan, do_it, outputs), indent=2, ensure_ascii=False))
    elif do_it or outputs:
        by_hand = [f'asterisk -rx "{command}"' for command in RELOADS]
        _tell_next("Asterisk", outputs, by_hand)
        if undo:
            typer.echo("Take the calls of callrec-... out of your own dialplan before that.")
        else:
            typer.echo(f"{ASTERISK_LINES}\n{NEXT}")


@app.command()
def freeswitch(
    ctx: typer.Context,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show it only.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Take it all away again.")] = False,
    secure_event_socket: Annotated[
        bool,
        typer.Option(
            "--secure-event-socket",
            help="Replace the event socket's settings: on loopback, with a password of its own.",
        ),
    ] = False,
    reload: Annotated[bool, typer.Option("--reload", help="Have FreeSWITCH read it.")] = False,
    program: Annotated[
        str, typer.Option("--fs-cli", help="FreeSWITCH's fs_cli, for --reload.")
    ] = "fs_cli",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Install scripts, profile codes and prompts on this machine's FreeSWITCH."""
    path = config_path(ctx.obj)
    config, text = (
        (load_config(path), "") if path.exists() else for_freeswitch.first_configuration(path)
    )
    if undo:
        plan = plan_undo(config, "freeswitch")
    else:
        plan = for_freeswitch.plan_setup(config, secure_event_socket, text)
    do_it = _carry_out(plan, dry_run, yes, as_json)
    outputs = reload_freeswitch(program, config, plan) if reload and not dry_run else []
    if as_json:
        typer.echo(json.dumps(document(plan, do_it, outputs), indent=2, ensure_ascii=False))
    elif do_it or outputs:
        socket = any(event_socket.is_of(change) for change in plan.files)
        commands = (RELOAD, RELOAD_SOCKET) if socket else (RELOAD,)
        _tell_next("FreeSWITCH", outputs, [f"fs_cli -x '{command}'" for command in commands])
        if undo:
            typer.echo("Take the calls of callrec_... out of your own dialplan before that.")
        else:
            typer.echo(f"{FREESWITCH_LINES}\n{NEXT}")


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
        str, typer.Option("--user", help="Whom the listener runs as; else the PBX's own user.")
    ] = "",
    group: Annotated[
        str, typer.Option("--group", help="Its group; else the PBX's, who shares its files.")
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
    _refuse_to_ask(as_json, yes or dry_run)
    if undo:
        plan = units_of_systemd.plan_undo_systemd(units)
    else:
        plan = units_of_systemd.plan_systemd(load_config(ctx.obj), user, group, program, units)
    if not as_json:
        show(plan)
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
        typer.echo(json.dumps(document(plan, do_it, outputs), indent=2, ensure_ascii=False))
        return
    for command, output in outputs:
        typer.echo(f"{command}: {output or 'done'}")
    if do_it and not now:
        typer.echo("Now have systemd take it over (or run this again with --now):")
        for words in then:
            typer.echo(f"    {' '.join(('systemctl', *words))}")


def _refuse_to_ask(as_json: bool, unasked: bool) -> None:
    if as_json and not unasked:
        raise SetupError("--json: nobody can be asked; give --dry-run or --yes with it")


def _carry_out(plan: Plan, dry_run: bool, yes: bool, as_json: bool) -> bool:
    """Show the plan, ask, and do it; whether it was done."""
    _refuse_to_ask(as_json, yes or dry_run)
    if not as_json:
        show(plan)
    do_it = not plan.empty and not dry_run
    if do_it and not yes and not typer.confirm("Make these changes?"):
        typer.echo("nothing was changed")
        raise typer.Exit(1)
    if do_it:
        apply(plan)
    return do_it


def _tell_next(pbx: str, outputs: list[tuple[str, str]], by_hand: list[str]) -> None:
    typer.echo("\ndone")
    for command, output in outputs:
        typer.echo(f"{command}: {output}")
    if not outputs:
        typer.echo(f"Now have {pbx} read it (or run this again with --reload):")
        for command in by_hand:
            typer.echo(f"    {command}")
