"""`callrec-pbx retention redate`: date recordings that are there by the plans of now."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from callrec_pbx.cli.common import (
    Site,
    check_tenant,
    plain,
    print_json,
    progress_bar,
    shown_time,
    site,
)
from callrec_pbx.cli.people_common import actor
from callrec_pbx.policy.load import defaults_of
from callrec_pbx.retention import redate as redating
from callrec_pbx.retention.plan import kept_bytes
from callrec_pbx.retention.quota import GB
from callrec_pbx.retention.redate import Looked, Redating, Which
from callrec_pbx.storage.serial import time_to_text

LISTED = 100
"""Recordings that are listed unless somebody wants more."""


@dataclass
class _Seen:
    """What is counted and listed of what was looked at."""

    limit: int
    looked_at: int = 0
    changed: int = 0
    sooner: int = 0
    later: int = 0
    deleted: int = 0
    deleted_bytes: int = 0
    held: int = 0
    gone: int = 0
    listed: list[Redating] = field(default_factory=list)
    failures: list[Looked] = field(default_factory=list)

    def take(self, looked: Looked) -> None:
        """Take note of one."""
        self.looked_at += 1
        self.gone += looked.gone
        if looked.error:
            self.failures.append(looked)
            return
        change = looked.change
        if change is None:
            return
        self.changed += 1
        old, new = change.before.delete_after, change.after.delete_after
        if old is None or (new is not None and new < old):
            self.sooner += 1
        else:
            self.later += 1
        self.held += bool(looked.held)
        if change.deletes:
            self.deleted += 1
            self.deleted_bytes += kept_bytes(change.before)
        if not self.limit or len(self.listed) < self.limit:
            self.listed.append(change)


def redate(
    ctx: typer.Context,
    *,
    tenant: Annotated[str, typer.Option(help="Only of this tenant.")] = "",
    user: Annotated[str, typer.Option(help="Only of this user, by e-mail.")] = "",
    queue: Annotated[str, typer.Option(help="Only of this queue.")] = "",
    department: Annotated[str, typer.Option(help="Only of this department.")] = "",
    site_name: Annotated[str, typer.Option("--site", help="Only of this site.")] = "",
    rule: Annotated[str, typer.Option(help="Only those that this rule decided.")] = "",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be dated anew, and deleted.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    limit: Annotated[
        int, typer.Option(min=0, help="How many recordings are listed; 0 for all.")
    ] = LISTED,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Date recordings that are there by the plans of now, after a change of plans.

    Without it a change of plans counts for new recordings alone; but nothing is deleted whose plan
    has no limit now. Exit status 1 when something could not be done.
    """
    which = Which(
        tenant.strip(), user.strip().lower(), queue.strip(), department.strip(),
        site_name.strip(), rule.strip(),
    )  # fmt: skip
    now = datetime.now(UTC)
    with site(ctx) as here:
        check_tenant(here, tenant)
        seen = _preview(here, which, limit, now, quiet=as_json)
        if not as_json:
            _print_preview(seen)
        done = None
        if seen.changed and not dry_run:
            if not yes:
                _confirm(seen)
            done = _carry_out(here, which, now, seen.looked_at, quiet=as_json)
    if as_json:
        print_json(_document(seen, done))
    elif done is not None:
        typer.echo(f"{done.changed} recordings dated anew")
    elif seen.changed:
        typer.echo("nothing was changed")
    for failure in done.failures if done else ():
        text = f"not done: {failure.recording.recording_id}: {plain(failure.error)}"
        typer.echo(text, err=True)
    if done is not None and done.failures:
        raise typer.Exit(1)


def _preview(here: Site, which: Which, limit: int, now: datetime, *, quiet: bool) -> _Seen:
    seen = _Seen(limit)
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("looking", total=redating.count(here.engine, which))
        for looked in redating.look(here.place, defaults_of(here.config), which, now):
            seen.take(looked)
            bar.advance(task)
    return seen


def _carry_out(here: Site, which: Which, now: datetime, total: int, *, quiet: bool) -> _Seen:
    done = _Seen(1)
    with progress_bar(quiet=quiet) as bar:
        task = bar.add_task("dating", total=total)

        def tell(looked: Looked) -> None:
            done.take(looked)
            bar.advance(task)

        redating.redate(here.place, defaults_of(here.config), which, actor(), now, told=tell)
    return done


def _confirm(seen: _Seen) -> None:
    question = f"Date {seen.changed} recordings anew"
    if seen.deleted:
        question += f", so that {seen.deleted} of them are deleted by the next run"
    typer.confirm(f"{question}?", abort=True)


def _print_preview(seen: _Seen) -> None:
    for change in seen.listed:
        old, new = change.before, change.after
        dates = f"{_date(old.delete_after)} -> {_date(new.delete_after)}"
        ending = "  DELETED by the next run" if change.deletes else ""
        line = f"{old.recording_id}  {old.retention} -> {new.retention} ({change.origin})  {dates}"
        typer.echo(plain(line + ending))
    if seen.changed > len(seen.listed):
        more = seen.changed - len(seen.listed)
        typer.echo(f"... and {more} more (--limit 0 lists all)")
    typer.echo(
        f"{seen.looked_at} recordings looked at, {seen.changed} get another date: "
        f"{seen.sooner} sooner, {seen.later} later"
    )
    if seen.deleted:
        size = f"{seen.deleted_bytes / GB:.2f} GB"
        typer.echo(f"{seen.deleted} of them ({size}) would be deleted by the next run")
    if seen.held:
        typer.echo(f"{seen.held} would be, and are kept by a legal hold")
    if seen.gone:
        typer.echo(f"{seen.gone} keep their date: what gave them their plan is gone")


def _date(at: datetime | None) -> str:
    return "never" if at is None else shown_time(at)[:10]


def _document(seen: _Seen, done: _Seen | None) -> dict[str, Any]:
    return {
        "dry_run": done is None,
        "looked_at": seen.looked_at,
        "changed": seen.changed if done is None else done.changed,
        "sooner": seen.sooner,
        "later": seen.later,
        "deleted_by_next_run": seen.deleted,
        "deleted_bytes": seen.deleted_bytes,
        "held": seen.held,
        "gone": seen.gone,
        "recordings": [_change(one) for one in seen.listed],
        "failures": [
            {"id": one.recording.recording_id, "error": one.error}
            for one in (done.failures if done else ())
        ],
    }


def _change(one: Redating) -> dict[str, Any]:
    def moment(at: datetime | None) -> str | None:
        return None if at is None else time_to_text(at)

    return {
        "id": one.before.recording_id,
        "before": one.before.retention,
        "after": one.after.retention,
        "from": one.origin,
        "delete_after_before": moment(one.before.delete_after),
        "delete_after": moment(one.after.delete_after),
        "deleted_by_next_run": one.deletes,
    }
