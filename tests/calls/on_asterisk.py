"""Asterisk as the scenarios see it, by its manager events."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from pathlib import Path

from tests.bed.ami import Ami, Message
from tests.bed.asterisk import BedError
from tests.bed.bed import Bed
from tests.bed.far import FarEnd
from tests.bed.pbx_config import PbxOptions
from tests.calls.pbx import Happening, House, Traits, What, Words

TELLERS = "Local/s@callrec-told-"
HELPERS = (TELLERS, "Local/hook@__func_periodic_hook")
"""How the names begin of channels that only play something into a conversation."""

TAKES_A_MESSAGE = "app_voicemail.c: Recording the message"
"""What Asterisk logs after the voicemail's tone."""

ANY_NUMBER = """
[from-trunk](+)
exten => _{prefix}X.,1,NoOp(anything)
 same => n,Gosub(callrec-offer,s,1(inbound,{line},${{EXTEN}},))
 same => n,Dial(PJSIP/{line},30,tkU(callrec-whisper))
 same => n,Hangup()
"""

SIMPLE = {
    "BridgeEnter": (What.JOINED, "BridgeUniqueid"),
    "BridgeLeave": (What.LEFT, "BridgeUniqueid"),
    "MixMonitorStart": (What.STARTED, ""),
    "MixMonitorStop": (What.STOPPED, ""),
    "Hold": (What.HELD, ""),
    "Unhold": (What.UNHELD, ""),
    "MusicOnHoldStart": (What.MUSIC, ""),
    "MusicOnHoldStop": (What.MUSIC_OVER, ""),
    "ParkedCall": (What.PARKED, "ParkingSpace"),
    "DTMFEnd": (What.DIGIT, "Digit"),
}
"""What an event says by its name, and which of its headers is the detail."""

REPORTS = {
    "CallrecOffer": (What.OFFERED, "Offer"),
    "CallrecUnanswered": (What.UNANSWERED, ""),
    "CallrecConsent": (What.CONSENT, "Consent"),
    "CallrecStopped": (What.STOPPED_BY_SCRIPT, "Key"),
    "CallrecProfile": (What.PROFILE, "Code"),
}
"""The same by the name of a user event."""

STEPS = {
    ("callrec-ask", "Playback"): What.ANNOUNCING,
    ("callrec-ask", "Read"): What.ASKING,
    ("callrec-whisper", "Playback"): What.WHISPERING,
    ("callrec-key", "Return"): What.KEY_OVER,
    ("callrec-profile", "Playback"): What.PROFILE_ANSWER,
}
"""What a step of our dialplan says, by context and application."""


