"""Transcripts: what a listener and a real FreeSWITCH said to each other, kept as data.

A file is XZ-compressed lines of JSON: first what it is, then all that happened, in order, beginning
with the start of the listener (its configuration and the rows that its catalogue had), and last
what came of it. What differs from run to run is replaced by a placeholder such as `@audio3@`.
"""

from __future__ import annotations

import json
import lzma
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, TypedDict

FOLDER = Path(__file__).parents[1] / "data" / "freeswitch"
SUFFIX = ".esl.xz"

AUTH = "auth"
"""What is kept of a login: not the password."""

CLOCK = "api strmicroepoch"
"""Asks for the time by FreeSWITCH's clock (microseconds since the epoch)."""

BEAT = re.compile(rf"api global_setvar callrec_heartbeat=\d+|{CLOCK}")
"""The listener's heartbeat, which comes by the clock and not by what FreeSWITCH says."""

EVENT = "text/event-json"
REPLIES = ("command/reply", "api/response")

PLACE = re.compile(r"@(audio\d+|id\d+|[a-z]+)@")
ID = "[0-9a-hjkmnp-tv-z]{26}"
"""Our own ids."""

_HOST = re.compile(r'"((?:variable_)?FreeSWITCH-(?:Host|Switch)name|hostname)":"[^"]*"')

DAY = r"\d{4}/\d\d/\d\d"


class Kind(StrEnum):
    """What happened on a link between listener and FreeSWITCH."""

    STARTED = "started"
    """A process of the listener was about to start, of no link; `text` is the `Setting` as JSON."""
    CHANGED = "changed"
    """Somebody has changed policy, people or places; `text` is the rows as JSON. Of no link."""
    OPENED = "opened"
    SAID = "said"
    """FreeSWITCH has sent a message, or the beginning of one."""
    ASKED = "asked"
    """The listener has sent a command."""
    DEAF = "deaf"
    """From here on nobody answers the listener on this link."""
    LEFT = "left"
    """The listener has closed the link."""
    LOST = "lost"
    """The link was closed to the listener."""


Rows = dict[str, list[dict[str, Any]]]
"""Rows of the catalogue, by table."""


class Setting(TypedDict, total=False):
    """What a listener finds when it starts; what is as before is left out.

    Attributes:
        config: The text of the configuration file.
        prompts: The manifest of the prompts.
        rows: What is in the catalogue of policy, people and places.
    """

    config: str
    prompts: str
    rows: Rows


@dataclass(slots=True)
class Entry:
    """One thing that happened.

    Attributes:
        at: Seconds since the beginning.
        link: Which connection, counted from 1.
        text: The command, or the body of the message; of one that was cut off, all there is.
        head: The headers of a message but its length; None: it was cut off.
        test: The test that was running.
    """

    kind: Kind
    at: float
    link: int
    text: str = ""
    head: dict[str, str] | None = None
    test: str = ""

    @property
    def type(self) -> str:
        """The type of a message."""
        return (self.head or {}).get("Content-Type", "")

    @property
    def event(self) -> str:
        """The name of an event; of a CUSTOM one its subclass."""
        subclass = re.search(r'"Event-Subclass":"([^"]*)"', self.text)
        name = subclass or re.search(r'"Event-Name":"([^"]*)"', self.text)
        return name[1] if name else ""

    @property
    def is_reply(self) -> bool:
        """Whether it is the answer to a command."""
        return self.kind is Kind.SAID and self.type in REPLIES

    def frame(self, text: str | None = None) -> bytes:
        """The message as it is on the wire.

        Args:
            text: The body; without it the one that was captured.
        """
        body = (self.text if text is None else text).encode("utf-8", "surrogateescape")
        if self.head is None:
            return body
        head = dict(self.head)
        if body:
            head = {"Content-Length": str(len(body)), **head}
        lines = "".join(f"{name}: {value}\n" for name, value in head.items())
        return lines.encode("utf-8", "surrogateescape") + b"\n" + body

    def __str__(self) -> str:
        said = told(self.text) if self.type == EVENT else (self.text or str(self.head or ""))
        return f"{self.at:8.3f} link {self.link} {self.kind}: {said[:400]}"


