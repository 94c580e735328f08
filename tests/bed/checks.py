"""What every bed has to do, whatever its PBX; the tests of each bed inherit it."""

# ruff: noqa: ASYNC240 - looking for a file blocks nobody here

from __future__ import annotations

import asyncio
import os
import signal
import sys
from abc import ABC, abstractmethod
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import pytest

from tests.bed import sipp
from tests.bed.bed import Bed, remove_stale
from tests.bed.measure import tone_ms, tone_segments
from tests.bed.pbx_config import MOH_HZ
from tests.bed.server import REPOSITORY

CALLER_HZ = 440
AGENT_HZ = 800
SECOND_HZ = 1200
TALK_S = 0.6
"""Seconds of talk that are measured; time has to pass for audio to exist."""


class Witness(ABC):
    """What the PBX itself has seen since the mark that this was made with."""

    @abstractmethod
    async def keys(self, count: int) -> list[tuple[str, str]]:
        """Return the first `count` keys pressed: `trunk` or the line, and the key."""

    @abstractmethod
    async def transfer_begun(self) -> None:
        """Return when the key of a transfer has its effect."""

    @abstractmethod
    async def held(self, now: bool) -> None:
        """Return when somebody has put the other one on hold, or taken him back."""

    @abstractmethod
    async def parked(self) -> str:
        """Return the extension at which somebody was parked."""

    @abstractmethod
    async def unparked(self) -> None:
        """Return when he was picked up."""

    @abstractmethod
    async def caller(self) -> tuple[str, str]:
        """Return number and name of the first leg, as the PBX tells them."""


