"""Asterisk's clock: that of its machine, which may be another one than ours."""

import re
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

EXPRESSION = "STRFTIME(,,%s.%3q)"
"""The time in seconds since the epoch, to the millisecond. Source: `core show function STRFTIME`;
Asterisk 22.10 answers `1795253426.118`."""

STEP_S = 0.001
"""What is cut off the answer at the most."""

_SECONDS = re.compile(r"[0-9]{1,11}(\.[0-9]+)?")


class Clock:
    """The time as Asterisk sees it; the machine's own until it was asked.

    It is kept as the distance from the machine's clock, the least that the answer allows for: where
    both are the same, they stay so however slow the answer was, and when they are set anew.
    """

    def __init__(self) -> None:
        self._ahead_s = 0.0

    def now(self) -> datetime:
        """The time now."""
        return datetime.fromtimestamp(self.now_s(), UTC)

    def now_s(self) -> float:
        """The time now, in seconds since the epoch."""
        return time.time() + self._ahead_s

    async def learn(self, value_of: Callable[[str], Awaitable[str]]) -> None:
        """Ask; an answer that is none changes nothing. Raises what the question raises."""
        asked = time.time()
        answer = await value_of(EXPRESSION)
        answered = time.time()
        if _SECONDS.fullmatch(answer):
            least, most = float(answer) - answered, float(answer) + STEP_S - asked
            self._ahead_s = max(least, min(most, 0.0))
