"""What is dialled: telephone numbers without decoration, and what stands before and after them.

No country is looked at here, and no text is refused.
"""

import re
import unicodedata
from collections.abc import Iterable

LONGEST = 120
"""Characters of text that are looked at; no number with its decoration has more."""

CODE_LENGTHS = (2, 3, 4)
"""Digits of a service code, such as 67 of *67 and 1470, without a sign that ends it."""

CODES_IN_A_ROW = 3
"""Service codes that are looked for before one number, such as *67*70."""

_SCHEME = re.compile(r"(?:sips?|tel|callto):/{0,2}", re.IGNORECASE)
_ESCAPED = {"%2b": "+", "%23": "#", "%2a": "*", "%20": " "}
_ESCAPE = re.compile("|".join(_ESCAPED), re.IGNORECASE)
_SERVICE_CODE = re.compile(r"[*#]+[0-9]+[*#]+(\+?[0-9].*)")
_SIGNED_CODE = re.compile(r"[*#]+([0-9]{2,4})(?=\+?[0-9])")
_DIGITS_FIRST = re.compile(r"\+?[0-9]+")
# What a phone sends once the call is up (after a pause), and the key that ends dialling.
_SENT_LATER = re.compile(r"([+*#0-9]*[0-9])[wp,][0-9*#wp,]*", re.IGNORECASE)
_ENDED = re.compile(r"((?:[*#]+[0-9]+[*#]+)?\+?[0-9]+)#")
# Dashes of all kinds, spaces, and marks that copying from a page brings along.
_LEFT_OUT = frozenset({"Pd", "Zs", "Cf"})
_PUNCTUATION = frozenset(" -()./\t")


def clean(text: str) -> str:
    """What is dialled, without the decoration that people and protocols put round it."""
    if "<" in text:
        text = text.partition("<")[2].partition(">")[0]
    text = _SCHEME.sub("", text.strip(), count=1)
    text = re.split("[@;]", text, maxsplit=1)[0]
    if "%" in text:
        text = _ESCAPE.sub(lambda found: _ESCAPED[found[0].lower()], text)
    if text.isascii() and text.isalnum():
        return text
    return "".join(_sign(sign) for sign in text)


def dialled_for(text: str) -> str:
    """What is dialled for the number itself, without what is sent once the call is up."""
    cleaned = clean(text)
    for more in (_SENT_LATER, _ENDED):
        if found := more.fullmatch(cleaned):
            cleaned = found[1]
    return cleaned


def _sign(sign: str) -> str:
    """A digit of any script as ours; nothing for what only makes a number readable."""
    if sign.isascii():
        return "" if sign in _PUNCTUATION else sign
    if sign == "\N{FULLWIDTH PLUS SIGN}":
        return "+"
    digit = unicodedata.decimal(sign, None)
    if digit is not None:
        return str(digit)
    return "" if unicodedata.category(sign) in _LEFT_OUT else sign


def with_and_without(dialled: str, prefix: str) -> list[str]:
    """What is dialled without the outside prefix, where it has one, and with it."""
    if prefix and dialled.startswith(prefix):
        return [dialled.removeprefix(prefix), dialled]
    return [dialled]


def digits_of(texts: Iterable[str]) -> list[str]:
    """The digits with which the texts begin, each once."""
    found = [_DIGITS_FIRST.match(text) for text in texts]
    return list(dict.fromkeys(one[0] for one in found if one))


def behind_signs(texts: Iterable[str], prefix: str) -> list[str]:
    """What follows codes with signs, such as *31# and *67, which hide the caller's number."""
    found: list[str] = []
    for _ in range(CODES_IN_A_ROW):
        behind: list[str] = []
        for text in texts:
            if text.rfind("+") > 0:
                behind.append(text[text.rfind("+") :])
            elif code := _SERVICE_CODE.fullmatch(text):
                behind += with_and_without(code[1], prefix)
            elif code := _SIGNED_CODE.match(text):
                behind += with_and_without(text[code.start(1) + CODE_LENGTHS[0] :], prefix)
        found += behind
        texts = behind
    return found
