"""What the program logs: with the ids of what it is about, and errors that the manual explains."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import pytest

from tests.bed.asterisk import REPOSITORY

LEVELS = ("debug", "info", "warning", "error", "exception", "critical")
IDS = {"recording", "call", "leg"}
ABOUT = {"recording", "facts", "call", "command", "leg", "recording_id", "call_id"}
"""Names of parameters that hold a recording, a call, or something that speaks of one."""

NEVER = {
    "id", "recording_id", "call_id", "leg_id", "number", "a_number", "b_number", "c_number",
    "ddi", "a_name", "digits", "digit", "secret", "password", "url",
}  # fmt: skip
"""Keys that are spelled otherwise, or that are nobody's business."""

ABOUT_OTHERS = {
    # about a connection of a trail's, a folder's or an address's
    ("audit_anchor.py", "audit_anchor"),
    ("observe_http.py", "metrics_request_broke"),
}


@dataclass(frozen=True)
class Line:
    """One place where something is logged."""

    where: str
    level: str
    event: str
    keys: frozenset[str]
    parameters: frozenset[str]


@cache
def lines() -> list[Line]:
    """Every call of `log.…` in the package."""
    return [
        line
        for path in sorted((REPOSITORY / "callrec_pbx").rglob("*.py"))
        for line in _lines_in(path.name, ast.parse(path.read_text()), frozenset())
    ]


def _lines_in(where: str, node: ast.AST, parameters: frozenset[str]) -> Iterator[Line]:
    for child in ast.iter_child_nodes(node):
        inside = parameters
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            inside = frozenset(one.arg for one in child.args.args + child.args.kwonlyargs)
        match child:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="log"), attr=level),
                args=[said, *_],
            ) if level in LEVELS:
                keys = frozenset(one.arg or "**" for one in child.keywords)
                for event in _events_of(said):
                    yield Line(where, level, event, keys, inside)
        yield from _lines_in(where, child, inside)


def _events_of(said: ast.expr) -> list[str]:
    """An event, or the two of a condition."""
    if isinstance(said, ast.IfExp):
        return _events_of(said.body) + _events_of(said.orelse)
    return [str(said.value) if isinstance(said, ast.Constant) else ast.unparse(said)]


def test_what_is_logged_about_a_recording_or_call_carries_its_id() -> None:
    wrong = [
        line
        for line in lines()
        if line.parameters & ABOUT
        and not line.keys & (IDS | {"**"})
        and (line.where, line.event) not in ABOUT_OTHERS
    ]
    assert wrong == []


def test_keys_are_spelled_alike_and_tell_no_secrets() -> None:
    found = [(line.where, line.event, line.keys & NEVER) for line in lines()]
    assert [one for one in found if one[2]] == []


def test_events_are_words() -> None:
    assert [line for line in lines() if not re.fullmatch(r"[a-z][a-z0-9_]*", line.event)] == []


def page() -> str:
    return (REPOSITORY / "docs" / "logs.md").read_text()


def explained() -> set[str]:
    """The events of the table."""
    rows = re.findall(r"^\| (`[^|]+) \|", page().partition("## What to raise")[2], re.MULTILINE)
    return {word for row in rows for word in re.findall(r"`([a-z_]+)`", row)}


def test_the_manual_explains_every_error_and_no_other() -> None:
    errors = {line.event for line in lines() if line.level in ("error", "exception", "critical")}
    assert len(errors) > 15
    assert explained() == errors


@pytest.mark.parametrize("event", sorted(set(re.findall(r"`([a-z]+_[a-z_]+)`", page()))))
def test_the_manual_names_nothing_else_than_events_and_keys(event: str) -> None:
    known = {word for line in lines() for word in (line.event, *line.keys)}
    assert event in known