@dataclass
class Transcript:
    """One listener's links with FreeSWITCH, from its start to its end.

    Attributes:
        name: Of the file, without folder and suffix.
        about: What a person wants to know of it: FreeSWITCH's version, the date, the tests.
        epoch_us: FreeSWITCH's time at the beginning (microseconds since the epoch).
        revision: The schema of the catalogue.
        audio: Of each recording with audio, by placeholder: rate (Hz), channels and samples of
            each channel.
        facts: What came of it: calls and recordings.
    """

    name: str
    about: dict[str, str] = field(default_factory=dict)
    epoch_us: int = 0
    revision: str = ""
    entries: list[Entry] = field(default_factory=list)
    audio: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def save(self, folder: Path = FOLDER) -> Path:
        """Write the file."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}{SUFFIX}"
        head = {"about": self.about, "epoch_us": self.epoch_us, "revision": self.revision}
        lines = [head, *map(_brief, self.entries), {"audio": self.audio, "facts": self.facts}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        path.write_bytes(lzma.compress(text.encode(), preset=9 | lzma.PRESET_EXTREME))
        return path

    @classmethod
    def load(cls, path: Path) -> Transcript:
        """Read the file."""
        text = lzma.decompress(path.read_bytes()).decode()
        first, *between, last = map(json.loads, text.splitlines())
        entries = [Entry(**{**one, "kind": Kind(one["kind"])}) for one in between]
        audio = {name: tuple(one) for name, one in last["audio"].items()}
        name = path.name.removesuffix(SUFFIX)
        return cls(name, **first, entries=entries, audio=audio, facts=last["facts"])


def _brief(entry: Entry) -> dict[str, Any]:
    return {name: value for name, value in asdict(entry).items() if value not in ("", None)}


def told(event: str) -> str:
    """An event in one line, for messages to people."""
    try:
        headers = json.loads(event)
    except ValueError:
        return event
    wanted = (
        *("Event-Name", "Event-Subclass", "Unique-ID", "Channel-Name", "Record-File-Path"),
        *("Callrec-Offer", "Callrec-Consent", "Callrec-Key", "Hangup-Cause"),
    )
    return " ".join(str(headers[name]) for name in wanted if name in headers)


def pairs(entries: list[Entry]) -> dict[int, int]:
    """Where the answer to each command is, by where the command is."""
    found: dict[int, int] = {}
    for link in {entry.link for entry in entries}:
        mine = [(at, entry) for at, entry in enumerate(entries) if entry.link == link]
        asked = [at for at, entry in mine if entry.kind is Kind.ASKED]
        answers = [at for at, entry in mine if entry.is_reply]
        found |= dict(zip(asked, answers, strict=False))
    return found


class Placeholders:
    """Puts placeholders for what differs from run to run.

    Args:
        fixed: What each placeholder stands for; the longest text is looked for first.
        recordings: The recordings directory.
        ids: Ids of recordings and calls.
    """

    def __init__(self, fixed: Mapping[str, str], recordings: Path, ids: Iterable[str]) -> None:
        self._fixed = sorted(fixed.items(), key=lambda one: -len(one[1]))
        self._number: dict[str, int] = {}
        known = "|".join(sorted(ids)) or "(?!)"
        self._audio = re.compile(rf"{re.escape(str(recordings))}/{DAY}/({known})")
        self._id = re.compile(known)

    def hide(self, text: str) -> str:
        """The text with placeholders."""
        text = _HOST.sub(r'"\1":"@host@"', text)
        text = self._audio.sub(lambda found: f"@audio{self._of(found[1])}@", text)
        text = self._id.sub(lambda found: f"@id{self._of(found[0])}@", text)
        for name, value in self._fixed:
            text = text.replace(value, f"@{name}@")
        return text

    def _of(self, item: str) -> int:
        return self._number.setdefault(item, len(self._number) + 1)

    def audio_of(self, recording_id: str) -> str:
        """The placeholder of a recording's path without its suffix."""
        return f"audio{self._of(recording_id)}"


class Values:
    """What the placeholders stand for in this run.

    Args:
        fixed: What is known from the beginning.
        recordings: The recordings directory.
    """

    def __init__(self, fixed: Mapping[str, str], recordings: Path) -> None:
        self.recordings = recordings
        self._values = dict(fixed)

    def put(self, name: str, value: str) -> None:
        """Say what a placeholder stands for."""
        self._values[name] = value

    def show(self, text: str) -> str:
        """The text with what the placeholders stand for; what is not known yet stays."""
        return PLACE.sub(lambda found: self._values.get(found[1], found[0]), text)

    def of(self, path: str) -> str:
        """The placeholder of a recording's path without its suffix; empty where there is none."""
        found = (name for name, value in self._values.items() if value == path)
        return next((name for name in found if name.startswith("audio")), "")

    def take(self, template: str, text: str) -> bool:
        """Whether the text is what the template says; if so, what it stands for is known."""
        found = re.fullmatch(self._pattern(template), text, re.DOTALL)
        if found is None:
            return False
        new: dict[str, str] = {}
        for name, value in found.groupdict().items():
            new[name] = value
            own = name.replace("audio", "id")
            if new.setdefault(own, value.rpartition("/")[2]) != value.rpartition("/")[2]:
                return False
        others = {value: name for name, value in self._values.items()}
        if any(others.get(value, name) != name for name, value in new.items()):
            return False  # it is already something else
        if any(self._values.get(name, value) != value for name, value in new.items()):
            return False
        self._values |= new
        return len(set(new.values())) == len(new)

    def _pattern(self, template: str) -> str:
        seen: Counter[str] = Counter()

        def place(name: str) -> str:
            if name in self._values:
                return re.escape(self._values[name])
            seen[name] += 1
            if seen[name] > 1:
                return f"(?P={name})"
            if name.startswith("id"):
                return f"(?P<{name}>{ID})"
            if name.startswith("audio"):
                return f"(?P<{name}>{re.escape(str(self.recordings))}/{DAY}/{ID})"
            return re.escape(f"@{name}@")

        pieces = PLACE.split(template)
        return "".join(
            place(piece) if odd % 2 else re.escape(piece) for odd, piece in enumerate(pieces)
        )
