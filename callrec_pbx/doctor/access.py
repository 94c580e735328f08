"""What Asterisk's user may do with files here, told from owner and mode."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

READ, WRITE, ENTER = 4, 2, 1
LISTENING = "0A"


@dataclass(frozen=True, slots=True)
class User:
    """A user with all groups."""

    uid: int
    gids: frozenset[int]
    name: str


def named(name: str) -> User | None:
    """Return the user of that name; None when this machine knows none."""
    try:
        found = pwd.getpwnam(name)
    except KeyError:
        return None
    return User(found.pw_uid, frozenset(os.getgrouplist(name, found.pw_gid)), name)


def numbered(uid: int) -> User:
    """Return the user of that number."""
    try:
        found = pwd.getpwuid(uid)
    except KeyError:
        return User(uid, frozenset(), str(uid))
    return named(found.pw_name) or User(uid, frozenset({found.pw_gid}), found.pw_name)


def listening_user(port: int, tables: tuple[str, ...] = ("tcp", "tcp6")) -> User | None:
    """Return whose the socket is that listens on a TCP port of this machine; None if none does.

    Source: proc_net_tcp(5): state 0A is LISTEN, the eighth column is the owner's uid.
    """
    for table in tables:
        try:
            rows = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            if columns[3] == LISTENING and int(columns[1].rpartition(":")[2], 16) == port:
                return numbered(int(columns[7]))
    return None


def obstacle(user: User, path: Path, wanted: int) -> str:
    """Return what keeps a user from a file or folder; empty when nothing does.

    Access lists beyond owner and mode are not looked at.
    """
    if user.uid == 0:
        return ""
    for folder in reversed(path.parents):
        if not _may(user, folder, ENTER):
            return f"{user.name} may not enter {folder}"
    if not _may(user, path, wanted):
        what = "write to" if wanted & WRITE else "read"
        return f"{user.name} may not {what} {path}"
    return ""


def _may(user: User, path: Path, wanted: int) -> bool:
    found = path.stat()
    if found.st_uid == user.uid:
        shift = 6
    elif found.st_gid in user.gids:
        shift = 3
    else:
        shift = 0
    return (found.st_mode >> shift) & wanted == wanted
