"""Patterns: whole strings in which `*` stands for any characters and `?` for one."""

import re
from collections.abc import Iterable


def is_exact(pattern: str) -> bool:
    """Whether the pattern means itself alone."""
    return "*" not in pattern and "?" not in pattern


def prefix_of(pattern: str) -> str:
    """What everything that fits begins with."""
    return re.split(r"[*?]", pattern, maxsplit=1)[0]


def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression, for `fullmatch`."""
    signs = {"*": ".*", "?": "."}
    return re.compile("".join(signs.get(sign) or re.escape(sign) for sign in pattern), re.DOTALL)


class Patterns:
    """Several patterns, one of which has to fit."""

    __slots__ = ("_exact", "_others")

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = tuple(patterns)
        self._exact = frozenset(pattern for pattern in listed if is_exact(pattern))
        self._others = tuple(compiled(pattern) for pattern in listed if not is_exact(pattern))

    def fit(self, values: tuple[str, ...]) -> bool:
        """Whether any of the values fits; without values nothing does."""
        for value in values:
            if value in self._exact:
                return True
            for other in self._others:
                if other.fullmatch(value):
                    return True
        return False
