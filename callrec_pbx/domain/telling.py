"""Telling all parties of a conversation that a recording starts or stops while they talk."""

from typing import TYPE_CHECKING

from callrec_pbx.domain.call import Leg
from callrec_pbx.domain.commands import Command, TellParties
from callrec_pbx.domain.facts import Decision
from callrec_pbx.domain.words import Notice

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls

BEEP = "beep"


def prompt(decision: Decision | None, what: str) -> str:
    """What the parties hear of it, as `start_stop` says; empty for nothing."""
    notice = decision.start_stop if decision else Notice.NONE
    if notice is Notice.BEEP:
        return BEEP
    return what if notice is Notice.ANNOUNCEMENT else ""


def language(calls: "Calls", name: str, decision: Decision | None) -> str:
    """The language in which that prompt is played."""
    wanted = decision.language if decision else ""
    found = calls.prompts.find(name, wanted)
    return found.language if found else wanted


def stopped(calls: "Calls", leg: Leg) -> list[Command]:
    """The leg's recording was stopped, and its parties may go on talking.

    Nobody is told while somebody else's recording of the same conversation goes on.
    """
    members = list(calls.bridges.get(leg.bridge, {}).values())
    if len(members) < 2 or any(member.recorded for member in members):  # noqa: PLR2004
        return []
    ended = [leg, *members]
    for decision in (member.recording.decision for member in ended if member.recording):
        name = prompt(decision, "stopped")
        if name:
            leg.told_off = True
            return [_tell(calls, leg, name, decision)]
    return []


def started(calls: "Calls", leg: Leg) -> list[Command]:
    """Who was told that the recording has stopped is told that it goes on."""
    if not leg.told_off or leg.recording is None:
        return []
    leg.told_off = False
    decision = leg.recording.decision
    name = prompt(decision, "started")
    return [_tell(calls, leg, name, decision)] if name else []


def _tell(calls: "Calls", leg: Leg, name: str, decision: Decision) -> TellParties:
    return TellParties(leg.leg, leg.channel, name, language(calls, name, decision))
