"""One number, however it is written or dialled."""

import re
import string
import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from phonenumbers import PhoneNumberFormat

from callrec_pbx import numbers as module
from callrec_pbx.dialled import LONGEST
from callrec_pbx.domain.policy.numbers import readings
from callrec_pbx.numbers import Numbers

numbers = Numbers()

SWEDISH = "+46701234567"

ANY_COUNTRY = st.sampled_from(["", "XX", "se", *sorted(phonenumbers.SUPPORTED_REGIONS)])
COUNTRIES = ("SE", "DE", "DK", "NO", "FI", "GB", "IT", "US", "CA", "AU", "HU", "RU", "BR", "AR")
DIALLED = st.text("+*#0123456789 -()./", max_size=20)


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("+46 70-123 45 67", "SE"),
        ("+46701234567", ""),
        ("+46 (0)70 123 45 67", "DE"),
        ("+46 070 123 45 67", "DE"),
        ("0046701234567", "SE"),
        ("0046 70 123 45 67", "DE"),
        ("011 46 70 123 45 67", "US"),
        ("0011 46 70 123 45 67", "AU"),
        ("810 46 70 123 45 67", "RU"),
        ("0701234567", "SE"),
        ("070-123 45 67", "SE"),
        ("(070) 123.45/67", "se"),
        ("46701234567", "SE"),
        ("46701234567", "DE"),
        ("tel:+46-70-123-45-67;phone-context=example.org", ""),
        ("sip:+46701234567@198.51.100.7;user=phone", ""),
        ("sips:%2B46701234567@example.org", ""),
        ('"Bo" <sip:0701234567@198.51.100.7>;tag=x', "SE"),
        ("\N{LEFT-TO-RIGHT EMBEDDING}+46\N{NO-BREAK SPACE}70\N{EN DASH}1234567", ""),
        ("０７０１２３４５６７", "SE"),
    ],
)
def test_one_number_in_many_spellings(number: str, country: str) -> None:
    assert numbers.e164(number, country) == SWEDISH
    assert SWEDISH in numbers.spellings(number, country)
    assert numbers.country_of(number, country) == "SE"
    assert number in numbers.spellings(number, country), "as given"


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [
        ("112", "SE", "112"),
        ("1177", "SE", "1177"),
        ("118 118", "SE", "118118"),
        ("116117", "DE", "116117"),
        ("911", "US", "911"),
        ("555-1234", "US", "5551234"),
        ("4712", "LU", "4712"),
        ("*21", "SE", "*21"),
        ("*31#070-123 45 67", "SE", "*31#0701234567"),
        ("070-123 45 67", "", "0701234567"),
        ("0046701234567", "", "0046701234567"),
        ("sip:1001@pbx", "SE", "1001"),
        ("alice", "SE", "alice"),
        ("sip:alice@example.org", "SE", "sip:alice@example.org"),
        ("anonymous", "", "anonymous"),
        ("+46112", "SE", "+46112"),
        ("+999123456789", "SE", "+999123456789"),
        ("", "SE", ""),
        ("+", "SE", "+"),
        ("070\r\n1234567", "SE", "070\r\n1234567"),
        ("070\x001234567", "SE", "070\x001234567"),
        ("\udcff0701234567", "SE", "\udcff0701234567"),
        ("9" * (LONGEST + 1), "SE", "9" * (LONGEST + 1)),
        ("0" * 100, "SE", "0" * 100),
    ],
)
def test_what_is_no_number_of_a_country_stays(number: str, country: str, expected: str) -> None:
    assert numbers.e164(number, country) == expected
    assert number in numbers.spellings(number, country)
    assert numbers.country_of(number, country) in {"", "SE"}