class BedChecks(ABC):
    """The tests that are the same for each PBX; a fixture `bed` gives the bed."""

    kind: ClassVar[str]

    @abstractmethod
    def witness(self, bed: Bed) -> Witness:
        """Return what sees all that the PBX does from now on."""

    async def test_each_side_hears_the_other(self, bed: Bed) -> None:
        caller = await bed.far.call_in("+4930123", "301", "Ann", CALLER_HZ, hear=bed.dir / "a.wav")
        agent = await bed.far.ringing("301")
        assert (agent.number, agent.name) == ("+4930123", "Ann")
        await agent.answer(AGENT_HZ)
        await agent.hear(bed.dir / "b.wav")
        await caller.wait_up()
        await asyncio.sleep(TALK_S)
        await agent.hangup()
        await caller.wait_hangup()

        assert tone_ms(await agent.heard(), CALLER_HZ) == pytest.approx(TALK_S * 1000, abs=100)
        assert tone_ms(await caller.heard(), AGENT_HZ) == pytest.approx(TALK_S * 1000, abs=100)
        assert tone_ms(await caller.heard(), SECOND_HZ) == 0

    async def test_a_tone_changes_in_mid_call(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301", hear=bed.dir / "change.wav")
        agent = await bed.far.ringing("301")
        await agent.answer(AGENT_HZ)
        await asyncio.sleep(TALK_S)
        first = await agent.talk(SECOND_HZ)
        await asyncio.sleep(TALK_S)
        second = await agent.silent()
        await asyncio.sleep(0.2)
        await caller.hangup()

        before, after = tone_segments(await caller.heard(), [AGENT_HZ, SECOND_HZ])
        assert (before.freq, after.freq) == (AGENT_HZ, SECOND_HZ)
        assert after.from_ms - before.to_ms <= 40
        assert after.length_ms == pytest.approx((second.at - first.at) * 1000, abs=40)

    async def test_keys_reach_the_pbx(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301")
        agent = await (await bed.far.ringing("301")).answer()
        await caller.wait_up()
        witness = self.witness(bed)
        await agent.press("#1")
        await caller.press("*")
        await agent.wait_digits("*")
        assert await witness.keys(3) == [("301", "#"), ("301", "1"), ("trunk", "*")]

    async def test_a_phone_calls_out_and_another_phone(self, bed: Bed) -> None:
        agent = await bed.far.line_calls("301", "00493012345")
        outside = await (await bed.far.trunk_ringing("0493012345")).answer()
        assert outside.number == "301"
        await agent.wait_up()
        colleague = await bed.far.line_calls("303", "302")
        called = await (await bed.far.ringing("302")).answer()
        assert (called.number, called.name) == ("303", "Agent 303")
        await colleague.wait_up()
        await agent.hangup()
        await outside.wait_hangup()
        assert called.is_up

    async def test_blind_transfer_by_refer(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301", tone_hz=CALLER_HZ)
        agent = await (await bed.far.ringing("301")).answer()
        await caller.wait_up()
        assert await agent.blind_transfer("302") == "SUCCESS"
        await agent.wait_hangup()
        second = await (await bed.far.ringing("302")).answer()
        await second.hear(bed.dir / "second.wav")
        await asyncio.sleep(TALK_S)
        await caller.hangup()
        await second.wait_hangup()
        assert tone_ms(await second.heard(), CALLER_HZ) > TALK_S * 900

    async def test_blind_transfer_by_key(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301")
        agent = await (await bed.far.ringing("301")).answer()
        await caller.wait_up()
        witness = self.witness(bed)
        await agent.press("*1")
        await witness.transfer_begun()
        await agent.press("302")
        second = await (await bed.far.ringing("302")).answer()
        assert second.is_up
        await agent.wait_hangup()
        assert caller.is_up

    async def test_attended_transfer_by_refer(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301", tone_hz=CALLER_HZ)
        agent = await (await bed.far.ringing("301")).answer()
        await caller.wait_up()
        await agent.hold()
        consultation = await bed.far.line_calls("301", "302")
        second = await (await bed.far.ringing("302")).answer()
        await consultation.wait_up()
        assert await agent.attended_transfer(consultation) == "SUCCESS"
        await agent.wait_hangup()
        await consultation.wait_hangup()
        await second.hear(bed.dir / "attended.wav")
        await asyncio.sleep(TALK_S)
        await caller.hangup()
        await second.wait_hangup()
        assert tone_ms(await second.heard(), CALLER_HZ) > TALK_S * 500

    async def test_attended_transfer_by_key(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301", tone_hz=CALLER_HZ)
        agent = await (await bed.far.ringing("301")).answer(AGENT_HZ)
        await caller.wait_up()
        witness = self.witness(bed)
        await agent.press("*2")
        await witness.transfer_begun()
        await agent.press("302")
        second = await bed.far.ringing("302")
        await second.hear(bed.dir / "key.wav")
        await second.answer()
        await asyncio.sleep(TALK_S)
        await agent.hangup()
        await asyncio.sleep(2 * TALK_S)  # the PBX says that it is done
        await caller.hangup()
        await second.wait_hangup()
        assert tone_ms(await second.heard(), AGENT_HZ) > TALK_S * 500
        assert tone_ms(await second.heard(), CALLER_HZ) > TALK_S * 500

    async def test_hold_plays_music_and_unhold_ends_it(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301", hear=bed.dir / "hold.wav")
        agent = await (await bed.far.ringing("301")).answer(AGENT_HZ)
        await caller.wait_up()
        await asyncio.sleep(TALK_S)
        witness = self.witness(bed)
        await agent.hold()
        await witness.held(now=True)
        await asyncio.sleep(TALK_S)
        await agent.unhold()
        await witness.held(now=False)
        await asyncio.sleep(TALK_S)
        await caller.hangup()
        pieces = tone_segments(await caller.heard(), [AGENT_HZ, MOH_HZ])
        assert [freq for freq, _ in groupby(piece.freq for piece in pieces)] == [
            AGENT_HZ,
            MOH_HZ,
            AGENT_HZ,
        ]

    async def test_a_queue_rings_its_members(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "600", tone_hz=CALLER_HZ)
        first = await bed.far.ringing("301")
        second = await bed.far.ringing("302")
        await second.answer()
        await first.wait_hangup()
        await caller.wait_up()
        await second.hangup()
        await caller.wait_hangup()

    async def test_a_queue_rings_one_after_the_other(self, bed: Bed) -> None:
        rung = []
        for _ in range(2):
            caller = await bed.far.call_in("1", "601")
            lines = [asyncio.create_task(bed.far.ringing(line)) for line in ("303", "304")]
            done, waiting = await asyncio.wait(lines, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            rung += [lines.index(task) for task in done]
            await (await done.pop()).answer()
            await caller.wait_up()
            await bed.quiet()
        assert sorted(rung) == [0, 1]

    async def test_a_parked_call_is_picked_up(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301")
        agent = await (await bed.far.ringing("301")).answer()
        await caller.wait_up()
        witness = self.witness(bed)
        await agent.blind_transfer("700")
        other = await bed.far.line_calls("303", await witness.parked())
        await other.wait_up()
        await witness.unparked()
        await other.hangup()
        await caller.wait_hangup()

    async def test_a_call_is_parked_by_key(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301")
        agent = await (await bed.far.ringing("301")).answer()
        await caller.wait_up()
        witness = self.witness(bed)
        await agent.press("*3")
        slot = await witness.parked()
        await agent.hangup()
        other = await bed.far.line_calls("303", slot)
        await other.wait_up()
        await witness.unparked()
        assert caller.is_up

    @pytest.mark.parametrize("extension", ["8301", "*8"])
    async def test_a_ringing_call_is_picked_up(self, bed: Bed, extension: str) -> None:
        caller = await bed.far.call_in("1", "301", tone_hz=CALLER_HZ)
        agent = await bed.far.ringing("301")
        other = await bed.far.line_calls("303", extension, hear=bed.dir / "pickup.wav")
        await other.wait_up()
        await caller.wait_up()
        await agent.wait_hangup()
        await asyncio.sleep(TALK_S)
        await caller.hangup()
        await other.wait_hangup()
        assert tone_ms(await other.heard(), CALLER_HZ) > TALK_S * 500

    async def test_latin_1_bytes_in_a_name_do_no_harm(self, bed: Bed) -> None:
        caller = await bed.far.call_in("1", "301", "\udce9t\udce9")
        await (await bed.far.ringing("301")).answer()
        await caller.wait_up()

    async def test_many_calls_at_once(self, bed: Bed) -> None:
        await bed.far.answer_by_itself(AGENT_HZ)
        port, folder = bed.ports.pbx_trunk, bed.dir / "sipp"
        placing = asyncio.create_task(
            sipp.run("caller", "301", port, folder, calls=4, rate=8, talk_ms=1000)
        )
        one = await bed.far.ringing("301")
        await one.hear(bed.dir / "load.wav")
        assert await placing == sipp.Load(placed=4, succeeded=4, failed=0)
        await one.wait_hangup()
        assert tone_ms(await one.heard(), sipp.TONE_HZ) > 800
        await bed.far.answer_by_itself(None)

    async def test_a_killed_pbx_comes_back(self) -> None:
        async with Bed(kind=self.kind) as bed:
            caller = await bed.far.call_in("1", "301")
            await (await bed.far.ringing("301")).answer()
            await caller.wait_up()
            bed.pbx.kill()
            assert not bed.pbx.running
            await bed.pbx.restart()
            await bed.quiet()
            assert not await bed.pbx.channels()

    async def test_nothing_is_left_behind(self) -> None:
        async with Bed(kind=self.kind) as bed:
            folder, pids = bed.dir, [bed.pbx.pid, bed.far.server.pid]
            assert folder.is_dir()
        assert not folder.exists()
        assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
        for server in (bed.pbx, bed.far.server):
            assert not server.outside(folder).exists()

    async def test_the_pbx_ends_with_a_killed_test_run(self) -> None:
        code = (
            "import asyncio, signal\n"
            # It is ignored in what a script runs in the background.
            "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
            "from tests.bed.bed import Bed\n"
            "async def main():\n"
            f"    async with Bed(kind={self.kind!r}) as bed:\n"
            "        print(bed.pbx.pid, bed.far.server.pid, bed.dir, flush=True)\n"
            "        await asyncio.sleep(60)\n"
            "asyncio.run(main())\n"
        )
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-c",
                code,
                cwd=REPOSITORY,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
            assert process.stdout is not None
            *pids, folder = (await process.stdout.readline()).decode().split()
            files = [os.pidfd_open(int(pid)) for pid in pids]
            process.send_signal(number)
            await asyncio.wait_for(process.wait(), 40)  # FreeSWITCH alone has 25 s
            for file in files:
                gone = asyncio.Event()
                asyncio.get_running_loop().add_reader(file, gone.set)
                await asyncio.wait_for(gone.wait(), 5)
                asyncio.get_running_loop().remove_reader(file)
                os.close(file)
            if number != signal.SIGINT:
                remove_stale()
            assert not Path(folder).exists()
