"""FreeSWITCH as the scenarios see it, by its events on the bed's own event socket."""

from __future__ import annotations

import contextlib
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from tests.bed.bed import Bed
from tests.bed.esl import Esl, Event
from tests.bed.far import FarEnd
from tests.bed.freeswitch_config import DOMAIN
from tests.bed.pbx_config import PbxOptions
from tests.bed.server import BedError
from tests.calls.pbx import Happening, House, Traits, What, Words

Said = Iterator[tuple[What, str, str]]
"""What happened, to which leg, and the detail."""

MUSIC = "local_stream://moh"

LINE = re.compile(r"sofia/internal/(?:desk)?(\d+)@")
"""The name of a line's leg: it has called, or is called at its desk."""

LOOPBACK = (
    "[absolute_codec_string=PCMU,loopback_export=absolute_codec_string,"
    "export_vars=absolute_codec_string]"
)
"""Else a loopback leg has the phone offered no codec but its own L16."""

REPORTS = {
    "callrec::unanswered": (What.UNANSWERED, ""),
    "callrec::consent": (What.CONSENT, "Callrec-Consent"),
    "callrec::profile": (What.PROFILE, "Callrec-Code"),
}
"""What an event of our scripts says, and which of its headers is the detail."""

ANY_NUMBER = """\
    <extension name="anything {prefix}">
      <condition field="destination_number" expression="(?s)^({prefix}.+)$">
        <action application="lua" data="callrec_offer.lua inbound {line} dialled"/>
        <action application="bridge" data="user/{line}@{domain}"/>
      </condition>
    </extension>
"""


