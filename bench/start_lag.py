"""How soon after the parties are connected the recording runs, on a real Asterisk under load.

Three ways to record the called leg, by turns on the same PBX, with SIPp callers that send RTP:

- `inline`: MixMonitor in the dialplan itself, before the bridge; nothing can be sooner, and
  nothing decides, announces, pauses or keeps a row;
- `callrec-pbx`: the listener, from the `BridgeEnter` event;
- `agi`: an AGI script (Perl, no database) that decides and records, which is how PBX
  distributions do it.

All times are Asterisk's own event timestamps: from `BridgeEnter` of the called leg to its
`MixMonitorStart` (negative: before), and from the answer to `BridgeEnter`, which is what the
caller waits in silence. Recordings expected, files and (for callrec-pbx) rows must agree.

Run as root: python -m bench.start_lag [--seconds 20] [--rates 2 5 10]
"""

import argparse
import asyncio
import contextlib
import socket
import statistics
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from tests.bed import sipp
from tests.bed.bed import Bed
from tests.calls.listener import Listener, ListenerError, install
from tests.calls.on_asterisk import AsteriskHouse
from tests.calls.rules import everything
from tests.calls.scene import new_listener

FOLDER = "bench"
TALK_MS = 3000
USER, SECRET = "bench", "bench-secret"
AGI = """#!/usr/bin/perl
$| = 1;
while (<STDIN>) { chomp; last if $_ eq ''; /^agi_(\\w+):\\s*(.*)/ and $call{$1} = $2; }
my %record = map { $_ => 1 } 301 .. 306;
my ($line) = $call{channel} =~ m{^PJSIP/(\\d+)-};
if ($record{$line}) {
    print qq{EXEC MixMonitor "FOLDER/agi-$call{uniqueid}.wav"\\n};
    my $reply = <STDIN>;
}
"""
DIALPLAN = """
[from-trunk](+)
exten => _1301,1,Dial(PJSIP/301,30,U(bench-inline))
exten => _2301,1,Gosub(callrec-offer,s,1(inbound,301,301,))
 same => n,Dial(PJSIP/301,30,U(callrec-whisper))
exten => _3301,1,Dial(PJSIP/301,30,U(bench-agi))

[bench-inline]
exten => s,1,MixMonitor(FOLDER/inline-${UNIQUEID}.wav)
 same => n,Return()

[bench-agi]
exten => s,1,AGI(SCRIPT)
 same => n,Return()
"""
WAYS = {"inline": "1301", "callrec-pbx": "2301", "agi": "3301"}


@dataclass
class Figures:
    """What one way did at one rate; times in ms."""

    lags: list[float] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)
    calls: int = 0
    files: int = 0
    rows: int | None = None

    @property
    def balanced(self) -> bool:
        """Whether every call has its start, its file and its row."""
        return len(self.lags) == self.calls == self.files == (self.rows or self.calls)


class Ear(threading.Thread):
    """Reads events as they come and keeps the bytes; parsing waits until the calls are over."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self._socket = socket.create_connection(("127.0.0.1", port))
        login = f"Action: Login\r\nUsername: {USER}\r\nSecret: {SECRET}\r\n\r\n"
        self._socket.sendall(login.encode())
        self.data = bytearray()
        self.start()

    def run(self) -> None:
        """Read until the connection is closed."""
        while chunk := self._socket.recv(65536):
            self.data += chunk

    def figures(self) -> Figures:
        """Close, and work out the times of every called leg."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self.join(5)
        times: dict[str, dict[str, float]] = defaultdict(dict)
        called: set[str] = set()
        for block in bytes(self.data).decode().split("\r\n\r\n"):
            message = dict(line.partition(": ")[::2] for line in block.split("\r\n"))
            name = message.get("Event", "")
            if name == "Newstate" and message.get("ChannelStateDesc") == "Up":
                times[message["Uniqueid"]]["answer"] = float(message["Timestamp"])
            elif name == "DialBegin":
                called.add(message["DestUniqueid"])
            elif name in ("BridgeEnter", "MixMonitorStart"):
                times[message["Uniqueid"]].setdefault(name, float(message["Timestamp"]))
        found = Figures()
        for leg in (times[key] for key in called):
            if "answer" not in leg or "BridgeEnter" not in leg:
                continue
            found.calls += 1
            found.waits.append((leg["BridgeEnter"] - leg["answer"]) * 1000)
            if "MixMonitorStart" in leg:
                found.lags.append((leg["MixMonitorStart"] - leg["BridgeEnter"]) * 1000)
        return found


