"""The plan for systemd: one unit, made from the configuration."""

import grp
import pwd
import re
import shutil
import subprocess
import sys
from pathlib import Path

from callrec_pbx.audio.manifest import sha256_of
from callrec_pbx.catalogue.engine import sqlite_file
from callrec_pbx.config import Config
from callrec_pbx.setup import files
from callrec_pbx.setup.errors import SetupError
from callrec_pbx.setup.owner import pbx_owner
from callrec_pbx.setup.plan import FileChange, NewFolder, Owner, Plan

TEMPLATE = Path(__file__).with_name("callrec-pbx.service")
FOLDER = Path("/etc/systemd/system")
UNIT = "callrec-pbx.service"
SYSTEMCTL_S = 120

COMMANDS: dict[bool, tuple[tuple[tuple[str, ...], ...], tuple[tuple[str, ...], ...]]] = {
    False: ((), (("daemon-reload",), ("enable", UNIT), ("restart", UNIT))),
    True: ((("disable", "--now", UNIT),), (("daemon-reload",),)),
}
"""What systemctl is told before and after a change, for a setup and for its undoing."""


_HEAD = (
    "# Made by `callrec-pbx setup systemd`, which writes it anew; for changes of your own use\n"
    "# `systemctl edit callrec-pbx`.\n"
    "# sha256: {digest}\n\n"
)
_MADE = re.compile(
    r"# Made by `callrec-pbx setup systemd`.*?\n# sha256: ([0-9a-f]{64})\n\n", re.DOTALL
)
_PLACEHOLDER = re.compile(r"@([A-Z]+)@")
_PATH = re.compile(r"/[A-Za-z0-9._/+-]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_OWN_TMP = (Path("/tmp"), Path("/var/tmp"))  # noqa: S108 - what PrivateTmp= takes away
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))


def plan_systemd(
    config: Config,
    user: str = "",
    group: str = "",
    program: Path | None = None,
    folder: Path = FOLDER,
) -> Plan:
    """Plan the unit; nothing is changed.

    Args:
        config: The configuration.
        user: Whom the listener runs as; empty for the PBX's own user.
        group: Its group, which must be able to delete what the PBX writes; empty for the PBX's.
        program: The installed command; else the one beside the Python that runs now.
        folder: Where units are.

    Raises:
        SetupError: It cannot be done; the message says why.
    """
    who, names = _who(config, user, group)
    writes, folders = _writes(config)
    program = program or _program()
    used = [*writes, program, config.path.absolute()]
    values = {
        "PBX": config.pbx,
        "USER": names[0],
        "GROUP": names[1],
        "PROGRAM": str(program),
        "CONFIG": str(config.path.absolute()),
        "MOUNTS": " ".join(str(path) for path in writes),
        "WRITES": " ".join(str(path) for path in writes),
        "TMP": "no" if _is_below(used, _OWN_TMP) else "yes",
        "HOME": "read-only" if _is_below(used, _HOMES) else "yes",
    }
    for path in used:
        if not _PATH.fullmatch(str(path)):
            raise SetupError(
                f"{path}: cannot be written into a unit; use a path of letters, digits and "
                ". _ + - /"
            )
    plan = Plan()
    file = folder / UNIT
    before = files.read(file)
    if before is not None and not _is_ours(before):
        raise SetupError(
            f"{file}: was not made by this command, or was changed since; move it away, and put "
            "changes of your own into `systemctl edit callrec-pbx`"
        )
    plan.add(FileChange(file, before, _unit(values), 0o644, Owner(0, 0)))
    for new in folders:
        if not new.is_dir():
            _folder(plan, new, who)
    _notes(plan, config, folder, names[0], who)
    return plan


def plan_undo_systemd(folder: Path = FOLDER) -> Plan:
    """Plan the removal of the unit.

    Raises:
        SetupError: There is none of ours.
    """
    file = folder / UNIT
    content = files.read(file)
    if content is None:
        raise SetupError(f"{file}: there is no such file; nothing to undo")
    plan = Plan()
    if _is_ours(content):
        plan.add(FileChange(file, content, None))
        plan.notes.append(f"stop it first: systemctl disable --now {UNIT}, or give --now")
    else:
        plan.notes.append(f"{file}: was not made by this command, or was changed since, and stays")
    return plan


