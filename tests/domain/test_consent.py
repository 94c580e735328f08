"""Who is asked, what counts as an answer, and what a refusal does."""

import pytest

from callrec_pbx.domain import commands as c
from callrec_pbx.domain import consent
from callrec_pbx.domain.facts import PromptBook
from callrec_pbx.domain.words import Consent, ConsentMode, LegKind, Mode, OnTrouble
from tests.domain.scene import PROMPT_MS, Scene, rule

ANNOUNCE = rule(consent=ConsentMode.ANNOUNCE)
OPT_OUT = rule(consent=ConsentMode.OPT_OUT)
OPT_IN = rule(consent=ConsentMode.OPT_IN)


def test_a_caller_who_stays_on_is_recorded() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0.0  caller  created
        0.0  caller  offered inbound 301     -> ask opt_out + whisper
        5.1  caller  heard opt_out
        5.2  301     created
        8.0  301     whispered
        9.0  caller  bridged
        9.0  301     bridged                 -> start 301
        9.1  301     started
        60   301     stopped                 -> finish 301
        60   301     hung up
        60   caller  hung up
        61   301     finished
        """
    )
    assert scene.recordings() == [("301", "stored", "")]
    assert scene.outcomes() == [("recorded", "rule")]


def test_star_refuses_for_good() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        2    caller  heard opt_out key=* ms=1900
        9    caller  bridged
        9    301     bridged
        9    301     pressed start           -> tell 301 refused
        20   301     hung up
        20   302     bridged
        30   302     hung up
        30   caller  hung up
        """
    )
    assert scene.recordings() == []
    assert scene.outcomes() == [("declined", "declined")]


@pytest.mark.parametrize(
    ("report", "commands", "outcome"),
    [
        ("key=1 ms=900", "start 301", None),
        ("key=2 ms=900", "", ("declined", "declined")),
        ("", "", ("declined", "no_answer")),
        ("key=7", "", ("declined", "no_answer")),
    ],
)
def test_opt_in(report: str, commands: str, outcome: tuple[str, str] | None) -> None:
    scene = Scene(OPT_IN)
    scene.play(
        f"""
        0    caller  offered inbound 301     -> ask opt_in + whisper
        6    caller  heard opt_in {report}
        9    caller  bridged
        9    301     bridged                 -> {commands}
        30   caller  hung up
        30   301     hung up                 -> {"finish 301" if commands else ""}
        """
    )
    assert scene.outcomes() == ([outcome] if outcome else [])


@pytest.mark.parametrize(
    ("mode", "report", "counts"),
    [
        ("announce", f"ms={PROMPT_MS}", True),
        ("announce", f"ms={PROMPT_MS + 9000}", True),
        ("announce", f"ms={PROMPT_MS - consent.END_SILENCE_MS}", True),
        ("announce", f"ms={PROMPT_MS - consent.END_SILENCE_MS - 1}", False),
        ("announce", "ms=0", False),
        ("announce", "ms=-500", False),
        ("announce", "cut=yes", False),
        ("opt_out", "", True),
        ("opt_out", "ms=0", False),
        ("opt_out", "key=5", True),
    ],
)
def test_announced_is_what_was_played_to_its_end(mode: str, report: str, counts: bool) -> None:
    scene = Scene(rule(consent=ConsentMode(mode)))
    scene.play(
        f"""
        0    caller  offered inbound 301     -> ask {mode} + whisper
        9    caller  heard {mode} {report}
        9    caller  bridged
        9    301     bridged                 -> {"start 301" if counts else ""}
        """
    )
    (evidence,) = scene.call().facts().consents
    assert evidence.outcome is (Consent.ANNOUNCED if counts else Consent.NO_ANSWER)
    assert 0 <= evidence.played_ms <= evidence.prompt_ms == PROMPT_MS


def test_the_evidence_names_prompt_party_and_times() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        6    caller  heard opt_out key=* ms=1250
        """
    )
    (evidence,) = scene.call().facts().consents
    assert evidence.party == "caller"
    assert evidence.number == "+46caller"
    assert evidence.mode is ConsentMode.OPT_OUT
    assert evidence.outcome is Consent.DECLINED
    assert (evidence.prompt, evidence.prompt_sha256, evidence.prompt_version) == (
        "announce_opt_out",
        "sha-announce_opt_out",
        "1",
    )
    assert (evidence.played_ms, evidence.prompt_ms, evidence.key) == (1250, PROMPT_MS, "*")
    assert evidence.played_from is not None
    assert evidence.played_to is not None
    assert (evidence.played_to - evidence.played_from).total_seconds() == 1.25


def test_a_caller_who_hangs_up_while_asked_has_not_refused() -> None:
    scene = Scene(OPT_IN)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_in + whisper
        2    caller  heard opt_in cut=yes ms=1900
        2    caller  hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "no_conversation")]


def test_without_a_prompt_nobody_is_asked_and_nothing_recorded() -> None:
    scene = Scene(ANNOUNCE, prompts=PromptBook({}))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        2    caller  bridged
        2    301     bridged
        9    caller  hung up
        9    301     hung up
        """
    )
    assert scene.outcomes() == [("missed", "consent_missing")]


