"""The far end: a second Asterisk that is the phones, the outside callers and the called."""

# ruff: noqa: ASYNC109 - a deadline is part of what a test says

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.bed.ami import Ami, AmiError, Message, event
from tests.bed.asterisk import AMI_SECRET, AMI_USER, AsteriskServer, BedError
from tests.bed.pbx_config import LINES, PBX_HOST, PHONES_HOST, TRUNK_HOST, Ports, password

DIGIT_MS = 100
"""Length of a pressed key, in ms."""

GAP_MS = 60
"""Pause between two pressed keys, in ms."""

DIAL_S = 120
"""How long a phone rings the other side before it gives up."""

CLOSE_S = 5.0
"""Longest time until a heard file is closed after the hangup."""

# In a pattern, the letters N, X and Z (of either case) stand for digits. `up` runs once the call
# is up, whoever called; a tone of 0 Hz is silence as real phones send it, packets all the time.
_EXTENSIONS = """[general]
static = yes
writeprotect = yes

[from-pbx]
exten => _desk3XX,1,UserEvent(FarRinging,To: line ${EXTEN:4})
 same => n,Ringing()
 same => n,GotoIf($["${FAR_ANSWER}" != ""]?far,pick${FAR_ANSWER},1)
 same => n,Wait(3600)
exten => _[+0-9].,1,UserEvent(FarRinging,To: trunk ${EXTEN})
 same => n,Ringing()
 same => n,Wait(3600)

[far]
exten => _pickX.,1,Answer(0,i)
 same => n,Goto(up${EXTEN:4},1)
exten => _upX.,1,UserEvent(FarUp)
 same => n,Goto(talk${EXTEN:2},1)
exten => _talkX.,1,PlayTones(${EXTEN:4})
 same => n,UserEvent(FarTalk,Hz: ${EXTEN:4})
 same => n,Wait(36000)
exten => refer,1,Transfer(PJSIP/${FAR_REFER})
 same => n,UserEvent(FarTransfer,Status: ${TRANSFERSTATUS})
 same => n,GotoIf($["${TRANSFERSTATUS}" != "SUCCESS"]?talk00,1)
 same => n,Hangup()
exten => hold,1,UserEvent(FarHold)
 same => n,BridgeWait(hold${UNIQUEID},participant,e(h))

[far-identity]
exten => s,1,Set(CONNECTEDLINE(num,i)=${URIDECODE(${ARG1})})
 same => n,Set(CONNECTEDLINE(name,i)=${URIDECODE(${ARG2})})
 same => n,Set(CONNECTEDLINE(num-pres)=allowed)
 same => n,GotoIf($["${ARG3}" = ""]?done)
 same => n,MixMonitor(,r(${URIDECODE(${ARG3})}))
 same => n(done),Return()
"""


def config_files(ports: Ports, codecs: str) -> dict[str, str]:
    """Return the far end's configuration, file name to text."""
    common = (
        f"type = endpoint\ncontext = from-pbx\ndisallow = all\nallow = {codecs}\n"
        "direct_media = no\nrtp_symmetric = yes\ndtmf_mode = rfc4733\n"
        "moh_passthrough = yes\nallow_transfer = yes\n"
        "trust_id_inbound = yes\ntrust_id_outbound = yes\n"
        f"media_address = {PHONES_HOST}\nbind_rtp_to_media_address = yes\n"
    )
    pjsip = (
        "[global]\ntype = global\nendpoint_identifier_order = ip,username\n"
        "user_agent = far end\n\n"
        f"[phones]\ntype = transport\nprotocol = udp\nbind = {PHONES_HOST}:{ports.phones}\n\n"
        f"[outside]\ntype = transport\nprotocol = udp\nbind = {TRUNK_HOST}:{ports.trunk}\n\n"
        f"[pbx]\n{common}\n[pbx]\ntype = identify\nendpoint = pbx\nmatch = {PBX_HOST}\n\n"
        f"[outside]\n{common}transport = outside\n"
    )
    for line in LINES:
        pjsip += (
            f"\n[line{line}]\n{common}transport = phones\nfrom_user = {line}\n"
            f"outbound_auth = line{line}\n\n[line{line}]\ntype = auth\n"
            f"username = {line}\npassword = {password(line)}\n"
        )
    return {
        "pjsip.conf": pjsip,
        "extensions.conf": _EXTENSIONS,
        "rtp.conf": (
            f"[general]\nrtpstart = {ports.far_rtp[0]}\nrtpend = {ports.far_rtp[1]}\n"
            "icesupport = no\nstrictrtp = no\n"
        ),
        "features.conf": "[general]\n",
        "musiconhold.conf": "[general]\n",
        "res_parking.conf": "[general]\n",
        "queues.conf": "[general]\n",
    }


