"""The doctor at a real FreeSWITCH: content with a sound one, and right about each ailment.

What a sound FreeSWITCH cannot be made to answer is in tests/doctor/test_freeswitch.py.
"""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.catalogue import migrate
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.config import load_config
from callrec_pbx.doctor import access
from callrec_pbx.doctor.examine import examine
from callrec_pbx.doctor.finding import Finding, Status
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.people import changing
from callrec_pbx.policy.store import save
from callrec_pbx.setup.apply import apply
from callrec_pbx.setup.freeswitch import plan_setup
from tests.acknowledged import switch_on
from tests.bed.bed import Bed
from tests.bed.freeswitch import FreeSwitchServer
from tests.bed.pbx_config import PbxOptions

RULES = "[[rule]]\nname = 'all'\nmode = 'always'\nconsent = 'opt_out'\n"
STRANGER = access.User(4321, frozenset({4321}), "stranger")


@dataclass
class Patient:
    """What the doctor looks at.

    Attributes:
        pbx: The running FreeSWITCH.
        toml: Our configuration file.
    """

    pbx: FreeSwitchServer
    toml: Path

    @property
    def public(self) -> Path:
        """The dialplan of calls from outside."""
        return self.pbx.etc / "dialplan" / "public.xml"

    @property
    def event_socket(self) -> Path:
        return self.pbx.etc / "autoload_configs" / "event_socket.conf.xml"

    async def ailments(self) -> list[Finding]:
        """What the doctor finds that is not as it should be."""
        return [one for one in await examine(self.toml) if one.status is not Status.OK]

    async def ailment(self, check: str, status: Status = Status.FAIL) -> Finding:
        """The one thing that the doctor finds, which must be of that check and have a remedy."""
        found = await self.ailments()
        assert [(one.check, one.status) for one in found] == [(check, status)], found
        assert found[0].remedy
        return found[0]

    def edit(self, path: Path, change: Callable[[str], str]) -> None:
        before = path.read_text()
        after = change(before)
        assert after != before
        path.write_text(after)

    async def redial(self, change: Callable[[str], str]) -> None:
        """Change the dialplan of calls from outside, and have it read."""
        self.edit(self.public, change)
        await self.pbx.rx("reloadxml")

    async def beat(self) -> None:
        """Do as a listener does each second, for as long as a test may take."""
        await self.pbx.rx(f"global_setvar callrec_heartbeat={int(time.time()) + 60}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def healthy() -> AsyncIterator[Patient]:
    """The PBX, set up as the manual says; nobody calls."""
    bed = Bed(PbxOptions(callrec=True), kind="freeswitch")
    bed.prepare()
    pbx = bed.freeswitch
    toml = bed.dir / "callrec" / "callrec.toml"
    toml.parent.mkdir()
    toml.write_text(
        f"pbx = 'freeswitch'\n[freeswitch]\nport = {pbx.esl_port}\nconfig_dir = '{pbx.etc}'\n"
        f"scripts_dir = '{pbx.scripts}'\nsounds_dir = '{pbx.sounds}'\ntrunks = ['trunk']\n"
        f"[recordings]\ndirectory = '{bed.dir}/spool'\n"
        f"[catalogue]\nurl = 'sqlite:///{bed.dir}/catalogue.db'\n"
    )
    config = load_config(toml)
    apply(plan_setup(config, secure_event_socket=True))
    migrate.upgrade(config.catalogue.url)
    engine = migrate.open_current(config.catalogue.url)
    try:
        switch_on(engine)
        with changing(engine, author="test") as changes:
            changes.set(Entity.TENANT, ("default",), {"country": "NO"})
        save(engine, parse(RULES, "test"), "test")
    finally:
        engine.dispose()
    await pbx.start()
    try:
        yield Patient(pbx, toml)
    finally:
        await bed.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def patient(healthy: Patient) -> AsyncIterator[Patient]:
    """The same; whatever a test breaks in the files is mended after it."""
    folders = (healthy.pbx.etc, healthy.pbx.scripts, healthy.toml.parent)
    kept = {
        path: (path.read_bytes(), path.stat().st_mode)
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file()
    }
    await healthy.beat()
    yield healthy
    for path, (content, mode) in kept.items():
        path.write_bytes(content)
        path.chmod(mode)
    await healthy.pbx.rx("reloadxml")


async def test_a_sound_set_up(patient: Patient) -> None:
    found = await examine(patient.toml)
    assert [one for one in found if one.status is not Status.OK] == []
    assert {one.check for one in found} == {
        *("config", "catalogue", "policy", "disk", "prompts", "follow_up", "catalogue_check"),
        *("esl", "esl_security", "version", "modules", "recorder", "scripts", "dialplan", "keys"),
        *("key_clash", "spool", "prompt_access", "trunks", "clock", "heartbeat"),
    }


async def test_nothing_is_left_of_what_it_tries(patient: Patient) -> None:
    files = set(patient.pbx.base.rglob("*"))
    await examine(patient.toml)
    assert list(load_config(patient.toml).recordings.directory.iterdir()) == []
    assert set(patient.pbx.base.rglob("*")) - files == set()


async def test_no_password(patient: Patient) -> None:
    (patient.toml.parent / "freeswitch.password").unlink()
    assert "setup freeswitch" in (await patient.ailment("config")).remedy


async def test_a_password_for_everybody(patient: Patient) -> None:
    (patient.toml.parent / "freeswitch.password").chmod(0o644)
    assert "chmod 640" in (await patient.ailment("config", Status.WARN)).remedy


async def test_a_wrong_password(patient: Patient) -> None:
    (patient.toml.parent / "freeswitch.password").write_text("quite-wrong\n")
    found = await patient.ailment("esl")
    assert "does not let us in" in found.seen
    assert str(patient.event_socket) in found.remedy


async def test_nobody_listens(patient: Patient) -> None:
    port = f"port = {patient.pbx.esl_port}"
    patient.edit(patient.toml, lambda text: text.replace(port, "port = 1"))
    assert "127.0.0.1:1" in (await patient.ailment("esl")).seen


async def test_a_frozen_freeswitch_does_not_hold_the_doctor_up(patient: Patient) -> None:
    """The kernel accepts the connection, and nobody ever says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        patient.edit(
            patient.toml,
            lambda text: text.replace(
                f"port = {patient.pbx.esl_port}", f"port = {port}\nconnect_timeout_s = 0.2"
            ),
        )
        assert "0.2 s" in (await patient.ailment("esl")).seen


async def test_an_event_socket_that_everybody_can_read_about(patient: Patient) -> None:
    patient.event_socket.chmod(0o644)
    found = await patient.ailment("esl_security", Status.WARN)
    assert str(patient.event_socket) in found.seen


async def test_a_password_that_everybody_knows_is_loaded(patient: Patient) -> None:
    """As FreeSWITCH would take it with its next start."""
    password = patient.pbx.esl_password
    patient.edit(patient.event_socket, lambda text: text.replace(password, "ClueCon"))
    await patient.pbx.rx("reloadxml")
    assert "--secure-event-socket" in (await patient.ailment("esl_security")).remedy


async def test_a_module_that_is_not_loaded(patient: Patient) -> None:
    for name in ("mod_local_stream", "mod_sndfile"):  # the first uses the second
        await patient.pbx.rx(f"unload {name}")
    try:
        found = await patient.ailment("modules")
        assert "mod_sndfile" in found.seen
        assert "modules.conf.xml" in found.remedy
    finally:
        for name in ("mod_sndfile", "mod_local_stream"):
            await patient.pbx.rx(f"load {name}")


async def test_scripts_that_are_missing(patient: Patient) -> None:
    (patient.pbx.scripts / "callrec_offer.lua").unlink()
    assert "callrec_offer.lua" in (await patient.ailment("scripts")).seen


async def test_scripts_that_are_somewhere_else(patient: Patient, tmp_path: Path) -> None:
    for path in patient.pbx.scripts.glob("*.lua"):
        shutil.move(path, tmp_path / path.name)
    patient.edit(
        patient.toml, lambda text: text.replace(f"'{patient.pbx.scripts}'", f"'{tmp_path}'")
    )
    found = await patient.ailment("scripts")
    assert f"they are in {tmp_path}" in found.seen
    assert f"set freeswitch.scripts_dir to {patient.pbx.scripts}" in found.remedy


async def test_scripts_that_setup_would_put_elsewhere(patient: Patient, tmp_path: Path) -> None:
    """FreeSWITCH goes on with the ones that it had."""
    patient.edit(
        patient.toml, lambda text: text.replace(f"'{patient.pbx.scripts}'", f"'{tmp_path}'")
    )
    found = await patient.ailment("scripts", Status.WARN)
    assert f"freeswitch.scripts_dir is {tmp_path}" in found.seen
    assert f"set freeswitch.scripts_dir to {patient.pbx.scripts}" in found.remedy


async def test_scripts_by_another_path(patient: Patient, tmp_path: Path) -> None:
    (tmp_path / "scripts").symlink_to(patient.pbx.scripts)
    patient.edit(
        patient.toml, lambda text: text.replace(f"'{patient.pbx.scripts}'", f"'{tmp_path}/scripts'")
    )
    assert "setup would change" in (await patient.ailment("scripts", Status.WARN)).seen


async def test_a_script_that_was_changed(patient: Patient) -> None:
    with (patient.pbx.scripts / "callrec_voicemail.lua").open("a") as script:
        script.write("-- mine\n")
    found = await patient.ailment("scripts", Status.WARN)
    assert "callrec_voicemail.lua" in found.seen


async def test_a_script_that_is_out_of_date(patient: Patient) -> None:
    patient.edit(patient.toml, lambda text: text + "[offer]\nwait_ms = 300\n")
    assert "callrec_common.lua" in (await patient.ailment("scripts", Status.WARN)).seen


async def test_a_script_with_an_error(patient: Patient) -> None:
    patient.edit(patient.pbx.scripts / "callrec_key.lua", lambda text: f"{text}\nif then\n")
    assert "callrec_key.lua" in (await patient.ailment("scripts")).seen


async def test_a_script_that_breaks(patient: Patient) -> None:
    """It can be read, and the first line of it fails."""
    common = patient.pbx.scripts / "callrec_common.lua"
    patient.edit(common, lambda text: f"nothing.at_all()\n{text}")
    assert "does not run" in (await patient.ailment("scripts")).seen


async def test_keys_that_were_changed_without_setup(patient: Patient) -> None:
    patient.edit(patient.toml, lambda text: text + "[keys]\npause = '#4'\n")
    found = {one.check: one for one in await patient.ailments()}
    assert set(found) == {"scripts", "keys"}
    assert "pause is #1" in found["keys"].seen


async def test_calls_that_are_not_offered(patient: Patient) -> None:
    for path in patient.pbx.etc.glob("dialplan/*.xml"):
        path.write_text(path.read_text().replace("callrec_offer.lua", "other.lua"))
    await patient.pbx.rx("reloadxml")
    found = await patient.ailment("dialplan", Status.WARN)
    assert 'data="callrec_offer.lua inbound 301 301"' in found.remedy


async def test_codes_that_cannot_be_dialled(patient: Patient) -> None:
    file = patient.pbx.etc / "dialplan" / "default" / "callrec.xml"
    patient.edit(file, lambda text: text.replace("callrec_profile.lua", "other.lua"))
    await patient.pbx.rx("reloadxml")
    found = {one.check: one for one in await patient.ailments()}
    assert set(found) == {"scripts", "dialplan"}
    assert "codes of profiles" in found["dialplan"].seen


@pytest.mark.parametrize(
    "line",
    [
        '<action application="set" data="recording_follow_transfer=true"/>',
        '<action application="export" data="nolocal:recording_follow_attxfer=yes"/>',
        '<action application="multiset" data="^^:a=b:recording_follow_transfer=true"/>',
    ],
)
async def test_recordings_that_would_leave_their_leg(patient: Patient, line: str) -> None:
    await patient.redial(lambda text: text.replace("<action ", f"{line}\n<action ", 1))
    assert "recording_follow" in (await patient.ailment("dialplan", Status.WARN)).seen


async def test_arguments_that_a_caller_can_fill(patient: Patient) -> None:
    await patient.redial(
        lambda text: text.replace("inbound $1 $1", "inbound $1 ${caller_id_number}", 1)
    )
    found = await patient.ailment("dialplan")
    assert "${caller_id_number}" in found.seen
    assert "dialled" in found.remedy


async def test_audio_that_does_not_pass_through(patient: Patient) -> None:
    line = '<action application="set" data="bypass_media=true"/>'
    await patient.redial(lambda text: text.replace("<action ", f"{line}\n<action ", 1))
    assert "bypass_media" in (await patient.ailment("dialplan", Status.WARN)).seen


async def test_attended_transfers_that_take_recordings_along(patient: Patient) -> None:
    """The leg that transfers decides for the other one, so what is set for all calls counts."""
    await patient.pbx.rx("global_setvar recording_follow_attxfer=true")
    await patient.pbx.rx("global_setvar recording_follow_transfer=true")
    try:
        found = await patient.ailment("dialplan", Status.WARN)
        assert "vars.xml sets recording_follow_attxfer" in found.seen
        assert "recording_follow_transfer" not in found.seen
    finally:
        await patient.pbx.rx("global_setvar recording_follow_attxfer=")
        await patient.pbx.rx("global_setvar recording_follow_transfer=")


@pytest.mark.parametrize(
    ("lines", "part"),
    [
        ("bind_digit_action own,#1,exec:hangup", "in realm own"),
        ("bind_digit_action callrec,#1,exec:hangup", "#1 (bind_digit_action)"),
        ("bind_digit_action callrec,#,exec:hangup", "the key #9 (discard)"),
        ("bind_digit_action callrec,~^#\\d$,exec:hangup", "the key #1 (pause)"),
        ("set callrec_realm=own|bind_digit_action own,#22,exec:hangup", "the key #2 (start)"),
        ("set bind_meta_key=#|bind_meta_app 7 a s hangup::", "#7 (bind_meta_app)"),
    ],
)
async def test_digits_that_get_into_the_way(patient: Patient, lines: str, part: str) -> None:
    added = "".join(
        f'<action application="{one.partition(" ")[0]}" data="{one.partition(" ")[2]}"/>\n'
        for one in lines.split("|")
    )
    await patient.redial(lambda text: text.replace("<action ", f"{added}<action ", 1))
    found = await patient.ailments()
    assert {(one.check, one.status) for one in found} == {("key_clash", Status.WARN)}, found
    assert any(part in one.seen for one in found), found


async def test_digits_that_do_not(patient: Patient) -> None:
    added = (
        '<action application="set" data="callrec_realm=own"/>\n'
        '<action application="bind_digit_action" data="own,*1,exec:hangup"/>\n'
        '<action application="bind_meta_app" data="1 ab s hangup::"/>\n'
    )
    await patient.redial(lambda text: text.replace("<action ", f"{added}<action ", 1))
    assert await patient.ailments() == []


async def test_no_spool(patient: Patient) -> None:
    patient.edit(patient.toml, lambda text: text.replace("/spool'", "/nowhere'"))
    assert "no such folder" in (await patient.ailment("spool")).seen


async def test_a_spool_that_freeswitch_does_not_see(patient: Patient, tmp_path: Path) -> None:
    patient.edit(
        patient.toml,
        lambda text: text.replace(
            "[recordings]\n", f"[recordings]\npbx_directory = '{tmp_path}'\n"
        ),
    )
    assert "pbx_directory" in (await patient.ailment("spool")).remedy


async def test_a_spool_that_freeswitch_may_not_write(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The bed runs as root, who may do everything: as if it were somebody else."""
    monkeypatch.setattr(access, "listening_user", lambda _port: STRANGER)
    found = await patient.ailment("spool")
    assert "stranger may not write" in found.seen
    assert "chown stranger" in found.remedy


async def test_prompts_that_freeswitch_may_not_read(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = patient.pbx.sounds / "callrec" / "en" / "whisper.wav"
    file.chmod(0o640)
    spool = load_config(patient.toml).recordings.directory
    mode = spool.stat().st_mode
    spool.chmod(0o777)
    monkeypatch.setattr(access, "listening_user", lambda _port: STRANGER)
    try:
        assert str(file) in (await patient.ailment("prompt_access")).seen
    finally:
        file.chmod(0o644)
        spool.chmod(mode)


async def test_a_prompt_that_is_missing(patient: Patient) -> None:
    file = patient.pbx.sounds / "callrec" / "en" / "announce_opt_out.wav"
    content = file.read_bytes()
    file.unlink()
    try:
        found = await patient.ailment("prompts")
        assert "announce_opt_out.wav" in found.seen
        assert "setup freeswitch" in found.remedy
    finally:
        file.write_bytes(content)


async def test_trunks_that_nothing_is_like(patient: Patient) -> None:
    patient.edit(patient.toml, lambda text: text.replace("['trunk']", "['provider*']"))
    found = await patient.ailment("trunks")
    assert "provider*" in found.seen
    assert "gateways are trunk, profiles external, internal" in found.remedy
    patient.edit(patient.toml, lambda text: text.replace("['prov", "['trunk', 'prov"))
    assert "provider*" in (await patient.ailment("trunks", Status.WARN)).seen
    patient.edit(patient.toml, lambda text: text.replace("['trunk', 'provider*", "['*ternal"))
    assert "no phone is a line" in (await patient.ailment("trunks", Status.WARN)).seen


async def test_a_clock_that_is_wrong(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr("callrec_pbx.doctor.freeswitch.state.time.time", lambda: real() - 90)
    assert "90" in (await patient.ailment("clock", Status.WARN)).seen


async def test_no_listener(patient: Patient) -> None:
    await patient.pbx.rx("global_setvar callrec_heartbeat=1")
    assert "last heard of" in (await patient.ailment("heartbeat", Status.WARN)).seen
    await patient.pbx.rx("global_setvar callrec_heartbeat=")
    assert "never" in (await patient.ailment("heartbeat", Status.WARN)).seen
