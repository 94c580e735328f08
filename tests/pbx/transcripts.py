"""What real Asterisks have sent, as captured: see `tests/data`.

The files are for reading: a line `# +1.234s` says when a message came, lines end with LF. Here
they become what was on the wire.
"""

import re
from pathlib import Path

DATA = Path(__file__).parents[1] / "data"

PAUSE = "asterisk-22-callrec-pause-resume"
STAR = "asterisk-22-callrec-star"
TRANSFERS = "asterisk-22-callrec-transfers"
OURS = (PAUSE, STAR, TRANSFERS)


def messages(name: str) -> list[bytes]:
    """The messages of a capture, without the greeting and without their ends."""
    text = (DATA / f"{name}.ami").read_text(encoding="utf-8")
    blocks = re.split(r"^# \+.*\n", text, flags=re.MULTILINE)[1:]
    return [block.rstrip("\n").replace("\n", "\r\n").encode() for block in blocks]


def events_of(name: str, *kinds: str) -> list[bytes]:
    """The messages of a capture that are events of those kinds."""
    wanted = tuple(f"Event: {kind}\r\n".encode() for kind in kinds)
    return [message for message in messages(name) if message.startswith(wanted)]
