"""Setting up an Asterisk and taking it back."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from callrec_pbx.audio.manifest import PromptSet, sha256_of
from callrec_pbx.audio.prompts import verify
from callrec_pbx.setup import templates
from callrec_pbx.setup.apply import apply
from callrec_pbx.setup.asterisk import asterisk_version, plan_setup
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.plan import Plan
from callrec_pbx.setup.undo import plan_undo
from tests.setup.conftest import EXTENSIONS, FEATURES, MANAGER, Host, make_host

NEW = (22, 10)
OLD = (16, 28)


def install(host: Host, enable_manager: bool = False) -> Plan:
    plan = plan_setup(host.config(), NEW, enable_manager)
    apply(plan)
    return plan


def undo(host: Host) -> Plan:
    plan = plan_undo(host.config())
    apply(plan)
    return plan


def test_what_is_put_in_place(host: Host) -> None:
    install(host)
    ours = host.etc / "callrec"
    dialplan = (ours / "extensions.conf").read_text()
    assert "WaitForCondition(" in dialplan
    assert ",0.5,0.02)" in dialplan
    assert '"continue" = "hang_up"' in dialplan
    features = (ours / "features.conf").read_text()
    assert "callrec-pause => #1,self," in features
    assert "[" not in "".join(x for x in features.splitlines() if not x.startswith(";"))
    for name in ("extensions.conf", "features.conf", "manager.conf"):
        assert not re.search("@[A-Z_]+@", (ours / name).read_text())
        assert f'#include "callrec/{name}"' in (host.etc / name).read_text()
    assert verify(host.data / "sounds" / "callrec") == []
    assert (host.root / "spool").stat().st_mode & 0o7777 == 0o2770
    assert (host.etc / "callrec" / "manager.conf").stat().st_mode & 0o777 == 0o640


def test_the_include_is_inside_the_administrators_applicationmap(host: Host) -> None:
    install(host)
    text = (host.etc / "features.conf").read_text()
    head, _, rest = text.partition("[applicationmap]  ; ours\n")
    assert head + "[applicationmap]  ; ours\n" == FEATURES[: len(head) + 25]
    assert rest.startswith("; >>> callrec-pbx")
    assert rest.endswith("; <<< callrec-pbx\nmine => *5,self,NoOp\n")


def test_without_an_applicationmap_one_is_made(host: Host) -> None:
    (host.etc / "features.conf").write_text("[general]\n")
    install(host)
    lines = (host.etc / "features.conf").read_text().splitlines()
    assert lines[1:3] == ["[applicationmap]", '#include "callrec/features.conf"']
    assert plan_setup(host.config(), NEW).empty
    undo(host)
    assert (host.etc / "features.conf").read_text() == "[general]\n"


def test_the_secret_is_made_once_and_kept_between_the_two(host: Host) -> None:
    install(host)
    secret = host.config().asterisk.secret.get_secret_value()
    assert len(secret) >= 24
    assert f"\nsecret = {secret}\n" in (host.etc / "callrec" / "manager.conf").read_text()
    assert (host.toml.parent / "asterisk.secret").stat().st_mode & 0o777 == 0o640


def test_a_given_secret_is_used(host: Host) -> None:
    host.toml.write_text(
        host.toml.read_text().replace("[asterisk]", "[asterisk]\nsecret='given-12'")
    )
    install(host)
    assert "\nsecret = given-12\n" in (host.etc / "callrec" / "manager.conf").read_text()
    assert not (host.toml.parent / "asterisk.secret").exists()


def test_no_diff_shows_a_secret(host: Host) -> None:
    install(host)
    host.toml.write_text(
        host.toml.read_text().replace("[asterisk]", "[asterisk]\nsecret='given-12'")
    )
    plan = plan_setup(host.config(), NEW, enable_manager=True)
    text = "\n".join(change.diff() for change in plan.files)
    assert "secret = ********" in text
    for secret in ("given-12", "others-secret", (host.toml.parent / "asterisk.secret").read_text()):
        assert secret.strip() not in text
    assert "others-secret" not in "".join(c.diff() for c in plan_undo(host.config()).files)


def test_again_changes_nothing(host: Host) -> None:
    install(host)
    before = host.snapshot()
    plan = plan_setup(host.config(), NEW)
    assert plan.empty
    apply(plan)
    assert host.snapshot() == before


def test_undo_restores_every_byte(host: Host) -> None:
    before = host.snapshot()
    install(host, enable_manager=True)
    assert host.snapshot() != before
    undo(host)
    assert host.snapshot() == before


def test_undo_after_several_setups_restores_every_byte(host: Host) -> None:
    before = host.snapshot()
    install(host)
    text = host.toml.read_text()
    host.toml.write_text(text + "[keys]\npause = '*7'\n[offer]\nwait_ms = 300\n")
    plan = install(host)
    assert {change.path.name for change in plan.files} == {
        "extensions.conf",
        "features.conf",
        "installed.json",
    }
    assert "=> *7,self" in (host.etc / "callrec" / "features.conf").read_text()
    host.toml.write_text(text)
    undo(host)
    assert host.snapshot() == before


@pytest.mark.parametrize("end", ["", "\n", "\r\n", "\n; no line break at the end"])
@pytest.mark.parametrize("text", ["", "[general]", "; only a comment", "x => 1"])
def test_undo_restores_odd_files(host: Host, text: str, end: str) -> None:
    for name in ("extensions.conf", "features.conf", "manager.conf"):
        (host.etc / name).write_bytes((text + end).encode())
    before = host.snapshot()
    install(host, enable_manager=True)
    assert plan_setup(host.config(), NEW, enable_manager=True).empty
    undo(host)
    assert host.snapshot() == before


def test_undo_leaves_later_edits_alone(host: Host) -> None:
    before = host.snapshot()
    install(host)
    path = host.etc / "extensions.conf"
    path.write_text(path.read_text() + "[mine]\nexten => 1,1,NoOp()\n")
    plan = undo(host)
    assert path.read_text() == EXTENSIONS + "[mine]\nexten => 1,1,NoOp()\n"
    assert any("extensions.conf.callrec-bak" in note for note in plan.notes)
    path.write_text(EXTENSIONS)
    (host.etc / "extensions.conf.callrec-bak").unlink()
    assert host.snapshot() == before


def test_undo_leaves_a_file_of_ours_that_others_changed(host: Host) -> None:
    install(host)
    path = host.etc / "callrec" / "extensions.conf"
    path.write_text(path.read_text() + "; mine\n")
    plan = undo(host)
    assert path.read_text().endswith("; mine\n")
    assert any(str(path) in note and "stays" in note for note in plan.notes)
    assert "callrec" not in (host.etc / "extensions.conf").read_text()


def test_files_that_were_not_there_are_gone_after_undo(tmp_path: Path) -> None:
    host = make_host(tmp_path, {"manager.conf": MANAGER})
    before = host.snapshot()
    install(host)
    assert (host.etc / "extensions.conf").exists()
    undo(host)
    assert host.snapshot() == before


def test_a_link_stays_a_link(host: Host) -> None:
    real = host.root / "elsewhere.conf"
    (host.etc / "extensions.conf").rename(real)
    (host.etc / "extensions.conf").symlink_to(real)
    before = host.snapshot()
    install(host)
    assert (host.etc / "extensions.conf").is_symlink()
    assert "callrec" in real.read_text()
    undo(host)
    assert host.snapshot() == before


def test_permissions_of_the_administrators_files_stay(host: Host) -> None:
    (host.etc / "manager.conf").chmod(0o600)
    install(host)
    assert (host.etc / "manager.conf").stat().st_mode & 0o777 == 0o600
    assert (host.etc / "manager.conf.callrec-bak").stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_new_files_belong_to_asterisk(host: Host) -> None:
    os.chown(host.etc / "manager.conf", 4321, 4322)
    install(host)
    found = (host.etc / "callrec" / "manager.conf").stat()
    assert (found.st_uid, found.st_gid) == (4321, 4322)
    assert (host.root / "spool").stat().st_gid == 4322
    assert (host.toml.parent / "asterisk.secret").stat().st_gid == 4322


def test_freepbx_has_files_for_additions(freepbx: Host) -> None:
    before = freepbx.snapshot()
    plan = install(freepbx)
    touched = {c.path.name for c in plan.files if not c.ours}
    assert touched == {
        "extensions_custom.conf",
        "manager_custom.conf",
        "features_applicationmap_custom.conf",
    }
    text = (freepbx.etc / "features_applicationmap_custom.conf").read_bytes()
    assert b"[applicationmap]" not in text
    assert text.count(b"\r\n") == text.count(b"\n")
    assert plan_setup(freepbx.config(), NEW).empty
    undo(freepbx)
    assert freepbx.snapshot() == before


def test_freepbx_writes_the_general_section_itself(freepbx: Host) -> None:
    path = freepbx.etc / "manager.conf"
    path.write_text(path.read_text().replace("enabled = yes", "enabled = no"))
    before = path.read_bytes()
    plan = install(freepbx, enable_manager=True)
    assert path.read_bytes() == before
    assert any("settings of the distribution" in note for note in plan.notes)


def test_a_custom_file_that_nobody_includes_is_not_used(host: Host) -> None:
    (host.etc / "extensions_custom.conf").write_text("[x]\n")
    install(host)
    assert (host.etc / "extensions_custom.conf").read_text() == "[x]\n"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[general]\nenabled = no\nbindaddr = 127.0.0.1\n", ["switched off"]),
        ("[general]\nenabled = yes\nbindaddr = 0.0.0.0\n", ["0.0.0.0"]),
        ("[general]\nenabled = yes\n", ["0.0.0.0"]),
        ("", ["switched off", "0.0.0.0"]),
    ],
)
def test_a_manager_that_is_off_or_open_is_told_and_can_be_mended(
    host: Host, text: str, parts: list[str]
) -> None:
    (host.etc / "manager.conf").write_text(text)
    notes = plan_setup(host.config(), NEW).notes
    assert len(notes) == len(parts)
    for part, note in zip(parts, notes, strict=True):
        assert part in note
        assert "--enable-manager" in note
    before = host.snapshot()
    plan = plan_setup(host.config(), NEW, enable_manager=True)
    assert plan.notes == []
    apply(plan)
    assert "enabled = yes" in (host.etc / "manager.conf").read_text()
    undo(host)
    assert host.snapshot() == before


def test_a_manager_user_of_that_name_is_not_doubled(host: Host) -> None:
    (host.etc / "manager.d").mkdir()
    (host.etc / "manager.d" / "x.conf").write_text("[callrec]\nsecret = x\n")
    before = host.snapshot()
    with pytest.raises(SetupError, match=r"manager.d/x.conf: .*\[callrec\].*asterisk.username"):
        install(host)
    assert host.snapshot() == before


def test_an_include_by_the_administrator_is_enough(host: Host) -> None:
    path = host.etc / "extensions.conf"
    path.write_text(EXTENSIONS + "#include callrec/extensions.conf\n")
    plan = install(host)
    assert path.read_text() == EXTENSIONS + "#include callrec/extensions.conf\n"
    assert any("includes callrec/extensions.conf already" in note for note in plan.notes)


def test_event_filters_by_version(host: Host) -> None:
    def rendered(version: tuple[int, int] | None) -> str:
        plan = plan_setup(host.config(), version)
        (change,) = [c for c in plan.files if str(c.path).endswith("callrec/manager.conf")]
        return (change.after or b"").decode()

    assert "eventfilter(action(include),name(BridgeEnter)) =\n" in rendered(NEW)
    assert "method(starts_with)) = Callrec\n" in rendered((20, 11))
    for version in (OLD, (20, 10), None):
        assert "name(" not in rendered(version)
        assert "eventfilter = ^Event: (" in rendered(version)
    assert "name(Status)" not in rendered(NEW)
    assert any("version" in note for note in plan_setup(host.config(), None).notes)


@pytest.mark.parametrize("secret", ["a\r\nwrite = all", "a\nb", "a\0b", ""])
def test_nothing_gets_a_second_line_into_a_file(host: Host, secret: str) -> None:
    with pytest.raises(SetupError, match="SECRET"):
        templates.manager_conf(host.config(), secret, NEW)


def test_the_user_has_least_rights(host: Host) -> None:
    install(host)
    text = (host.etc / "callrec" / "manager.conf").read_text()
    assert "\nread = system,call,user\n" in text
    assert "\nwrite = system,call,reporting\n" in text
    assert text.index("deny = 0.0.0.0/0.0.0.0") < text.index("permit = 127.0.0.1")


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ("Asterisk 22.10.1+dfsg", (22, 10)),
        ("Asterisk certified/20.7-cert2", (20, 7)),
        ("Asterisk certified-22.8-cert1", (22, 8)),
        ("Asterisk GIT-master-1234", None),
    ],
)
def test_the_version_is_asked(tmp_path: Path, said: str, version: tuple[int, int] | None) -> None:
    program = tmp_path / "asterisk"
    program.write_text(f"#!/bin/sh\necho '{said}'\n")
    program.chmod(0o755)
    assert asterisk_version(str(program)) == version
    assert asterisk_version(str(tmp_path / "none")) is None


def test_an_imported_prompt_is_kept_also_by_undo(host: Host) -> None:
    install(host)
    sounds = host.data / "sounds" / "callrec"
    own = (sounds / "en" / "paused.wav").read_bytes()
    (sounds / "en" / "announce.wav").write_bytes(own)
    manifest = json.loads((sounds / "manifest.json").read_text())
    for entry in manifest["prompts"]:
        if (entry["language"], entry["name"]) == ("en", "announce"):
            entry.update(sha256=sha256_of(own), version="i123")
    (sounds / "manifest.json").write_text(json.dumps(manifest))
    plan = install(host)
    assert any("en/announce" in note for note in plan.notes)
    assert (sounds / "en" / "announce.wav").read_bytes() == own
    found = PromptSet.load(sounds).find("announce", "en")
    assert found is not None
    assert found.version == "i123"
    assert plan_setup(host.config(), NEW).empty
    undo(host)
    assert (sounds / "en" / "announce.wav").read_bytes() == own
    assert [p.name for p in PromptSet.load(sounds).prompts] == ["announce"]
    assert not (sounds / "de").exists()


def test_an_import_of_the_shipped_audio_stays_an_import(host: Host) -> None:
    install(host)
    path = host.data / "sounds" / "callrec" / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["prompts"][0].update(version="i123", text="My words.")
    path.write_text(json.dumps(manifest))
    install(host)
    first = PromptSet.load(path.parent).prompts[0]
    assert (first.version, first.text) == ("i123", "My words.")


def test_a_prompt_replaced_by_hand_is_kept_too(host: Host) -> None:
    install(host)
    file = host.data / "sounds" / "callrec" / "de" / "whisper.wav"
    file.write_bytes(b"RIFF by hand")
    plan = install(host)
    assert file.read_bytes() == b"RIFF by hand"
    assert any("de/whisper" in note for note in plan.notes)


def test_a_prompt_of_an_earlier_version_is_replaced(host: Host) -> None:
    install(host)
    record = host.etc / "callrec" / "installed.json"
    file = host.data / "sounds" / "callrec" / "de" / "whisper.wav"
    file.write_bytes(b"RIFF earlier")
    document = json.loads(record.read_text())
    document["files"][str(file)] = sha256_of(b"RIFF earlier")
    gone = host.data / "sounds" / "callrec" / "de" / "old_prompt.wav"
    gone.write_bytes(b"RIFF old")
    document["files"][str(gone)] = sha256_of(b"RIFF old")
    record.write_text(json.dumps(document))
    install(host)
    assert verify(host.data / "sounds" / "callrec") == []
    assert not gone.exists()


def test_a_lost_record_does_not_hurt(host: Host) -> None:
    install(host)
    (host.etc / "callrec" / "installed.json").unlink()
    plan = plan_setup(host.config(), NEW)
    assert [change.path.name for change in plan.files] == ["installed.json"]
    assert not any("prompts" in note for note in plan.notes)


def test_a_change_since_the_plan_stops_it(host: Host) -> None:
    plan = plan_setup(host.config(), NEW)
    (host.etc / "extensions.conf").write_text("[other]\n")
    before = host.snapshot()
    with pytest.raises(SetupError, match="changed by somebody meanwhile"):
        apply(plan)
    assert host.snapshot() == before


def test_nothing_to_undo(host: Host) -> None:
    with pytest.raises(SetupError, match="nothing to undo"):
        plan_undo(host.config())


@pytest.mark.parametrize("key", ["config_dir", "data_dir"])
def test_a_missing_folder_is_named(host: Host, key: str) -> None:
    shutil.rmtree(host.etc if key == "config_dir" else host.data)
    with pytest.raises(SetupError, match=f"asterisk.{key} = .*no such folder"):
        plan_setup(host.config(), NEW)


def test_a_data_folder_that_asterisk_does_not_use_is_told(host: Host) -> None:
    (host.etc / "asterisk.conf").write_text("[directories](!)\nastdatadir => /elsewhere\n")
    assert any("/elsewhere" in note for note in plan_setup(host.config(), NEW).notes)


def test_the_distributions_own_samples(tmp_path: Path) -> None:
    """The full sample configuration, where an Asterisk is at hand."""
    from tests.bed.asterisk import installation  # noqa: PLC0415 - it may fetch an Asterisk

    samples = installation().outside("/etc/asterisk")
    host = make_host(tmp_path, {})
    shutil.copytree(samples, host.etc, dirs_exist_ok=True)
    before = host.snapshot()
    install(host, enable_manager=True)
    assert plan_setup(host.config(), NEW, enable_manager=True).empty
    undo(host)
    assert host.snapshot() == before
