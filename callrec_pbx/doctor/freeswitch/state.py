"""Checks of what FreeSWITCH is and has loaded, and of who talks to it."""

import re
import time
from collections.abc import AsyncIterator
from fnmatch import fnmatchcase
from xml.etree.ElementTree import Element

from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.doctor.freeswitch import probe as esl
from callrec_pbx.doctor.freeswitch.probe import EslProbe
from callrec_pbx.pbx.errors import ActionFailedError
from callrec_pbx.setup.templates import STALE_S

OLDEST = (1, 10, 12)
UPGRADE = f"take FreeSWITCH {'.'.join(map(str, OLDEST))} or later"
MODULES = {
    "mod_commands": "the commands of the listener",
    "mod_dptools": "the applications that the scripts run",
    "mod_lua": "the scripts",
    "mod_sndfile": "WAV files: recordings and prompts",
    "mod_tone_stream": "the reminder tone",
}
"""What the scripts and the listener use, and what for."""

NOBODY = "callrec-doctor-none"
"""A call that no FreeSWITCH has: a command about it does nothing."""

COMMANDS = ("uuid_record", "uuid_setvar_multi", "uuid_displace", "uuid_dump", "uuid_buglist")
"""What the listener commands. Each refuses a call that is not there."""

MOST_SKEW_S = 1.0
MOST_SHOWN = 10


async def check_version(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """It is one that callrec-pbx knows."""
    version = await esl.said(probe, "version short")
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if match is None:
        yield warn("version", f"FreeSWITCH's version cannot be told: {version!r}", UPGRADE)
    elif tuple(map(int, match.groups())) < OLDEST:
        yield warn(
            "version",
            f"FreeSWITCH {version} is older than what callrec-pbx is made for",
            UPGRADE,
        )
    else:
        yield ok("version", f"FreeSWITCH {version}")


async def check_modules(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """Every module that is used is loaded."""
    missing = [
        f"{module} ({use})"
        for module, use in MODULES.items()
        if await esl.said(probe, f"module_exists {module}") != "true"
    ]
    if missing:
        first = missing[0].partition(" ")[0]
        yield fail(
            "modules",
            f"not loaded: {', '.join(missing)}",
            "name them in autoload_configs/modules.conf.xml, and load them now with "
            f'`fs_cli -x "load {first}"`; FreeSWITCH\'s log says why one does not load',
        )
        return
    yield ok("modules", f"all {len(MODULES)} that are needed are loaded")


async def check_recorder(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """What records is there, and nothing set for all calls spoils what it writes."""
    missing = [name for name in COMMANDS if not await esl.knows(probe, f"{name} {NOBODY}")]
    if missing:
        yield fail(
            "recorder",
            f"FreeSWITCH does not know the commands {', '.join(missing)}",
            "load mod_commands; FreeSWITCH's log says why it does not load",
        )
        return
    yield ok("recorder", "uuid_record is there")


async def check_clock(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """FreeSWITCH's clock and ours agree; it keeps one of its own beside the machine's."""
    before = time.time()
    there = await _now(probe)
    after = time.time()
    skew = max(before - there, there - after, 0.0)
    seen = f"FreeSWITCH's clock differs by {skew:.1f} s"
    if skew > MOST_SKEW_S:
        yield warn(
            "clock",
            seen,
            "let the machine keep time by NTP, and FreeSWITCH follow it: "
            '`fs_cli -x "fsctl sync_clock_when_idle"`',
        )
    else:
        yield ok("clock", seen)


async def _now(probe: EslProbe) -> float:
    """Epoch seconds by FreeSWITCH's clock.

    Source: FreeSWITCH 1.11.1, mod_dptools.c: microseconds of the clock that events carry.
    """
    output = await esl.said(probe, "strmicroepoch")
    try:
        return int(output) / 1e6
    except ValueError:
        raise ActionFailedError(f"strmicroepoch says {output!r}") from None


async def check_heartbeat(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """A listener is at work."""
    beat = await esl.variable(probe, "callrec_heartbeat")
    age = await _now(probe) - float(beat) if re.fullmatch(r"\d+(\.\d+)?", beat) else None
    if age is not None and age <= STALE_S + 1:
        yield ok("heartbeat", "the listener runs")
        return
    seen = "never since FreeSWITCH started" if age is None else f"last heard of {age:.0f} s ago"
    yield warn("heartbeat", f"no listener runs ({seen})", "start `callrec-pbx run`")


async def check_trunks(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:
    """The patterns of outside lines match gateways or SIP profiles."""
    try:
        found = await esl.tree(probe, "sofia xmlstatus")
    except ActionFailedError as error:
        yield warn("trunks", f"gateways cannot be listed: {error}", "load mod_sofia")
        return
    if found is None:
        yield warn("trunks", "FreeSWITCH's list of gateways cannot be read", "see `sofia status`")
        return
    settings = config.freeswitch
    gateways = _names(found, "gateway")
    profiles = _names(found, "profile")
    names = [*gateways, *profiles]
    matching = [name for name in names if settings.is_trunk(name)]
    idle = [p for p in settings.trunks if not any(fnmatchcase(name, p) for name in names)]
    remedy = (
        f"set freeswitch.trunks in {config.path} to patterns of the gateways and SIP profiles that "
        f"are outside lines; gateways are {_listed(gateways)}, profiles {_listed(profiles)}"
    )
    if not matching:
        patterns = ", ".join(settings.trunks) or "anything"
        yield fail("trunks", f"no gateway or SIP profile is like {patterns}", remedy)
    elif profiles and all(settings.is_trunk(name) for name in profiles):
        yield warn(
            "trunks",
            f"every SIP profile counts as an outside line ({_listed(profiles)}), so that no phone "
            "is a line",
            remedy,
        )
    elif idle:
        yield warn("trunks", f"no gateway or SIP profile is like {', '.join(idle)}", remedy)
    else:
        yield ok("trunks", f"outside lines: {', '.join(dict.fromkeys(matching))}")


def _names(found: Element, kind: str) -> list[str]:
    return sorted({(one.findtext("name") or "").strip() for one in found.iter(kind)})


def _listed(names: list[str]) -> str:
    more = ", ..." if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more or "none"
