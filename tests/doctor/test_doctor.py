"""The doctor at a real Asterisk: content with a sound one, and right about each ailment."""

from __future__ import annotations

import shutil
import socket
import sqlite3
import time
from pathlib import Path

import pytest

from callrec_pbx.catalogue import migrate
from callrec_pbx.config import load_config
from callrec_pbx.doctor import access
from callrec_pbx.doctor.examine import examine
from callrec_pbx.doctor.finding import Status
from tests.doctor.conftest import RULES, Patient


async def test_a_sound_set_up(patient: Patient) -> None:
    await patient.pbx.rx(f"dialplan set global CALLREC_HEARTBEAT {int(time.time())}")
    found = await patient.examine()
    ill = [f for findings in found.values() for f in findings if f.status is not Status.OK]
    assert ill == []
    assert set(found) == {
        *("config", "catalogue", "policy", "disk", "prompts", "ami", "ami_rights", "ami_events"),
        *("ami_timestamps", "recorder", "modules", "dialplan", "keys", "key_clash", "spool"),
        *("prompt_access", "trunks", "clock", "heartbeat", "follow_up", "catalogue_check"),
    }


async def test_no_configuration(tmp_path: Path) -> None:
    (finding,) = await examine(tmp_path / "none.toml")
    assert (finding.check, finding.status) == ("config", Status.FAIL)
    assert "none.toml" in finding.seen


async def test_no_secret(patient: Patient) -> None:
    secret = patient.toml.parent / "asterisk.secret"
    kept = secret.read_text()
    secret.unlink()
    try:
        assert "setup asterisk" in (await patient.complaint("config")).remedy
    finally:
        secret.write_text(kept)


async def test_a_secret_for_everybody(patient: Patient) -> None:
    (patient.toml.parent / "asterisk.secret").chmod(0o644)
    finding = await patient.complaint("config", Status.WARN)
    assert "chmod 640" in finding.remedy


async def test_a_wrong_secret(patient: Patient) -> None:
    (patient.toml.parent / "asterisk.secret").write_text("quite-wrong\n")
    assert "refuses the user callrec" in (await patient.complaint("ami")).seen


async def test_nobody_listens(patient: Patient) -> None:
    patient.edit(patient.toml, lambda text: text.replace(str(patient.pbx.ami_port), "1"))
    assert "127.0.0.1:1" in (await patient.complaint("ami")).seen


async def test_no_rules(patient: Patient) -> None:
    patient.decide("")
    assert "policy apply" in (await patient.complaint("policy", Status.WARN)).remedy


async def test_recording_is_off(patient: Patient) -> None:
    patient.decide(RULES, on=False)
    assert "recording on" in (await patient.complaint("policy", Status.WARN)).remedy


async def test_a_rule_that_is_never_reached(patient: Patient) -> None:
    patient.decide(RULES + "[[rule]]\nname = 'late'\nline = '1'\nmode = 'never'\n")
    findings = (await patient.examine())["policy"]
    assert any("late" in finding.seen for finding in findings), findings


async def test_a_missing_and_a_stale_schema(patient: Patient, tmp_path: Path) -> None:
    url = load_config(patient.toml).catalogue.url
    other = f"sqlite:///{tmp_path}/other.db"
    patient.edit(patient.toml, lambda text: text.replace(url, other))
    assert "missing" in (await patient.complaint("catalogue")).seen
    migrate.upgrade(other)
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0000'")
    database.close()
    finding = await patient.complaint("catalogue")
    assert "0000" in finding.seen
    assert "callrec-pbx migrate" in finding.remedy


async def test_a_full_disk(patient: Patient) -> None:
    free_mb = shutil.disk_usage(patient.toml).free >> 20

    def least(number: int) -> None:
        patient.edit(
            patient.toml,
            lambda text: (
                text.partition("[recordings]")[0]
                + f"[recordings]\nmin_free_mb = {number}\n"
                + text.partition("[recordings]\n")[2].partition("\nmin")[0]
            ),
        )

    least(free_mb + 1_000_000)
    await patient.complaint("disk")
    patient.edit(
        patient.toml, lambda text: text.replace(f"{free_mb + 1_000_000}", f"{free_mb // 2}")
    )
    await patient.complaint("disk", Status.WARN)


async def test_a_prompt_missing_or_altered(patient: Patient) -> None:
    file = patient.pbx.data / "sounds" / "callrec" / "en" / "announce_opt_out.wav"
    kept = file.read_bytes()
    try:
        file.unlink()
        assert "announce_opt_out.wav" in (await patient.complaint("prompts")).seen
        file.write_bytes(kept[:-2])
        assert "differs" in (await patient.complaint("prompts")).seen
    finally:
        file.write_bytes(kept)


