"""Carrying out a plan: each file whole or not at all."""

import contextlib
import os
import tempfile
from pathlib import Path

from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.plan import FileChange, NewFolder, Owner, Plan


def apply(plan: Plan) -> None:
    """Make the folders, write the files in order, remove what is to go.

    Raises:
        SetupError: Something changed since the plan was made, or cannot be written. What was done
            until then is complete in itself, and running setup again goes on from there.
    """
    for change in plan.files:
        if _content(change.path) != change.before:
            raise SetupError(f"{change.path}: was changed by somebody meanwhile; run setup again")
    try:
        for folder in plan.folders:
            _make(folder)
        for change in plan.files:
            _carry_out(change)
        for path in plan.old_folders:
            with contextlib.suppress(OSError):  # not empty: something of the administrator's
                path.rmdir()
    except OSError as error:
        raise SetupError(
            f"{error.filename}: {error.strerror}; run setup as root, or as the owner of the files"
        ) from error


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"{path}: cannot be read ({error.strerror}); run setup as root") from error


def _make(folder: NewFolder) -> None:
    folder.path.mkdir(exist_ok=True)
    _give(folder.path, folder.owner)
    folder.path.chmod(folder.mode)


def _give(path: Path, owner: Owner | None) -> None:
    if owner is not None and os.geteuid() == 0:
        os.chown(path, owner.uid, owner.gid)


def _carry_out(change: FileChange) -> None:
    if change.after is None:
        change.path.unlink(missing_ok=True)
        return
    if change.backup is not None and change.before is not None and not change.backup.exists():
        _write_like(change.path, change.backup, change.before)
    if change.before is None:
        _write(change.path, change.after, change.mode, change.owner)
    elif change.take:
        _write(change.path.resolve(), change.after, change.mode, change.owner)
    elif change.ours:
        _write(change.path, change.after, change.mode, _owner_of(change.path))
    else:
        # A link in /etc stays a link: what it points to is replaced.
        target = change.path.resolve()
        _write_like(target, target, change.after)


def _owner_of(path: Path) -> Owner:
    found = path.stat()
    return Owner(found.st_uid, found.st_gid)


def _write_like(model: Path, path: Path, content: bytes) -> None:
    _write(path, content, model.stat().st_mode & 0o7777, _owner_of(model))


def _write(path: Path, content: bytes, mode: int, owner: Owner | None) -> None:
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        _give(temporary, owner)
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
