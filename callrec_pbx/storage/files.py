"""Writing files so that a crash leaves the former content or the new, and nothing between."""
# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH110, PTH112, PTH116, PTH118, PTH120, PTH208
# Calls of `os` rather than pathlib: this lies between two people being connected and recording.

import os
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

_TEMPORARY = ".tmp"
_BLANK = ".blank"

Signature = tuple[int, int, int]
"""Inode, time of change and size: tells a file from any other that had its name."""


def mark(path: str, mode: int) -> None:
    """Make an empty file, if it is not there.

    It is one more name of the same empty inode, as markers come and go with every call and some
    file systems (ext4 without a journal) slow down when many inodes were freed just before.
    """
    blank = os.path.join(os.path.dirname(path), _BLANK)
    try:
        os.link(blank, path)
    except FileExistsError:
        return
    except OSError:
        _touch(path, mode)
        if not os.path.exists(blank):
            _touch(blank, mode)


def _touch(path: str, mode: int) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, mode))


def exists(path: str) -> bool:
    """Whether there is such a file."""
    return os.path.exists(path)


def signature(path: str) -> Signature | None:
    """The signature of a file; None when there is none to be had."""
    try:
        return _signature(os.stat(path))
    except OSError:
        return None


def _signature(status: os.stat_result) -> Signature:
    return status.st_ino, status.st_mtime_ns, status.st_size


def replace(target: str, data: bytes, mode: int) -> Signature:
    """Write a file anew: temporary file, flush, rename.

    Returns:
        The signature of the new file.
    """
    temporary = target + _TEMPORARY
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    handle = os.open(temporary, flags, mode)
    try:
        try:
            os.fchmod(handle, mode)
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
            found = _signature(os.fstat(handle))
        finally:
            os.close(handle)
        os.rename(temporary, target)
    except OSError:
        remove(temporary)
        raise
    return found


def write_beside(target: str, mode: int, write: Callable[[BinaryIO], None]) -> None:
    """Write a large file to the temporary one of its target, and flush it."""
    name = temporary(target)
    flags = os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        with open(os.open(name, flags, mode), "wb") as file:  # noqa: PTH123
            os.fchmod(file.fileno(), mode)
            write(file)
            file.flush()
            os.fsync(file.fileno())
    except Exception:
        remove(name)
        raise


def take_over(target: str) -> None:
    """Let what `write_beside` has written replace the target, durably."""
    os.rename(temporary(target), target)
    flush_folder(os.path.dirname(target))


def temporary(target: str) -> str:
    """The file that becomes the target, and may be left of it by a crash."""
    return target + _TEMPORARY


def complete(target: str) -> None:
    """Rename what `replace` had flushed, when a power failure took the first rename away."""
    if not os.path.exists(target):
        with suppress(OSError):
            os.rename(target + _TEMPORARY, target)


def remove(path: str) -> None:
    """Delete a file, if it is there."""
    with suppress(FileNotFoundError):
        os.unlink(path)


def make_folder(root: str, folder: str, mode: int) -> None:
    """Make a folder below the root, durably; the root itself must be there (it may be a mount)."""
    path = root
    for part in folder[len(root) + 1 :].split("/"):
        parent, path = path, f"{path}/{part}"
        try:
            os.mkdir(path, mode & 0o777)
        except FileExistsError:
            continue
        os.chmod(path, mode)
        flush_folder(parent)


def flush_folder(folder: str) -> None:
    """Have the names in a folder reach the disk."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def names(folder: str) -> list[str]:
    """The names in a folder, sorted; none when there is no such folder."""
    try:
        return sorted(os.listdir(folder))
    except FileNotFoundError:
        return []


def walk(
    folder: str, levels: tuple[re.Pattern[str], ...], wanted: re.Pattern[str]
) -> Iterator[Path]:
    """Files of a wanted name in folders whose names match level by level, in order of names."""
    for name in sorted(os.listdir(folder)):
        path = f"{folder}/{name}"
        if not levels:
            if wanted.fullmatch(name):
                yield Path(path)
        elif levels[0].fullmatch(name) and os.path.isdir(path):
            yield from walk(path, levels[1:], wanted)
