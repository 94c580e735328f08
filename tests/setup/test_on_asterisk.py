"""What a real Asterisk makes of what setup puts in place."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.config import load_config
from callrec_pbx.setup.apply import apply
from callrec_pbx.setup.asterisk import asterisk_version, plan_setup
from callrec_pbx.setup.reload import reload_asterisk
from callrec_pbx.setup.undo import plan_undo
from tests.bed.ami import Ami, event
from tests.bed.asterisk import AsteriskServer
from tests.bed.bed import Bed

pytestmark = pytest.mark.asterisk

EVENTS = (
    "[probe]\nexten => s,1,UserEvent(CallrecOffer,Offer: x)\n same => n,UserEvent(Other,a: b)\n"
    " same => n,UserEvent(CallrecEnd)\n same => n,Hangup()\n"
    "exten => w,1,Answer()\n same => n,Wait(5)\n"
)


@dataclass
class Running:
    """A running Asterisk, and a configuration of ours for it."""

    pbx: AsteriskServer
    toml: Path

    def set_up(self, version: tuple[int, int] | None) -> None:
        apply(plan_setup(load_config(self.toml), version))

    async def reload(self) -> list[tuple[str, str]]:
        return await asyncio.to_thread(reload_asterisk, str(self.pbx.cli))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def running() -> AsyncIterator[Running]:
    bed = Bed()
    bed.prepare()
    toml = bed.dir / "callrec.toml"
    toml.write_text(
        f"[asterisk]\nport = {bed.asterisk.ami_port}\nconfig_dir = '{bed.pbx.etc}'\n"
        f"data_dir = '{bed.asterisk.data}'\n[recordings]\ndirectory = '{bed.dir}/spool'\n"
    )
    with (bed.pbx.etc / "extensions.conf").open("a") as extensions:
        extensions.write(EVENTS)
    await bed.pbx.start()
    try:
        yield Running(bed.asterisk, toml)
    finally:
        await bed.stop()


async def test_the_programs_version(running: Running) -> None:
    version = await asyncio.to_thread(asterisk_version, str(running.pbx.cli))
    assert version is not None
    assert version >= (16, 0)


@pytest.mark.parametrize("version", [(16, 28), (22, 10)])
async def test_asterisk_reads_it_and_sends_what_is_wanted_only(
    running: Running, version: tuple[int, int]
) -> None:
    known = await asyncio.to_thread(asterisk_version, str(running.pbx.cli))
    if known is None or known < version:
        pytest.skip(f"this Asterisk is {known}")
    running.set_up(version)
    log = running.pbx.log_text()
    said = await running.reload()
    assert [command for command, _ in said] == [
        "manager reload",
        "dialplan reload",
        "module reload features",
    ]
    new = running.pbx.log_text()[len(log) :]
    assert [line for line in new.splitlines() if "WARNING" in line or "ERROR" in line] == []
    features = [line.split() for line in (await running.pbx.rx("features show")).splitlines()]
    assert ["callrec-pause", "no", "def", "#1"] in features
    assert "callrec-offer" in await running.pbx.rx("dialplan show callrec-offer")
    config = load_config(running.toml)
    ami = await Ami.connect(
        running.pbx.ami_port, "callrec", config.asterisk.secret.get_secret_value()
    )
    try:
        await running.pbx.ami.action(
            "Originate",
            Channel="Local/w@probe",
            Context="probe",
            Exten="s",
            Priority="1",
            Async_="true",
        )
        await ami.wait_for(event("UserEvent", UserEvent="CallrecEnd"), since=0)
        await ami.wait_for(lambda message: message.event == "Hangup", since=0)
        seen = {message.event for message in ami.log}
        assert seen <= {"FullyBooted", "Newchannel", "Hangup", "UserEvent"}
        assert "FullyBooted" in seen
        users = [message["UserEvent"] for message in ami.log if message.event == "UserEvent"]
        assert users == ["CallrecOffer", "CallrecEnd"]
    finally:
        await ami.close()


async def test_after_undo_asterisk_knows_nothing_of_it(running: Running) -> None:
    etc = {path: path.read_bytes() for path in running.pbx.etc.glob("*.conf")}
    fresh = not (running.pbx.etc / "callrec").exists()
    running.set_up((22, 10))
    await running.reload()
    apply(plan_undo(load_config(running.toml)))
    await running.reload()
    assert "callrec" not in await running.pbx.rx("features show")
    assert "There is no existence" in await running.pbx.rx("dialplan show callrec-offer")
    assert "callrec" not in await running.pbx.rx("manager show users")
    if fresh:
        assert {path: path.read_bytes() for path in etc} == etc
