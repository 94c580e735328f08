"""AMI bytes to messages: whole messages only, and only those that somebody wants.

Most of what Asterisk sends is of no interest here, so a message is recognised by its first line
before anything of it is decoded.
"""

import re

from callrec_pbx.pbx.errors import MalformedMessageError, UnsafeValueError

Message = dict[str, str]

MAX_MESSAGE = 1 << 20
"""Bytes without an end of message after which the peer is taken not to speak AMI."""

MAX_LINE = 1024
"""Bytes of one line of an action; Asterisk drops messages with longer ones.

Source: main/manager.c, `inbuf[1025]`, observed on Asterisk 22.10.
"""

REPEATED = ("Variable", "Output", "ChanVariable")
"""Ends of the names of headers that Asterisk itself sends more than once in a message."""

_FORBIDDEN = ("\r", "\n", "\0")

# Asterisk prints a caller's number, and the number that was dialled, as they came, and a SIP user
# part may hold %0d%0a: whoever calls can put whole lines, even a whole message, between
# "CallerIDNum:" and "CallerIDName:" or between "Exten:" and "Priority:" (observed on 22.10; names
# are escaped, numbers are not). In every genuine message more headers follow, and those together
# are longer than what fits into the 79 characters to which Asterisk cuts a number.
_OPEN_ENDS = (b"Num", b"Exten", b"DNID")
_TAIL = re.compile(
    rb"Language: .*AccountCode: .*Context: .*Exten: .*Priority: .*Uniqueid: .*Linkedid: ", re.DOTALL
)
_TAIL_AFTER_EXTEN = re.compile(rb"Priority: .*Uniqueid: .*Linkedid: ", re.DOTALL)
_CLEAN = (
    (
        re.compile(r"\r\n(\w*(?:CallerID|ConnectedLine))Num: ([^\r\n]*).*\r\n\1Name: ", re.DOTALL),
        r"\r\n\1Num: \2\r\n\1Name: ",
    ),
    (
        re.compile(r"\r\n(\w*)Exten: ([^\r\n]*).*\r\n\1Priority: ", re.DOTALL),
        r"\r\n\1Exten: \2\r\n\1Priority: ",
    ),
)


class Framer:
    """Cuts a stream of bytes into messages, however the segments fall.

    Args:
        wanted: Names of the events to keep, as bytes; responses are always kept.
    """

    def __init__(self, wanted: frozenset[bytes]) -> None:
        self.wanted = wanted
        self.skipped = 0
        self.joined = 0
        self._broken: list[bytes] = []
        self._rest = b""
        self._greeted = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take what has arrived and return the whole messages of interest.

        Raises:
            MalformedMessageError: When no message ends within `MAX_MESSAGE` bytes.
        """
        data = self._rest + data
        if not self._greeted:
            greeting, newline, rest = data.partition(b"\r\n")
            if not newline:
                return self._keep(data)
            # Only the first line of a connection is not a header: "Asterisk Call Manager/…".
            self._greeted = True
            if greeting.startswith(b"Asterisk Call Manager/"):
                data = rest
        *blocks, rest = data.split(b"\r\n\r\n")
        self._keep(rest)
        wanted = self.wanted
        found = []
        for piece in blocks:
            block = piece
            last = block[block.rfind(b"\r\n") + 2 :]
            if self._broken or last[: last.find(b":")].endswith(_OPEN_ENDS):
                whole = self._join(block)
                if whole is None:
                    continue
                block = whole
            if block.startswith(b"Event: "):
                end = block.find(b"\r\n")
                name = block[7:end] if end > 0 else block[7:]
                if name not in wanted or (
                    name == b"UserEvent" and b"\r\nUserEvent: Callrec" not in block
                ):
                    self.skipped += 1
                    continue
            found.append(block)
        return found

    def _join(self, piece: bytes) -> bytes | None:
        """Put together a message that a caller's number has cut in pieces."""
        self._broken.append(piece)
        # The first piece may hold the tail of another channel (a transfer has two).
        first = self._broken[0]
        after_number = first[first.rfind(b"\r\n") + 2 :].partition(b":")[0].endswith(b"Num")
        tail = _TAIL if after_number else _TAIL_AFTER_EXTEN
        if len(self._broken) == 1 or tail.search(piece) is None:
            if sum(map(len, self._broken)) > MAX_LINE * 8:
                self._broken = []
            return None
        whole = b"\r\n".join(piece for piece in self._broken if piece)
        self._broken = []
        self.joined += 1
        return whole

    def _keep(self, rest: bytes) -> list[bytes]:
        if len(rest) > MAX_MESSAGE:
            raise MalformedMessageError(f"no end of message within {MAX_MESSAGE} bytes")
        self._rest = rest
        return []


def parse(block: bytes) -> Message:
    """Split a message into its headers.

    A repeated header (but for those in `REPEATED`) or a line without a colon cannot come from
    Asterisk itself, only from a caller's number that holds line breaks; such a number is cut at
    the first of them. The values of `REPEATED` headers are joined with CR LF, which no value holds.

    Raises:
        MalformedMessageError: When that does not make a message of it.
    """
    text = decode(block)
    try:
        return _split(text)
    except MalformedMessageError:
        for pattern, replacement in _CLEAN:
            text = pattern.sub(replacement, text)
        return _split(text)


def _split(text: str) -> Message:
    message: Message = {}
    for line in text.split("\r\n"):
        name, colon, value = line.partition(":")
        if not colon:
            raise MalformedMessageError(f"line without a colon: {line[:80]!r}")
        value = value.removeprefix(" ")
        if name in message:
            if not name.endswith(REPEATED):
                raise MalformedMessageError(f"header {name[:80]!r} comes twice")
            value = f"{message[name]}\r\n{value}"
        message[name] = value
    return message


def decode(block: bytes) -> str:
    """Bytes to text; what is not UTF-8 is read as Latin-1, so that nothing vanishes."""
    try:
        return block.decode()
    except UnicodeDecodeError:
        return block.decode("latin-1")


def action(name: str, headers: dict[str, str], action_id: str) -> bytes:
    """An action as it goes over the wire.

    Raises:
        UnsafeValueError: For CR, LF or NUL anywhere, or a line that Asterisk would drop.
    """
    lines = [f"Action: {name}", f"ActionID: {action_id}"]
    for key, value in headers.items():
        line = f"{key}: {value}"
        if any(character in line for character in _FORBIDDEN):
            raise UnsafeValueError(f"{key} of {name} holds a line break or NUL: {value!r}")
        if len(line.encode()) >= MAX_LINE:
            raise UnsafeValueError(f"{key} of {name} is longer than {MAX_LINE} bytes")
        lines.append(line)
    if any(character in name for character in _FORBIDDEN):
        raise UnsafeValueError(f"action name holds a line break or NUL: {name!r}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
