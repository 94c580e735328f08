"""Why the PBX cannot be set up."""


class SetupError(Exception):
    """Setup cannot go on, and changed nothing (more); the message says what to do."""
