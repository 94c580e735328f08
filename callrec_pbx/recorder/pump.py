"""Events in, commands out: the domain with a loop around it."""

import secrets
from datetime import datetime

import structlog

from callrec_pbx import metrics
from callrec_pbx.domain.calls import Calls
from callrec_pbx.domain.events import AudioMissing, Event, SnapshotTaken
from callrec_pbx.domain.facts import CallFacts, PromptBook
from callrec_pbx.domain.policy import Policy
from callrec_pbx.pbx.interface import Pbx
from callrec_pbx.recorder.carrier import Carrier, SwitchProfile
from callrec_pbx.recorder.observe import Counting
from callrec_pbx.recorder.spool import Spool, Unfinished

log = structlog.get_logger(__name__)

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


_pool = bytearray()


def _random(count: int) -> bytes:
    """Random bytes, fetched from the system many at a time."""
    if len(_pool) < count:
        _pool.extend(secrets.token_bytes(4096))
    taken = bytes(_pool[:count])
    del _pool[:count]
    return taken


def new_id(at: datetime) -> str:
    """An id of 26 lower-case letters and digits that sorts by time (a ULID).

    Source: github.com/ulid/spec, with the letters in lower case.
    """
    value = (int(at.timestamp() * 1000) << 80) | int.from_bytes(_random(10))
    digits = []
    for _ in range(26):
        digits.append(_ALPHABET[value & 31])
        value >>= 5
    return "".join(reversed(digits))


class Pump:
    """Feeds the domain and carries out what it wants.

    Until the first snapshot of a connection has been taken in, events wait, so that nothing is
    decided about a call of which the past is not known yet.
    """

    def __init__(
        self,
        policy: Policy,
        prompts: PromptBook,
        spool: Spool,
        audio_patience_s: float,
        switch_profile: SwitchProfile | None = None,
    ) -> None:
        self.calls = Calls(policy, prompts, new_id)
        self._counting = Counting(self.calls)
        self.spool = spool
        self.carrier = Carrier(spool, self.take, self._call_facts, audio_patience_s, switch_profile)
        self._held: list[Event] | None = []
        self._restored = False
        self._prepared = False
        self._left: Unfinished | None = None

    def _call_facts(self, call_id: str) -> CallFacts | None:
        call = self.calls.calls.get(call_id) or self.calls.closed.get(call_id)
        return call.facts() if call is not None else None

    def take_all(self, found: list[Event]) -> None:
        """Take a chunk of the PBX's events."""
        if self._held is not None:
            self._held += found
            return
        for event in found:
            self.take(event)

    def take(self, event: Event) -> None:
        """Take one event; a defect in the domain costs that event, not the listener."""
        try:
            commands = self.calls.handle(event)
        except Exception:
            log.exception("event_broke", pbx_event=type(event).__name__)
            metrics.DEFECTS.labels("event").inc()
            return
        if commands:
            self.carrier.carry_out(commands)
        self._counting.took(event, commands)

    def hold(self) -> None:
        """The link is down: hold events back until the next snapshot."""
        self._held = []
        self.carrier.use(None)

    async def prepare(self) -> None:
        """Do what `agree_with` needs of the disk, before there is a link.

        Events are held from the login to the snapshot, and an agent's key with them.
        """
        await self.carrier.drained()
        if not self._restored and self._left is None:
            self._left = await self.spool.unfinished()
        self._prepared = True

    async def agree_with(self, pbx: Pbx) -> None:
        """Bring what we know and what the PBX has into agreement, then let events flow.

        Raises:
            PbxError: The PBX did not tell.
        """
        if not self._prepared:
            await self.prepare()
        self._prepared = False
        # What was meant for the former connection must not reach the PBX after we looked at it.
        await self.carrier.drained()
        unfinished, open_calls = self._left or ((), ())
        known = {facts.recording_id: facts for facts in unfinished}
        known |= {r.recording_id: r.facts() for r in self.calls.recordings.values()}
        paths = {self.spool.store.pbx_path(facts): key for key, facts in known.items()}
        seen = await pbx.look(paths)
        self.carrier.use(pbx)
        # What could not be read is tried again with the next connection.
        self._restored = self._restored or self._left is not None
        self._left = None
        self.take(
            SnapshotTaken(
                at=seen.at,
                legs=seen.legs,
                pbx_started_at=seen.pbx_started_at,
                partial=seen.partial,
                unfinished=unfinished,
                open_calls=open_calls,
            )
        )
        # What came while the snapshot was taken is in it already; taking it again does no harm.
        held, self._held = self._held or [], None
        for event in held:
            self.take(event)
        self.adopt(self.calls.policy)

    def adopt(self, policy: Policy) -> None:
        """Decide new calls by this policy, and stop what it says must stop at once.

        Without a link there is nothing that could be stopped; `agree_with` comes back to it.
        """
        if self._held is not None:
            self.calls.policy = policy
            return
        try:
            commands = self.calls.adopt(policy, self.carrier.now())
        except Exception:
            log.exception("event_broke", pbx_event="policy")
            metrics.DEFECTS.labels("policy").inc()
            return
        if commands:
            self.carrier.carry_out(commands)

    def spool_failed(self, reason: str) -> None:
        """The disk takes nothing any more: every running recording has failed."""
        now = self.carrier.now()
        for recording in list(self.calls.recordings.values()):
            if not recording.over:
                self.take(AudioMissing(now, recording.recording_id, reason))
