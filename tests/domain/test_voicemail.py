"""Messages on the voicemail: recorded for the line that was called, if its rule says so."""

from datetime import timedelta

import pytest

from callrec_pbx.domain import events as e
from callrec_pbx.domain.people import People, Tenant
from callrec_pbx.domain.policy import Rule
from callrec_pbx.domain.words import ConsentMode, Direction, Mode, Switch
from tests import rules
from tests.domain.scene import START, Scene, rule, who

VOICEMAIL = rule(voicemail=True)
MESSAGE = """
    0    caller  offered inbound 301     -> ask none + whisper
    20   caller  voicemail               -> start caller
    20   caller  started
"""


def test_a_message_is_recorded() -> None:
    """On the caller's own leg; it belongs to the line that was called."""
    scene = Scene(VOICEMAIL)
    scene.play(MESSAGE)
    scene.play(
        """
        50   caller  stopped                 -> finish caller
        50   caller  hung up
        51   caller  finished
        """
    )
    assert scene.recordings() == [("301", "stored", "")]
    recording = scene.recording("caller")
    assert (recording.line, recording.late_ms) == ("301", 0)
    assert scene.outcomes() == [("recorded", "rule")]


@pytest.mark.parametrize(
    ("given", "outcome"),
    [
        (rule(voicemail=False), ("not_selected", "voicemail")),
        (rule(Mode.ON_DEMAND, voicemail=True), ("not_selected", "voicemail")),
        (rule(Mode.NEVER, voicemail=True), ("not_selected", "rule")),
        (rule(line=("302",), voicemail=True), ("not_selected", "no_rule")),
        (rule(voicemail=True, consent=ConsentMode.ANNOUNCE), ("missed", "consent_missing")),
    ],
)
def test_not_recorded(given: Rule, outcome: tuple[str, str]) -> None:
    """The last one: nobody has reported that the caller was told."""
    scene = Scene(given)
    scene.give(scene.event(START, "caller", ["offered", "inbound", "301"]))
    scene.play(
        """
        20   caller  voicemail
        50   caller  hung up
        """
    )
    assert scene.recordings() == []
    assert scene.outcomes() == [outcome]


@pytest.mark.parametrize(("key", "begun"), [("1", "start caller"), ("2", "")])
def test_the_caller_is_asked_like_any_other(key: str, begun: str) -> None:
    scene = Scene(rule(voicemail=True, consent=ConsentMode.OPT_IN))
    scene.play(
        f"""
        0    caller  offered inbound 301     -> ask opt_in + whisper
        5    caller  heard opt_in key={key} ms=900
        20   caller  voicemail               -> {begun}
        50   caller  hung up                 {"-> finish caller" if begun else ""}
        """
    )


def test_an_excluded_number() -> None:
    scene = Scene(VOICEMAIL, excluded=("+46caller",))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none
        20   caller  voicemail
        50   caller  hung up
        """
    )
    assert scene.outcomes() == [("excluded", "excluded_number")]


def test_a_tenant_whose_recording_is_off_now() -> None:
    scene = Scene()
    on, off = (
        rules.policy(VOICEMAIL, people=People.of([Tenant("default", switch)]))
        for switch in (Switch.ON, Switch.OFF_NOW)
    )
    scene.calls.policy = on
    scene.play("0    caller  offered inbound 301     -> ask none + whisper")
    scene.calls.adopt(off, START)
    scene.play("20   caller  voicemail")
    scene.play("50   caller  hung up")
    assert scene.outcomes() == [("not_selected", "recording_off")]


def test_somebody_elses_mailbox() -> None:
    """A queue whose callers come to the mailbox of one of its agents: that one's rule counts."""
    scene = Scene(rule(line=("302",), voicemail=True), rule(Mode.NEVER))
    scene.play(
        """
        0    caller  offered inbound - queue=sales   -> ask none + whisper
        20   caller  voicemail 302           -> start caller
        """
    )
    assert scene.recording("caller").owner == "302"


def test_nobodys_mailbox() -> None:
    """Nobody's line was offered, so there is nobody whom the message belongs to."""
    scene = Scene(VOICEMAIL)
    scene.play(
        """
        0    caller  offered inbound - queue=sales   -> ask none + whisper
        20   caller  voicemail
        50   caller  hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "voicemail")]


def test_a_colleagues_message() -> None:
    scene = Scene(VOICEMAIL)
    scene.play(
        """
        0    302     offered internal 301    -> ask none + whisper
        20   302     voicemail
        50   302     hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "voicemail")]


def test_a_call_that_was_never_offered() -> None:
    scene = Scene(VOICEMAIL)
    scene.play(
        """
        20   caller  voicemail
        50   caller  hung up
        50   caller  voicemail
        """
    )
    assert scene.outcomes() == [("not_selected", "voicemail")]
    assert scene.calls.ignored["voicemail: leg has hung up"] == 1


