"""Patterns: whole strings in which `*` stands for any characters and `?` for one."""

import re
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


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


class PatternTable(Generic[T]):
    """Things by patterns, found by what a pattern begins with and not one after the other."""

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        self._exact: dict[str, T] = {}
        self._by_prefix: dict[str, list[tuple[re.Pattern[str], T]]] = {}
        for pattern, thing in entries:
            if is_exact(pattern):
                self._exact.setdefault(pattern, thing)
            else:
                entry = (compiled(pattern), thing)
                self._by_prefix.setdefault(prefix_of(pattern), []).append(entry)
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix}, reverse=True)

    def find(self, value: str) -> Iterator[T]:
        """What fits: the value itself, then patterns, the longest beginning first."""
        if value in self._exact:
            yield self._exact[value]
        for length in self._lengths:
            if length <= len(value):
                for pattern, thing in self._by_prefix.get(value[:length], ()):
                    if pattern.fullmatch(value):
                        yield thing
