"""The adapter on a real FreeSWITCH: what only that can show.

Whole calls with the recorder are in tests/calls; what FreeSWITCH cannot be made to say is in
tests/pbx/freeswitch.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from callrec_pbx.audio import wav
from callrec_pbx.domain import events as e
from callrec_pbx.domain.commands import HangUpCall, TellParties
from callrec_pbx.domain.events import Event, LegSeen, Who
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import Channels, LegKind, RecordingState
from callrec_pbx.pbx.errors import ActionFailedError
from callrec_pbx.pbx.freeswitch.adapter import FreeSwitch
from callrec_pbx.pbx.freeswitch.link import EslLink
from tests.bed import measure
from tests.bed.bed import Bed
from tests.bed.esl import event
from tests.bed.far import Phone
from tests.bed.server import POLL_S

CALLER, AGENT = 440, 1000
PROMPT = 700
SOME_MS = 300
WAIT_S = 10.0


class Listening:
    """The adapter, connected, and what it has told."""

    def __init__(self, bed: Bed, sounds: Path) -> None:
        server = bed.freeswitch
        self.bed = bed
        self.told: list[Event] = []
        self._came = asyncio.Event()
        self.adapter = FreeSwitch(
            lambda take: EslLink(
                "127.0.0.1", server.esl_port, server.esl_password, on_messages=take
            ),
            ("trunk", "external"),
            sounds,
            self._take,
        )

    def _take(self, found: list[Event]) -> None:
        self.told += found
        self._came.set()

    async def until(self, fits: Callable[[Event], bool]) -> Event:
        """The first event that fits."""
        async with asyncio.timeout(WAIT_S):
            while not (found := [event for event in self.told if fits(event)]):
                self._came.clear()
                await self._came.wait()
        return found[0]

    async def leg(self, line: str) -> Who:
        """The leg of a line that has come into being; of a caller from outside where empty."""
        found = await self.until(lambda one: isinstance(one, e.LegCreated) and one.who.line == line)
        assert isinstance(found, e.LegCreated)
        return found.who

    async def talks(self, leg: Who) -> None:
        """Wait until it does."""
        await self.until(lambda one: isinstance(one, e.LegBridged) and one.who.leg == leg.leg)

    async def begins(self, leg: Who) -> None:
        """Wait until it is recorded."""
        await self.until(lambda one: isinstance(one, e.RecordingStarted) and one.leg == leg.leg)

    async def ends(self, leg: Who) -> None:
        """Wait until it is no more."""
        await self.until(lambda one: isinstance(one, e.RecordingStopped) and one.leg == leg.leg)

    async def seen(self, leg: Who, recordings: dict[str, str] | None = None) -> LegSeen:
        """That leg in a snapshot."""
        legs = (await self.adapter.look(recordings or {})).legs
        (found,) = [one for one in legs if one.who.leg == leg.leg]
        return found


@asynccontextmanager
async def listening(bed: Bed) -> AsyncIterator[Listening]:
    """The adapter, connected to the bed's FreeSWITCH."""
    found = Listening(bed, bed.freeswitch.sounds / "callrec")
    await found.adapter.connect()
    try:
        yield found
    finally:
        found.adapter.close()
        await found.adapter.wait_lost()


async def conversation(listener: Listening) -> tuple[Phone, Phone, Who, Who]:
    """A caller from outside, and 301, who talk."""
    caller = await listener.bed.far.call_in("46701234567", "301", tone_hz=CALLER)
    agent = await listener.bed.far.ringing("301")
    await agent.answer(AGENT)
    await caller.wait_up()
    theirs, ours = await listener.leg(""), await listener.leg("301")
    await listener.talks(ours)
    return caller, agent, theirs, ours


def recording(leg: Who, channels: Channels = Channels.MIXED) -> RecordingFacts:
    """A recording of that leg."""
    now = datetime.now(UTC)
    return RecordingFacts(
        "rec", "call", leg.leg, leg.channel, "301", RecordingState.STARTING, now, channels=channels
    )


async def grown(path: Path, size: int) -> None:
    """Wait until a file is that large."""

    def is_large() -> bool:
        return path.exists() and path.stat().st_size >= size

    async with asyncio.timeout(WAIT_S):
        while not is_large():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(POLL_S)


