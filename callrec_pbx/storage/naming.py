"""Names for people: what a recording's file is called when somebody downloads it, or looks for it.

A name is made of a template. Whatever callers, users and administrators put into the fields, a name
stays below the folder that it is meant for, and is a file name on every system.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.domain.words import AudioFormat

PRESETS = {
    "matelso": (
        "call_recording/{tenant}/{start}/rec_{yyyymmdd}_{hhmmss}_{tenant}_{start}_{a}_{b}_{c}"
    ),
    "by_day": "{yyyy}/{mm}/{dd}/{hhmmss}_{direction}_{a}_{b}",
    "by_owner": "{owner}/{yyyy}-{mm}/{yyyymmdd}_{hhmmss}_{direction}_{a}_{b}",
    "flat": "{yyyymmdd}_{hhmmss}_{owner}_{direction}_{a}_{b}",
    "id": "{id}",
}
"""Templates that have a name."""

LONGEST_VALUE = 60
"""Characters of one field."""
LONGEST_NAME = 100
"""Characters of the last part, without what makes it distinct and without the extension."""
LONGEST_FOLDERS = 110
"""Characters of all the folders."""
MOST_FOLDERS = 5

_TOKEN = re.compile(r"\{([^{}]*)\}|([^{}]+)|(.)", re.DOTALL)
_LITERAL = re.compile(r"[A-Za-z0-9+_./-]*")
_UNSAFE = re.compile(r"[^A-Za-z0-9+_.-]+")
_DOTS = re.compile(r"\.{2,}")
_PART = re.compile(r"[A-Za-z0-9+_][A-Za-z0-9+_.-]*")
_EXTENSIONS = tuple(f".{kind}" for kind in (*AudioFormat, "ogg"))
_RESERVED = frozenset(
    {"con", "prn", "aux", "nul"} | {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
)
"""Names that Windows has for devices, with any extension."""
_NOTHING = "none"
_LETTERS = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "œ": "oe", "Œ": "Oe"}
    | {"đ": "d", "Đ": "D", "ł": "l", "Ł": "L", "þ": "th", "Þ": "Th", "ð": "d", "ı": "i"}
)
"""Letters that do not fall into a plain one and a mark."""
_TAIL = 8


@dataclass(frozen=True, slots=True)
class Names:
    """How recordings are called: by what template, and in what time zone (None: the machine's)."""

    template: "Template"
    zone: ZoneInfo | None = None

    def stem(self, recording: RecordingFacts, call: CallFacts) -> str:
        """The path of a recording, without extension; see `stem`."""
        return stem(self.template, recording, call, self.zone)


Value = Callable[[RecordingFacts, CallFacts, datetime], str]

FIELDS: dict[str, Value] = {
    "id": lambda r, _c, _at: r.recording_id,
    "call": lambda r, _c, _at: r.call_id,
    "tenant": lambda r, _c, _at: r.tenant,
    "site": lambda r, _c, _at: r.site,
    "department": lambda r, _c, _at: r.department,
    "owner": lambda r, _c, _at: r.owner,
    "line": lambda r, _c, _at: r.line,
    "rule": lambda r, _c, _at: r.rule,
    "queue": lambda _r, c, _at: c.queue,
    "direction": lambda _r, c, _at: c.direction or "",
    "ddi": lambda _r, c, _at: c.ddi,
    "start": lambda _r, c, _at: c.ddi or c.b_number,
    "a": lambda _r, c, _at: c.a_number,
    "b": lambda _r, c, _at: c.b_number,
    "c": lambda _r, c, _at: c.c_number,
    "yyyymmdd": lambda _r, _c, at: f"{at:%Y%m%d}",
    "yyyy": lambda _r, _c, at: f"{at.year:04d}",
    "mm": lambda _r, _c, at: f"{at:%m}",
    "dd": lambda _r, _c, at: f"{at:%d}",
    "hhmmss": lambda _r, _c, at: f"{at:%H%M%S}",
}
"""What stands between braces in a template."""


class TemplateError(ValueError):
    """A template cannot be used; the text is `problem; remedy`."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template that can be used.

    Attributes:
        text: As it was written, or as the preset has it.
        parts: Its folders and the name; each one is literal text and fields by turns.
    """

    text: str
    parts: tuple[tuple[str, ...], ...]


def parse(text: str) -> Template:
    """Read a template, or the name of a preset.

    Raises:
        TemplateError: it is neither; what is wrong, and the remedy.
    """
    if text in PRESETS:
        return _parsed(PRESETS[text])
    if "{" not in text:
        raise TemplateError(
            "is neither a preset nor a template with a field; use one of "
            f"{', '.join(PRESETS)}, or write one such as {PRESETS['by_owner']}"
        )
    return _parsed(text)


def zone(name: str) -> ZoneInfo | None:
    """The time zone of that name; None for an empty one, which means the machine's own.

    Raises:
        TemplateError: there is none; what is wrong, and the remedy.
    """
    if not name:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise TemplateError("is no time zone; give one such as Europe/Berlin") from None


def _parsed(text: str) -> Template:
    parts: list[list[str]] = [[""]]
    for field, literal, stray in _TOKEN.findall(text):
        if stray:
            raise TemplateError(f"has a {stray} by itself; write each field as {{name}}")
        if literal:
            _add_literal(parts, literal)
        elif field not in FIELDS:
            raise TemplateError(
                f"there is no field {{{field}}}; known are "
                + ", ".join(f"{{{name}}}" for name in FIELDS)
            )
        else:
            parts[-1] += [field, ""]
    for part in parts:
        _check_part(part)
    if len(parts) - 1 > MOST_FOLDERS:
        raise TemplateError(f"has {len(parts) - 1} folders; use {MOST_FOLDERS} at the most")
    if parts[-1][-1].lower().endswith(_EXTENSIONS):
        raise TemplateError(
            "ends in the extension of an audio file; leave it out: the file has that of its format"
        )
    return Template(text, tuple(tuple(part) for part in parts))


def _add_literal(parts: list[list[str]], literal: str) -> None:
    if _LITERAL.fullmatch(literal) is None:
        raise TemplateError(
            f"has {literal!r} in it; beside the fields use A-Z, a-z, digits and + - _ . /"
        )
    first, *others = literal.split("/")
    parts[-1][-1] += first
    parts += [[one] for one in others]


def _check_part(part: list[str]) -> None:
    if part == [""]:
        raise TemplateError("has a folder or file without a name; use / only between two names")
    if part[0].startswith((".", "-")) or any(".." in literal for literal in part[::2]):
        raise TemplateError(
            "has a folder or file that begins with . or -, or with .. in it; leave these out"
        )
    if len("".join(part[::2])) > LONGEST_VALUE:
        raise TemplateError(
            f"has a folder or file with more than {LONGEST_VALUE} characters beside its fields; "
            "shorten it"
        )


def stem(
    template: Template, recording: RecordingFacts, call: CallFacts, where: ZoneInfo | None = None
) -> str:
    """The path that a template makes of a recording, without extension.

    Args:
        template: The template.
        recording: The recording.
        call: Its call.
        where: The time zone of date and time; None takes the machine's own.

    Returns:
        A relative path of safe parts; recordings that agree in all fields get the same one.
    """
    at = (recording.started_at or recording.created_at).astimezone(where)
    *folders, name = (_part(part, recording, call, at) for part in template.parts)
    longest = LONGEST_FOLDERS // len(folders) - 1 if folders else 0
    return "/".join([*(_cut(folder, longest) for folder in folders), _cut(name, LONGEST_NAME)])


def _part(part: tuple[str, ...], recording: RecordingFacts, call: CallFacts, at: datetime) -> str:
    """Literal text as it is, the fields between it made safe."""
    words = [
        _safe(FIELDS[word](recording, call, at)) if position % 2 else word
        for position, word in enumerate(part)
    ]
    return _DOTS.sub(".", "".join(words))


def _safe(value: str) -> str:
    """What is left of a text in the safe alphabet; never empty."""
    # A long text is cut first: normalizing may make it several times as long.
    plain = unicodedata.normalize("NFKD", value[: 4 * LONGEST_VALUE].translate(_LETTERS))
    letters = "".join(char for char in plain if not unicodedata.combining(char))
    found = _DOTS.sub(".", _UNSAFE.sub("_", letters)).lstrip("._-")[:LONGEST_VALUE]
    return found.rstrip("._-") or _NOTHING


def _cut(part: str, longest: int) -> str:
    """A part that is a file name on every system."""
    part = part[:longest].rstrip(".") or _NOTHING
    if part.partition(".")[0].lower() in _RESERVED:
        part = f"_{part}"[:longest]
    return part


def free(stem: str, recording_id: str, extension: str, is_taken: Callable[[str], bool]) -> str:
    """The first name for a recording that no other one has; the same each time it is asked.

    Args:
        stem: The path without extension, as `stem` makes it.
        recording_id: Its id, of which a part is added when the path is taken.
        extension: Without the dot.
        is_taken: Whether another recording has that path.
    """
    tries = [stem, f"{stem}_{recording_id[-_TAIL:]}", f"{stem}_{recording_id}"]
    for one in tries:
        if not is_taken(f"{one}.{extension}"):
            return f"{one}.{extension}"
    number = 2
    while is_taken(found := f"{tries[-1]}_{number}.{extension}"):
        number += 1
    return found


def is_safe(path: str) -> bool:
    """Whether a relative path is one that a template can have made."""
    return all(_PART.fullmatch(part) and ".." not in part for part in path.split("/"))
