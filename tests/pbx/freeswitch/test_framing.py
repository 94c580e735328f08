"""Frames come out the same however the stream is cut, and whatever it holds."""

from collections.abc import Iterable
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.pbx.errors import MalformedMessageError
from callrec_pbx.pbx.freeswitch.framing import Framer
from tests.pbx.freeswitch.server import GREETING, event, framed, numbered, reply, response

STREAM = (
    GREETING
    + reply("+OK accepted")
    + numbered(1, 2)
    + response("é\n\nContent-Length: 3\n\n".encode())
    + event(Name="a\n\nb", List=["x", "y"])
    + b"Content-Type: text/disconnect-notice\nContent-Length: 0\n\n"
    + framed("text/event-plain", b"a: b\n\n")
)

PIECES = [
    b"\n",
    b"\n\n",
    b"\r\n",
    b": ",
    b"\0",
    b"\xff",
    b"7",
    b"-",
    b"Content-Length: ",
    b"content-length:",
    b"Content-Type: ",
    b"command/reply",
    b"text/event-json",
    b"Reply-Text: +OK",
    b"{}",
]


def frames(segments: Iterable[bytes]) -> tuple[list[tuple[str, dict[str, str], bytes]], str, bool]:
    """The frames of a stream, why it ended early if it did, and whether it ends within a frame."""
    framer = Framer()
    found: list[tuple[str, dict[str, str], bytes]] = []
    try:
        for segment in segments:
            found.extend((one.kind, one.headers, one.body) for one in framer.feed(segment))
    except MalformedMessageError as error:
        return found, str(error), False
    return found, "", framer.within


def test_a_stream() -> None:
    found, error, within = frames([STREAM])
    assert [kind for kind, _, _ in found] == [
        "auth/request",
        "command/reply",
        "text/event-json",
        "text/event-json",
        "api/response",
        "text/event-json",
        "text/disconnect-notice",
        "text/event-plain",
    ]
    assert found[1][1]["Reply-Text"] == "+OK accepted"
    assert found[4][2] == "é\n\nContent-Length: 3\n\n".encode()
    assert (error, within) == ("", False)


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=30))
def test_cuts_change_nothing(cuts: list[int]) -> None:
    places = sorted({0, len(STREAM), *cuts})
    assert frames(STREAM[a:b] for a, b in pairwise(places)) == frames([STREAM])


@given(st.lists(st.sampled_from(PIECES) | st.binary(max_size=4), max_size=40))
def test_anything_is_read_the_same_in_one_piece_and_byte_by_byte(pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    assert frames([data]) == frames(bytes([byte]) for byte in data)


def test_every_beginning_of_a_stream_is_within_a_frame_or_between_two() -> None:
    ends, at = {0}, Framer()
    for place, byte in enumerate(STREAM, 1):
        if list(at.feed(bytes([byte]))):
            ends.add(place)
        assert at.within == (place not in ends)


def test_a_large_body_in_small_segments_is_not_searched_again_and_again() -> None:
    """The length of what is kept does not make each segment dearer."""
    body = b"x" * 5_000_000
    data = response(body)
    framer = Framer()
    found = [frame for at in range(0, len(data), 100) for frame in framer.feed(data[at : at + 100])]
    assert [frame.body for frame in found] == [body]
