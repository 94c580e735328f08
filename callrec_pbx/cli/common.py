"""What the commands share: the catalogue, periods of time, and safe output."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from callrec_pbx import log
from callrec_pbx.catalogue import holds, tenants
from callrec_pbx.catalogue.amend import Place
from callrec_pbx.catalogue.audit_anchor import keep_anchors
from callrec_pbx.catalogue.engine import CatalogueError, is_outage
from callrec_pbx.catalogue.engine import shown as shown_url
from callrec_pbx.catalogue.migrate import open_current
from callrec_pbx.config import Config, load_config
from callrec_pbx.storage.store import RecordingStore

PIPE_WIDTH = 240
"""Columns of a table that no terminal shows, so that nothing is cut off in a pipe."""


@dataclass(frozen=True, slots=True)
class Site:
    """What a command works on."""

    config: Config
    engine: Engine
    store: RecordingStore

    @property
    def place(self) -> Place:
        """Catalogue and recordings directory."""
        return Place(self.engine, self.store)


class RecordingsError(Exception):
    """The recordings directory refuses something; the message says what to do."""


@contextmanager
def site(ctx: typer.Context) -> Iterator[Site]:
    """Open the catalogue and the recordings directory that the configuration names.

    Raises:
        CatalogueError: the catalogue is not to be had.
        RecordingsError: the recordings directory is not there, or refuses this user.
    """
    config = load_config(ctx.obj)
    # Log lines go to standard error, or they would be in the way of what is printed.
    log.configure(config.log.level, config.log.format)
    recordings = config.recordings
    engine = open_current(config.catalogue.url)
    keep_anchors(engine, recordings.directory)
    try:
        store = RecordingStore(recordings.directory, recordings.pbx_directory)
        holds.connect(store.holds, engine)
        yield Site(config, engine, store)
    except DBAPIError as error:
        if not is_outage(error):
            raise
        raise CatalogueError(
            f"catalogue.url {shown_url(config.catalogue.url)!r}: {error.orig}; try again, and see "
            "that no other program holds it and this user may write it"
        ) from error
    except OSError as error:
        # Ours say more, as `SpoolError` does.
        ours = type(error).__module__.startswith("callrec_pbx.")
        if ours or not Path(str(error.filename)).is_relative_to(recordings.directory):
            raise
        raise RecordingsError(
            f"recordings.directory {str(recordings.directory)!r}: {plain(str(error.filename))}: "
            f"{error.strerror}; mount the directory, and let this user write below it"
        ) from error
    finally:
        engine.dispose()


def check_tenant(here: Site, tenant: str) -> None:
    """Refuse a name that no tenant has or has had: what is asked for would cover nothing."""
    if tenant and not tenants.is_known(here.engine, tenant):
        raise typer.BadParameter(
            f"{tenant!r} is no tenant; `callrec-pbx tenant list` shows them",
            param_hint="--tenant",
        )


def beginning(text: str | None, option: str) -> datetime | None:
    """Where a period begins: a date means its first moment, in local time."""
    return None if text is None else _moment(text, option, days=0)


def ending(text: str | None, option: str) -> datetime | None:
    """Before when a period ends: a date means the whole of that day, in local time."""
    return None if text is None else _moment(text, option, days=1)


def check_order(start: datetime | None, end: datetime | None, shown_end: str | None) -> None:
    """Refuse a period that ends before it begins."""
    if start is not None and end is not None and end <= start:
        raise typer.BadParameter(
            f"{shown_end!r} is not after the beginning {start.isoformat()}; give a later time",
            param_hint="--to",
        )


def today() -> date:
    """The date here and now."""
    return datetime.now().astimezone().date()


def _moment(text: str, option: str, days: int) -> datetime:
    try:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            return datetime.fromisoformat(text).astimezone()
        return datetime.combine(day + timedelta(days=days), time()).astimezone()
    except (ValueError, OverflowError, OSError):
        raise typer.BadParameter(
            f"{text!r} is not a date or time; write 2026-03-31, or 2026-03-31T14:30 (local time), "
            "or 2026-03-31T14:30+02:00",
            param_hint=option,
        ) from None


def plain(text: str) -> str:
    """Text from outside, safe to print: nothing in it steers the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def shown(text: str) -> str:
    """Text from outside for a table: as `plain`, and nothing in it is read as markup."""
    return escape(plain(text))


def shown_time(at: datetime | None) -> str:
    """A time in local time, to the second."""
    return "" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M:%S}"


def shown_length(length_ms: int | None) -> str:
    """A length as hours, minutes and seconds."""
    if length_ms is None:
        return ""
    minutes, seconds = divmod(round(length_ms / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"


def console() -> Console:
    """Where tables go; as wide as they need where no terminal limits them."""
    return Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)


def progress_bar(*, quiet: bool) -> Progress:
    """A progress bar on standard error, where somebody looks."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
    )


def print_json(document: Any) -> None:
    """Print a document for programs."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))
