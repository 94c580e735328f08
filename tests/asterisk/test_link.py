"""The AMI link on a real Asterisk; what one cannot be made to do is in tests/pbx/test_link.py."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import pytest_asyncio

from callrec_pbx.domain.events import Event, LegCreated, LegHungUp
from callrec_pbx.pbx.asterisk import clock as clocks
from callrec_pbx.pbx.asterisk.adapter import Asterisk
from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.asterisk.link import AmiLink
from callrec_pbx.pbx.errors import ActionFailedError, LoginRefusedError, UnsafeValueError
from tests.bed.ami import event
from tests.bed.bed import Bed
from tests.bed.pbx_config import PBX_HOST, TRUNK_HOST

SECRET = "bed-secret-of-callrec"

INVITE = """\
INVITE sip:301@{pbx} SIP/2.0
Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{key};rport
Max-Forwards: 70
From: "Bob" <sip:{user}@{host}>;tag=1
To: <sip:301@{pbx}>
Call-ID: {key}@{host}
CSeq: 1 INVITE
Contact: <sip:x@{host}:{port}>
Content-Type: application/sdp
Content-Length: {length}

{sdp}"""
SDP = """\
v=0
o=- 1 1 IN IP4 {host}
s=-
c=IN IP4 {host}
t=0 0
m=audio 40000 RTP/AVP 0
"""


class Heard(list[Event]):
    """The events that came, and a way to wait for so many of a kind."""

    def __init__(self) -> None:
        super().__init__()
        self._came = asyncio.Event()

    def take(self, events: list[Event]) -> None:
        """What the adapter calls."""
        self.extend(events)
        self._came.set()

    async def wait(self, kind: type, count: int) -> None:
        """Return when there are so many."""
        async with asyncio.timeout(10):
            while sum(isinstance(event, kind) for event in self) < count:
                self._came.clear()
                await self._came.wait()


@pytest_asyncio.fixture(loop_scope="session")
async def calm_bed(installed_bed: Bed) -> AsyncIterator[Bed]:
    """The PBX with callrec-pbx installed and no listener; calls that a test leaves are ended."""
    yield installed_bed
    await installed_bed.quiet()


@asynccontextmanager
async def linked(bed: Bed, heard: Heard | None = None) -> AsyncIterator[tuple[Asterisk, AmiLink]]:
    """The adapter, connected with the rights that `setup` gives the listener."""
    links: list[AmiLink] = []

    def make(take: Callable[[list[Message]], None]) -> AmiLink:
        links.append(AmiLink(PBX_HOST, bed.asterisk.ami_port, "callrec", SECRET, on_messages=take))
        return links[0]

    asterisk = Asterisk(make, ("trunk",), (heard if heard is not None else Heard()).take)
    await asterisk.connect()
    try:
        yield asterisk, links[0]
    finally:
        asterisk.close()
        await asterisk.wait_lost()


async def test_login(calm_bed: Bed) -> None:
    async with linked(calm_bed) as (asterisk, link):
        assert link.connected
        await asterisk.beat()
        reply = await link.action("Getvar", Variable="CALLREC_HEARTBEAT")
        assert abs(int(reply["Value"]) - datetime.now(UTC).timestamp()) < 2


async def test_the_time_is_that_of_asterisk(calm_bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours is an hour slow, as it may be on another machine."""
    slow = SimpleNamespace(time=lambda: time.time() - 3600)
    monkeypatch.setattr(clocks, "time", slow)
    async with linked(calm_bed) as (asterisk, link):
        await asterisk.beat()
        reply = await link.action("Getvar", Variable="CALLREC_HEARTBEAT")
        seen = await asterisk.look({})
        times = (int(reply["Value"]), asterisk.now().timestamp(), seen.at.timestamp())
        assert max(abs(at - time.time()) for at in times) < 60


async def test_a_wrong_secret(calm_bed: Bed) -> None:
    link = AmiLink(PBX_HOST, calm_bed.asterisk.ami_port, "callrec", "wrong")
    with pytest.raises(LoginRefusedError, match="Authentication failed"):
        await link.connect()
    await link.wait_lost()


