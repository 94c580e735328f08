"""The test bed does what its tests rely on."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from tests.bed.ami import Ami, event
from tests.bed.bed import Bed, write_tone
from tests.bed.checks import AGENT_HZ, CALLER_HZ, SECOND_HZ, BedChecks, Witness
from tests.bed.measure import duration_ms, heard, tone_segments
from tests.bed.pbx_config import PbxOptions


class AmiWitness(Witness):
    """By the bed's own manager connection."""

    def __init__(self, ami: Ami) -> None:
        self._ami = ami
        self._mark = ami.mark()

    async def keys(self, count: int) -> list[tuple[str, str]]:
        pressed: list[tuple[str, str]] = []
        mark = self._mark
        while len(pressed) < count:
            found = await self._ami.wait_for(event("DTMFEnd", Direction="Received"), since=mark)
            mark = self._ami.log.index(found, mark) + 1
            who = found["Channel"].partition("-")[0].removeprefix("PJSIP/")
            pressed.append((who, found["Digit"]))
        return pressed

    async def transfer_begun(self) -> None:
        await self._ami.wait_for(event("MusicOnHoldStart"), since=self._mark)

    async def held(self, now: bool) -> None:
        await self._ami.wait_for(event("Hold" if now else "Unhold"), since=self._mark)

    async def parked(self) -> str:
        return (await self._ami.wait_for(event("ParkedCall"), since=self._mark))["ParkingSpace"]

    async def unparked(self) -> None:
        await self._ami.wait_for(event("UnParkedCall"), since=self._mark)

    async def caller(self) -> tuple[str, str]:
        first = await self._ami.wait_for(event("Newchannel"), since=self._mark)
        return first["CallerIDNum"], first["CallerIDName"]


class TestBed(BedChecks):
    """What every bed does, on Asterisk."""

    kind = "asterisk"

    def witness(self, bed: Bed) -> Witness:
        return AmiWitness(bed.pbx_ami)


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
    witness = AmiWitness(bed.pbx_ami)
    caller = await bed.far.call_in(number, "301", name)
    await (await bed.far.ringing("301")).answer()
    await caller.wait_up()
    seen = await witness.caller()
    assert seen[0] == number_seen
    assert name_seen in seen[1]


async def test_a_number_with_a_line_break_forges_ami_headers(bed: Bed) -> None:
    mark = bed.pbx_ami.mark()
    caller = await bed.far.call_in("a\r\nForged: yes", "301")
    await (await bed.far.ringing("301")).answer()
    await caller.wait_up()
    seen = next(m for m in bed.pbx_ami.since(mark) if m.event == "Newchannel")
    assert (seen["CallerIDNum"], seen["Forged"]) == ("a", "yes")


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
