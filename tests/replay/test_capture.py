"""The capture: what it writes down, and what it leaves out."""

import asyncio
from pathlib import Path

import pytest

from tests.bed.esl_capture import EslCapture, Frames
from tests.replay.keeping import tidy
from tests.replay.transcript import AUTH, Entry, Kind, Placeholders, Transcript

ID = "01kap3v8wq0000000000000000"
REPLY = {"Content-Type": "api/response"}
BEAT = "api global_setvar callrec_heartbeat=1795246115"

STREAM = (
    b"Content-Type: auth/request\n\n"
    b"Content-Length: 3\nContent-Type: api/response\n\n+OK"
    b"Content-Type: command/reply\nReply-Text: +OK\n\n"
)


@pytest.mark.parametrize("size", [1, 7, len(STREAM)])
def test_messages_in_pieces(size: int) -> None:
    frames = Frames()
    found = [
        one for at in range(0, len(STREAM), size) for one in frames.feed(STREAM[at : at + size])
    ]
    assert [body for _, body in found] == ["", "+OK", ""]
    assert not frames.buffer


async def test_both_directions_in_order() -> None:
    """What is sent passes unchanged; the password is not written down."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"Content-Type: auth/request\n\n")
        assert await reader.readuntil(b"\n\n") == b"auth secret\n\n"
        writer.write(b"Content-Type: command/reply\nReply-Text: +OK accepted\n\nContent-Le")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    capture = EslCapture()
    port = capture.begin(server.sockets[0].getsockname()[1])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await reader.readuntil(b"\n\n")
    writer.write(b"auth secret\n\n")
    assert await reader.read() == (
        b"Content-Type: command/reply\nReply-Text: +OK accepted\n\nContent-Le"
    )
    writer.close()
    server.close()
    entries = await asyncio.to_thread(capture.end)
    kinds = [entry.kind for entry in entries]
    assert kinds == [
        *(Kind.STARTED, Kind.OPENED, Kind.SAID, Kind.ASKED),
        *(Kind.SAID, Kind.SAID, Kind.LOST),
    ]
    assert entries[3].text == AUTH
    assert (entries[5].head, entries[5].text) == (None, "Content-Le")


def test_tidy() -> None:
    """Heartbeats with their answers, and links on which nothing was said, are left out."""
    entries = [
        Entry(Kind.OPENED, 0, 1),
        Entry(Kind.LOST, 0, 1),
        Entry(Kind.OPENED, 1, 2),
        Entry(Kind.ASKED, 1, 2, BEAT),
        Entry(Kind.ASKED, 1, 2, "api status"),
        Entry(Kind.SAID, 1, 2, "+OK", REPLY),
        Entry(Kind.SAID, 1, 2, "UP", REPLY),
        Entry(Kind.ASKED, 2, 2, BEAT),
        Entry(Kind.LEFT, 3, 2),
    ]
    found = tidy(entries)
    assert [entry.kind for entry in found] == [
        *(Kind.OPENED, Kind.ASKED, Kind.SAID, Kind.DEAF, Kind.LEFT)
    ]
    assert {entry.link for entry in found} == {1}
    assert found[2].text == "UP"


def test_as_it_was_on_the_wire(tmp_path: Path) -> None:
    """Written and read again, a message is what FreeSWITCH sent, whatever its bytes."""
    body = b'{"Event-Name":"CUSTOM","Caller-Name":"\xff\xfeJ\xc3\xb6rg\\u0000"}'
    wire = b"Content-Length: %d\nContent-Type: text/event-json\n\n%s" % (len(body), body)
    ((head, text),) = Frames().feed(wire)
    headers = dict(line.split(": ", 1) for line in head.split("\n"))
    headers.pop("Content-Length")
    path = Transcript("one", entries=[Entry(Kind.SAID, 0.5, 1, text, headers)]).save(tmp_path)
    assert Transcript.load(path).entries[0].frame() == wire


def test_placeholders(tmp_path: Path) -> None:
    places = Placeholders({"bed": "/tmp/bed"}, tmp_path, [ID])
    text = f'{tmp_path}/2026/01/02/{ID}.wav {ID} /tmp/bed/pbx "hostname":"sip-7"'
    assert places.hide(text) == '@audio1@.wav @id1@ @bed@/pbx "hostname":"@host@"'
    assert places.audio_of(ID) == "audio1"
