"""Single excluded numbers: the same one in another spelling, and lists of them in a file."""

import re
from collections.abc import Iterable, Iterator

from callrec_pbx.config.checks import BadValueError
from callrec_pbx.config.errors import Problem
from callrec_pbx.config.explain import shown_value
from callrec_pbx.domain.policy.patterns import compiled
from callrec_pbx.policy.errors import PolicyFileError
from callrec_pbx.policy.values import number_pattern

_WRITTEN = re.compile(r"[0-9+*#?/().\s-]+")
_DECORATION = re.compile(r"[/().\s-]")


def key_of(number: str) -> str:
    """A number without what only makes it readable, so that spellings can be compared."""
    if not _WRITTEN.fullmatch(number):
        return number
    bare = _DECORATION.sub("", number.replace("(0)", "") if number.startswith("+") else number)
    return "+" + bare[2:] if bare.startswith("00") else bare


def new_among(numbers: Iterable[str], there: Iterable[str]) -> tuple[str, ...]:
    """Those numbers that are not there in any spelling, each once."""
    keys = {key_of(number) for number in there}
    found = []
    for number in numbers:
        if (key := key_of(number)) not in keys:
            keys.add(key)
            found.append(number)
    return tuple(found)


def entries_of(numbers: Iterable[str], there: Iterable[str]) -> tuple[str, ...]:
    """The entries that mean those numbers.

    Raises:
        PolicyFileError: One of them is not there; it names all that are not.
    """
    by_key: dict[str, list[str]] = {}
    for entry in there:
        by_key.setdefault(key_of(entry), []).append(entry)
    missing = [number for number in numbers if key_of(number) not in by_key]
    if missing:
        raise PolicyFileError(
            Problem(
                "excluded number",
                shown_value(number),
                None,
                "is not there",
                "`callrec-pbx policy exclude list` shows all",
            )
            for number in missing
        )
    return tuple(entry for number in numbers for entry in by_key[key_of(number)])


def like(numbers: Iterable[str], patterns: Iterable[str]) -> tuple[str, ...]:
    """The entries that fit one of the patterns, in any spelling; without patterns all."""
    listed = tuple(patterns)
    if not listed:
        return tuple(numbers)
    keys = {key_of(pattern) for pattern in listed}
    expressions = [compiled(key) for key in keys]
    return tuple(
        number
        for number in numbers
        if (key := key_of(number)) in keys or any(one.fullmatch(key) for one in expressions)
    )


def parse_numbers(text: str, source: str) -> tuple[str, ...]:
    """Numbers of a file: one in a line, `#` before a remark, empty lines left out.

    Raises:
        PolicyFileError: A line is no number; it names all such lines.
    """
    problems: list[Problem] = []
    found = dict.fromkeys(_numbers(text, source, problems))
    if problems:
        raise PolicyFileError(problems)
    return tuple(found)


def _numbers(text: str, source: str, problems: list[Problem]) -> Iterator[str]:
    for count, line in enumerate(text.splitlines(), 1):
        # `#` is a key of the phone too (#31#), so that a remark begins after a blank, or the line.
        number = re.split(r"(?:^|\s)#(?:\s|$)", line, maxsplit=1)[0].strip()
        if not number:
            continue
        try:
            yield number_pattern(number)
        except BadValueError as error:
            problem, _, remedy = str(error).partition("; ")
            problems.append(Problem(source, f"line {count}", shown_value(number), problem, remedy))
