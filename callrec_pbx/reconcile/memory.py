"""What the last check has found, and how far the checksums are compared, in a file of its own."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.reconcile.check import Checked
from callrec_pbx.storage import files
from callrec_pbx.storage.serial import SidecarError, time_to_text

NAME = ".check.json"
FILE_MODE = 0o660
GB = 1_000_000_000

_Position = tuple[str, str]
START: _Position = ("", "")


@dataclass(frozen=True, slots=True)
class LastCheck:
    """The last check of everything, and the round of checksums that is under way.

    Attributes:
        at: When it came to its end; None: there was none.
        by: In whose name.
        found: How many findings of each kind.
        left: Those that are not mended.
        verified_to: Day and id of the last recording whose checksums were compared in this round.
        round_began_at: When the round was begun.
        round_ended_at: When the last whole round came to its end: no audio was compared before
            the beginning of that one; None: there was none.
    """

    at: datetime | None = None
    by: str = ""
    found: Mapping[str, int] = field(default_factory=dict)
    left: Mapping[str, int] = field(default_factory=dict)
    verified_to: _Position = START
    round_began_at: datetime | None = None
    round_ended_at: datetime | None = None


def load(directory: Path) -> LastCheck:
    """What is remembered of a recordings directory; nothing, where the file cannot be read."""
    try:
        document: dict[str, Any] = json.loads((directory / NAME).read_bytes())
        day, item = document.get("verified_to") or START
        return LastCheck(
            _time(document.get("at")),
            str(document.get("by", "")),
            {str(kind): int(count) for kind, count in document.get("found", {}).items()},
            {str(kind): int(count) for kind, count in document.get("left", {}).items()},
            (str(day), str(item)),
            _time(document.get("round_began_at")),
            _time(document.get("round_ended_at")),
        )
    except (OSError, ValueError, TypeError, AttributeError, SidecarError):
        return LastCheck()


def save(directory: Path, last: LastCheck) -> None:
    """Remember.

    Raises:
        OSError: it cannot be written.
    """
    document = {
        "at": _text(last.at),
        "by": last.by,
        "found": dict(last.found),
        "left": dict(last.left),
        "verified_to": list(last.verified_to),
        "round_began_at": _text(last.round_began_at),
        "round_ended_at": _text(last.round_ended_at),
    }
    files.replace(str(directory / NAME), json.dumps(document).encode("ascii"), FILE_MODE)


def after(last: LastCheck, checked: Checked, by: str, now: datetime) -> LastCheck:
    """What is to be remembered after a check of everything."""
    found = {str(kind): count for kind, count in sorted(checked.found.items())}
    left = {str(kind): count for kind, count in sorted(checked.left.items())}
    return replace(last, at=now, by=by, found=found, left=left)


def whole_round(last: LastCheck, now: datetime) -> LastCheck:
    """What is to be remembered when every checksum was compared at once."""
    return replace(last, verified_to=START, round_began_at=None, round_ended_at=now)


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text).astimezone(UTC)


def _text(at: datetime | None) -> str | None:
    return None if at is None else time_to_text(at)


class Everything:
    """Compares the checksums of every recording."""

    def wants(self, day: datetime, facts: RecordingFacts) -> bool:  # noqa: ARG002
        """It does."""
        return True


class Share:
    """Compares the checksums of the next so many GB, where the last share came to its end."""

    def __init__(self, last: LastCheck, gigabytes: float, now: datetime) -> None:
        """Remember where to go on.

        Args:
            last: How far it was.
            gigabytes: How much audio to read.
            now: The time to note.
        """
        self._last = replace(last, round_began_at=last.round_began_at or now)
        self._left = gigabytes * GB
        self._now = now
        self._reached = last.verified_to

    def wants(self, day: datetime, facts: RecordingFacts) -> bool:
        """Whether this one is next; recordings come in order of days, and of ids within."""
        position = (f"{day:%Y/%m/%d}", facts.recording_id)
        if position <= self._last.verified_to or self._left <= 0:
            return False
        size = (facts.size or 0) * facts.has_wav + (facts.encoded_size or 0)
        self._left -= size
        self._reached = position
        return size > 0

    def end(self, *, through: bool) -> LastCheck:
        """How far it is now.

        Args:
            through: Whether the check came to its end; it is the end of the round, too, when there
                was something left of the share.
        """
        if through and self._left > 0:
            return whole_round(self._last, self._now)
        return replace(self._last, verified_to=self._reached)
