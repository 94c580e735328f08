"""All parties are told when a recording starts or stops while they talk."""

from datetime import timedelta

import pytest

from callrec_pbx.domain import commands as c
from callrec_pbx.domain import events as e
from callrec_pbx.domain.people import People, Tenant
from callrec_pbx.domain.policy import Policy
from callrec_pbx.domain.words import ConsentMode, Mode, Notice, Switch
from tests import rules
from tests.domain.scene import START, Scene, in_short, rule, who

BEEP = rule(start_stop=Notice.BEEP)
SPOKEN = rule(start_stop=Notice.ANNOUNCEMENT)
CALL = """
    0    caller  offered inbound 301     -> ask none + whisper
    5    caller  bridged
    5    301     bridged                 -> start 301
    5    301     started
"""
DEMAND = """
    0    caller  offered inbound 301     -> ask none + whisper
    5    caller  bridged
    5    301     bridged
"""


@pytest.mark.parametrize(
    ("notice", "told"),
    [(Notice.NONE, ""), (Notice.BEEP, " + all beep"), (Notice.ANNOUNCEMENT, " + all started")],
)
def test_started_by_the_agent(notice: Notice, told: str) -> None:
    scene = Scene(rule(Mode.ON_DEMAND, start_stop=notice))
    scene.play(DEMAND)
    scene.play(
        f"""
        9    301     pressed start           -> start 301, tell 301 started{told}
        9    301     started
        """
    )


@pytest.mark.parametrize(
    ("notice", "told"),
    [(Notice.NONE, ""), (Notice.BEEP, " + all beep"), (Notice.ANNOUNCEMENT, " + all discarded")],
)
def test_discarded_by_the_agent(notice: Notice, told: str) -> None:
    scene = Scene(rule(start_stop=notice))
    scene.play(CALL)
    scene.play(
        f"""
        9    301     pressed discard         -> stop 301, tell 301 discarded{told}
        9    301     stopped                 -> delete 301
        """
    )


def test_the_agent_hears_one_of_the_two_notices() -> None:
    """What all parties hear, the agent hears too; the agent's own is for what the others do not."""
    scene = Scene(rule(Mode.ON_DEMAND, start_stop=Notice.BEEP, notice=Notice.ANNOUNCEMENT))
    scene.play(DEMAND)
    scene.play("9    301     pressed start           -> start 301, tell 301 started + all beep")
    scene.play("9    301     started")
    scene.play("9    301     pressed pause           -> pause 301")
    scene.play("9    301     paused                  -> tell 301 paused")
    answers = [command for command in scene.commands if in_short(command).startswith("tell 301")]
    prompts = [(answer.prompt, answer.tell) for answer in answers]  # type: ignore[union-attr]
    assert prompts == [("", "beep"), ("paused", "")]


def test_what_was_not_recorded_cannot_be_deleted() -> None:
    scene = Scene(rule(Mode.ON_DEMAND, start_stop=Notice.ANNOUNCEMENT))
    scene.play(DEMAND)
    scene.play("9    301     pressed discard         -> tell 301 discarded")


def company(switch: Switch) -> Policy:
    people = People.of([Tenant("default", switch)])
    return rules.policy(SPOKEN, people=people)


def test_stopped_by_the_administrator() -> None:
    """The switch of the tenant ends what runs; the parties are told once it has ended."""
    scene = Scene(SPOKEN)
    scene.calls.policy = company(Switch.ON)
    scene.play(CALL)
    stops = scene.calls.adopt(company(Switch.OFF_NOW), START)
    assert list(filter(None, map(in_short, stops))) == ["stop 301"]
    scene.play("9    301     stopped                 -> finish 301, tell all with 301 stopped")


