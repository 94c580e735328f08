"""The table of countries is whole, and says which of two expectations is the stricter."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain.words import ConsentMode
from callrec_pbx.policy.countries import (
    Confidence,
    CountriesError,
    Expected,
    countries,
    expectation,
    falls_short,
    load,
    stricter,
)

TABLE = countries()
CODES = st.sampled_from(sorted(TABLE.entries))

WANTED = (
    "DE", "AT", "CH", "DK", "SE", "NO", "FI", "IS", "NL", "BE", "FR", "ES", "IT", "PT", "PL", "CZ",
    "IE", "GB", "EE", "LV", "LT", "LU", "GR", "HU", "RO", "US", "CA", "AU", "NZ", "IN", "SG", "ZA",
    "BR",
)  # fmt: skip
STATES = (
    "CA", "CT", "DE", "FL", "IL", "MD", "MA", "MI", "MT", "NV", "NH", "OR", "PA", "WA",
)  # fmt: skip

HEAD = """
as_of = 2024-02-03
disclaimer = "Not legal advice."
gdpr_sources = [{ name = "GDPR", link = "https://example.org/gdpr" }]
"""
ENTRY = """
[[country]]
code = "SE"
name = "Sweden"
expectation = "announcement"
weakest = "announce"
confidence = "high"
note = "A note."
sources = [{ name = "A law, section 1" }]
"""


@pytest.mark.parametrize("code", [*WANTED, *(f"US-{state}" for state in STATES)])
def test_every_country_that_was_asked_for_is_there(code: str) -> None:
    entry = TABLE.entries[code]
    assert entry.known
    assert entry.sources
    assert entry.note


def test_the_table_is_no_legal_advice_and_says_so() -> None:
    assert "not legal advice" in TABLE.disclaimer
    assert TABLE.as_of <= date.today()  # noqa: DTZ011 - only that it is not in the future


@pytest.mark.parametrize("code", ["DE", "DK"])
def test_opt_out_is_not_consent_for_these_authorities(code: str) -> None:
    entry = expectation(code)
    assert entry.opt_out_is_consent is False
    assert entry.weakest is ConsentMode.OPT_IN
    assert falls_short(ConsentMode.OPT_OUT, entry)
    assert not falls_short(ConsentMode.OPT_IN, entry)


def test_opt_out_is_consent_nowhere_that_the_gdpr_applies() -> None:
    assert [
        entry.code
        for entry in TABLE.entries.values()
        if entry.gdpr and entry.opt_out_is_consent is not False
    ] == []


def test_all_party_states_are_stricter_than_their_country() -> None:
    whole = expectation("US")
    assert whole.expectation is Expected.ONE_PARTY
    assert {entry.code for entry in TABLE.states_of("US")} == {f"US-{state}" for state in STATES}
    assert {entry.code for entry in TABLE.entries.values() if entry.disputed} == {
        "US-CT",
        "US-DE",
        "US-MI",
        "US-NV",
        "US-OR",
    }
    for state in STATES:
        assert stricter(whole, expectation(f"US-{state}")).code == f"US-{state}"


def test_a_state_without_an_entry_is_as_its_country() -> None:
    assert expectation("US-TX").code == "US"
    assert expectation("CA-QC").code == "CA"
    assert expectation("us-ca").code == "US-CA"


@pytest.mark.parametrize("code", ["JP", "", "\x1b[31m", "\udcff\udcff"])
def test_of_an_unknown_country_little_is_assumed(code: str) -> None:
    entry = expectation(code)
    assert not entry.known
    assert entry.confidence is Confidence.LOW
    assert entry.weakest is ConsentMode.ANNOUNCE


@given(CODES, CODES, CODES)
def test_stricter_is_an_order(one: str, two: str, three: str) -> None:
    a, b, c = expectation(one), expectation(two), expectation(three)
    assert stricter(a, a) is a
    assert stricter(a, b) in (a, b)
    asked = [mode for mode in ConsentMode if not falls_short(mode, stricter(a, b))]
    assert all(not falls_short(mode, a) and not falls_short(mode, b) for mode in asked)
    assert stricter(stricter(a, b), c) == stricter(a, stricter(b, c))


def test_a_table_is_read() -> None:
    table = load(HEAD + ENTRY + "gdpr = true\n")
    entry = table.expectation("SE")
    assert entry.as_of == date(2024, 2, 3)
    assert [source.name for source in entry.sources] == ["A law, section 1", "GDPR"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "is not TOML"),
        (HEAD.replace("disclaimer", "claim") + ENTRY, "disclaimer"),
        (HEAD + ENTRY.replace('"announce"', '"shout"'), "country 1 (SE): weakest"),
        (HEAD + ENTRY.replace('"SE"', '"Sweden"'), "country 1 (Sweden): code"),
        (HEAD + ENTRY.replace("note", "notes"), "country 1 (SE): note"),
        (HEAD + ENTRY.replace('"A note."', '" "'), "country 1 (SE): note"),
        (HEAD + ENTRY + "known = false\n", "known"),
        (HEAD + ENTRY + ENTRY, "SE is there twice"),
        (HEAD + ENTRY.replace('{ name = "A law, section 1" }', ""), "sources"),
        (
            HEAD + ENTRY.replace('section 1"', 'section 1", link = "javascript:x"'),
            "sources.0.link",
        ),
        (HEAD + ENTRY.replace('"SE"', '"SE-XX"'), "SE-XX has no entry of its country"),
        (
            HEAD
            + ENTRY.replace('weakest = "announce"', 'weakest = "opt_in"')
            + "opt_out_is_consent = true\n",
            "opt_out_is_consent",
        ),
    ],
)
def test_a_broken_table_is_refused(text: str, said: str) -> None:
    with pytest.raises(CountriesError, match=r"countries\.toml") as raised:
        load(text)
    assert said in str(raised.value)
