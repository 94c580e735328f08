"""What single values of people and places must look like, and how they are written uniformly.

Each check returns the value as it is kept, and raises BadValueError with problem and remedy.
"""

import re
import unicodedata
from functools import lru_cache
from zoneinfo import ZoneInfo

from callrec_pbx.audio.manifest import PromptError, check_language
from callrec_pbx.config.checks import BadValueError, offered_pattern

LONGEST_NAME = 80
LONGEST_TEXT = 200
LONGEST_EMAIL = 254
MOST_RECORDINGS = 100_000
MOST_GB = 1_000_000

_EMAIL = re.compile(r"[\w.!#$%&'+/=^`{|}~-]{1,64}@[\w-]+(\.[\w-]+)*")
_PREFIX = re.compile(r"[0-9]{0,4}")
_CODE = re.compile(r"([0-9]{1,8})?")
_HOLIDAYS = re.compile(r"[A-Z]{2}(-[\w ]{1,40})?")

_CODES = (
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR "
    "BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ "
    "EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW "
    "GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY "
    "KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV "
    "MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY "
    "QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG "
    "TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM "
    "ZW XK"
)
COUNTRIES = frozenset(_CODES.split())
"""The codes of two letters. Source: ISO 3166-1, as of 2026; and XK, which Kosovo goes by."""


def name(value: str) -> str:
    """Check the name of a tenant, site, department or profile."""
    value = _written(value)
    if not value or len(value) > LONGEST_NAME or not value.isprintable():
        raise BadValueError("is not a name", f"use 1 to {LONGEST_NAME} printable characters")
    if "*" in value or "?" in value:
        raise BadValueError(
            "has * or ?, which stand for other characters in a rule", "choose a name without"
        )
    return value


def text(value: str) -> str:
    """Check a text that people alone read; it may be empty."""
    value = _written(value)
    if len(value) > LONGEST_TEXT or not value.isprintable():
        raise BadValueError(
            "is too long or has control characters",
            f"use up to {LONGEST_TEXT} printable characters in one line",
        )
    return value


def email(value: str) -> str:
    """Check an e-mail address; upper and lower case are the same there, so it becomes lower."""
    value = _written(value).lower()
    if not _EMAIL.fullmatch(value) or len(value) > LONGEST_EMAIL:
        raise BadValueError("is not an e-mail address", "give one such as anna@example.com")
    return value


def language(value: str) -> str:
    """Check a language as prompts have it; empty for none."""
    value = value.strip().lower().replace("_", "-")
    if not value:
        return value
    try:
        check_language(value)
    except PromptError:
        raise BadValueError("is not a language code", "give one such as de, en or pt-br") from None
    return value


def country(value: str) -> str:
    """Check a country; empty for none."""
    value = value.strip().upper()
    if value and value not in COUNTRIES:
        remedy = "give GB" if value == "UK" else "give the code of ISO 3166, such as SE or DE"
        raise BadValueError("is not a country of two letters", remedy)
    return value


def time_zone(value: str) -> str:
    """Check a time zone; empty for none."""
    value = value.strip()
    if value and not _is_zone(value):
        raise BadValueError("is not a time zone", "give an IANA name such as Europe/Stockholm")
    return value


def time_zone_of_tenant(value: str) -> str:
    """Check a time zone that nothing stands above."""
    return time_zone(value) or "UTC"


def holidays(value: str) -> str:
    """Check whose public holidays count: a country, with subdivision if need be; empty: none."""
    area, dash, part = value.strip().partition("-")
    value = area.upper() + dash + part
    if value and not _has_holidays(value):
        # Most parts are in capitals (BY), and some are not (Augsburg).
        value = value.upper()
    if value and not _has_holidays(value):
        raise BadValueError(
            "is not a country or part of one whose public holidays are known",
            "give one such as SE, or with the part such as DE-BY; leave it empty for none",
        )
    return value


def outside_prefix(value: str) -> str:
    """Check the digits that are dialled for an outside line; empty for none."""
    value = value.strip()
    if not _PREFIX.fullmatch(value):
        raise BadValueError("is not a prefix", "give up to 4 digits, such as 0")
    return value


def code(value: str) -> str:
    """Check the digits that switch to a profile; empty for none."""
    value = value.strip()
    if not _CODE.fullmatch(value):
        raise BadValueError("is not a code to dial", "give up to 8 digits, such as 1")
    return value


def extension(value: str) -> str:
    """Check an extension, as the dialplan offers it."""
    return _offered(value, "an extension", "201")


def number(value: str) -> str:
    """Check a DDI, as the dialplan offers it."""
    return _offered(value, "a DDI", "+46812345670")


def queue(value: str) -> str:
    """Check the name of a queue, as the dialplan offers it."""
    return _offered(value, "the name of a queue", "support")


def endpoint(value: str) -> str:
    """Check an endpoint or a pattern of them; empty for none."""
    value = value.strip()
    return offered_pattern(value) if value else value


def limit(value: int | None) -> int | None:
    """Check the limit of recordings that run at the same time; None for no limit."""
    if value is not None and not 1 <= value <= MOST_RECORDINGS:
        raise BadValueError(
            "is not a limit",
            f"give 1 to {MOST_RECORDINGS}, or nothing for no limit; recording is switched off by "
            "callrec-pbx tenant recording off",
        )
    return value


def quota(value: int | None) -> int | None:
    """Check the room that recordings may take (GB); None for any."""
    if value is not None and not 1 <= value <= MOST_GB:
        raise BadValueError("is not a quota", f"give 1 to {MOST_GB} GB, or nothing for no quota")
    return value


def author(value: str) -> str:
    """Check who made a change."""
    value = text(value)
    if not value:
        raise BadValueError("is empty", "say who makes the change")
    return value


def _offered(value: str, what: str, example: str) -> str:
    value = value.strip()
    if "*" in value or "?" in value:
        raise BadValueError(f"is a pattern, not {what}", f"give the whole of it, such as {example}")
    try:
        return offered_pattern(value)
    except BadValueError:
        raise BadValueError(
            f"is not {what} that the dialplan can offer",
            f"use up to 80 letters, digits and + _ . - with no _ first, such as {example}",
        ) from None


def _written(value: str) -> str:
    """The same name in the same characters, however the file or keyboard spelt it."""
    return unicodedata.normalize("NFC", value).strip()


@lru_cache
def _is_zone(value: str) -> bool:
    try:
        ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        return False
    # The file system may take `europe/stockholm`, and other machines will not.
    return value == "UTC" or "/" in value


@lru_cache
def _has_holidays(value: str) -> bool:
    from holidays import country_holidays  # noqa: PLC0415 - costs what few commands need

    if not _HOLIDAYS.fullmatch(value):
        return False
    area, _, part = value.partition("-")
    try:
        country_holidays(area, subdiv=part or None)
    except NotImplementedError:
        return False
    return True
