"""A user dials the code of a profile from the own phone."""

import pytest

from callrec_pbx.domain import events as e
from callrec_pbx.domain.facts import PromptBook, PromptFacts
from callrec_pbx.domain.people import Line, People, Profile, Site, Tenant, User
from callrec_pbx.domain.policy import CallInQuestion
from callrec_pbx.domain.words import Direction, Outcome, Switch
from tests import rules
from tests.domain.scene import START, Scene, rule

LUNCH = Profile("acme", "anna@acme.se", "Lunch", record_direct=False, code="2")


def people(user: str = "", site: str = "", tenant: str = "") -> People:
    """Anna with line 301, in the languages given."""
    return People.of(
        [Tenant("acme", Switch.ON, language=tenant)],
        sites=[Site("acme", "Malmö", language=site)],
        users=[User("acme", "anna@acme.se", language=user, site="Malmö")],
        profiles=[LUNCH],
        lines=[Line("acme", "301", user="anna@acme.se")],
    )


def of(home: People, prompts: PromptBook | None = None) -> Scene:
    """A company with these people."""
    scene = Scene(prompts=prompts or PromptBook({}, "nb"))
    scene.calls.policy = rules.policy(rule(), people=home)
    return scene


def test_a_code_is_passed_on_with_the_line() -> None:
    scene = of(people("sv"))
    scene.play(
        """
        0    301     created
        0    301     dialled 42              -> switch 301 42 sv
        3    301     hung up
        """
    )
    assert scene.outcomes() == [("not_selected", "no_conversation")]


@pytest.mark.parametrize(
    ("home", "language"),
    [
        (people("sv", "de", "en"), "sv"),
        (people("", "de", "en"), "de"),
        (people("", "", "en"), "en"),
        (people(), "nb"),
    ],
)
def test_the_language_of_the_user(home: People, language: str) -> None:
    of(home).play(f"0    301     dialled 42              -> switch 301 42 {language}")


def test_a_language_without_prompts() -> None:
    prompts = PromptBook(
        {("de", "profile_recorded"): PromptFacts("profile_recorded", "de", "", 1)}, "de"
    )
    of(people("da"), prompts).play("0    301     dialled 42              -> switch 301 42 de")


def test_only_lines_have_profiles() -> None:
    scene = of(people())
    scene.play(
        """
        0    caller  dialled 42
        0    local   dialled 42
        """
    )
    assert scene.calls.ignored["profile: not dialled by a line"] == 2


def test_who_is_handed_on_to_a_code_has_not_dialled_it() -> None:
    """A colleague must not switch the profile of the other by a transfer."""
    scene = of(people())
    scene.play(
        """
        0    301     created
        5    302     bridged
        5    301     bridged                 -> start 302, start 301
        9    301     left
        9    301     dialled 42
        """
    )


def test_a_late_event_switches_nothing() -> None:
    scene = of(people())
    scene.play(
        """
        0    301     created
        1    301     hung up
        2    301     dialled 42
        """
    )


def test_what_is_written_counts_for_the_next_call() -> None:
    scene = of(people())
    question = CallInQuestion(Direction.INBOUND, "301", at=START)
    assert scene.calls.policy.decide(question).outcome is Outcome.RECORDED
    assert scene.give(e.ProfileSwitched(START, LUNCH)) == []
    assert scene.calls.policy.decide(question).reason == "profile"
