"""The event socket link against bytes that break readers; some of them are a caller's doing."""

import asyncio
import json
import select
import threading

import pytest
from structlog.testing import capture_logs

from callrec_pbx import metrics
from callrec_pbx.pbx.errors import LinkDownError
from callrec_pbx.pbx.freeswitch.connection import SLICE
from callrec_pbx.pbx.freeswitch.framing import MAX_BODY, MAX_HEAD
from callrec_pbx.pbx.freeswitch.messages import Message
from callrec_pbx.pbx.freeswitch.session import ITEM_BYTES
from tests.pbx.freeswitch.linked import HANG_S, Heard, link_to, linked, lost
from tests.pbx.freeswitch.server import (
    GREETING,
    PASSWORD,
    Peer,
    Server,
    event,
    framed,
    numbered,
    reply,
    response,
)

pytestmark = pytest.mark.usefixtures("no_thread_left")

FORGED = "Bob%0AUnique-ID%3A%20forged%0a%0aContent-Length: 9%0D%0AEvent-Name: CHANNEL_HANGUP"
"""A caller's name that some readers decode before they cut it into lines."""

BROKEN = "Bob\nUnique-ID: forged\r\n\r\nContent-Length: 0\n\nContent-Type: command/reply\n\n"
"""The same with the line breaks themselves."""


def message(body: bytes) -> bytes:
    """An event in JSON with this body."""
    return framed("text/event-json", body)


def headed(headers: bytes, body: bytes = b"{}") -> bytes:
    """A frame with these headers."""
    return headers + b"\n\n" + body


# callers


@pytest.mark.parametrize("name", [FORGED, BROKEN, '","Unique-ID":"forged', "\\u000aA: b", "%", "é"])
async def test_a_caller_forges_nothing(name: str) -> None:
    heard = Heard()
    said = {"Event-Name": "CHANNEL_CREATE", "Unique-ID": "real", "Caller-Caller-ID-Name": name}

    def play(peer: Peer) -> None:
        peer.send(message(json.dumps(said).encode()), numbered(1))
        peer.send(message(json.dumps(said, ensure_ascii=False).encode()), numbered(2))
        peer.wait()

    async with linked(play, heard) as (link, _):
        await heard.wait(4)
        assert heard[0] == heard[2] == said
        assert heard.numbers == [1, 2]
        assert link.malformed == 0


async def test_a_caller_forges_nothing_in_the_plain_format() -> None:
    """It is never asked for; were it to come, lines are cut before anything is decoded."""
    heard = Heard()
    name = FORGED.replace(":", "%3A").replace(" ", "%20")
    body = f"Event-Name: CHANNEL_CREATE\nUnique-ID: real\nCaller-Caller-ID-Name: {name}\n\n"

    def play(peer: Peer) -> None:
        peer.send(framed("text/event-plain", body.encode()), numbered(1))
        peer.wait()

    async with linked(play, heard):
        await heard.wait(2)
        assert heard[0]["Unique-ID"] == "real"
        assert heard[0]["Event-Name"] == "CHANNEL_CREATE"
        assert heard[0]["Caller-Caller-ID-Name"].startswith("Bob\nUnique-ID: forged\n\nContent")
        assert len(heard[0]) == 3


async def test_what_an_answer_holds_is_no_frame() -> None:
    """A list of channels has the callers' names in it."""
    heard = Heard()
    text = f"{BROKEN}Content-Length: 2\nContent-Type: text/event-json\n\n{{}}"

    def play(peer: Peer) -> None:
        peer.command()
        peer.send(response(text.encode()), numbered(1))
        peer.answer_all()

    async with linked(play, heard) as (link, _):
        assert await link.api("show channels") == text
        assert await link.api("next") == "next"
        assert (await heard.wait(1)) == [{"Event-Name": "RECORD_START", "Number": "1"}]


# broken frames whose end is known

SKIPPED = {
    "no_json": message(b'{"Event-Name": '),
    "empty": message(b""),
    "a_list": message(b'["Event-Name"]'),
    "a_word": message(b'"Event-Name"'),
    "nested": message(b"[" * 200_000),
    "nested_objects": message(b'{"a":' * 200_000),
    "digits": message(b'{"a": ' + b"9" * 10_000 + b"}"),
    "nul": message(b"\0\0"),
    "no_type": headed(b"Content-Length: 2"),
    "empty_type": headed(b"Content-Type:\nContent-Length: 2"),
    "xml": framed("text/event-xml", b"<event/>"),
    "log": framed("log/data", b"2026-11-21 [NOTICE] 4930123\n"),
    "unheard_of": framed("text/sonnet", b"Shall I compare thee\n\n"),
    "no_colon": headed(b"Content-Length: 2\nContent-Type: text/event-json\nthis is no header"),
    "no_colon_first": headed(b"\0\xff\nContent-Length: 2\nContent-Type: text/event-json"),
    "type_twice": headed(
        b"Content-Length: 2\nContent-Type: text/event-json\nContent-Type: api/response"
    ),
    "plain_no_colon": framed("text/event-plain", b"Event-Name: X\nthis is no header\n\n"),
    "plain_empty": framed("text/event-plain", b""),
}