def systemctl(*arguments: str) -> tuple[str, str]:
    """Run systemctl; return the command and what it said.

    Raises:
        SetupError: There is no systemd, or it refuses.
    """
    command = " ".join(("systemctl", *arguments))
    try:
        done = subprocess.run(  # noqa: S603
            ["systemctl", *arguments],  # noqa: S607 - the machine's own
            capture_output=True,
            text=True,
            timeout=SYSTEMCTL_S,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SetupError(f"{command}: {error}; the unit is in place, run it by hand") from error
    said = (done.stdout + done.stderr).strip()
    if done.returncode != 0:
        raise SetupError(f"{command}: {said}; see journalctl -u callrec-pbx")
    return command, said


def _who(config: Config, user: str, group: str) -> tuple[Owner, tuple[str, str]]:
    for name in (user, group):
        if name and not _NAME.fullmatch(name):
            raise SetupError(f"{name!r}: is not the name of a user or group")
    pbx = pbx_owner(config)
    try:
        found = pwd.getpwnam(user) if user else pwd.getpwuid(pbx.uid)
        shared = grp.getgrnam(group) if group else grp.getgrgid(pbx.gid)
    except KeyError as error:
        raise SetupError(
            f"{error.args[0]}; make that user or group first, or name another with --user, --group"
        ) from None
    return Owner(found.pw_uid, shared.gr_gid), (found.pw_name, shared.gr_name)


def _writes(config: Config) -> tuple[list[Path], list[Path]]:
    """The folders that the listener writes to, and those of them that setup makes."""
    found = [config.recordings.directory]
    made: list[Path] = []
    database = sqlite_file(config.catalogue.url)
    if database is not None:
        found.append(database.parent)
        made.append(database.parent)
    return found, made


def _program() -> Path:
    beside = Path(sys.executable).with_name("callrec-pbx")
    if beside.is_file():
        return beside
    found = shutil.which("callrec-pbx")
    if found is None:
        raise SetupError("callrec-pbx is not found on the PATH; name it with --program")
    return Path(found).absolute()


def _is_below(paths: list[Path], folders: tuple[Path, ...]) -> bool:
    return any(path.is_relative_to(folder) for path in paths for folder in folders)


def _unit(values: dict[str, str]) -> bytes:
    text = _PLACEHOLDER.sub(
        lambda match: values[match.group(1)], TEMPLATE.read_text(encoding="utf-8")
    )
    return (_HEAD.format(digest=sha256_of(text.encode())) + text).encode()


def _is_ours(content: bytes) -> bool:
    """Whether this command made it, and nobody has changed it since."""
    text = content.decode("utf-8", "replace")
    match = _MADE.match(text)
    return match is not None and sha256_of(text[match.end() :].encode()) == match.group(1)


def _folder(plan: Plan, path: Path, who: Owner) -> None:
    missing = [one for one in (path, *path.parents) if not one.is_dir()]
    for one in reversed(missing):
        plan.folders.append(NewFolder(one, 0o750, who) if one == path else NewFolder(one))


def _notes(plan: Plan, config: Config, folder: Path, user: str, who: Owner) -> None:
    if who.uid == 0:
        plan.notes.append("the listener would run as root; name another user with --user")
    if not folder.is_dir():
        plan.notes.append(f"{folder}: there is no such folder; is this a machine with systemd?")
    if not config.recordings.directory.is_dir():
        plan.notes.append(
            f"{config.recordings.directory}: there is no such folder; run "
            f"`callrec-pbx setup {config.pbx}` first"
        )
    database = sqlite_file(config.catalogue.url)
    if database is None or not database.exists():
        return
    if database.stat().st_uid != who.uid:
        plan.notes.append(
            f"{database}: does not belong to {user}, who must write to it: chown {user} {database}*"
        )
