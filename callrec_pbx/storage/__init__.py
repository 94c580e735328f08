"""The recordings directory: audio files, and the sidecars that describe them."""
