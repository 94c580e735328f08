"""Writing a document with its own checksum at the end, and checking one.

JSON: the key `sha256` has the SHA-256 of the document without it, as JSON without white space, its
keys sorted, in UTF-8. Text and page: the last line, or the last but one, has that of all bytes
before it.
"""

import hashlib
import json
from enum import StrEnum
from html import escape
from typing import Any

from callrec_pbx.evidence.sections import Section, sections

SEAL = "SHA-256 of all lines above: "
_PAGE_SEAL = f'<p class="seal">{SEAL}<code>'
_PAGE_END = "</code></p>\n</body>\n</html>\n"
_HEX = 64

_STYLE = """body { font: 10pt/1.4 sans-serif; margin: 2em auto; max-width: 60em; padding: 0 1em; }
h1 { font-size: 15pt; } h2 { font-size: 11pt; margin: 1.4em 0 0.3em; break-after: avoid; }
table { border-collapse: collapse; width: 100%; } tr { break-inside: avoid; }
th, td { border-bottom: 1px solid #ccc; padding: 0.2em 0.6em 0.2em 0; text-align: left;
  vertical-align: top; overflow-wrap: anywhere; }
th { font-weight: normal; color: #444; width: 14em; }
.seal { border-top: 2px solid; margin-top: 2em; padding-top: 0.5em; }
@media print { body { margin: 0; max-width: none; } @page { margin: 2cm; } }"""


class Form(StrEnum):
    """How a document is written."""

    TEXT = "text"
    JSON = "json"
    HTML = "html"


class SealError(ValueError):
    """A file is no such document, so that nothing can be said of it."""


def write(document: dict[str, Any], form: Form) -> tuple[str, str]:
    """Write a document.

    Returns:
        It, and its checksum.
    """
    document = _writable(document)
    if form is Form.JSON:
        sha256 = _of_json(document)
        sealed = document | {"sha256": sha256}
        return json.dumps(sealed, ensure_ascii=False, indent=2) + "\n", sha256
    body = _text(document) if form is Form.TEXT else _page(document)
    sha256 = _of_text(body)
    if form is Form.TEXT:
        return f"{body}{SEAL}{sha256}\n", sha256
    return f"{body}{_PAGE_SEAL}{sha256}{_PAGE_END}", sha256


def check(data: bytes) -> tuple[str, str]:
    """Look at a document as `write` made it.

    Args:
        data: The bytes of the file.

    Returns:
        The checksum that it has written down, and the one that it has.

    Raises:
        SealError: it is no such document, or has no checksum.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise SealError("is not UTF-8") from None
    if text.lstrip().startswith("{"):
        return _check_json(text)
    if text.endswith(_PAGE_END):
        body, mark, rest = text.removesuffix(_PAGE_END).rpartition(_PAGE_SEAL)
    else:
        body, mark, rest = text.removesuffix("\n").rpartition(f"\n{SEAL}")
        body += "\n"
    if not mark or len(rest) != _HEX:
        raise SealError("does not end with the checksum of an evidence document")
    return rest, _of_text(body)


def _check_json(text: str) -> tuple[str, str]:
    try:
        document = json.loads(text, object_pairs_hook=_once)
        written = document.pop("sha256")
        return str(written), _of_json(document)
    except (ValueError, KeyError, AttributeError, RecursionError) as error:
        raise SealError(f"is no evidence document in JSON: {error}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object none of whose keys is there twice: readers differ in which they take."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _text(document: dict[str, Any]) -> str:
    lines: list[str] = []
    for section in sections(document):
        title = plain(section.title)
        lines += [title, "-" * len(title)]
        width = max((len(name) for name, _ in section.facts), default=0)
        lines += [f"  {plain(name):{width}}  {plain(value)}" for name, value in section.facts]
        lines.append("")
    return "\n".join(lines) + "\n"


def _page(document: dict[str, Any]) -> str:
    first, *others = sections(document)
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            # Nothing in it may load or run anything, whatever a caller's name is.
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "style-src 'unsafe-inline'\">",
            f"<title>{_html('Evidence of call ' + document['call_id'])}</title>",
            f"<style>\n{_STYLE}\n</style>",
            "</head>",
            "<body>",
            f"<h1>{_html(first.title)}</h1>",
            *_rows(first),
            *(row for one in others for row in (f"<h2>{_html(one.title)}</h2>", *_rows(one))),
            "",
        ]
    )


def _rows(section: Section) -> list[str]:
    rows = [
        f"<tr><th>{_html(name)}</th><td>{_html(value)}</td></tr>" for name, value in section.facts
    ]
    return ["<table>", *rows, "</table>"]


def plain(text: str) -> str:
    """Text from outside: nothing in it steers a terminal or begins a line."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _html(text: str) -> str:
    return escape(plain(text))


def _of_json(document: dict[str, Any]) -> str:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return _of_text(text)


def _of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _writable(document: dict[str, Any]) -> dict[str, Any]:
    """The document without halves of surrogate pairs, which UTF-8 has no bytes for."""
    text = json.dumps(document, ensure_ascii=False).encode(errors="replace").decode()
    return dict(json.loads(text))
