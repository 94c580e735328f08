"""A migrated catalogue in a file of its own."""

from tests.catalogue.conftest import engine, url

__all__ = ["engine", "url"]
