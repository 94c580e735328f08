"""The offer and the announcement: who is asked, and what came of it."""

from typing import TYPE_CHECKING

from callrec_pbx.domain import consent, events, selecting, voicemail
from callrec_pbx.domain.call import Call, Leg
from callrec_pbx.domain.commands import AnswerOffer, Command, SaveCall
from callrec_pbx.domain.facts import ConsentFacts, Decision
from callrec_pbx.domain.words import Consent, ConsentMode, Direction, LegKind, OnTrouble

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls

Commands = list[Command]


def call_offered(calls: "Calls", event: events.CallOffered) -> Commands:
    if calls.has_left(event.who.leg, "offered"):
        return []
    leg = calls.leg_of(event.who, event.at)
    call = leg.call
    left = voicemail.left(leg, event.at)
    note_offer(call, leg, event)
    wish = note_menu(calls, leg, event)
    decision = call.decision = selecting.decide(calls, call, event.line)
    # This offer says who is called now; the call as a whole may have begun otherwise.
    outbound = event.direction is Direction.OUTBOUND
    asks = ConsentMode.NONE
    if decision.may_record and not call.refused:
        asks = decision.consent
    prompt = consent.announcement(calls.prompts, asks, decision.announcement, decision.language)
    if prompt is None:
        asks = ConsentMode.NONE  # fail closed: without an announcement nobody was asked
    ask_caller = asks if _is_to_be_asked(call, leg, asks) else ConsentMode.NONE
    if ask_caller is not ConsentMode.NONE:
        leg.consent = consent.after(leg.consent, consent.ASK)
    whisper = "whisper" if decision.whisper and not call.refused and not outbound else ""
    answer = AnswerOffer(
        leg=leg.leg,
        channel=leg.channel,
        ask=ask_caller,
        ask_callee=asks if outbound and leg.kind is not LegKind.OUTSIDE else ConsentMode.NONE,
        callee=LegKind.OUTSIDE if outbound else LegKind.LINE,
        prompt=prompt.name if prompt else "",
        whisper=whisper,
        language=prompt.language if prompt else (wish or decision).language,
        on_refusal=(wish or decision).on_refusal,
        refused=wish is not None and _ends_refused(wish, event),
    )
    commands: Commands = [answer, SaveCall(call.facts()), *left]
    return commands + (selecting.consider_all(calls, call, event.at) if wish else [])


def note_menu(calls: "Calls", leg: Leg, event: events.CallOffered) -> Decision | None:
    """Keep what a party has answered in the administrator's own menu.

    Returns:
        What would be done with the call if nobody had refused; None when the menu said nothing.
    """
    said = event.outer_consent
    if said is None:
        return None
    call = leg.call
    wish = selecting.decide_unrefused(calls, call, event.line)
    before = leg.consent
    agreed = said is Consent.ACCEPTED
    leg.consent = consent.after(before, consent.MENU_ACCEPTED if agreed else said.value)
    if leg.consent is not before:
        evidence = ConsentFacts(
            party=leg.leg,
            number=leg.number or leg.line,
            mode=wish.consent,
            outcome=leg.consent,
            prompt=consent.OUTER_MENU,
        )
        call.keep_evidence(evidence)
    if said is Consent.DECLINED:
        call.refuse(consent.DECLINED_BY_MENU)
    return wish


def _ends_refused(wish: Decision, event: events.CallOffered) -> bool:
    declined = event.outer_consent is Consent.DECLINED
    return declined and wish.may_record and wish.on_refusal is OnTrouble.HANG_UP


def _is_to_be_asked(call: Call, leg: Leg, mode: ConsentMode) -> bool:
    """Whether the leg that is offered is the party whose consent counts, and is still to be asked.

    Whoever has only been told of the recording is asked when that is not enough for another line.

    An agent who consults a colleague about an outside call is not, nor is a local channel.
    """
    may_be = leg.consent in (Consent.UNASKED, Consent.ANNOUNCED)
    if not may_be or call.satisfies(leg, mode) or leg.kind is LegKind.OTHER:
        return False
    if leg.kind is LegKind.OUTSIDE:
        return True
    outside = any(party.kind is LegKind.OUTSIDE for party in call.live.values())
    return call.direction is Direction.INTERNAL and not outside


def note_offer(call: Call, leg: Leg, event: events.CallOffered) -> None:
    """Keep what an offer says; a trunk leg never begins an internal call."""
    direction = event.direction
    if leg.kind is LegKind.OUTSIDE and direction is Direction.INTERNAL:
        direction = Direction.INBOUND
    if call.direction is None:
        call.direction = direction
        call.offering_leg = leg.leg
        call.a_number = leg.number if leg.kind is not LegKind.LINE else (leg.line or leg.number)
        call.a_name = leg.name
        call.b_number = event.dialled or event.ddi or (event.line or "")
    elif call.direction is Direction.INTERNAL and direction is not Direction.INTERNAL:
        # A call between colleagues is handed on to the outside: now other rules count.
        call.direction = direction
        call.b_number = event.dialled or call.b_number
    call.ddi = call.ddi or event.ddi
    call.queue = event.queue or call.queue
    call.offered_queue = event.queue
    call.line = event.line


def offer_unanswered(calls: "Calls", event: events.OfferUnanswered) -> Commands:
    leg = calls.known(event.leg, "offer unanswered")
    if leg is not None:
        leg.consent = consent.after(leg.consent, consent.CANNOT_ASK)
    return []


def consent_reported(calls: "Calls", event: events.ConsentReported) -> Commands:
    leg = calls.known(event.leg, "consent")
    if leg is None or not note_consent(calls, leg, event):
        return []
    commands: Commands = [SaveCall(leg.call.facts())]
    return commands + selecting.consider_all(calls, leg.call, event.at)


def note_consent(calls: "Calls", leg: Leg, event: events.ConsentReported) -> bool:
    """Keep what came of asking a party, and say whether that changes anything."""
    call = leg.call
    evidence = _evidence(calls, leg, event)
    before = leg.consent
    leg.consent = consent.after(before, evidence.outcome.value)
    if leg.consent is before:
        return False
    call.keep_evidence(evidence)
    refusal = consent.refusal(leg.consent, event.mode, event.completed)
    if refusal:
        call.refuse(refusal)
    return True


def _evidence(calls: "Calls", leg: Leg, event: events.ConsentReported) -> ConsentFacts:
    prompt = calls.prompts.find(event.prompt, event.language)
    prompt_ms = prompt.duration_ms if prompt else 0
    elapsed = round((event.played_to - event.played_from).total_seconds() * 1000)
    played_ms = max(0, min(elapsed, prompt_ms))
    return ConsentFacts(
        party=leg.leg,
        number=leg.number or leg.line,
        mode=event.mode,
        outcome=consent.meaning(event.mode, event.key, played_ms, prompt_ms, event.completed),
        prompt=event.prompt,
        prompt_sha256=prompt.sha256 if prompt else "",
        prompt_version=prompt.version if prompt else "",
        language=prompt.language if prompt else event.language,
        played_from=event.played_from,
        played_to=event.played_to,
        played_ms=played_ms,
        prompt_ms=prompt_ms,
        key=event.key,
    )


def whisper_played(calls: "Calls", event: events.WhisperPlayed) -> Commands:
    leg = calls.known(event.leg, "whisper")
    if leg is not None:
        leg.whispered_at = event.at
    return []
