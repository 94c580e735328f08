"""One call: its legs, parties' consents, recordings, and the one outcome that it ends in."""

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import NamedTuple

from callrec_pbx.domain import consent
from callrec_pbx.domain.facts import CallFacts, ConsentFacts, Decision, Explanation, LegFacts
from callrec_pbx.domain.policy import CallInQuestion, Policy
from callrec_pbx.domain.recording import Recording
from callrec_pbx.domain.words import (
    CallState,
    Consent,
    ConsentMode,
    Direction,
    LegKind,
    Outcome,
    RecordingState,
)

NO_TALK_MS = 1000
"""A conversation shorter than this (ms) which could not be recorded counts as none."""

KEPT = {RecordingState.CAPTURED, RecordingState.STORED, RecordingState.INTERRUPTED}
"""States of a recording of which there is audio."""

TABLE: dict[tuple[CallState, str], CallState] = {
    (CallState.RINGING, "bridged"): CallState.TALKING,
    (CallState.RINGING, "refused"): CallState.REFUSED,
    (CallState.RINGING, "ended"): CallState.ENDED,
    (CallState.TALKING, "refused"): CallState.REFUSED,
    (CallState.TALKING, "ended"): CallState.ENDED,
    (CallState.REFUSED, "ended"): CallState.ENDED,
}


class CameBy(NamedTuple):
    """How a call came to a line.

    Attributes:
        direct: Whether the line was called itself, and not through a queue.
    """

    ddi: str
    queue: str
    direct: bool


class Hindrance(NamedTuple):
    """Why a leg is not recorded.

    Attributes:
        decision: What the policy says of that leg; None where it was not asked.
    """

    outcome: Outcome
    reason: str
    decision: Decision | None = None


@dataclass(slots=True)
class Leg:
    """One channel, while it lives."""

    leg: str
    channel: str
    kind: LegKind
    line: str
    number: str
    name: str
    created_at: datetime
    call: "Call"
    trunk: str = ""
    bridge: str = ""
    consent: Consent = Consent.UNASKED
    recording: Recording | None = None
    question: CallInQuestion | None = None
    """What the running recording was decided on."""
    came_by: CameBy | None = None
    """How the call came to the line, when it began to talk: later offers are for others."""
    demanded: bool = False
    awaits_key: bool = False
    offline_paused: bool = False
    kept_off: bool = False
    """A pause has failed: not recorded again unless the agent asks for it."""
    told_off: bool = False
    """The parties have been told that the recording has stopped."""
    bridged_at: datetime | None = None
    ended_at: datetime | None = None
    whispered_at: datetime | None = None

    @property
    def recorded(self) -> bool:
        """Whether the PBX writes this leg, or has been asked to."""
        return self.recording is not None and not self.recording.over

    def facts(self) -> LegFacts:
        """What is known now."""
        return LegFacts(
            leg=self.leg,
            channel=self.channel,
            kind=self.kind,
            line=self.line,
            number=self.number,
            name=self.name,
            created_at=self.created_at,
            bridged_at=self.bridged_at,
            ended_at=self.ended_at,
            whispered_at=self.whispered_at,
        )


