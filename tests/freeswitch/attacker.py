"""Somebody outside who writes his SIP by hand, byte by byte."""

from __future__ import annotations

import asyncio
import itertools
import re
from types import TracebackType
from typing import Self, cast

from tests.bed.pbx_config import PBX_HOST

_numbers = itertools.count(1)

SDP = (
    "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
    "m=audio 9 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
)


class Attacker(asyncio.DatagramProtocol):
    """One call of his.

    Args:
        port: The PBX's port for calls from outside.
        call_id: The call's `Call-ID`, as he likes.
        headers: Further lines of the first request, each ending with a line break.
        sender: The `From` header, without its tag.
    """

    def __init__(
        self,
        port: int,
        call_id: str = "",
        headers: bytes = b"",
        sender: bytes = b"<sip:46701@127.0.0.1>",
    ) -> None:
        self.call_id = call_id or f"attack{next(_numbers)}"
        self._port = port
        self._headers = headers
        self._sender = sender + b";tag=x"
        self._transport: asyncio.DatagramTransport | None = None
        self._cseq = 0
        self._to = b""
        self._target = b""
        self._answers: dict[tuple[int, str], asyncio.Future[int]] = {}
        self.up = asyncio.Event()
        self.over = asyncio.Event()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        await loop.create_datagram_endpoint(lambda: self, (PBX_HOST, 0), (PBX_HOST, self._port))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._transport is not None:
            if self.up.is_set() and not self.over.is_set():
                self._send("BYE", b"")
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, _: tuple[str, int]) -> None:
        head = data.partition(b"\r\n\r\n")[0]
        if not head.startswith(b"SIP/2.0 "):
            self._asked(head)
            return
        code = int(head[8:11])
        cseq = re.search(rb"\r\nCSeq: (\d+) (\w+)", head)
        to = re.search(rb"\r\nTo: ([^\r]+)", head)
        assert cseq is not None
        assert to is not None
        number, method = int(cseq[1]), cseq[2].decode()
        if method == "INVITE" and code >= 200:
            self._to = to[1]
            contact = re.search(rb"\r\nContact: <([^>]+)>", head)
            self._target = contact[1] if contact else self._target
            self._send("ACK", b"", number)
            (self.up if code < 300 else self.over).set()
        answer = self._answers.get((number, method))
        if answer is not None and not answer.done() and code >= 200:
            answer.set_result(code)

    def _asked(self, head: bytes) -> None:
        """Whatever the PBX asks for is all right."""
        lines = [
            line
            for line in head.split(b"\r\n")
            if line.split(b":")[0] in (b"Via", b"From", b"To", b"Call-ID", b"CSeq")
        ]
        assert self._transport is not None
        ok = b"\r\n".join([b"SIP/2.0 200 OK", *lines, b"Content-Length: 0", b"", b""])
        self._transport.sendto(ok)
        if head.startswith(b"BYE"):
            self.over.set()

    def _send(self, method: str, more: bytes, cseq: int = 0, body: str = "") -> int:
        if not cseq:
            self._cseq += 1
            cseq = self._cseq
        assert self._transport is not None
        port = self._transport.get_extra_info("sockname")[1]
        request = (
            f"{method} ".encode()
            + self._target
            + f" SIP/2.0\r\nVia: SIP/2.0/UDP {PBX_HOST}:{port};branch=z9hG4bK{port}{cseq}{method}"
            f"\r\nMax-Forwards: 70\r\nCall-ID: {self.call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:x@{PBX_HOST}:{port}>\r\nFrom: ".encode()
            + self._sender
            + b"\r\nTo: "
            + self._to
            + b"\r\n"
            + more
            + f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        self._transport.sendto(request)
        return cseq

    async def _ask(self, method: str, more: bytes, body: str = "") -> int:
        cseq = self._send(method, more, body=body)
        answer = asyncio.get_running_loop().create_future()
        self._answers[cseq, method] = answer
        return await asyncio.wait_for(answer, 20)

    def call(self, to: str) -> asyncio.Task[int]:
        """Call that extension; the task's result is the final answer."""
        self._target = f"sip:{to}@{PBX_HOST}:{self._port}".encode()
        self._to = b"<" + self._target + b">"
        more = b"Content-Type: application/sdp\r\n" + self._headers
        return asyncio.create_task(self._ask("INVITE", more, SDP))

    async def press(self, digit: str) -> int:
        """Press a key, told by SIP INFO; returns the PBX's answer."""
        body = f"Signal={digit}\r\nDuration=160\r\n"
        return await self._ask("INFO", b"Content-Type: application/dtmf-relay\r\n", body)
