"""The event socket link on a real FreeSWITCH.

What one cannot be made to do is in tests/pbx/freeswitch/test_link.py and test_link_hostile.py.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import unquote

import pytest

from callrec_pbx.pbx.errors import (
    ActionFailedError,
    ActionTimeoutError,
    LoginRefusedError,
    UnsafeValueError,
)
from callrec_pbx.pbx.freeswitch.link import EslLink
from tests.bed.bed import Bed
from tests.bed.pbx_config import PBX_HOST, TRUNK_HOST
from tests.pbx.freeswitch.linked import SHORT_S, Heard, lost

INVITE = """\
INVITE sip:301@{pbx} SIP/2.0
Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{key};rport
Max-Forwards: 70
From: "{name}" <sip:{user}@{host}>;tag=1
To: <sip:301@{pbx}>
Call-ID: {key}@{host}
CSeq: 1 INVITE
Contact: <sip:x@{host}:{port}>
X-Ticket: {name}
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


@asynccontextmanager
async def linked(bed: Bed, heard: Heard | None = None) -> AsyncIterator[EslLink]:
    """A link that is logged in and hears its events."""
    server = bed.freeswitch
    on_messages = heard.take if heard is not None else Heard().take
    link = EslLink("127.0.0.1", server.esl_port, server.esl_password, on_messages=on_messages)
    await link.connect()
    try:
        yield link
    finally:
        link.close()
        await lost(link)


async def came(heard: Heard, name: str, count: int) -> None:
    """Wait for so many events of a name."""
    async with asyncio.timeout(10):
        while sum(one["Event-Name"] == name for one in heard) < count:
            await heard.wait(len(heard) + 1)


async def test_login_and_answers(bed: Bed) -> None:
    async with linked(bed) as link:
        assert link.connected
        assert (await link.api("version")).startswith("FreeSWITCH Version 1.")
        assert await link.api("global_setvar callrec_heartbeat=17") == "+OK"
        assert await link.api("global_getvar callrec_heartbeat") == "17"
        assert await link.api("eval é") == "é"
        assert len((await link.api("help")).splitlines()) > 100
        answers = await asyncio.gather(*(link.api(f"eval {number}") for number in range(100)))
        assert list(answers) == [str(number) for number in range(100)]
        assert link.malformed == 0


async def test_a_wrong_password(bed: Bed) -> None:
    link = EslLink("127.0.0.1", bed.freeswitch.esl_port, "wrong")
    with pytest.raises(LoginRefusedError, match="-ERR invalid"):
        await link.connect()
    await lost(link)


async def test_refusals_are_in_the_words_of_freeswitch(bed: Bed) -> None:
    """No channel, no arguments, no such command, nothing printed."""
    async with linked(bed) as link:
        for command, text in (
            ("uuid_setvar none a b", "-ERR No such channel!"),
            ("uuid_record", "-USAGE: <uuid>"),
            ("no_such_command", "-ERR no_such_command Command not found!"),
            ("global_getvar callrec_never_set", "-ERR no reply"),
        ):
            with pytest.raises(ActionFailedError, match=f"^{text}"):
                await link.api(command)
        with pytest.raises(UnsafeValueError):
            await link.api("eval a\n\napi hupall")


async def test_commands_after_one_that_takes_long(bed: Bed) -> None:
    """FreeSWITCH answers in order; what was given up is not taken for another's answer."""
    async with linked(bed) as link:
        with pytest.raises(ActionTimeoutError, match="msleep was not answered"):
            await link.api("msleep 300", SHORT_S)
        assert await link.api("eval second") == "second"


async def test_a_frozen_freeswitch(bed: Bed) -> None:
    """It takes connections and commands, and answers none; afterwards it goes on."""
    server = bed.freeswitch
    heard = Heard()
    async with linked(bed) as link:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            with pytest.raises(ActionTimeoutError):
                await link.api("global_setvar callrec_heartbeat=1", SHORT_S)
            other = EslLink(
                "127.0.0.1",
                server.esl_port,
                server.esl_password,
                on_messages=heard.take,
                connect_timeout_s=SHORT_S,
            )
            with pytest.raises(ActionTimeoutError, match="did not answer"):
                await other.connect()
            await lost(other)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert await link.api("eval awake") == "awake"


FORGED = "Bob%0AUnique-ID%3A%20forged%0A%0AEvent-Name: CHANNEL_HANGUP_COMPLETE"


@pytest.mark.parametrize(
    ("name", "user", "number"),
    [
        (FORGED, "4670", "4670"),
        ("Bob", "4670%0aUnique-ID%3a%20forged", "4670\nUnique-ID: forged"),
        ("Bob", "4670%0d%0aContent-Length%3a%200%0a%0a", "4670\r\nContent-Length: 0\n\n"),
        ("Bob", "46%22%7d%5d%2c", "}],"),  # FreeSWITCH goes by the quote itself
        ('Bob\\",\\"Unique-ID\\":\\"forged', "4670", "4670"),
        ("Bob", "4670%255cn%25", "4670%5cn%"),
    ],
)
async def test_a_caller_cannot_forge_events(bed: Bed, name: str, user: str, number: str) -> None:
    """FreeSWITCH passes the line breaks of a name and a number on; they stay within it."""
    heard = Heard()
    async with linked(bed, heard) as link:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sip:
            sip.bind((TRUNK_HOST, 0))
            sip.connect((PBX_HOST, bed.ports.pbx_trunk))
            port = sip.getsockname()[1]
            sdp = SDP.format(host=TRUNK_HOST).replace("\n", "\r\n")
            facts = {"pbx": PBX_HOST, "host": TRUNK_HOST, "port": port, "key": f"k{port}"}
            text = INVITE.replace("\n", "\r\n").format(
                name=name, user=user, length=len(sdp), sdp=sdp, **facts
            )
            sip.send(text.encode())
            await came(heard, "CHANNEL_CREATE", 2)
            cancel = text.partition("\r\nContact:")[0].replace("INVITE", "CANCEL")
            sip.send(f"{cancel}\r\nContent-Length: 0\r\n\r\n".encode())
            await came(heard, "CHANNEL_HANGUP_COMPLETE", 2)
        created = [one for one in heard if one["Event-Name"] == "CHANNEL_CREATE"]
        ids = {one["Unique-ID"] for one in created}
        assert {len(one) for one in ids} == {36}
        assert {one["Unique-ID"] for one in heard} == ids
        assert len(ids) == 2
        first = created[0]
        assert first["Caller-Caller-ID-Name"] == unquote(name)
        assert first["Caller-Caller-ID-Number"] == number
        assert first["variable_sip_h_X-Ticket"] == name
        assert link.malformed == 0
