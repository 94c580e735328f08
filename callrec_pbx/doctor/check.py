"""What the nightly check of the catalogue has left."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, ok, warn
from callrec_pbx.reconcile import memory
from callrec_pbx.storage.mounted import DAYS

LATE = timedelta(days=2)
"""A night may be missed."""

_REMEDY = "run `callrec-pbx catalogue check`, and see docs/check.md for each kind"


def check_last(config: Config) -> Iterator[Finding]:
    """It was through not long ago, and nothing is left for a person."""
    last = memory.load(config.recordings.directory)
    if last.at is None and _is_young(config.recordings.directory):
        yield ok("catalogue_check", "nothing to check yet; it runs every night")
        return
    if last.at is None:
        yield warn(
            "catalogue_check",
            "the catalogue was never checked against sidecars and files",
            "leave the listener running over night, or run `callrec-pbx catalogue check --mend`",
        )
        return
    when = f"checked on {last.at.astimezone():%Y-%m-%d %H:%M}"
    if last.left:
        kinds = ", ".join(f"{count} {kind}" for kind, count in last.left.items())
        yield warn("catalogue_check", f"{when}; left: {kinds}", _REMEDY)
    elif datetime.now(UTC) - last.at > LATE:
        yield warn(
            "catalogue_check",
            f"{when}, and not since",
            "see the listener's log for check_failed, and that it runs at catalogue.check_at",
        )
    else:
        yield ok("catalogue_check", f"{when}; {_checksums(last)}")


def _is_young(directory: Path) -> bool:
    """Whether nothing was recorded before the last nights."""
    oldest = min((str(day.relative_to(directory)) for day in directory.glob(DAYS)), default=None)
    return oldest is None or oldest > f"{datetime.now(UTC) - LATE:%Y/%m/%d}"


def _checksums(last: memory.LastCheck) -> str:
    if last.round_ended_at is not None:
        return f"all checksums compared by {last.round_ended_at.astimezone():%Y-%m-%d}"
    return f"checksums compared up to {last.verified_to[0] or 'nowhere'}"
