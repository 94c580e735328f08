"""Checks whole things against their kind: values, what must be there, what may be set."""

import shlex
from collections.abc import Mapping
from typing import Any

from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.config.checks import BadValueError
from callrec_pbx.people.errors import Problem, shown_value
from callrec_pbx.people.kinds import KINDS, Field, Kind, Thing


def check_values(
    kind: Kind, values: Mapping[str, Any]
) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """Values as they are kept, and what is wrong with the others."""
    kept, problems = {}, []
    for name, value in values.items():
        field = kind.by_name.get(name)
        if field is None:
            fields = ", ".join(kind.by_name)
            problems.append(Problem(name, None, f"{kind.article} has no such field", fields))
            continue
        try:
            kept[name] = field.checked(value)
        except BadValueError as error:
            problems.append(problem(name, value, error))
    return kept, tuple(problems)


def check_new(kind: Kind, thing: Thing) -> tuple[Problem, ...]:
    """What a new thing may not have from its beginning."""
    return tuple(
        cannot_be_set(field, getattr(thing, field.name))
        for field in kind.fields
        if field.instead
        and field.refers is None
        and getattr(thing, field.name) != kind.defaults[field.name]
    )


def cannot_be_set(field: Field, value: Any) -> Problem:
    """The problem of a field that is changed in another way."""
    return Problem(field.name, shown_value(field.show(value)), "cannot be set here", field.instead)


def not_there(field: str, entity: Entity, name: str) -> Problem:
    """The problem of a reference to nothing."""
    return Problem(
        field,
        shown_value(name),
        f"there is no such {KINDS[entity].noun}",
        f"add it first: callrec-pbx {entity} add {shlex.quote(name)}",
    )


def there_already(kind: Kind, thing: Thing, other: Thing) -> Problem:
    """The problem of a key that another has."""
    field = kind.key[-1]
    of_tenant = getattr(other, "tenant", "")
    text = "is there already"
    if of_tenant != getattr(thing, "tenant", ""):
        text += f", of tenant {of_tenant}"
    remedy = f"choose another, or change that one: callrec-pbx {kind.entity} set"
    return Problem(field, shown_value(getattr(thing, field)), text, remedy)


def problem(name: str, value: object, error: BadValueError) -> Problem:
    """A value that was refused, as a problem of its field."""
    text, _, remedy = str(error).partition("; ")
    return Problem(name, shown_value(value), text, remedy)
