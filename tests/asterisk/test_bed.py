"""The test bed does what its tests rely on."""

# ruff: noqa: ASYNC240 - looking for a file blocks nobody here

from __future__ import annotations

import asyncio
import os
import signal
import sys
import wave
from itertools import groupby
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.bed import sipp
from tests.bed.ami import event
from tests.bed.asterisk import REPOSITORY
from tests.bed.bed import Bed, remove_stale, write_tone
from tests.bed.measure import duration_ms, heard, tone_ms, tone_segments
from tests.bed.pbx_config import MOH_HZ, PbxOptions

CALLER_HZ = 440
AGENT_HZ = 800
SECOND_HZ = 1200
TALK_S = 0.6
"""Seconds of talk that are measured; time has to pass for audio to exist."""


async def test_each_side_hears_the_other(bed: Bed, tmp_path: Path) -> None:
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


async def test_a_tone_changes_in_mid_call(bed: Bed) -> None:
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


async def test_keys_reach_the_pbx(bed: Bed) -> None:
    caller = await bed.far.call_in("1", "301")
    agent = await (await bed.far.ringing("301")).answer()
    await caller.wait_up()
    mark = bed.pbx_ami.mark()
    await agent.press("#1")
    await caller.press("*")
    await agent.wait_digits("*")
    pressed = [
        (message["Channel"].partition("-")[0], message["Digit"])
        for message in bed.pbx_ami.since(mark)
        if message.event == "DTMFEnd" and message["Direction"] == "Received"
    ]
    assert pressed == [("PJSIP/301", "#"), ("PJSIP/301", "1"), ("PJSIP/trunk", "*")]


async def test_a_phone_calls_out_and_another_phone(bed: Bed) -> None:
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


async def test_blind_transfer_by_refer(bed: Bed) -> None:
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


async def test_blind_transfer_by_key(bed: Bed) -> None:
    caller = await bed.far.call_in("1", "301")
    agent = await (await bed.far.ringing("301")).answer()
    await caller.wait_up()
    mark = bed.pbx_ami.mark()
    await agent.press("*1")
    await bed.pbx_ami.wait_for(event("MusicOnHoldStart"), since=mark)
    await agent.press("302")
    second = await (await bed.far.ringing("302")).answer()
    assert second.is_up
    await agent.wait_hangup()
    assert caller.is_up


async def test_attended_transfer_by_refer(bed: Bed) -> None:
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
    assert tone_ms(await second.heard(), CALLER_HZ) > TALK_S * 900


async def test_hold_plays_music_and_unhold_ends_it(bed: Bed) -> None:
    caller = await bed.far.call_in("1", "301", hear=bed.dir / "hold.wav")
    agent = await (await bed.far.ringing("301")).answer(AGENT_HZ)
    await caller.wait_up()
    await asyncio.sleep(TALK_S)
    mark = bed.pbx_ami.mark()
    await agent.hold()
    await bed.pbx_ami.wait_for(event("Hold"), since=mark)
    await asyncio.sleep(TALK_S)
    await agent.unhold()
    await bed.pbx_ami.wait_for(event("Unhold"), since=mark)
    await asyncio.sleep(TALK_S)
    await caller.hangup()
    pieces = tone_segments(await caller.heard(), [AGENT_HZ, MOH_HZ])
    assert [freq for freq, _ in groupby(piece.freq for piece in pieces)] == [
        AGENT_HZ,
        MOH_HZ,
        AGENT_HZ,
    ]


async def test_a_queue_rings_its_members(bed: Bed) -> None:
    caller = await bed.far.call_in("1", "600", tone_hz=CALLER_HZ)
    first = await bed.far.ringing("301")
    second = await bed.far.ringing("302")
    await second.answer()
    await first.wait_hangup()
    await caller.wait_up()
    await second.hangup()
    await caller.wait_hangup()


async def test_a_parked_call_is_picked_up(bed: Bed) -> None:
    caller = await bed.far.call_in("1", "301")
    agent = await (await bed.far.ringing("301")).answer()
    await caller.wait_up()
    mark = bed.pbx_ami.mark()
    await agent.blind_transfer("700")
    parked = await bed.pbx_ami.wait_for(event("ParkedCall"), since=mark)
    other = await bed.far.line_calls("303", parked["ParkingSpace"])
    await other.wait_up()
    await bed.pbx_ami.wait_for(event("UnParkedCall"), since=mark)
    await other.hangup()
    await caller.wait_hangup()


