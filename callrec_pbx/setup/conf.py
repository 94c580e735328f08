"""Reading and editing the text of Asterisk's configuration files; pure.

Text here is the file's bytes as Latin-1, so that whatever the file holds stays as it is.
Source: main/config.c of Asterisk 22 (comments, block comments, sections, includes).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from callrec_pbx.setup.errors import SetupError

BEGIN = "; >>> callrec-pbx: added by `callrec-pbx setup asterisk`; its --undo takes it away"
END = "; <<< callrec-pbx"
WAS = "; callrec-pbx: was: "
ADDED = "; callrec-pbx: added"
ADDED_WITH_BREAK = "; callrec-pbx: added with the line break before"

_BEGIN_START = "; >>> callrec-pbx"
_BEGIN_LINE = re.compile(f"^{re.escape(_BEGIN_START)}", re.MULTILINE)
# Not splitlines(), which also splits at bytes that are parts of UTF-8 characters.
_RAW_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_SECTION = re.compile(r"\s*\[([^\]]+)\]")
_SETTING = re.compile(r"\s*([^=\s][^=]*?)\s*=>?\s*(.*)")
_INCLUDE = re.compile(r"\s*#(?:try)?include\s+[\"<]?([^\">\s]+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Line:
    """A line that says something: its place in the text, and itself without comments.

    Attributes:
        start: Offset of its first character.
        end: Offset behind its line break.
        opens: Whether a block comment begins on it and goes on behind it.
    """

    start: int
    end: int
    text: str
    opens: bool = False

    @property
    def section(self) -> str | None:
        """The name in brackets, if the line begins a section."""
        match = _SECTION.match(self.text)
        return match.group(1) if match else None

    @property
    def setting(self) -> tuple[str, str] | None:
        """Name and value, if the line is `name = value`."""
        if self.section is not None or self.text.lstrip().startswith("#"):
            return None
        match = _SETTING.match(self.text)
        return (match.group(1).strip().lower(), match.group(2).strip()) if match else None

    @property
    def included(self) -> str | None:
        """The file that the line includes, if it does."""
        match = _INCLUDE.match(self.text)
        return match.group(1) if match else None


def lines(text: str) -> Iterator[Line]:
    """Walk over the lines that are not empty and not comments."""
    start = 0
    in_block = False
    for raw in _RAW_LINE.findall(text):
        said, in_block = _without_comments(raw, in_block)
        if said.strip():
            yield Line(start, start + len(raw), said.strip(), in_block)
        start += len(raw)


def _without_comments(raw: str, in_block: bool) -> tuple[str, bool]:
    said = ""
    rest = raw
    while rest:
        if in_block:
            _, closed, rest = rest.partition("--;")
            in_block = not closed
            continue
        semicolon = rest.find(";")
        if semicolon < 0:
            return said + rest, False
        if semicolon > 0 and rest[semicolon - 1] == "\\":
            said, rest = said + rest[: semicolon + 1], rest[semicolon + 1 :]
            continue
        said += rest[:semicolon]
        if not re.match(r";--(?!-)", rest[semicolon:]):
            return said, False
        in_block, rest = True, rest[semicolon + 3 :]
    return said, in_block


def refuse_open_comment(text: str, file: object) -> None:
    """Raise SetupError when a block comment goes on to the end: what is added is lost there."""
    in_block = False
    for raw in _RAW_LINE.findall(text):
        in_block = _without_comments(raw, in_block)[1]
    if in_block:
        raise SetupError(f"{file}: a block comment that begins with ;-- is not closed; add --;")


def settings(text: str, section: str) -> dict[str, str]:
    """Return the settings of the first section of that name; the last of a name wins."""
    found: dict[str, str] = {}
    inside = seen = False
    for line in lines(text):
        if line.section is not None:
            inside = line.section == section and not seen
            seen = seen or inside
        elif inside and line.setting is not None:
            found[line.setting[0]] = line.setting[1]
    return found


def has_section(text: str, section: str) -> bool:
    """Whether a section of that name begins anywhere in the text."""
    return any(line.section == section for line in lines(text))


def includes(text: str) -> set[str]:
    """Return the names of the files that the text includes."""
    return {line.included for line in lines(text) if line.included is not None}


def line_break(text: str) -> str:
    """Return the text's own kind of line break."""
    return "\r\n" if "\r\n" in text else "\n"


@dataclass(frozen=True, slots=True)
class Block:
    """Our marked block in a text, from its first character to behind its line break."""

    start: int
    end: int


