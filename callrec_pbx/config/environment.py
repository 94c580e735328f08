"""What environment variables say, and which of them say nothing."""

import os
from collections.abc import Iterator

from callrec_pbx.config.errors import Problem
from callrec_pbx.config.explain import Place, model_of, unknown
from callrec_pbx.config.settings import ENV_PREFIX, ENV_SEPARATOR, Settings


def stray_variables() -> Iterator[Problem]:
    """Find environment variables that have the shape of a setting and name none."""
    for name in sorted(os.environ):
        section, separator, rest = name.removeprefix(ENV_PREFIX).lower().partition(ENV_SEPARATOR)
        if not name.startswith(ENV_PREFIX) or not separator:
            continue
        model = model_of(Settings.model_fields.get(section))
        if model is None:
            yield unknown("environment", name, section, list(Settings.model_fields))
        elif rest not in model.model_fields:
            yield unknown("environment", name, rest, list(model.model_fields))


def variable_of(place: Place) -> str | None:
    """The environment variable that says it, if one does."""
    parts = [part for part in place if isinstance(part, str)]
    for length in (len(parts), 1):
        wanted = (ENV_PREFIX + ENV_SEPARATOR.join(parts[:length])).upper()
        if wanted in os.environ:
            return wanted
    return None
