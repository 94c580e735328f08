"""The body of an event to its headers, whatever a caller has put into them."""

import json
import re
from typing import Any
from urllib.parse import unquote

from callrec_pbx.pbx.errors import MalformedMessageError
from callrec_pbx.pbx.freeswitch.framing import Frame

_NOT_UTF_8 = re.compile("[\udc80-\udcff]")

Message = dict[str, str]
"""One event: header by name, values as FreeSWITCH has them (already decoded from JSON)."""


def message(frame: Frame) -> Message:
    """What an event says.

    Raises:
        MalformedMessageError: It is no event, or cannot be read.
    """
    if frame.fault:
        raise MalformedMessageError(frame.fault)
    if frame.kind == "text/event-json":
        return from_json(frame.body)
    if frame.kind == "text/event-plain":
        return from_plain(frame.body)
    raise MalformedMessageError(f"a frame of type {frame.kind[:80]!r}")


def from_json(body: bytes) -> Message:
    """Read an event of the format `json`.

    Of a header that comes twice the last one counts: where an application's arguments name
    headers, the channel's own follow them.

    Source: FreeSWITCH 1.11.1, switch_event.c `switch_event_serialize_json_obj`; mod_dptools.c
        `event_function`.

    Raises:
        MalformedMessageError: It is no JSON object.
    """
    try:
        found = json.loads(_decoded(body))
    except (ValueError, RecursionError) as error:
        # A decoder's text holds a place, and nothing of the body.
        raise MalformedMessageError(f"an event is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise MalformedMessageError(f"an event is a JSON {type(found).__name__}, not an object")
    headers = {name: _text(value) for name, value in found.items() if value is not None}
    if b"\\u" in body:
        return {_clean(name): _clean(value) for name, value in headers.items()}
    return headers


def from_plain(body: bytes) -> Message:
    """Read an event of the format `plain`: split first, decoded then, so that nothing is forged.

    Raises:
        MalformedMessageError: A line has no colon.
    """
    head, _, rest = _decoded(body).partition("\n\n")
    headers: Message = {}
    for number, line in enumerate(head.removesuffix("\n").split("\n"), 1):
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedMessageError(f"line {number} of an event has no colon")
        headers[name.strip()] = _clean(unquote(value.strip(), errors="replace"))
    if rest:
        headers["_body"] = _clean(rest)
    return headers


def _decoded(body: bytes) -> str:
    """Bytes to text; a byte that is not UTF-8 is read as Latin-1, so that no name is spoilt."""
    text = body.decode(errors="surrogateescape")
    return text if text.isascii() else _NOT_UTF_8.sub(lambda m: chr(ord(m[0]) - 0xDC00), text)


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case list():
            # As FreeSWITCH writes a header of several values itself.
            return "ARRAY::" + "|:".join(_text(item) for item in value if item is not None)
        case dict():
            return json.dumps(value)
        case _:
            return str(value)


def _clean(text: str) -> str:
    """Without NUL and lone surrogates, which no file and no database takes."""
    whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return whole.replace("\0", "\ufffd")
