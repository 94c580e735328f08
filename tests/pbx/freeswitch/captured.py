"""What a real FreeSWITCH 1.11.1 sent: `tests/data/freeswitch-1.11-*.jsonl`, an event a line.

Of each event the headers are kept that may be looked at.
"""

import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

from callrec_pbx.domain import events as e
from callrec_pbx.pbx.freeswitch.link import Message
from callrec_pbx.pbx.freeswitch.translate import Translator

DATA = Path(__file__).parents[2] / "data"

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@cache
def _lines(name: str) -> tuple[str, ...]:
    path = DATA / f"freeswitch-1.11-{name}.jsonl"
    return tuple(path.read_text(encoding="utf-8").splitlines())


def messages(name: str) -> list[Message]:
    """The events of a capture."""
    return [json.loads(line) for line in _lines(name)]


def message(name: str, kind: str, place: int = 0) -> Message:
    """One event of a capture: that one of its kind."""
    return [found for found in messages(name) if found["Event-Name"] == kind][place]


def translator(*trunks: str) -> Translator:
    """One for which these lead outside."""
    return Translator(trunks, lambda: NOW)


class Names:
    """Letters for the legs, in the order in which they are spoken of."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def __call__(self, leg: str) -> str:
        return self._names.setdefault(leg, chr(ord("a") + len(self._names)))

    def short(self, event: e.Event) -> str:
        """An event in short words."""
        who = getattr(event, "who", None)
        words = [self(who.leg if who else getattr(event, "leg", "")), type(event).__name__]
        if isinstance(event, e.LegCreated):
            words += [event.who.kind, event.who.line or event.who.number]
        elif isinstance(event, e.CallTransferred):
            words += [event.kind, event.target]
        elif isinstance(event, e.LegBridged | e.LegUnbridged):
            words += ["".join(sorted(self(leg) for leg in event.bridge.split("+")))]
        return " ".join(words)


def told(found: Translator, name: str) -> list[str]:
    """What a captured call comes to."""
    names = Names()
    return [names.short(event) for one in messages(name) for event in found.translate(one)]