class AsteriskHouse(House):
    """The test bed with two Asterisks.

    Attributes:
        bed: The bed.
    """

    pbx = "asterisk"
    traits = Traits(
        words=Words(
            start=rb"Action: MixMonitor\r\n",
            stop=rb"Action: StopMixMonitor\r\n",
            started=rb"Event: MixMonitorStart\r\n",
            joined=rb"Event: BridgeEnter\r\n",
        ),
        # It leaves the end of a WAV file out when it plays it.
        played_ms=50,
        # MixMonitor writes what comes from either side.
        writes_on_hold=True,
        all_digits=True,
        digit_ms=0,
        mark_ms=1,
        slice_bytes=200,
        # It says that it records, and there is no file.
        unwritable="no_audio",
        # MixMonitor's `D` writes no WAV files.
        stereo_files=("left.wav", "right.wav", "wav"),
    )

    def __init__(self, options: PbxOptions | None = None) -> None:
        super().__init__()
        self.bed = Bed(options or PbxOptions(callrec=True), kind="asterisk")
        self._pbx = self.bed.asterisk
        self._ami: Ami | None = None
        self._place = 0
        self._waiting: set[str] = set()
        self._half_told: set[str] = set()

    @property
    def far(self) -> FarEnd:
        return self.bed.far

    @property
    def dir(self) -> Path:
        return self.bed.dir

    @property
    def sounds(self) -> Path:
        return self._pbx.data / "sounds" / "callrec"

    @property
    def control_port(self) -> int:
        return self._pbx.ami_port

    @property
    def sip_port(self) -> int:
        return self.bed.ports.pbx_trunk

    @property
    def spools(self) -> tuple[Path, ...]:
        return (self._pbx.spool / "monitor",)

    def section(self) -> str:
        return (
            f'host = "127.0.0.1"\nport = {self.control_port}\n'
            f'trunks = ["trunk"]\nconfig_dir = "{self.bed.pbx.etc}"\n'
            f'data_dir = "{self._pbx.data}"\nsecret = "bed-secret-of-callrec"\n'
        )

    def _read(self) -> None:
        with contextlib.suppress(BedError):  # it does not run
            if self._ami is not self.bed.pbx_ami:
                self._ami, self._place = self.bed.pbx_ami, 0
                self._waiting.clear()
        if self._ami is None:
            return
        new = self._ami.log[self._place :]
        self._place += len(new)
        for message in new:
            leg = message["Uniqueid"] or message["ParkeeUniqueid"]
            at_ms = float(message["Timestamp"] or 0) * 1000
            for what, detail in self._said(message, leg):
                self._happenings.append(
                    Happening(
                        what,
                        leg,
                        message["Channel"].rpartition("-")[0].removeprefix("PJSIP/"),
                        at_ms,
                        detail,
                        message["CallerIDNum"],
                        message["CallerIDName"],
                    )
                )

    def _said(self, message: Message, leg: str) -> Iterator[tuple[What, str]]:
        name = message.event
        if name in ("Newchannel", "Hangup"):
            yield from self._came_or_went(message)
        elif name == "Newexten":
            yield from self._stepped(message, leg)
        elif name == "UserEvent" and message["UserEvent"] in REPORTS:
            what, header = REPORTS[message["UserEvent"]]
            if what is What.OFFERED:
                self._waiting.add(leg)
            yield what, message[header]
        elif name == "MixMonitorMute":
            yield What.PAUSED if message["State"] == "1" else What.RESUMED, ""
        elif name == "VarSet" and "CALLREC_HEARTBEAT" in message["Variable"]:
            yield What.BEAT, message["Value"]
        elif name in SIMPLE:
            what, header = SIMPLE[name]
            yield what, message[header]

    def _came_or_went(self, message: Message) -> Iterator[tuple[What, str]]:
        channel, came = message["Channel"], message.event == "Newchannel"
        if not channel.startswith(HELPERS):
            yield What.CREATED if came else What.GONE, ""
        elif channel.startswith(TELLERS):
            pair = channel.rpartition(";")[0]
            if came and channel.endswith(";1"):
                yield What.TELLING, ""
            elif not came and pair in self._half_told:
                yield What.TOLD, ""
            elif not came:
                self._half_told.add(pair)

    def _stepped(self, message: Message, leg: str) -> Iterator[tuple[What, str]]:
        context, application = message["Context"], message["Application"]
        if leg in self._waiting and (application == "Return" or context != "callrec-offer"):
            self._waiting.discard(leg)
            yield What.WENT_ON, ""
        if context == "callrec-key" and message["Priority"] == "1":
            yield What.KEY, ""
        if application == "VoiceMail":
            yield What.VOICEMAIL, ""
        if (context, application) in STEPS:
            yield STEPS[context, application], ""

    def messages_taken(self) -> int:
        return self.bed.pbx.log_text().count(TAKES_A_MESSAGE)

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
        await self.bed.pbx_ami.action("Setvar", Variable="CALLREC_HEARTBEAT", Value=str(seconds))

    def one_clock(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()  # as it is

    def behind_dialplan(self, queue: str, line: str) -> AbstractAsyncContextManager[None]:
        return self._behind_dialplan(queue, line)

    @asynccontextmanager
    async def _behind_dialplan(self, queue: str, line: str) -> AsyncIterator[None]:
        ami = self.bed.pbx_ami
        members = await self.bed.pbx.rx(f"queue show {queue}")
        usual = [word for word in members.replace("(", " ").split() if word.startswith("PJSIP/")]
        local = f"Local/{line}@from-internal"
        for member in usual:
            await ami.action("QueuePause", Queue=queue, Interface=member, Paused="true")
        await ami.action("QueueAdd", Queue=queue, Interface=local)
        try:
            yield
        finally:
            await ami.action("QueueRemove", Queue=queue, Interface=local)
            for member in usual:
                await ami.action("QueuePause", Queue=queue, Interface=member, Paused="false")

    async def take_anything(self, extensions: str, line: str) -> None:
        with (self.bed.pbx.etc / "extensions.conf").open("a") as file:
            file.write(ANY_NUMBER.format(prefix=extensions, line=line))
        await self.bed.pbx.rx("dialplan reload")