class FreeSwitchHouse(House):
    """The test bed with a FreeSWITCH.

    Attributes:
        bed: The bed.
    """

    pbx = "freeswitch"
    traits = Traits(
        words=Words(
            start=rb"uuid_record \S+ start ",
            stop=rb"uuid_record \S+ stop ",
            started=rb'"Event-Name":\s*"RECORD_START"',
            joined=rb'"Event-Name":\s*"CHANNEL_BRIDGE"',
        ),
        # Its clock has steps of 20 ms, and so have its scripts.
        played_ms=60,
        # It writes when it reads a frame of the recorded leg's own. Source: FreeSWITCH 1.11,
        # switch_ivr_async.c, record_callback on a leg that only receives; observed.
        writes_on_hold=False,
        # They are all sent, on two clocks; see `one_clock`.
        all_digits=False,
        # Each packet that it reads is a frame, those of a digit are silent ones (observed).
        digit_ms=60,
        # No event says that a file is masked: the command's time stands for it.
        mark_ms=40,
        slice_bytes=5000,
        unwritable="pbx_refused",
        refused=("<script>", "%n%s"),
        # The quotes of a display name. Source: FreeSWITCH 1.11, sofia.c; observed.
        misread=('"',),
        expansion="%{",
        stereo_files=("wav",),
        # Its scheduler goes by whole seconds. Source: FreeSWITCH 1.11, mod_commands.c, sched_api.
        reminder_ms=1100,
        # There is no pickup group in its usual configuration.
        pickups=("8301",),
    )

    def __init__(self, options: PbxOptions | None = None) -> None:
        super().__init__()
        self.bed = Bed(options or PbxOptions(callrec=True), kind="freeswitch")
        self._pbx = self.bed.freeswitch
        self._esl: Esl | None = None
        self._place = 0
        self._messages = 0
        self._forget()

    def _forget(self) -> None:
        self._endpoints: dict[str, str] = {}
        self._pairs: dict[str, list[str]] = defaultdict(list)
        self._waiting: set[str] = set()
        self._tells: dict[str, str] = {}
        self._prompts: dict[str, str] = {}
        self._playing: dict[str, list[What]] = defaultdict(list)

    @property
    def far(self) -> FarEnd:
        return self.bed.far

    @property
    def dir(self) -> Path:
        return self.bed.dir

    @property
    def sounds(self) -> Path:
        return self._pbx.sounds / "callrec"

    @property
    def control_port(self) -> int:
        return self._pbx.esl_port

    @property
    def sip_port(self) -> int:
        return self.bed.ports.pbx_trunk

    @property
    def spools(self) -> tuple[Path, ...]:
        return (self._pbx.recordings,)

    def section(self) -> str:
        return (
            f'host = "127.0.0.1"\nport = {self.control_port}\ntrunks = ["trunk", "external"]\n'
            f'config_dir = "{self._pbx.etc}"\nscripts_dir = "{self._pbx.scripts}"\n'
            f'sounds_dir = "{self._pbx.sounds}"\npassword = "{self._pbx.esl_password}"\n'
        )

    def _read(self) -> None:
        with contextlib.suppress(BedError):  # it does not run
            if self._esl is not self.bed.esl:
                self._esl, self._place = self.bed.esl, 0
                self._forget()
        if self._esl is None:
            return
        new = self._esl.log[self._place :]
        self._place += len(new)
        for event in new:
            at_ms = int(event["Event-Date-Timestamp"] or 0) / 1000
            for what, leg, detail in self._said(event, event["Unique-ID"]):
                self._happenings.append(
                    Happening(
                        what,
                        leg,
                        self._endpoints.get(leg, ""),
                        at_ms,
                        detail,
                        event["Caller-Caller-ID-Number"],
                        event["Caller-Caller-ID-Name"],
                    )
                )

    def _said(self, event: Event, leg: str) -> Said:
        name = event.event
        if name in REPORTS:
            what, header = REPORTS[name]
            yield what, leg, event[header]
        if method := SPEAKERS.get(name):
            yield from method(self, event, leg)
        if leg in self._waiting and (
            name in ("callrec::unanswered", "PLAYBACK_START", "CHANNEL_HANGUP")
            or (name == "CHANNEL_EXECUTE_COMPLETE" and "callrec_offer" in event["Application-Data"])
        ):
            self._waiting.discard(leg)
            yield What.WENT_ON, leg, ""

    def _created(self, event: Event, leg: str) -> Said:
        name = event["Channel-Name"]
        found = LINE.match(name)
        self._endpoints[leg] = found[1] if found else "trunk" if "/external/" in name else name
        yield What.CREATED, leg, ""

    def _hung_up(self, _: Event, leg: str) -> Said:
        for place in self._pairs.pop(leg, []):
            yield What.LEFT, leg, place
        yield What.GONE, leg, ""

    def _bridged(self, event: Event, _: str) -> Said:
        legs = (event["Bridge-A-Unique-ID"], event["Bridge-B-Unique-ID"])
        place = " ".join(legs)
        for one in legs:
            # Who consults somebody has left the other one, who hears music, for a while.
            for other in self._pairs[one][-1:]:
                for left in other.split():
                    yield What.LEFT, left, other
            self._pairs[one].append(place)
        for one in legs:
            yield What.JOINED, one, place

    def _unbridged(self, event: Event, _: str) -> Said:
        legs = (event["Bridge-A-Unique-ID"], event["Bridge-B-Unique-ID"])
        place = " ".join(legs)
        back: list[str] = []
        for one in legs:
            if place in self._pairs.get(one, []):
                self._pairs[one].remove(place)
                back += self._pairs[one][-1:]
                yield What.LEFT, one, place
        for other in back:
            if all(other in self._pairs.get(one, []) for one in other.split()):
                for one in other.split():
                    yield What.JOINED, one, other

    def _played(self, event: Event, leg: str) -> Said:
        path = event["Playback-File-Path"]
        prompt = Path(path).stem
        if path == MUSIC:
            yield What.MUSIC, leg, ""
        elif not path.startswith(str(self.sounds)):
            return
        elif prompt == event["variable_callrec_prompt"]:
            mode = event["variable_callrec_ask"]
            yield What.ANNOUNCING if mode == "announce" else What.ASKING, leg, ""
        elif prompt == "whisper":
            yield What.WHISPERING, leg, ""
        elif prompt.startswith("profile_"):
            yield What.PROFILE_ANSWER, leg, ""

    def _play_over(self, event: Event, leg: str) -> Said:
        if event["Playback-File-Path"] == MUSIC:
            yield What.MUSIC_OVER, leg, ""

    def _records(self, event: Event, leg: str) -> Said:
        # A voicemail box and an administrator write elsewhere.
        if self._is_ours(event):
            yield What.STARTED, leg, ""
        elif str(self.bed.pbx.base / "storage") in event["Record-File-Path"]:
            self._messages += 1

    def _is_ours(self, event: Event) -> bool:
        return event["Record-File-Path"].startswith(f"{self.dir}/listener")

    def _record_over(self, event: Event, leg: str) -> Said:
        if self._is_ours(event):
            yield What.STOPPED, leg, ""

    def _held(self, event: Event, leg: str) -> Said:
        yield What.HELD if event["Event-Name"] == "CHANNEL_HOLD" else What.UNHELD, leg, ""

    def _digit(self, event: Event, leg: str) -> Said:
        yield What.DIGIT, leg, event["DTMF-Digit"]

    def _parked(self, event: Event, leg: str) -> Said:
        if event["Action"] == "hold":
            yield What.PARKED, leg, event["Valet-Extension"]

    def _executes(self, event: Event, leg: str) -> Said:
        if event["Application"] == "voicemail":
            yield What.VOICEMAIL, leg, ""

    def _offered(self, event: Event, leg: str) -> Said:
        self._waiting.add(leg)
        yield What.OFFERED, leg, event["Callrec-Offer"]

    def _key(self, event: Event, leg: str) -> Said:
        yield What.KEY, leg, event["Callrec-Key"]

    def _stopped_by_script(self, event: Event, leg: str) -> Said:
        yield What.STOPPED_BY_SCRIPT, leg, event["Callrec-Key"]
        yield What.KEY_OVER, leg, ""

    def _commanded(self, event: Event, _: str) -> Said:
        command, argument = event["API-Command"], event["API-Command-Argument"]
        leg, _, rest = argument.partition(" ")
        if command == "uuid_record":
            action = rest.partition(" ")[0]
            if action in ("mask", "unmask"):
                yield What.PAUSED if action == "mask" else What.RESUMED, leg, ""
        elif command == "global_setvar" and argument.startswith("callrec_heartbeat="):
            yield What.BEAT, "", ""
        elif command == "uuid_setvar_multi":
            yield from self._answered(leg, rest)
        elif command == "uuid_displace" and " " in rest:
            action, path = rest.split(" ")[:2]
            if action == "start":
                yield from self._displaced(leg, path)

    def _answered(self, leg: str, variables: str) -> Said:
        """The listener has answered a key; what is played now is its confirmation."""
        said = dict(pair.partition("=")[::2] for pair in variables.split(";"))
        if "callrec_key_result" not in said:
            return
        if prompt := said.get("callrec_key_prompt"):
            self._prompts[leg] = prompt
        if tell := said.get("callrec_tell"):
            self._tells[leg] = tell
        if not prompt and not tell:
            yield What.KEY_OVER, leg, ""

    def _displaced(self, leg: str, path: str) -> Said:
        if self._prompts.get(leg) == path and leg not in self._tells:
            del self._prompts[leg]
            self._playing[leg].append(What.KEY_OVER)
            return
        if self._tells.pop(leg, "") and leg not in self._prompts:
            self._playing[leg].append(What.KEY_OVER)
        self._playing[leg].append(What.TOLD)
        yield What.TELLING, leg, ""

    def _media_bug_over(self, event: Event, leg: str) -> Said:
        if event["Media-Bug-Function"] == "displace":
            for what in self._playing.pop(leg, []):
                yield what, leg, ""

    def messages_taken(self) -> int:
        self._read()
        return self._messages

    def log_tail(self) -> str:
        return self.bed.pbx.log_tail()

    def prepare(self) -> None:
        self.bed.prepare()

    async def start(self) -> None:
        await self.bed.start()

    async def stop(self) -> None:
        await self.bed.stop()

    async def quiet(self) -> None:
        await self.bed.quiet()

    def kill(self) -> None:
        self.bed.pbx.kill()

    async def restart(self) -> None:
        await self.bed.pbx.restart()

    async def set_heartbeat(self, seconds: int) -> None:
        await self.bed.esl.api(f"global_setvar callrec_heartbeat={seconds}")

    def one_clock(self) -> AbstractAsyncContextManager[None]:
        return self._one_clock()

    @asynccontextmanager
    async def _one_clock(self) -> AsyncIterator[None]:
        name = "rtp_rewrite_timestamps"
        await self.bed.esl.api(f"global_setvar {name}=true", check=True)
        try:
            yield
        finally:
            await self.bed.esl.api(f"global_setvar {name}=", check=True)

    def behind_dialplan(self, queue: str, line: str) -> AbstractAsyncContextManager[None]:
        return self._behind_dialplan(queue, line)

    @asynccontextmanager
    async def _behind_dialplan(self, queue: str, line: str) -> AsyncIterator[None]:
        esl, name, agent = self.bed.esl, f"{queue}@{DOMAIN}", f"loop{line}"
        listed = await esl.api(f"callcenter_config queue list agents {name}")
        usual = [row.partition("|")[0] for row in listed.splitlines() if DOMAIN in row]
        for member in usual:
            await esl.api(f"callcenter_config agent set status {member} 'On Break'")
        for command in (
            f"agent add {agent} callback",
            f"agent set contact {agent} {LOOPBACK}loopback/{line}/default",
            f"agent set status {agent} Available",
            f"tier add {name} {agent} 1 1",
        ):
            await esl.api(f"callcenter_config {command}", check=True)
        try:
            yield
        finally:
            await esl.api(f"callcenter_config tier del {name} {agent}")
            await esl.api(f"callcenter_config agent del {agent}")
            for member in usual:
                await esl.api(f"callcenter_config agent set status {member} Available")

    async def take_anything(self, extensions: str, line: str) -> None:
        path = self.bed.pbx.etc / "dialplan" / "public.xml"
        added = ANY_NUMBER.format(prefix=extensions, line=line, domain=DOMAIN)
        text = path.read_text()
        path.write_text(text.replace("  </context>", f"{added}  </context>", 1))
        await self.bed.reload()