def test_a_prompt_unknown_by_now_proves_nothing() -> None:
    scene = Scene(ANNOUNCE)
    scene.play("0  caller  offered inbound 301  -> ask announce + whisper")
    scene.calls.prompts = PromptBook({})
    scene.play(
        """
        6    caller  heard announce
        9    caller  bridged
        9    301     bridged
        """
    )
    (evidence,) = scene.call().facts().consents
    assert (evidence.outcome, evidence.prompt_ms, evidence.language) == (
        Consent.NO_ANSWER,
        0,
        "en",
    )


def test_a_decision_that_came_too_late_asked_nobody() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        0.5  caller  unanswered
        2    caller  bridged
        2    301     bridged
        3    caller  offered inbound 302     -> ask opt_out + whisper
        3.5  caller  unanswered
        9    caller  hung up
        9    301     hung up
        """
    )
    assert scene.outcomes() == [("missed", "consent_missing")]


def test_outbound_the_called_party_is_asked_on_answer() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    301     offered outbound 301 dialled=0493012345 -> ask callee opt_out
        1    callee  created
        9    callee  heard opt_out
        9    301     bridged
        9    callee  bridged                 -> start 301
        """
    )
    offer = scene.commands[0]
    assert isinstance(offer, c.AnswerOffer)
    assert (offer.callee, offer.ask, offer.prompt) == (
        LegKind.OUTSIDE,
        ConsentMode.NONE,
        "announce_opt_out",
    )
    facts = scene.call().facts()
    assert (facts.a_number, facts.b_number, facts.c_number) == ("301", "0493012345", "+46callee")


def test_outbound_a_refusal_of_the_called_party() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    301     offered outbound 301    -> ask callee opt_out
        9    callee  created
        9    callee  heard opt_out key=*
        9    301     bridged
        9    callee  bridged
        20   301     hung up
        20   callee  hung up
        """
    )
    assert scene.outcomes() == [("declined", "declined")]


def test_each_party_is_asked_once_also_after_a_transfer() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out
        9    caller  bridged
        9    301     bridged                 -> start 301
        20   301     transferred blind 302
        20   caller  left
        20   301     hung up                 -> finish 301
        20   caller  offered inbound 302     -> ask none + whisper
        25   caller  bridged
        25   302     bridged                 -> start 302
        """
    )


def test_an_internal_call_asks_who_placed_it() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    301     offered internal 302    -> ask opt_out + whisper
        5    301     heard opt_out
        9    301     bridged
        9    302     bridged                 -> start 301, start 302
        """
    )


def test_an_internal_call_is_refused_by_who_placed_it() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    301     offered internal 302    -> ask opt_out + whisper
        5    301     heard opt_out key=*
        9    301     bridged
        9    302     bridged
        """
    )


def test_a_trunk_leg_never_begins_an_internal_call() -> None:
    scene = Scene(OPT_OUT)
    scene.play("0  caller  offered internal 301  -> ask opt_out + whisper")
    assert scene.call().facts().direction == "inbound"


def test_a_consultation_about_an_outside_call_asks_nobody() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out
        9    caller  bridged
        9    301     bridged                 -> start 301
        20   301b    offered internal 302    -> ask none + whisper
        """
    )


def test_a_local_channel_is_not_asked() -> None:
    scene = Scene(OPT_OUT)
    scene.play("0  local  offered internal 302  -> ask none + whisper")


def test_behind_a_local_channel_the_outside_parties_count() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  offered inbound - queue=sales -> ask opt_out + whisper
        5    caller  heard opt_out
        6    caller  bridged q
        6    local   bridged q
        7    local   bridged b
        7    301     bridged b               -> start 301
        """
    )


def test_a_refusal_in_mid_call_stops_also_a_leg_that_waits_alone() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out
        9    caller  bridged
        9    301     bridged                 -> start 301
        9    301     started
        20   caller  left
        21   caller  heard opt_out key=*     -> stop 301
        21   301     stopped                 -> finish 301
        22   caller  bridged
        """
    )
    assert scene.recordings() == [("301", "captured", "declined")]


def test_a_party_not_asked_yet_stops_the_recording_until_it_was() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out
        9    caller  bridged
        9    301     bridged                 -> start 301
        20   third   bridged                 -> stop 301
        21   third   heard opt_out
        21   301     stopped                 -> finish 301, start 301
        """
    )


