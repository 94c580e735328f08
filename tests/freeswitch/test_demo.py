"""`make demo PBX=freeswitch` succeeds, and leaves nothing behind."""

# ruff: noqa: ASYNC240 - nothing else waits when files are looked at here

from __future__ import annotations

import re
from pathlib import Path

from tests.demo.test_demo import end, start


async def test_it_shows_both_calls(tmp_path: Path) -> None:
    process = await start(tmp_path, "freeswitch")
    said = await end(process)
    assert process.returncode == 0, said
    assert re.search(r"All \d+ checks are good", said)
    assert sorted(file.suffix for file in tmp_path.iterdir()) == [".json", ".wav"]
