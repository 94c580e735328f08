"""What values are taken, how they are kept, and what is refused."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.config.checks import BadValueError
from callrec_pbx.people import checks

TAKEN: list[tuple[Callable[[str], str], str, str]] = [
    (checks.name, "  Göteborg ", "Göteborg"),
    (checks.name, "Go\u0308teborg", "Göteborg"),
    (checks.name, "R&D / Labs", "R&D / Labs"),
    (checks.name, "x" * 80, "x" * 80),
    (checks.text, "", ""),
    (checks.text, "Ærø <b>", "Ærø <b>"),
    (checks.email, "Anna.Svensson+x@Example.COM", "anna.svensson+x@example.com"),
    (checks.email, "bo@pbx", "bo@pbx"),
    (checks.language, "", ""),
    (checks.language, "pt_BR", "pt-br"),
    (checks.language, "SV", "sv"),
    (checks.country, "se", "SE"),
    (checks.country, "", ""),
    (checks.country, "XK", "XK"),
    (checks.time_zone, "Europe/Stockholm", "Europe/Stockholm"),
    (checks.time_zone, "UTC", "UTC"),
    (checks.time_zone, "", ""),
    (checks.time_zone_of_tenant, "", "UTC"),
    (checks.holidays, "", ""),
    (checks.holidays, "se", "SE"),
    (checks.holidays, "de-by", "DE-BY"),
    (checks.holidays, "DE-Augsburg", "DE-Augsburg"),
    (checks.outside_prefix, "00", "00"),
    (checks.code, "12", "12"),
    (checks.extension, "201", "201"),
    (checks.extension, "anna.desk-1", "anna.desk-1"),
    (checks.number, "+46812345670", "+46812345670"),
    (checks.queue, "support_2", "support_2"),
    (checks.endpoint, "", ""),
    (checks.endpoint, "20?-*", "20?-*"),
    (checks.author, " ann ", "ann"),
]

REFUSED: list[tuple[Callable[[str], str], str]] = [
    (checks.name, ""),
    (checks.name, "   "),
    (checks.name, "x" * 81),
    (checks.name, "a\nb"),
    (checks.name, "a\x1b[31m"),
    (checks.name, "a\u202eb"),
    (checks.name, "Sales*"),
    (checks.name, "Sal?s"),
    (checks.text, "a\x00"),
    (checks.text, "x" * 201),
    (checks.email, ""),
    (checks.email, "anna"),
    (checks.email, "anna@"),
    (checks.email, "@example.com"),
    (checks.email, "an na@example.com"),
    (checks.email, "anna@example.com\r\nx"),
    (checks.email, "anna@exa*mple.com"),
    (checks.language, "swedish"),
    (checks.language, "../x"),
    (checks.country, "UK"),
    (checks.country, "Sweden"),
    (checks.country, "ZZ"),
    (checks.time_zone, "Stockholm"),
    (checks.time_zone, "Europe"),
    (checks.time_zone, "Europe/Nowhere"),
    (checks.time_zone, "../../etc/passwd"),
    (checks.time_zone, "/etc/localtime"),
    (checks.time_zone, "a\x00b"),
    (checks.holidays, "XX"),
    (checks.holidays, "DE-XX"),
    (checks.holidays, "DE-"),
    (checks.holidays, "SWE"),
    (checks.outside_prefix, "00000"),
    (checks.outside_prefix, "#"),
    (checks.code, "*1"),
    (checks.code, "123456789"),
    (checks.extension, ""),
    (checks.extension, "20*"),
    (checks.extension, "_2XX"),
    (checks.extension, "201\r\nAction: Originate"),
    (checks.extension, "2,1"),
    (checks.number, "+46 8 1234"),
    (checks.number, "+46?"),
    (checks.queue, "sup port"),
    (checks.endpoint, "PJSIP/201"),
    (checks.endpoint, "20[12]"),
    (checks.endpoint, "201\n202"),
    (checks.author, ""),
]


@pytest.mark.parametrize(("check", "value", "kept"), TAKEN)
def test_taken_and_kept_so(check: Callable[[str], str], value: str, kept: str) -> None:
    assert check(value) == kept
    assert check(kept) == kept


@pytest.mark.parametrize(("check", "value"), REFUSED)
def test_refused_with_a_remedy(check: Callable[[str], str], value: str) -> None:
    with pytest.raises(BadValueError, match=r"\w; \w"):
        check(value)


@pytest.mark.parametrize(("value", "fits"), [(None, True), (1, True), (0, False), (10**6, False)])
def test_limits(value: int | None, fits: bool) -> None:
    if fits:
        assert checks.limit(value) == value
    else:
        with pytest.raises(BadValueError, match="tenant recording off"):
            checks.limit(value)


REACHES_THE_PBX = [checks.extension, checks.number, checks.queue, checks.endpoint, checks.code]


@pytest.mark.parametrize("check", REACHES_THE_PBX)
@given(st.text())
def test_nothing_that_is_syntax_there_reaches_a_pbx(
    check: Callable[[str], str], value: str
) -> None:
    try:
        kept = check(value)
    except BadValueError:
        return
    assert not set(kept) - set(
        "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+*?_.-"
    )


@given(st.text())
def test_what_people_read_is_one_line_without_controls(value: str) -> None:
    for check in (checks.name, checks.text, checks.email):
        try:
            kept = check(value)
        except BadValueError:
            continue
        assert kept.isprintable()


def test_every_country_with_phone_numbers_is_known() -> None:
    import phonenumbers  # noqa: PLC0415 - only here

    # AC and TA are islands that ISO 3166 has under SH.
    unknown = phonenumbers.SUPPORTED_REGIONS - checks.COUNTRIES
    assert unknown == {"AC", "TA"}
