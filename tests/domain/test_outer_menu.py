"""What a caller has answered in the administrator's own menu, before we heard of the call."""

from dataclasses import replace
from datetime import timedelta

import pytest

from callrec_pbx.domain import commands as c
from callrec_pbx.domain import consent
from callrec_pbx.domain import events as e
from callrec_pbx.domain.words import Consent, ConsentMode, Direction, Mode, OnTrouble
from tests.domain.scene import START, Scene, rule, who

OPT_IN = rule(consent=ConsentMode.OPT_IN)


def test_who_has_accepted_is_not_asked_again() -> None:
    """Not before a queue, nor after a transfer; the evidence says where it comes from."""
    scene = Scene(OPT_IN)
    scene.play(
        """
        0    caller  offered inbound 301 menu=accepted   -> ask none + whisper
        5    caller  bridged
        5    301     bridged                             -> start 301
        5    301     started
        20   301     hung up                             -> finish 301
        20   caller  left
        20   caller  offered inbound 302 menu=accepted   -> ask none + whisper
        25   caller  bridged
        25   302     bridged                             -> start 302
        """
    )
    (evidence,) = scene.call().consents
    assert (evidence.outcome, evidence.mode) == (Consent.ACCEPTED, ConsentMode.OPT_IN)
    assert (evidence.prompt, evidence.party) == ("outer_menu", "caller")
    assert (evidence.played_from, evidence.played_to, evidence.played_ms) == (None, None, 0)
    assert (evidence.prompt_sha256, evidence.key) == ("", "")


@pytest.mark.parametrize("mode", list(ConsentMode))
def test_who_has_declined_is_not_recorded_whatever_the_rule_asks(mode: ConsentMode) -> None:
    """Through every transfer; the star of an agent's demand does not help either."""
    scene = Scene(rule(consent=mode))
    scene.play(
        """
        0    caller  offered inbound 301 menu=declined   -> ask none
        5    caller  bridged
        5    301     bridged
        9    301     pressed start                       -> tell 301 refused
        20   301     hung up
        20   caller  left
        20   caller  offered inbound 302                 -> ask none
        25   caller  bridged
        25   302     bridged
        40   302     hung up
        40   caller  hung up
        """
    )
    assert scene.outcomes() == [("declined", "declined_by_menu")]
    (call,) = scene.calls.closed.values()
    (evidence,) = call.consents
    assert (evidence.outcome, evidence.prompt, evidence.mode) == (
        Consent.DECLINED,
        "outer_menu",
        mode,
    )
    assert call.decision is not None
    assert call.decision.reason == "declined_by_menu"


def test_a_refusal_ends_the_call_where_the_rule_says_so() -> None:
    scene = Scene(rule(on_refusal=OnTrouble.HANG_UP, language="sv"))
    scene.play("0    caller  offered inbound 301 menu=declined   -> ask none + refused")
    (answer,) = [a for a in scene.commands if isinstance(a, c.AnswerOffer)]
    assert (answer.on_refusal, answer.language) == (OnTrouble.HANG_UP, "sv")
    scene.play("1    other@2 offered inbound 301                 -> ask none + whisper")
    never = Scene(rule(Mode.NEVER, on_refusal=OnTrouble.HANG_UP))
    never.play("0    caller  offered inbound 301 menu=declined   -> ask none")
    accepted = Scene(rule(consent=ConsentMode.OPT_IN, on_refusal=OnTrouble.HANG_UP))
    accepted.play("0    caller  offered inbound 301 menu=accepted   -> ask none + whisper")


def test_a_refusal_counts_where_the_call_goes_next() -> None:
    """The first rule lets such calls go on, that of the line they are handed on to does not."""
    scene = Scene(rule(line=("301",)), rule(line=("302",), on_refusal=OnTrouble.HANG_UP))
    scene.play(
        """
        0    caller  offered inbound 301 menu=declined   -> ask none
        5    caller  bridged
        5    301     bridged
        20   301     hung up
        20   caller  left
        20   caller  offered inbound 302 menu=declined   -> ask none + refused
        """
    )


