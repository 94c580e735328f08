"""The page with the states is what the tables say."""

import subprocess
import sys
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_is_up_to_date() -> None:
    done = subprocess.run([sys.executable, DOCS / "generate_states.py", "--check"], check=False)
    assert done.returncode == 0, "run: python docs/generate_states.py"
