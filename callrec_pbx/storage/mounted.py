"""Whether the recordings directory is the one with the recordings, or only where it is mounted."""

import errno
from pathlib import Path

from callrec_pbx.storage.paths import SpoolError

DAYS = "[0-9][0-9][0-9][0-9]/[0-9][0-9]/[0-9][0-9]"
"""The folders of days, as a glob."""


def check_mounted(directory: Path) -> None:
    """Refuse a recordings directory without the folder of any day.

    Who asks knows of recordings that lie there. Believing their rows would say of audio that it is
    deleted while it is on a disk that is not mounted.

    Raises:
        SpoolError: it is not there, or has no folder of a day.
    """
    if not directory.is_dir():
        problem = "is not there; create or mount it"
    elif next(directory.glob(DAYS), None) is None:
        problem = (
            "has no folder of a day, and the catalogue knows recordings or calls; mount it, or see "
            "that it is the right one"
        )
    else:
        return
    raise SpoolError(
        errno.ENOENT, "spool_missing", f"recordings.directory {str(directory)!r}: {problem}"
    )
