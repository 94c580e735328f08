"""What the PBX's user may do with files here, told from owner and mode."""

import ipaddress
import os
import pwd
import sys
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


@dataclass(frozen=True, slots=True)
class Listener:
    """A TCP socket of this machine that takes connections."""

    address: ipaddress.IPv4Address | ipaddress.IPv6Address
    uid: int


def listeners(port: int, tables: tuple[str, ...] = ("tcp", "tcp6")) -> list[Listener]:
    """Return the sockets that listen on a TCP port of this machine.

    Source: proc_net_tcp(5): state 0A is LISTEN, the eighth column is the owner's uid; an address
    is words of 32 bits, each in the machine's byte order.
    """
    found = []
    for table in tables:
        try:
            rows = Path("/proc/net", table).read_text(encoding="ascii").splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            columns = row.split()
            address, _, number = columns[1].rpartition(":")
            if columns[3] == LISTENING and int(number, 16) == port:
                found.append(Listener(_address(address), int(columns[7])))
    return found


def _address(words: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    raw = b"".join(
        int(words[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(words), 8)
    )
    address = ipaddress.ip_address(raw)
    return getattr(address, "ipv4_mapped", None) or address


def listening_user(port: int) -> User | None:
    """Return whose the socket is that listens on a TCP port of this machine; None if none does."""
    found = listeners(port)
    return numbered(found[0].uid) if found else None


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
