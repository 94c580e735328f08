"""Telephone numbers in any spelling: which number is meant, and whose country's it is.

Nothing here raises for any text: what is not a number is given back as it is.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import phonenumbers
from phonenumbers import (
    PhoneMetadata,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    ValidationResult,
)

from callrec_pbx.dialled import (
    CODE_LENGTHS,
    LONGEST,
    behind_signs,
    clean,
    dialled_for,
    digits_of,
    with_and_without,
)

CACHED = 50_000
"""Numbers that are kept with what they mean."""

PATTERNS_CACHED = 200_000
"""Patterns that are kept with their readings, so that a new policy costs what is new in it."""

SHORTEST = 6
"""Digits below which a number is an internal or a short one, unless its country code is there."""

SHORTEST_FOREIGN = 10
"""Digits from which a number may be an international one that lacks its plus."""

LANDLINE = (PhoneNumberType.FIXED_LINE, PhoneNumberType.FIXED_LINE_OR_MOBILE)

NANP = 1
"""The country code of North America."""

LONGEST_DIALLED = 19
"""Digits with all that may stand before a number: 15, and what is dialled for a call abroad."""

_DIALLED = re.compile(r"(?:[*#]+[0-9]+[*#])?\+?[0-9*#]+")
_NUMBER = re.compile(r"\+?[0-9]+")
_PATTERN = re.compile(r"(\+?[0-9]*)([0-9*?]*)")
_DIALLED_FIRST = re.compile(r"[+*#0-9]+")


class Numbers:
    """Reads numbers as people of a country write and dial them.

    A country is an ISO 3166 code such as `SE`; empty where it is not known. An outside prefix is
    what is dialled for an outside line, and is no part of a number.
    """

    __slots__ = ()

    def e164(self, number: str, country: str, outside_prefix: str = "") -> str:
        """The number as E.164 (`+46701234567`).

        Internal and short numbers, service codes and numbers whose country is not known come back
        as their digits, anything else as it is.
        """
        if len(number) > LONGEST:
            return number
        # What has its country code means the same everywhere.
        region = "" if number.startswith("+") else _region(country)
        return _e164(number, region, outside_prefix)

    def likely(self, number: str, country: str, outside_prefix: str = "") -> tuple[str, ...]:
        """What is most likely meant, and no more: for rules, where a wrong reading does harm.

        Returns:
            The number as given, and its likeliest reading as E.164. Where there is none, as with
            internal and short numbers, what is dialled, with and without the outside prefix.
        """
        if len(number) > LONGEST:
            return (number,)
        region = "" if number.startswith("+") else _region(country)
        return _likeliest(number, region, outside_prefix)

    def spellings(self, number: str, country: str, outside_prefix: str = "") -> tuple[str, ...]:
        """All that may be meant, the likeliest first: one reading too many before one too few.

        Returns:
            The readings as E.164, these without the plus, and the number as given, with and
            without the outside prefix.
        """
        if len(number) > LONGEST:
            return (number,)
        return _spellings(number, _region(country), outside_prefix)

    def pattern_e164(self, pattern: str, country: str) -> str:
        """A number, or a pattern of numbers with `*` and `?`, as E.164 as far as it can be."""
        return _pattern(pattern, "" if pattern.startswith("+") else _region(country))

    def patterns_e164(self, pattern: str, countries: tuple[str, ...]) -> tuple[str, ...]:
        """A pattern as each of the countries reads it, each reading once."""
        if pattern.startswith("+"):
            return (_pattern(pattern, ""),)
        return _patterns(pattern, countries)

    def country_of(self, number: str, country: str) -> str:
        """Whose number it is: an ISO 3166 code, empty when that cannot be told.

        For the United States and Canada with the state or province where the area code tells it,
        such as `US-CA`. Where a mobile phone is at the moment, no number tells.
        """
        found = self.e164(number, country)
        return _country(found) if found.startswith("+") else ""

    def countries_of(self, pattern: str, country: str) -> tuple[str, ...]:
        """Whose numbers fit a pattern; nothing when that cannot be told."""
        known = self.pattern_e164(pattern, country)
        if _NUMBER.fullmatch(known):
            found = self.country_of(known, country)
            return (found,) if found else ()
        fit = _PATTERN.fullmatch(known)
        code, rest = _country_code(fit[1]) if fit else (0, "")
        if code == NANP:
            # Any number of the area will do to ask whose it is.
            area = _country(f"+{code}{rest:2<10}") if len(rest) >= len("212") else ""
            return (area,) if area else ("US", "CA")
        main = phonenumbers.region_code_for_country_code(code)
        return (main,) if len(main) == len("SE") and main != "ZZ" else ()


def _region(country: str) -> str:
    region = country[:2].upper()
    return region if region in phonenumbers.SUPPORTED_REGIONS else ""


@lru_cache(PATTERNS_CACHED)
def _patterns(pattern: str, countries: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_pattern(pattern, _region(country)) for country in countries))


def _pattern(pattern: str, region: str) -> str:
    if len(pattern) > LONGEST:
        return pattern
    if "*" not in pattern and "?" not in pattern:
        # Not out of the cache for calls, which a long list would empty.
        return _quickly(pattern, region) or _e164.__wrapped__(pattern, region, "")
    fit = _PATTERN.fullmatch(clean(pattern))
    if fit is None:
        return pattern
    head, tail = fit.groups()
    return _international(head, region) + tail


def _quickly(number: str, region: str) -> str:
    """What `_e164` says of a number that is written plainly, for a tenth of the time.

    Returns:
        The number as E.164, or as it is where it has no reading; empty where it takes the library
        to tell.
    """
    if not number.isascii() or not _NUMBER.fullmatch(number):
        return ""
    if number.startswith("+"):
        code, rest = _country_code(number)
        main = phonenumbers.region_code_for_country_code(code)
        known = main in phonenumbers.SUPPORTED_REGIONS
        # Only what looks like a national prefix is ever left out.
        prefix = (_metadata(main).national_prefix_for_parsing or "") if known else ""
        return number if known and not re.match(prefix or "(?!)", rest) else ""
    if not region or not number.startswith("0") or len(number) < SHORTEST:
        return ""
    metadata = _metadata(region)
    if _abroad(number, metadata):
        return ""
    pattern = metadata.general_desc.national_number_pattern
    exists = re.fullmatch(pattern, number) is not None
    prefix = metadata.national_prefix_for_parsing
    if not prefix or not re.match(prefix, number):
        return "" if exists else number
    rest = number[1:]
    if prefix != "0" or len(rest) not in metadata.general_desc.possible_length:
        return ""
    if exists and not re.fullmatch(pattern, rest):
        return ""
    return f"+{metadata.country_code}{rest}"


@lru_cache(CACHED)
def _e164(number: str, region: str, outside_prefix: str) -> str:
    cleaned = dialled_for(number)
    if not _DIALLED.fullmatch(cleaned):
        return number
    return next(iter(_readings(with_and_without(cleaned, outside_prefix), region)), cleaned)


@lru_cache(CACHED)
def _likeliest(number: str, region: str, outside_prefix: str) -> tuple[str, ...]:
    cleaned = dialled_for(number)
    if not _DIALLED_FIRST.fullmatch(cleaned):
        return (number,)
    given = with_and_without(cleaned, outside_prefix)
    found = _readings(given, region)[:1]
    if not found:
        behind = behind_signs(given, outside_prefix)
        found = _readings(behind, region)[:1] or _behind_digits(given, region)[:1]
        found = found or [text for text in behind if _NUMBER.fullmatch(text)] or given
    return tuple(dict.fromkeys((number, *found)))


@lru_cache(CACHED)
def _spellings(number: str, region: str, outside_prefix: str) -> tuple[str, ...]:
    cleaned = clean(number)
    first = _DIALLED_FIRST.match(cleaned)
    if first is None or (first[0] != cleaned and len(first[0]) < SHORTEST):
        return (number,)
    # What follows the digits, such as a pause or the key that ends dialling, is no part of them.
    given = with_and_without(first[0], outside_prefix)
    given += behind_signs(given, outside_prefix)
    digits = digits_of(given)
    found = _readings(digits, region)
    for text in digits:
        found += _unlikely(text, region)
        found += _whole_at_first(text, region)
    found += _behind_digits((*given, *digits), region)
    found += [reading.removeprefix("+") for reading in found]
    return tuple(dict.fromkeys((*found, *given, *digits, cleaned, number)))


def _behind_digits(texts: Iterable[str], region: str) -> list[str]:
    """Existing numbers that follow codes of so many digits, such as 141, 184 and *1470."""
    if not region:
        return []
    metadata = _metadata(region)
    trunk = metadata.national_prefix or ""
    # Where nothing has to be dialled before a number, anything may be the beginning of one.
    free = not trunk or metadata.country_code == NANP
    found: list[tuple[str, bool]] = []
    for text in texts:
        digits = "".join(digits_of([text.lstrip("*#")]))
        if len(digits) < SHORTEST or digits.startswith("+"):
            continue
        signed = not text.startswith(digits)
        if not signed and (
            _existing(_parsed(digits, region)) or (free and _existing(_parsed("+" + digits, None)))
        ):
            continue
        for length in CODE_LENGTHS:
            rest = digits[length:]
            if signed or free or rest.startswith(trunk) or _abroad(rest, metadata):
                found += [one for one in _likely(rest, region) if one[1]]
    return [reading for reading, _ in found]


def _whole_at_first(text: str, region: str) -> list[str]:
    """The number that is complete before the last digit: exchanges ignore what is dialled on."""
    longest = min(len(text), LONGEST_DIALLED)
    for length in range(longest, SHORTEST_FOREIGN - 1, -1):
        if found := _existing(_parsed(text[:length], region or None)):
            return [found[0][0]]
    return []


def _readings(texts: Iterable[str], region: str) -> list[str]:
    """What is most likely meant: numbers that exist before those that only could."""
    found = [reading for text in texts for reading in _likely(text, region)]
    return [reading for reading, _ in sorted(found, key=lambda one: not one[1])]


def _unlikely(text: str, region: str) -> list[str]:
    """What may be meant beside that."""
    if not text.isdigit() or len(text) < SHORTEST:
        return []
    found = [] if text.startswith("0") else _unprefixed(text, region)
    found += _existing(_parsed("+" + text, None))
    for prefix in ("00", "011"):
        if text.startswith(prefix):
            found += _existing(_parsed("+" + text.removeprefix(prefix), None))
    return [reading for reading, _ in found]


def _likely(text: str, region: str) -> list[tuple[str, bool]]:
    """Readings of a number, each with whether such a number exists."""
    if not _NUMBER.fullmatch(text):
        return []
    if text.startswith("+"):
        return _possible(_parsed(text, None))
    if not region or len(text) < SHORTEST:
        return []
    metadata = _metadata(region)
    if _abroad(text, metadata):
        # A carrier's code may follow the 00, or look as if it did.
        plain = _existing(_parsed("+" + text.removeprefix("00"), None))
        return _possible(_parsed(text, region)) or plain
    prefix = metadata.national_prefix
    if prefix and text.startswith(prefix) and (found := _possible(_parsed(text, region))):
        return found
    return _unprefixed(text, region)


def _unprefixed(text: str, region: str) -> list[tuple[str, bool]]:
    """Readings of digits that begin like nothing, so that only an existing number counts."""
    number = _parsed(text, region) if region else None
    national = _existing(number)
    foreign = []
    if len(text) >= SHORTEST_FOREIGN and not text.startswith("0") and region:
        foreign = _existing(_parsed("+" + text, None))
    if not national or not foreign:
        return national + foreign
    # Where a trunk zero has to be dialled, a landline's number without it is rather a lost plus.
    zero = (_metadata(region).national_prefix or "").startswith("0")
    landline = number is not None and phonenumbers.number_type(number) in LANDLINE
    return foreign + national if zero and landline else national + foreign


# The readings of one number ask for the same several times.
@lru_cache(1000)
def _parsed(text: str, region: str | None) -> PhoneNumber | None:
    try:
        return phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None


def _possible(number: PhoneNumber | None) -> list[tuple[str, bool]]:
    if number is None:
        return []
    reason = phonenumbers.is_possible_number_with_reason(number)
    if reason != ValidationResult.IS_POSSIBLE:
        return []
    return [(_formatted(number), phonenumbers.is_valid_number(number))]


def _existing(number: PhoneNumber | None) -> list[tuple[str, bool]]:
    if number is None or not phonenumbers.is_valid_number(number):
        return []
    return [(_formatted(number), True)]


def _formatted(number: PhoneNumber) -> str:
    return phonenumbers.format_number(number, PhoneNumberFormat.E164)


@lru_cache(300)
def _metadata(region: str) -> Any:
    return PhoneMetadata.metadata_for_region(region)


def _abroad(text: str, metadata: Any) -> re.Match[str] | None:
    """What is dialled before a country code, such as 00 or 011, where the text has it."""
    return re.match(metadata.international_prefix, text) if metadata.international_prefix else None


def _country_code(head: str) -> tuple[int, str]:
    """The country code that an international number begins with, and what follows; 0 for none."""
    for length in (1, 2, 3):
        code = head[1 : 1 + length]
        if not head.startswith("+") or len(code) < length:
            break
        if int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return int(code), head[1 + length :]
    return 0, ""


def _international(head: str, region: str) -> str:
    """The beginning of a pattern with its country code, where it can be told."""
    if head.startswith("+"):
        code, rest = _country_code(head)
        main = phonenumbers.region_code_for_country_code(code)
        zero = (_metadata(main).national_prefix or "") if len(main) == len("SE") and code else ""
        return f"+{code}{rest[1:]}" if zero == "0" and rest.startswith("0") else head
    if not region or not head:
        return head
    metadata = _metadata(region)
    if abroad := _abroad(head, metadata):
        return _international("+" + head[abroad.end() :], region)
    prefix = metadata.national_prefix or ""
    if head.startswith(prefix):
        return f"+{metadata.country_code}{head.removeprefix(prefix)}"
    # North Americans dial their 1 or leave it out.
    return f"+{NANP}{head}" if metadata.country_code == NANP else head


@lru_cache(CACHED)
def _country(e164: str) -> str:
    number = _parsed(e164, None)
    if number is None or number.country_code is None:
        return ""
    region = phonenumbers.region_code_for_number(number)
    if region is None and number.country_code != NANP:
        region = phonenumbers.region_code_for_country_code(number.country_code)
    if region is None or not region.isalpha() or region == "ZZ":
        return ""
    state = _state(number) if region in {"US", "CA"} else ""
    return f"{region}-{state}" if state else region


def _state(number: PhoneNumber) -> str:
    # Loaded on use: it takes 100 MB, which a listener need not carry.
    from phonenumbers import geocoder  # noqa: PLC0415

    where = geocoder.description_for_number(number, "en")
    if town := re.search(r", ([A-Z]{2})$", where):
        return town[1] if town[1] in _CODES.values() else ""
    return _CODES.get(where, "")


# Source: ISO 3166-2:US and :CA, with the spellings of phonenumbers 9.0 where they differ.
_LISTED = (
    "AL Alabama|AK Alaska|AZ Arizona|AR Arkansas|CA California|CO Colorado|CT Connecticut|"
    "DE Delaware|DC Washington D.C.|FL Florida|GA Georgia|HI Hawaii|ID Idaho|IL Illinois|"
    "IN Indiana|IA Iowa|KS Kansas|KY Kentucky|LA Louisiana|ME Maine|MD Maryland|"
    "MA Massachusetts|MI Michigan|MN Minnesota|MS Mississippi|MO Missouri|MT Montana|"
    "NE Nebraska|NV Nevada|NH New Hampshire|NJ New Jersey|NM New Mexico|NY New York|"
    "NC North Carolina|ND North Dakota|OH Ohio|OK Oklahoma|OR Oregon|PA Pennsylvania|"
    "RI Rhode Island|SC South Carolina|SD South Dakota|TN Tennessee|TX Texas|UT Utah|"
    "VT Vermont|VA Virginia|WA Washington State|WV West Virginia|WI Wisconsin|WY Wyoming|"
    "AB Alberta|BC British Columbia|BC British Colombia|MB Manitoba|NB New Brunswick|"
    "NL Newfoundland and Labrador|ON Ontario|QC Quebec|SK Saskatchewan"
)
_CODES: dict[str, str] = {name: code for code, name in re.findall("([A-Z]{2}) ([^|]+)", _LISTED)}