@pytest.mark.parametrize(
    ("number", "name", "number_seen", "name_seen"),
    [
        ("../../etc/x", "../../etc/x", "../../etc/x", "../../etc/x"),
        ("$(touch x)|`y`", '"; touch /tmp/pwned; "', "$(touch x)|`y`", "; touch /tmp/pwned; "),
        ("7" * 300, "n" * 300, "7" * 79, "n" * 79),  # as much as Asterisk takes
        ("1", "\N{GRINNING FACE}", "1", "\N{GRINNING FACE}"),
    ],
)
async def test_a_caller_id_reaches_the_pbx(
    bed: Bed, number: str, name: str, number_seen: str, name_seen: str
) -> None:
    mark = bed.pbx_ami.mark()
    caller = await bed.far.call_in(number, "301", name)
    await (await bed.far.ringing("301")).answer()
    await caller.wait_up()
    seen = next(m for m in bed.pbx_ami.since(mark) if m.event == "Newchannel")
    assert seen["CallerIDNum"] == number_seen
    assert name_seen in seen["CallerIDName"]


async def test_a_number_with_a_line_break_forges_ami_headers(bed: Bed) -> None:
    mark = bed.pbx_ami.mark()
    caller = await bed.far.call_in("a\r\nForged: yes", "301")
    await (await bed.far.ringing("301")).answer()
    await caller.wait_up()
    seen = next(m for m in bed.pbx_ami.since(mark) if m.event == "Newchannel")
    assert (seen["CallerIDNum"], seen["Forged"]) == ("a", "yes")


async def test_latin_1_bytes_in_a_name_do_no_harm(bed: Bed) -> None:
    caller = await bed.far.call_in("1", "301", "\udce9t\udce9")
    await (await bed.far.ringing("301")).answer()
    await caller.wait_up()


async def test_many_calls_at_once(bed: Bed) -> None:
    await bed.far.answer_by_itself(AGENT_HZ)
    placing = asyncio.create_task(
        sipp.run("caller", "301", bed.ports.pbx, bed.dir / "sipp", calls=4, rate=8, talk_ms=1000)
    )
    one = await bed.far.ringing("301")
    await one.hear(bed.dir / "load.wav")
    assert await placing == sipp.Load(placed=4, succeeded=4, failed=0)
    await one.wait_hangup()
    assert tone_ms(await one.heard(), sipp.TONE_HZ) > 800
    await bed.far.answer_by_itself(None)


async def test_the_dialplan_calls_callrec_where_the_manual_says() -> None:
    bed = Bed(PbxOptions(callrec=True))
    bed.prepare()
    with (bed.pbx.etc / "extensions.conf").open("a") as file:
        file.write(
            "[callrec-offer]\n"
            "exten => s,1,UserEvent(Offer,Args: ${ARG1}/${ARG2}/${ARG3}/${ARG4})\n"
            " same => n,Return()\n"
            "[callrec-whisper]\nexten => s,1,UserEvent(Whisper)\n same => n,Return()\n"
        )
    async with bed:
        mark = bed.pbx_ami.mark()
        await bed.far.answer_by_itself(AGENT_HZ)
        for to in ("301", "600", "601"):
            caller = await (await bed.far.call_in("1", to)).wait_up()
            await caller.hangup()
            await bed.quiet()
        await (await bed.far.line_calls("305", "306")).wait_up()
        dialling = await bed.far.line_calls("305", "0491")
        await (await bed.far.trunk_ringing("491")).answer()
        await dialling.wait_up()
        await bed.quiet()
        told = [
            (m["UserEvent"], m["Args"] or m["Channel"].partition("-")[0])
            for m in bed.pbx_ami.since(mark)
            if m.event == "UserEvent"
        ]
    offers = [args for name, args in told if name == "Offer"]
    assert offers == [
        "inbound/301/301/",
        "inbound//600/sales",
        "inbound//601/support",
        "internal/306//",
        "outbound/305//",
    ]
    whispers = [channel for name, channel in told if name == "Whisper"]
    assert len(whispers) == len(offers)
    assert whispers[0] == "PJSIP/301"
    assert whispers[-2:] == ["PJSIP/306", "PJSIP/trunk"]


