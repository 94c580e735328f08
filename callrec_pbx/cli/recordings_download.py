"""`callrec-pbx recordings download`: audio under names for people."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.catalogue.amend import SETTLED
from callrec_pbx.catalogue.audit import Action, Entry, append
from callrec_pbx.catalogue.queries import Found, find_recording
from callrec_pbx.catalogue.search import every
from callrec_pbx.cli.common import Site, console, plain, print_json, progress_bar, shown, site
from callrec_pbx.cli.people_common import actor
from callrec_pbx.cli.search_options import Chosen, takes_search
from callrec_pbx.storage import naming
from callrec_pbx.storage.handing_out import Audio, Folder, HandOutError, audio_of
from callrec_pbx.storage.naming import Names

COPIED, THERE, WOULD_COPY = "copied", "there", "would copy"


@dataclass(frozen=True, slots=True)
class _Item:
    """What came of one recording; `error` is empty where it is well."""

    recording_id: str
    file: str = ""
    size: int = 0
    sha256: str = ""
    came: str = ""
    error: str = ""


@takes_search
def download(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(metavar="ID", help="Ids, or the beginnings of them."),
    ] = None,
    *,
    chosen: Chosen,
    into: Annotated[Path, typer.Option(help="The folder; it is made where it is missing.")],
    template: Annotated[
        str | None,
        typer.Option(help="Preset or template of the names; else names.download."),
    ] = None,
    wav: Annotated[
        bool, typer.Option("--wav", help="The WAV files, also where there are encoded ones.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be copied, and its name.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Copy audio into a folder, by ids or by filter, compared with its checksum.

    Nothing is overwritten. Each copy is a line of the audit trail. Exit status 1 when something
    could not be copied.
    """
    if chosen.nothing is not bool(ids):
        raise typer.BadParameter("give ids, or filters such as --owner and --from, and not both")
    with site(ctx) as here:
        folder = Folder(into, _names(here, template))
        _check_into(into)
        wanted = _wanted(here, ids or [], chosen)
        with progress_bar(quiet=as_json) as bar:
            task = bar.add_task("recordings", total=len(wanted))
            items = []
            for found in wanted:
                items.append(_hand_out(here, folder, found, wav=wav, dry_run=dry_run))
                bar.advance(task)
    if as_json:
        print_json(_document(items, into, dry_run=dry_run))
    else:
        _print(items, into)
    if any(item.error for item in items):
        raise typer.Exit(1)


def _check_into(into: Path) -> None:
    """Refuse a place where no copy could be made, before the first."""
    there = next(path for path in (into, *into.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise typer.BadParameter(
            f"{str(into)!r} is no folder that this user may write; give another",
            param_hint="--into",
        )


def _names(here: Site, template: str | None) -> Names:
    text = here.config.names.download if template is None else template
    try:
        return Names(naming.parse(text), naming.zone(here.config.names.zone))
    except naming.TemplateError as error:
        raise typer.BadParameter(f"{text!r} {error}", param_hint="--template") from None


def _wanted(here: Site, ids: list[str], chosen: Chosen) -> list[Found]:
    """By id whatever there is; by filter what should have audio."""
    if ids:
        listed = {
            found.recording.recording_id: found
            for found in (find_recording(here.engine, one) for one in ids)
        }
        return list(listed.values())
    return [
        found
        for found in every(here.engine, chosen.search(here.engine, oldest_first=True))
        if found.recording.state in SETTLED and found.recording.size is not None
    ]


def _hand_out(here: Site, folder: Folder, found: Found, *, wav: bool, dry_run: bool) -> _Item:
    facts = found.recording
    try:
        audio = audio_of(here.store, facts, wav=wav)
        name, there = folder.name(audio, facts, found.call)
        if not there and not dry_run:
            folder.copy(audio, name, lambda: _note(here, found, audio))
    except (HandOutError, OSError) as error:
        return _Item(facts.recording_id, error=str(error))
    came = THERE if there else WOULD_COPY if dry_run else COPIED
    return _Item(facts.recording_id, name, audio.size, audio.sha256, came)


def _note(here: Site, found: Found, audio: Audio) -> None:
    """The line of the audit trail; without it nothing is handed out."""
    detail = {"format": audio.path.suffix.removeprefix("."), "sha256": audio.sha256}
    entry = Entry(
        found.recording.tenant, actor(), Action.DOWNLOAD, "recording", audio.recording_id, detail
    )
    with here.engine.begin() as connection:
        append(connection, entry)


def _document(items: Iterable[_Item], into: Path, *, dry_run: bool) -> dict[str, Any]:
    return {
        "dry_run": dry_run,
        "into": str(into),
        "recordings": [
            {
                "id": item.recording_id,
                "file": item.file,
                "size": item.size,
                "sha256": item.sha256,
                "came": item.came.replace(" ", "_"),
            }
            for item in items
            if not item.error
        ],
        "failures": [
            {"id": item.recording_id, "error": item.error} for item in items if item.error
        ],
    }


def _print(items: list[_Item], into: Path) -> None:
    well = [item for item in items if not item.error]
    table = Table("Recording", "File", "Bytes", "")
    table.columns[2].justify = "right"
    for item in well:
        table.add_row(item.recording_id, shown(item.file), str(item.size), item.came)
    if well or not items:
        console().print(table if well else "no recordings")
    counts = {came: sum(item.came == came for item in well) for came in (COPIED, THERE, WOULD_COPY)}
    told = ", ".join(f"{count} {came}" for came, count in counts.items() if count)
    if told:
        typer.echo(f"{told}: {plain(str(into))}")
    for item in items:
        if item.error:
            typer.echo(f"not copied: {item.recording_id}: {plain(item.error)}", err=True)
