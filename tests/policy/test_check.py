"""What the check of a policy warns of, and what it does not."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain.facts import PromptBook, PromptFacts
from callrec_pbx.domain.people import (
    Ddi,
    Department,
    Line,
    People,
    Profile,
    Queue,
    Site,
    Tenant,
    User,
)
from callrec_pbx.domain.policy import CallInQuestion, Policy
from callrec_pbx.domain.policy.rules import Holiday, Place, PolicyText, Rule
from callrec_pbx.domain.policy.settings import BUILT_IN, SUPPRESS, Settings
from callrec_pbx.domain.words import ConsentMode, Direction, Mode, Switch
from callrec_pbx.numbers import Numbers
from callrec_pbx.policy.check import PolicyWarning, Severity, check
from callrec_pbx.policy.countries import load
from callrec_pbx.policy.places import Asking, Reach
from tests.policy.made import SETTINGS

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)

NONE, ANNOUNCE, OPT_OUT, OPT_IN = ConsentMode
IN, OUT, INTERNAL = Direction

BUILT_IN_PROMPTS = ("announce", "announce_opt_out", "announce_opt_in")


def book(*prompts: tuple[str, str]) -> PromptBook:
    """Prompts by language and name; without any the shipped announcements in en, de and sv."""
    named = prompts or tuple((code, n) for code in ("en", "de", "sv") for n in BUILT_IN_PROMPTS)
    return PromptBook({key: PromptFacts(key[1], key[0], "0" * 64, 3000) for key in named})


ACME = Tenant("acme", recording=Switch.ON, language="sv", country="SE")
HOUSE = People.of(
    tenants=[ACME],
    sites=[Site("acme", "Stockholm"), Site("acme", "Berlin", country="DE", language="de")],
    departments=[
        Department("acme", "Sales", site="Stockholm"),
        Department("acme", "Vertrieb", site="Berlin"),
    ],
    users=[
        User("acme", "anna@acme.example", department="Sales"),
        User("acme", "bernd@acme.example", department="Vertrieb"),
        User("acme", "carl@acme.example", country="DK"),
    ],
    profiles=[Profile("acme", "anna@acme.example", "Lunch")],
    lines=[
        Line("acme", "101", user="anna@acme.example"),
        Line("acme", "102", user="bernd@acme.example"),
        Line("acme", "199"),
    ],
    ddis=[Ddi("acme", "0850001000", site="Stockholm"), Ddi("acme", "03050001000", site="Berlin")],
    queues=[
        Queue("acme", "support", department="Sales"),
        Queue("acme", "hilfe", department="Vertrieb"),
    ],
)
SWEDEN = People.of(tenants=[Tenant("acme", country="SE")])


def rule(name: str = "r", mode: Mode = Mode.ALWAYS, **criteria: Any) -> Rule:
    """A rule; what is a setting goes there."""
    settings = {key: criteria.pop(key) for key in [*criteria] if key in Settings.__slots__}
    settings.setdefault("consent", OPT_IN)
    return replace(Rule(name, mode, Settings(**settings)), **criteria)


def warnings_of(
    *rules: Rule,
    people: People = HOUSE,
    places: tuple[Place, ...] = (),
    prompts: PromptBook | None = None,
    countries: tuple[str, ...] = (),
    **more: Any,
) -> list[PolicyWarning]:
    """The warnings of a policy."""
    return check(
        PolicyText(places=places, rules=rules),
        people,
        Numbers(),
        book() if prompts is None else prompts,
        countries,
        at=NOW,
        **more,
    )


def weak(found: list[PolicyWarning]) -> list[tuple[str, str]]:
    """Of the rules that ask for too little, rule and the country that expects more."""
    return [
        (one.rule, one.what.partition("(")[2].partition("(")[2].partition(")")[0])
        for one in found
        if one.kind == "weaker_than_expected"
    ]


def kinds(found: list[PolicyWarning]) -> list[str]:
    return [one.kind for one in found]


def test_a_good_policy_has_nothing_to_warn_of() -> None:
    assert warnings_of(rule("all")) == []


@pytest.mark.parametrize(
    ("home", "consent", "expected"),
    [
        ("SE", NONE, "SE"),
        ("SE", ANNOUNCE, ""),
        ("DE", ANNOUNCE, "DE"),
        ("DE", OPT_OUT, "DE"),
        ("DE", OPT_IN, ""),
        ("DK", OPT_OUT, "DK"),
        ("NO", ANNOUNCE, "NO"),
        ("NO", OPT_OUT, ""),
        ("US", NONE, ""),
        ("GB", NONE, "GB"),
        ("JP", NONE, "JP"),
    ],
)
def test_less_than_the_home_country_expects(home: str, consent: ConsentMode, expected: str) -> None:
    people = People.of(tenants=[Tenant("acme", country=home)])
    found = weak(warnings_of(rule(consent=consent), people=people))
    assert found == ([("r", expected)] if expected else [])


def test_a_warning_says_rule_reason_place_and_remedy() -> None:
    (found,) = warnings_of(rule("hotline", consent=OPT_OUT, department=("Vertrieb",)))
    assert found.severity is Severity.SERIOUS
    assert found.rule == "hotline"
    for part in ("opt_out (from the rule)", "Germany (DE)", "opt-out is not consent there"):
        assert part in found.what
    assert "acme/Berlin/Vertrieb" in found.what
    assert 'consent = "opt_in"' in found.remedy
    assert "policy countries DE" in found.remedy


def test_where_it_is_not_sure_it_is_not_serious() -> None:
    for home, severity in (("RO", Severity.WARNING), ("US-NV", Severity.WARNING)):
        people = People.of(tenants=[Tenant("acme", country=home)])
        (found,) = warnings_of(rule(consent=NONE), people=people)
        assert found.severity is severity


@pytest.mark.parametrize(
    ("criteria", "expected"),
    [
        ({}, {"DE", "DK", "SE"}),
        ({"department": ("Sales",)}, {"SE"}),
        ({"department": ("V*",)}, {"DE"}),
        ({"site": ("Berlin",)}, {"DE"}),
        ({"user": ("carl@*",)}, {"DK"}),
        ({"user": ("anna@acme.example",)}, {"SE"}),
        ({"line": ("102",)}, {"DE"}),
        ({"line": ("199",)}, {"SE"}),
        ({"line": ("10*",)}, {"DE", "DK", "SE"}),
        ({"tenant": ("other",)}, set()),
        ({"mode": Mode.NEVER}, set()),
        ({"mode": Mode.ON_DEMAND, "site": ("Stockholm",)}, {"SE"}),
    ],
)
def test_each_place_that_may_match(criteria: dict[str, Any], expected: set[str]) -> None:
    found = weak(warnings_of(rule(consent=NONE, **criteria)))
    assert {country for _, country in found} == expected


@pytest.mark.parametrize(
    ("numbers", "named", "expected"),
    [
        ((), (), ""),
        ((), ("DE",), "DE"),
        ((), ("no", "dk"), "DK"),
        (("+49*",), (), "DE"),
        (("0049 30*", "+46*"), (), "DE"),
        (("070*",), ("DE",), ""),
        (("+46*", "*123"), ("DE",), "DE"),
        (("*",), (), ""),
    ],
)
def test_where_callers_come_from(
    numbers: tuple[str, ...], named: tuple[str, ...], expected: str
) -> None:
    found = warnings_of(rule(consent=ANNOUNCE, number=numbers), people=SWEDEN, countries=named)
    assert [country for _, country in weak(found)] == ([expected] if expected else [])


def test_callers_from_outside_take_no_part_in_internal_calls() -> None:
    inside = rule(consent=ANNOUNCE, direction=(INTERNAL,))
    assert warnings_of(inside, people=SWEDEN, countries=("DE",)) == []
    outside = rule(consent=ANNOUNCE, direction=(OUT,))
    (found,) = warnings_of(outside, people=SWEDEN, countries=("DE",))
    assert "outbound acme" in found.what
    assert "internal" not in found.what


@pytest.mark.parametrize("criterion", ["number", "ddi", "trunk"])
def test_what_only_outside_calls_have_fits_no_internal_call(criterion: str) -> None:
    criteria: dict[str, Any] = {criterion: ("+46*",)}
    (found,) = warnings_of(rule(consent=NONE, **criteria), people=SWEDEN)
    assert "inbound acme, outbound acme" in found.what
    assert "internal" not in found.what


def test_a_queue_is_answered_within_its_tenant() -> None:
    people = People.of(
        tenants=[Tenant("acme", country="SE"), Tenant("other", country="DE")],
        users=[User("acme", "anna@acme.example"), User("other", "bo@other.example")],
        queues=[Queue("acme", "support")],
    )
    found = warnings_of(rule(consent=NONE, queue=("support",)), people=people)
    assert [country for _, country in weak(found)] == ["SE"]


def test_state_of_the_caller() -> None:
    def asked(number: str, *named: str) -> list[PolicyWarning]:
        people = People.of(tenants=[Tenant("acme", country="US")])
        one = rule(consent=NONE, number=(number,) if number else (), direction=(IN,))
        return warnings_of(one, people=people, countries=named)

    assert weak(asked("+1415*")) == [("r", "US-CA")]
    assert kinds(asked("+1212*")) == ["states_differ"]
    (states,) = asked("")
    assert states.severity is Severity.HINT
    assert "US-CA" in states.what
    assert weak(asked("", "US-CA")) == [("r", "US-CA")]


SALES = Place("department", "acme", "Sales", Settings(consent=NONE))
BERLIN = Place("site", "acme", "Berlin", Settings(consent=ANNOUNCE))
COMPANY = Place("tenant", "acme", "", Settings(consent=OPT_OUT))


@pytest.mark.parametrize(
    ("places", "criteria", "said"),
    [
        ((COMPANY, SALES), {"department": ("Sales",)}, "consent none (from department Sales)"),
        ((COMPANY, BERLIN), {"site": ("Berlin",)}, "consent announce (from site Berlin)"),
        ((COMPANY,), {"site": ("Berlin",)}, "consent opt_out (from tenant acme)"),
        ((SALES,), {"department": ("Vertrieb",)}, ""),
    ],
)
def test_what_a_rule_leaves_open_comes_from_the_place(
    places: tuple[Place, ...], criteria: dict[str, Any], said: str
) -> None:
    found = warnings_of(rule(consent=None, **criteria), places=places)
    assert [said in one.what for one in found] == ([True] if said else [])


@pytest.mark.parametrize(
    ("settings", "directions", "said"),
    [
        ({"announcement": SUPPRESS}, {"inbound", "outbound", "internal"}, "suppressed"),
        ({"announce_inbound": False}, {"inbound"}, "announce_inbound"),
        ({"announce_outbound": False}, {"outbound"}, "announce_outbound"),
        ({}, set(), ""),
    ],
)
def test_an_announcement_that_is_not_made(
    settings: dict[str, Any], directions: set[str], said: str
) -> None:
    place = Place("tenant", "acme", "", Settings(consent=ANNOUNCE, **settings))
    found = warnings_of(rule(consent=None), people=SWEDEN, places=(place,))
    assert len(found) == bool(directions)
    for one in found:
        assert "consent none" in one.what
        assert said in one.what
        assert directions == {
            word for word in ("inbound", "outbound", "internal") if f"{word} acme" in one.what
        }


def test_modes_that_ask_for_an_answer_always_ask() -> None:
    place = Place("tenant", "acme", "", Settings(announcement=SUPPRESS, announce_inbound=False))
    assert warnings_of(rule(consent=OPT_OUT), people=SWEDEN, places=(place,)) == []


def test_before_a_queue_is_answered_the_most_is_asked() -> None:
    places = (SALES, replace(BERLIN, settings=Settings(consent=OPT_IN)))
    queued = rule(consent=None, queue=("support",), direction=(IN,))
    assert warnings_of(queued, places=places) == []
    assert weak(warnings_of(replace(queued, direction=(OUT,)), places=places)) == [("r", "SE")]


@given(SETTINGS, SETTINGS, SETTINGS, SETTINGS, st.sampled_from(Direction))
def test_what_is_checked_is_what_is_decided(
    own: Settings, department: Settings, site: Settings, tenant: Settings, direction: Direction
) -> None:
    text = PolicyText(
        places=(
            Place("department", "acme", "Vertrieb", department),
            Place("site", "acme", "Berlin", site),
            Place("tenant", "acme", "", tenant),
        ),
        rules=(Rule("r", Mode.ALWAYS, own, user=("bernd@acme.example",)),),
    )
    (spot,) = Reach(HOUSE).of(text.rules[0])
    asked = Asking(text, BUILT_IN).of(own, spot, direction)
    decided = Policy("1", text, people=HOUSE).decide(CallInQuestion(direction, "102"))
    assert decided.consent is asked.consent
    assert decided.announcement == asked.announcement


def test_a_country_that_is_not_in_the_table() -> None:
    people = People.of(tenants=[Tenant("acme", country="JP")])
    (found,) = warnings_of(rule(consent=ANNOUNCE), people=people)
    assert (found.kind, found.severity) == ("country_unknown", Severity.HINT)
    assert "JP" in found.what


def test_a_basis_in_writing_is_a_hint() -> None:
    table = load(
        """
        as_of = 2026-01-01
        disclaimer = "no advice"
        gdpr_sources = []
        [[country]]
        code = "SE"
        name = "Sweden"
        expectation = "written"
        weakest = "opt_in"
        confidence = "high"
        note = "made up"
        sources = [{ name = "made up" }]
        """
    )
    (found,) = warnings_of(rule(), people=SWEDEN, table=table)
    assert (found.kind, found.severity) == ("written_basis", Severity.HINT)


def test_a_rule_that_can_never_match() -> None:
    found = warnings_of(
        rule("numbers", number=("070-1*",)),
        rule("fewer", number=("+46 70 12*",)),
        rule("all", tenant=("*",)),
        rule("some", tenant=("acme",), direction=(IN,)),
        people=SWEDEN,
    )
    assert [(one.kind, one.rule) for one in found] == [
        ("never_matches", "fewer"),
        ("never_matches", "some"),
    ]
    assert "rule numbers" in found[0].what
    assert "rule all" in found[1].remedy


@pytest.mark.parametrize(
    ("criterion", "there", "absent"),
    [
        ("tenant", "ac*", "emca"),
        ("site", "Berlin", "berlin"),
        ("department", "V*", "X*"),
        ("queue", "support", "suport"),
        ("user", "anna@acme.example", "ana@acme.example"),
        ("profile", "Lunch", "Lunsh"),
    ],
)
def test_a_name_that_is_not_there(criterion: str, there: str, absent: str) -> None:
    known: dict[str, Any] = {criterion: (there,)}
    assert warnings_of(rule(**known)) == []
    unknown: dict[str, Any] = {criterion: (there, absent)}
    found = warnings_of(rule(**unknown))
    assert kinds(found) == ["unknown_name"]
    assert f"{criterion} {absent}" in found[0].what


def test_settings_of_a_place_that_is_not_there() -> None:
    gone = Place("department", "acme", "Gone", Settings())
    (found,) = warnings_of(rule(), places=(gone, SALES, BERLIN, COMPANY))
    assert "of department acme/Gone, which does not exist" in found.what
    assert (found.kind, found.severity) == ("unknown_name", Severity.SERIOUS)


def test_holidays_of_a_place_that_is_not_there() -> None:
    day = date(2026, 12, 24)
    text = PolicyText(
        rules=(rule(),),
        holidays=(
            Holiday(day, "", "acme", ("Berlin", "Gone")),
            Holiday(day, "", "", ("Stockholm", "Lost")),
            Holiday(day, "", "beta", ("Berlin",)),
        ),
    )
    found = check(text, HOUSE, Numbers(), book(), at=NOW)
    assert [one.what.split(" of ")[1].split(",")[0] for one in found] == [
        "site acme/Gone", "site Lost", "tenant beta",
    ]  # fmt: skip
    assert {one.severity for one in found} == {Severity.SERIOUS}


def test_a_site_without_a_country() -> None:
    without = replace(ACME, country="", language="")
    oslo, lund = Site("acme", "Oslo", country="NO"), Site("acme", "Lund")

    def missing(*sites: Site) -> list[str]:
        people = People.of(tenants=[without], sites=sites)
        found = warnings_of(rule(), people=people)
        return [one.what for one in found if one.kind == "country_missing"]

    assert [what.startswith("tenant acme") for what in missing()] == [True]
    assert [what.startswith("site Lund of tenant acme") for what in missing(oslo, lund)] == [True]
    assert missing(oslo) == []


def test_disabled_and_expired_rules_are_hints_and_not_looked_at() -> None:
    off = rule("off", consent=NONE, enabled=False, queue=("gone",))
    over = rule("over", consent=NONE, valid_to=NOW)
    coming = rule("coming", consent=NONE, valid_from=NOW + DAY, site=("Stockholm",))
    found = warnings_of(off, over, coming)
    assert [(one.kind, one.rule) for one in found] == [
        ("weaker_than_expected", "coming"),
        ("disabled", "off"),
        ("expired", "over"),
    ]
    assert [one.severity for one in found[1:]] == [Severity.HINT, Severity.HINT]
    assert "2026-03-02" in found[2].what


def test_a_language_without_prompts() -> None:
    people = People.of(
        tenants=[Tenant("acme", country="SE", language="fi")],
        users=[User("acme", "anna@acme.example", language="da")],
    )
    rules = (rule("r", language="is", direction=(IN,)), rule("s"))
    found = warnings_of(*rules, people=people)
    assert set(kinds(found)) == {"language_missing"}
    assert [one.what.partition("(")[0].split()[-1] for one in found] == ["fi", "da", "is"]
    assert "user anna@acme.example" in found[1].what


def test_without_prompts_nothing_that_asks_is_recorded() -> None:
    (found,) = warnings_of(rule(), prompts=PromptBook())
    assert (found.kind, found.severity) == ("prompts_missing", Severity.SERIOUS)


@pytest.mark.parametrize(
    ("installed", "consent", "said"),
    [
        ((("sv", "acme_opt_in"),), OPT_IN, ""),
        ((("sv", "acme_opt_in"), ("sv", "announce_opt_out")), OPT_OUT, "sv/announce_opt_out is"),
        ((("sv", "x"), ("en", "acme_opt_in")), OPT_IN, "en/acme_opt_in is played"),
        ((("sv", "x"), ("en", "announce")), ANNOUNCE, "en/announce is played"),
        ((("sv", "acme"),), OPT_IN, "nothing is recorded"),
    ],
)
def test_an_announcement_without_its_prompt(
    installed: tuple[tuple[str, str], ...], consent: ConsentMode, said: str
) -> None:
    people = People.of(tenants=[Tenant("acme", country="SE", language="sv")])
    found = warnings_of(
        rule(consent=consent, announcement="acme"), people=people, prompts=book(*installed)
    )
    assert [one.kind for one in found] == (["announcement_missing"] if said else [])
    for one in found:
        assert said in one.what
        assert ("nothing" in said) == (one.severity is Severity.SERIOUS)
        assert "prompts import --name acme" in one.remedy


def test_recording_that_nobody_has_acknowledged() -> None:
    assert kinds(warnings_of(rule(), acknowledged=set())) == ["not_acknowledged"]
    assert warnings_of(rule(), acknowledged={"acme"}) == []
    off = People.of(tenants=[replace(ACME, recording=Switch.OFF_NEW)])
    assert warnings_of(rule(), people=off, acknowledged=set()) == []


def test_the_serious_ones_come_first_and_every_rule_is_counted() -> None:
    counted: list[None] = []
    rules = (rule("off", enabled=False), rule("x", queue=("gone",)), rule("y", consent=NONE))
    found = warnings_of(*rules, progress=lambda: counted.append(None))
    order = [list(Severity).index(one.severity) for one in found]
    assert order == sorted(order)
    assert len({*order}) == 3
    assert len(counted) == len(rules)


def test_without_people_it_is_checked_all_the_same() -> None:
    found = warnings_of(rule(consent=ANNOUNCE), people=People(), countries=("DE",))
    assert weak(found) == [("r", "DE")]


def test_of_many_places_the_first_are_named() -> None:
    sites = [Site("acme", f"Lager{number}") for number in range(9)]
    people = People.of(tenants=[Tenant("acme", country="SE")], sites=sites)
    (found,) = warnings_of(rule(consent=NONE, site=("*",), direction=(IN,)), people=people)
    assert found.what.count("inbound acme/Lager") == 5
    assert found.what.endswith("and 4 more")
