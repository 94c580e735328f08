"""Checks of what the manager user may do and what it is told."""

import re
from collections.abc import AsyncIterator, Sequence

from callrec_pbx.config import Config
from callrec_pbx.doctor.asterisk.probe import PbxProbe, file_lines, refusal
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.setup.templates import wanted_events

NOBODY = "callrec-doctor/none"
"""A channel that no PBX has: an action about it does nothing."""

READ = ("system", "call", "user")
SETUP = "run `callrec-pbx setup asterisk --reload`"
TRUE = ("yes", "true", "on", "y", "t", "1")

_DENIED = re.compile("permission denied", re.IGNORECASE)
_UNKNOWN = re.compile("unknown command", re.IGNORECASE)
_NAME = re.compile(r"name\((\w+)\)")


async def check_rights(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:
    """Each class of rights, by an action that has no effect."""
    missing = []
    for right, action, headers in (
        ("call", "Setvar", {"Channel": NOBODY, "Variable": "CALLREC_DOCTOR", "Value": "1"}),
        ("system", "MixMonitor", {"Channel": NOBODY}),
        ("reporting", "ShowDialPlan", {"Context": NOBODY}),
    ):
        if _DENIED.search(await refusal(probe, action, **headers)):
            missing.append(right)
    if missing:
        yield fail(
            "ami_rights",
            f"the manager user {config.asterisk.username} lacks write rights: {', '.join(missing)}",
            SETUP,
        )
        return
    if not _DENIED.search(await refusal(probe, "Command", Command="core show uptime")):
        yield warn(
            "ami_rights",
            f"the manager user {config.asterisk.username} may run CLI commands, needlessly",
            f"{SETUP}, which makes a user with least rights",
        )
        return
    yield ok("ami_rights", "write rights are call, system and reporting, and no more than needed")


async def check_monitor(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """The recorder itself is loaded; a module that declined to load still counts as loaded."""
    for action in ("MixMonitor", "MixMonitorMute", "StopMixMonitor"):
        said = await refusal(probe, action, Channel=NOBODY)
        if _UNKNOWN.search(said):
            yield fail(
                "recorder",
                f"Asterisk does not know the action {action}",
                "load app_mixmonitor.so in modules.conf, and see Asterisk's log why it declined",
            )
            return
    yield ok("recorder", "MixMonitor is there")


async def check_filters(probe: PbxProbe, config: Config) -> AsyncIterator[Finding]:
    """Events that are needed come through, and the rest does not; as manager.conf says."""
    lines = await file_lines(probe, "manager.conf", config.asterisk.username)
    if not lines:
        yield warn("ami_events", "manager.conf cannot be read through the manager interface", SETUP)
        return
    read = [text.lower() for name, text in lines if name == "read"]
    rights = {right.strip() for text in read for right in text.split(",")}
    lacking = [right for right in READ if right not in rights and "all" not in rights]
    if lacking:
        yield fail("ami_events", f"the manager user lacks read rights: {', '.join(lacking)}", SETUP)
        return
    filters = [(name, text) for name, text in lines if name.startswith("eventfilter")]
    if not filters:
        yield warn(
            "ami_events",
            "the manager user has no event filters: Asterisk sends many events that nobody reads",
            SETUP,
        )
        return
    missing = [event for event in wanted_events() if not _lets_through(filters, event)]
    if missing:
        yield fail("ami_events", f"filters hold back events: {', '.join(missing)}", SETUP)
        return
    yield ok("ami_events", f"filters let {len(wanted_events())} kinds of events through")


def _lets_through(filters: Sequence[tuple[str, str]], event: str) -> bool:
    for name, text in filters:
        by_name = _NAME.search(name)
        if by_name is not None:
            if by_name.group(1) == event and "exclude" not in name:
                return True
        elif name == "eventfilter" and re.search(rf"\b{event}\b", text):
            return True
    return False


async def check_timestamps(
    probe: PbxProbe,
    config: Config,  # noqa: ARG001
) -> AsyncIterator[Finding]:
    """Events carry Asterisk's own time."""
    lines = await file_lines(probe, "manager.conf", "general")
    said = dict(lines or ()).get("timestampevents", "no")
    if said.lower() in TRUE:
        yield ok("ami_timestamps", "events carry Asterisk's time")
        return
    yield warn(
        "ami_timestamps",
        "events carry no time, so times are those of their arrival",
        "set timestampevents = yes in [general] of manager.conf, then `asterisk -rx 'manager "
        "reload'`; or run setup with --enable-manager",
    )