@pytest.mark.parametrize(
    ("dialled", "country", "prefix", "expected"),
    [
        ("00701234567", "SE", "0", SWEDISH),
        ("00046701234567", "SE", "0", SWEDISH),
        ("0701234567", "SE", "0", SWEDISH),
        ("0046701234567", "SE", "0", SWEDISH),
        ("90701234567", "SE", "9", SWEDISH),
        ("9 1 212 555 0123", "US", "9", "+12125550123"),
        ("(905) 555-0123", "CA", "9", "+19055550123"),
        ("022 33 44 55", "NO", "0", "+4722334455"),
        ("0112", "SE", "0", "0112"),
    ],
)
def test_the_outside_prefix_is_no_part_of_a_number(
    dialled: str, country: str, prefix: str, expected: str
) -> None:
    assert numbers.e164(dialled, country, prefix) == expected
    assert expected in numbers.spellings(dialled, country, prefix)


def test_where_two_numbers_may_be_meant_both_are_found() -> None:
    # From Germany: a Swedish number, or with a 0 for the outside line one of Flensburg.
    found = numbers.spellings("004612345678", "DE", "0")
    assert {"+4612345678", "+494612345678"} <= set(found)


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [
        ("+39 (0)6 12345678", "DE", "+390612345678"),
        ("06 1234 5678", "IT", "+390612345678"),
        ("011 6000", "IT", "+390116000"),
        ("116000", "IT", "116000"),
        ("00 852 2123 4567", "HK", "+85221234567"),
        ("131 2345 6789", "CN", "+8613123456789"),
        ("4 22 33 44 55", "NO", "422334455"),
        ("011 15 2345-6789", "AR", "+5491123456789"),
        ("0 15 11 98765-4321", "BR", "+5511987654321"),
    ],
)
def test_countries_have_ways_of_their_own(number: str, country: str, expected: str) -> None:
    assert numbers.e164(number, country) == expected


def test_a_service_code_is_found_as_dialled() -> None:
    assert "*31#0701234567" in numbers.spellings("*31# 070-123 45 67", "SE")


def test_a_hidden_caller_id_hides_no_number() -> None:
    for dialled in ("*31#0701234567", "#31#+46701234567", "*31#00701234567"):
        assert SWEDISH in numbers.spellings(dialled, "SE", "0")


@pytest.mark.parametrize(
    ("dialled", "country", "prefix", "meant"),
    [
        ("*672125551234", "US", "", "+12125551234"),
        ("*6712125551234", "US", "", "+12125551234"),
        ("*822125551234", "US", "", "+12125551234"),
        ("11672125551234", "US", "", "+12125551234"),
        ("*70*6712125551234", "US", "", "+12125551234"),
        ("9*672125551234", "US", "9", "+12125551234"),
        ("*67912125551234", "US", "9", "+12125551234"),
        ("14102079460958", "GB", "", "+442079460958"),
        ("147002079460958", "GB", "", "+442079460958"),
        ("14100442079460958", "GB", "", "+442079460958"),
        ("1840312345678", "JP", "", "+81312345678"),
        ("186 03-1234-5678", "JP", "", "+81312345678"),
        ("18310412345678", "AU", "", "+61412345678"),
        ("0197021234567", "NZ", "", "+6421234567"),
        ("067612345678", "ES", "", "+34612345678"),
        ("#31##0701234567", "SE", "", SWEDISH),
        ("310701234567", "SE", "", SWEDISH),
        ("*310701234567", "SE", "", SWEDISH),
        ("31+46701234567", "SE", "", SWEDISH),
        ("*31#0046701234567#", "SE", "", SWEDISH),
        ("*31#+46701234567", "", "", SWEDISH),
    ],
)
def test_what_follows_a_service_code_is_found(
    dialled: str, country: str, prefix: str, meant: str
) -> None:
    assert meant in numbers.spellings(dialled, country, prefix)


@pytest.mark.parametrize(
    "more", ["#", "w12", "W", "p12", ",12", ",,1#", "*11#", ";ext=12", "phone-context+46", "12"]
)
def test_what_follows_a_number_is_no_part_of_it(more: str) -> None:
    for dialled in ("0701234567", "0046701234567", "*31#0701234567", "00701234567"):
        assert SWEDISH in numbers.spellings(dialled + more, "SE", "0"), dialled