def test_stopped_and_begun_again_by_the_policy() -> None:
    """An outside party joins who was not asked; when she has left it goes on."""
    scene = Scene(rule(start_stop=Notice.ANNOUNCEMENT, consent=ConsentMode.ANNOUNCE))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask announce + whisper
        5    caller  heard announce
        6    caller  bridged
        6    301     bridged                 -> start 301
        6    301     started
        9    other   bridged                 -> stop 301
        9.1  301     stopped                 -> finish 301, tell all with 301 stopped
        20   other   hung up                 -> start 301
        20.1 301     started                 -> tell all with 301 started
        20.2 301     started
        30   301     hung up                 -> finish 301
        """
    )


def test_begun_again_by_the_agent() -> None:
    """The answer to the key tells it, and nothing tells it twice."""
    scene = Scene(rule(Mode.ON_DEMAND, start_stop=Notice.BEEP, consent=ConsentMode.ANNOUNCE))
    scene.play(
        """
        0    caller  offered inbound 301     -> ask announce + whisper
        5    caller  heard announce
        6    caller  bridged
        6    301     bridged
        7    301     pressed start           -> start 301, tell 301 started + all beep
        7    301     started
        9    other   bridged                 -> stop 301
        9    301     pressed start           -> tell 301 refused
        9.1  301     stopped                 -> finish 301, tell all with 301 beep
        """
    )


def test_stopped_as_it_could_not_be_paused() -> None:
    """The agent begins anew, and the answer to that key tells it, once."""
    scene = Scene(SPOKEN)
    scene.play(CALL)
    scene.play(
        """
        9    301     pressed pause           -> pause 301
        9.1  301     failed pause            -> stop 301, tell 301 refused
        9.2  301     stopped                 -> finish 301, tell all with 301 stopped
        20   301     pressed start           -> start 301, tell 301 started + all started
        20.1 301     started
        """
    )


def test_after_a_restart_of_the_listener() -> None:
    """Who is to be told is in the sidecar, with the settings that the decision came to."""
    scene = Scene(SPOKEN)
    scene.calls.policy = company(Switch.ON)
    scene.play(CALL)
    saved = [command.call for command in scene.commands if isinstance(command, c.SaveCall)]
    again = Scene(SPOKEN)
    again.calls.policy = company(Switch.ON)
    legs = (
        e.LegSeen(who("caller"), START, "b"),
        e.LegSeen(who("301"), START, "b", recording="id2"),
    )
    again.give(
        e.SnapshotTaken(
            START + timedelta(minutes=1),
            legs,
            unfinished=(scene.recording("301"),),
            open_calls=saved[-1:],  # type: ignore[arg-type]
        )
    )
    again.calls.adopt(company(Switch.OFF_NOW), START)
    again.play("90   301     stopped                 -> finish 301, tell all with 301 stopped")


def test_a_recording_that_ends_with_its_leg_is_told_to_nobody() -> None:
    scene = Scene(BEEP)
    scene.play(CALL)
    scene.play(
        """
        9    301     stopped                 -> finish 301
        9    301     hung up
        9    caller  hung up
        """
    )


def test_who_is_alone_is_told_nothing() -> None:
    """The caller has left the bridge before the stop was confirmed."""
    scene = Scene(BEEP)
    scene.play(CALL)
    scene.play(
        """
        8    caller  offered inbound 302 menu=declined  -> ask none, stop 301
        8    caller  left
        8.1  301     stopped                 -> finish 301
        """
    )


def test_two_recordings_of_one_conversation() -> None:
    """Nobody is told that it has stopped while the colleague's goes on; then one tells both."""
    scene = Scene(SPOKEN)
    scene.calls.policy = company(Switch.ON)
    scene.play(
        """
        0    301     offered internal 302    -> ask none + whisper
        5    301     bridged
        5    302     bridged                 -> start 301, start 302
        5    301     started
        5    302     started
        """
    )
    scene.calls.adopt(company(Switch.OFF_NOW), START)
    scene.play(
        """
        9    301     stopped                 -> finish 301
        9    302     stopped                 -> finish 302, tell all with 302 stopped
        """
    )


def test_the_language_is_one_that_is_installed() -> None:
    scene = Scene(rule(start_stop=Notice.ANNOUNCEMENT, language="sv"))
    scene.play(CALL)
    scene.play("9    301     pressed discard  -> stop 301, tell 301 discarded + all discarded")
    assert scene.commands[-1].language == "sv"  # type: ignore[union-attr]
