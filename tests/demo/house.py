"""A PBX, its far end, and callrec-pbx installed beside it and running."""

# ruff: noqa: ASYNC221 - nothing else waits meanwhile

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.calls.listener import Listener
from tests.calls.on_asterisk import AsteriskHouse
from tests.calls.on_freeswitch import FreeSwitchHouse
from tests.demo.screen import Screen

LANGUAGE = "en"

ASTERISK = """\
port = {pbx.ami_port}
trunks = ["trunk"]
config_dir = "{pbx.etc}"
data_dir = "{pbx.data}"
"""

FREESWITCH = """\
port = {pbx.esl_port}
trunks = ["trunk", "external"]
config_dir = "{pbx.etc}"
scripts_dir = "{pbx.scripts}"
sounds_dir = "{pbx.sounds}"
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """What differs from PBX to PBX.

    Attributes:
        house: The PBX and its far end.
        section: Its section of the configuration.
        version: Arguments of its command line that show its version.
        console: Arguments of its command line that open its console.
        program: The option by which `setup` is told of the command line.
        protocol: What the listener speaks with it.
    """

    house: type[AsteriskHouse | FreeSwitchHouse]
    section: str
    version: tuple[str, ...]
    console: str
    program: str
    protocol: str


KINDS = {
    "asterisk": Kind(AsteriskHouse, ASTERISK, ("-V",), " -rvvv", "--asterisk", "AMI"),
    "freeswitch": Kind(FreeSwitchHouse, FREESWITCH, ("-x", "version"), "", "--fs-cli", "ESL"),
}

SECTIONS = """\
pbx = "{name}"

[{name}]
{pbx}
[recordings]
directory = "{recordings}"
min_free_mb = 1

[catalogue]
url = "sqlite:///{catalogue}"

"""

POLICY = """\
[[tenant]]
name = "default"
retention = "90 days"

[[rule]]
name = "calls-from-outside"
direction = "inbound"
mode = "always_pausable"
consent = "opt_out"

[[rule]]
name = "calls-to-outside"
direction = "outbound"
mode = "always_pausable"
consent = "announce"
"""


class House:
    """Everything that a call needs, as an administrator sets it up.

    Use as an async context manager; nothing of it is left afterwards.

    Attributes:
        name: The PBX's name in the configuration.
        kind: What is so with this PBX alone.
        calls: The PBX and its far end, as the scenarios know them.
        bed: The same as a bed.
        listener: callrec-pbx.
    """

    def __init__(self, screen: Screen, pbx: str = "asterisk") -> None:
        self.screen = screen
        self.name = pbx
        self.kind = KINDS[pbx]
        self.calls = self.kind.house()
        self.bed = self.calls.bed
        self.listener = Listener(self.calls, self.calls.dir / "callrec")

    async def __aenter__(self) -> Self:
        """Start and install; whatever goes wrong, nothing stays behind."""
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop everything and remove its files."""
        with self.screen.step("stop everything"):
            await self._stop()

    async def _start(self) -> None:
        screen, pbx, cli = self.screen, self.bed.pbx, self.listener.cli
        with screen.step("start a PBX, and an Asterisk as the far end") as note:
            await self.bed.start()
            said = subprocess.check_output([pbx.cli, *self.kind.version], text=True)
            note(said.partition("+git")[0].strip())
        self._configure()
        with screen.step(f"callrec-pbx setup {self.name} --yes --reload") as note:
            setup = ("setup", self.name, "--yes", "--reload", self.kind.program, str(pbx.cli))
            actions = [change["action"] for change in json.loads(cli(*setup, "--json"))["changes"]]
            made, changed = actions.count("create"), actions.count("change")
            note(f"{made} files put in place, {changed} of the PBX's own changed")
        with screen.step("callrec-pbx migrate") as note:
            note(cli("migrate").strip())
        with screen.step("callrec-pbx tenant acknowledge, tenant recording on"):
            cli("tenant", "set", "default", "--country", "GB")
            known = json.loads(cli("tenant", "acknowledge", "--show", "--json"))
            version = known["text_version"]
            cli(
                "tenant",
                "acknowledge",
                "--who",
                "Demo <demo@example.com>",
                "--text-version",
                version,
            )
            cli("tenant", "recording", "on")
        with screen.step("callrec-pbx policy apply") as note:
            policy = self.listener.folder / "policy.toml"
            policy.write_text(POLICY)
            cli("policy", "apply", str(policy), "--comment", "the demo's rules")
            checked = cli("policy", "check").splitlines()[0]
            note(f"{POLICY.count('[[rule]]')} rules; {checked}")
        with screen.step("callrec-pbx run"):
            await self.listener.up()
        with screen.step("callrec-pbx doctor"):
            self.report = cli("doctor")

    def _configure(self) -> None:
        listener = self.listener
        listener.folder.mkdir()
        listener.config.write_text(
            SECTIONS.format(
                name=self.name,
                pbx=self.kind.section.format(pbx=self.bed.pbx),
                recordings=listener.recordings,
                catalogue=listener.catalogue,
            )
        )

    async def _stop(self) -> None:
        try:
            self.listener.stop()
        finally:
            await self.bed.stop()

    def prompt(self, name: str) -> Path:
        """Return the audio of a prompt as the PBX plays it."""
        return self.calls.sounds / LANGUAGE / f"{name}.wav"

    def command(self, *arguments: str) -> str:
        """Return the command line that runs a command of ours against this house."""
        program = Path(os.environ.get("VIRTUAL_ENV", ".venv")) / "bin" / "callrec-pbx"
        return " ".join([str(program), "--config", str(self.listener.config), *arguments])
