"""Whom the files belong to: the PBX must be able to read them, and nobody else the secret."""

import grp
import pwd
from pathlib import Path

from callrec_pbx.config import Config
from callrec_pbx.setup import conf
from callrec_pbx.setup.plan import Owner

ROOT = Owner(0, 0)


def of(path: Path) -> Owner | None:
    """Return the owner of what is there; None when nothing is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return Owner(found.st_uid, found.st_gid)


def pbx_owner(config: Config) -> Owner:
    """Return the user and group that the chosen PBX runs as, as far as its files tell."""
    if config.pbx == "freeswitch":
        return freeswitch_owner(config.freeswitch.config_dir)
    return asterisk_owner(config.asterisk.config_dir)


def asterisk_owner(config_dir: Path) -> Owner:
    """Return the user and group that Asterisk runs as, as far as its files tell.

    asterisk.conf may say; else it is whom the configuration belongs to; else, where that is root,
    the user `asterisk` that packages make.
    """
    try:
        text = (config_dir / "asterisk.conf").read_text(encoding="latin-1")
    except OSError:
        text = ""
    options = conf.settings(text, "options")
    named = _user(options.get("runuser", ""), options.get("rungroup", ""))
    if named is not None:
        return named
    for path in (config_dir / "manager.conf", config_dir):
        found = of(path)
        if found is not None and found.gid != 0:
            return found
    return _user("asterisk", "") or ROOT


def freeswitch_owner(config_dir: Path) -> Owner:
    """Return the user and group that FreeSWITCH runs as, as far as its files tell.

    It is whom the configuration belongs to, as the packages' unit gives it to FreeSWITCH's user at
    each start; else, where that is root, the user `freeswitch` that packages make.

    Source: debian/freeswitch-systemd.freeswitch.service of FreeSWITCH 1.11.
    """
    for path in (config_dir / "freeswitch.xml", config_dir):
        found = of(path)
        if found is not None and found != ROOT:
            return found
    return _user("freeswitch", "") or ROOT


def _user(name: str, group: str) -> Owner | None:
    try:
        user = pwd.getpwnam(name)
        return Owner(user.pw_uid, grp.getgrnam(group).gr_gid if group else user.pw_gid)
    except KeyError:
        return None
