"""Taking everything away again, and leaving what the administrator did since."""

from pathlib import Path

from callrec_pbx.audio.manifest import sha256_of
from callrec_pbx.config import Config
from callrec_pbx.config.settings import PbxKind
from callrec_pbx.setup import conf, files, fsxml, owner
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.plan import FileChange, Plan
from callrec_pbx.setup.planner import BACKUP_SUFFIX, FOLDER
from callrec_pbx.setup.prompts import without_shipped
from callrec_pbx.setup.record import RECORD, Record, Replaced, load


def plan_undo(config: Config, kind: PbxKind | None = None) -> Plan:
    """Plan the removal of what setup has put in place; nothing is changed.

    Args:
        config: The configuration.
        kind: The PBX, where it is not the configuration's.

    Raises:
        SetupError: Setup has not been run here, or its record cannot be read.
    """
    kind = kind or config.pbx
    if kind == "freeswitch":
        etc, sounds = config.freeswitch.config_dir, config.freeswitch.sounds_dir / FOLDER
    else:
        etc, sounds = config.asterisk.config_dir, config.asterisk.sounds_dir
    folder = etc / FOLDER
    record = load(folder / RECORD)
    if record is None:
        raise SetupError(
            f"{folder / RECORD}: there is no record of a setup; nothing to undo "
            f"({kind}.config_dir in {config.path} names the folder)"
        )
    plan = Plan()
    for name, touched in record.touched.items():
        _restore(plan, Path(name), touched.existed, touched.newline_added)
    for name, replaced in record.replaced.items():
        _put_back(plan, Path(name), replaced)
    secret = config.freeswitch.password_file, config.asterisk.secret_file
    _remove_ours(plan, record, sounds / "manifest.json", secret)
    plan.add(FileChange(folder / RECORD, (folder / RECORD).read_bytes(), None))
    plan.old_folders = [Path(name) for name in reversed(record.folders) if Path(name).is_dir()]
    return plan


def _restore(plan: Plan, path: Path, existed: bool, newline_added: bool) -> None:
    content = files.read(path)
    if content is None:
        return
    text = conf.without_settings(content.decode("latin-1"))
    before = conf.without_block(text, path, newline_added).encode("latin-1")
    gone = not existed and not before.strip()
    plan.add(FileChange(path, content, None if gone else before, ours=False))
    backup = path.with_name(path.name + BACKUP_SUFFIX)
    kept = files.read(backup)
    if kept is None:
        return
    if kept == before:
        plan.add(FileChange(backup, kept, None))
    else:
        plan.notes.append(
            f"{path}: was changed by others since the setup; their changes stay, and so does the "
            f"copy from before it, {backup}"
        )


def _put_back(plan: Plan, path: Path, replaced: Replaced) -> None:
    backup = Path(replaced.backup)
    content, before = files.read(path), files.read(backup)
    if content is None or before is None or sha256_of(content) != replaced.sha256:
        plan.notes.append(
            f"{path}: was changed by others since the setup, and stays; what was there before is "
            f"in {backup}"
        )
        return
    mode, hidden = backup.stat().st_mode & 0o7777, fsxml.secrets_of(content, before)
    there = owner.of(backup)
    plan.add(FileChange(path, content, before, mode, there, take=True, hidden=hidden))
    plan.add(FileChange(backup, before, None, hidden=hidden))


def _remove_ours(
    plan: Plan, record: Record, manifest: Path, secret: tuple[Path | None, ...]
) -> None:
    for name, digest in record.files.items():
        path = Path(name)
        content = files.read(path)
        if content is None:
            continue
        hidden = fsxml.secrets_of(content)
        if path in secret:
            hidden = (content.decode("utf-8", "replace").strip(),)
        if path == manifest:
            plan.add(FileChange(path, content, without_shipped(path.parent)))
        elif sha256_of(content) == digest:
            plan.add(FileChange(path, content, None, hidden=hidden))
        else:
            plan.notes.append(f"{path}: was changed by others since the setup, and stays")
