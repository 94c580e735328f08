"""`callrec-pbx retention run`, `usage` and `plans`: what is deleted when, and what is kept."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer
from rich.table import Table

from callrec_pbx.catalogue.engine import reading
from callrec_pbx.cli.common import (
    console,
    plain,
    print_json,
    progress_bar,
    shown,
    shown_time,
    site,
)
from callrec_pbx.cli.retention_redate import redate
from callrec_pbx.people.load import load_people
from callrec_pbx.policy import store
from callrec_pbx.retention import listing
from callrec_pbx.retention.leader import RetentionBusyError, RetentionLostError
from callrec_pbx.retention.outcome import Applied, Done, Outcome
from callrec_pbx.retention.quota import GB, Usage, level_of, usages
from callrec_pbx.retention.run import foresee, terms_of
from callrec_pbx.retention.run import run as run_now
from callrec_pbx.storage.serial import time_to_text

LISTED = 1000
"""Items that are listed unless somebody wants more."""

app = typer.Typer(help="What is deleted when.", no_args_is_help=True)
app.command()(redate)

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]

_VERBS = {
    Outcome.PRUNED: "delete",
    Outcome.CLEARED: "clear",
    Outcome.HELD: "held",
    Outcome.KEPT: "keep",
}


@app.callback()
def group() -> None:
    """What is deleted when."""


@dataclass
class _Told:
    """What a run has told: everything is counted, the first of it is listed."""

    limit: int
    counts: Counter[Outcome] = field(default_factory=Counter)
    size: int = 0
    listed: list[Done] = field(default_factory=list)

    def take(self, done: Done) -> bool:
        """Take note; whether it is one of those that are listed."""
        self.counts[done.outcome] += 1
        if done.outcome is Outcome.PRUNED:
            self.size += done.size
        if self.limit and len(self.listed) >= self.limit:
            return False
        self.listed.append(done)
        return True


@app.command()
def run(
    ctx: typer.Context,
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be deleted, and why.")
    ] = False,
    limit: Annotated[
        int, typer.Option(min=0, help="How many items are listed; 0 for all.")
    ] = LISTED,
    as_json: JsonOption = False,
) -> None:
    """Delete recordings that are due, and the personal data of calls without any.

    What a legal hold keeps is listed with its reason. Exit status 1 when something could not be
    deleted, or another run is at work.
    """
    told = _Told(limit)
    result: Applied | None = None
    with site(ctx) as here:
        terms = terms_of(here.config)
        if dry_run:
            for done in foresee(here.place, terms):
                if told.take(done) and not as_json:
                    _print_item(done)
        else:
            with progress_bar(quiet=as_json) as bar:
                task = bar.add_task("pruning", total=None)

                def tell(done: Done) -> None:
                    if done.outcome is Outcome.HELD:
                        told.take(done)
                    if done.kind == "recording":
                        bar.advance(task)

                try:
                    result = run_now(
                        here.place,
                        terms,
                        by="callrec-pbx retention run",
                        planned=lambda count: bar.update(task, total=count),
                        told=tell,
                    )
                except RetentionBusyError as busy:
                    typer.echo(f"callrec-pbx: {busy}; wait until it has finished", err=True)
                    raise typer.Exit(1) from None
                except RetentionLostError as lost:
                    typer.echo(f"callrec-pbx: {lost}; run it again", err=True)
                    raise typer.Exit(1) from None
    if as_json:
        print_json(_document(told, result))
    else:
        _print(told, result)
    if result is not None and result.failed:
        raise typer.Exit(1)


def _document(told: _Told, result: Applied | None) -> dict[str, Any]:
    document: dict[str, Any] = {
        "dry_run": result is None,
        "items": [_item(done) for done in told.listed],
    }
    if result is None:
        totals = {str(outcome): told.counts[outcome] for outcome in _VERBS}
        return document | {"totals": totals | {"bytes": told.size}}
    return document | {
        "recordings": result.recordings,
        "calls": result.calls,
        "held": result.held,
        "kept": result.kept,
        "skipped": result.skipped,
        "histories": result.histories,
        "failed": result.failed,
        "failures": [_item(done) | {"error": done.why} for done in result.failures],
    }


def _item(done: Done) -> dict[str, Any]:
    return {
        "kind": done.kind,
        "id": done.id,
        "call_id": done.call_id,
        "tenant": done.tenant,
        "at": time_to_text(done.at),
        "outcome": done.outcome,
        "reason": done.reason,
        "why": done.why,
        "bytes": done.size,
    }


def _print_item(done: Done) -> None:
    what = f"{_VERBS[done.outcome]:<6}  {shown_time(done.at)}  {done.kind:<9}  {done.id}"
    typer.echo(f"{what}  {plain(done.why)}")


def _print(told: _Told, result: Applied | None) -> None:
    if result is None:
        counts = told.counts
        if not counts:
            typer.echo("nothing is due")
            return
        more = counts.total() - len(told.listed)
        if more:
            typer.echo(f"... and {more} more (--limit 0 lists all)")
        typer.echo(
            f"{counts[Outcome.PRUNED]} recordings ({told.size / GB:.2f} GB) would be deleted, "
            f"{counts[Outcome.CLEARED]} calls cleared, {counts[Outcome.HELD]} held, "
            f"{counts[Outcome.KEPT]} kept without limit now"
        )
        return
    for done in told.listed:
        _print_item(done)
    typer.echo(f"{result.recordings} recordings pruned, {result.calls} calls cleared")
    if result.held:
        typer.echo(f"{result.held} are kept by a legal hold")
    if result.kept:
        typer.echo(f"{result.kept} are kept, as their plan has no limit now")
    if result.histories:
        typer.echo(f"{result.histories} lines of histories deleted")
    if result.skipped:
        typer.echo(f"{result.skipped} were not due after all, or in use")
    for done in result.failures:
        typer.echo(f"not done: {done.id}: {plain(done.why)}", err=True)


@app.command()
def usage(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show how much room the recordings of each tenant take, of how much."""
    with site(ctx) as here:
        found = usages(here.engine)
    if as_json:
        print_json({"tenants": [_usage(one) for one in found]})
        return
    table = Table("Tenant", "Recordings", "GB", "Quota GB", "%", "When full", "")
    for one in found:
        table.add_row(
            shown(one.tenant or "(none)"),
            str(one.recordings),
            f"{one.used / GB:.2f}",
            "" if one.quota is None else str(one.quota // GB),
            "" if one.share is None else f"{one.share:.0%}",
            one.on_quota or "",
            level_of(one).replace("_", " "),
        )
    console().print(table)


def _usage(one: Usage) -> dict[str, Any]:
    return {
        "tenant": one.tenant,
        "recordings": one.recordings,
        "bytes": one.used,
        "quota_bytes": one.quota,
        "share": one.share,
        "on_quota": one.on_quota,
        "level": level_of(one),
    }


@app.command()
def plans(ctx: typer.Context, as_json: JsonOption = False) -> None:
    """Show who and what has which retention plan, and how many recordings are kept by each."""
    with site(ctx) as here:
        with reading(here.engine).begin() as connection:
            _, text = store.current(connection)
            people = load_people(connection)
        said = listing.said_plans(text, people, here.config.retention.default)
        counts = listing.counts_by_plan(here.engine)
    if as_json:
        print_json(
            {
                "plans": [
                    {"level": one.level, "tenant": one.tenant, "name": one.name, "plan": one.plan}
                    for one in said
                ],
                "recordings": counts,
            }
        )
        return
    table = Table("Level", "Tenant", "Name", "Plan")
    for one in said:
        table.add_row(one.level, shown(one.tenant), shown(one.name), one.plan)
    console().print(table)
    kept = Table("Plan", "Recordings that are kept")
    for plan, count in counts.items():
        kept.add_row(shown(plan), str(count))
    console().print(kept if counts else "no recordings are kept")
