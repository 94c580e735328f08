"""`callrec-pbx prompts`: import, list and check the prompts."""

import dataclasses
import json
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from callrec_pbx.audio.prompts import (
    Prompt,
    PromptError,
    PromptSet,
    import_prompt,
    shipped_prompts_dir,
    verify,
)
from callrec_pbx.config import ConfigError, load_config

app = typer.Typer(help="Announcements, whisper and beeps.", no_args_is_help=True)

DirOption = Annotated[
    Path | None,
    typer.Option("--dir", help="Prompts directory, as installed on the PBX.", show_default=False),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command("import")
def import_(  # noqa: PLR0917 - one for each option
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="Audio file of any usual format, at most 60 s.")],
    name: Annotated[str, typer.Option(help="Name of the prompt, such as announce_opt_out.")],
    language: Annotated[str, typer.Option(help="Language of the prompt, such as de.")],
    text: Annotated[str, typer.Option(help="The spoken words, kept as evidence.")] = "",
    directory: DirOption = None,
) -> None:
    """Make FILE a prompt, in place of the one of that name and language."""
    target = directory or load_config(ctx.obj).sounds_dir
    try:
        prompt = import_prompt(file, name=name, language=language, target=target, text=text)
    except PromptError as error:
        _refuse(error)
    seconds = f"{prompt.duration_ms / 1000:.1f} s"
    typer.echo(f"{prompt.language}/{prompt.name}: {seconds}, version {prompt.version}, in {target}")


@app.command("list")
def list_(ctx: typer.Context, directory: DirOption = None, as_json: JsonOption = False) -> None:
    """List the prompts of a directory."""
    try:
        prompts = PromptSet.load(directory or _installed(ctx)).prompts
    except PromptError as error:
        _refuse(error)
    if as_json:
        _print_json({"prompts": [dataclasses.asdict(prompt) for prompt in prompts]})
        return
    _print_table(prompts)


@app.command()
def check(ctx: typer.Context, directory: DirOption = None, as_json: JsonOption = False) -> None:
    """Compare the audio with the manifest; exit status 1 when something is wrong."""
    target = directory or _installed(ctx)
    problems = verify(target)
    if as_json:
        _print_json({"directory": str(target), "ok": not problems, "problems": problems})
    else:
        for line in problems or [f"{target}: every prompt is as its manifest says"]:
            typer.echo(line)
    if problems:
        raise typer.Exit(1)


def _installed(ctx: typer.Context) -> Path:
    """The prompts that the PBX plays; where nothing is installed yet, the shipped ones."""
    try:
        installed = load_config(ctx.obj).sounds_dir
    except ConfigError:
        if ctx.obj is not None:
            raise
        return shipped_prompts_dir()
    return installed if installed.is_dir() else shipped_prompts_dir()


def _print_table(prompts: tuple[Prompt, ...]) -> None:
    table = Table("Language", "Name", "Seconds", "Version", "Text")
    table.columns[2].justify = "right"
    for prompt in prompts:
        seconds = f"{prompt.duration_ms / 1000:.1f}"
        row = (prompt.language, prompt.name, seconds, prompt.version, prompt.text)
        # As Text, "[b]" in a prompt's words is no markup.
        table.add_row(*(Text(value) for value in row))
    Console().print(table)


def _print_json(document: dict[str, Any]) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def _refuse(error: PromptError) -> NoReturn:
    typer.echo(f"error: {error}", err=True)
    raise typer.Exit(2)
