"""RTP ports of a bed that no other running bed has."""

import fcntl
import random
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

FIRST, LAST = 10_000, 32_000
"""Below the ports that the machine gives to whoever asks for any."""


@dataclass(frozen=True, slots=True)
class RtpRange:
    """A range of ports, for as long as its lock is held; that goes with the process too.

    FreeSWITCH ends a call whose port somebody else has; Asterisk takes the next one.
    """

    first: int
    lock: TextIO

    def release(self) -> None:
        """Let others have it; safe to repeat."""
        self.lock.close()


def claim(count: int) -> RtpRange:
    """Take a range of that many ports, an even number.

    Raises:
        OSError: All are taken.
    """
    starts = list(range(FIRST, LAST - count + 1, count))
    random.shuffle(starts)
    for first in starts:
        lock = Path(tempfile.gettempdir(), f"callrec-rtp-{first}.lock").open("a")  # noqa: SIM115
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
            continue
        return RtpRange(first, lock)
    raise OSError(f"all RTP ports from {FIRST} to {LAST} are taken by other test beds")
