"""The deciding part: events in, commands out. Imports only the standard library."""
