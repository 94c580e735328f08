"""Comparing rows, sidecars and files, and mending what disagrees."""
