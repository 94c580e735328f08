"""The recordings that run, one a leg, and the tone that reminds of them.

The tone is a task of FreeSWITCH's own, so that it goes on when the listener dies. There are two:
one for the leg, and one for whomever that leg talks with at that moment. Both belong to the leg's
group, which FreeSWITCH deletes with the leg.

Source: FreeSWITCH 1.11.1, mod_commands.c `sched_api`; switch_core_session.c
`switch_core_session_perform_destroy` (`switch_scheduler_del_task_group`); measured.
"""

import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass

import structlog

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import Channels
from callrec_pbx.pbx.errors import ActionFailedError, PbxError
from callrec_pbx.pbx.freeswitch import commands

log = structlog.get_logger(__name__)

TONE = "tone_stream://v=-17;%(250,0,1400)"
"""A quarter of a second of 1400 Hz, soft enough to talk on.

Source: 47 CFR 64.501 names that frequency for the tone of a recorded call.
"""

TASKS = "callrec_reminder_tasks"
"""Variable of a leg: the numbers of the tasks that play the tone, for scripts and for a restart."""

NO_LEG = "no such channel"
"""How it is said that a leg has hung up, whichever words FreeSWITCH has for it."""

_ADDED = re.compile(r"\+OK Added: (\d{1,10})")

Api = Callable[[str], Awaitable[str]]


@dataclass(slots=True)
class Running:
    """One recording on a leg.

    Attributes:
        tasks: The numbers of the tasks that play the reminder tone.
    """

    recording_id: str
    path: str
    reminder_s: int = 0
    tasks: tuple[str, ...] = ()


class Recorders:
    """Starts and steers recordings.

    Args:
        api: Runs an API command.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._running: dict[str, Running] = {}

    def adopt(self, leg: str, running: Running) -> None:
        """Take over what an earlier connection has started."""
        self._running.setdefault(leg, running)

    def gone(self, leg: str) -> None:
        """The leg has hung up, and everything on it went too."""
        self._running.pop(leg, None)

    async def start(self, recording: RecordingFacts, path: str, reminder_s: int) -> None:
        """Begin to write a leg's audio.

        Starting one path twice would be answered like a success, and told of by no event: it is
        refused here.
        """
        leg = recording.leg
        known = self._running.get(leg)
        if known is not None and known.path == path:
            raise ActionFailedError("that file has been written before")
        command = commands.start(leg, path, stereo=recording.channels is Channels.STEREO)
        if known is not None:
            await self._end_tone(leg, known)
        # Known before it is asked for: an answer may be lost.
        running = Running(recording.recording_id, path, reminder_s)
        self._running[leg] = running
        try:
            await self._api(commands.tag(leg, recording.recording_id, path, reminder_s))
            await self._begin(leg, command)
        except ActionFailedError as error:
            if str(error).startswith(NO_LEG):
                self.gone(leg)  # its event may come later: nothing is to be stopped on it
            raise
        await self._begin_tone(leg, running, at_once=True)

    async def _begin(self, leg: str, command: str) -> None:
        """What FreeSWITCH says of a leg that is hanging up does not say so: it is asked."""
        try:
            await self._api(command)
        except ActionFailedError as error:
            if await self._api(f"uuid_exists {leg}") == "false":
                raise ActionFailedError(f"{NO_LEG}: {error}") from None
            raise

    async def pause(self, recording: RecordingFacts) -> None:
        """Write silence, and remind of nothing, until resumed."""
        running = self._of(recording)
        await self._api(commands.record(recording.leg, "mask", running.path))
        await self._end_tone(recording.leg, running)

    async def resume(self, recording: RecordingFacts) -> None:
        """Go on writing."""
        running = self._of(recording)
        await self._api(commands.record(recording.leg, "unmask", running.path))
        await self._begin_tone(recording.leg, running)

    async def stop(self, recording: RecordingFacts) -> None:
        """Close the file."""
        running = self._of(recording)
        await self._end_tone(recording.leg, running)
        await self._api(commands.record(recording.leg, "stop", running.path))

    def _of(self, recording: RecordingFacts) -> Running:
        running = self._running.get(recording.leg)
        if running is None or running.recording_id != recording.recording_id:
            raise ActionFailedError("no recording of ours by that id is known on that leg")
        return running

    async def _begin_tone(self, leg: str, running: Running, *, at_once: bool = False) -> None:
        """A recording is not given up for want of its tone, but that is said."""
        if not running.reminder_s or running.tasks:
            return
        tones = (
            f"uuid_displace {leg} start {TONE} 0 m",
            f"expand uuid:{leg} uuid_displace ${{variable_bridge_to}} start {TONE} 0 m",
        )
        try:
            for tone in tones:
                if at_once:
                    await self._api(tone)
                added = _ADDED.match(
                    await self._api(f"sched_api @{running.reminder_s} {leg} {tone}")
                )
                running.tasks += (added[1],) if added else ()
            await self._api(commands.set_all(leg, {TASKS: " ".join(running.tasks)}))
        except ActionFailedError as error:
            log.warning("reminder_not_begun", leg=leg, reason=str(error))

    async def _end_tone(self, leg: str, running: Running) -> None:
        """Nothing that is in the way of it may keep a recording from being stopped."""
        tasks, running.tasks = running.tasks, ()
        if not tasks:
            return
        with suppress(PbxError):
            for task in tasks:
                await self._api(f"sched_del {task}")
            await self._api(commands.set_all(leg, {TASKS: ""}))
