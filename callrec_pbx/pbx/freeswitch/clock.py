"""FreeSWITCH's clock: it runs by itself, and may be apart from the machine's."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

Api = Callable[[str], Awaitable[str]]

MICROS = 1_000_000


class Clock:
    """The time as FreeSWITCH sees it; the machine's own until it was asked.

    Source: FreeSWITCH 1.11.1, switch_time.c: its clock is set at the start and by `fsctl
    sync_clock`, and runs on between.
    """

    def __init__(self) -> None:
        self._ahead_s = time.time() - time.monotonic()

    def now(self) -> datetime:
        """The time now."""
        return datetime.fromtimestamp(self.now_s(), UTC)

    def now_s(self) -> float:
        """The time now, in seconds since the epoch."""
        return time.monotonic() + self._ahead_s

    async def learn(self, api: Api) -> None:
        """Ask; an answer that is none changes nothing. Raises what the question raises."""
        asked = time.monotonic()
        answer = await api("strmicroepoch")
        answered = time.monotonic()
        if answer.isdecimal():
            self._ahead_s = int(answer) / MICROS - (asked + answered) / 2
