"""A setting that the manual does not mention turns this red."""

from pathlib import Path
from typing import get_args

import pytest
from pydantic import BaseModel

from callrec_pbx.config.load import EXAMPLE
from callrec_pbx.config.settings import Settings

MANUAL = Path(__file__).parents[2] / "docs" / "configuration.md"


def settings() -> list[tuple[str, str]]:
    """All settings as (section, name)."""
    found = []
    for section, field in Settings.model_fields.items():
        kinds = (field.annotation, *get_args(field.annotation))
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        if models:
            found += [(section, name) for name in models[0].model_fields]
        else:
            found.append(("", section))
    return found


@pytest.mark.parametrize(("section", "name"), settings())
def test_the_manual_mentions_it(section: str, name: str) -> None:
    text = MANUAL.read_text()
    part = text
    if section:
        heading = f"## `[{section}]`"
        assert heading in text
        part = text.split(heading)[1].split("\n## ")[0]
    assert f"`{name}`" in part


@pytest.mark.parametrize(("section", "name"), settings())
def test_the_example_mentions_it(section: str, name: str) -> None:
    text = EXAMPLE.read_text()
    part = text.split(f"[{section}]")[1].split("\n[")[0] if section else text
    assert f"{name} = " in part or name in ("secret", "password")