def prepare(house: AsteriskHouse, folder: Path) -> None:
    """Add the three ways, the AGI module and a manager user to the bed's configuration."""
    install(house)
    bed = house.bed
    folder.mkdir(mode=0o777)
    script = folder / "record.agi"
    script.write_text(AGI.replace("FOLDER", str(folder)))
    script.chmod(0o755)
    text = DIALPLAN.replace("FOLDER", str(folder)).replace("SCRIPT", str(script))
    additions = {
        "extensions.conf": text,
        "modules.conf": "load = res_speech.so\nload = res_agi.so\n",
        "manager.conf": f"\n[{USER}]\nsecret = {SECRET}\nread = call\nwrite = call\n"
        "eventfilter(action(include),name(BridgeEnter)) =\n"
        "eventfilter(action(include),name(MixMonitorStart)) =\n"
        "eventfilter(action(include),name(Newstate)) =\n"
        "eventfilter(action(include),name(DialBegin)) =\n",
    }
    for name, more in additions.items():
        path = bed.pbx.etc / name
        path.write_text(path.read_text() + "\n" + more)


async def measure(bed: Bed, listener: Listener, way: str, rate: float, seconds: int) -> Figures:
    """Place calls at that rate for so long, and count what came of them."""
    folder = bed.dir / FOLDER
    before = len(listener.recording_facts())
    ear = Ear(bed.asterisk.ami_port)
    calls = max(1, round(rate * seconds))
    load = await sipp.run(
        "caller", WAYS[way], bed.ports.pbx, folder / "sipp", calls=calls, rate=rate, talk_ms=TALK_MS
    )
    await bed.quiet()
    if way == "callrec-pbx":
        await listener.idle(60)
    found = ear.figures()
    if load.failed or found.calls != calls:
        print(f"  {way}: {load.failed} of {calls} calls failed: Asterisk or SIPp is saturated")
    if way == "callrec-pbx":
        new = listener.recording_facts()[before:]
        found.files = sum(listener.audio(r).exists() and r.state.value == "stored" for r in new)
        sql = "select count(*) as n from recording where state = 'stored'"
        expected = before + len(new)
        with contextlib.suppress(ListenerError):  # then the table shows the difference
            await listener.until(lambda: listener.rows(sql)[0]["n"] >= expected, "rows")
        found.rows = listener.rows(sql)[0]["n"] - before
    else:
        done = list(folder.glob(f"{way}-*.wav"))
        found.files = len(done)
        for path in done:
            path.unlink()
    return found


def line(way: str, rate: float, found: Figures) -> str:
    """One row of the table."""

    def spread(values: list[float]) -> str:
        if len(values) < 2:
            return f"{'-':>8}" * 3
        cuts = statistics.quantiles(values, n=100, method="inclusive")
        return "".join(f"{cuts[p - 1]:8.2f}" for p in (50, 95, 99))

    rows = "-" if found.rows is None else str(found.rows)
    verdict = "" if found.balanced else "  DIFFER"
    return (
        f"{rate:>5g} {way:<12}{spread(found.lags)} |{spread(found.waits)} |"
        f"{found.calls:>6}{found.files:>6}{rows:>6}{verdict}"
    )


async def bench(rates: list[float], seconds: int) -> bool:
    """Measure everything; return whether all accounts balance."""
    house = AsteriskHouse()
    prepare(house, house.dir / FOLDER)
    balanced = True
    async with house:
        await house.far.answer_by_itself(1000)
        listener = new_listener(house)
        listener.configure(everything(whisper=False))
        listener.cli("migrate")
        await listener.up()
        try:
            print(f"calls/s{'BridgeEnter to start, ms':>34} |{'answer to bridge, ms':>24} |")
            print(f"{'':18}{'p50':>8}{'p95':>8}{'p99':>8} |{'p50':>8}{'p95':>8}{'p99':>8} |"
                  f"{'calls':>6}{'files':>6}{'rows':>6}")  # fmt: skip
            for rate in rates:
                for way in WAYS:
                    found = await measure(house.bed, listener, way, rate, seconds)
                    print(line(way, rate, found), flush=True)
                    balanced = balanced and found.balanced
        finally:
            listener.stop()
    return balanced


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=int, default=20, help="length of each step")
    parser.add_argument("--rates", type=float, nargs="+", default=[2, 5, 10], help="calls/s")
    options = parser.parse_args()
    if not asyncio.run(bench(options.rates, options.seconds)):
        raise SystemExit("calls, files and rows differ")


if __name__ == "__main__":
    main()
