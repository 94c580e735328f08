"""What few commands need is loaded by those alone: loading is most of what they wait for."""

from __future__ import annotations

import subprocess
import sys

from callrec_pbx.cli import COMMANDS

SLOW = {"alembic", "apscheduler", "holidays", "numpy", "panoramisk", "phonenumbers.geocoder"}

ASTERISK = {"setup", "doctor"}
"""They talk to Asterisk, or write down what the listener says to it."""


def loaded_with(commands: set[str]) -> set[str]:
    """The modules that are there when those commands are."""
    modules = ", ".join(sorted({COMMANDS[name].partition(":")[0] for name in commands}))
    script = f"import sys, {modules}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    return set(done.stdout.decode().split())


def test_commands_do_not_load_what_few_of_them_need() -> None:
    assert SLOW & loaded_with(set(COMMANDS) - ASTERISK) == set()
    assert SLOW & loaded_with(ASTERISK) <= {"panoramisk"}
