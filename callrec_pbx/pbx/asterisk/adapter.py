"""Asterisk as the recorder sees it."""

import asyncio
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import structlog

from callrec_pbx import metrics
from callrec_pbx.domain.commands import (
    AnswerKey,
    AnswerOffer,
    HangUpCall,
    SwitchProfile,
    TellParties,
)
from callrec_pbx.domain.events import (
    Event,
    KeyPressed,
    LegSeen,
    ProfileDialled,
    RecordingStopped,
)
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.pbx import reports
from callrec_pbx.pbx.asterisk import actions
from callrec_pbx.pbx.asterisk.actions import Action, Monitor
from callrec_pbx.pbx.asterisk.clock import Clock
from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.asterisk.link import AmiLink, Reply
from callrec_pbx.pbx.asterisk.monitors import PATCHED, Monitors
from callrec_pbx.pbx.asterisk.translate import Translator, is_helper
from callrec_pbx.pbx.errors import ActionFailedError, LinkDownError, MalformedMessageError
from callrec_pbx.pbx.interface import OnEvents, Seen

log = structlog.get_logger(__name__)

HAS_KEYS = "CALLREC_KEYS"
"""Channel variable of a leg that has the in-call keys."""


HEARTBEAT = "CALLREC_HEARTBEAT"
"""Global variable with the time (s, by Asterisk's clock) at which somebody listened last."""


PROFILE_WAIT_S = 2.0
"""How long the dialplan waits for a profile to be switched, before it says that it failed."""


BOOT_S = 5.0
"""How long to wait for Asterisk's word that it is fully booted; it comes at once when it is."""


