"""What the plans for both PBXes have in common."""

import secrets
from pathlib import Path

from callrec_pbx.audio.manifest import sha256_of
from callrec_pbx.config import Config
from callrec_pbx.config.settings import PbxKind
from callrec_pbx.setup import files, owner
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.plan import FileChange, NewFolder, Owner, Plan
from callrec_pbx.setup.prompts import plan_prompts
from callrec_pbx.setup.record import RECORD, Record, load

FOLDER = "callrec"
BACKUP_SUFFIX = ".callrec-bak"
SECRET_BYTES = 24


def refuse_other_pbx(config: Config, kind: PbxKind) -> None:
    """Refuse to set up a PBX that is not the one of the configuration.

    Raises:
        SetupError: The configuration names the other.
    """
    if config.pbx != kind:
        raise SetupError(
            f"{config.path}: pbx = {config.pbx!r}, and this would set up {kind}; run "
            f'`callrec-pbx setup {config.pbx}`, or write pbx = "{kind}" there and check the '
            f"section [{kind}]"
        )


def new_secret() -> str:
    """Return a secret that nobody can guess."""
    return secrets.token_urlsafe(SECRET_BYTES)


class Planner:
    """Plans files, folders and prompts, and notes them in the record.

    Args:
        config: The configuration.
        etc: The PBX's configuration folder, below which the record is.
        who: Whom the PBX runs as.
        new_configuration: Text of the configuration file, when there is none yet.

    Raises:
        SetupError: The record of an earlier setup cannot be read.
    """

    def __init__(self, config: Config, etc: Path, who: Owner, new_configuration: str) -> None:
        self._config = config
        self._new_configuration = new_configuration
        self._etc = etc
        self._owner = who
        self._before = load(etc / FOLDER / RECORD) or Record()
        self._record = Record(folders=list(self._before.folders))
        self._plan = Plan()

    def _folder(self, path: Path, mode: int, who: Owner | None = None) -> None:
        for parent in reversed([path, *path.parents]):
            if parent.is_dir():
                continue
            if all(folder.path != parent for folder in self._plan.folders):
                own = who or self._owner
                new = NewFolder(parent, mode, own) if parent == path else NewFolder(parent)
                self._plan.folders.append(new)
            if str(parent) not in self._record.folders:
                self._record.folders.append(str(parent))

    def _ours(
        self,
        path: Path,
        content: bytes,
        mode: int = 0o644,
        who: Owner | None = None,
        hidden: tuple[str, ...] = (),
    ) -> None:
        self._record.files[str(path)] = sha256_of(content)
        self._plan.add(
            FileChange(path, files.read(path), content, mode, who or self._owner, hidden=hidden)
        )

    def _keep(self, path: Path) -> bool:
        """Note again what an earlier setup has made; whether it has."""
        if str(path) not in self._before.files:
            return False
        self._record.files[str(path)] = self._before.files[str(path)]
        return True

    def _reader(self) -> Owner:
        """Whom our own configuration belongs to; its group is the listener's."""
        file = self._config.path.absolute()
        there = owner.of(file) or owner.of(file.parent) or Owner(0, 0)
        # The listener reads them, usually as the user that the PBX runs as.
        return Owner(there.uid, there.gid or self._owner.gid)

    def _own_configuration(self) -> None:
        """Plan our own configuration where there is none."""
        file = self._config.path.absolute()
        if self._new_configuration and not file.exists():
            who = self._reader()
            self._folder(file.parent, 0o750, who)
            self._ours(file, self._new_configuration.encode(), 0o640, who)
        else:
            self._keep(file)

    def _secret_file(self, file: Path, secret: str) -> None:
        """Plan the file that holds the secret."""
        who = self._reader()
        self._folder(file.parent, 0o750, who)
        self._ours(file, f"{secret}\n".encode(), 0o640, who, hidden=(secret,))

    def _prompts(self, sounds_dir: Path, folders_of_rates: bool = False) -> None:
        prompts = plan_prompts(sounds_dir, self._before.files, folders_of_rates)
        for path, content in prompts.files.items():
            self._folder(path.parent, 0o755)
            self._ours(path, content)
        if prompts.kept:
            self._plan.notes.append(
                "kept, as they are the administrator's own prompts: " + ", ".join(prompts.kept)
            )

    def _old_files(self) -> None:
        """Plan the removal of what an earlier version installed and this one does not."""
        for name, digest in self._before.files.items():
            gone = name in self._record.files or name in self._record.replaced
            content = None if gone else files.read(Path(name))
            if content is not None and sha256_of(content) == digest:
                self._plan.add(FileChange(Path(name), content, None))

    def _write_record(self) -> None:
        record = self._etc / FOLDER / RECORD
        before = files.read(record)
        self._plan.add(FileChange(record, before, self._record.to_json(), 0o644, self._owner))

    def _planned(self, path: Path) -> str:
        """Return the text that a file will have."""
        after = [change.after for change in self._plan.files if change.path == path]
        return (after[0] or b"").decode("latin-1") if after else files.text(path)