async def test_refusals_are_in_the_words_of_asterisk(calm_bed: Bed) -> None:
    """No channel, no right, no such action."""
    async with linked(calm_bed) as (_, link):
        with pytest.raises(ActionFailedError, match="No such channel"):
            await link.action("Setvar", Channel="PJSIP/none-1", Variable="A", Value="1")
        with pytest.raises(ActionFailedError, match="Permission denied"):
            await link.action("Command", Command="core show version")
        with pytest.raises(ActionFailedError, match="Invalid/unknown command"):
            await link.action("NoSuchAction")


async def test_array_sets_all_and_the_last_one_last(calm_bed: Bed) -> None:
    """One action sets every variable, an empty one too; the snapshot tells them."""
    bed = calm_bed
    await bed.far.call_in("+4930123", "301")
    await bed.far.ringing("301")
    async with linked(bed) as (asterisk, link):
        (leg, *_) = [leg for leg in (await asterisk.look({})).legs if leg.who.line == ""]
        channel = leg.who.channel
        mark = bed.pbx_ami.mark()
        await link.action("Setvar", Channel=channel, Variable="ARRAY(A1,A2,A3)", Value="one,,three")
        await bed.pbx_ami.wait_for(event("VarSet", Variable="A3"), since=mark)
        set_now = [
            (message["Variable"], message["Value"])
            for message in bed.pbx_ami.since(mark)
            if message.event == "VarSet" and message["Variable"] in ("A1", "A2", "A3")
        ]
        assert set_now == [("A1", "one"), ("A2", ""), ("A3", "three")]
        with pytest.raises(UnsafeValueError):
            await link.action("Setvar", Channel=channel, Variable="A1", Value="x\r\nAction: Ping")
        reply = await link.action("Getvar", Channel=channel, Variable="A1")
        assert reply["Value"] == "one"


async def test_a_snapshot_has_our_variables(calm_bed: Bed) -> None:
    """A caller who was offered while nobody listened is found with that offer."""
    bed = calm_bed
    await bed.far.call_in("+4930123", "301")
    mark = bed.pbx_ami.mark()
    await (await bed.far.ringing("301")).answer()
    await bed.pbx_ami.wait_for(event("BridgeEnter", BridgeNumChannels="2"), since=mark)
    async with linked(bed) as (asterisk, _):
        seen = await asterisk.look({})
    assert {leg.who.line for leg in seen.legs} == {"", "301"}
    assert len({leg.bridge for leg in seen.legs}) == 1
    (outside,) = [leg for leg in seen.legs if leg.who.line == ""]
    assert outside.offer is not None
    assert (outside.offer.line, outside.offer.dialled) == ("301", "301")
    assert outside.who.number == "+4930123"
    assert seen.pbx_started_at is not None
    assert seen.pbx_started_at < outside.created_at


@pytest.mark.parametrize(
    "injected",
    [
        "%0d%0aUniqueid%3a%201.1",
        "%0d%0aA%3a%20b%0d%0a%0d%0aEvent%3a%20Hangup%0d%0aUniqueid%3a%201.1",
    ],
)
async def test_a_caller_cannot_forge_events(calm_bed: Bed, injected: str) -> None:
    """Asterisk passes the line breaks of a SIP user on; the link does not."""
    bed, heard = calm_bed, Heard()
    async with linked(bed, heard) as (_, link):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip:
            sip.bind((TRUNK_HOST, 0))
            sip.connect((PBX_HOST, bed.ports.pbx))
            port = sip.getsockname()[1]
            sdp = SDP.format(host=TRUNK_HOST).replace("\n", "\r\n")
            head = INVITE.replace("\n", "\r\n")
            facts = {"pbx": PBX_HOST, "host": TRUNK_HOST, "port": port, "key": f"k{port}"}
            text = head.format(user=f"4670{injected}", length=len(sdp), sdp=sdp, **facts)
            sip.send(text.encode())
            await heard.wait(LegCreated, 2)
            cancel = text.partition("\r\nContact:")[0].replace("INVITE", "CANCEL")
            sip.send(f"{cancel}\r\nContent-Length: 0\r\n\r\n".encode())
            await heard.wait(LegHungUp, 2)
        legs = {event.who.leg for event in heard if isinstance(event, LegCreated)}
        numbers = [event.who.number for event in heard if isinstance(event, LegCreated)]
        assert numbers[0] == "4670"
        assert {event.leg for event in heard if isinstance(event, LegHungUp)} == legs
        assert link.malformed == 0
