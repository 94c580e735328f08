"""Outside numbers in any spelling, and the list of those that are never recorded."""

import re
from collections.abc import Iterable
from typing import Protocol

from callrec_pbx.domain.patterns import compiled, is_exact, prefix_of


class Numbers(Protocol):
    """Reads numbers as people of a country write them; injected, as that takes a library."""

    def likely(self, number: str, country: str, outside_prefix: str = "") -> tuple[str, ...]:
        """A number as given, and its likeliest reading as E.164: for rules."""
        ...

    def spellings(self, number: str, country: str, outside_prefix: str = "") -> tuple[str, ...]:
        """Every reading of a number, likely or not: for numbers that are never recorded."""
        ...

    def pattern_e164(self, pattern: str, country: str) -> str:
        """A number or pattern of numbers as E.164, as far as it can be."""
        ...

    def patterns_e164(self, pattern: str, countries: tuple[str, ...]) -> tuple[str, ...]:
        """The same as each of the countries reads it, each reading once."""
        ...


class AsGiven:
    """Takes numbers as they are."""

    def likely(self, number: str, country: str, outside_prefix: str = "") -> tuple[str, ...]:  # noqa: ARG002
        """The number itself."""
        return (number,)

    def spellings(self, number: str, country: str, outside_prefix: str = "") -> tuple[str, ...]:  # noqa: ARG002
        """The number itself."""
        return (number,)

    def pattern_e164(self, pattern: str, country: str) -> str:  # noqa: ARG002
        """The pattern itself."""
        return pattern

    def patterns_e164(self, pattern: str, countries: tuple[str, ...]) -> tuple[str, ...]:  # noqa: ARG002
        """The pattern itself."""
        return (pattern,)


def readings(patterns: Iterable[str], countries: Iterable[str], numbers: Numbers) -> set[str]:
    """Patterns as they are, and as each of the countries reads them."""
    countries = tuple(countries) or ("",)
    found = set()
    for pattern in patterns:
        found.add(pattern)
        found.update(numbers.patterns_e164(pattern, countries))
    return found


class NumberList:
    """Numbers and patterns of numbers, found by their beginning and not one after the other."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._exact: set[str] = set()
        self._by_prefix: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
        for pattern in patterns:
            if is_exact(pattern):
                self._exact.add(pattern)
            else:
                entry = (pattern, compiled(pattern))
                self._by_prefix.setdefault(prefix_of(pattern), []).append(entry)
        self._lengths = sorted({len(prefix) for prefix in self._by_prefix})

    def find(self, values: Iterable[str]) -> str | None:
        """The entry that fits one of the values, None for none."""
        for value in values:
            if value in self._exact:
                return value
            for length in self._lengths:
                if length > len(value):
                    break
                for pattern, fits in self._by_prefix.get(value[:length], ()):
                    if fits.fullmatch(value):
                        return pattern
        return None