def write_tone(path: Path, hz: int) -> None:
    """Write half a second of a tone."""
    turns = 2 * np.pi * hz * np.arange(8000 // 2) / 8000
    samples = (np.sin(turns) * 8000).astype("<i2").tobytes()
    path.write_bytes(wav.header(8000, 1, 2, len(samples) // 2) + samples)


async def test_who_is_on_the_legs(bed: Bed) -> None:
    """As in the events of their creation, so in a snapshot."""
    async with listening(bed) as listener:
        _, _, theirs, ours = await conversation(listener)
        assert (theirs.kind, theirs.number) == (LegKind.OUTSIDE, "46701234567")
        assert theirs.trunk in ("trunk", "external")
        assert (ours.kind, ours.line, ours.ref) == (LegKind.LINE, "301", theirs.leg)
        async with listening(bed) as other:
            for leg in (theirs, ours):
                seen = (await other.seen(leg)).who
                assert (seen.kind, seen.line, seen.trunk) == (leg.kind, leg.line, leg.trunk)
                assert (seen.number, seen.ref) == (leg.number, leg.ref)


async def test_who_calls_as_somebody_else(bed: Bed) -> None:
    """302 has logged in, whatever its From header says."""
    async with listening(bed) as listener:
        await bed.far.line_calls("302", "303")
        await bed.far.ringing("303")
        assert (await listener.leg("302")).kind is LegKind.LINE


async def test_a_snapshot_says_the_same_as_the_events(bed: Bed) -> None:
    """Who talks with whom, since when there are the legs, and how FreeSWITCH's clock goes."""
    async with listening(bed) as listener:
        _, _, theirs, ours = await conversation(listener)
        bridged = [one for one in listener.told if isinstance(one, e.LegBridged)]
        seen = await listener.adapter.look({})
        bridges = {leg.who.leg: leg.bridge for leg in seen.legs}
        assert bridges == {theirs.leg: bridged[0].bridge, ours.leg: bridged[0].bridge}
        assert seen.pbx_started_at is not None
        assert seen.pbx_started_at < min(leg.created_at for leg in seen.legs)
        assert timedelta(0) <= seen.at - bridged[0].at < timedelta(seconds=WAIT_S)
        await bed.esl.api(f"uuid_transfer {ours.leg} -both park inline", check=True)
        await listener.until(lambda one: isinstance(one, e.LegUnbridged))
        parked = await listener.adapter.look({})
        assert [leg.bridge for leg in parked.legs] == ["", ""]


async def test_the_administrators_recording_is_his(bed: Bed, tmp_path: Path) -> None:
    """And what he has set for it on the leg does no harm to ours."""
    async with listening(bed) as listener:
        _, _, _, ours = await conversation(listener)
        harm = (
            "RECORD_STEREO=true;RECORD_READ_ONLY=true;RECORD_APPEND=true;RECORD_MIN_SEC=60;"
            "RECORD_INITIAL_TIMEOUT_MS=1;RECORD_FINAL_TIMEOUT_MS=1;RECORD_BRIDGE_REQ=true;"
            "RECORD_ANSWER_REQ=true;RECORD_TOGGLE_ON_REPEAT=true;RECORD_HANGUP_ON_ERROR=true;"
            "record_sample_rate=16000;recording_follow_transfer=true"
        )
        await bed.esl.api(f"uuid_setvar_multi {ours.leg} {harm}", check=True)
        his, mine = bed.dir / "his.wav", bed.dir / "mine.wav"
        await bed.esl.api(f"uuid_record {ours.leg} start {his}", check=True)
        await listener.adapter.start(recording(ours), str(mine), 0)
        await listener.begins(ours)
        await grown(mine, 16_000)
        await bed.esl.api(f"uuid_record {ours.leg} stop {his}")
        assert not [one for one in listener.told if isinstance(one, e.RecordingStopped)]
        assert (await listener.seen(ours, {str(mine): "rec"})).recording == "rec"
        await listener.adapter.stop(recording(ours))
        await listener.ends(ours)
        info = wav.inspect(mine)
        assert (info.channels, info.rate) == (1, 8000)
        assert (await listener.seen(ours, {str(mine): "rec"})).recording == ""
        for hz in (CALLER, AGENT):
            assert measure.tone_ms(mine, hz) > SOME_MS


async def test_what_is_written_is_on_the_disk_at_once(bed: Bed) -> None:
    """A switch that is killed has lost nothing but the lengths in the header."""
    async with listening(bed) as listener:
        _, _, _, ours = await conversation(listener)
        path = bed.dir / "growing.wav"
        await listener.adapter.start(recording(ours, Channels.STEREO), str(path), 0)
        await grown(path, 8000)  # less than the 64 KiB that it writes at once otherwise
        copy = Path(shutil.copy(path, bed.dir / "copy.wav"))
        assert not wav.inspect(copy).header_ok
        assert wav.repair(copy)
        info = wav.inspect(copy)
        assert (info.channels, info.header_ok) == (2, True)
        assert info.frames >= 1900


async def test_a_notice_is_heard_by_all_and_is_in_no_recording(bed: Bed) -> None:
    """Not in that of the other party either."""
    async with listening(bed) as listener:
        caller, agent, theirs, ours = await conversation(listener)
        sound = bed.freeswitch.sounds / "callrec" / "en" / "started.wav"
        sound.parent.mkdir(parents=True, exist_ok=True)
        write_tone(sound, PROMPT)
        files = [bed.dir / "agent.wav", bed.dir / "caller.wav"]
        for leg, path in zip((ours, theirs), files, strict=True):
            await listener.adapter.start(recording(leg), str(path), 0)
            await listener.begins(leg)
        heard = [bed.dir / "heard-1.wav", bed.dir / "heard-2.wav"]
        for phone, path in zip((caller, agent), heard, strict=True):
            await phone.hear(path)
        await listener.adapter.tell(TellParties(ours.leg, ours.channel, "started", "en"))
        for path in files:
            await grown(path, path.stat().st_size + 16_000)
        await agent.hangup()
        await caller.wait_hangup()
        for phone in (caller, agent):
            assert measure.tone_ms(await phone.heard(), PROMPT) > SOME_MS
        for path in files:
            assert measure.tone_ms(path, PROMPT) == 0
            assert measure.tone_ms(path, CALLER) > SOME_MS


async def test_the_notice_that_ends_a_call(bed: Bed) -> None:
    """Both parties are sent to it; nobody is cut off by the other's going."""
    async with listening(bed) as listener:
        caller, agent, theirs, ours = await conversation(listener)
        script = bed.freeswitch.scripts / "callrec_unavailable.lua"
        ours_before = script.read_text() if script.exists() else None
        script.write_text('session:sleep(300)\nsession:hangup("NORMAL_CLEARING")\n')
        try:
            mark = bed.esl.mark()
            command = HangUpCall((theirs.channel, ours.channel), "x", "en", (theirs.leg, ours.leg))
            await listener.adapter.hang_up(command)
            await caller.wait_hangup()
            await agent.wait_hangup()
        finally:
            if ours_before is None:
                script.unlink()
            else:
                script.write_text(ours_before)
        ran = [
            found["Unique-ID"]
            for found in bed.esl.since(mark)
            if found.event == "CHANNEL_EXECUTE" and found["Application"] == "lua"
        ]
        assert sorted(ran) == sorted([theirs.leg, ours.leg])
        assert not [one for one in listener.told if isinstance(one, e.CallTransferred)]


async def test_a_file_that_cannot_be_written(bed: Bed) -> None:
    """The recording has failed; the conversation goes on."""
    async with listening(bed) as listener:
        _, _, _, ours = await conversation(listener)
        (bed.dir / "no-folder").write_text("")
        path = bed.dir / "no-folder" / "x.wav"
        with pytest.raises(ActionFailedError, match="Cannot record session"):
            await listener.adapter.start(recording(ours), str(path), 0)
        assert (await listener.seen(ours)).bridge


async def test_a_leg_that_rings_is_not_recorded(bed: Bed) -> None:
    """And a leg that has gone is said to have."""
    async with listening(bed) as listener:
        caller = await bed.far.call_in("46701234567", "301")
        agent = await bed.far.ringing("301")
        theirs, ours = await listener.leg(""), await listener.leg("301")
        for leg in (theirs, ours):
            with pytest.raises(ActionFailedError, match="not been answered"):
                await listener.adapter.start(recording(leg), str(bed.dir / "ringing.wav"), 0)
        await agent.answer()
        await caller.wait_up()
        await listener.talks(ours)
        await caller.hangup()
        await bed.esl.wait_for(event("CHANNEL_HANGUP_COMPLETE", Unique_ID=ours.leg))
        await listener.until(lambda one: isinstance(one, e.LegHungUp) and one.leg == ours.leg)
        with pytest.raises(ActionFailedError, match=r"^no such channel: "):
            await listener.adapter.start(recording(ours), str(bed.dir / "gone.wav"), 0)