def find_block(text: str, file: object) -> Block | None:
    """Return our block in the text.

    Raises:
        SetupError: It begins and does not end, or is there twice.
    """
    starts = [match.start() for match in _BEGIN_LINE.finditer(text)]
    if not starts:
        return None
    closed = text.find(END, starts[0])
    if closed < 0 or len(starts) > 1:
        raise SetupError(
            f"{file}: the part between {_BEGIN_START!r} and {END!r} is damaged; "
            "remove all its lines and run setup again"
        )
    end = text.find("\n", closed)
    return Block(starts[0], len(text) if end < 0 else end + 1)


def with_block(text: str, content: list[str], file: object, section: str = "") -> str:
    """Return the text with our block, put in or brought up to date.

    Args:
        text: The administrator's file; empty when there is none.
        content: The lines of the block.
        file: Name of the file for messages.
        section: The section whose first lines the block must be, where the text has one.

    Raises:
        SetupError: There is no place for it; the message says why.

    A new block goes to the top: lines that are added to the end of the file later on cannot get
    into a section of ours there. Only a file that begins in the middle of a section of another
    file has it at its end.
    """
    refuse_open_comment(text, file)
    newline = line_break(text)
    block = "".join(line + newline for line in (BEGIN, *content, END))
    there = find_block(text, file)
    if there is not None:
        return text[: there.start] + block + text[there.end :]
    place = _place_for(text, section, file)
    if place > 0 and not text[:place].endswith("\n"):
        return text[:place] + newline + block + text[place:]
    return text[:place] + block + text[place:]


def _place_for(text: str, section: str, file: object) -> int:
    first: Line | None = None
    for line in lines(text):
        first = first or line
        if section and line.section == section:
            if line.opens:
                raise SetupError(
                    f"{file}: a block comment begins on the line of [{section}]; "
                    "let it begin on a line of its own"
                )
            return line.end
    if section or first is None or first.section is not None:
        return 0
    return len(text)


def without_block(text: str, file: object, newline_added: bool) -> str:
    """Return the text without our block, and without the line break that it needed.

    Raises:
        SetupError: The block is damaged.
    """
    there = find_block(text, file)
    if there is None:
        return text
    before, after = text[: there.start], text[there.end :]
    if newline_added and not after:
        before = before.removesuffix("\n").removesuffix("\r")
    return before + after


def with_settings(text: str, section: str, wanted: dict[str, str], file: object) -> str:
    """Return the text with these settings in its first section of that name, or in a new one.

    Each line that is changed says what it was, so that `without_settings` can bring it back. A
    line whose comment opens a block comment is left alone.

    Raises:
        SetupError: There is no place for it; the message says why.
    """
    refuse_open_comment(text, file)
    newline = line_break(text)
    head: Line | None = None
    left = dict(wanted)
    edits: list[tuple[int, int, str]] = []
    for line in lines(text):
        if line.section is not None:
            if head is not None:
                break
            head = line if line.section == section and not line.opens else None
        elif head is not None and line.setting is not None and line.setting[0] in wanted:
            name, value = line.setting
            left.pop(name, None)
            raw = text[line.start : line.end].rstrip("\r\n")
            if value.lower() != wanted[name].lower() and ";--" not in raw:
                edits.append(
                    (line.start, line.start + len(raw), f"{name} = {wanted[name]} {WAS}{raw}")
                )
    added = [f"{name} = {value}" for name, value in left.items()]
    if head is None:
        added.insert(0, f"[{section}]")
    place = head.end if head is not None else len(text)
    gap = bool(text[:place]) and not text[:place].endswith("\n")
    if added:
        marks = [ADDED_WITH_BREAK if gap and n == 0 else ADDED for n in range(len(added))]
        new = "".join(f"{a} {mark}{newline}" for a, mark in zip(added, marks, strict=True))
        edits.append((place, place, newline + new if gap else new))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def without_settings(text: str) -> str:
    """Return the text with every line that `with_settings` changed as it was."""
    kept: list[str] = []
    for raw in _RAW_LINE.findall(text):
        said = raw.rstrip("\r\n")
        if said.endswith(f" {ADDED}"):
            continue
        if said.endswith(f" {ADDED_WITH_BREAK}"):
            if kept:
                kept[-1] = kept[-1].removesuffix("\n").removesuffix("\r")
            continue
        _, was, original = raw.partition(f" {WAS}")
        kept.append(original if was else raw)
    return "".join(kept)