def test_a_number_that_exists_is_not_taken_for_a_service_code_and_another() -> None:
    # 0141 is Glasgow, and 0121 Birmingham.
    for number in ("01412345678", "01212345678", "+441412345678"):
        found = numbers.spellings(number, "GB")
        assert {one for one in found if one.startswith("+")} == {"+44" + found[0][3:]}


@pytest.mark.parametrize(
    ("number", "country", "prefix", "expected"),
    [
        ("3212345678", "US", "", ("3212345678", "+13212345678")),
        ("46701234567", "DE", "", ("46701234567", SWEDISH)),
        ("004612345678", "DE", "0", ("004612345678", "+494612345678")),
        ("070-123 45 67", "SE", "", ("070-123 45 67", SWEDISH)),
        ("0701234567w12", "SE", "", ("0701234567w12", SWEDISH)),
        ("#31#0701234567", "SE", "", ("#31#0701234567", SWEDISH)),
        ("*672125551234", "US", "", ("*672125551234", "+12125551234")),
        ("14102079460958", "GB", "", ("14102079460958", "+442079460958")),
        (SWEDISH, "", "", (SWEDISH,)),
        ("0112", "SE", "0", ("0112", "112")),
        ("*67911", "US", "", ("*67911", "911")),
        ("sip:1001@pbx", "SE", "", ("sip:1001@pbx", "1001")),
        ("alice", "SE", "", ("alice",)),
        ("", "SE", "", ("",)),
        ("9" * (LONGEST + 1), "SE", "", ("9" * (LONGEST + 1),)),
    ],
)
def test_only_the_likeliest_reading(
    number: str, country: str, prefix: str, expected: tuple[str, ...]
) -> None:
    found = numbers.likely(number, country, prefix)
    assert found[0] == number
    assert set(expected) <= set(found)
    assert len([one for one in found if one.startswith("+")]) <= 1
    assert set(found) <= set(numbers.spellings(number, country, prefix))


def test_a_number_of_florida_is_none_of_belgium() -> None:
    assert "+3212345678" in numbers.spellings("3212345678", "US"), "one too many is excluded"
    assert "+3212345678" not in numbers.likely("3212345678", "US"), "no rule speaks of it"


def test_without_a_country_the_plus_may_be_written_in_any_way() -> None:
    plain = set(numbers.spellings(SWEDISH, ""))
    for number in ("46701234567", "0046701234567", "01146701234567"):
        assert plain & set(numbers.spellings(number, ""))


@pytest.mark.parametrize(
    ("pattern", "country", "expected"),
    [
        ("070-123 45 **", "SE", "+467012345**"),
        ("+4670*", "DE", "+4670*"),
        ("+46 (0)70 *", "DE", "+4670*"),
        ("+46070*", "", "+4670*"),
        ("0046 70?23*", "DE", "+4670?23*"),
        ("01144*", "US", "+44*"),
        ("0*", "SE", "+46*"),
        ("8 495 *", "RU", "+7495*"),
        ("06 1 *", "HU", "+361*"),
        ("02 12*", "IT", "+390212*"),
        ("2233*", "NO", "+472233*"),
        ("(212) 555-????", "US", "+1212555????"),
        ("1 212 *", "US", "+1212*"),
        ("070-123 45 67", "SE", SWEDISH),
        ("*", "SE", "*"),
        ("??", "SE", "??"),
        ("*4567", "SE", "*4567"),
        ("070*", "", "070*"),
        ("[0]7*", "SE", "[0]7*"),
        ("alice*", "SE", "alice*"),
        ("*" * (LONGEST + 1), "SE", "*" * (LONGEST + 1)),
    ],
)
def test_patterns_get_their_country_code(pattern: str, country: str, expected: str) -> None:
    assert numbers.pattern_e164(pattern, country) == expected


