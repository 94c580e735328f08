"""Threads in the listener's process that carry the follow-up work out, behind everything else."""

import os
import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import replace

import structlog
from sqlalchemy import Engine

from callrec_pbx.catalogue.amend import NotSettledError, Place, amend
from callrec_pbx.config import Config
from callrec_pbx.domain.words import FollowUp
from callrec_pbx.followup import waiting
from callrec_pbx.followup.steps import StoppedError, Work
from callrec_pbx.followup.tries import Came, carry_out
from callrec_pbx.storage import naming
from callrec_pbx.storage.store import RecordingStore

POLL_S = 2.0
"""Between looks for work that nobody has told of."""
AGAIN_S = 60.0
"""How long a recording rests after a try that failed."""
NO_ROOM_S = 60.0
"""How long everything rests when there is no room."""
PASSED_OVER = 5
"""How often others come first then."""
OUTAGE_S = 10.0
"""How long everything rests when the catalogue is not to be had."""
HOLDS_S = 24 * 3600.0
"""Between looks for WAV files that were kept for a legal hold."""
AT_ONCE = 50
"""How many rows are taken from the catalogue at once."""
NICE = 10
"""The threads' own priority; the event loop keeps the process's."""

log = structlog.get_logger(__name__)


def work_of(config: Config, engine: Engine, store: RecordingStore) -> Work:
    """Where and how the steps work, as the configuration says."""
    on_disk = config.names.on_disk
    return Work(
        Place(engine, store),
        naming.Names(naming.parse(on_disk), naming.zone(config.names.zone)) if on_disk else None,
        config.recordings.min_free_mb << 20,
    )


class FollowUpRunner:
    """Takes recordings with work to do, oldest first, and does it."""

    def __init__(
        self, work: Work, threads: int, *, poll_s: float = POLL_S, again_s: float = AGAIN_S
    ) -> None:
        """Prepare it; nothing runs yet.

        Args:
            work: Where and how.
            threads: How many recordings are worked on at once; 0 leaves them to other runners.
            poll_s: Seconds between looks for work.
            again_s: Seconds after which a recording that failed is tried again.
        """
        self._work = replace(work, tick=self._tick)
        self._poll_s = poll_s
        self._again_s = again_s
        self._changed = threading.Condition()
        self._filling = threading.Lock()
        self._stopping = False
        self._woken = False
        self._next: deque[str] = deque()
        self._in_hand: set[str] = set()
        self._rests: dict[str, float] = {}
        self._rest_until = 0.0
        self._holds_at = 0.0
        self._holds: tuple[frozenset[str], int] = (frozenset(), 0)
        self._threads = [
            threading.Thread(target=self._run, name=f"follow-up-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begin to work."""
        for thread in self._threads:
            thread.start()

    def wake(self) -> None:
        """Look for work now; from any thread."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def stop(self, timeout_s: float = 10.0) -> None:
        """End; what is under way is given up between two blocks, and begun anew by the next."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(timeout_s)

    def _tick(self) -> None:
        if self._stopping:
            raise StoppedError("the runner is stopping")

    def _run(self) -> None:
        with suppress(OSError):
            # On Linux this is the thread's alone. Source: setpriority(2), "C library/kernel
            # differences".
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICE)
        while not self._stopping:
            try:
                recording_id = self._take()
                if recording_id is not None:
                    self._do(recording_id)
            except Exception as error:
                log.exception("follow_up_not_possible", reason=str(error), again_in_s=OUTAGE_S)
                self._rest(OUTAGE_S)

    def _do(self, recording_id: str) -> None:
        try:
            self._note(recording_id, carry_out(self._work, recording_id))
        finally:
            with self._changed:
                self._in_hand.discard(recording_id)

    def _note(self, recording_id: str, came: Came) -> None:
        """Let it rest, where it did not come to its end."""
        if came is Came.NO_ROOM:
            # Others may need less.
            self._put_off(recording_id, PASSED_OVER * NO_ROOM_S)
            self._rest(NO_ROOM_S)
        elif came in (Came.FAILED, Came.PUT_OFF):
            self._put_off(recording_id, self._again_s)
        elif came in (Came.BUSY, Came.GONE):
            self._put_off(recording_id, self._poll_s)

    def _take(self) -> str | None:
        """The next recording to work on; waits where there is none, and then returns None."""
        with self._changed:
            left_s = self._rest_until - time.monotonic()
            if left_s > 0:
                self._changed.wait_for(lambda: self._stopping, left_s)
                return None
            if self._next:
                found = self._next.popleft()
                self._in_hand.add(found)
                return found
            self._woken = False
        if not self._fill():
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._woken, self._poll_s)
        return None

    def _fill(self) -> bool:
        """Look into the catalogue; whether there is work. Nobody who wakes us waits for that."""
        with self._filling:
            if self._next:
                return True
            now = time.monotonic()
            self._look_at_holds(now)
            with self._changed:
                self._rests = {one: until for one, until in self._rests.items() if until > now}
                skipped = self._rests.keys() | self._in_hand
            engine = self._work.place.engine
            found = waiting.waiting(engine, AT_ONCE + len(skipped))
            # What killed a process in its last try is set aside with a reason.
            found += [facts.recording_id for facts in waiting.killed(engine)]
            with self._changed:
                self._next.extend(one for one in found if one not in skipped)
                return bool(self._next)

    def _look_at_holds(self, now: float) -> None:
        """Have WAV files replaced that were kept for a legal hold which is released now."""
        holds = self._work.place.store.holds
        placed = holds.all()
        seen = (frozenset(hold.hold_id for hold in placed if hold.active), len(holds.broken()))
        if now < self._holds_at and seen == self._holds:
            return
        self._holds_at, self._holds = now + HOLDS_S, seen
        if placed:
            replace_released(self._work)

    def _put_off(self, recording_id: str, seconds: float) -> None:
        with self._changed:
            self._rests[recording_id] = time.monotonic() + seconds

    def _rest(self, seconds: float) -> None:
        with self._changed:
            self._rest_until = time.monotonic() + seconds
            self._next.clear()


def replace_released(work: Work) -> int:
    """Note again what is to be encoded and replaced, where a legal hold is no longer in the way.

    Returns:
        How many recordings.
    """
    place = work.place
    count, after = 0, None
    while found := waiting.kept_for_a_hold(place.engine, after, AT_ONCE):
        for facts in found:
            if not place.store.held(facts):
                with suppress(NotSettledError):
                    amend(
                        place,
                        facts.recording_id,
                        lambda now: replace(now, to_do=(FollowUp.ENCODE, *now.to_do)),
                    )
                    count += 1
        after = (found[-1].created_at, found[-1].recording_id)
    return count
