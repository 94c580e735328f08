"""Nothing of its own: `url` and `engine`, of both kinds, come from `tests.databases`."""