def test_what_a_refusal_does_is_told_to_the_pbx() -> None:
    scene = Scene(rule(consent=ConsentMode.OPT_OUT, on_refusal=OnTrouble.HANG_UP))
    scene.play("0  caller  offered inbound 301  -> ask opt_out + whisper")
    offer = scene.commands[0]
    assert isinstance(offer, c.AnswerOffer)
    assert offer.on_refusal is OnTrouble.HANG_UP


def test_reports_about_strangers_or_twice_change_nothing() -> None:
    scene = Scene(OPT_OUT)
    scene.play(
        """
        0    caller  heard opt_out key=*
        0    caller  offered inbound 301     -> ask opt_out + whisper
        5    caller  heard opt_out key=*
        6    caller  heard opt_out
        6    caller  unanswered
        """
    )
    assert scene.call().refused_by == "declined"
    assert scene.calls.ignored == {"consent: unknown leg": 1}


@pytest.mark.parametrize(
    ("state", "asked", "mode", "allowed"),
    [
        (Consent.UNASKED, ConsentMode.NONE, ConsentMode.NONE, True),
        (Consent.DECLINED, ConsentMode.OPT_OUT, ConsentMode.NONE, False),
        (Consent.ANNOUNCED, ConsentMode.ANNOUNCE, ConsentMode.ANNOUNCE, True),
        (Consent.ANNOUNCED, ConsentMode.OPT_OUT, ConsentMode.ANNOUNCE, True),
        (Consent.ANNOUNCED, ConsentMode.OPT_OUT, ConsentMode.OPT_OUT, True),
        (Consent.ANNOUNCED, ConsentMode.ANNOUNCE, ConsentMode.OPT_OUT, False),
        (Consent.ANNOUNCED, ConsentMode.OPT_OUT, ConsentMode.OPT_IN, False),
        (Consent.ACCEPTED, ConsentMode.OPT_IN, ConsentMode.OPT_IN, True),
        (Consent.ACCEPTED, ConsentMode.OPT_IN, ConsentMode.ANNOUNCE, True),
        (Consent.ACCEPTED, ConsentMode.NONE, ConsentMode.OPT_IN, True),
        (Consent.NO_ANSWER, ConsentMode.ANNOUNCE, ConsentMode.ANNOUNCE, False),
        (Consent.ASKING, ConsentMode.OPT_OUT, ConsentMode.OPT_OUT, False),
    ],
)
def test_satisfies(state: Consent, asked: ConsentMode, mode: ConsentMode, allowed: bool) -> None:
    assert consent.satisfies(state, asked, mode) is allowed


def test_asked_again_where_another_line_needs_more() -> None:
    """Told once, asked once: the second announcement is another one."""
    told = rule(line=("301",), consent=ConsentMode.ANNOUNCE)
    scene = Scene(told, rule(line=("302",), consent=ConsentMode.OPT_OUT), told)
    scene.play(
        """
        0    caller  offered inbound 301     -> ask announce + whisper
        5    caller  heard announce
        6    caller  bridged
        6    301     bridged                 -> start 301
        6.1  301     started
        9    301     hung up                 -> finish 301
        10   caller  offered inbound 302     -> ask opt_out + whisper
        15   caller  heard opt_out
        16   caller  bridged
        16   302     bridged                 -> start 302
        16.1 302     started
        20   302     hung up                 -> finish 302
        21   caller  offered inbound 301     -> ask none + whisper
        """
    )
    kept = [(one.mode, one.outcome) for one in scene.call().facts().consents]
    assert kept == [
        (ConsentMode.ANNOUNCE, Consent.ANNOUNCED),
        (ConsentMode.OPT_OUT, Consent.ANNOUNCED),
    ]


def test_not_recorded_by_a_line_that_needs_more_than_was_asked() -> None:
    """The caller is handed over without an offer: nobody could ask again."""
    scene = Scene(
        rule(line=("301",), consent=ConsentMode.ANNOUNCE),
        rule(line=("302",), consent=ConsentMode.OPT_OUT),
    )
    scene.play(
        """
        0    caller  offered inbound 301     -> ask announce + whisper
        5    caller  heard announce
        6    caller  bridged
        6    302     bridged
        9    302     hung up
        9    caller  hung up
        """
    )
    assert scene.outcomes() == [("missed", "consent_missing")]


def test_a_rule_that_never_records_asks_nothing() -> None:
    scene = Scene(rule(Mode.NEVER, consent=ConsentMode.OPT_OUT))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none
        9    caller  bridged
        9    301     bridged
        20   301     hung up
        20   caller  hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "rule")]
