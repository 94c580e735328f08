"""Plays a transcript to a listener, as the real FreeSWITCH had said it.

Messages come in their order, and each command of the listener's must come before what followed
on it in the real run. The clock plays no part, but for a deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from callrec_pbx.audio import wav
from tests.replay.transcript import (
    AUTH,
    BEAT,
    CLOCK,
    EVENT,
    Entry,
    Kind,
    Rows,
    Setting,
    Transcript,
    Values,
    pairs,
)

PATIENCE_S = 10.0
"""How long the listener may take for a command; what comes by a timer of ours comes within it."""

HURRY_S = 0.3
"""Waiting so long for a command, answers are given that the real FreeSWITCH gave later: another
one was asked for first this time."""

END_S = 0.05
"""What the listener gets to take in what was said last, before it is ended (s)."""

GAP_S = 0.02
PAUSE_S = 0.005
"""Where FreeSWITCH said nothing for longer than `GAP_S`, the listener gets so much time: then it
has heard what was said before."""

TOLD = 6
"""How many entries around the fault a failure message shows."""

SUBSCRIBE = "event json "

_START = re.compile(r"(?:bg)?api uuid_record \S+ start (\S+)")
_RATE = 8000

Cut = Callable[[bytes], Iterable[bytes]]


class ReplayError(AssertionError):
    """The listener did not do what it did in the real run; the text says what was awaited."""


def whole(message: bytes) -> Iterable[bytes]:
    """A message in one piece."""
    return (message,)


async def _nothing(_: object) -> None:
    pass


@dataclass(eq=False)
class Asked:
    """A command of the listener's.

    Attributes:
        entry: Where the transcript has it; None: it is a heartbeat.
        answer: What is to be answered, when it may be.
    """

    text: str
    entry: int | None
    answer: bytes | None = None


@dataclass(eq=False)
class Link:
    """A connection of the listener's, from FreeSWITCH's side.

    Attributes:
        open: What was asked and not answered yet, in order.
        wanted: The events that it has asked for, by name or subclass.
    """

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    open: deque[Asked] = field(default_factory=deque)
    wanted: frozenset[str] = frozenset()
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    gone: bool = False
    deaf: bool = False


class Player:
    """A server that plays one transcript; use as an async context manager.

    Args:
        transcript: What to play.
        values: What the placeholders stand for.
        cut: Cuts what is sent into pieces.

    Attributes:
        port: Where it listens.
        start: Called when a process of the listener has begun in the real run, with what it found.
        end: Called when one has ended, with whether it was the last one.
        change: Called with the rows that somebody had changed.
        fault: Why it does not go on; None while all is well.
    """

    def __init__(self, transcript: Transcript, values: Values, cut: Cut = whole) -> None:
        self._script = transcript
        self._values = values
        self._cut = cut
        self._links: list[Link] = []
        self._taken: dict[int, Asked] = {}
        self._changed = asyncio.Condition()
        self._complete_files: set[Path] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._answer_of = pairs(transcript.entries)
        self._asked_of = {reply: asked for asked, reply in self._answer_of.items()}
        self._at = 0
        self.port = 0
        self.start: Callable[[Setting], Awaitable[None]] = _nothing
        self.end: Callable[[bool], Awaitable[None]] = _nothing
        self.change: Callable[[Rows], Awaitable[None]] = _nothing
        self.fault: ReplayError | None = None

    async def __aenter__(self) -> Self:
        """Listen; playing begins with the first connection."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close everything."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._links:
            link.writer.transport.abort()

    async def play(self) -> None:
        """Play from the first process of the listener to the end of the last one.

        Raises:
            ReplayError: It did not do what it had done.
        """
        for at, entry in enumerate(self._script.entries):
            if self._at < at and entry.at - self._script.entries[at - 1].at > GAP_S:
                await asyncio.sleep(PAUSE_S)
            self._at = at
            await self._step(at, entry)
        await self.end(True)
        if self.fault is not None:
            raise self.fault

    def _ends(self, at: int) -> bool:
        """Whether the listener's process has ended there, and not just its link."""
        kinds = (entry.kind for entry in self._script.entries[at:])
        following = (kind for kind in kinds if kind in (Kind.STARTED, Kind.OPENED))
        return next(following, None) is not Kind.OPENED

    def _is_last(self, at: int) -> bool:
        return all(entry.kind is not Kind.STARTED for entry in self._script.entries[at:])

    async def _step(self, at: int, entry: Entry) -> None:
        if entry.kind is Kind.STARTED:
            await self.end(False)
            await self.start(json.loads(entry.text or "{}"))
            return
        if entry.kind is Kind.CHANGED:
            await self.change(json.loads(entry.text))
            return
        if entry.kind is Kind.OPENED:
            await self._until(lambda: len(self._links) >= entry.link, at)
            return
        link = self._links[entry.link - 1]
        if entry.kind is Kind.ASKED:
            await self._until(lambda: at in self._taken, at, link)
        elif entry.kind is Kind.DEAF:
            link.deaf = True
        elif entry.kind is Kind.LEFT:
            self._close_untold(at)
            if self._ends(at):
                await asyncio.sleep(END_S)
                await self.end(self._is_last(at))
            await self._until(lambda: link.gone, at)
        elif entry.kind is Kind.LOST:
            self._close_untold(at)
            link.writer.transport.close()
        elif entry.is_reply:
            self._may_answer(self._asked_of[at])
            await self._answer(link)
        else:
            self._write_audio(entry)
            if entry.type != EVENT or entry.event in link.wanted:
                await self._send(link, entry.frame(self._values.show(entry.text)))

    async def _until(self, done: Callable[[], bool], at: int, link: Link | None = None) -> None:
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not done() and self.fault is None:
                    try:
                        async with asyncio.timeout(HURRY_S), self._changed:
                            await self._changed.wait()
                    except TimeoutError:
                        if link is not None:
                            await self._hurry(link)
        except TimeoutError:
            entry = self._script.entries[at]
            self.fault = ReplayError(self._told(f"the listener did not do this: {entry}"))
        if self.fault is not None:
            raise self.fault

    async def _hurry(self, link: Link) -> None:
        """Answer early what was asked for before what we wait for."""
        for asked in list(link.open):
            if asked.entry is not None and asked.entry in self._answer_of:
                self._may_answer(asked.entry)
                await self._answer(link)
                return

    def _may_answer(self, entry: int) -> None:
        asked = self._taken[entry]
        if asked.answer is None:
            reply = self._script.entries[self._answer_of[entry]]
            begun = _START.match(asked.text)
            if begun and reply.text.startswith("+OK"):
                self._begin(begun[1])
            asked.answer = reply.frame(self._values.show(reply.text))

    async def _answer(self, link: Link) -> None:
        """Send the answers that may be sent, in the order in which they were asked for."""
        while link.open and link.open[0].answer is not None:
            await self._send(link, link.open.popleft().answer or b"")

    async def _send(self, link: Link, message: bytes) -> None:
        async with link.sending:
            for piece in self._cut(message):
                link.writer.write(piece)
                await asyncio.sleep(0)  # or it would join the next one
            with contextlib.suppress(OSError):
                await link.writer.drain()
        await asyncio.sleep(0)

    # what the listener says

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        link = Link(len(self._links) + 1, reader, writer)
        self._links.append(link)
        await self._wake()
        try:
            while True:
                text = (await reader.readuntil(b"\n\n")).decode("utf-8", "surrogateescape")
                length = re.search(r"^content-length: *(\d+)", text, re.MULTILINE | re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                await self._take(link, text.rstrip("\n"), body.decode("utf-8", "surrogateescape"))
        except (asyncio.IncompleteReadError, OSError, asyncio.CancelledError):
            pass
        finally:
            link.gone = True
            await self._wake()

    async def _wake(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _take(self, link: Link, head: str, body: str) -> None:
        text = AUTH if head.startswith("auth ") else "\n\n".join(filter(None, (head, body)))
        if link.deaf:
            return
        if BEAT.fullmatch(text) and not self._waits_for_beat(link, text):
            answer = self._time() if text == CLOCK else "+OK"
            reply = Entry(Kind.SAID, 0, link.number, answer, {"Content-Type": "api/response"})
            link.open.append(Asked(text, None, reply.frame()))
            await self._answer(link)
            return
        if text.startswith(SUBSCRIBE):
            link.wanted = frozenset(text.split())
        place = next((at for at in self._asked_on(link) if self._is(at, text)), None)
        if place is None:
            if self.fault is None:
                self.fault = ReplayError(self._told(f"the listener had never asked this: {text}"))
        else:
            self._taken[place] = Asked(text, place)
            link.open.append(self._taken[place])
        await self._wake()

    def now_s(self) -> float:
        """When in the real run that was what is being played now, in seconds from its beginning."""
        return self._script.entries[self._at].at

    def _time(self) -> str:
        return str(self._script.epoch_us + round(self.now_s() * 1e6))

    def _asked_on(self, link: Link) -> Iterable[int]:
        for at, entry in enumerate(self._script.entries):
            if entry.kind is Kind.ASKED and entry.link == link.number and at not in self._taken:
                yield at

    def _waits_for_beat(self, link: Link, text: str) -> bool:
        """Whether a heartbeat is what is to come next: one that was not answered as usual."""
        entry = self._script.entries[self._at]
        awaited = entry.kind is Kind.ASKED and entry.link == link.number
        kind, _, _ = text.partition("=")
        return awaited and self._at not in self._taken and entry.text.partition("=")[0] == kind

    def _is(self, at: int, text: str) -> bool:
        wanted = self._script.entries[at].text
        if BEAT.fullmatch(wanted):
            return self._waits_for_beat(self._links[self._script.entries[at].link - 1], text)
        if wanted.startswith(SUBSCRIBE):  # what it then gets is what it has asked for now
            return text.startswith(SUBSCRIBE)
        return self._values.take(wanted, text)

    # the files

    def _write_audio(self, entry: Entry) -> None:
        if "RECORD_ST" not in entry.text:
            return
        headers = json.loads(self._values.show(entry.text))
        path = headers.get("Record-File-Path", "")
        if headers.get("Event-Name") == "RECORD_START":
            self._begin(path)
        elif headers.get("Event-Name") == "RECORD_STOP":
            known = self._script.audio.get(self._values.of(path.removesuffix(".wav")))
            samples = headers.get("variable_record_samples", "")
            self._complete(path, known or (_RATE, 1, int(samples) if samples.isdigit() else 0))

    def _close_untold(self, at: int) -> None:
        """Complete the files that FreeSWITCH closes while nobody listens, as far as is known."""
        for name, audio in self._script.audio.items():
            told = (one.text for one in self._script.entries[at:] if one.event == "RECORD_STOP")
            file = f'"Record-File-Path":"@{name}@.wav"'
            path = Path(self._values.show(f"@{name}@.wav"))
            is_open = path.exists() and path not in self._complete_files
            if is_open and not any(file in text for text in told):
                self._complete(str(path), audio)

    def _begin(self, name: str) -> None:
        path = Path(name)
        if self._values.recordings in path.parents and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(wav.header(_RATE, 1, 2, 0))

    def _complete(self, name: str, audio: tuple[int, int, int]) -> None:
        path = Path(name)
        if self._values.recordings in path.parents:
            rate, channels, frames = audio
            head = wav.header(rate, channels, 2, frames)
            self._complete_files.add(path)
            path.write_bytes(head + bytes(2 * channels * frames))

    # messages to people

    def _told(self, what: str) -> str:
        entries = self._script.entries
        before = entries[max(0, self._at - TOLD) : self._at]
        now = entries[self._at : self._at + TOLD]
        waiting = [asked.text for link in self._links for asked in link.open]
        test = entries[self._at].test
        return "\n".join(
            (
                f"{self._script.name}, in {test}: {what}",
                *("played:", *map(str, before)),
                *("to come:", *map(str, now)),
                *("asked and not answered yet:", *waiting),
            )
        )
