"""`python -m tests.demo`: places two real calls and shows what came of them.

Exit status 0 when everything that should happen did, 1 when something did not, 2 where there is
no such PBX, 130 after Ctrl-C.
"""

# ruff: noqa: ASYNC240 - nothing else waits when files are looked at here

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from callrec_pbx.domain.facts import CallFacts, RecordingFacts
from tests.bed.ami import AmiError
from tests.bed.esl import EslError
from tests.bed.freeswitch import installation
from tests.bed.server import REPOSITORY, BedError
from tests.calls.listener import ListenerError
from tests.demo import calls, checks, stay
from tests.demo.checks import Check
from tests.demo.house import KINDS, House
from tests.demo.screen import WIDTH, Screen

OUTPUT = REPOSITORY / "demo-output"


class DemoError(Exception):
    """Something that should have happened did not; the checks above say what."""


async def demonstrate(screen: Screen, pbx: str, output: Path, picture: Path | None) -> None:
    """Place both calls and show what came of them.

    Args:
        screen: Where to show it.
        pbx: Which PBX, `asterisk` or `freeswitch`.
        output: Folder for the audio and the sidecar of call (a).
        picture: SVG file to draw what was shown to, all but the sidecar.

    Raises:
        DemoError: Something that should have happened did not.
    """
    screen.chapter("A PBX, and callrec-pbx beside it")
    async with House(screen, pbx) as house:
        screen.chapter("Call (a): the caller stays on, the agent pauses")
        a = await calls.stays_on(house)
        screen.chapter("Call (b): the caller does not want to be recorded")
        b = await calls.declines(house)

        listener = house.listener
        call_a, call_b = listener.call_facts()
        recordings = listener.recording_facts()
        screen.chapter("What was measured")
        found = [
            *_show("call (a)", checks.of_a(house, call_a, _of(recordings, call_a), a), screen),
            *_show("call (b)", checks.of_b(house, call_b, recordings, b), screen),
        ]
        screen.chapter("What the catalogue says")
        for command in (["recordings", "list"], ["account"]):
            screen.happened("$", f"callrec-pbx {' '.join(command)}")
            screen.output(listener.cli(*command))
        if picture:
            screen.save(picture, "make demo" if pbx == "asterisk" else f"make demo PBX={pbx}")
        screen.chapter("Why call (a) was recorded")
        (recording,) = _of(recordings, call_a)
        screen.output(listener.cli("recordings", "show", recording.recording_id))
        screen.chapter("The sidecar of call (a)")
        kept = _keep(house, _of(recordings, call_a), output)
        for file in kept:
            if file.suffix == ".json":
                screen.console.print_json(json.dumps(_shortened(file)))
        screen.chapter("The audio of call (a)")
        for file in kept:
            screen.output(os.path.relpath(file))
        screen.console.print()
    missing = [check for check in found if not check.good]
    if missing:
        raise DemoError("; ".join(f"{check.what}: {check.found}" for check in missing))
    screen.console.print(
        Text(f"All {len(found)} checks are good, after {screen.elapsed_s:.0f} s.", "bold green")
    )


def _of(recordings: list[RecordingFacts], call: CallFacts) -> list[RecordingFacts]:
    return [recording for recording in recordings if recording.call_id == call.call_id]


def _show(title: str, found: list[Check], screen: Screen) -> list[Check]:
    table = Table(title, "found", "", width=screen.console.width)
    for check in found:
        sign = Text("✓", "green") if check.good else Text("✗", "bold red")
        table.add_row(Text(check.what), Text(check.found), sign)
    screen.console.print(table)
    return found


def _shortened(sidecar: Path) -> dict[str, Any]:
    """What a sidecar says, without the reasons of the decisions."""
    document: dict[str, Any] = json.loads(sidecar.read_text())
    for part in ("recording", "call"):
        document[part]["explanation"] = "..."
    return document


def _keep(house: House, recordings: list[RecordingFacts], output: Path) -> list[Path]:
    """Copy audio and sidecar to where they outlive the house, in place of those of the last run."""
    output.mkdir(parents=True, exist_ok=True)
    if output == OUTPUT:
        for old in output.iterdir():
            old.unlink()
    store = house.listener.store()
    files = [path for r in recordings for path in (store.audio_path(r), store.sidecar_path(r))]
    return [Path(shutil.copy2(file, output)) for file in files if file.exists()]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.demo", description=__doc__)
    parser.add_argument("--pbx", choices=KINDS, default="asterisk", help="which PBX to use")
    parser.add_argument("--stay", action="store_true", help="keep everything running until Ctrl-C")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="folder for the audio")
    parser.add_argument("--picture", type=Path, help="SVG file to draw what was shown to")
    return parser.parse_args()


async def _run(arguments: argparse.Namespace, screen: Screen) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    if arguments.stay:
        await stay.stay(screen, arguments.pbx)
    else:
        await demonstrate(screen, arguments.pbx, arguments.output.resolve(), arguments.picture)


def main() -> int:
    """Run the demonstration and return the exit status."""
    arguments = _arguments()
    if arguments.pbx == "freeswitch":
        try:
            installation()
        except BedError as error:
            print(error, file=sys.stderr)
            return 2
    os.environ["COLUMNS"] = str(WIDTH)  # for the commands whose output is shown
    screen = Screen()
    try:
        asyncio.run(_run(arguments, screen))
    except asyncio.CancelledError:
        screen.output("stopped")
        return 0 if arguments.stay else 130
    except (DemoError, ListenerError, BedError, AmiError, EslError) as error:
        log = arguments.output / "failure.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_text("\n".join([str(error), *getattr(error, "__notes__", [])]))
        short = str(error).partition("\n")[0]
        screen.console.print(Text(f"The demonstration failed: {short}", "bold red"))
        screen.output(f"The logs are in {os.path.relpath(log)}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
