"""Reading TOML that people write, with words for all that can be wrong with it as TOML."""

import re
import tomllib
from typing import Any

DEEPEST = 20
"""Levels of lists and tables; a policy needs five."""

LARGEST = 2**63 - 1
"""Source: TOML 1.0.0, "Integer": 64 bits are what a reader must take."""

_MANY_DIGITS = re.compile(r"[0-9][0-9_]{999,}")


class TomlError(Exception):
    """A text is no TOML that can be used; its writer mends what the remedy says."""

    def __init__(self, problem: str, remedy: str, key: str = "", value: str | None = None) -> None:
        super().__init__(f"{problem}; {remedy}")
        self.problem, self.remedy, self.key, self.value = problem, remedy, key, value


def read_toml(text: str) -> dict[str, Any]:
    """Read TOML; a byte order mark before it is left out.

    Raises:
        TomlError: It is none, or nothing that anybody means: its levels or numbers have no end.
    """
    try:
        document = tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise TomlError(
            f"is not TOML: {error}",
            "mend that line; text stands in quotes, a section is [name], one of several [[name]]",
        ) from None
    except RecursionError:
        raise _too_deep() from None
    except ValueError:
        # Python refuses to read a number of thousands of digits.
        raise _too_long(text) from None
    _check(document)
    return document


def _check(document: dict[str, Any]) -> None:
    level: list[tuple[str, Any]] = list(document.items())
    for _ in range(DEEPEST):
        below: list[tuple[str, Any]] = []
        for key, value in level:
            if isinstance(value, dict):
                below += [(f"{key}.{name}", part) for name, part in value.items()]
            elif isinstance(value, list):
                below += [(key, part) for part in value]
            elif isinstance(value, int) and not -LARGEST - 1 <= value <= LARGEST:
                raise TomlError(
                    "is a number beyond 64 bits", "give a smaller one", key, _digits(value)
                )
        if not below:
            return
        level = below
    raise _too_deep(level[0][0].partition(".")[0])


def _too_deep(key: str = "") -> TomlError:
    return TomlError(
        f"has lists or tables in one another, more than {DEEPEST} deep",
        "see that every [ and { is closed where it should be",
        key,
    )


def _too_long(text: str) -> TomlError:
    for number, line in enumerate(text.splitlines(), 1):
        found = _MANY_DIGITS.search(line)
        if found is not None:
            key, equals, _ = line[: found.start()].partition("=")
            return TomlError(
                f"is a number of {len(found[0])} digits (line {number})",
                "give a smaller one; a number to call stands in quotes",
                key.strip()[:80] if equals else "",
                f"{found[0][:20]}...",
            )
    return TomlError("has a number that is too long", "give a smaller one")


def _digits(value: int) -> str:
    """The first digits; all of them would be too many for Python to write."""
    return hex(value)[:20] + "..."
