"""FreeSWITCH as the recorder sees it."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import structlog

from callrec_pbx import metrics
from callrec_pbx.domain import events
from callrec_pbx.domain.commands import (
    AnswerKey,
    AnswerOffer,
    HangUpCall,
    SwitchProfile,
    TellParties,
)
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.pbx.errors import ActionFailedError, LinkDownError, MalformedMessageError
from callrec_pbx.pbx.freeswitch import commands, snapshot
from callrec_pbx.pbx.freeswitch.clock import Clock
from callrec_pbx.pbx.freeswitch.legs import bridge_id
from callrec_pbx.pbx.freeswitch.link import EslLink, Message, OnMessages
from callrec_pbx.pbx.freeswitch.recorders import NO_LEG, Recorders
from callrec_pbx.pbx.freeswitch.translate import Translator
from callrec_pbx.pbx.interface import OnEvents, Seen

log = structlog.get_logger(__name__)

PROFILE_WAIT_S = 2.0
"""How long the script waits for a profile to be switched, before it says that it failed."""

WAKING = "PRESENCE_OUT"
"""An event that says nothing. At its first presence event FreeSWITCH holds all events back for half
a second; without this it could be that of the first call, whose offer would come too late.

Source: FreeSWITCH 1.11.1, mod_sofia/sofia_presence.c, `sofia_presence_event_handler`; observed.
"""

GONE = ("-err cannot locate session", "-err no such channel")
"""What FreeSWITCH says of a leg that has hung up."""


class FreeSwitch:
    """One event socket connection, spoken to in our own words.

    Args:
        make_link: Makes the (unconnected) link; it gets the function that takes messages.
        trunks: Patterns of the gateways and SIP profiles that lead outside.
        sounds_dir: Where FreeSWITCH has our prompts, a folder for each language.
        on_events: Gets the events, in order.
        wait_s: How long the scripts wait for the answer to an offer or a key.
    """

    def __init__(
        self,
        make_link: Callable[[OnMessages], EslLink],
        trunks: tuple[str, ...],
        sounds_dir: Path,
        on_events: OnEvents,
        wait_s: float = 0.5,
    ) -> None:
        self._on_events = on_events
        self._sounds = sounds_dir
        self._wait_s = wait_s
        self._clock = Clock()
        self._translator = Translator(trunks, self._clock.now)
        self._link = make_link(self._take)
        self._recorders = Recorders(self._api)
        self._kept: list[Message] | None = None
        self.unread: Counter[str] = Counter()

    def _take(self, messages: list[Message]) -> None:
        if self._kept is not None:
            self._kept += messages
            return
        found: list[events.Event] = []
        for message in messages:
            found += self._events_of(message)
        if found:
            self._on_events(found)

    def _events_of(self, message: Message) -> list[events.Event]:
        name = self._translator.name(message) or "?"
        try:
            found = self._translator.translate(message)
        except MalformedMessageError as error:
            self.unread[name] += 1
            metrics.PBX_EVENTS_MALFORMED.labels(metrics.bounded("pbx_event", name)).inc()
            leg = message.get("Unique-ID", "")
            log.warning("pbx_event_malformed", pbx_event=name, leg=leg, reason=str(error))
            return []
        if not found:
            metrics.PBX_EVENTS_UNUSED.labels(metrics.bounded("pbx_event", name)).inc()
        return [event for event in found if self._counts(event)]

    def _counts(self, event: events.Event) -> bool:
        """Whether an event is still to be acted on; a script that has gone on is not answered."""
        if isinstance(event, events.LegHungUp):
            self._recorders.gone(event.leg)
        elif isinstance(event, events.KeyPressed) and self._is_late(event, self._wait_s):
            log.warning("key_too_late", leg=event.leg, key=event.key.value)
            return False
        elif isinstance(event, events.ProfileDialled) and self._is_late(event, PROFILE_WAIT_S):
            log.warning("profile_too_late", leg=event.who.leg)
            return False
        return True

    def _is_late(self, event: events.KeyPressed | events.ProfileDialled, wait_s: float) -> bool:
        return self._clock.now_s() - event.at.timestamp() > wait_s

    async def _api(self, command: str) -> str:
        try:
            return await self._link.api(command)
        except ActionFailedError as error:
            if str(error).lower().startswith(GONE):
                text = str(error).partition("\n")[0]
                raise ActionFailedError(f"{NO_LEG}: {text}") from None
            raise

    async def connect(self) -> None:
        """Connect, log in, and learn how far its clock is from ours."""
        await self._link.connect()
        try:
            await self._link.fire(WAKING)
            await self._clock.learn(self._api)
        except BaseException:
            self._link.close()
            raise

    async def wait_lost(self) -> None:
        """Return when the connection is gone."""
        await self._link.wait_lost()

    def close(self) -> None:
        """Drop the connection."""
        self._link.close()

    def now(self) -> datetime:
        """The time by FreeSWITCH's clock."""
        return self._clock.now()

    async def beat(self) -> None:
        """Renew the heartbeat variable; the answer shows that FreeSWITCH is alive too.

        Its clock is asked for each time: `fsctl sync_clock` may have moved it.
        """
        await self._clock.learn(self._api)
        await self._api(commands.beat(round(self._clock.now_s())))

    async def look(self, recordings: dict[str, str]) -> Seen:
        """All channels, with the variables that earlier decisions left on them.

        Events that come meanwhile wait, so that none of them speaks of a leg not known yet.
        """
        self._kept = []
        try:
            dumped, partial = await snapshot.dump_all(self._api, self._translator)
            uptime = await self._api("uptime us")
            now = self._clock.now()
        except BaseException:
            self._kept = None
            raise
        bridged = snapshot.bridged(dumped)
        answered = {one.who.leg for one in dumped if one.answered}
        legs = []
        for one in dumped:
            leg, partner = one.who.leg, bridged.get(one.who.leg, "")
            talks = {leg, partner} <= answered
            self._translator.legs.place(
                leg, partner, one.source, answered=one.answered, talks=talks
            )
            if one.recorded:
                self._recorders.adopt(leg, one.running())
            bridge = bridge_id(leg, partner) if talks else ""
            legs.append(snapshot.seen(one, bridge, recordings, now))
        kept, self._kept = self._kept, None
        self._take(kept)
        return snapshot.taken(now, legs, uptime, partial=partial)

    async def answer_offer(self, command: AnswerOffer) -> None:
        """Set the variables that the script waits for."""
        await self._api(commands.answer_offer(command))

    async def answer_key(self, command: AnswerKey) -> None:
        """Set the variables that the key script waits for."""
        await self._api(commands.answer_key(command, self._sounds))

    async def answer_profile(self, command: SwitchProfile, prompt: str) -> None:
        """Set the variable that the dialled code waits for."""
        await self._api(commands.answer_profile(command, prompt, self._sounds))

    async def tell(self, command: TellParties) -> None:
        """Mix it into what each party hears, and nobody else."""
        path = commands.sound(self._sounds, command.language, command.prompt)
        for leg in (command.leg, await self._partner(command.leg)):
            if leg:
                await self._api(commands.whisper(leg, path))

    async def _partner(self, leg: str) -> str:
        """Whom FreeSWITCH has bridged a leg with, now."""
        answer = await self._api(f"uuid_getvar {commands.leg_id(leg)} bridge_to")
        return "" if answer == "_undef_" else answer

    async def start(self, recording: RecordingFacts, path: str, reminder_s: int) -> None:
        """uuid_record; the recording's id and file go onto the channel first.

        On a leg that still rings it would open the audio by itself, which has ended calls.
        """
        if self._translator.legs.rings(recording.leg):
            raise ActionFailedError("the leg has not been answered")
        await self._recorders.start(recording, path, reminder_s)

    async def pause(self, recording: RecordingFacts) -> None:
        """Write silence from now on. FreeSWITCH has no event for it: its answer is the word."""
        await self._recorders.pause(recording)
        self._on_events([events.RecordingPaused(self._clock.now(), recording.leg)])

    async def resume(self, recording: RecordingFacts) -> None:
        """Go on writing."""
        await self._recorders.resume(recording)
        self._on_events([events.RecordingResumed(self._clock.now(), recording.leg)])

    def stop_is_due(self, recording: RecordingFacts) -> None:
        """Nothing is done on a recording here that a stop would have to wait for."""

    async def stop(self, recording: RecordingFacts) -> None:
        """Close the file."""
        await self._recorders.stop(recording)

    async def hang_up(self, command: HangUpCall) -> None:
        """Send all parties to the notice that ends the call."""
        if not command.legs:
            raise LinkDownError("no leg to hang up")
        sent: set[str] = set()
        for leg in command.legs:
            if leg not in sent:
                sent |= {leg, await self._partner(leg)}
                await self._api(commands.send_to_notice(leg))