SPEAKERS: dict[str, Callable[[FreeSwitchHouse, Event, str], Said]] = {
    "API": FreeSwitchHouse._commanded,
    "CHANNEL_BRIDGE": FreeSwitchHouse._bridged,
    "CHANNEL_CREATE": FreeSwitchHouse._created,
    "CHANNEL_EXECUTE": FreeSwitchHouse._executes,
    "CHANNEL_HANGUP_COMPLETE": FreeSwitchHouse._hung_up,
    "CHANNEL_HOLD": FreeSwitchHouse._held,
    "CHANNEL_UNBRIDGE": FreeSwitchHouse._unbridged,
    "CHANNEL_UNHOLD": FreeSwitchHouse._held,
    "DTMF": FreeSwitchHouse._digit,
    "MEDIA_BUG_STOP": FreeSwitchHouse._media_bug_over,
    "PLAYBACK_START": FreeSwitchHouse._played,
    "PLAYBACK_STOP": FreeSwitchHouse._play_over,
    "RECORD_START": FreeSwitchHouse._records,
    "RECORD_STOP": FreeSwitchHouse._record_over,
    "callrec::key": FreeSwitchHouse._key,
    "callrec::offer": FreeSwitchHouse._offered,
    "callrec::stopped": FreeSwitchHouse._stopped_by_script,
    "valet_parking::info": FreeSwitchHouse._parked,
}
