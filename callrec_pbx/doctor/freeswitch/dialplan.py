"""Checks of what the administrator's dialplan has our scripts do."""

from collections.abc import AsyncIterator

from callrec_pbx.config import Config
from callrec_pbx.doctor.finding import Finding, fail, ok, warn
from callrec_pbx.doctor.freeswitch import probe as esl
from callrec_pbx.doctor.freeswitch.actions import Action, actions, assigned, open_arguments
from callrec_pbx.doctor.freeswitch.probe import EslProbe

SCRIPTS = "callrec_"
OFFER = "callrec_offer"
PROFILE = "callrec_profile"
LINE = '<action application="lua" data="callrec_offer.lua inbound 301 301"/>'
ELSEWHERE = ("xml_curl.conf", "lua.conf", "python.conf", "perl.conf")
"""Configurations by which a module can serve the dialplan instead of FreeSWITCH's files."""

FOLLOW_ATTXFER = "recording_follow_attxfer"
FOLLOWS = ("recording_follow_transfer", FOLLOW_ATTXFER)
PAST = ("bypass_media", "bypass_media_after_bridge", "proxy_media")
MOST_SHOWN = 3
TRUE = ("true", "yes", "on", "enable", "enabled", "active", "allow", "t", "y", "1")


async def check_dialplan(probe: EslProbe, config: Config) -> AsyncIterator[Finding]:  # noqa: ARG001
    """Calls are offered, and recordings stay on the leg that they were started on."""
    there = await actions(probe)
    offers = [action for action in there if OFFER in action.data]
    found = [
        trouble
        for trouble in (
            _fillable(there),
            await _follows(probe, there),
            None if offers else await _no_offer(probe),
            _no_codes(there) if offers else None,
            _goes_past(there, offers),
        )
        if trouble is not None
    ]
    for trouble in found:
        yield trouble
    if not found:
        contexts = sorted({action.context for action in offers})
        yield ok("dialplan", f"calls are offered in {', '.join(contexts)}")


def _fillable(there: list[Action]) -> Finding | None:
    """Whether a caller can make mod_lua run something.

    Source: FreeSWITCH 1.11.1, mod_lua.cpp (lua_parse_and_execute): arguments become Lua source, in
    which backslashes are not escaped.
    """
    found = [
        f"{action} gives {argument} to a script"
        for action in there
        if action.application == "lua" and SCRIPTS in action.data
        for argument in open_arguments(action)
    ]
    if not found:
        return None
    return fail(
        "dialplan",
        f"{_few(found, '; ')}: FreeSWITCH makes a program of it, and runs what a caller has sent",
        "write dialled where the number that was dialled is meant, or take digits alone from it, "
        "as by (\\d+); docs/dialplan.md",
    )


async def _follows(probe: EslProbe, there: list[Action]) -> Finding | None:
    """Whether a recording may be moved to another leg.

    What is set for all calls does no harm with `recording_follow_transfer`: the listener sets it to
    false on the legs that it records, which are those that are asked. `recording_follow_attxfer` is
    asked of the leg that transfers, and moves what records the other one.

    Source: FreeSWITCH 1.11.1, mod_dptools.c (att_xfer), sofia.c.
    """
    follows = [
        f"{action} sets {name}"
        for action in there
        for name, value in assigned(action)
        if name in FOLLOWS and _is_true(value)
    ]
    if _is_true(await esl.variable(probe, FOLLOW_ATTXFER)):
        follows.append(f"vars.xml sets {FOLLOW_ATTXFER}")
    if not follows:
        return None
    return warn(
        "dialplan",
        f"{_few(follows, '; ')}: FreeSWITCH then moves a recording to another leg without telling, "
        "where it cannot be paused any more",
        "take it out; callrec-pbx records each leg by itself, and joins them by the call",
    )


def _goes_past(there: list[Action], offers: list[Action]) -> Finding | None:
    """Whether calls are offered whose audio does not reach FreeSWITCH."""
    offered = {(action.context, action.extension) for action in offers}
    past = [
        f"{action} sets {name}"
        for action in there
        if (action.context, action.extension) in offered
        for name, value in assigned(action)
        if name in PAST and _is_true(value)
    ]
    if not past:
        return None
    return warn(
        "dialplan",
        f"{_few(past, '; ')}: the audio then does not pass through FreeSWITCH, which cannot record "
        "it",
        "take it out of the extensions whose calls are to be recorded",
    )


def _is_true(value: str) -> bool:
    return value.lower() in TRUE


def _few(items: list[str], between: str = ", ") -> str:
    more = f"{between}..." if len(items) > MOST_SHOWN else ""
    return between.join(items[:MOST_SHOWN]) + more


def _no_codes(there: list[Action]) -> Finding | None:
    if any(PROFILE in action.data for action in there):
        return None
    return warn(
        "dialplan",
        "calls are offered, but the codes of profiles cannot be dialled",
        "run `callrec-pbx setup freeswitch --reload`, and see docs/dialplan.md",
    )


async def _no_offer(probe: EslProbe) -> Finding:
    others = [name for name in ELSEWHERE if await _serves_dialplan(probe, name)]
    where = (
        f"; what {', '.join(others)} has other modules serve was not looked at" if others else ""
    )
    return warn(
        "dialplan",
        f"no extension calls callrec_offer.lua: callers are told nothing, and only rules without "
        f"an announcement record{where}",
        f"before `bridge` or `callcenter` add {LINE}; docs/dialplan.md",
    )


async def _serves_dialplan(probe: EslProbe, name: str) -> bool:
    found = await esl.tree(probe, f"xml_locate configuration configuration name {name}")
    if found is None:
        return False
    values = [one.get("bindings", "") for one in found.iter("param")]
    values += [
        one.get("value", "")
        for one in found.iter("param")
        if one.get("name", "").endswith("bindings")
    ]
    return any("dialplan" in value for value in values)
