"""Many calls at once: SIPp as outside callers beyond the trunk, with real RTP."""

# ruff: noqa: ASYNC240 - a small file

from __future__ import annotations

import asyncio
import contextlib
import csv
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

from tests.bed.asterisk import BedError
from tests.bed.pbx_config import PBX_HOST, TRUNK_HOST

SCENARIOS = Path(__file__).with_name("sipp")

TONE_HZ = 500
"""What all these callers talk."""

SETTLE_S = 30
"""How much longer than planned SIPp may take."""


@dataclass(frozen=True, slots=True)
class Load:
    """What became of the calls: how many were placed, and how many went as the scenario says."""

    placed: int
    succeeded: int
    failed: int


async def run(
    scenario: str, to: str, pbx_port: int, folder: Path, *, calls: int, rate: float, talk_ms: int
) -> Load:
    """Place calls from outside and return when they are over.

    The phones must answer by themselves (`FarEnd.answer_by_itself`).

    Args:
        scenario: Name of a file in `tests/bed/sipp`, without `.xml`.
        to: The extension to call.
        pbx_port: The PBX's SIP port.
        folder: A folder for SIPp's own files.
        calls: How many calls in all.
        rate: Calls per second.
        talk_ms: How long each talks.

    Raises:
        BedError: SIPp is missing, or did not end in time.
    """
    program = shutil.which("sipp")
    if program is None:
        raise BedError("there is no sipp here: run docker/get-tools.sh sipp")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tone.ul").write_bytes(ulaw_tone(TONE_HZ))
    statistics = folder / f"{scenario}.csv"
    statistics.unlink(missing_ok=True)
    arguments = [
        *("-sf", str(SCENARIOS / f"{scenario}.xml"), "-s", to),
        *("-i", TRUNK_HOST, "-mi", TRUNK_HOST, "-m", str(calls), "-r", f"{rate:g}"),
        *("-d", str(talk_ms), "-l", str(calls), "-nostdin", "-trace_stat", "-fd", "1"),
        *("-stf", str(statistics), "-trace_err", "-error_file", str(folder / "errors")),
        f"{PBX_HOST}:{pbx_port}",
    ]
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--pdeathsig", "KILL", program),
        *arguments,
        cwd=folder,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(calls / rate + talk_ms / 1000 + SETTLE_S):
            await process.wait()
    except TimeoutError:
        raise BedError(f"sipp did not end in time; its errors are in {folder}/errors") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    return _load(statistics)


def _load(statistics: Path) -> Load:
    with statistics.open(newline="") as lines:
        last = list(csv.DictReader(lines, delimiter=";"))[-1]
    return Load(
        placed=int(last["TotalCallCreated"]),
        succeeded=int(last["SuccessfulCall(C)"]),
        failed=int(last["FailedCall(C)"]),
    )


def ulaw_tone(hz: int, duration_ms: int = 1000) -> bytes:
    """Return a tone as raw G.711 µ-law at 8 kHz.

    Source: ITU-T G.711, table 2a.
    """

    def encode(sample: int) -> int:
        sign = 0x80 if sample < 0 else 0
        magnitude = min(abs(sample), 32635) + 132
        exponent = magnitude.bit_length() - 8
        return ~(sign | exponent << 4 | (magnitude >> (exponent + 3)) & 0x0F) & 0xFF

    return bytes(
        encode(round(7000 * math.sin(2 * math.pi * hz * n / 8000))) for n in range(8 * duration_ms)
    )
