"""The MixMonitors that run, one a leg, and how each is kept hearing both sides.

Debian's Asterisk (and so Ubuntu's) is patched to conceal packet loss: its `ast_translate` drops
each frame whose RTP sequence number is below the last one's. A channel keeps its audiohooks'
translator for as long as it has any, so when somebody else comes to talk with a recorded leg
(attended transfer, a call handed on inside the house), whose numbers begin elsewhere, then in one
case of two the leg hears him and its recording does not, for up to eleven minutes. A MixMonitor
that is closed, and opened anew after a packet has passed, gets a new translator; it appends to the
same file. Upstream Asterisk has no such check and is left alone.

Source: seen on 22.10.1+dfsg+~cs6.17, in its code and in every second attended transfer.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import Channels
from callrec_pbx.pbx.asterisk import actions
from callrec_pbx.pbx.asterisk.actions import Action, Monitor
from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.asterisk.link import Reply
from callrec_pbx.pbx.errors import ActionFailedError, PbxError

log = structlog.get_logger(__name__)

PATCHED = "+dfsg"
"""Part of the version of an Asterisk that Debian has built."""

GAP_S = 0.05
"""Between closing and opening anew: two packets, so that one has passed."""


@dataclass(slots=True, eq=False)
class Running:
    """One MixMonitor.

    Attributes:
        sides: Whether both directions are written apart too.
        peers: Whom the leg has talked with since it was opened.
        stale: Somebody else has come while it was paused.
        ending: It is about to be stopped, and is not opened anew any more.
        hidden: Events of a renewal, which mean nothing to anybody else.
    """

    monitor: Monitor
    path: str = ""
    reminder_s: int = 0
    sides: bool = False
    peers: set[str] = field(default_factory=set)
    paused: bool = False
    stale: bool = False
    ending: bool = False
    hidden: Counter[str] = field(default_factory=Counter)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class Monitors:
    """Starts and steers MixMonitors; one action at a time on each.

    Args:
        act: Carries an action out.
        on_closed: Told the leg of a recording that could not be opened anew.
    """

    def __init__(
        self, act: Callable[[Action], Awaitable[Reply]], on_closed: Callable[[str], None]
    ) -> None:
        self._act = act
        self._on_closed = on_closed
        self._running: dict[str, Running] = {}
        self._starting: set[str] = set()
        self._bridges: dict[str, set[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.renews = False

    # what the PBX tells

    def take(self, message: Message) -> bool:
        """Follow an event; True when it is part of a renewal and is to go no further."""
        name, leg = message.get("Event", ""), message.get("Uniqueid", "")
        if name == "BridgeEnter":
            self._enter(message.get("BridgeUniqueid", ""), leg)
        elif name == "BridgeLeave":
            self._leave(message.get("BridgeUniqueid", ""), leg)
        elif name == "Hangup":
            self._running.pop(leg, None)
            self._starting.discard(leg)
        elif name in ("MixMonitorStart", "MixMonitorStop"):
            running = self._running.get(leg)
            if running is not None and running.hidden[name]:
                running.hidden[name] -= 1
                return True
        return False

    def adopt(
        self, leg: str, monitor: Monitor, path: str, reminder_s: int = 0, sides: bool = False
    ) -> None:
        """Take over what an earlier connection has started."""
        self._running.setdefault(leg, Running(monitor, path, reminder_s, sides))

    def place(self, bridges: dict[str, set[str]]) -> None:
        """Take over where all legs are, by bridge."""
        self._bridges = bridges
        for leg, running in self._running.items():
            running.peers |= self._peers(leg)

    def _enter(self, bridge: str, leg: str) -> None:
        members = self._bridges.setdefault(bridge, set())
        members.add(leg)
        for member in members:
            running = self._running.get(member)
            if running is None:
                continue
            came = members - {member} - running.peers
            if came:
                running.peers = members - {member}
                self._renew_soon(member, running)

    def _leave(self, bridge: str, leg: str) -> None:
        members = self._bridges.get(bridge, set())
        members.discard(leg)
        if not members:
            self._bridges.pop(bridge, None)

    def _peers(self, leg: str) -> set[str]:
        return {other for m in self._bridges.values() if leg in m for other in m} - {leg}

    # what is asked for

    async def start(self, recording: RecordingFacts, path: str, reminder_s: int) -> None:
        """Begin to write a leg's audio."""
        leg, peers = recording.leg, self._peers(recording.leg)
        channel, sides = recording.channel, recording.channels is Channels.STEREO
        self._starting.add(leg)
        try:
            if sides:
                await self._act(actions.note_sides(channel, path))
            reply = await self._act(actions.start(channel, path, reminder_s, sides=sides))
            if leg in self._starting:  # else it has hung up, which may be read before the reply
                monitor = Monitor(channel, reply.get("MixMonitorID", ""))
                self._running[leg] = Running(monitor, path, reminder_s, sides, peers)
        finally:
            self._starting.discard(leg)

    async def pause(self, recording: RecordingFacts) -> None:
        """Leave out what is said from now on."""
        running = self._of(recording)
        async with running.lock:
            running.paused = True
            await self._act(actions.mute(running.monitor, on=True))

    async def resume(self, recording: RecordingFacts) -> None:
        """Go on writing."""
        running = self._of(recording)
        async with running.lock:
            if running.stale:
                await self._renew(recording.leg, running)
            await self._act(actions.mute(running.monitor, on=False))
            running.paused = False

    def stop_is_due(self, recording: RecordingFacts) -> None:
        """Leave it as it is until it is stopped: opening it anew first would only delay that."""
        running = self._running.get(recording.leg)
        if running is not None:
            running.ending = True

    async def stop(self, recording: RecordingFacts) -> None:
        """Close the file."""
        running = self._of(recording)
        if not running.monitor.monitor_id:
            # Without its id Asterisk stops the first one on the channel, whoever started it.
            raise ActionFailedError("no MixMonitor of ours is known on that channel")
        async with running.lock:
            await self._act(actions.stop(running.monitor))

    def _of(self, recording: RecordingFacts) -> Running:
        return self._running.get(recording.leg) or Running(Monitor(recording.channel))

    # closing and opening anew

    def _renew_soon(self, leg: str, running: Running) -> None:
        if not self.renews or not running.path:
            return
        task = asyncio.ensure_future(self._renew_unless_paused(leg, running))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _renew_unless_paused(self, leg: str, running: Running) -> None:
        async with running.lock:
            if running.ending:
                return
            if running.paused:
                running.stale = True
                return
            try:
                await self._renew(leg, running)
            except PbxError as error:
                log.info("monitor_not_renewed", leg=leg, reason=str(error))

    async def _renew(self, leg: str, running: Running) -> None:
        if self._running.get(leg) is not running:
            return
        running.hidden.update(("MixMonitorStop", "MixMonitorStart"))
        try:
            await self._act(actions.stop(running.monitor))
        except PbxError:
            running.hidden.clear()  # it was closed by others, or is no more
            raise
        await asyncio.sleep(GAP_S)
        channel = running.monitor.channel
        again = actions.start(
            channel, running.path, running.reminder_s, append=True, sides=running.sides
        )
        try:
            reply = await self._act(again)
        except PbxError:
            running.hidden.clear()
            self._on_closed(leg)
            raise
        running.monitor = Monitor(channel, reply.get("MixMonitorID", ""))
        running.stale = False