@dataclass(slots=True)
class Call:
    """One conversation from first leg to last hangup."""

    call_id: str
    refs: list[str]
    started_at: datetime
    state: CallState = CallState.RINGING
    direction: Direction | None = None
    line: str | None = None
    a_number: str = ""
    a_name: str = ""
    b_number: str = ""
    c_number: str = ""
    ddi: str = ""
    queue: str = ""
    offered_queue: str = ""
    """The queue of the latest offer: a call keeps its queue, but is not always in it."""
    policy: Policy | None = None
    """Decides for the whole call: the one that was current when it was first asked."""
    decision: Decision | None = None
    refused_by: str = ""
    withdrawn: bool = False
    answered_at: datetime | None = None
    ended_at: datetime | None = None
    outcome: Outcome | None = None
    reason: str = ""
    merged_into: str = ""
    offering_leg: str = ""
    unseen: bool = False
    """It ended while nobody listened: whether there was a conversation is not known."""
    live: dict[str, Leg] = field(default_factory=dict)
    gone: list[LegFacts] = field(default_factory=list)
    consents: list[ConsentFacts] = field(default_factory=list)
    recordings: list[Recording] = field(default_factory=list)
    skipped: dict[str, Hindrance] = field(default_factory=dict)
    transfers: list[str] = field(default_factory=list)

    def move(self, input_: str) -> None:
        """Follow the table; an unlisted pair keeps the state."""
        self.state = TABLE.get((self.state, input_), self.state)

    def answer(self, at: datetime) -> None:
        """Two parties talk now."""
        self.answered_at = at
        self.move("bridged")

    @property
    def refused(self) -> bool:
        """Whether nothing more of this call may be recorded."""
        return bool(self.refused_by)

    def refuse(self, who: str) -> None:
        """Hold a refusal for the rest of the call, through every transfer."""
        self.refused_by = self.refused_by or who
        self.move("refused")

    def add_ref(self, ref: str) -> None:
        """Note another id that the PBX has for this call."""
        if ref not in self.refs:
            self.refs.append(ref)

    def absorb(self, other: "Call") -> None:
        """Take over the legs, consents and recordings of a call that turned out to be this one."""
        for leg in other.live.values():
            leg.call = self
        for recording in other.recordings:
            recording.call_id = self.call_id
        self.live |= other.live
        self.gone += other.gone
        self.recordings += other.recordings
        self.skipped |= other.skipped
        self.transfers += other.transfers
        for ref in other.refs:
            self.add_ref(ref)
        self.consents += other.consents
        self.withdrawn = self.withdrawn or other.withdrawn
        self.direction = _widest(self.direction, other.direction)
        self.line = self.line if self.line is not None else other.line
        self.a_number = self.a_number or other.a_number
        self.a_name = self.a_name or other.a_name
        self.b_number = self.b_number or other.b_number
        self.c_number = self.c_number or other.c_number
        self.ddi = self.ddi or other.ddi
        self.queue = self.queue or other.queue
        self.offered_queue = self.offered_queue or other.offered_queue
        self.decision = self.decision or other.decision
        self.policy = self.policy or other.policy
        self.answered_at = self.answered_at or other.answered_at
        if other.state is CallState.TALKING:
            self.move("bridged")
        if other.refused:
            self.refuse(other.refused_by)
        other.live, other.gone, other.recordings, other.consents = {}, [], [], []
        other.merged_into = self.call_id

    def close_gone(self, at: datetime) -> None:
        """Legs that were there before a restart and are not any more ended by now."""
        self.gone = [
            facts if facts.ended_at else replace(facts, ended_at=at) for facts in self.gone
        ]

    @property
    def settled(self) -> bool:
        """Whether nothing is left to wait for: no leg, and the audio of every leg finished."""
        return not self.live and all(r.measured is not None for r in self.recordings)

    def close(self) -> None:
        """Give the call its outcome."""
        self.move("ended")
        if self.outcome is None:
            self.outcome, self.reason = self._outcome(self.ended_at or self.started_at)
            self.decision = self._deciding() or self.decision
        self.policy = None  # closed calls are remembered, policies are large

    def _deciding(self) -> Decision | None:
        """The decision that the outcome follows from, where that is not the offer's."""
        if self.outcome is Outcome.RECORDED:
            return next((r.decision for r in self.recordings if r.state in KEPT), None)
        for hindrance in self.skipped.values():
            if (hindrance.outcome, hindrance.reason) == (self.outcome, self.reason):
                return hindrance.decision
        return None

    def _outcome(self, at: datetime) -> tuple[Outcome, str]:
        states = {r.state for r in self.recordings}
        kept = states & KEPT
        if self.withdrawn:
            return Outcome.DISCARDED, "consent_withdrawn"
        failures = [r for r in self.recordings if r.state is RecordingState.FAILED]
        if self._talk_ms(at) < NO_TALK_MS:
            failures = [r for r in failures if r.reason not in ("leg_gone", "no_audio")]
        if failures:
            return Outcome.FAILED, failures[0].reason
        missed = [h.reason for h in self.skipped.values() if h.outcome is Outcome.MISSED]
        if kept:
            if RecordingState.INTERRUPTED in kept:
                return Outcome.RECORDED, "interrupted"
            if any(r.late_ms for r in self.recordings):
                return Outcome.RECORDED, "started_late"
            if self.refused:
                return Outcome.RECORDED, "partly_declined"
            return Outcome.RECORDED, "partly_missed" if missed else "rule"
        if self.refused:
            return Outcome.DECLINED, self.refused_by
        if self.unseen and not self.recordings and self._was_wanted():
            return Outcome.MISSED, "listener_away"
        silent = self.answered_at is None and not self.recordings and not self.skipped
        if silent or (self.recordings and self._talk_ms(at) < NO_TALK_MS):
            return self._never_talked()
        if missed:
            return Outcome.MISSED, missed[0]
        if self.skipped:
            first = next(iter(self.skipped.values()))
            return first.outcome, first.reason
        if self.decision is not None and not self.decision.may_record:
            return self.decision.outcome, self.decision.reason
        return Outcome.NOT_SELECTED, "no_recordable_leg"

    def _was_wanted(self) -> bool:
        return self.decision is not None and self.decision.may_record

    def _never_talked(self) -> tuple[Outcome, str]:
        if self.decision is not None and self.decision.outcome is Outcome.EXCLUDED:
            return Outcome.EXCLUDED, self.decision.reason
        return Outcome.NOT_SELECTED, "no_conversation"

    def _talk_ms(self, at: datetime) -> float:
        """Since when somebody talks to somebody, or to a voicemail."""
        began = self.answered_at
        if began is None and self.recordings:
            began = self.recordings[0].bridged_at
        return 0.0 if began is None else (at - began).total_seconds() * 1000

    def _held(self) -> str:
        """What an open call must not forget when the listener is restarted."""
        return "consent_withdrawn" if self.withdrawn else self.refused_by

    def consent_of(self, leg: str) -> ConsentFacts | None:
        """The latest evidence kept for that party, if it was asked."""
        return next((c for c in reversed(self.consents) if c.party == leg), None)

    def satisfies(self, party: Leg, mode: ConsentMode) -> bool:
        """Whether what came of asking that party is enough for a rule of that mode.

        What was announced stays announced, also while the party is asked for more.
        """
        if party.consent in (Consent.DECLINED, Consent.ACCEPTED) or mode is ConsentMode.NONE:
            return consent.satisfies(party.consent, ConsentMode.NONE, mode)
        return any(
            consent.satisfies(evidence.outcome, evidence.mode, mode)
            for evidence in self.consents
            if evidence.party == party.leg
        )

    def keep_evidence(self, evidence: ConsentFacts) -> None:
        """Keep what came of asking a party, beside what came of asking it for less."""
        self.consents = [
            known
            for known in self.consents
            if (known.party, known.mode) != (evidence.party, evidence.mode)
        ] + [evidence]

    def parties_of(self, bridge: dict[str, Leg]) -> list[Leg]:
        """Who must have been asked before a leg in that bridge may be recorded.

        The outside parties in it; where a local channel hides them, all outside parties of
        the call; in an internal call the one who placed it.
        """
        outside = [p for p in bridge.values() if p.kind is LegKind.OUTSIDE]
        if not outside:
            outside = [p for p in self.live.values() if p.kind is LegKind.OUTSIDE]
        if outside:
            return outside
        caller = self.live.get(self.offering_leg)
        return [caller] if caller is not None else []

    def facts(self) -> CallFacts:
        """What is known now."""
        decision = self.decision
        return CallFacts(
            call_id=self.call_id,
            pbx_ids=tuple(self.refs),
            started_at=self.started_at,
            direction=self.direction,
            a_number=self.a_number,
            a_name=self.a_name,
            b_number=self.b_number,
            c_number=self.c_number,
            ddi=self.ddi,
            queue=self.queue,
            answered_at=self.answered_at,
            ended_at=self.ended_at,
            outcome=self.outcome,
            reason=self.reason or self._held(),
            rule=decision.rule if decision else "",
            policy_version=decision.policy_version if decision else "",
            merged_into=self.merged_into,
            tenant=decision.tenant if decision else "",
            explanation=decision.explanation if decision else Explanation(),
            legs=(*self.gone, *(leg.facts() for leg in self.live.values())),
            consents=tuple(self.consents),
            transfers=tuple(self.transfers),
        )


def _widest(ours: Direction | None, theirs: Direction | None) -> Direction | None:
    """The direction of a merged call: an outside party makes it more than internal."""
    if ours in (None, Direction.INTERNAL) and theirs is not None:
        return theirs
    return ours
