"""Event socket bytes to frames: whole frames only, each with a length that can be trusted.

A frame is a block of headers up to a blank line, and a body of `Content-Length` bytes if there is
one. Nothing in it is decoded before it is cut.

Source: FreeSWITCH 1.11.1, mod_event_socket.c, `read_packet`, `api_exec` and `listener_run`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from callrec_pbx.pbx.errors import MalformedMessageError, UnsafeValueError

MAX_HEAD = 64 * 1024
"""Bytes without a blank line after which the peer is taken not to speak ESL."""

MAX_BODY = 32 << 20
"""Bytes of one body; a list of ten thousand channels has about ten million."""

MAX_COMMAND = 8192
"""Bytes of one command; nothing that the recorder asks for comes near."""

WITHOUT_BODY = frozenset({"auth/request", "command/reply", "text/disconnect-notice"})
"""The kinds of frame that have no body when they have no `Content-Length`."""

_FORBIDDEN = ("\r", "\n", "\0")

_MAX_DIGITS = 12


@dataclass(slots=True)
class Frame:
    """One frame.

    Attributes:
        kind: Its `Content-Type`; empty when it has none.
        headers: By name, spelt as FreeSWITCH does (`Reply-Text`); not decoded any further.
        length: Bytes of its body; None when it does not say.
        fault: What is wrong with its headers, if something is.
    """

    kind: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    length: int | None = None
    fault: str = ""


class Framer:
    """Cuts a stream of bytes into frames, however the segments fall."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._searched = 0
        self._head: Frame | None = None

    @property
    def within(self) -> bool:
        """Whether a frame has begun and not ended."""
        return self._head is not None or bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Take what has arrived and give the frames that are whole now.

        Raises:
            MalformedMessageError: Where the next frame begins cannot be known.
        """
        buffer = self._buffer
        buffer += data
        at = 0
        try:
            while True:
                if self._head is None:
                    at, self._head = self._take_head(at)
                if self._head is None:
                    return
                frame, length = self._head, self._head.length or 0
                if len(buffer) - at < length:
                    return
                frame.body = bytes(buffer[at : at + length])
                at += length
                self._head = None
                yield frame
        finally:
            del buffer[:at]
            self._searched = max(0, self._searched - at)

    def _take_head(self, at: int) -> tuple[int, Frame | None]:
        buffer = self._buffer
        while buffer[at : at + 1] == b"\n":
            at += 1
        end = buffer.find(b"\n\n", max(at, self._searched))
        if (len(buffer) if end < 0 else end) - at > MAX_HEAD:
            raise MalformedMessageError(f"no end of headers within {MAX_HEAD} bytes")
        if end < 0:
            self._searched = max(at, len(buffer) - 1)
            return at, None
        self._searched = end + 2
        return end + 2, _head(bytes(buffer[at:end]))


def _head(block: bytes) -> Frame:
    frame = Frame()
    headers = frame.headers
    last = ""
    for number, line in enumerate(block.decode(errors="replace").split("\n"), 1):
        name, colon, value = line.partition(":")
        name, value = name.strip().title(), value.strip()
        if not colon:
            # The line itself could hold a caller's number, and this is logged.
            frame.fault = f"header line {number} has no colon"
            if last:
                headers[last] = f"{headers[last]}\n{line.strip()}"
        elif name == "Content-Length" and (length := _length(value)) != frame.length:
            if frame.length is not None:
                raise MalformedMessageError("a frame has two lengths that differ")
            frame.length = length
        elif name in headers:
            frame.fault = f"header {name[:80]!r} comes twice"
        else:
            headers[name] = value
            last = name
    frame.kind = headers.get("Content-Type", "")
    if frame.length is None and frame.kind not in WITHOUT_BODY:
        raise MalformedMessageError(f"a frame of type {frame.kind[:80]!r} has no Content-Length")
    return frame


def _length(value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= _MAX_DIGITS):
        raise MalformedMessageError(f"Content-Length is {value[:40]!r}")
    if int(value) > MAX_BODY:
        raise MalformedMessageError(f"a frame of {value} bytes; at most {MAX_BODY} are taken")
    return int(value)


def command(text: str, name: str) -> bytes:
    """A command as it goes over the wire.

    Args:
        name: What errors call it; they do not show the command.

    Raises:
        UnsafeValueError: For CR, LF or NUL, for what is no text, and for too long a command.
    """
    if any(character in text for character in _FORBIDDEN):
        raise UnsafeValueError(f"{name} holds a line break or NUL")
    try:
        data = text.encode()
    except UnicodeEncodeError as error:
        raise UnsafeValueError(f"{name} holds what is no text: {error.reason}") from None
    if len(data) > MAX_COMMAND:
        raise UnsafeValueError(f"{name} is longer than {MAX_COMMAND} bytes")
    return data + b"\n\n"
