"""The player itself: what it waits for, what it makes of placeholders, and how it complains."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from callrec_pbx.audio import wav
from tests.bed.esl_capture import Frames
from tests.replay import server
from tests.replay.server import Cut, Player, ReplayError, whole
from tests.replay.transcript import EVENT, Entry, Kind, Transcript, Values

ID = "01kap3v8wq0000000000000000"
OTHER = "01kap3v8wq0000000000000001"

OK = {"Content-Type": "api/response"}
ACCEPTED = {"Content-Type": "command/reply", "Reply-Text": "+OK accepted"}


def asked(text: str) -> Entry:
    """The listener asks."""
    return Entry(Kind.ASKED, 0, 1, text)


def answer(text: str = "+OK\n") -> Entry:
    """FreeSWITCH answers."""
    return Entry(Kind.SAID, 0, 1, text, OK)


def event(name: str, **headers: str) -> Entry:
    """FreeSWITCH tells of an event."""
    known = {key.replace("_", "-"): value for key, value in headers.items()}
    text = json.dumps({"Event-Name": name, **known}, separators=(",", ":"))
    return Entry(Kind.SAID, 0, 1, text, {"Content-Type": EVENT})


def of_link(kind: Kind, link: int = 1) -> Entry:
    """Something that happens to a link."""
    return Entry(kind, 0, link)


LOGIN = [
    of_link(Kind.OPENED),
    Entry(Kind.SAID, 0, 1, "", {"Content-Type": "auth/request"}),
    asked("auth"),
    Entry(Kind.SAID, 0, 1, "", ACCEPTED),
    asked("event json RECORD_START RECORD_STOP KNOWN"),
    Entry(Kind.SAID, 0, 1, "", ACCEPTED),
]


class Client:
    """A listener that does as it is told."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._frames = Frames()
        self._read: list[tuple[str, str]] = []

    def ask(self, text: str) -> None:
        """Send a command."""
        self.writer.write(f"{text}\n\n".encode())

    async def hear(self) -> str:
        """What FreeSWITCH says next: the body of a message, or its head; empty at the end."""
        while not self._read:
            data = await asyncio.wait_for(self._reader.read(1 << 16), 5)
            if not data:
                return ""
            self._read += self._frames.feed(data)
        head, body = self._read.pop(0)
        return body or head

    async def login(self, events: str = "RECORD_START RECORD_STOP KNOWN") -> None:
        """Log in and subscribe."""
        for command in ("auth secret", f"event json {events}"):
            await self.hear()
            self.ask(command)
        await self.hear()


@asynccontextmanager
async def played(
    folder: Path,
    *entries: Entry,
    cut: Cut = whole,
    audio: dict[str, tuple[int, int, int]] | None = None,
) -> AsyncIterator[tuple[Player, "asyncio.Task[None]", Client]]:
    """A player at work, and who listens to it."""
    script = Transcript("script", entries=[*LOGIN, *entries], audio=audio or {})
    async with Player(script, Values({}, folder), cut) as player:
        playing = asyncio.create_task(player.play())
        client = Client(*await asyncio.open_connection("127.0.0.1", player.port))
        try:
            yield player, playing, client
        finally:
            client.writer.close()
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


async def test_what_followed_on_a_command_waits_for_it(tmp_path: Path) -> None:
    script = (event("KNOWN", Place="1"), asked("api do"), answer(), event("KNOWN", Place="2"))
    async with played(tmp_path, *script) as (_, playing, client):
        await client.login()
        assert json.loads(await client.hear())["Place"] == "1"
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(playing), 0.05)
        client.ask("api do")
        assert await client.hear() == "+OK\n"
        assert json.loads(await client.hear())["Place"] == "2"
        await playing


async def test_a_command_that_comes_early_waits_for_its_place(tmp_path: Path) -> None:
    """In the real run it came later, and so did its answer."""
    script = (event("KNOWN"), asked("api one"), answer("1"), asked("api two"), answer("2"))
    async with played(tmp_path, *script) as (_, playing, client):
        await client.login()
        client.ask("api one")
        client.ask("api two")
        assert "KNOWN" in await client.hear()
        assert [await client.hear(), await client.hear()] == ["1", "2"]
        await playing


async def test_answers_come_in_the_order_of_the_commands(tmp_path: Path) -> None:
    """Also where it is not that of the real run, and one waits for the other."""
    script = (asked("api one"), answer("1"), asked("api then"), answer("3"), asked("api two"))
    async with played(tmp_path, *script, answer("2")) as (_, playing, client):
        await client.login()
        client.ask("api two")
        client.ask("api one")
        assert [await client.hear(), await client.hear()] == ["2", "1"]
        client.ask("api then")
        assert await client.hear() == "3"
        await playing