class Asterisk:
    """One AMI connection, spoken to in our own words.

    Args:
        make_link: Makes the (unconnected) link; it gets the function that takes messages.
        trunks: Patterns of the endpoints that lead outside.
        on_events: Gets the events, in order.
        wait_s: How long the dialplan waits for the answer to an offer or a key.
    """

    def __init__(
        self,
        make_link: Callable[[Callable[[list[Message]], None]], AmiLink],
        trunks: tuple[str, ...],
        on_events: OnEvents,
        wait_s: float = 0.5,
    ) -> None:
        self._on_events = on_events
        self._wait_s = wait_s
        self._clock = Clock()
        self._translator = Translator(trunks, self._clock.now)
        self._link = make_link(self._take)
        self._monitors = Monitors(self._do, self._closed)
        self._uptime_s: float | None = None
        self._booted = asyncio.Event()
        self.unread: Counter[str] = Counter()

    def _take(self, messages: list[Message]) -> None:
        found: list[Event] = []
        for message in messages:
            name = message.get("Event")
            if name == "FullyBooted":
                self._take_booted(message)
                continue
            if self._monitors.take(message):
                continue
            try:
                event = self._translator.translate(message)
            except MalformedMessageError as error:
                self.unread[name or "?"] += 1
                metrics.PBX_EVENTS_MALFORMED.labels(metrics.bounded("pbx_event", name or "?")).inc()
                leg = message.get("Uniqueid", "")
                log.warning("pbx_event_malformed", pbx_event=name, leg=leg, reason=str(error))
                continue
            if isinstance(event, KeyPressed) and self._is_too_late(event.at, self._wait_s):
                log.warning("key_too_late", leg=event.leg, key=event.key.value)
                continue
            if isinstance(event, ProfileDialled) and self._is_too_late(event.at, PROFILE_WAIT_S):
                log.warning("profile_too_late", leg=event.who.leg)
                continue
            if event is not None:
                found.append(event)
            else:
                metrics.PBX_EVENTS_UNUSED.labels(metrics.bounded("pbx_event", name or "?")).inc()
        if found:
            self._on_events(found)

    def _take_booted(self, message: Message) -> None:
        if self._booted.is_set():
            return  # Asterisk says it once in a connection; what comes later is a caller's doing
        self._booted.set()
        uptime = message.get("Uptime", "")
        if uptime.isdecimal():
            self._uptime_s = float(uptime)

    def _is_too_late(self, at: datetime, wait_s: float) -> bool:
        """Whether the dialplan has given up waiting and gone on by itself."""
        return self._clock.now_s() - at.timestamp() > wait_s

    def _closed(self, leg: str) -> None:
        self._on_events([RecordingStopped(self.now(), leg)])

    async def connect(self) -> None:
        """Connect, log in, and learn how far its clock is from ours and since when it runs."""
        await self._link.connect()
        try:
            await self._clock.learn(self._value_of)
            await self._wait_booted()
            reply = await self._link.action("CoreSettings")
            self._monitors.renews = PATCHED in reply.get("AsteriskVersion", "")
        except BaseException:
            self._link.close()
            raise

    async def _value_of(self, expression: str) -> str:
        reply = await self._link.action("Getvar", Variable=expression)
        return reply.get("Value", "")

    async def _wait_booted(self) -> None:
        """Asterisk lets us in before it is fully booted, and says so once it is."""
        try:
            async with asyncio.timeout(BOOT_S):
                await self._booted.wait()
        except TimeoutError:
            log.warning("pbx_not_booted", effect="calls of before its start count as ended")

    async def wait_lost(self) -> None:
        """Return when the connection is gone."""
        await self._link.wait_lost()

    def close(self) -> None:
        """Drop the connection."""
        self._link.close()

    def now(self) -> datetime:
        """The time by Asterisk's clock."""
        return self._clock.now()

    async def beat(self) -> None:
        """Renew the heartbeat variable; the answer shows that Asterisk is alive too."""
        now = str(round(self._clock.now_s()))
        await self._do(actions.set_variable("", HEARTBEAT, now))

    async def _do(self, action: Action, timeout_s: float | None = None) -> Reply:
        name, headers = action
        return await self._link.action(name, timeout_s, **headers)

    async def look(self, recordings: dict[str, str]) -> Seen:
        """All channels, with the variables that earlier decisions left on them."""
        messages = await self._link.listing(
            "Status", "StatusComplete", Variables=",".join(actions.SNAPSHOT_VARIABLES)
        )
        messages = [m for m in messages if not is_helper(m.get("Channel", ""))]
        holding = await self._holding_bridges()
        legs = []
        for message in messages:
            try:
                legs.append(self._seen(message, recordings, holding))
            except MalformedMessageError as error:
                # One channel that cannot be read must not keep us from all the others.
                log.warning("pbx_channel_malformed", reason=str(error))
        bridges: dict[str, set[str]] = {}
        for seen in legs:
            if seen.bridge:
                bridges.setdefault(seen.bridge, set()).add(seen.who.leg)
        self._monitors.place(bridges)
        now = self.now()
        started = None
        if self._uptime_s is not None:
            # Whole seconds, rounded down; nothing is called within a second of a start.
            started = now - timedelta(seconds=self._uptime_s + 1)
        return Seen(now, tuple(legs), started, len(legs) < len(messages))

    async def _holding_bridges(self) -> frozenset[str]:
        messages = await self._link.listing("BridgeList", "BridgeListComplete")
        return frozenset(
            message.get("BridgeUniqueid", "")
            for message in messages
            if message.get("BridgeTechnology") == "holding_bridge"
        )

    def _seen(
        self, message: Message, recordings: dict[str, str], holding: frozenset[str]
    ) -> LegSeen:
        variables = _variables(message)
        who = self._translator.who(message)
        now = self.now()
        seconds = message.get("Seconds", "")
        age_s = int(seconds) if seconds.isdecimal() else 0
        created_at = _from_leg_id(who.leg) or now - timedelta(seconds=age_s)
        offer = variables.get("CALLREC_OFFER", "")
        consent = variables.get("CALLREC_CONSENT", "")
        message_left = variables.get("CALLREC_VOICEMAIL", "")
        bridge = message.get("BridgeID", "")
        # `key/file`: the file that the dialplan stopped by itself; a later one may be running.
        stopped_by, _, stopped = variables.get("CALLREC_STOPPED", "").partition("/")
        monitored = variables.get("MIXMONITOR_FILENAME", "")
        if variables.get("CALLREC_MONITOR"):
            monitor = Monitor(who.channel, variables["CALLREC_MONITOR"])
            reminder = variables.get("CALLREC_REMINDER", "")
            reminder_s = int(reminder) if reminder.isdecimal() else 0
            sides = bool(monitored) and variables.get("CALLREC_STEREO") == monitored
            self._monitors.adopt(who.leg, monitor, monitored, reminder_s, sides)
        offered = reported = voicemail = None
        try:
            # The consent first: it must not be lost with an offer that cannot be read.
            if consent not in reports.MENU_ANSWERS:  # which the offer has
                reported = reports.consent(now, who.leg, consent)
            offered = reports.offer(created_at, who, offer) if offer else None
            voicemail = reports.voicemail(who, message_left) if message_left else None
        except MalformedMessageError as error:
            log.warning("pbx_variable_malformed", leg=who.leg, reason=str(error))
        return LegSeen(
            who=who,
            created_at=created_at,
            bridge=bridge,
            holding=bridge in holding,
            offer=offered,
            consent=reported,
            voicemail=voicemail,
            recording=recordings.get(monitored, ""),
            offline_pause=bool(stopped_by) and stopped == monitored,
            offline_discard=stopped_by == "discard",
        )

    async def answer_offer(self, command: AnswerOffer) -> None:
        """Set the variables that the dialplan waits for."""
        await self._do(actions.answer_offer(command))

    async def answer_key(self, command: AnswerKey) -> None:
        """Set the variables that the key subroutine waits for."""
        await self._do(actions.answer_key(command))

    async def answer_profile(self, command: SwitchProfile, prompt: str) -> None:
        """Set the variable that the dialled code waits for."""
        await self._do(actions.answer_profile(command, prompt))

    async def tell(self, command: TellParties) -> None:
        """Have the leg's own dialplan play it to everybody in its conversation."""
        reply = await self._do(("Getvar", {"Channel": command.channel, "Variable": HAS_KEYS}))
        if reply.get("Value", "") != "1":
            # The digit would go through to the other party.
            raise ActionFailedError("the leg has no in-call keys")
        await self._do(actions.prepare_to_tell(command))
        await self._do(actions.tell(command.channel))

    async def start(self, recording: RecordingFacts, path: str, reminder_s: int) -> None:
        """MixMonitor; the recording's id goes onto the channel, for CDRs and for people."""
        await self._monitors.start(recording, path, reminder_s)
        await self._do(actions.tag(recording.channel, recording.recording_id, reminder_s))

    async def pause(self, recording: RecordingFacts) -> None:
        """Leave out what is said from now on."""
        await self._monitors.pause(recording)

    async def resume(self, recording: RecordingFacts) -> None:
        """Go on writing."""
        await self._monitors.resume(recording)

    def stop_is_due(self, recording: RecordingFacts) -> None:
        """Do not open anew what is about to be closed."""
        self._monitors.stop_is_due(recording)

    async def stop(self, recording: RecordingFacts) -> None:
        """Close the file."""
        await self._monitors.stop(recording)

    async def hang_up(self, command: HangUpCall) -> None:
        """Send both parties to the notice that ends the call."""
        if not command.channels:
            raise LinkDownError("no channel to hang up")
        first, *others = command.channels
        await self._do(actions.hang_up_after_notice(first, others[0] if others else ""))


def _variables(message: Message) -> dict[str, str]:
    """The variables that `Status` tells of, without those that are not set."""
    pairs = (line.partition("=")[::2] for line in message.get("Variable", "").split("\r\n"))
    # Asterisk prints a variable that is not set as "(null)" (observed on 22.10).
    return {name: value for name, value in pairs if value != "(null)"}


def _from_leg_id(leg: str) -> datetime | None:
    """Asterisk's unique ids begin with the time of creation in seconds: `1795246115.2`."""
    seconds = leg.rpartition("-")[2].partition(".")[0]
    if not seconds.isdigit():
        return None
    try:
        return datetime.fromtimestamp(int(seconds), UTC)
    except (ValueError, OverflowError, OSError):
        return None
