"""Taking everything away again, and leaving what the administrator did since."""

from pathlib import Path

from callrec_pbx.audio.manifest import sha256_of
from callrec_pbx.config import Config
from callrec_pbx.setup import conf
from callrec_pbx.setup.asterisk import BACKUP_SUFFIX, FOLDER
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.plan import FileChange, Plan
from callrec_pbx.setup.prompts import without_shipped
from callrec_pbx.setup.record import RECORD, Record, load


def plan_undo(config: Config) -> Plan:
    """Plan the removal of what setup has put in place; nothing is changed.

    Raises:
        SetupError: Setup has not been run here, or its record cannot be read.
    """
    folder = config.asterisk.config_dir / FOLDER
    record = load(folder / RECORD)
    if record is None:
        raise SetupError(
            f"{folder / RECORD}: there is no record of a setup; nothing to undo "
            f"(asterisk.config_dir in {config.path} names the folder)"
        )
    plan = Plan()
    for name, touched in record.touched.items():
        _restore(plan, Path(name), touched.existed, touched.newline_added)
    _remove_ours(plan, record, config.sounds_dir / "manifest.json")
    plan.add(FileChange(folder / RECORD, (folder / RECORD).read_bytes(), None))
    plan.old_folders = [Path(name) for name in reversed(record.folders) if Path(name).is_dir()]
    return plan


def _restore(plan: Plan, path: Path, existed: bool, newline_added: bool) -> None:
    content = _read(path)
    if content is None:
        return
    text = conf.without_settings(content.decode("latin-1"))
    before = conf.without_block(text, path, newline_added).encode("latin-1")
    gone = not existed and not before.strip()
    plan.add(FileChange(path, content, None if gone else before, ours=False))
    backup = path.with_name(path.name + BACKUP_SUFFIX)
    kept = _read(backup)
    if kept is None:
        return
    if kept == before:
        plan.add(FileChange(backup, kept, None))
    else:
        plan.notes.append(
            f"{path}: was changed by others since the setup; their changes stay, and so does the "
            f"copy from before it, {backup}"
        )


def _remove_ours(plan: Plan, record: Record, manifest: Path) -> None:
    for name, digest in record.files.items():
        path = Path(name)
        content = _read(path)
        if content is None:
            continue
        if path == manifest:
            plan.add(FileChange(path, content, without_shipped(path.parent)))
        elif sha256_of(content) == digest:
            plan.add(FileChange(path, content, None))
        else:
            plan.notes.append(f"{path}: was changed by others since the setup, and stays")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"{path}: cannot be read ({error.strerror}); run setup as root") from error
