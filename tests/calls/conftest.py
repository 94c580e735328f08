"""Marks the scenarios as talking to the PBX that they run against."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.calls.houses import PBX


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is below this folder."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(PBX)
