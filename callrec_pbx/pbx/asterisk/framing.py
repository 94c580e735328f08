"""AMI bytes to messages: whole messages only, and only those that somebody wants.

Most of what Asterisk sends is of no interest here, so a message is recognised by its first line
before anything of it is decoded.
"""

from callrec_pbx.pbx.asterisk import shape
from callrec_pbx.pbx.errors import MalformedMessageError, UnsafeValueError

Message = dict[str, str]

MAX_MESSAGE = 1 << 20
"""Bytes without an end of message after which the peer is taken not to speak AMI."""

MAX_CUT = 16 * 1024
"""Bytes within which a message ends that a number has cut in pieces."""

MAX_LINE = 1024
"""Bytes of one line of an action; Asterisk drops messages with longer ones.

Source: main/manager.c, `inbuf[1025]`, observed on Asterisk 22.10.
"""

REPEATED = ("Variable", "Output", "ChanVariable")
"""Ends of the names of headers that Asterisk itself sends more than once in a message."""

_FORBIDDEN = ("\r", "\n", "\0")


class Framer:
    """Cuts a stream of bytes into messages, however the segments fall and whatever callers send.

    A message that a number has cut in pieces (see `shape`) is put together, and the number is cut
    at its first line break. One thing cannot be told: a segment that ends exactly at the forged end
    of a message within the number that was dialled.

    Args:
        wanted: Names of the events to keep, as bytes; responses are always kept.

    Attributes:
        skipped: Events that are of no interest.
        refused: Blocks that are no message of Asterisk's.
    """

    def __init__(self, wanted: frozenset[bytes]) -> None:
        self.wanted = wanted
        self.skipped = 0
        self.refused = 0
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
        found: list[bytes] = []
        blocks = data.split(shape.END)
        while self._take(blocks, found):
            pass
        self._keep(shape.END.join(blocks))
        return found

    def _take(self, blocks: list[bytes], found: list[bytes]) -> bool:
        """Take messages off the blocks, of which the last is only a beginning.

        Returns:
            Whether there may be more to take.
        """
        wanted = self.wanted
        for number, block in enumerate(blocks[:-1]):
            if not block.startswith(b"Event: "):
                if block.startswith(b"Response: "):
                    found.append(block)
                else:
                    self.refused += 1
                continue
            end = block.find(b"\r\n")
            name = block[7:end] if end > 0 else block[7:]
            if name not in wanted:
                self.skipped += 1
                continue
            if name in shape.WITHOUT_CHANNEL:
                found.append(block)
                continue
            taken = self._about_channel(name, blocks, number, found)
            if taken != 1:
                del blocks[: number + taken]
                return taken > 0
        del blocks[:-1]
        return False

    def _about_channel(
        self, name: bytes, blocks: list[bytes], number: int, found: list[bytes]
    ) -> int:
        """Take one message about a channel.

        Returns:
            How many blocks it was; 0 when the rest of it has not arrived.
        """
        block = blocks[number]
        whole = shape.read(name, block)
        if whole is None:
            if not shape.genuine(block):
                self.refused += 1
                return 1
            if not shape.may_be_cut(name, block):
                # Not cut: an Asterisk that prints its channels in another way.
                self._found(name, block, found)
                return 1
        elif len(block) - whole.exten > shape.MAX_NUMBER:
            self._found(name, whole.text, found)
            return 1
        else:
            following = shape.END.join(blocks[number + 1 :][: shape.MAX_NUMBER])[: shape.TAIL]
            if not shape.cut_in_exten(block[whole.exten :], following):
                if following and len(following) < shape.TAIL and blocks[-1]:
                    return 0  # the next message is on its way, and then it will be known
                self._found(name, whole.text, found)
                return 1
        text = shape.END.join(blocks[number:])
        whole = shape.read(name, text)
        if whole is None or whole.end == len(text):
            if len(text) <= MAX_CUT:
                return 0
            self.refused += 1
            return 1
        self._found(name, whole.text, found)
        return text.count(shape.END, 0, whole.end) + 1

    def _found(self, name: bytes, block: bytes, found: list[bytes]) -> None:
        if name == b"UserEvent" and b"\r\nUserEvent: Callrec" not in block:
            self.skipped += 1
        else:
            found.append(block)

    def _keep(self, rest: bytes) -> list[bytes]:
        if len(rest) > MAX_MESSAGE:
            raise MalformedMessageError(f"no end of message within {MAX_MESSAGE} bytes")
        self._rest = rest
        return []


def parse(block: bytes) -> Message:
    """Split a message into its headers.

    The values of `REPEATED` headers are joined with CR LF, which no value holds.

    Raises:
        MalformedMessageError: For a line without a colon, or any other header that comes twice.
    """
    message: Message = {}
    for number, line in enumerate(decode(block).split("\r\n"), 1):
        name, colon, value = line.partition(":")
        if not colon:
            # Not the line itself: this is logged, and callers' numbers must not be.
            raise MalformedMessageError(f"line {number} of {len(line)} characters has no colon")
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
    lines = []
    for key, value in {"Action": name, "ActionID": action_id, **headers}.items():
        line = f"{key}: {value}"
        if any(character in line for character in _FORBIDDEN):
            raise UnsafeValueError(f"{key} of {name!r} holds a line break or NUL: {value!r}")
        if len(line.encode()) >= MAX_LINE:
            raise UnsafeValueError(f"{key} of {name[:80]!r} is longer than {MAX_LINE} bytes")
        lines.append(line)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