async def test_a_killed_pbx_comes_back() -> None:
    async with Bed() as bed:
        caller = await bed.far.call_in("1", "301")
        await (await bed.far.ringing("301")).answer()
        await caller.wait_up()
        bed.pbx.kill()
        assert not bed.pbx.running
        await bed.pbx.restart()
        await bed.quiet()
        assert "0 active channels" in await bed.pbx.rx("core show channels count")


async def test_nothing_is_left_behind() -> None:
    async with Bed() as bed:
        folder, pids = bed.dir, [bed.pbx.pid, bed.far.server.pid]
        assert folder.is_dir()
    assert not folder.exists()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    if root := bed.pbx.where.root:
        assert not (root / str(folder).lstrip("/")).exists()


async def test_asterisk_ends_with_a_killed_test_run(tmp_path: Path) -> None:
    code = (
        "import asyncio\n"
        "from tests.bed.bed import Bed\n"
        "async def main():\n"
        "    async with Bed() as bed:\n"
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
        await asyncio.wait_for(process.wait(), 10)
        for file in files:
            gone = asyncio.Event()
            asyncio.get_running_loop().add_reader(file, gone.set)
            await asyncio.wait_for(gone.wait(), 5)
            asyncio.get_running_loop().remove_reader(file)
            os.close(file)
        if number != signal.SIGINT:
            remove_stale()
        assert not Path(folder).exists()


def test_a_prompt_is_found_whole_and_cut_off(tmp_path: Path) -> None:
    rate = 8000
    noise = np.random.default_rng(1)
    shape = np.abs(np.sin(2 * np.pi * 2 * np.arange(2 * rate) / rate))  # loud and quiet, as speech
    prompt = noise.normal(0, 0.1, 2 * rate) * shape
    write_wav(tmp_path / "prompt.wav", prompt)
    before, after = np.zeros(rate // 2), noise.normal(0, 0.1, rate)
    write_wav(tmp_path / "whole.wav", np.concatenate((before, prompt, after)))
    write_wav(tmp_path / "cut.wav", np.concatenate((before, prompt[: rate * 3 // 4], after)))
    write_wav(tmp_path / "none.wav", np.concatenate((before, after, after[::-1])))

    whole = heard(tmp_path / "whole.wav", tmp_path / "prompt.wav")
    assert whole.offset_ms == 500
    assert whole.length_ms == 2000
    assert whole.score > 0.99
    cut = heard(tmp_path / "cut.wav", tmp_path / "prompt.wav")
    assert cut.offset_ms == 500
    assert cut.length_ms == pytest.approx(750, abs=20)
    none = heard(tmp_path / "none.wav", tmp_path / "prompt.wav")
    assert none.length_ms < 100 or none.score < 0.3


def test_tones_are_found_to_five_ms(tmp_path: Path) -> None:
    rate = 8000
    time = np.arange(2 * rate) / rate
    low = np.where((time >= 0.2) & (time < 1.5), 0.2 * np.sin(2 * np.pi * CALLER_HZ * time), 0)
    high = np.where((time >= 1.0) & (time < 1.04), 0.2 * np.sin(2 * np.pi * 540 * time), 0)
    write_wav(tmp_path / "mix.wav", low + high)
    pieces = tone_segments(tmp_path / "mix.wav", [CALLER_HZ, 540, SECOND_HZ])
    assert [piece.freq for piece in pieces] == [CALLER_HZ, 540]
    edges = [edge for piece in pieces for edge in (piece.from_ms, piece.to_ms)]
    assert edges == pytest.approx([200, 1500, 1000, 1040], abs=5)
    assert duration_ms(tmp_path / "mix.wav") == 2000


def test_a_file_whose_header_was_never_completed_is_read(tmp_path: Path) -> None:
    write_tone(tmp_path / "tone.wav", CALLER_HZ, 900)
    raw = bytearray((tmp_path / "tone.wav").read_bytes())
    raw[4:8] = raw[40:44] = bytes(4)
    (tmp_path / "tone.wav").write_bytes(raw)
    assert duration_ms(tmp_path / "tone.wav") == 900


def write_wav(path: Path, samples: npt.NDArray[np.float64], rate: int = 8000) -> None:
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes((samples.clip(-1, 1) * 32767).astype("<i2").tobytes())
