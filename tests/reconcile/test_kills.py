"""SIGKILL at each step between the audio's last byte and the finished row, and a new start.

A longer search: `CALLREC_KILLS=3000 pytest tests/reconcile/test_kills.py`.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.databases import Databases

CHECKOUT = Path(__file__).parents[2]
RANDOM = int(os.environ.get("CALLREC_KILLS", "40"))


def kill(folder: Path, scenario: str, *arguments: str) -> int:
    """Kill there; how often that was. Fails when anything was lost or done twice."""
    command = [sys.executable, "-m", "tests.reconcile.kills", scenario, str(folder / "kills")]
    done = subprocess.run(
        [*command, *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    *problems, summary = done.stdout.splitlines()
    assert problems == []
    return int(json.loads(summary)["kills"])


@pytest.mark.slow
def test_at_every_step_of_a_recording(tmp_path: Path) -> None:
    assert kill(tmp_path, "mixed", "--points", "all", "--stride", "3") > 30


@pytest.mark.slow
def test_at_random_steps_of_any_recording(tmp_path: Path) -> None:
    assert kill(tmp_path, "any", "--points", str(RANDOM), "--seed", "1") > RANDOM // 2


@pytest.mark.slow
def test_with_a_server(tmp_path: Path, databases: Databases) -> None:
    url = databases.postgres.url(databases.migrated_database())
    assert kill(tmp_path, "stereo_opus", "--points", "8", "--seed", "3", "--url", url) > 3
