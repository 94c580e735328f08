"""What a message about a channel looks like, so that no caller can pass one off as genuine.

Asterisk prints a caller's number, and the number that was dialled, as they came, and a SIP user
part may hold %0d%0a: whoever calls can put whole lines, even a whole message, between
"CallerIDNum:" and "CallerIDName:" or between "Exten:" and "Priority:" (names are escaped, numbers
are not). But Asterisk cuts a number to 79 bytes, and what it prints of a channel before and after
each number, always in the same order, is longer than that. So a message about a channel counts
only with all of it, and a number reaches as far as the rest requires.

Source: main/manager_channels.c, `ast_manager_build_channel_state_string_prefix`; main/manager.c,
`generate_status`; observed on Asterisk 22.10.
"""

import re
from dataclasses import dataclass

MAX_NUMBER = 79
"""Bytes to which Asterisk cuts a number."""

TAIL = 4 * MAX_NUMBER
"""Bytes that hold the rest of a number and what follows it up to the channel's ids."""

END = b"\r\n\r\n"
"""Ends a message."""

WITHOUT_CHANNEL = frozenset(
    {
        b"Shutdown",
        b"FullyBooted",
        b"StatusComplete",
        b"BridgeListItem",
        b"BridgeListComplete",
        b"EndpointList",
        b"EndpointListComplete",
    }
)
"""Events that do not speak of a channel; all but the first two carry the id of our action."""

_CHANNEL = (
    rb"\r\n(?P<p>\w*)Channel: [^\r\n]+\r\n(?P=p)ChannelState: \d+"
    rb"\r\n(?P=p)ChannelStateDesc: [^\r\n]*\r\n(?P=p)CallerIDNum: "
)
_AFTER_EXTEN = rb"\r\n%sPriority: -?\d+\r\n%sUniqueid: [^\r\n]*\r\n%sLinkedid: [^\r\n]*"
# The caller's number ends at the first place where it can, as whoever forges a name there forges
# his own; every other ends at the last.
_SNAPSHOT = (
    _CHANNEL + rb"([^\r\n]*|.{0,79}?)\r\n(?P=p)CallerIDName: [^\r\n]*"
    rb"\r\n(?P=p)ConnectedLineNum: (.{0,79}|[^\r\n]*)\r\n(?P=p)ConnectedLineName: [^\r\n]*"
    rb"(?:\r\n(?P=p)Language: [^\r\n]*)?\r\n(?P=p)AccountCode: [^\r\n]*"
    rb"\r\n(?P=p)Context: [^\r\n]*\r\n(?P=p)Exten: (.{0,79}|[^\r\n]*)"
    + _AFTER_EXTEN.replace(b"%s", rb"(?P=p)")
)
# Before the channel: time, result, bridge.
_START = (
    rb"Event: \w+\r\nPrivilege: [^\r\n]*"
    rb"(?:\r\n(?!\w*(?:Channel:|CallerID|ConnectedLine|Priority:))[\w-]+: [^\r\n]*)*"
)
_HEAD = re.compile(_START + _CHANNEL)
_FIRST = re.compile(_START + _SNAPSHOT, re.DOTALL)
_NEXT_HEAD = re.compile(_CHANNEL)
_NEXT = re.compile(_SNAPSHOT, re.DOTALL)
_EXTEN_ON = re.compile(rb".{0,79}" + _AFTER_EXTEN.replace(b"%s", rb"\w*"), re.DOTALL)
_STATUS = re.compile(
    rb"(?:\r\n\w+: [^\r\n]*)*?\r\nType: [^\r\n]*\r\nDNID: (.{0,79}|[^\r\n]*)"
    rb"\r\nEffectiveConnectedLineNum: (.{0,79}|[^\r\n]*)"
    rb"\r\nEffectiveConnectedLineName: (.{0,79}|[^\r\n]*)\r\nTimeToHangup: -?\d+"
    rb"\r\nBridgeID: [^\r\n]*\r\n(?:Linkedid: [^\r\n]*\r\n)?Application: [^\r\n]*"
    rb"\r\nData: (.*?)\r\nNativeformats: [^\r\n]*\r\nReadformat: [^\r\n]*\r\nReadtrans: [^\r\n]*"
    rb"\r\nWriteformat: [^\r\n]*\r\nWritetrans: [^\r\n]*\r\nCallgroup: \d+\r\nPickupgroup: \d+"
    rb"\r\nSeconds: ",
    re.DOTALL,
)
_EXTENSION = re.compile(rb"\r\nExtension: [^\r\n]*")
_NUMBERS = (b"Num: ", b"Exten: ", b"DNID: ", b"ConnectedLineName: ", b"Data: ")
_BREAK = re.compile(rb"[\r\n]")


@dataclass(frozen=True, slots=True)
class Whole:
    """A genuine message.

    Attributes:
        text: The message, its numbers cut at the first line break.
        end: Where it ends in what was read.
        exten: Where the last number that was dialled begins, of which more may follow.
    """

    text: bytes
    end: int
    exten: int


def genuine(block: bytes) -> bool:
    """Whether that is the beginning of a message about a channel: no number can hold so much."""
    return _HEAD.match(block) is not None


def may_be_cut(name: bytes, block: bytes) -> bool:
    """Whether the block can have been ended by a number, rather than be of an unknown layout."""
    if name == b"Status" and not block[block.rfind(b"\r\n") + 2 :].startswith(b"ActionID: "):
        return True
    return any(block.find(end, -MAX_NUMBER - len(end)) >= 0 for end in _NUMBERS)


def read(name: bytes, text: bytes) -> Whole | None:
    """The genuine message at the beginning of the text, None when it is not all there."""
    found = _FIRST.match(text)
    if found is None:
        return None
    spans = [found.span(2), found.span(3), found.span(4)]
    exten = found.start(4)
    if name in (b"BlindTransfer", b"AttendedTransfer"):
        while _NEXT_HEAD.search(text, found.end(), _end(text, found.end())):
            further = _NEXT.search(text, found.end())
            if further is None:
                return None
            found = further
            spans += [found.span(2), found.span(3), found.span(4)]
            exten = found.start(4)
    elif name == b"Status":
        status = _STATUS.match(text, found.end())
        if status is None:
            return None
        found = status
        spans += [found.span(group) for group in (1, 2, 3, 4)]
        exten = -1
    end = _end(text, found.end())
    clean = _clean(text, spans, end)
    if name == b"BlindTransfer":
        last = _EXTENSION.search(clean)
        clean = clean[: last.end()] if last else clean
    return Whole(clean, end, exten)


def cut_in_exten(exten: bytes, following: bytes) -> bool:
    """Whether the number that was dialled goes on after what looked like the message's end.

    Args:
        exten: The block from that number on.
        following: What came after it, `TAIL` bytes are enough.
    """
    found = _EXTEN_ON.match(exten + END + following)
    return found is not None and found.end() > len(exten)


def _end(text: bytes, after: int) -> int:
    end = text.find(END, after)
    return len(text) if end < 0 else end


def _clean(text: bytes, spans: list[tuple[int, int]], end: int) -> bytes:
    pieces, at = [], 0
    for begin, stop in spans:
        broken = _BREAK.search(text, begin, stop)
        if broken is not None:
            pieces.append(text[at : broken.start()])
            at = stop
    return b"".join((*pieces, text[at:end])) if pieces else text[:end]