def test_a_menu_in_the_middle_of_a_call_stops_what_runs() -> None:
    scene = Scene()
    scene.play(
        """
        0    caller  offered inbound 301                 -> ask none + whisper
        5    caller  bridged
        5    301     bridged                             -> start 301
        5    301     started
        20   caller  offered inbound 302 menu=declined   -> ask none, stop 301
        20   301     stopped                             -> finish 301
        21   301     finished
        30   301     hung up
        30   caller  hung up
        """
    )
    assert scene.recordings() == [("301", "stored", "declined_by_menu")]
    assert scene.outcomes() == [("recorded", "partly_declined")]


def test_who_was_only_told_may_agree_in_a_later_menu() -> None:
    scene = Scene(rule(line=("301",), consent=ConsentMode.ANNOUNCE), OPT_IN)
    scene.play(
        """
        0    caller  offered inbound 301                 -> ask announce + whisper
        5    caller  heard announce
        6    caller  offered inbound 302 menu=accepted   -> ask none + whisper
        9    caller  bridged
        9    302     bridged                             -> start 302
        """
    )
    told, agreed = scene.call().consents
    assert (told.outcome, told.prompt) == (Consent.ANNOUNCED, "announce")
    assert (agreed.outcome, agreed.prompt) == (Consent.ACCEPTED, "outer_menu")


def test_who_has_refused_stays_refused() -> None:
    scene = Scene(rule(consent=ConsentMode.OPT_OUT))
    scene.play(
        """
        0    caller  offered inbound 301                 -> ask opt_out + whisper
        2    caller  heard opt_out key=* ms=900
        6    caller  offered inbound 302 menu=accepted   -> ask none
        9    caller  bridged
        9    302     bridged
        """
    )
    assert scene.call().refused_by == "declined"
    (evidence,) = scene.call().consents
    assert (evidence.outcome, evidence.key) == (Consent.DECLINED, "*")


def test_the_called_party_is_asked_whatever_the_caller_has_said() -> None:
    """A menu can only speak for the leg that was in it."""
    scene = Scene(OPT_IN)
    scene.play("0    301  offered outbound 301 menu=accepted   -> ask callee opt_in")


@pytest.mark.parametrize("answer", [Consent.ACCEPTED, Consent.DECLINED])
def test_it_outlasts_a_restart(answer: Consent) -> None:
    """The PBX keeps the answer with the offer; nothing had been written yet."""
    scene = Scene(OPT_IN)
    offer = e.CallOffered(START, who("caller"), Direction.INBOUND, "301", "", "", "301", answer)
    legs = (
        e.LegSeen(who("caller"), START, "b", offer=offer),
        e.LegSeen(who("301"), START, "b"),
    )
    found = scene.give(e.SnapshotTaken(START + timedelta(minutes=1), legs))
    assert found == (["start 301"] if answer is Consent.ACCEPTED else [])
    call = scene.call()
    assert call.refused_by == ("" if answer is Consent.ACCEPTED else "declined_by_menu")
    (evidence,) = call.consents
    assert (evidence.outcome, evidence.prompt) == (answer, "outer_menu")


def test_a_second_snapshot_says_nothing_new() -> None:
    scene = Scene(OPT_IN)
    scene.play("0    caller  offered inbound 301 menu=accepted   -> ask none + whisper")
    before = scene.call().consents
    offer = scene.event(START, "caller", ["offered", "inbound", "301", "menu=accepted"])
    assert isinstance(offer, e.CallOffered)
    seen = e.LegSeen(who("caller"), START, offer=replace(offer))
    scene.give(e.SnapshotTaken(START + timedelta(minutes=1), (seen,)))
    assert scene.call().consents == before


def test_only_the_two_words_of_a_menu_are_known() -> None:
    assert consent.after(Consent.UNASKED, consent.MENU_ACCEPTED) is Consent.ACCEPTED
    assert consent.after(Consent.DECLINED, consent.MENU_ACCEPTED) is Consent.DECLINED


def test_the_answer_says_what_is_asked_of_whom() -> None:
    scene = Scene(OPT_IN)
    scene.play("0    caller  offered inbound 301 menu=accepted   -> ask none + whisper")
    (answer,) = [a for a in scene.commands if isinstance(a, c.AnswerOffer)]
    assert (answer.ask, answer.prompt, answer.refused) == (
        ConsentMode.NONE,
        "announce_opt_in",
        False,
    )
