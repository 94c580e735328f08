"""Runs commands on a configuration of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import structlog
from typer.testing import CliRunner

from callrec_pbx.cli import app, tell


@dataclass(frozen=True, slots=True)
class Ran:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed for programs."""
        return json.loads(self.out)


@dataclass(frozen=True, slots=True)
class Commands:
    """`callrec-pbx` with a configuration file."""

    config: Path

    def __call__(self, *arguments: str) -> Ran:
        """Run a command as `main` does."""
        # Logging is set up once for a process; here it would outlive the test.
        with patch("callrec_pbx.log.configure"), structlog.testing.capture_logs():
            result = CliRunner().invoke(app, ["--config", str(self.config), *arguments])
        status, err = result.exit_code, result.stderr
        if isinstance(result.exception, Exception) and not isinstance(result.exception, SystemExit):
            status = tell(result.exception)
            err += str(result.exception)
        return Ran(status, result.stdout, err)

    def process(self, *arguments: str) -> Ran:
        """Run a command in a process of its own."""
        command = [sys.executable, "-m", "callrec_pbx.cli", "--config", str(self.config)]
        result = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, check=False, timeout=60
        )
        return Ran(result.returncode, result.stdout, result.stderr)


def configured(folder: Path, url: str, directory: Path, more: str = "") -> Commands:
    """A configuration that names that catalogue and that recordings directory."""
    (folder / "asterisk.secret").write_text("a-long-random-word-for-tests\n")
    path = folder / "callrec.toml"
    path.write_text(
        f'[recordings]\ndirectory = "{directory}"\n[catalogue]\nurl = "{url}"\n{more}\n'
    )
    return Commands(path)