@pytest.mark.parametrize(
    ("pattern", "country", "expected"),
    [
        ("070*", "SE", ("SE",)),
        ("+45*", "SE", ("DK",)),
        ("0045????????", "SE", ("DK",)),
        (SWEDISH, "", ("SE",)),
        ("+1*", "SE", ("US", "CA")),
        ("+1212*", "SE", ("US-NY",)),
        ("+1416555????", "", ("CA-ON",)),
        ("+4*", "SE", ()),
        ("*", "SE", ()),
        ("112", "SE", ()),
        ("+800*", "", ()),
    ],
)
def test_countries_of_a_pattern(pattern: str, country: str, expected: tuple[str, ...]) -> None:
    assert numbers.countries_of(pattern, country) == expected


@pytest.mark.parametrize(
    ("number", "country", "expected"),
    [
        ("+1 415 555 0123", "", "US-CA"),
        ("(302) 555-0123", "US", "US-DE"),
        ("+1 206 555 0123", "", "US-WA"),
        ("+1 202 555 0123", "", "US-DC"),
        ("+1 514 555 0123", "", "CA-QC"),
        ("+1 800 555 0123", "", "US"),
        ("+1 787 555 0123", "", "PR"),
        ("+49 30 1234567", "", "DE"),
        ("+41 44 668 18 00", "", "CH"),
        ("+800 1234 5678", "", ""),
        ("0701234567", "", ""),
        ("101", "SE", ""),
    ],
)
def test_whose_number(number: str, country: str, expected: str) -> None:
    assert numbers.country_of(number, country) == expected


@given(st.text(max_size=150) | DIALLED, ANY_COUNTRY, st.sampled_from(["", "0", "9", "+", "00"]))
def test_any_text_has_a_reading_and_reading_it_again_changes_nothing(
    number: str, country: str, prefix: str
) -> None:
    once = numbers.e164(number, country, prefix)
    assert numbers.e164(once, country, prefix) == once
    spelled = numbers.spellings(number, country, prefix)
    assert once in spelled
    assert number in spelled
    pattern = numbers.pattern_e164(number, country)
    assert numbers.pattern_e164(pattern, country) == pattern
    for found in (numbers.country_of(number, country), *numbers.countries_of(number, country)):
        assert found == "" or found[:2].isalpha()

    likely = numbers.likely(number, country, prefix)
    assert likely[0] == number
    assert len(likely) <= 3
    assert numbers.patterns_e164(number, (country, "SE")) == tuple(
        dict.fromkeys(numbers.pattern_e164(number, one) for one in (country, "SE"))
    )


@st.composite
def existing_numbers(draw: st.DrawFn) -> phonenumbers.PhoneNumber:
    """A number that exists in one of the countries: an example with other last digits."""
    country = draw(st.sampled_from(COUNTRIES))
    kind = draw(
        st.sampled_from(
            [phonenumbers.PhoneNumberType.FIXED_LINE, phonenumbers.PhoneNumberType.MOBILE]
        )
    )
    example = phonenumbers.example_number_for_type(country, kind)
    assert example is not None
    national = phonenumbers.national_significant_number(example)
    last = draw(st.text(string.digits, min_size=4, max_size=4))
    found = phonenumbers.parse(f"+{example.country_code}{national[:-4]}{last}", None)
    return found if phonenumbers.is_valid_number(found) else example