class Phone:
    """One call of one phone, or of a party outside.

    Attributes:
        far: The far end.
        uniqueid: The far end's own id of the leg.
        channel: The far end's name of the leg.
        number: What this phone displays as the other party's number (of an incoming call).
        name: What it displays as the other party's name (of an incoming call).
    """

    def __init__(self, far: FarEnd, born: Message, mark: int) -> None:
        self.far = far
        self.uniqueid = born["Uniqueid"]
        self.channel = born["Channel"]
        self.number = born["CallerIDNum"]
        self.name = born["CallerIDName"]
        self._mark = mark
        self._hz = 0
        self._heard: Path | None = None

    def _mine(self, name: str, **headers: str) -> Message | None:
        wanted = event(name, Uniqueid=self.uniqueid, **headers)
        return next((m for m in self.far.ami.since(self._mark) if wanted(m)), None)

    def _user_event(self, name: str) -> Message | None:
        return self._mine("UserEvent", UserEvent=name)

    @property
    def is_up(self) -> bool:
        """Whether the call was answered and is not over."""
        return self._user_event("FarUp") is not None and not self.is_over

    @property
    def is_over(self) -> bool:
        """Whether the call has ended."""
        return self._mine("Hangup") is not None

    @property
    def digits(self) -> str:
        """The keys this phone has received from the other side so far, each once it is released.

        Asterisk holds a key back that begins less than 45 ms after the end of the one before, and
        then reports its end again, but not its beginning. Within half a second after a key of this
        phone's own it takes beginnings for an echo, and reports ends alone.
        Source: Asterisk 22, main/channel.c `__ast_read`, `queue_dtmf_readq`, AST_MIN_DTMF_GAP;
        res/res_rtp_asterisk.c `create_dtmf_frame`.
        """
        keys = held = ""
        for m in self.far.ami.since(self._mark):
            if m["Uniqueid"] != self.uniqueid or m["Direction"] != "Received":
                continue
            key = m["Digit"]
            if m.event == "DTMFBegin":
                held += key
            elif m.event == "DTMFEnd" and held.startswith(key):
                held = held[1:]
                keys += key
            elif m.event == "DTMFEnd" and not held and not keys.endswith(key):
                keys += key
        return keys

    async def _wait(self, name: str, timeout: float, since: int | None = None) -> Message:
        """Wait for a user event of this leg; a hangup in its place is an error."""
        message = await self.far.ami.wait_for(
            lambda m: (
                m["Uniqueid"] == self.uniqueid
                and (m.event == "Hangup" or (m.event == "UserEvent" and m["UserEvent"] == name))
            ),
            timeout,
            since=self._mark if since is None else since,
        )
        if message.event == "Hangup":
            raise BedError(
                f"{self.channel} ended (cause {message['Cause']} {message['Cause-txt']}) "
                f"while waiting for {name}"
            )
        return message

    async def _go(self, extension: str) -> int:
        mark = self.far.ami.mark()
        await self.far.ami.action(
            "Redirect", Channel=self.channel, Context="far", Exten=extension, Priority="1"
        )
        return mark

    async def answer(self, hz: int = 0) -> Phone:
        """Answer a ringing phone, talking with that tone (0: silence); return when it is up."""
        self._hz = hz
        await self._go(f"pick{hz:02}")
        await self._wait("FarUp", 5)
        return self

    async def wait_up(self, timeout: float = 15) -> Phone:
        """Return when the other side has answered.

        Raises:
            BedError: The call ended instead.
        """
        await self._wait("FarUp", timeout)
        return self

    async def talk(self, hz: int) -> Message:
        """Talk from now on with a tone of that frequency in Hz; return when it sounds."""
        self._hz = hz
        mark = await self._go(f"talk{hz:02}")
        return await self._wait("FarTalk", 5, since=mark)

    async def silent(self) -> Message:
        """Send silence from now on."""
        return await self.talk(0)

    async def press(self, digits: str, digit_ms: int = DIGIT_MS, gap_ms: int = GAP_MS) -> None:
        """Press keys one after the other (RFC 4733); return when the last one is released."""
        await self.far.press(self.channel, digits, digit_ms, gap_ms)

    async def wait_digits(self, digits: str, timeout: float = 5) -> None:
        """Return when this phone has received these keys (and no others before them)."""
        try:
            if self.digits != digits:
                await self.far.ami.wait_for(lambda _: self.digits.startswith(digits), timeout)
        except AmiError as error:
            error.add_note(f"{self.channel} received {self.digits!r} in place of {digits!r}")
            raise

    async def hear(self, path: Path) -> None:
        """Write what this phone hears from now on to a WAV file; see `heard`."""
        self._heard = path
        await self.far.ami.action("MixMonitor", Channel=self.channel, File="", Options=f"r({path})")

    async def heard(self) -> Path:
        """Stop hearing, wait until the file is complete, and return it."""
        if self._heard is None:
            raise BedError(f"{self.channel}: nothing is being heard; call hear() first")
        if not self.is_over:
            await self.far.ami.action("StopMixMonitor", Channel=self.channel, check=False)
        await self.far.server.wait_closed(self._heard, CLOSE_S)
        return self._heard

    async def blind_transfer(self, extension: str) -> str:
        """Transfer the other side to `extension` by REFER; return the transfer status."""
        return await self._refer(self._uri(extension))

    def _uri(self, extension: str) -> str:
        return self.far.uri(extension, outside=self.channel.startswith("PJSIP/outside-"))

    async def attended_transfer(self, consultation: Phone) -> str:
        """Join the other sides of this call and of `consultation` by REFER with Replaces."""
        ask = consultation.far.channel_value
        call_id = await ask(consultation.channel, "CHANNEL(pjsip,call-id)")
        local = await ask(consultation.channel, "CHANNEL(pjsip,local_tag)")
        remote = await ask(consultation.channel, "CHANNEL(pjsip,remote_tag)")
        target = await ask(consultation.channel, "CHANNEL(pjsip,remote_uri)")
        user = target.partition("sip:")[2].partition("@")[0]
        replaces = quote(f"{call_id};to-tag={remote};from-tag={local}", safe="")
        return await self._refer(f"<{self._uri(user)}?Replaces={replaces}>")

    async def _refer(self, target: str) -> str:
        await self.far.ami.action(
            "Setvar", Channel=self.channel, Variable="FAR_REFER", Value=target
        )
        mark = await self._go("refer")
        message = await self.far.ami.wait_for(
            lambda m: (
                m["Uniqueid"] == self.uniqueid
                and (m.event == "Hangup" or m["UserEvent"] == "FarTransfer")
            ),
            10,
            since=mark,
        )
        return message["Status"] or "SUCCESS"

    async def hold(self) -> None:
        """Put the other side on hold (re-INVITE `sendonly`)."""
        mark = await self._go("hold")
        await self._wait("FarHold", 5, since=mark)

    async def unhold(self) -> None:
        """Take the other side back, talking as before the hold."""
        await self.talk(self._hz)

    async def hangup(self) -> None:
        """Hang up; return when the leg is gone."""
        if not self.is_over:
            await self.far.ami.action("Hangup", Channel=self.channel, Cause="16", check=False)
        await self.wait_hangup(5)

    async def wait_hangup(self, timeout: float = 15) -> Message:
        """Return the hangup of this leg, from whichever side."""
        return await self.far.ami.wait_for(
            event("Hangup", Uniqueid=self.uniqueid), timeout, since=self._mark
        )