@pytest.mark.parametrize("frame", SKIPPED.values(), ids=SKIPPED.keys())
async def test_a_broken_frame_costs_only_itself(frame: bytes) -> None:
    heard = Heard()
    counted = metrics.PBX_EVENTS_MALFORMED.labels(metrics.OTHER)
    before = counted._value.get()

    def play(peer: Peer) -> None:
        peer.send(numbered(1), frame, numbered(2))
        peer.answer_all()

    async with linked(play, heard) as (link, _):
        await heard.wait(2)
        assert heard.numbers == [1, 2]
        assert link.malformed == counted._value.get() - before == 1
        assert await link.api("status") == "status"


async def test_what_is_logged_names_no_caller() -> None:
    heard = Heard()
    number = b"+4930123456"
    frames = [
        message(b'{"Caller-Caller-ID-Number": ' + number),
        headed(b"Content-Length: 2\nContent-Type: text/event-json\n" + number),
        framed("text/event-plain", number),
    ]

    with capture_logs() as logged:
        async with linked(lambda peer: peer.send(*frames, numbered(1)), heard) as (link, _):
            await heard.wait(1)
            await lost(link)
    assert [entry["event"] for entry in logged] == [*["esl_message_malformed"] * 3, "esl_link_lost"]
    assert {entry["log_level"] for entry in logged[:3]} == {"warning"}
    assert number.decode() not in repr(logged)


READ: dict[str, tuple[bytes, dict[str, str]]] = {
    "latin_1": (message(b'{"a": "J\xfcrgen"}'), {"a": "Jürgen"}),
    "both": (
        message('{"a": "Jürgen", "b": "'.encode() + b'J\xfcrgen"}'),
        {"a": "Jürgen", "b": "Jürgen"},
    ),
    "cut_utf_8": (message(b'{"a": "\xc3"}'), {"a": "Ã"}),
    "surrogate": (message(b'{"a": "x\\ud800", "b\\u0000": "\\u0000"}'), {"a": "x�", "b�": "�"}),
    "pair": (message(b'{"a": "\\ud83d\\ude00"}'), {"a": "\U0001f600"}),
    "no_strings": (
        message(b'{"a": 1, "b": 1.5, "c": true, "d": null, "e": false, "f": {"g": [1]}}'),
        {"a": "1", "b": "1.5", "c": "true", "e": "false", "f": '{"g": [1]}'},
    ),
    "list": (message(b'{"a": ["x", "y", 1, null, ["z"]]}'), {"a": "ARRAY::x|:y|:1|:ARRAY::z"}),
    "no_values": (message(b'{"a": "", "b": []}'), {"a": "", "b": "ARRAY::"}),
    "lines": (
        message(b'{"a": "v=0\\r\\no=- 1\\r\\n", "b": "x"}'),
        {"a": "v=0\r\no=- 1\r\n", "b": "x"},
    ),
    # As in EvoluxBR/greenswitch issue 54: a NOTIFY's own length, and that of the event's body.
    "two_lengths_within": (
        message(
            b'{"content-length": "19", "Content-Length": "19",'
            b' "Content-Length": "7", "_body": "a\\n\\nb"}'
        ),
        {"content-length": "19", "Content-Length": "7", "_body": "a\n\nb"},
    ),
    "two_lengths_alike": (
        headed(b"Content-Length: 8\nContent-Type: text/event-json\nContent-Length: 8", b'{"a":""}'),
        {"a": ""},
    ),
    "blank_last_header": (
        headed(b"Content-Length: 8\nContent-Type: text/event-json\nUser-Data: ", b'{"a":""}'),
        {"a": ""},
    ),
    "bare_last_header": (
        headed(b"Content-Length: 8\nContent-Type: text/event-json\nUser-Data:", b'{"a":""}'),
        {"a": ""},
    ),
    "odd_spelling": (
        headed(b"content-length :8\r\nCONTENT-TYPE:text/event-json", b'{"a":""}'),
        {"a": ""},
    ),
    "blank_lines_before": (b"\n\n\n" + message(b'{"a": ""}'), {"a": ""}),
    "plain_blank_values": (
        framed("text/event-plain", b"a: x\nb: \nc:\nd: ARRAY::1|:2\n\n"),
        {"a": "x", "b": "", "c": "", "d": "ARRAY::1|:2"},
    ),
    "plain_with_body": (
        framed("text/event-plain", b"a: %c3%bc%ff%00\nContent-Length: 8\n\nb: %0A\n\nc"),
        {"a": "ü\ufffd\ufffd", "Content-Length": "8", "_body": "b: %0A\n\nc"},
    ),
}


