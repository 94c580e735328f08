"""Why the PBX cannot be set up."""


class SetupError(Exception):
    """Setup cannot go on; nothing, or nothing more, was changed, and the message says what to do."""
