"""A catalogue and a recordings directory that agree."""

from tests.catalogue.conftest import engine, url

__all__ = ["engine", "url"]