@pytest.mark.parametrize(("frame", "expected"), READ.values(), ids=READ.keys())
async def test_an_odd_frame_is_read(frame: bytes, expected: dict[str, str]) -> None:
    heard = Heard()

    def play(peer: Peer) -> None:
        peer.send(frame, numbered(1))
        peer.wait()

    async with linked(play, heard) as (link, _):
        await heard.wait(2)
        assert heard[0] == expected
        assert heard.numbers == [1]
        assert link.malformed == 0


# broken frames whose end is not known

ENDS = {
    "no_length": headed(b"Content-Type: text/event-json", b'{"Event-Name": "RECORD_START"}'),
    "no_length_plain": headed(b"Content-Type: text/event-plain", b"Event-Name: RECORD_START\n\n"),
    "no_length_answer": headed(b"Content-Type: api/response", b"+OK\n"),
    "neither": headed(b"Event-Name: RECORD_START", b""),
    "two_lengths": headed(
        b"Content-Length: 2\nContent-Type: text/event-json\nContent-Length: 4", b"{}{}"
    ),
    "no_header": headed(b"this is no header", b""),
    "too_long": headed(b"Content-Length: %d\nContent-Type: text/event-json" % (MAX_BODY + 1), b"{"),
    "endless_head": b"Content-Type: " + b"x" * (MAX_HEAD + 1),
    "long_head": b"Content-Type: " + b"x" * (MAX_HEAD + 1) + b"\nContent-Length: 0\n\n",
    "an_answer_to_nothing": response(b"+OK\n"),
    "a_reply_to_nothing": reply("+OK"),
} | {
    f"length_{number}": headed(
        b"Content-Length: " + length + b"\nContent-Type: text/event-json", b"{}"
    )
    for number, length in enumerate(
        [b"-1", b"", b"two", b"+2", b"2.0", b"0x2", b"2 2", "２".encode(), b"9" * 5000, b"2\x00"]
    )
}


@pytest.mark.parametrize("frame", ENDS.values(), ids=ENDS.keys())
async def test_the_connection_ends_where_the_next_frame_is_not_known(frame: bytes) -> None:
    """The recorder connects anew then, and looks at what there is."""
    heard = Heard()

    def play(peer: Peer) -> None:
        peer.send(numbered(1), frame, numbered(2))
        peer.wait()

    with capture_logs() as logged:
        async with linked(play, heard) as (link, _):
            await lost(link)
    assert heard.numbers == [1]
    assert [entry["event"] for entry in logged] == ["esl_not_esl", "esl_link_lost"]
    assert logged[0]["reason"] in logged[1]["reason"]


async def test_a_frame_without_a_type_that_may_be_the_answer() -> None:
    """Were it skipped, every later answer would be taken for that of the command before."""

    def play(peer: Peer) -> None:
        peer.command()
        peer.send(headed(b"Content-Length: 4", b"+OK\n"))
        peer.answer_all()

    async with linked(play) as (link, _):
        with pytest.raises(LinkDownError):
            await asyncio.gather(link.api("one"), link.api("two"))
        await lost(link)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (
            b"Content-Type: command/reply\nReply-Text: +OK one\nthis is no header\n\n",
            "one\nthis is",
        ),
        (b"Content-Type: command/reply\nReply-Text: +OK one\nReply-Text: +OK two\n\n", "+OK one"),
        (b"Content-Type: command/reply\n\n", ""),
        (b"Content-Type: command/reply\nReply-Text: +OK\nJob-UUID: \n\n", "+OK"),
        (b"Content-Type: command/reply\nContent-Length: 3\nReply-Text: +OK\n\nabc", "+OK"),
        (response(b"J\xfcrgen"), "J\ufffdrgen"),
    ],
)
async def test_a_broken_answer_is_the_answer_nevertheless(answer: bytes, text: str) -> None:
    def play(peer: Peer) -> None:
        peer.command()
        peer.send(answer)
        peer.answer_all()

    async with linked(play) as (link, _):
        assert text in await link.api("one")
        assert await link.api("two") == "two"


# segments


@pytest.mark.parametrize(
    "goes", [b"Content-Len", b"Content-Length: 9\n\n", b"Content-Length: 9\n\n{"]
)
async def test_the_end_in_the_middle_of_a_frame(goes: bytes) -> None:
    """It ends the reader and its thread; `no_thread_left` sees to that."""
    heard = Heard()
    whole = goes.replace(b"\n\n", b"\nContent-Type: text/event-json\n\n")
    async with linked(lambda peer: peer.send(numbered(1), whole), heard) as (link, _):
        await lost(link)
        assert heard.numbers == [1]
        with pytest.raises(LinkDownError):
            await link.api("status")


