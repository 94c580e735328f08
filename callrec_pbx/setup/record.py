"""What setup has put in place, kept beside it, so that undo and the next setup know."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from callrec_pbx.setup.errors import SetupError

RECORD = "installed.json"


@dataclass(frozen=True, slots=True)
class Touched:
    """A file of the administrator that has a block of ours in it.

    Attributes:
        existed: Whether there was such a file before us.
        newline_added: Whether our block needed a line break before it.
    """

    existed: bool
    newline_added: bool


@dataclass(frozen=True, slots=True)
class Replaced:
    """A file of the administrator in whose place there is one of ours.

    Attributes:
        sha256: Of what we wrote.
        backup: Where the administrator's is.
    """

    sha256: str
    backup: str


@dataclass(slots=True)
class Record:
    """All that setup has made.

    Attributes:
        files: Our files, with the SHA-256 of what we wrote.
        folders: Folders that we made, parents first.
        touched: Files of the administrator with a block of ours.
        replaced: Files of the administrator that ours are instead of.
    """

    files: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)
    touched: dict[str, Touched] = field(default_factory=dict)
    replaced: dict[str, Replaced] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """Return the record's file, always the same for the same content."""
        document: dict[str, Any] = {
            "version": 1,
            "files": dict(sorted(self.files.items())),
            "folders": self.folders,
            "touched": {
                path: {"existed": touched.existed, "newline_added": touched.newline_added}
                for path, touched in sorted(self.touched.items())
            },
        }
        if self.replaced:
            document["replaced"] = {
                path: {"sha256": replaced.sha256, "backup": replaced.backup}
                for path, replaced in sorted(self.replaced.items())
            }
        return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def load(path: Path) -> Record | None:
    """Read the record; None when there is none.

    Raises:
        SetupError: It cannot be read, or is not one.
    """
    try:
        document: Any = json.loads(path.read_text(encoding="utf-8"))
        return Record(
            files={str(name): str(digest) for name, digest in document["files"].items()},
            folders=[str(name) for name in document["folders"]],
            touched={
                str(name): Touched(bool(entry["existed"]), bool(entry["newline_added"]))
                for name, entry in document["touched"].items()
            },
            replaced={
                str(name): Replaced(str(entry["sha256"]), str(entry["backup"]))
                for name, entry in document.get("replaced", {}).items()
            },
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SetupError(f"{path}: cannot be read ({error.strerror}); run setup as root") from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SetupError(
            f"{path}: is not a record of setup; restore it from a backup, or remove it and the "
            "marked blocks and run setup again"
        ) from error
