"""The follow-up work."""