@pytest.mark.parametrize(
    "leaves", ["caller  bridged", "caller  parked", "caller  offered inbound 302"]
)
def test_a_caller_who_leaves_the_voicemail(leaves: str) -> None:
    """To talk to somebody: what is said then is another recording's, or nobody's."""
    scene = Scene(VOICEMAIL)
    scene.play(MESSAGE)
    gave = scene.give(scene.event(START + timedelta(seconds=30), *split(leaves)))
    assert gave[-1] == "stop caller"
    scene.play(
        """
        30   caller  stopped                 -> finish caller
        31   caller  bridged other
        31   302     bridged other           -> start 302
        """
    )
    assert [r[0] for r in scene.recordings()] == ["301", "302"]
    assert scene.recording("caller").reason == "voicemail_left"


def split(text: str) -> tuple[str, list[str]]:
    leg, *words = text.split()
    return leg, words


def test_who_talks_to_somebody_is_at_no_voicemail() -> None:
    """The event comes late, or out of order."""
    scene = Scene(rule(line=("301",), voicemail=True), rule(Mode.NEVER))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        9    caller  bridged
        9    302     bridged
        9    caller  voicemail
        """
    )


def test_told_twice_is_recorded_once() -> None:
    scene = Scene(VOICEMAIL)
    scene.play(MESSAGE)
    scene.play("21   caller  voicemail")


def test_nobody_at_the_voicemail_has_keys() -> None:
    scene = Scene(VOICEMAIL)
    scene.play(MESSAGE)
    scene.play("25   caller  pressed pause           -> tell caller refused")


def test_who_hangs_up_at_once_has_left_no_message() -> None:
    scene = Scene(VOICEMAIL)
    scene.play(MESSAGE)
    scene.play(
        """
        20.4 caller  stopped                 -> finish caller
        20.4 caller  hung up
        20.5 caller  finished failed no_audio
        """
    )
    assert scene.outcomes() == [("not_selected", "no_conversation")]


def test_a_message_that_is_lost_is_a_failure() -> None:
    scene = Scene(VOICEMAIL)
    scene.play(MESSAGE)
    scene.play(
        """
        50   caller  stopped                 -> finish caller
        50   caller  hung up
        50   caller  finished failed no_audio
        """
    )
    assert scene.outcomes() == [("failed", "no_audio")]


OFFER = e.CallOffered(START, who("caller"), Direction.INBOUND, "301", "", "", "301")
AT = START + timedelta(seconds=20)


def test_a_listener_that_comes_back_records_the_rest() -> None:
    """From then on, and late, as the PBX says since when the caller is there."""
    scene = Scene(VOICEMAIL)
    reached = e.VoicemailReached(AT, who("caller"))
    leg = e.LegSeen(who("caller"), START, offer=OFFER, voicemail=reached)
    assert scene.give(e.SnapshotTaken(AT + timedelta(seconds=9), (leg,))) == ["start caller"]
    scene.play("30   caller  started")
    assert scene.recording("caller").late_ms == 10_000


def test_a_listener_that_comes_back_takes_the_recording_over() -> None:
    scene = Scene(VOICEMAIL)
    scene.play(MESSAGE)
    reached = e.VoicemailReached(AT, who("caller"))
    leg = e.LegSeen(who("caller"), START, offer=OFFER, voicemail=reached, recording="id2")
    assert scene.give(e.SnapshotTaken(AT + timedelta(seconds=9), (leg,))) == []
    again = Scene(VOICEMAIL)
    saved = tuple(scene.saved.values())
    found = again.give(e.SnapshotTaken(AT + timedelta(seconds=9), (leg,), unfinished=saved))
    assert found == []
    again.play("40   caller  stopped                 -> finish caller")


def test_a_listener_that_comes_back_when_the_caller_has_left() -> None:
    """The recording of the message is still running, and the caller talks to somebody."""
    scene = Scene(VOICEMAIL)
    scene.play(MESSAGE)
    reached = e.VoicemailReached(AT, who("caller"))
    legs = (
        e.LegSeen(who("caller"), START, "b", offer=OFFER, voicemail=reached, recording="id2"),
        e.LegSeen(who("302"), START, "b"),
    )
    found = scene.give(e.SnapshotTaken(AT + timedelta(seconds=9), legs))
    assert "stop caller" in found
    assert scene.recording("caller").reason == "voicemail_left"


def test_the_pbx_remembers_a_voicemail_longer_than_the_caller_is_there() -> None:
    scene = Scene(rule(line=("301",), voicemail=True), rule(Mode.NEVER))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask none + whisper
        30   caller  bridged
        30   302     bridged
        40   302     hung up
        40   caller  left
        """
    )
    reached = e.VoicemailReached(AT, who("caller"))
    leg = e.LegSeen(who("caller"), START, offer=OFFER, voicemail=reached)
    assert scene.give(e.SnapshotTaken(START + timedelta(seconds=45), (leg,))) == []


def test_a_message_that_was_recorded_before_is_not_begun_again() -> None:
    scene = Scene(VOICEMAIL)
    scene.play(MESSAGE)
    scene.play("25   caller  silent                  -> stop caller")
    scene.play("25   caller  stopped                 -> finish caller")
    reached = e.VoicemailReached(AT, who("caller"))
    leg = e.LegSeen(who("caller"), START, offer=OFFER, voicemail=reached)
    assert "start caller" not in scene.give(e.SnapshotTaken(AT + timedelta(seconds=9), (leg,)))
