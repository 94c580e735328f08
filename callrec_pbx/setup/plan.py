"""What setup would change: made first, shown, and only then carried out."""

import difflib
import re
from dataclasses import dataclass, field
from pathlib import Path

_SECRET = re.compile(r"^([ +-]?\s*secret\s*=>?\s*)\S.*$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Owner:
    """User and group that a file is given, when we may do that."""

    uid: int
    gid: int


@dataclass(frozen=True, slots=True)
class FileChange:
    """One file before and after.

    Attributes:
        before: Content now; None when there is no such file.
        after: Content to be; None removes the file.
        mode: Permissions of a new file; an existing one keeps its own, unless `ours`.
        owner: Owner of a new file; an existing one keeps its own.
        ours: Whether the file is wholly ours; the others are the administrator's.
        take: Whether an existing file is given `mode` and `owner` too.
        hidden: Secrets that the diff does not show.
        backup: Where the content before is kept, if it is.
    """

    path: Path
    before: bytes | None
    after: bytes | None
    mode: int = 0o644
    owner: Owner | None = None
    ours: bool = True
    backup: Path | None = None
    take: bool = False
    hidden: tuple[str, ...] = field(default=(), repr=False)

    @property
    def action(self) -> str:
        """`create`, `change`, `remove` or `none`."""
        if self.before == self.after:
            return "none"
        if self.before is None:
            return "create"
        return "remove" if self.after is None else "change"

    def diff(self) -> str:
        """Return a unified diff, with secrets hidden; empty for binary files."""
        before, after = self.before or b"", self.after or b""
        if b"\0" in before or b"\0" in after:
            return ""
        there = str(self.path)
        old = "/dev/null" if self.before is None else there
        new = "/dev/null" if self.after is None else there
        shown = difflib.unified_diff(_shown(before), _shown(after), old, new, lineterm="")
        text = _SECRET.sub(r"\1********", "\n".join(shown))
        for secret in self.hidden:
            text = text.replace(secret, "********")
        return text


def _shown(content: bytes) -> list[str]:
    return content.decode("utf-8", "replace").splitlines()


@dataclass(frozen=True, slots=True)
class NewFolder:
    """A folder to be made."""

    path: Path
    mode: int = 0o755
    owner: Owner | None = None


@dataclass(slots=True)
class Plan:
    """Everything that would be done, in the order in which it is done.

    Attributes:
        folders: Folders to make, parents first.
        files: Files to change; those that only say what is so already are left out.
        old_folders: Folders to remove, if they are empty by then; deepest first.
        notes: What the administrator should know or do.
    """

    folders: list[NewFolder] = field(default_factory=list)
    files: list[FileChange] = field(default_factory=list)
    old_folders: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, change: FileChange) -> None:
        """Take a change, if it is one."""
        if change.action != "none":
            self.files.append(change)

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.folders and not self.files and not self.old_folders
