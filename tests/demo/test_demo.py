"""`make demo` succeeds, says when something did not happen, and leaves nothing behind."""

# ruff: noqa: ASYNC240 - nothing else waits when files are looked at here

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from tests.bed.bed import PREFIX
from tests.bed.server import REPOSITORY

pytestmark = pytest.mark.asterisk

LONGEST_S = 120


async def start(
    output: Path, pbx: str = "asterisk", **environment: str
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.demo", "--pbx", pbx, "--output", output),
        cwd=REPOSITORY,
        env={**os.environ, **environment},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )


async def end(process: asyncio.subprocess.Process) -> str:
    """Return all that it prints from now on, once it has ended and left nothing behind."""
    said, _ = await asyncio.wait_for(process.communicate(), LONGEST_S)
    mine = f"{PREFIX}{process.pid}-"
    assert not list(Path(tempfile.gettempdir()).glob(f"{mine}*"))
    for command in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert mine.encode() not in command.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
    return said.decode()


async def test_it_shows_both_calls(tmp_path: Path) -> None:
    process = await start(tmp_path)
    said = await end(process)
    assert process.returncode == 0, said
    assert re.search(r"All \d+ checks are good", said)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".wav"]


async def test_it_fails_when_the_pause_does_not_happen(tmp_path: Path) -> None:
    process = await start(tmp_path, CALLREC_KEYS__PAUSE="#7")
    said = await end(process)
    assert process.returncode == 1
    assert "The demonstration failed: 1 recordings paused: not within" in said
    assert "end of pbx's log" in (tmp_path / "failure.log").read_text()


async def test_interrupted_it_leaves_nothing(tmp_path: Path) -> None:
    process = await start(tmp_path)
    assert process.stdout is not None
    async with asyncio.timeout(LONGEST_S):
        while b"hears the announcement" not in await process.stdout.readline():
            pass
    process.send_signal(signal.SIGINT)
    assert "stop everything" in await end(process)
    assert process.returncode == 130


async def test_without_freeswitch_one_line_says_what_to_install(tmp_path: Path) -> None:
    nowhere = {"FREESWITCH_PREFIX": str(tmp_path), "PATH": "/nonexistent"}
    process = await start(tmp_path, "freeswitch", **nowhere)
    said = await end(process)
    assert process.returncode == 2
    assert re.fullmatch(r"no FreeSWITCH in .*: install FreeSWITCH .*\n", said)
