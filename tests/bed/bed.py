"""The test bed: the PBX under test and the far end, started and stopped together."""

# ruff: noqa: ASYNC110 - a channel that goes has no event for each PBX

from __future__ import annotations

import asyncio
import atexit
import math
import os
import shutil
import socket
import struct
import tempfile
import wave
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.bed import far, freeswitch_config, pbx_config
from tests.bed.ami import Ami
from tests.bed.asterisk import AsteriskServer
from tests.bed.esl import Esl
from tests.bed.far import FarEnd
from tests.bed.freeswitch import FreeSwitchServer
from tests.bed.pbx_config import MOH_HZ, PBX_HOST, PHONES_HOST, TRUNK_HOST, PbxOptions, Ports
from tests.bed.ports import claim
from tests.bed.server import POLL_S, BedError, Server, free_port

PREFIX = "callrec-bed-"

PBX_VARIABLE = "CALLREC_TEST_PBX"
"""Environment variable that names the PBX of a bed that says nothing itself."""

RTP_PORTS = 400
"""RTP ports of each side: 100 legs at once, and room for 27 beds on one machine."""

QUIET_S = 5.0
"""Longest time until all channels are gone after everybody was hung up."""


class Bed:
    """A PBX, as an administrator has it, and a far end to call it.

    Use as an async context manager. To change the configuration before the start, call
    `prepare` first and edit the files in `pbx.etc`.

    Attributes:
        dir: The folder of everything; same path inside and outside Asterisk's root.
        kind: Which PBX is under test: `asterisk` or `freeswitch`.
        pbx: The PBX under test; see also `asterisk` and `freeswitch`.
        far: The far end.
        ports: The UDP ports.
    """

    def __init__(self, options: PbxOptions | None = None, kind: str | None = None) -> None:
        self.options = options or PbxOptions()
        self.kind = kind or os.environ.get(PBX_VARIABLE) or "asterisk"
        if self.kind not in {"asterisk", "freeswitch"}:
            raise BedError(f"{PBX_VARIABLE} is {self.kind!r}: set it to asterisk or freeswitch")
        remove_stale()
        self.dir = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{os.getpid()}-"))
        atexit.register(self._remove)
        self.dir.chmod(0o755)
        self._rtp = claim(2 * RTP_PORTS)
        first = self._rtp.first
        middle = first + RTP_PORTS
        port = free_port(PBX_HOST, socket.SOCK_DGRAM)
        self.ports = Ports(
            pbx=port,
            pbx_trunk=port if self.kind == "asterisk" else free_port(PBX_HOST, socket.SOCK_DGRAM),
            phones=free_port(PHONES_HOST, socket.SOCK_DGRAM),
            trunk=free_port(TRUNK_HOST, socket.SOCK_DGRAM),
            pbx_rtp=(first, middle - 1),
            far_rtp=(middle, middle + RTP_PORTS - 1),
        )
        self.pbx: Server = (
            AsteriskServer("pbx", self.dir)
            if self.kind == "asterisk"
            else FreeSwitchServer("pbx", self.dir)
        )
        self.far = FarEnd(AsteriskServer("far", self.dir), self.ports)
        self._prepared = False

    @property
    def asterisk(self) -> AsteriskServer:
        """The PBX under test.

        Raises:
            BedError: It is not an Asterisk.
        """
        if not isinstance(self.pbx, AsteriskServer):
            raise BedError("the PBX of this bed is not an Asterisk")
        return self.pbx

    @property
    def freeswitch(self) -> FreeSwitchServer:
        """The PBX under test.

        Raises:
            BedError: It is not a FreeSWITCH.
        """
        if not isinstance(self.pbx, FreeSwitchServer):
            raise BedError("the PBX of this bed is not a FreeSWITCH")
        return self.pbx

    @property
    def pbx_ami(self) -> Ami:
        """The bed's AMI connection to the PBX, an Asterisk."""
        return self.asterisk.ami

    @property
    def esl(self) -> Esl:
        """The bed's event socket to the PBX, a FreeSWITCH."""
        return self.freeswitch.esl

    def prepare(self) -> None:
        """Write the configuration of both; nothing runs yet."""
        if self._prepared:
            return
        if isinstance(self.pbx, AsteriskServer):
            moh = self.pbx.data / "bed-moh"
            files = pbx_config.config_files(self.options, self.ports, str(moh))
        else:
            moh = self.freeswitch.sounds / "bed-moh"
            files = freeswitch_config.config_files(self.options, self.ports, str(moh))
        self.pbx.write_config(files)
        self.far.server.write_config(far.config_files(self.ports, self.options.codecs))
        moh.mkdir(exist_ok=True)
        write_tone(moh / "music.wav", MOH_HZ, 10_000)
        self._prepared = True

    async def start(self) -> None:
        """Start both sides and return when calls can be made."""
        self.prepare()
        await asyncio.gather(self.pbx.start(), self.far.start())

    async def stop(self) -> None:
        """Stop both and remove all folders.

        Raises:
            BedError: One of them did not stop by itself.
        """
        try:
            ends = await asyncio.gather(self.far.stop(), self.pbx.stop(), return_exceptions=True)
        finally:
            self._remove()
            atexit.unregister(self._remove)
        for end in ends:
            if isinstance(end, BaseException):
                raise end

    def _remove(self) -> None:
        self.pbx.kill()
        self.far.server.kill()
        self._rtp.release()
        shutil.rmtree(self.dir, ignore_errors=True)

    async def __aenter__(self) -> Self:
        """Start; whatever goes wrong, nothing stays behind."""
        try:
            await self.start()
        except BaseException:
            self._remove()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop; after an error, with the PBX's log."""
        if error is not None and isinstance(error, Exception):
            error.add_note(self.pbx.log_tail())
        await self.stop()

    async def reload(self) -> None:
        """Have the PBX read its configuration again, as after an edit."""
        await self.pbx.reload()

    async def quiet(self) -> None:
        """Hang up whatever is left, and return when no channel is left on either side.

        Raises:
            BedError: A channel stays.
        """
        servers = [server for server in (self.far.server, self.pbx) if server.running]
        for server in servers:
            await server.hang_up_all()
        self.far.forget_ringing()
        for server in servers:
            await _no_channels(server)


async def _no_channels(server: Server) -> None:
    try:
        async with asyncio.timeout(QUIET_S):
            while await server.channels():
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        left = await server.channels()
        raise BedError(f"channels left on {server.name}:\n{left}\n{server.log_tail()}") from None


def remove_stale() -> None:
    """Remove the folders of beds whose process was killed; their Asterisks died with it."""
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*-*"):
        owner = folder.name.removeprefix(PREFIX).partition("-")[0]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            shutil.rmtree(folder, ignore_errors=True)


def write_tone(path: Path, hz: int, duration_ms: int, rate: int = 8000) -> None:
    """Write a WAV file (16-bit mono) with one tone."""
    count = rate * duration_ms // 1000
    samples = (round(7000 * math.sin(2 * math.pi * hz * n / rate)) for n in range(count))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
