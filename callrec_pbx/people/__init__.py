"""People and places in the database: changing them, loading them, and the log of changes."""
