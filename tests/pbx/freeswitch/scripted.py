"""A FreeSWITCH that answers API commands from what it is said to have, and notes them."""

import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import cast

from callrec_pbx.domain.events import Event
from callrec_pbx.pbx.errors import ActionFailedError
from callrec_pbx.pbx.freeswitch.adapter import FreeSwitch
from callrec_pbx.pbx.freeswitch.link import EslLink, Message, OnMessages
from tests.pbx.freeswitch.captured import messages

SOUNDS = Path("/usr/share/freeswitch/sounds/callrec")

CALLER, AGENT = (dump["Unique-ID"] for dump in messages("dump"))
"""The legs of the conversation that it has, of which the agent's is recorded."""

FILE = "/var/spool/callrec/ours.wav"
RECORDING = "01m7zm3355c35ecw1b5p73ne0b"

BUGS = """<media-bugs>
 <media-bug>
  <function>session_record</function>
  <target>{path}</target>
  <thread-locked>0</thread-locked>
 </media-bug>
</media-bugs>"""

Answer = str | Exception | Callable[[], str]


class Pbx:
    """What it has and says.

    Attributes:
        dumps: Its channels, by leg, as `uuid_dump` tells of them; text is given as it is.
        bugs: The file that is written of each leg.
        count: How many channels it counts; None: those that it lists.
        answers: What else it says, by the beginning of a command; the longest one counts.
        asked: The commands, in order.
        fired: The events that were raised, in order.
        during: Called with each command before it is answered.
    """

    def __init__(self) -> None:
        self.dumps: dict[str, Message | str] = {m["Unique-ID"]: m for m in messages("dump")}
        self.bugs = {AGENT: FILE}
        self.ahead_s = 0.0
        self.count: int | None = None
        self.answers: dict[str, Answer] = {"uptime us": "520799946"}
        self.asked: list[str] = []
        self.fired: list[str] = []
        self.during: Callable[[str], None] = lambda _: None
        self._tasks = 0

    def api(self, command: str) -> str:
        """Answer a command."""
        self.asked.append(command)
        self.during(command)
        given = [start for start in self.answers if command.startswith(start)]
        if given:
            answer = self.answers[max(given, key=len)]
            if isinstance(answer, Exception):
                raise answer
            return answer if isinstance(answer, str) else answer()
        name, _, rest = command.partition(" ")
        leg = rest.partition(" ")[0]
        if name == "strmicroepoch":
            return str(round((time.time() + self.ahead_s) * 1_000_000))
        if command == "show channels as json":
            rows = [{"uuid": uuid} for uuid in self.dumps]
            return json.dumps({"row_count": len(rows), **({"rows": rows} if rows else {})})
        if name == "json":
            count = len(self.dumps) if self.count is None else self.count
            return json.dumps({"response": {"sessions": {"count": {"active": count}}}})
        if name == "sched_api":
            self._tasks += 1
            return f"+OK Added: {self._tasks}"
        if name.startswith("uuid_") and leg not in self.dumps:
            raise ActionFailedError("-ERR No such channel!\n-USAGE: <uuid>")
        if name == "uuid_dump":
            dump = self.dumps[leg]
            return dump if isinstance(dump, str) else json.dumps(dump)
        if name == "uuid_buglist":
            return BUGS.format(path=self.bugs.get(leg, ""))
        if name == "uuid_getvar":
            dump = self.dumps[leg]
            assert isinstance(dump, dict)
            return dump.get(f"variable_{rest.split()[1]}", "_undef_")
        return "+OK Success"


class _Link:
    """The link of the adapter to it."""

    def __init__(self, pbx: Pbx, take: OnMessages) -> None:
        self.pbx, self.take, self.closed = pbx, take, False

    async def connect(self) -> None:
        pass

    async def api(self, command: str, timeout_s: float | None = None) -> str:
        del timeout_s
        return self.pbx.api(command)

    async def fire(self, event: str) -> None:
        self.pbx.fired.append(event)

    async def wait_lost(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True


class Connected:
    """The adapter, connected to it.

    Attributes:
        heard: The events that the adapter has given.
    """

    def __init__(self, pbx: Pbx, trunks: tuple[str, ...]) -> None:
        self.pbx = pbx
        self.heard: list[Event] = []
        self._links: list[_Link] = []
        self.adapter = FreeSwitch(self._make, trunks, SOUNDS, self.heard.extend)

    def _make(self, take: OnMessages) -> EslLink:
        self._links.append(_Link(self.pbx, take))
        return cast(EslLink, self._links[-1])

    @property
    def closed(self) -> bool:
        """Whether the adapter has dropped its connection."""
        return self._links[-1].closed

    def send(self, *sent: Message) -> None:
        """Have events come."""
        self._links[-1].take(list(sent))


@asynccontextmanager
async def connected(pbx: Pbx, *trunks: str) -> AsyncIterator[Connected]:
    """An adapter that is connected to it."""
    found = Connected(pbx, trunks)
    await found.adapter.connect()
    pbx.asked.clear()
    yield found
