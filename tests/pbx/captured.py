"""What a real Asterisk 22.10 sent, as streams of bytes, and what the link makes of a stream."""

import asyncio
import gzip
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from callrec_pbx.domain.events import Event
from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.asterisk.link import Protocol
from callrec_pbx.pbx.asterisk.translate import Translator

GREETING = b"Asterisk Call Manager/11.0.0\r\n"
NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


def call() -> bytes:
    """One whole call as our dialplan makes it, with every event there is."""
    path = Path(__file__).parents[2] / "bench/data/asterisk-22-call.ami.gz"
    return gzip.decompress(path.read_bytes())


def events(segments: Iterable[bytes]) -> list[Event]:
    """What a stream means that begins after the greeting."""
    loop = asyncio.new_event_loop()
    try:
        messages = loop.run_until_complete(_messages(segments))
    finally:
        loop.close()
    translator = Translator(("trunk*",), lambda: NOW)
    found = [translator.translate(message) for message in messages]
    return [event for event in found if event is not None]


async def _messages(segments: Iterable[bytes]) -> list[Message]:
    taken: list[Message] = []
    protocol = Protocol(taken.extend)
    protocol.data_received(GREETING)
    for segment in segments:
        protocol.data_received(segment)
    return taken


def segments(data: bytes, cuts: Iterable[int]) -> list[bytes]:
    """The same bytes, cut at these places."""
    places = sorted({0, len(data), *(cut for cut in cuts if 0 < cut < len(data))})
    return [data[a:b] for a, b in pairwise(places)]
