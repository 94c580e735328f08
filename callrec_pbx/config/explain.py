"""Turning what the validator found into words that name file, key, value and remedy."""

import json
import os
from collections.abc import Iterator
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from callrec_pbx.config.checks import BadValueError
from callrec_pbx.config.errors import Problem
from callrec_pbx.config.settings import ENV_PREFIX, ENV_SEPARATOR, Settings

Place = tuple[str | int, ...]

LONGEST_SHOWN = 120
NEAR = 0.6
UNSHOWN = {"secret", "url"}
"""Settings whose values can hold a secret."""


def stray_variables() -> Iterator[Problem]:
    """Find environment variables that have the shape of a setting and name none."""
    for name in sorted(os.environ):
        section, separator, rest = name.removeprefix(ENV_PREFIX).lower().partition(ENV_SEPARATOR)
        if not name.startswith(ENV_PREFIX) or not separator:
            continue
        model = _model_of(Settings.model_fields.get(section))
        if model is None or section == "rule":
            yield _unknown("environment", name, section, list(Settings.model_fields))
        elif rest not in model.model_fields:
            yield _unknown("environment", name, rest, list(model.model_fields))


def problem_of(error: dict[str, Any], document: dict[str, Any], file: Path) -> Problem:
    """Put one of the validator's findings into words."""
    place: Place = error["loc"]
    field = _field_at(place)
    variable = _variable_of(place)
    source = f"environment {variable}" if variable else str(file)
    key = _dotted(place, document)
    if error["type"] == "extra_forbidden":
        model = _model_of(_field_at(place[:-1])) or Settings
        return _unknown(source, key, str(place[-1]), list(model.model_fields))
    if error["type"] == "missing":
        return Problem(source, key, None, "is missing", f"add the {_example(field)}")
    value = None if isinstance(error["input"], dict | BaseModel) else _shown(error["input"], place)
    reason = error.get("ctx", {}).get("error")
    if isinstance(reason, BadValueError):
        text, _, remedy = str(reason).partition("; ")
        return Problem(source, key, value, text, remedy)
    message = str(error["msg"])
    text = message[:1].lower() + message[1:]
    if field is not None and _words(field.annotation):
        text = "is not a word known here"
    return Problem(source, key, value, text, _remedy(field, error["input"]))


def _unknown(source: str, key: str, word: str, known: list[str]) -> Problem:
    near = get_close_matches(word, known, 1, NEAR)
    remedy = f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)
    return Problem(source, key, None, "there is no such setting", remedy)


def _model_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """The class of a section's field, or of the items of a list of tables."""
    if field is None:
        return None
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def _dotted(place: Place, document: dict[str, Any]) -> str:
    """`asterisk.port`, or `rule 3 "support" mode`."""
    if len(place) > 1 and place[0] == "rule" and isinstance(place[1], int):
        try:
            name = document["rule"][place[1]]["name"]
        except (LookupError, TypeError):
            name = None
        named = f" {json.dumps(name, ensure_ascii=False)}" if isinstance(name, str) else ""
        rest = ".".join(str(part) for part in place[2:] if isinstance(part, str))
        return f"rule {place[1] + 1}{named} {rest}".strip()
    return ".".join(str(part) for part in place if isinstance(part, str))


def _variable_of(place: Place) -> str | None:
    """The environment variable that says it, if one does."""
    parts = [part for part in place if isinstance(part, str)]
    for length in (len(parts), 1):
        wanted = (ENV_PREFIX + ENV_SEPARATOR.join(parts[:length])).upper()
        if wanted in os.environ:
            return wanted
    return None


def _field_at(place: Place) -> FieldInfo | None:
    model: type[BaseModel] | None = Settings
    field: FieldInfo | None = None
    for part in place:
        if isinstance(part, str) and model is not None and part in model.model_fields:
            field = model.model_fields[part]
            model = _model_of(field)
    return field


def _words(kind: Any) -> list[str]:
    """The words that an enumeration or a list of literals allows."""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return [str(word) for word in kind]
    if isinstance(kind, str):
        return [kind]
    return [word for part in get_args(kind) for word in _words(part)]


def _example(field: FieldInfo | None) -> str:
    if field is None:
        return "value"
    description = field.description or "value"
    examples = _words(field.annotation) or [str(example) for example in field.examples or []]
    return f"{description}, such as {examples[0]}" if examples else description


def _remedy(field: FieldInfo | None, value: object) -> str:
    words = _words(field.annotation) if field else []
    if not words:
        return f"give the {_example(field)}"
    near = get_close_matches(str(value), words, 1, NEAR)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"use one of {', '.join(words)}{guess}"


def _shown(value: object, place: Place) -> str:
    if UNSHOWN.intersection(place):
        return "(not shown)"
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= LONGEST_SHOWN else shown[: LONGEST_SHOWN - 3] + "..."
