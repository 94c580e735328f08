"""Filling in the templates of dialplan/, ami/ and esl/."""

import re

from callrec_pbx.config import Config
from callrec_pbx.pbx.asterisk.link import WANTED
from callrec_pbx.resources import resource_dir
from callrec_pbx.setup.errors import SetupError

STALE_S = 3
"""Seconds after which the dialplan takes a heartbeat for the last sign of a dead listener."""

LIST_ANSWERS = frozenset(
    {
        b"Status",
        b"StatusComplete",
        b"BridgeListItem",
        b"BridgeListComplete",
        b"EndpointList",
        b"EndpointListComplete",
    }
)
"""Events that only answer an action; no filter holds those back (seen on Asterisk 22.10)."""

FILTERS_BY_NAME = {18: 26, 20: 11, 21: 6, 22: 1}
"""First minor version with `eventfilter(name(...))`, by major version.

Source: asterisk/asterisk pull request 874; asterisk/documentation pull request 162.
"""

Version = tuple[int, int]

_PLACEHOLDER = re.compile(r"@([A-Z_]+)@")


def extensions_conf(config: Config) -> bytes:
    """The dialplan."""
    return _fill(
        ("dialplan", "asterisk", "extensions.conf"),
        {
            "ON_UNAVAILABLE": config.offer.on_unavailable.value,
            "WAIT_S": f"{config.offer.wait_ms / 1000:g}",
            "STALE_S": str(STALE_S),
            "LANGUAGE": config.prompts.language,
        },
    )


def features_conf(config: Config) -> bytes:
    """The in-call keys."""
    keys = config.keys
    return _fill(
        ("dialplan", "asterisk", "features.conf"),
        {"KEY_PAUSE": keys.pause, "KEY_START": keys.start, "KEY_DISCARD": keys.discard},
    )


def manager_conf(config: Config, secret: str, version: Version | None) -> bytes:
    """The manager user, with the kind of event filters that this version of Asterisk knows."""
    return _fill(
        ("ami", "manager.conf"),
        {"USERNAME": config.asterisk.username, "SECRET": secret},
        {"EVENT_FILTERS": event_filters(version)},
    )


def freeswitch_files(config: Config) -> dict[str, bytes]:
    """The scripts and the dialplan of FreeSWITCH, by the name of the file."""
    keys = config.keys
    values = {
        "ON_UNAVAILABLE": config.offer.on_unavailable.value,
        "WAIT_MS": str(config.offer.wait_ms),
        "STALE_S": str(STALE_S),
        "LANGUAGE": config.prompts.language,
        "SOUNDS": str(config.freeswitch.sounds_dir / "callrec"),
        "KEY_PAUSE": keys.pause,
        "KEY_START": keys.start,
        "KEY_DISCARD": keys.discard,
    }
    folder = resource_dir("dialplan") / "freeswitch"
    names = sorted(path.name for path in folder.iterdir() if path.suffix in (".lua", ".xml"))
    return {name: _fill(("dialplan", "freeswitch", name), values) for name in names}


def event_socket_conf(port: int, password: str) -> bytes:
    """FreeSWITCH's event socket, on loopback."""
    return _fill(("esl", "event_socket.conf.xml"), {"PORT": str(port), "PASSWORD": password})


def wanted_events() -> list[str]:
    """Return the names of the events that the listener reads and a filter must let through."""
    return sorted(name.decode() for name in WANTED - LIST_ANSWERS)


def knows_filters_by_name(version: Version | None) -> bool:
    """Whether this version has filters by name; False when the version is not known."""
    if version is None:
        return False
    major, minor = version
    if major in FILTERS_BY_NAME:
        return minor >= FILTERS_BY_NAME[major]
    return major > max(FILTERS_BY_NAME)


def event_filters(version: Version | None) -> list[str]:
    """Return the lines that let only the wanted events through."""
    others = [name for name in wanted_events() if name != "UserEvent"]
    if knows_filters_by_name(version):
        return [f"eventfilter(action(include),name({name})) =" for name in others] + [
            "eventfilter(action(include),name(UserEvent),header(UserEvent),method(starts_with))"
            " = Callrec"
        ]
    return [
        f"eventfilter = ^Event: ({'|'.join(others)})[[:space:]]",
        "eventfilter = ^Event: UserEvent[[:space:]].*UserEvent: Callrec",
    ]


def _fill(
    template: tuple[str, ...], values: dict[str, str], blocks: dict[str, list[str]] | None = None
) -> bytes:
    blocks = blocks or {}
    for name, value in [*values.items(), *((n, v) for n, block in blocks.items() for v in block)]:
        if not value.isprintable() or not value:
            raise SetupError(f"{name}: {value!r} cannot be written into a configuration file")
    folder, *rest = template
    path = resource_dir(folder).joinpath(*rest)
    texts = {**values, **{name: "\n".join(block) for name, block in blocks.items()}}

    def text_of(match: re.Match[str]) -> str:
        if match.group(1) not in texts:
            raise SetupError(f"{path}: @{match.group(1)}@ is not known; install callrec-pbx again")
        return texts[match.group(1)]

    return _PLACEHOLDER.sub(text_of, path.read_text(encoding="utf-8")).encode()
