"""The SQL catalogue: an index over the sidecars, with one writer and many readers."""
