"""The policy as a TOML text for people, and for git: always in the same order."""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Any

import tomlkit

from callrec_pbx.domain.policy.rules import PolicyText
from callrec_pbx.policy.written import to_document

HEADING = (
    "The policy of callrec-pbx: what is recorded, and how. docs/policy.md has every word of it.",
    "Try a change with `callrec-pbx policy apply FILE --dry-run`.",
)
LINE = 100


def to_toml(text: PolicyText, heading: Iterable[str] = ()) -> str:
    """Write a policy, so that `document.parse` reads the same again.

    Args:
        heading: Lines that go to the top as comments, below the usual ones.
    """
    lines = [f"# {_one_line(line)}" for line in (*HEADING, *heading)]
    lines.append("")
    document = to_document(text)
    for key, value in document.items():
        if key == "excluded_numbers":
            lines += [f"{key} = {_value(value, many=True)}", ""]
            continue
        for table in value:
            lines += [*_table(key, table), ""]
    return "\n".join(lines)


def _table(key: str, table: dict[str, Any]) -> Iterator[str]:
    yield f"[[{key}]]"
    inner: list[tuple[str, dict[str, Any]]] = []
    for name, value in table.items():
        if isinstance(value, list) and isinstance(value[0], dict):
            inner += [(f"{key}.{name}", part) for part in value]
        else:
            yield f"{name} = {_value(value)}"
    for name, part in inner:
        yield ""
        yield from _table(name, part)


def _value(value: Any, *, many: bool = False) -> str:
    if isinstance(value, list):
        parts = [_value(part) for part in value]
        line = f"[{', '.join(parts)}]"
        if not many and len(line) <= LINE:
            return line
        return "[\n" + "".join(f"    {part},\n" for part in parts) + "]"
    if isinstance(value, StrEnum):
        value = value.value
    return str(tomlkit.item(value).as_string())


def _one_line(text: str) -> str:
    """A comment ends with its line, whatever an author has called himself."""
    return "".join(char if char.isprintable() else " " for char in text)
