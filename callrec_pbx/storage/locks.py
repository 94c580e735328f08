"""Locks on one recording or call, across threads, processes and machines that share a directory.

The lock file is one for all: each item has a byte of its own in it, far beyond its end, which is
locked as an "open file description" lock. So no lock leaves a file behind, and the kernel lets go
when a process dies.

Source: fcntl_locking(2), "Open file description locks" (Linux 3.15).
"""

import errno
import fcntl
import hashlib
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

LOCK_NAME = ".lock"
FILE_MODE = 0o660

# struct flock: l_type, l_whence, l_start, l_len, l_pid (0 for these locks).
_FLOCK = "hhqqi4x"
_LAST = (1 << 62) - 1


class BusyError(OSError):
    """Somebody else holds the lock; what was wanted is to be tried later."""


@contextmanager
def held(directory: Path, item: str, *, shared: bool = False, wait: bool = True) -> Iterator[None]:
    """Hold the lock of an item while the block runs.

    Args:
        directory: The recordings directory.
        item: What is locked: the id of a recording or call, or another name.
        shared: Let others in who want it shared too.
        wait: Wait for whoever holds it.

    Raises:
        BusyError: somebody else holds it, and `wait` is False.
        OSError: the lock file cannot be made or opened.
    """
    kind = fcntl.F_RDLCK if shared else fcntl.F_WRLCK
    handle = os.open(directory / LOCK_NAME, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, FILE_MODE)
    try:
        share(handle)
        request = struct.pack(_FLOCK, kind, os.SEEK_SET, _byte(item), 1, 0)
        command = fcntl.F_OFD_SETLKW if wait else fcntl.F_OFD_SETLK
        try:
            fcntl.fcntl(handle, command, request)
        except OSError as error:
            if wait or error.errno not in (errno.EAGAIN, errno.EACCES):
                raise
            raise BusyError(error.errno, f"{item}: somebody else is at work on it") from None
        yield
    finally:
        os.close(handle)


def share(handle: int) -> None:
    """Let the group lock too, also where an administrator's command made the file."""
    if os.fstat(handle).st_mode & 0o777 != FILE_MODE:
        with suppress(PermissionError):
            os.fchmod(handle, FILE_MODE)


def _byte(item: str) -> int:
    return int.from_bytes(hashlib.blake2b(item.encode(), digest_size=8).digest()) & _LAST
