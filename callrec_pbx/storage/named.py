"""Recordings under names for people: hard links below `named/` to the files at their ids' paths.

The audio itself stays where its id says; a link is one more name of the same file, and goes first
when it is deleted.
"""

import os
from contextlib import suppress
from pathlib import Path

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from callrec_pbx.storage import files, naming
from callrec_pbx.storage.naming import Names

FOLDER = "named"
FOLDER_MODE = 0o2770
_TRIES = 5


def path_of(root: Path, named: str) -> Path:
    """Where a recording lies that is noted under that name.

    Raises:
        ValueError: it is no name that we have made; it would lead elsewhere.
    """
    if not naming.is_safe(named):
        raise ValueError(f"named {named!r}: is no path below {FOLDER}/; only our own names are")
    return root / FOLDER / named


def paths_of(root: Path, recording: RecordingFacts) -> tuple[Path, ...]:
    """Where a recording lies under its name, if it has one that is ours."""
    if not recording.named or not naming.is_safe(recording.named):
        return ()
    return (root / FOLDER / recording.named,)


def link(
    root: Path,
    target: Path,
    names: Names,
    recording: RecordingFacts,
    call: CallFacts,
) -> str:
    """Give a file its name below `named/`; done twice it is the same name.

    Args:
        root: The recordings directory.
        target: The file that somebody would listen to.
        names: How it is called.
        recording: The recording; what it was named before is taken away.
        call: Its call.

    Returns:
        The name, for `RecordingFacts.named`.

    Raises:
        OSError: the file is not there, or the file system has no hard links.
    """
    stem = names.stem(recording, call)
    extension = target.suffix.removeprefix(".")

    def is_taken(named: str) -> bool:
        return not _link(root, target, root / FOLDER / named)

    named = naming.free(stem, recording.recording_id, extension, is_taken)
    if recording.named and recording.named != named:
        remove(root, recording.named)
    return named


def _link(root: Path, target: Path, name: Path) -> bool:
    """Make the link; False when that name is another file's."""
    for _ in range(_TRIES):
        files.make_folder(str(root), str(name.parent), FOLDER_MODE)
        try:
            os.link(target, name)
        except FileExistsError:
            return name.samefile(target)
        except FileNotFoundError:
            # Somebody has removed the empty folder meanwhile; or the file is not there.
            target.stat()
            continue
        files.flush_folder(str(name.parent))
        return True
    raise OSError(f"{name}: its folder disappears as often as it is made")


def remove(root: Path, named: str) -> bool:
    """Take a name away, and the folders that are empty without it.

    Returns:
        Whether it was there.

    Raises:
        ValueError: it is no name that we have made.
        OSError: it cannot be deleted.
    """
    path = path_of(root, named)
    try:
        path.unlink()
        existed = True
    except (FileNotFoundError, NotADirectoryError):
        existed = False
    if existed:
        files.flush_folder(str(path.parent))
    _remove_empty(root, path.parent)
    return existed


def _remove_empty(root: Path, folder: Path) -> None:
    with suppress(OSError):
        while folder != root / FOLDER:
            folder.rmdir()
            folder = folder.parent


def find(root: Path, path: Path) -> str:
    """The name of a file that has one, where nothing says which; empty when it has none.

    It looks through all names, so it is asked only for a file with more than one link.
    """
    with suppress(FileNotFoundError):
        wanted = path.lstat()
        if wanted.st_nlink > 1:
            for folder, _, names in os.walk(root / FOLDER):
                for name in names:
                    found = Path(folder, name)
                    with suppress(FileNotFoundError):
                        if found.samefile(path):
                            return found.relative_to(root / FOLDER).as_posix()
    return ""
