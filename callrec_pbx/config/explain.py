"""Turning what the validator found into words that name file, key, value and remedy."""

import json
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from callrec_pbx.config.checks import BadValueError
from callrec_pbx.config.errors import Problem

Place = tuple[str | int, ...]

LONGEST_SHOWN = 120
NEAR = 0.6
NO_ARTICLE = ("the", "its", "who", "what", "when", "where", "whether", "how", "[[case]]")
"""Words before which a description takes no `the`."""
NO_TABLE = ("tuple_type", "model_type", "model_attributes_type", "dict_type")
UNSHOWN = {"secret", "password", "url"}
"""Settings whose values can hold a secret."""


def problem_of(
    error: dict[str, Any], document: dict[str, Any], source: str, root: type[BaseModel]
) -> Problem:
    """Put one of the validator's findings into words.

    Args:
        error: One of pydantic's errors.
        document: What was validated.
        source: Where it was read.
        root: The model of the whole document.
    """
    place: Place = error["loc"]
    field = _field_at(place, root)
    key = dotted(place, document)
    if error["type"] == "extra_forbidden":
        model = root if len(place) == 1 else model_of(_field_at(place[:-1], root)) or root
        return unknown(source, key, str(place[-1]), names_of(model))
    if error["type"] == "missing":
        return Problem(source, key, None, "is missing", f"add {_example(field)}")
    if error["type"] == "tuple_type" and isinstance(error["input"], dict):
        header = _header(place)
        return Problem(
            source, key, None, "is a list of tables", f"write [[{header}]], not [{header}]"
        )
    value = None if isinstance(error["input"], dict | BaseModel) else _shown(error["input"], place)
    reason = error.get("ctx", {}).get("error")
    if isinstance(reason, BadValueError):
        text, _, remedy = str(reason).partition("; ")
        return Problem(source, key, value, text, remedy)
    message = str(error["msg"])
    text = message[:1].lower() + message[1:]
    if error["type"] in NO_TABLE and model_of(field) is not None:
        header = _header(place)
        several = error["type"] == "tuple_type" or isinstance(place[-1], int)
        if several:
            return Problem(source, key, value, "is not a list of tables", f"write [[{header}]]")
        return Problem(source, key, value, "is not a table", f"write [{header}]")
    if error["type"] == "tuple_type":
        return Problem(source, key, value, "is neither a text nor a list", _remedy(field, ""))
    if error["type"].startswith("bool"):
        return Problem(
            source, key, value, "is neither true nor false", "write one of them, without quotes"
        )
    if field is not None and _words(field.annotation):
        text = "is not a word known here"
    return Problem(source, key, value, text, _remedy(field, error["input"]))


def unknown(source: str, key: str, word: str, known: list[str]) -> Problem:
    """There is no setting of that name; perhaps one of a similar name was meant."""
    near = get_close_matches(word, known, 1, NEAR)
    remedy = f"did you mean {near[0]}?" if near else "known are " + ", ".join(known)
    return Problem(source, key, None, "there is no such setting", remedy)


def model_of(field: FieldInfo | None) -> type[BaseModel] | None:
    """The class of a section's field, or of the items of a list of tables."""
    if field is None:
        return None
    for kind in (field.annotation, *get_args(field.annotation)):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            return kind
    return None


def names_of(model: type[BaseModel]) -> list[str]:
    """The names of a model's settings, as they are written."""
    return [field.alias or name for name, field in model.model_fields.items()]


def dotted(place: Place, document: dict[str, Any]) -> str:
    """`asterisk.port`, or `rule 3 "support" mode`."""
    # The number of a plain value in a list says nothing: the value itself is shown.
    parts = list(place)
    while parts and isinstance(parts[-1], int) and not isinstance(_at(document, parts), dict):
        del parts[-1]
    words: list[str] = []
    for position, part in enumerate(parts):
        if isinstance(part, int):
            words += [f"{part + 1}", *_named(_at(document, parts[: position + 1]))]
        elif words and isinstance(parts[position - 1], str):
            words[-1] += f".{part}"
        else:
            words.append(part)
    return " ".join(words)


def _at(document: Any, parts: list[str | int]) -> Any:
    for part in parts:
        try:
            document = document[part]
        except (LookupError, TypeError):
            return None
    return document


def _named(table: Any) -> list[str]:
    name = table.get("name") if isinstance(table, dict) else None
    return [json.dumps(name, ensure_ascii=False)] if isinstance(name, str) else []


def _field_at(place: Place, root: type[BaseModel]) -> FieldInfo | None:
    model: type[BaseModel] | None = root
    field: FieldInfo | None = None
    for part in place:
        if isinstance(part, str) and model is not None:
            found = [
                field for name, field in model.model_fields.items() if part in (name, field.alias)
            ]
            if found:
                field = found[0]
                model = model_of(field)
    return field


def _words(kind: Any) -> list[str]:
    """The words that an enumeration or a list of literals allows."""
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return [str(word) for word in kind]
    if isinstance(kind, str):
        return [kind]
    return [word for part in get_args(kind) for word in _words(part)]


def _header(place: Place) -> str:
    """The name of a table as TOML has it between brackets."""
    return ".".join(part for part in place if isinstance(part, str))


def _example(field: FieldInfo | None) -> str:
    description = field.description if field else None
    description = description or "value"
    if description.partition(" ")[0] not in NO_ARTICLE:
        description = f"the {description}"
    if field is None:
        return description
    examples = _words(field.annotation) or [str(example) for example in field.examples or []]
    return f"{description}, such as {examples[0]}" if examples else description


def _remedy(field: FieldInfo | None, value: object) -> str:
    words = _words(field.annotation) if field else []
    if not words:
        return f"give {_example(field)}"
    near = get_close_matches(str(value), words, 1, NEAR)
    guess = f"; did you mean {near[0]}?" if near else ""
    return f"use one of {', '.join(words)}{guess}"


def _shown(value: object, place: Place) -> str:
    if UNSHOWN.intersection(place):
        return "(not shown)"
    return shown_value(value)


def shown_value(value: object) -> str:
    """A value for an error message, cut where it is very long."""
    shown = json.dumps(value, ensure_ascii=False, default=str)
    return shown if len(shown) <= LONGEST_SHOWN else shown[: LONGEST_SHOWN - 3] + "..."
