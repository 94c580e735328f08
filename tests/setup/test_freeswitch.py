"""Setting up a FreeSWITCH and taking it back."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from callrec_pbx.audio.manifest import PromptSet, sha256_of
from callrec_pbx.audio.prompts import import_prompt, shipped_prompts_dir, verify
from callrec_pbx.config.load import parse_config
from callrec_pbx.setup import freeswitch as for_freeswitch
from callrec_pbx.setup.apply import apply
from callrec_pbx.setup.asterisk import plan_setup as plan_asterisk
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.freeswitch import first_configuration, plan_setup
from callrec_pbx.setup.plan import Plan
from callrec_pbx.setup.undo import plan_undo
from tests.setup.conftest import Host, host
from tests.setup.freeswitch_host import FILES, MODULES, SOCKET, USERS, FsHost, make, switch

__all__ = ["host", "switch"]


def install(host: Host, secure: bool = False) -> Plan:
    plan = plan_setup(host.config(), secure)
    apply(plan)
    return plan


def undo(host: Host) -> Plan:
    plan = plan_undo(host.config())
    apply(plan)
    return plan


def test_what_is_put_in_place(switch: FsHost) -> None:
    plan = install(switch)
    assert plan.notes == []
    scripts = switch.data / "scripts"
    names = {path.name for path in scripts.iterdir()}
    assert {"callrec_offer.lua", "callrec_whisper.lua", "callrec_common.lua"} <= names
    extension = switch.etc / "dialplan" / "default" / "callrec.xml"
    assert "callrec_profile.lua" in extension.read_text()
    for path in (*scripts.iterdir(), extension):
        assert not re.search("@[A-Z_]+@", path.read_text())
        assert path.stat().st_mode & 0o777 == 0o644
    common = (scripts / "callrec_common.lua").read_text()
    assert f'"{switch.data}/sounds/callrec"' in common
    assert verify(switch.data / "sounds" / "callrec") == []
    assert (switch.root / "spool").stat().st_mode & 0o7777 == 0o2770


def test_what_is_configured_reaches_the_scripts(switch: FsHost) -> None:
    switch.toml.write_text(
        switch.toml.read_text()
        + "[keys]\npause = '*7'\n[offer]\nwait_ms = 320\non_unavailable = 'hang_up'\n"
        "[prompts]\nlanguage = 'sv'\n"
    )
    install(switch)
    common = (switch.data / "scripts" / "callrec_common.lua").read_text()
    for said in ('"*7"', '"#2"', '"320"', '"hang_up"', '"sv"'):
        assert said in common


def test_prompts_lie_where_freeswitch_looks_for_them(switch: FsHost) -> None:
    install(switch)
    sounds, shipped = switch.data / "sounds" / "callrec", shipped_prompts_dir()
    narrow, wide = sounds / "de" / "announce.wav", sounds / "de" / "16000" / "announce.wav"
    assert narrow.read_bytes() == (shipped / "de" / "announce.wav").read_bytes()
    assert wide.read_bytes() == (shipped / "de" / "announce.wav16").read_bytes()
    assert not (sounds / "callrec.conf").exists()
    assert not list(sounds.rglob("*.wav16"))


def test_an_imported_prompt_is_heard_at_both_rates_and_kept(switch: FsHost) -> None:
    install(switch)
    sounds = switch.data / "sounds" / "callrec"
    source = shipped_prompts_dir() / "de" / "whisper.wav"
    before = (sounds / "en" / "16000" / "announce.wav").read_bytes()
    import_prompt(source, name="announce", language="en", target=sounds, text="Ja.")
    import_prompt(source, name="announce", language="fr", target=sounds)
    assert verify(sounds) == []
    own = (sounds / "en" / "16000" / "announce.wav").read_bytes()
    assert own != before
    plan = install(switch)
    assert any("en/announce" in note for note in plan.notes)
    assert (sounds / "en" / "16000" / "announce.wav").read_bytes() == own
    assert plan_setup(switch.config()).empty
    undo(switch)
    assert [(p.language, p.name) for p in PromptSet.load(sounds).prompts] == [
        ("en", "announce"),
        ("fr", "announce"),
    ]
    assert verify(sounds) == []


def test_a_wide_prompt_that_is_in_no_manifest_is_told(switch: FsHost) -> None:
    install(switch)
    sounds = switch.data / "sounds" / "callrec"
    (sounds / "en" / "16000" / "mine.wav").write_bytes(b"RIFF")
    assert any("16000/mine.wav: not in the manifest" in line for line in verify(sounds))


def test_of_a_prompt_replaced_by_hand_no_wide_one_of_ours_is_left(switch: FsHost) -> None:
    """FreeSWITCH would play that one, on calls of any rate."""
    install(switch)
    sounds = switch.data / "sounds" / "callrec"
    (sounds / "de" / "whisper.wav").write_bytes(b"RIFF by hand")
    plan = install(switch)
    assert any("de/whisper" in note for note in plan.notes)
    assert (sounds / "de" / "whisper.wav").read_bytes() == b"RIFF by hand"
    assert not (sounds / "de" / "16000" / "whisper.wav").exists()


def test_again_changes_nothing(switch: FsHost) -> None:
    install(switch)
    before = switch.snapshot()
    plan = plan_setup(switch.config())
    assert plan.empty
    apply(plan)
    assert switch.snapshot() == before


@pytest.mark.parametrize("secure", [False, True])
def test_undo_restores_every_byte(switch: FsHost, secure: bool) -> None:
    before = switch.snapshot()
    install(switch)
    install(switch, secure)
    switch.toml.write_text(switch.toml.read_text() + "[offer]\nwait_ms = 320\n")
    install(switch)
    assert plan_setup(switch.config(), secure).empty
    switch.toml.write_text(switch.toml.read_text().replace("[offer]\nwait_ms = 320\n", ""))
    undo(switch)
    assert switch.snapshot() == before


def test_nothing_to_undo(switch: FsHost) -> None:
    with pytest.raises(SetupError, match=r"nothing to undo \(freeswitch.config_dir in"):
        plan_undo(switch.config())


def test_a_script_of_the_same_name_is_kept_and_comes_back(switch: FsHost) -> None:
    theirs = switch.data / "scripts" / "callrec_offer.lua"
    theirs.write_text("-- theirs\n")
    theirs.chmod(0o600)
    before = switch.snapshot()
    plan = install(switch)
    assert any("callrec_offer.lua.callrec-bak" in note for note in plan.notes)
    assert "theirs" not in theirs.read_text()
    assert theirs.stat().st_mode & 0o777 == 0o644
    assert plan_setup(switch.config()).empty
    undo(switch)
    assert switch.snapshot() == before


def test_undo_leaves_what_others_changed(switch: FsHost) -> None:
    theirs = switch.data / "scripts" / "callrec_offer.lua"
    theirs.write_text("-- theirs\n")
    install(switch)
    extension = switch.etc / "dialplan" / "default" / "callrec.xml"
    for path in (theirs, extension):
        path.write_text(path.read_text() + "\n")
    plan = undo(switch)
    for path in (theirs, extension):
        assert path.exists()
        assert any(str(path) in note and "stays" in note for note in plan.notes)
    assert theirs.with_name("callrec_offer.lua.callrec-bak").read_text() == "-- theirs\n"


def test_what_is_no_longer_installed_goes_with_the_next_setup(switch: FsHost) -> None:
    install(switch)
    record = switch.etc / "callrec" / "installed.json"
    old = switch.data / "scripts" / "callrec_old.lua"
    old.write_text("-- old\n")
    document = json.loads(record.read_text())
    document["files"][str(old)] = sha256_of(b"-- old\n")
    record.write_text(json.dumps(document))
    install(switch)
    assert not old.exists()


def test_a_lost_record_does_not_hurt(switch: FsHost) -> None:
    install(switch)
    (switch.etc / "callrec" / "installed.json").unlink()
    plan = plan_setup(switch.config())
    assert [change.path.name for change in plan.files] == ["installed.json"]
    assert plan.notes == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_new_files_belong_to_freeswitch(switch: FsHost) -> None:
    os.chown(switch.etc / "freeswitch.xml", 4321, 4322)
    install(switch, secure=True)
    for path in (switch.data / "scripts" / "callrec_offer.lua", switch.socket):
        assert (path.stat().st_uid, path.stat().st_gid) == (4321, 4322)
    assert (switch.root / "spool").stat().st_gid == 4322
    assert switch.password_file.stat().st_gid == 4322
    undo(switch)
    assert (switch.socket.stat().st_uid, switch.socket.stat().st_gid) == (0, 0)


@pytest.mark.parametrize("key", ["config_dir", "scripts_dir", "sounds_dir"])
def test_a_missing_folder_is_named(switch: FsHost, key: str) -> None:
    shutil.rmtree(getattr(switch.config().freeswitch, key))
    with pytest.raises(SetupError, match=f"freeswitch.{key} = .*no such folder; .*FreeSWITCH"):
        plan_setup(switch.config())


def test_a_folder_that_is_not_freeswitchs_is_refused(switch: FsHost) -> None:
    (switch.etc / "freeswitch.xml").unlink()
    with pytest.raises(SetupError, match=r"freeswitch.config_dir = .*no freeswitch.xml"):
        plan_setup(switch.config())


def test_the_other_pbx_is_refused(switch: FsHost) -> None:
    with pytest.raises(SetupError, match=r"pbx = 'freeswitch'.*`callrec-pbx setup freeswitch`"):
        plan_asterisk(switch.config())
    switch.toml.write_text(switch.toml.read_text().replace("'freeswitch'\n", "'asterisk'\n", 1))
    before = switch.snapshot()
    with pytest.raises(SetupError, match=r'setup asterisk`, or write pbx = "freeswitch"'):
        plan_setup(switch.config())
    assert switch.snapshot() == before


def test_the_other_pbx_can_still_be_undone(switch: FsHost) -> None:
    before = switch.snapshot()
    install(switch)
    chosen = switch.toml.read_text()
    switch.toml.write_text(chosen.replace("'freeswitch'\n", "'asterisk'\n", 1))
    apply(plan_undo(switch.config(), "freeswitch"))
    switch.toml.write_text(chosen)
    assert switch.snapshot() == before


@pytest.mark.parametrize(
    ("users", "where"),
    [
        (USERS.replace("default", "staff"), "dialplan/staff/callrec.xml"),
        (USERS.replace('data="default/', 'data="$${conf_dir}/own/'), "own/callrec.xml"),
    ],
)
def test_the_extension_goes_where_the_users_context_includes_files(
    tmp_path: Path, users: str, where: str
) -> None:
    switch = make(tmp_path, {**FILES, "dialplan/default.xml": users})
    plan = install(switch)
    assert (switch.etc / where).exists()
    assert plan.notes == []


@pytest.mark.parametrize(
    "users",
    [
        USERS.replace('    <X-PRE-PROCESS cmd="include" data="default/*.xml"/>\n', ""),
        USERS.replace("    <X-PRE", "    <!--\n    <X-PRE").replace(
            '"/>\n  </con', '"/>\n-->\n  </con'
        ),
        USERS.replace("*.xml", "mine.xml"),
        USERS.replace("X-PRE-PROCESS", "X-NO-PRE-PROCESS"),
    ],
)
def test_without_such_a_folder_the_include_is_left_to_the_administrator(
    tmp_path: Path, users: str
) -> None:
    switch = make(tmp_path, {**FILES, "dialplan/default.xml": users})
    (note,) = install(switch).notes
    include = f'<X-PRE-PROCESS cmd="include" data="{switch.etc}/callrec/callrec.xml"/>'
    assert include in note
    assert (switch.etc / "callrec" / "callrec.xml").exists()
    assert not (switch.etc / "dialplan" / "default").exists()
    path = switch.etc / "dialplan" / "default.xml"
    path.write_text(users.replace("  </context>", f"  {include}\n  </context>"))
    plan = plan_setup(switch.config())
    assert (plan.notes, plan.empty) == ([], True)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "lua.conf.xml",
            '<configuration name="lua.conf"><settings>\n'
            '<param name="xml-handler-script" value="app.lua xml_handler"/>\n'
            '<param name="xml-handler-bindings" value="configuration,dialplan,directory"/>\n'
            "</settings></configuration>\n",
            "the dialplan comes from app.lua xml_handler",
        ),
        (
            "xml_curl.conf.xml",
            '<configuration name="xml_curl.conf"><bindings><binding name="x">\n'
            '<param name="gateway-url" value="http://127.0.0.1/d" bindings="dialplan"/>\n'
            "</binding></bindings></configuration>\n",
            "the dialplan comes from http://127.0.0.1/d",
        ),
    ],
)
def test_a_dialplan_that_comes_from_elsewhere_is_told(
    switch: FsHost, name: str, text: str, said: str
) -> None:
    (switch.etc / "autoload_configs" / name).write_text(text)
    (note,) = plan_setup(switch.config()).notes
    assert said in note


def test_modules_that_are_not_loaded_are_told(switch: FsHost) -> None:
    modules = switch.etc / "autoload_configs" / "modules.conf.xml"
    lua = '    <load module="mod_lua"/>\n'
    modules.write_text(MODULES.replace(lua, f"    <!--{lua.strip()}-->\n"))
    (note,) = plan_setup(switch.config()).notes
    assert "does not load mod_lua," in note
    (modules.parent / "pre_load_modules.conf.xml").write_text(
        f'<configuration name="pre_load_modules.conf"><modules>{lua}</modules></configuration>'
    )
    assert plan_setup(switch.config()).notes == []


@pytest.mark.parametrize("layout", ["source", "old"])
def test_the_first_configuration_finds_freeswitch_by_its_programs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str
) -> None:
    root = tmp_path / "opt"
    etc, share = root / "etc" / "freeswitch", root / "share" / "freeswitch"
    if layout == "old":
        etc, share = root / "conf", root
    socket = FILES[SOCKET].replace("$${esl_port}", "8077")
    for name, text in {**FILES, SOCKET: socket}.items():
        (etc / name).parent.mkdir(parents=True, exist_ok=True)
        (etc / name).write_text(text)
    (root / "bin").mkdir()
    (root / "bin" / "fs_cli").write_text("#!/bin/sh\n")
    (root / "bin" / "fs_cli").chmod(0o755)
    monkeypatch.setenv("PATH", str(root / "bin"))
    monkeypatch.setenv("CALLREC_FREESWITCH__TRUNKS", '["mine"]')
    path = tmp_path / "callrec.toml"
    config, text = first_configuration(path)
    found = config.freeswitch
    assert (config.pbx, found.config_dir, found.port) == ("freeswitch", etc, 8077)
    assert (found.scripts_dir, found.sounds_dir) == (share / "scripts", share / "sounds")
    monkeypatch.delenv("CALLREC_FREESWITCH__TRUNKS")
    again = parse_config(text, path)
    assert again.pbx == "freeswitch"
    assert again.freeswitch.scripts_dir == share / "scripts"


def test_the_first_configuration_where_there_is_no_freeswitch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(for_freeswitch, "SOURCE_BUILD", tmp_path / "none")
    config, text = first_configuration(tmp_path / "callrec.toml")
    assert config.pbx == "freeswitch"
    assert '\npbx = "freeswitch"' in text
    assert '\n# config_dir = "/etc/freeswitch"' in text
