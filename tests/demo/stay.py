"""`make run`: the set-up of the demonstration, kept running for own experiments."""

from __future__ import annotations

import asyncio
import shlex
import sys
from collections.abc import AsyncIterator

from tests.demo import calls
from tests.demo.house import House
from tests.demo.screen import Screen

HELP = """\
The PBX listens for SIP on 127.0.0.1:{sip} (UDP) and for {protocol} on 127.0.0.1:{port}.
Its phones answer by themselves. In another terminal:

  {call}
      somebody outside calls line 301 (queues: 600 and 601)
  {hang_up}
      everybody hangs up
  {list}
  {account}
  {console}
      the PBX's console

  configuration  {config}
  recordings     {recordings}
  log            {log}
"""


async def stay(screen: Screen, pbx: str) -> None:
    """Start everything, say how to use it, and wait to be cancelled."""
    screen.chapter("A PBX, and callrec-pbx beside it")
    async with House(screen, pbx) as house:
        bed, listener = house.bed, house.listener
        await bed.far.answer_by_itself(calls.AGENT_HZ)
        target = f"PJSIP/outside/{bed.far.uri(calls.LINE, outside=True)}"
        originate = f"channel originate {target} extension up{calls.CALLER_HZ}@far"
        screen.chapter("How to use it")
        screen.output(
            HELP.format(
                sip=bed.ports.pbx,
                protocol=house.kind.protocol,
                port=house.calls.control_port,
                call=shlex.join([str(bed.far.server.cli), "-rx", originate]),
                hang_up=shlex.join([str(bed.far.server.cli), "-rx", "channel request hangup all"]),
                list=house.command("recordings", "list"),
                account=house.command("account"),
                console=f"{bed.pbx.cli}{house.kind.console}",
                config=listener.config,
                recordings=listener.recordings,
                log=listener.log,
            )
        )
        if sys.stdin.isatty():
            screen.output("Enter places a call that lasts until 5 s after the announcement.")
        screen.output("Ctrl-C ends it all and removes it.")
        number = 0
        async for _ in _lines():
            number += 1
            await _call(house, number)
        await asyncio.Event().wait()


async def _call(house: House, number: int) -> None:
    caller = await house.bed.far.call_in(calls.CALLER, calls.LINE, tone_hz=calls.CALLER_HZ)
    house.screen.happened("caller", f"calls line {calls.LINE} from outside")
    await caller.wait_up()
    await house.listener.recording("recording", timeout=30)
    house.screen.happened("agent", "talks; the call is being recorded")
    await asyncio.sleep(5)
    await caller.hangup()
    await house.listener.recording("stored", number)
    house.screen.output(house.listener.cli("recordings", "list"))


async def _lines() -> AsyncIterator[str]:
    """Yield the lines that are typed; none when nobody sits there."""
    if not sys.stdin.isatty():
        return
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    while line := await reader.readline():
        yield line.decode(errors="replace")
