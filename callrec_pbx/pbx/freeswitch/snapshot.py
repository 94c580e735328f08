"""What FreeSWITCH has at one moment: its channels, who talks with whom, and what we record.

Of the variables that name another leg, `bridge_to` alone is there exactly while the two are bridged
(`bridge_uuid` and `signal_bond` stay after it, `show calls` is written some time later).

Source: FreeSWITCH 1.11.1, switch_ivr_bridge.c `audio_bridge_thread`; its own `uuid_transfer -both`
goes by it; observed with bridge, uuid_bridge, intercept, callcenter, valet_park, hold, att_xfer.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from callrec_pbx.domain.events import LegSeen, Who
from callrec_pbx.pbx import reports
from callrec_pbx.pbx.errors import ActionFailedError, MalformedMessageError
from callrec_pbx.pbx.freeswitch import commands
from callrec_pbx.pbx.freeswitch.clock import MICROS
from callrec_pbx.pbx.freeswitch.link import Message
from callrec_pbx.pbx.freeswitch.messages import from_json
from callrec_pbx.pbx.freeswitch.recorders import TASKS, Running
from callrec_pbx.pbx.freeswitch.translate import PATH, Translator, from_micros
from callrec_pbx.pbx.freeswitch.who import variable
from callrec_pbx.pbx.interface import Seen

log = structlog.get_logger(__name__)

Api = Callable[[str], Awaitable[str]]

AT_ONCE = 8
"""Channels that are asked for at the same time."""

COUNT = 'json {"command":"status","data":{}}'
"""Asks for what FreeSWITCH counts."""

SETTLE_S = 2.0
"""How long to wait for channels that FreeSWITCH counts and does not list yet."""

_POLL_S = 0.05

STOPS = ("discard", "pause")


@dataclass(frozen=True, slots=True)
class Dumped:
    """One channel.

    Attributes:
        bugs: What listens to its audio, as FreeSWITCH lists it.
    """

    message: Message
    who: Who
    bugs: str = ""

    @property
    def answered(self) -> bool:
        """Whether it has been answered."""
        return self.message.get("Answer-State") == "answered"

    @property
    def source(self) -> str:
        """How it came to where it is."""
        return variable(self.message, "transfer_source")

    @property
    def path(self) -> str:
        """The file that we have had it written to, last."""
        return variable(self.message, PATH)

    @property
    def recorded(self) -> bool:
        """Whether that file is being written."""
        return bool(self.path) and f"<target>{self.path}</target>" in self.bugs

    def running(self) -> Running:
        """The recording that it had last."""
        reminder = variable(self.message, "callrec_reminder")
        return Running(
            variable(self.message, "callrec_recording"),
            self.path,
            int(reminder) if reminder.isdecimal() else 0,
            tuple(task for task in variable(self.message, TASKS).split() if task.isdecimal()),
        )


async def dump_all(api: Api, translator: Translator) -> tuple[list[Dumped], bool]:
    """All channels, and whether one of them is missing or could not be read.

    The list is that of the core's database, which is up to half a second late; what FreeSWITCH
    counts is not. So it is read until it has all of them.

    Source: FreeSWITCH 1.11.1, switch_core_sqldb.c; 20 to 260 ms measured without load.
    """
    asked: dict[str, Dumped | None] = {}
    partial = False
    turn = asyncio.Semaphore(AT_ONCE)
    deadline = time.monotonic() + SETTLE_S

    async def ask(leg: str) -> Dumped | None:
        async with turn:
            return await _dump(api, translator, leg)

    while True:
        new = [leg for leg in _listed(await api("show channels as json")) if leg not in asked]
        found = await asyncio.gather(*map(ask, new), return_exceptions=True)
        for leg, result in zip(new, found, strict=True):
            asked[leg] = None
            if isinstance(result, MalformedMessageError):
                # One channel that cannot be read must not keep us from all the others.
                log.warning("pbx_channel_malformed", leg=leg, reason=str(result))
                partial = True
            elif isinstance(result, BaseException):
                raise result
            else:
                asked[leg] = result
        dumped = [one for one in asked.values() if one is not None]
        missing = _counted(await api(COUNT)) - len(dumped)
        if missing <= 0 or partial:
            return dumped, partial
        if time.monotonic() >= deadline:
            log.warning("pbx_channels_unlisted", count=missing)
            return dumped, True
        await asyncio.sleep(_POLL_S)


def _listed(answer: str) -> list[str]:
    try:
        rows = json.loads(answer).get("rows", [])
        return [str(row["uuid"]) for row in rows]
    except (ValueError, AttributeError, TypeError, KeyError):
        raise ActionFailedError("FreeSWITCH's list of channels cannot be read") from None


def _counted(answer: str) -> int:
    """How many channels there are; none where that is not said."""
    try:
        return int(json.loads(answer)["response"]["sessions"]["count"]["active"])
    except (ValueError, TypeError, KeyError):
        return 0


async def _dump(api: Api, translator: Translator, leg: str) -> Dumped | None:
    """One channel; None when it has gone meanwhile."""
    try:
        message = from_json((await api(f"uuid_dump {commands.leg_id(leg)} json")).encode())
        bugs = await api(f"uuid_buglist {leg}") if variable(message, PATH) else ""
    except ActionFailedError:
        return None
    who = translator.who(message)
    return Dumped(message, who, bugs)


def bridged(dumped: list[Dumped]) -> dict[str, str]:
    """Who is bridged with whom: two, each of which names the other. One may still ring."""
    said = {one.who.leg: variable(one.message, "bridge_to") for one in dumped}
    return {leg: other for leg, other in said.items() if said.get(other) == leg}


def seen(dumped: Dumped, bridge: str, recordings: dict[str, str], now: datetime) -> LegSeen:
    """What a channel carries of earlier decisions."""
    message, who = dumped.message, dumped.who
    created_at = _created(message, now)
    offer = variable(message, "callrec_offer")
    consent = variable(message, "callrec_consent")
    voicemail = variable(message, "callrec_voicemail")
    # `key/file`: the file that a script stopped by itself; a later one may be running.
    stopped_by, _, stopped = variable(message, "callrec_stopped").partition("/")
    offered = reported = reached = None
    try:
        # The consent first: it must not be lost with an offer that cannot be read.
        if consent not in reports.MENU_ANSWERS:  # which the offer has
            reported = reports.consent(now, who.leg, consent)
        offered = reports.offer(created_at, who, offer) if offer else None
        reached = reports.voicemail(who, voicemail) if voicemail else None
    except MalformedMessageError as error:
        log.warning("pbx_variable_malformed", leg=who.leg, reason=str(error))
    return LegSeen(
        who=who,
        created_at=created_at,
        bridge=bridge,
        offer=offered,
        consent=reported,
        voicemail=reached,
        recording=recordings.get(dumped.path, "") if dumped.recorded else "",
        offline_pause=stopped_by in STOPS and bool(stopped) and stopped == dumped.path,
        offline_discard=stopped_by == "discard",
    )


def _created(message: Message, now: datetime) -> datetime:
    try:
        return from_micros(message.get("Caller-Channel-Created-Time", ""))
    except (ValueError, OverflowError, OSError):
        return now


def taken(now: datetime, legs: list[LegSeen], uptime: str, *, partial: bool) -> Seen:
    """The snapshot; `uptime` in microseconds."""
    started = None
    if uptime.isdecimal():
        # Nothing is called within a second of a start.
        started = now - timedelta(seconds=int(uptime) / MICROS + 1)
    return Seen(now, tuple(legs), started, partial)
