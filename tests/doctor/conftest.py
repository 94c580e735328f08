"""A real PBX with callrec-pbx set up beside it, and ways to break it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.catalogue import migrate
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.config import load_config
from callrec_pbx.doctor.examine import examine
from callrec_pbx.doctor.finding import Finding, Status
from callrec_pbx.domain.words import Switch
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.people import changing
from callrec_pbx.policy.store import save
from callrec_pbx.setup.apply import apply
from callrec_pbx.setup.asterisk import plan_setup
from tests.acknowledged import switch_on
from tests.bed.asterisk import AsteriskServer
from tests.bed.bed import Bed

VERSION = (22, 10)
RULES = "[[rule]]\nname = 'all'\nmode = 'always'\nconsent = 'opt_out'\n"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a real Asterisk."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "patient" in getattr(
            item, "fixturenames", ()
        ):
            item.add_marker(pytest.mark.asterisk)


@dataclass
class Patient:
    """What the doctor looks at.

    Attributes:
        pbx: The running Asterisk.
        toml: Our configuration file.
    """

    pbx: AsteriskServer
    toml: Path

    async def examine(self) -> dict[str, list[Finding]]:
        """Findings by check."""
        found: dict[str, list[Finding]] = {}
        for finding in await examine(self.toml):
            found.setdefault(finding.check, []).append(finding)
        return found

    async def complaint(self, check: str, status: Status = Status.FAIL) -> Finding:
        """The one finding of a check, which must have that status, and a remedy."""
        findings = (await self.examine())[check]
        assert [finding.status for finding in findings] == [status], findings
        assert findings[0].remedy
        return findings[0]

    def decide(self, policy: str, *, on: bool = True) -> None:
        """Make that text the policy, and switch recording on or off."""
        engine = migrate.open_current(load_config(self.toml).catalogue.url)
        try:
            switch_on(engine)
            with changing(engine, author="test") as changes:
                changes.set(Entity.TENANT, ("default",), {"country": "NO"})
                if not on:
                    changes.switch_recording("default", Switch.OFF_NEW)
            save(engine, parse(policy, "test"), "test")
        finally:
            engine.dispose()

    def edit(self, path: Path, change: Callable[[str], str]) -> None:
        before = path.read_text()
        after = change(before)
        assert after != before
        path.write_text(after)

    async def console(self, command: str) -> str:
        """Run a command that Asterisk does not take over the manager interface."""
        process = await asyncio.create_subprocess_exec(
            self.pbx.cli, "-rx", command, stdout=asyncio.subprocess.PIPE
        )
        return (await process.communicate())[0].decode()

    async def reload(self) -> None:
        for command in ("manager reload", "dialplan reload", "module reload features"):
            await self.pbx.rx(command)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def healthy() -> AsyncIterator[Patient]:
    """The PBX, set up as the manual says; nobody calls."""
    bed = Bed(kind="asterisk")
    bed.prepare()
    pbx = bed.asterisk
    with (pbx.etc / "modules.conf").open("a") as modules:
        modules.write("load = func_config.so\n")
    toml = bed.dir / "callrec" / "callrec.toml"
    toml.parent.mkdir()
    toml.write_text(
        f"[asterisk]\nport = {pbx.ami_port}\nconfig_dir = '{pbx.etc}'\ndata_dir = '{pbx.data}'\n"
        f"trunks = ['trunk']\n[recordings]\ndirectory = '{bed.dir}/spool'\n"
        f"[catalogue]\nurl = 'sqlite:///{bed.dir}/catalogue.db'\n"
    )
    config = load_config(toml)
    apply(plan_setup(config, VERSION))
    migrate.upgrade(config.catalogue.url)
    patient = Patient(pbx, toml)
    patient.decide(RULES)
    await pbx.start()
    try:
        yield patient
    finally:
        await bed.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def patient(healthy: Patient) -> AsyncIterator[Patient]:
    """The same; whatever a test breaks in the configuration is mended after it."""
    folders = (healthy.pbx.etc, healthy.toml.parent)
    kept = {
        path: (path.read_bytes(), path.stat().st_mode)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }
    yield healthy
    for path, (content, mode) in kept.items():
        path.write_bytes(content)
        path.chmod(mode)
    healthy.decide(RULES)
    await healthy.reload()