class FarEnd:
    """Phones 301 to 306 and everybody beyond the trunk, driven over AMI.

    Attributes:
        server: The far end's Asterisk.
        ports: The bed's ports.
    """

    def __init__(self, server: AsteriskServer, ports: Ports) -> None:
        self.server = server
        self.ports = ports
        self._ids = itertools.count(1)
        self._claimed: set[str] = set()
        self._keys: Ami | None = None
        self._pressing = asyncio.Lock()
        self._dialling: set[asyncio.Task[None]] = set()

    @property
    def ami(self) -> Ami:
        """The AMI connection to the far end."""
        return self.server.ami

    async def start(self) -> None:
        """Start the Asterisk, with a second connection for keys, which block theirs."""
        await self.server.start()
        self._keys = await Ami.connect(self.server.ami_port, AMI_USER, AMI_SECRET, events=False)

    async def stop(self) -> None:
        """Stop the Asterisk."""
        for task in list(self._dialling):
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        if self._keys is not None:
            await self._keys.close()
        await self.server.stop()

    def uri(self, extension: str, outside: bool = False) -> str:
        """Return the SIP URI of an extension on the PBX, for a phone or for one outside."""
        user = quote(extension.encode("utf-8", "surrogateescape"), safe="+*#")
        return f"sip:{user}@{PBX_HOST}:{self.ports.pbx_trunk if outside else self.ports.pbx}"

    async def channel_value(self, channel: str, expression: str) -> str:
        """Return a channel's variable or function."""
        response = await self.ami.action("Getvar", Channel=channel, Variable=expression)
        return response["Value"]

    async def call_in(
        self,
        number: str,
        to: str,
        name: str = "",
        tone_hz: int = 0,
        hear: Path | None = None,
    ) -> Phone:
        """Call `to` from outside, through the trunk; return at once, see `Phone.wait_up`.

        Args:
            number: The caller's number; any text. (The PBX takes it up to a semicolon only.)
            to: The extension on the PBX.
            name: The caller's name; any text without a line break, which SIP cannot carry.
            tone_hz: What the caller sends once the call is up; 0 is silence.
            hear: A WAV file for what the caller hears, from dialling on.
        """
        return await self._originate("outside", to, number, name, tone_hz, hear)

    async def line_calls(
        self, line: str, to: str, tone_hz: int = 0, hear: Path | None = None
    ) -> Phone:
        """Call `to` from the phone of that line; return at once, see `Phone.wait_up`."""
        return await self._originate(f"line{line}", to, line, "", tone_hz, hear)

    async def _originate(  # noqa: PLR0917
        self, endpoint: str, to: str, number: str, name: str, tone_hz: int, hear: Path | None
    ) -> Phone:
        if any(char in name for char in "\r\n\0"):
            raise BedError(f"SIP cannot carry the name {name!r}: put a line break into the number")
        uniqueid = f"far-{time.time_ns()}.{next(self._ids)}"
        identity = ",".join(
            quote(text.encode("utf-8", "surrogateescape"), safe="")
            for text in (number, name, str(hear or ""))
        )
        mark = self.ami.mark()
        # Not asynchronous: then Asterisk 22 leaves the PreDialGoSub out. So the answer comes when
        # the call is up or over, and the call has a connection of its own.
        ami = await Ami.connect(self.server.ami_port, AMI_USER, AMI_SECRET, events=False)
        dialling = asyncio.create_task(
            _close_after(
                ami,
                ami.action(
                    "Originate",
                    Channel=f"PJSIP/{endpoint}/{self.uri(to, outside=endpoint == 'outside')}",
                    ChannelId=uniqueid,
                    Context="far",
                    Exten=f"up{tone_hz:02}",
                    Priority="1",
                    Timeout=str(DIAL_S * 1000),
                    PreDialGoSub=f"far-identity,s,1({identity})",
                    check=False,
                    timeout=DIAL_S + 5,
                ),
            ),
            name=f"bed-dialling-{uniqueid}",
        )
        self._dialling.add(dialling)
        dialling.add_done_callback(self._dialling.discard)
        try:
            born = await self.ami.wait_for(
                event("Newchannel", Uniqueid=uniqueid), timeout=5, since=mark
            )
        except AmiError:
            dialling.cancel()
            raise BedError(f"the far end could not call {to}\n{self.server.log_tail()}") from None
        phone = Phone(self, born, mark)
        phone._hz = tone_hz
        phone._heard = hear
        return phone

    async def ringing(self, line: str, timeout: float = 10) -> Phone:
        """Return the next call that rings on that line's phone and nobody has taken yet."""
        return await self._incoming(f"line {line}", timeout)

    async def trunk_ringing(self, number: str, timeout: float = 10) -> Phone:
        """Return the next call the PBX places to that outside number."""
        return await self._incoming(f"trunk {number}", timeout)

    async def _incoming(self, to: str, timeout: float) -> Phone:
        def fits(message: Message) -> bool:
            return (
                message["UserEvent"] == "FarRinging"
                and message["To"] == to
                and message["Uniqueid"] not in self._claimed
                and not self._over(message["Uniqueid"])
            )

        try:
            message = await self.ami.wait_for(fits, timeout, since=0)
        except AmiError as error:
            raise BedError(f"{to} did not ring: {error}") from None
        self._claimed.add(message["Uniqueid"])
        return Phone(self, message, self.ami.log.index(message))

    def _over(self, uniqueid: str) -> bool:
        hangup = event("Hangup", Uniqueid=uniqueid)
        return any(hangup(message) for message in self.ami.log)

    async def press(self, channel: str, digits: str, digit_ms: int, gap_ms: int) -> None:
        """Press keys on a channel; see `Phone.press`."""
        if self._keys is None:
            raise BedError("the far end is not running")
        async with self._pressing:
            for number, digit in enumerate(digits):
                if number:
                    await asyncio.sleep(gap_ms / 1000)
                await self._keys.action(
                    "PlayDTMF", Channel=channel, Digit=digit, Duration=str(digit_ms)
                )

    async def answer_by_itself(self, hz: int | None) -> None:
        """Let the lines' phones answer at once, talking with that tone; None: ring again."""
        value = "" if hz is None else f"{hz:02}"
        await self.ami.action("Setvar", Variable="FAR_ANSWER", Value=value)

    def forget_ringing(self) -> None:
        """Let no later `ringing` find a call that has rung so far."""
        self._claimed |= {m["Uniqueid"] for m in self.ami.log if m["UserEvent"] == "FarRinging"}


async def _close_after(ami: Ami, action: Coroutine[Any, Any, Message]) -> None:
    try:
        with contextlib.suppress(AmiError):  # the far end was killed: its legs say so
            await action
    finally:
        await ami.close()
