"""Retention: what is past its date is planned, then pruned, and a tombstone remains."""
