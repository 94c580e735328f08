"""`callrec-pbx hold`: legal holds."""

from typing import Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.catalogue.holds import (
    Covered,
    bring_up_to_date,
    covered,
    new_hold,
    place,
    resolve,
)
from callrec_pbx.catalogue.holds import release as release_hold
from callrec_pbx.catalogue.queries import row_by_prefix
from callrec_pbx.catalogue.rows import CALL, RECORDING
from callrec_pbx.cli.common import (
    Site,
    beginning,
    check_order,
    check_tenant,
    console,
    ending,
    plain,
    print_json,
    shown,
    shown_length,
    shown_time,
    site,
)
from callrec_pbx.cli.people_common import actor
from callrec_pbx.domain.holds import Hold
from callrec_pbx.domain.words import HoldKind
from callrec_pbx.storage.serial import hold_to_dict

app = typer.Typer(help="Legal holds: what may not be deleted, by anyone.", no_args_is_help=True)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]


@app.command()
def add(
    ctx: typer.Context,
    *,
    recording: Annotated[str | None, typer.Option(help="A recording, by its id.")] = None,
    call: Annotated[
        str | None, typer.Option(help="A call, by its id, with those merged with it.")
    ] = None,
    number: Annotated[
        str | None, typer.Option(help="A number in any spelling, of calls to come too.")
    ] = None,
    person: Annotated[
        str | None, typer.Option(help="A user by e-mail, or a line; of calls to come too.")
    ] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="A period: its first date or time (local).")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="Its last date (included) or time (local).")
    ] = None,
    owner: Annotated[
        str | None, typer.Option(help="Of the period only what this user or line recorded.")
    ] = None,
    tenant: Annotated[
        str | None, typer.Option(help="Only of this tenant: of a number, person or period.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; it is shown wherever something is held.")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would cover.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Place a legal hold. When this returns, nothing that it covers is deleted, by anyone."""
    first, last = beginning(start, "--from"), ending(end, "--to")
    check_order(first, last, end)
    given = {
        HoldKind.RECORDING: recording,
        HoldKind.CALL: call,
        HoldKind.NUMBER: number,
        HoldKind.PERSON: person,
    }
    kind, subject = _subject(given, period=first is not None or last is not None)
    _check_more(kind, owner, tenant, reason)
    tenant = tenant or ""
    more = {"tenant": tenant, "start": first, "end": last, "owner": owner or ""}
    with site(ctx) as here:
        subject = _whole(here, kind, subject)
        check_tenant(here, tenant)
        hold = resolve(here.engine, new_hold(kind, subject, reason.strip(), actor(), **more))
        if not dry_run:
            # Before it is counted, which may take a while.
            place(here.place, hold)
        recordings, calls = _count(covered(here.place, hold))
    if as_json:
        document = {"dry_run": dry_run, "hold": hold_to_dict(hold)}
        print_json(document | {"recordings": recordings, "calls": calls})
        return
    if dry_run:
        typer.echo(f"would cover {recordings} recordings and {calls} calls; nothing was changed")
    else:
        typer.echo(plain(f"hold {hold.hold_id}: covers {recordings} recordings and {calls} calls"))
    if not calls:
        later = {
            HoldKind.NUMBER: "calls with that number that are still to come",
            HoldKind.PERSON: "what is recorded of that person from now on",
            HoldKind.PERIOD: "what falls into that period later",
        }.get(kind)
        typer.echo(f"it covers nothing now, but {later}" if later else "it covers nothing now")


@app.command("list")
def list_(
    ctx: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Released ones too.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the legal holds, oldest first. Exit status 1 when one cannot be read."""
    with site(ctx) as here:
        bring_up_to_date(here.place)
        holds = here.store.holds.all() if everything else here.store.holds.active()
        broken = here.store.holds.broken()
    if as_json:
        document = {"holds": [hold_to_dict(hold) for hold in holds]}
        print_json(document | {"broken": [str(one) for one in broken]})
    else:
        table = Table("Hold", "On", "About", "Reason", "Placed", "By", "Released")
        for hold in holds:
            table.add_row(
                hold.hold_id,
                hold.kind,
                shown(_about(hold)),
                shown(hold.reason),
                shown_time(hold.placed_at),
                shown(hold.placed_by),
                shown_time(hold.released_at),
            )
        console().print(table if holds else "no legal holds")
    for one in broken:
        typer.echo(plain(f"callrec-pbx: {one}"), err=True)
    if broken:
        raise typer.Exit(1)


@app.command()
def show(
    ctx: typer.Context,
    hold_id: Annotated[str, typer.Argument(metavar="ID", help="The hold's id.")],
    as_json: JsonOption = False,
) -> None:
    """Show a legal hold, and what it covers now."""
    with site(ctx) as here:
        hold = here.store.holds.read(hold_id)
        found = list(covered(here.place, hold))
    if as_json:
        calls = [
            {
                "call_id": one.call.call.call_id,
                "whole": one.whole,
                "recordings": [recording.recording_id for recording in one.recordings],
            }
            for one in found
        ]
        print_json({"hold": hold_to_dict(hold), "calls": calls})
        return
    _print_hold(hold)
    recordings, calls_found = _count(found)
    typer.echo(f"covers {recordings} recordings and {calls_found} calls")
    table = Table("Started", "Owner", "Length", "State", "Recording", "Call")
    for one in found:
        for recording in one.recordings:
            table.add_row(
                shown_time(recording.created_at),
                shown(recording.owner),
                shown_length(recording.audio_ms),
                recording.state,
                recording.recording_id,
                recording.call_id,
            )
        if not one.recordings:
            facts = one.call.call
            table.add_row(shown_time(facts.started_at), "", "", "", "", facts.call_id)
    if table.row_count:
        console().print(table)


@app.command()
def release(
    ctx: typer.Context,
    hold_id: Annotated[str, typer.Argument(metavar="ID", help="The hold's id.")],
    *,
    why: Annotated[str, typer.Option(help="Why it is no longer needed.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Release a legal hold: what it covers is deleted when its time has come, or had come."""
    if not why.strip():
        raise typer.BadParameter("is empty; say why", param_hint="--why")
    with site(ctx) as here:
        hold = here.store.holds.read(hold_id)
        if hold.active and not yes:
            recordings, calls = _count(covered(here.place, hold))
            typer.echo(plain(f"{hold.kind} {_about(hold)}: {hold.reason}"))
            question = f"Release it, and let {recordings} recordings of {calls} calls be deleted?"
            if not typer.confirm(question):
                typer.echo("nothing was changed")
                raise typer.Exit(1)
        release_hold(here.place, hold_id, actor(), why.strip())
    typer.echo(plain(f"hold {hold_id}: released"))


def _subject(given: dict[HoldKind, str | None], *, period: bool) -> tuple[HoldKind, str]:
    named = {kind: value.strip() for kind, value in given.items() if value is not None}
    if len(named) + period != 1:
        raise typer.BadParameter(
            "give one of --recording, --call, --number, --person, or a period by --from and --to"
        )
    if period:
        return HoldKind.PERIOD, ""
    kind, subject = named.popitem()
    if not subject:
        raise typer.BadParameter("is empty", param_hint=f"--{kind}")
    if kind is HoldKind.NUMBER and not any(char.isdecimal() for char in subject):
        raise typer.BadParameter(
            f"{subject!r} has no digits; write a number such as +46701234567", param_hint="--number"
        )
    return kind, subject


def _check_more(kind: HoldKind, owner: str | None, tenant: str | None, reason: str) -> None:
    if not reason.strip():
        raise typer.BadParameter("is empty; say why", param_hint="--reason")
    if owner is not None and (kind is not HoldKind.PERIOD or not owner.strip()):
        raise typer.BadParameter("narrows a period; leave it out", param_hint="--owner")
    if tenant is not None and kind in (HoldKind.RECORDING, HoldKind.CALL):
        raise typer.BadParameter(
            "narrows a number, a person or a period; leave it out", param_hint="--tenant"
        )


def _whole(here: Site, kind: HoldKind, subject: str) -> str:
    """The whole id where the beginning of one was given."""
    tables = {HoldKind.RECORDING: RECORDING, HoldKind.CALL: CALL}
    table = tables.get(kind)
    if table is None:
        return subject
    with reading(here.engine).begin() as connection:
        return str(row_by_prefix(connection, table, subject)[f"{kind}_id"])


def _count(found: Any) -> tuple[int, int]:
    recordings = calls = 0
    one: Covered
    for one in found:
        recordings += len(one.recordings)
        calls += 1
    return recordings, calls


def _about(hold: Hold) -> str:
    if hold.kind is not HoldKind.PERIOD:
        about = hold.subject
    else:
        about = f"{shown_time(hold.start) or '...'} to {shown_time(hold.end) or '...'}"
        about += f", {hold.owner}" if hold.owner else ""
    return about + (f" ({hold.tenant})" if hold.tenant else "")


def _print_hold(hold: Hold) -> None:
    facts = (
        ("hold", hold.hold_id),
        ("on", f"{hold.kind} {_about(hold)}"),
        ("reason", hold.reason),
        ("placed", f"{shown_time(hold.placed_at)} by {hold.placed_by}"),
        ("also", ", ".join((*hold.people, *hold.lines, *hold.tenants))),
        ("countries", ", ".join(hold.countries)),
        (
            "released",
            ""
            if hold.active
            else f"{shown_time(hold.released_at)} by {hold.released_by}: {hold.release_why}",
        ),
    )
    table = Table.grid(padding=(0, 2))
    for name, value in facts:
        if value:
            table.add_row(name, shown(value))
    console().print(table)