@given(existing_numbers(), st.sampled_from(["", "0", "9"]))
def test_all_spellings_of_a_number_agree(number: phonenumbers.PhoneNumber, prefix: str) -> None:
    country = phonenumbers.region_code_for_country_code(number.country_code or 0)
    expected = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    written = [
        phonenumbers.format_number(number, form)
        for form in (
            PhoneNumberFormat.E164,
            PhoneNumberFormat.INTERNATIONAL,
            PhoneNumberFormat.NATIONAL,
            PhoneNumberFormat.RFC3966,
        )
    ]
    written.append(phonenumbers.format_out_of_country_calling_number(number, "SE"))
    written.append("sip:" + expected + "@198.51.100.7")
    for text in written[:4]:
        assert numbers.e164(text, country) == expected, text
        assert numbers.pattern_e164(text, country) == expected, text
        assert expected in numbers.spellings(text, country, prefix), text
        if prefix and not text.startswith(("+", "tel:")):
            assert expected in numbers.spellings(prefix + text, country, prefix), text
    for text in written[4:]:
        assert numbers.e164(text, "SE") == expected, text


@given(existing_numbers(), st.integers(min_value=1, max_value=4))
def test_a_number_fits_its_pattern_in_every_spelling(
    number: phonenumbers.PhoneNumber, open_digits: int
) -> None:
    country = phonenumbers.region_code_for_country_code(number.country_code or 0)
    expected = phonenumbers.format_number(number, PhoneNumberFormat.E164)
    for form in (PhoneNumberFormat.E164, PhoneNumberFormat.INTERNATIONAL):
        text = phonenumbers.format_number(number, form)
        backwards = re.sub("[0-9]", "?", text[::-1], count=open_digits)
        pattern = numbers.pattern_e164(backwards[::-1], country)
        assert pattern == expected[:-open_digits] + "?" * open_digits


def test_a_listener_does_not_carry_the_places_of_area_codes() -> None:
    program = (
        "import sys; from callrec_pbx.numbers import Numbers; n = Numbers();"
        "n.spellings('0701234567', 'SE'), n.pattern_e164('070*', 'SE');"
        "sys.exit('phonenumbers.geodata' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@given(
    st.from_regex(r"(\+|00?|)[0-9]{1,17}", fullmatch=True)
    | st.builds(
        "{}{}".format,
        st.sampled_from(["0", "+460", "+46", "+11", "+390", "+7", "+78"]),
        st.from_regex(r"[1-9][0-9]{6,9}", fullmatch=True),
    ),
    ANY_COUNTRY,
)
@example("+11212555012", "")
@example("+46070123456", "")
@example("0701234567", "IT")
def test_a_plain_pattern_is_read_as_the_library_would(pattern: str, country: str) -> None:
    assert numbers.pattern_e164(pattern, country) == numbers.e164(pattern, country)


def test_a_longer_list_is_read_without_reading_again_what_was_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listed = [f"08-44{number:05}" for number in range(100)]
    before = readings(listed, ["SE", "DE", "GB"], numbers)
    read: list[str] = []
    pattern = module._pattern

    def counted(text: str, region: str) -> str:
        read.append(text)
        return pattern(text, region)

    monkeypatch.setattr(module, "_pattern", counted)
    after = readings([*listed, "08-4499999"], ["SE", "DE", "GB"], numbers)
    assert set(read) == {"08-4499999"}
    assert after > before


def test_plain_numbers_need_no_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 100 000 excluded numbers and 20 countries it would take minutes."""
    monkeypatch.setattr(phonenumbers, "parse", lambda *_: pytest.fail("parsed"))
    assert readings([SWEDISH, "0701239999"], ["SE", "DE", "DK"], numbers) == {
        SWEDISH,
        "0701239999",
        "+46701239999",
        "+49701239999",
    }


def test_the_domain_can_use_it() -> None:
    from callrec_pbx.domain.policy.numbers import NumberList  # noqa: PLC0415

    listed = NumberList(readings(["070-123 45 67", "+4580*"], ["SE", "DK"], numbers))
    for number in ("+46 70 123 45 67", "0046701234567", "0701234567", "00701234567", "+4580123456"):
        assert listed.find(numbers.spellings(number, "SE", "0")) is not None, number
    assert listed.find(numbers.spellings("0701234568", "SE", "0")) is None
