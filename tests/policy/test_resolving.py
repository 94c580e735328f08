"""What a policy names must be there."""

from dataclasses import replace

import pytest

from callrec_pbx.domain.people import (
    Ddi,
    Department,
    People,
    Profile,
    Queue,
    Site,
    Tenant,
    User,
)
from callrec_pbx.policy.document import parse
from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.references import Known, Resolved, resolve

FILE = "policy.toml"
ONE = People.of(
    tenants=[Tenant("default")],
    sites=[Site("default", "Stockholm")],
    departments=[Department("default", "Support")],
    users=[User("default", "anna@example.org")],
    profiles=[Profile("default", "anna@example.org", "Abroad")],
    ddis=[Ddi("default", "+4681")],
    queues=[Queue("default", "support")],
)
TWO = People.of(
    tenants=[Tenant("acme"), Tenant("beta")],
    sites=[Site("acme", "Stockholm"), Site("beta", "Berlin")],
)
RULE = "[[rule]]\nname = 'a'\nmode = 'always'\n"
NEVER = "[[rule]]\nname = 'a'\nmode = 'never'\n"


def looked(text: str, people: People = ONE) -> Resolved:
    prompts = frozenset({"announce", "acme_opt_out", "beta"})
    return resolve(parse(text, FILE), Known(people, frozenset({"en", "sv"}), prompts), FILE)


def problem(text: str, people: People = ONE) -> str:
    with pytest.raises(PolicyFileError) as caught:
        looked(text, people)
    return str(caught.value)


def test_the_only_tenant_need_not_be_named() -> None:
    found = looked("[[tenant]]\n[[site]]\nname='Stockholm'\n[[department]]\nname='Support'")
    assert [(place.tenant, place.name) for place in found.text.places] == [
        ("default", ""),
        ("default", "Stockholm"),
        ("default", "Support"),
    ]
    named = "[[tenant]]\nname='default'\n[[site]]\nname='Stockholm'\ntenant='default'\n"
    assert found == looked(named + "[[department]]\nname='Support'")


@pytest.mark.parametrize(
    ("text", "people", "parts"),
    [
        ("[[tenant]]", TWO, ["tenant 1 name: is missing; give one of acme, beta"]),
        ("[[site]]\nname='Berlin'", TWO, ['site 1 "Berlin" tenant: is missing', "acme, beta"]),
        ("[[tenant]]\nname='acne'", TWO, ['tenant 1 "acne" name = "acne"', "did you mean acme?"]),
        ("[[site]]\nname='Stockhlom'", ONE, ["no such site", "did you mean Stockholm?"]),
        ("[[site]]\nname='Berlin'\ntenant='acme'", TWO, ["no such site", "of Stockholm, or add"]),
        ("[[department]]\nname='X'", TWO, ['department 1 "X" tenant: is missing']),
        ("[[department]]\nname='X'\ntenant='beta'", TWO, ["no such department", "add one first"]),
        ("[[tenant]]\n[[tenant]]\nname='default'", ONE, ["tenant 2", "same tenant as tenant 1"]),
        ("[[holiday]]\ndate=2026-12-24\nsites='X'", ONE, ['holiday 1 sites = "X"', "Stockholm"]),
        (
            "[[holiday]]\ndate=2026-12-24\nname='Eve'\ntenant='x'",
            TWO,
            ['holiday 1 "Eve" tenant = "x"', "acme, beta"],
        ),
        (
            "[[holiday]]\ndate=2026-12-24\ntenant='acme'\nsites='Berlin'",
            TWO,
            ['holiday 1 sites = "Berlin"', "Stockholm"],
        ),
        (NEVER + "language='fr'", ONE, ['rule 1 "a" language = "fr"', "en, sv", "import"]),
        (NEVER + "announcement='gamma'", ONE, ['"a" announcement = "gamma"', "gamma_opt_in"]),
        ("[[tenant]]\nannouncement='x'", ONE, ['tenant 1 "default" announcement = "x"']),
        (RULE, ONE, ['rule 1 "a": consent is missing', '"opt_in"', "[[tenant]] default"]),
        (RULE + "[[tenant]]\nname='acme'\nconsent='none'", TWO, ["[[tenant]] beta"]),
        # A call at no site would have none.
        (RULE + "[[site]]\nname='Stockholm'\nconsent='none'", ONE, ["consent is missing"]),
    ],
)
def test_what_is_not_there_is_named(text: str, people: People, parts: list[str]) -> None:
    said = problem(text, people)
    assert said.startswith(f"{FILE}: ")
    for part in parts:
        assert part in said


@pytest.mark.parametrize(
    ("text", "people"),
    [
        (RULE + "consent='opt_in'", ONE),
        (RULE + "[[tenant]]\nconsent='opt_in'", ONE),
        (NEVER, ONE),
        (RULE + "tenant='ac*'\n[[tenant]]\nname='acme'\nconsent='none'", TWO),
        (RULE + "consent='none'\nannouncement='acme'\nlanguage='sv'", ONE),
        (RULE + "consent='none'\nannouncement='suppress'", ONE),
        ("[[tenant]]\nannouncement=''", ONE),
        ("[[holiday]]\ndate=2026-12-24\nsites=['Stockholm', 'Berlin']", TWO),
    ],
)
def test_what_is_there_is_taken(text: str, people: People) -> None:
    assert looked(text, people).warnings == ()


def test_prompts_that_are_not_known_are_not_looked_for() -> None:
    text = parse(NEVER + "language='fr'\nannouncement='gamma'", FILE)
    assert resolve(text, Known(ONE), FILE).text == text


@pytest.mark.parametrize(
    ("criterion", "fits", "misses"),
    [
        ("tenant", ["default", "d*", "*", "defaul?"], ["defaults", "x*"]),
        ("site", ["Stockholm", "St*"], ["Stock", "stockholm"]),
        ("department", ["Support", "*port"], ["*ports"]),
        ("user", ["anna@example.org", "ANNA@*"], ["anna@example.com"]),
        ("profile", ["Abroad"], ["Lunch"]),
        ("ddi", ["+4681", "+46*"], ["+47*", "+468"]),
        ("queue", ["support"], ["suport"]),
        ("line", ["9??"], []),
        ("trunk", ["nowhere"], []),
        ("number", ["+999"], []),
    ],
)
def test_a_criterion_that_fits_nothing_is_a_warning(
    criterion: str, fits: list[str], misses: list[str]
) -> None:
    found = looked(f"{NEVER}{criterion} = {[*fits, *misses]}").warnings
    assert [warning.value for warning in found] == [f'"{miss}"' for miss in misses]
    for warning in found:
        assert warning.key == f'rule 1 "a" {criterion}'
        assert warning.text == f"fits no {criterion} that is known"


def test_a_disabled_rule_and_one_of_who_keeps_no_queues_is_no_warning() -> None:
    assert looked(f"{NEVER}enabled=false\nsite='x'").warnings == ()
    assert looked(f"{NEVER}queue='x'\nddi='1'", replace(ONE, queues={}, ddis={})).warnings == ()


def test_all_problems_are_told_at_once() -> None:
    assert len(problem(RULE + "language='fr'\n[[site]]\nname='x'").splitlines()) == 3
