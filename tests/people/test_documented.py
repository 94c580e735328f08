"""The manual names every field, and every kind that a file may hold."""

from pathlib import Path

from callrec_pbx.catalogue.models import Base
from callrec_pbx.catalogue.people_models import Entity
from callrec_pbx.cli.people import FileKind
from callrec_pbx.people.kinds import KINDS

DOCS = Path(__file__).parents[2] / "docs"


def test_every_field_is_in_the_manual() -> None:
    text = (DOCS / "people.md").read_text()
    missing = [
        f"{entity} {field.name}"
        for entity, kind in KINDS.items()
        for field in kind.fields
        if f"`{field.name}`" not in text and f"`--{field.name.replace('_', '-')}`" not in text
    ]
    assert missing == []


def test_every_kind_of_file_is_in_the_manual() -> None:
    text = (DOCS / "people.md").read_text()
    assert [kind for kind in FileKind if f"`{kind}`" not in text] == []
    assert {str(kind) for kind in FileKind} == {str(one) for one in Entity} - {"tenant"}


def test_every_table_is_in_the_manual() -> None:
    text = (DOCS / "catalogue.md").read_text()
    assert [name for name in Base.metadata.tables if f"`{name}`" not in text] == []