async def test_bytes_one_by_one() -> None:
    heard = Heard()

    def play(peer: Peer) -> None:
        def drip(data: bytes) -> None:
            for byte in data:
                peer.send(bytes([byte]))

        drip(GREETING)
        peer.command()
        drip(reply("+OK accepted"))
        peer.command()
        drip(reply("+OK event listener enabled json"))
        drip(event(Event_Name="RECORD_START", Number="1", Name="Jürgen\n\n") + numbered(2))
        peer.command()
        drip(response("+OK é\n".encode()) + numbered(3))
        peer.wait()

    with Server(play) as server:
        link = link_to(server.port, heard.take)
        await link.connect()
        assert await link.api("status") == "+OK é"
        await heard.wait(3)
        assert heard.numbers == [1, 2, 3]
        assert heard[0]["Name"] == "Jürgen\n\n"
        link.close()


async def test_many_frames_in_one_segment() -> None:
    heard = Heard()

    def play(peer: Peer) -> None:
        peer.command(), peer.command()
        peer.send(
            numbered(*range(100)),
            response(b"one"),
            numbered(*range(100, 200)),
            reply("two"),
            numbered(*range(200, 1000)),
        )
        peer.answer_all()

    async with linked(play, heard) as (link, _):
        one, two = await asyncio.gather(link.api("a"), link.api("b"))
        assert (one, two) == ("one", "two")
        await heard.wait(1000)
        assert heard.numbers == list(range(1000))


async def test_greeting_and_answers_all_at_once() -> None:
    """What is answered before it was asked is no answer."""

    def play(peer: Peer) -> None:
        peer.send(GREETING, reply("+OK accepted"), reply("+OK event listener enabled json"))
        peer.wait()

    with Server(play) as server:
        link = link_to(server.port)
        with pytest.raises(LinkDownError, match="an answer to nothing"):
            await link.connect()
        assert server.peers[0].commands in ([], [f"auth {PASSWORD}"])


async def test_a_second_greeting_logs_in_once() -> None:
    heard = Heard()

    def play(peer: Peer) -> None:
        peer.send(GREETING, numbered(1))
        peer.wait()

    async with linked(play, heard) as (link, peer):
        await heard.wait(1)
        assert link.connected
        assert len(peer.commands) == 2


# floods


async def test_commands_are_sent_and_answered_in_the_middle_of_a_flood() -> None:
    """The flood goes on until the command has come, or for some seconds."""
    heard, most = Heard(), 10_000
    frames, rounds = numbered(*range(50)), 0

    def play(peer: Peer) -> None:
        nonlocal rounds
        while not select.select([peer.sock], [], [], 0)[0] and rounds < most:
            peer.send(frames)
            rounds += 1
        asked = peer.command()
        peer.send(response(asked.encode()))
        peer.answer_all()

    async with linked(play, heard) as (link, _):
        await heard.wait(5000)
        assert await link.api("echo") == "api echo"
        assert rounds < most
        assert heard.numbers == list(range(50)) * rounds


async def test_a_loop_that_stands_still_loses_nothing_and_costs_little(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it cannot take is left with FreeSWITCH, and comes later: in order, a slice at a time."""
    batches: list[int] = []

    class Batches(Heard):
        def take(self, messages: list[Message]) -> None:
            batches.append(len(messages))
            super().take(messages)

    monkeypatch.setattr("callrec_pbx.pbx.freeswitch.connection.MAX_WAITING", 1 << 20)
    heard = Batches()
    count, step = 40_000, 100
    stalled = threading.Event()

    def play(peer: Peer) -> None:
        peer.sock.settimeout(0.3)
        peer.command()
        frames = b"".join(numbered(*range(at, at + step)) for at in range(0, count, step))
        sent = 0
        while sent < len(frames):
            try:
                sent += peer.sock.send(frames[sent : sent + 65536])
            except TimeoutError:
                stalled.set()
        stalled.set()
        peer.sock.settimeout(HANG_S)
        peer.send(response(b"done"))
        peer.answer_all()

    async with linked(play, heard) as (link, _):
        task = asyncio.create_task(link.api("go"))
        await asyncio.sleep(0)
        stalled.wait(HANG_S)  # the loop stands still meanwhile
        assert link._connection is not None
        assert heard == []
        assert 1 << 20 < link._connection._outbox._size < 3 << 20
        assert await task == "done"
        assert heard.numbers == list(range(count))
        assert max(batches) <= SLICE // ITEM_BYTES
        assert await link.api("next") == "next"