async def test_a_command_that_was_never_asked(tmp_path: Path) -> None:
    async with played(tmp_path, asked("api do this"), answer()) as (_, playing, client):
        await client.login()
        client.ask("api do that")
        with pytest.raises(ReplayError, match=r"never asked this: api do that[^$]*api do this"):
            await playing


async def test_a_command_that_does_not_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "PATIENCE_S", 0.1)
    async with played(tmp_path, asked("api do this"), answer()) as (_, playing, client):
        await client.login()
        with pytest.raises(ReplayError, match=r"did not do this: .*asked: api do this"):
            await playing


async def test_heartbeats_are_in_no_transcript(tmp_path: Path) -> None:
    async with played(tmp_path, asked("api do"), answer("done")) as (_, playing, client):
        await client.login()
        client.ask("api global_setvar callrec_heartbeat=1795246115")
        client.ask("api do")
        client.ask("api global_setvar callrec_heartbeat=1795246116")
        assert [await client.hear() for _ in range(3)] == ["+OK", "done", "+OK"]
        await playing


async def test_a_heartbeat_that_was_refused(tmp_path: Path) -> None:
    """That one is in the transcript, and so is its answer."""
    script = (event("KNOWN"), asked("api strmicroepoch"), answer("-ERR shutting down"))
    async with played(tmp_path, *script) as (_, playing, client):
        await client.login()
        await client.hear()
        client.ask("api strmicroepoch")
        assert await client.hear() == "-ERR shutting down"
        await playing


async def test_only_events_that_are_asked_for(tmp_path: Path) -> None:
    script = (event("OTHER"), event("CUSTOM", Event_Subclass="callrec::offer"), event("KNOWN"))
    async with played(tmp_path, *script) as (_, playing, client):
        await client.login("KNOWN CUSTOM callrec::offer")
        assert "callrec::offer" in await client.hear()
        assert "KNOWN" in await client.hear()
        await playing


@pytest.mark.parametrize("cut", [whole, lambda message: (bytes([one]) for one in message)])
async def test_recordings_of_this_run(tmp_path: Path, cut: Cut) -> None:
    """Ids and paths are this run's, and so are the files."""
    script = (
        *(asked("api uuid_record leg-1 start @audio1@.wav"), answer("+OK Success\n")),
        *(asked("api uuid_record leg-2 start @audio2@.wav"), answer("+OK Success\n")),
        event("RECORD_STOP", Record_File_Path="@audio1@.wav", Id="@id1@"),
    )
    audio = {"audio1": (8000, 2, 400)}
    mine = tmp_path / "2026/01/02" / f"{ID}.wav"
    other = tmp_path / "2026/01/02" / f"{OTHER}.wav"
    async with played(tmp_path, *script, cut=cut, audio=audio) as (_, playing, client):
        await client.login()
        client.ask(f"api uuid_record leg-2 start {other}")
        client.ask(f"api uuid_record leg-1 start {mine}")
        assert [await client.hear(), await client.hear()] == ["+OK Success\n"] * 2
        assert wav.inspect(other).frames == 0
        told = json.loads(await client.hear())
        assert (told["Record-File-Path"], told["Id"]) == (str(mine), ID)
        found = wav.inspect(mine)
        assert (found.channels, found.frames, found.header_ok) == (2, 400, True)
        await playing


async def test_a_recording_by_two_names(tmp_path: Path) -> None:
    """A command must name the same recording that an earlier one named."""
    script = (
        *(asked("api tell @id1@"), answer()),
        *(asked("api uuid_record leg start @audio1@.wav"), answer()),
    )
    async with played(tmp_path, *script) as (_, playing, client):
        await client.login()
        client.ask(f"api tell {ID}")
        client.ask(f"api uuid_record leg start {tmp_path}/2026/01/02/{OTHER}.wav")
        with pytest.raises(ReplayError, match="never asked"):
            await playing


async def test_a_link_that_is_cut_and_another_one(tmp_path: Path) -> None:
    again = [Entry(one.kind, 0, 2, one.text, one.head) for one in LOGIN]
    half = Entry(Kind.SAID, 0, 1, "Content-Length: 100\nContent-Ty")
    script = (half, of_link(Kind.LOST), *again, of_link(Kind.LEFT, 2))
    async with played(tmp_path, *script) as (player, playing, client):
        await client.login()
        assert await client.hear() == ""
        second = Client(*await asyncio.open_connection("127.0.0.1", player.port))
        await second.login()
        second.writer.close()
        await playing


async def test_nobody_answers(tmp_path: Path) -> None:
    """Not even a heartbeat, until the listener gives the link up."""
    script = (event("KNOWN"), of_link(Kind.DEAF), of_link(Kind.LEFT))
    async with played(tmp_path, *script) as (_, playing, client):
        await client.login()
        await client.hear()
        client.ask("api global_setvar callrec_heartbeat=1795246115")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.hear(), 0.05)
        client.writer.close()
        await asyncio.wait_for(asyncio.shield(playing), 5)
