"""pydub comes in without a warning, even where warnings are errors and nothing is compiled yet."""

import os
import subprocess
import sys
from pathlib import Path


def test_no_warning_on_a_fresh_import(tmp_path: Path) -> None:
    program = "import callrec_pbx.audio.convert"
    environment = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path), "PATH": "/nonexistent"}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_reading_a_manifest_loads_no_sound_library() -> None:
    program = (
        "import sys, callrec_pbx.audio.prompts;"
        "print([m for m in ('numpy', 'soxr', 'pydub') if m in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "[]"
