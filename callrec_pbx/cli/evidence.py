"""`callrec-pbx evidence`: what can be shown of one call, as one document."""

from pathlib import Path
from typing import Annotated, Any

import typer

from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.audit import Action, Entry, append
from callrec_pbx.catalogue.audit_queries import evidence_line
from callrec_pbx.catalogue.engine import CatalogueError, reading
from callrec_pbx.cli.audit import written
from callrec_pbx.cli.common import plain, print_json, site
from callrec_pbx.cli.people_common import actor
from callrec_pbx.config import ConfigError
from callrec_pbx.evidence.gather import gather
from callrec_pbx.evidence.seal import Form, SealError, check, write


def evidence(
    ctx: typer.Context,
    call: Annotated[
        str | None, typer.Argument(help="A call's id, or the beginning of it.", show_default=False)
    ] = None,
    *,
    form: Annotated[Form, typer.Option("--format", help="How it is written.")] = Form.TEXT,
    output: Annotated[
        Path | None, typer.Option("--output", help="A new file; else standard output.")
    ] = None,
    verify: Annotated[
        Path | None,
        typer.Option("--verify", help="Check a document that was made, in place of making one."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="With --verify: print JSON for programs.")
    ] = False,
) -> None:
    """Write down all that is known of a call: who was told what, its recordings, who did what.

    The audio is compared with its checksum now. The document ends with a checksum of its own, which
    the audit trail has too.
    """
    if verify is not None:
        if call is not None:
            raise typer.BadParameter("give a call or --verify, not both", param_hint="CALL")
        _verify(ctx, verify, as_json=as_json)
        return
    if call is None:
        raise typer.BadParameter("is missing; give the id of a call", param_hint="CALL")
    with written(output) as out, site(ctx) as here:
        place = Place(here.engine, here.store)
        found = gather(place, call, here.config.sounds_dir, by=actor())
        text, sha256 = write(found.document, form)
        detail: dict[str, str | int | bool | None] = {"format": str(form), "sha256": sha256}
        with here.engine.begin() as connection:
            entry = Entry(found.tenant, actor(), Action.EVIDENCE, "call", found.call_id, detail)
            append(connection, entry)
        out.write(text)
    if output is not None:
        typer.echo(f"written to {plain(str(output))}, SHA-256 of its contents {sha256}")


def _verify(ctx: typer.Context, file: Path, *, as_json: bool) -> None:
    """Exit status 1 when the document is not as it was made, or the trail does not know it."""
    try:
        says, has = check(file.read_bytes())
    except OSError as error:
        raise SealError(f"{plain(str(file))}: {error.strerror}; name a file to read") from None
    except SealError as error:
        raise SealError(f"{plain(str(file))}: {error}") from None
    whole = says == has
    line = None
    asked = True
    try:
        with site(ctx) as here, reading(here.engine).begin() as connection:
            line = evidence_line(connection, has)
    except (CatalogueError, ConfigError):
        # Whoever is given a document has no catalogue to ask.
        asked = False
    result: dict[str, Any] = {"unchanged": whole, "sha256": has, "says": says}
    result["in_the_trail"] = (line is not None) if asked else None
    if as_json:
        print_json(result)
    else:
        changed = "CHANGED: its checksum is not the one that it ends with"
        typer.echo("unchanged" if whole else changed)
        if not asked:
            typer.echo("not compared with an audit trail: there is no catalogue here")
        elif line is None:
            typer.echo("NOT IN THE AUDIT TRAIL: no line says that this document was made here")
        else:
            typer.echo(plain(f"the audit trail has it: {line.at}, {line.actor}, line {line.seq}"))
    if not whole or (asked and line is None):
        raise typer.Exit(1)