async def test_a_prompt_that_rules_need(patient: Patient) -> None:
    sounds = patient.pbx.data / "sounds" / "callrec"
    manifest = (sounds / "manifest.json").read_text()
    files = {path: path.read_bytes() for path in sounds.glob("*/announce_opt_out.wav*")}
    try:
        for path in files:
            path.unlink()
        (sounds / "manifest.json").write_text(
            manifest.replace('"name": "announce_opt_out"', '"name": "announce_other"')
        )
        for path, content in files.items():
            path.with_name(path.name.replace("opt_out", "other")).write_bytes(content)
        findings = (await patient.examine())["policy"]
        assert any("announce_opt_out" in finding.seen for finding in findings), findings
    finally:
        (sounds / "manifest.json").write_text(manifest)
        for path, content in files.items():
            path.write_bytes(content)
            path.with_name(path.name.replace("opt_out", "other")).unlink()


async def test_prompts_that_the_pbx_does_not_see(patient: Patient) -> None:
    mark = patient.pbx.data / "sounds" / "callrec" / "callrec.conf"
    kept = mark.read_bytes()
    mark.write_bytes(b"")
    try:
        assert "does not see" in (await patient.complaint("prompt_access")).seen
    finally:
        mark.write_bytes(kept)


async def test_prompts_that_the_pbx_may_not_read(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = patient.pbx.data / "sounds" / "callrec" / "en" / "whisper.wav"
    stranger = access.User(4321, frozenset({4321}), "stranger")
    monkeypatch.setattr(access, "listening_user", lambda _port: stranger)
    file.chmod(0o640)
    try:
        assert str(file) in (await patient.complaint("prompt_access")).seen
    finally:
        file.chmod(0o644)


@pytest.mark.parametrize("right", ["call", "system", "reporting"])
async def test_rights_that_are_missing(patient: Patient, right: str) -> None:
    rights = {"call", "system", "reporting"} - {right}
    patient.edit(
        patient.pbx.etc / "callrec" / "manager.conf",
        lambda text: text.replace(
            "write = system,call,reporting", f"write = {','.join(sorted(rights))}"
        ),
    )
    await patient.reload()
    assert f"rights: {right}" in (await patient.complaint("ami_rights")).seen


async def test_rights_that_are_too_many(patient: Patient) -> None:
    patient.edit(
        patient.pbx.etc / "callrec" / "manager.conf",
        lambda text: text.replace("write = system,call,reporting", "write = all"),
    )
    await patient.reload()
    assert "CLI commands" in (await patient.complaint("ami_rights", Status.WARN)).seen


async def test_events_that_are_held_back(patient: Patient) -> None:
    file = patient.pbx.etc / "callrec" / "manager.conf"
    patient.edit(
        file,
        lambda text: text.replace("eventfilter(action(include),name(BridgeEnter)) =\n", ""),
    )
    assert "BridgeEnter" in (await patient.complaint("ami_events")).seen


async def test_no_filters(patient: Patient) -> None:
    file = patient.pbx.etc / "callrec" / "manager.conf"
    patient.edit(
        file,
        lambda text: "".join(
            line for line in text.splitlines(True) if not line.startswith("eventfilter")
        ),
    )
    assert "no event filters" in (await patient.complaint("ami_events", Status.WARN)).seen


async def test_read_rights_that_are_missing(patient: Patient) -> None:
    file = patient.pbx.etc / "callrec" / "manager.conf"
    patient.edit(file, lambda text: text.replace("read = system,call,user", "read = system,call"))
    assert "user" in (await patient.complaint("ami_events")).seen


async def test_no_timestamps(patient: Patient) -> None:
    file = patient.pbx.etc / "manager.conf"
    patient.edit(file, lambda text: text.replace("timestampevents = yes\n", ""))
    await patient.complaint("ami_timestamps", Status.WARN)


async def test_a_module_that_is_not_loaded(patient: Patient) -> None:
    await patient.console("module unload app_waitforcond.so")
    try:
        assert "app_waitforcond" in (await patient.complaint("modules")).seen
    finally:
        await patient.console("module load app_waitforcond.so")


async def test_no_recorder(patient: Patient) -> None:
    await patient.console("module unload app_mixmonitor.so")
    try:
        assert "MixMonitor" in (await patient.complaint("recorder")).seen
    finally:
        await patient.console("module load app_mixmonitor.so")


async def test_no_dialplan(patient: Patient) -> None:
    patient.edit(
        patient.pbx.etc / "extensions.conf",
        lambda text: text.replace('#include "callrec/extensions.conf"', ""),
    )
    await patient.reload()
    assert "callrec-offer" in (await patient.complaint("dialplan")).seen


async def test_a_dialplan_that_is_out_of_date(patient: Patient) -> None:
    patient.edit(patient.toml, lambda text: text + "[offer]\nwait_ms = 300\n")
    assert "extensions.conf" in (await patient.complaint("dialplan", Status.WARN)).seen


async def test_no_keys(patient: Patient) -> None:
    patient.edit(
        patient.pbx.etc / "features.conf",
        lambda text: text.replace('#include "callrec/features.conf"', ""),
    )
    assert "callrec-pause is missing" in (await patient.complaint("keys")).seen


@pytest.mark.parametrize(
    ("section", "line", "part", "status"),
    [
        ("featuremap", "blindxfer => #", "code # (blindxfer) swallows the key #1", Status.FAIL),
        ("featuremap", "parkcall => #1", "code #1 (parkcall) swallows the key #1", Status.FAIL),
        (
            "featuremap",
            "atxfer => #12",
            "key #1 (pause) swallows the feature code #12",
            Status.WARN,
        ),
        ("applicationmap", "foo => #9,self,NoOp", "code #9 (foo) swallows", Status.FAIL),
    ],
)
async def test_a_feature_code_that_clashes(
    patient: Patient, section: str, line: str, part: str, status: Status
) -> None:
    name = line.partition(" ")[0]

    def change(text: str) -> str:
        kept = [old for old in text.splitlines(True) if not old.startswith(f"{name} =>")]
        return "".join(kept).replace(f"[{section}]\n", f"[{section}]\n{line}\n")

    patient.edit(patient.pbx.etc / "features.conf", change)
    await patient.reload()
    findings = (await patient.examine())["key_clash"]
    assert {finding.status for finding in findings} == {status}, findings
    assert any(part in finding.seen for finding in findings), findings


async def test_asterisks_default_transfer_key_is_worth_a_warning(patient: Patient) -> None:
    patient.edit(
        patient.pbx.etc / "features.conf", lambda text: text.replace("blindxfer => *1\n", "")
    )
    await patient.reload()
    findings = (await patient.examine())["key_clash"]
    assert {finding.status for finding in findings} == {Status.WARN}, findings
    assert "blindxfer" in findings[0].seen


async def test_no_spool(patient: Patient) -> None:
    patient.edit(patient.toml, lambda text: text.replace("/spool'", "/nowhere'"))
    assert "no such folder" in (await patient.complaint("spool")).seen


async def test_a_spool_that_the_pbx_does_not_see(patient: Patient, tmp_path: Path) -> None:
    patient.edit(
        patient.toml,
        lambda text: text.replace(
            "[recordings]\n", f"[recordings]\npbx_directory = '{tmp_path}'\n"
        ),
    )
    assert "pbx_directory" in (await patient.complaint("spool")).remedy


async def test_a_spool_that_the_pbx_may_not_write(
    patient: Patient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = access.User(4321, frozenset({4321}), "stranger")
    monkeypatch.setattr(access, "listening_user", lambda _port: stranger)
    finding = await patient.complaint("spool")
    assert "stranger may not write" in finding.seen
    assert "chown stranger" in finding.remedy


async def test_nothing_of_the_spools_probe_is_left(patient: Patient) -> None:
    await patient.examine()
    assert list(load_config(patient.toml).recordings.directory.iterdir()) == []


async def test_trunks_that_nothing_is_like(patient: Patient) -> None:
    patient.edit(patient.toml, lambda text: text.replace("['trunk']", "['provider*']"))
    finding = await patient.complaint("trunks")
    assert "provider*" in finding.seen
    assert "trunk" in finding.remedy
    patient.edit(patient.toml, lambda text: text.replace("['prov", "['trunk', 'prov"))
    assert "provider*" in (await patient.complaint("trunks", Status.WARN)).seen


async def test_a_clock_that_is_wrong(patient: Patient, monkeypatch: pytest.MonkeyPatch) -> None:
    real = time.time
    monkeypatch.setattr("callrec_pbx.doctor.asterisk.pbx.time.time", lambda: real() - 90)
    assert "90" in (await patient.complaint("clock", Status.WARN)).seen


async def test_no_listener(patient: Patient) -> None:
    await patient.pbx.rx("dialplan set global CALLREC_HEARTBEAT 1")
    assert "last heard of" in (await patient.complaint("heartbeat", Status.WARN)).seen


async def test_a_frozen_asterisk_does_not_hold_the_doctor_up(patient: Patient) -> None:
    """The kernel accepts the connection, and nobody ever says a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        patient.edit(
            patient.toml,
            lambda text: text.replace(
                f"port = {patient.pbx.ami_port}", f"port = {port}\nconnect_timeout_s = 0.2"
            ),
        )
        assert "0.2 s" in (await patient.complaint("ami")).seen
