"""Who talks with whom, followed from event to event.

FreeSWITCH's bridges have no names and always two legs. CHANNEL_BRIDGE and CHANNEL_UNBRIDGE are
raised on one of them alone; some conversations end without the one (the leg is taken over by a
third), and CHANNEL_BRIDGE may come while a phone still rings (early media).

Source: FreeSWITCH 1.11.1, switch_ivr_bridge.c; observed.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from callrec_pbx.domain import events
from callrec_pbx.domain.events import Who


@dataclass(slots=True)
class Leg:
    """One living channel.

    Attributes:
        number: In which order the legs came into being.
        answered: Whether it has been answered; until then nobody talks.
        partner: The leg that FreeSWITCH has bridged it with.
        ref: FreeSWITCH's id of the call in which it is bridged.
        told: Whether the domain has been told of the conversation.
        talked_with: All legs that it has talked with.
        source: How it came to where it is, as FreeSWITCH notes it (`transfer_source`).
        brought_to: The leg to which an attended transfer brings it, where that is told already.
    """

    who: Who
    number: int = 0
    answered: bool = False
    partner: str = ""
    ref: str = ""
    told: bool = False
    talked_with: set[str] = field(default_factory=set)
    source: str = ""
    brought_to: str = ""


def bridge_id(one: str, other: str) -> str:
    """The name of the conversation of two legs, whichever is named first."""
    return "+".join(sorted((one, other)))


class Legs:
    """The living channels."""

    def __init__(self) -> None:
        self._legs: dict[str, Leg] = {}
        self._count = 0

    def get(self, leg: str) -> Leg | None:
        """The living channel of that id."""
        return self._legs.get(leg)

    def rings(self, leg: str) -> bool:
        """Whether it is known that a leg has not been answered yet."""
        found = self._legs.get(leg)
        return found is not None and not found.answered

    def note(self, who: Who) -> Leg:
        """Remember a channel; what is known of it stays, but for its name and its call."""
        leg = self._legs.get(who.leg)
        if leg is None:
            self._count += 1
            leg = self._legs[who.leg] = Leg(who, self._count)
        else:
            kept = leg.who
            leg.who = replace(
                kept,
                channel=who.channel,
                ref=who.ref,
                number=kept.number or who.number,
                name=kept.name or who.name,
            )
        return leg

    def place(self, leg: str, partner: str, source: str, *, answered: bool, talks: bool) -> None:
        """Take over from a snapshot whom a leg is bridged with, empty for nobody.

        What brought it there before is no news any more.
        """
        found = self._legs.get(leg)
        if found is not None:
            found.partner, found.ref = partner, found.who.ref
            found.answered, found.told, found.source = answered, talks, source
            found.talked_with |= {partner} if talks else set()

    def answered(self, at: datetime, leg: str) -> list[events.Event]:
        """A leg was answered: one that was bridged before talks now."""
        found = self._legs.get(leg)
        if found is None or found.answered:
            return []
        found.answered = True
        return self._talk(at, found)

    def bridged(self, at: datetime, one: str, other: str, ref: str) -> list[events.Event]:
        """Two legs were bridged; whom each was bridged with before is alone now."""
        first, second = self._legs.get(one), self._legs.get(other)
        if first is None or second is None:
            return []
        found: list[events.Event] = []
        for leg, partner in ((first, other), (second, one)):
            if leg.partner and leg.partner != partner:
                found += self.unbridged(at, leg.who.leg, leg.partner)
        for leg, partner in ((first, other), (second, one)):
            leg.partner, leg.ref = partner, ref
        return found + self._talk(at, first)

    def _talk(self, at: datetime, leg: Leg) -> list[events.Event]:
        partner = self._legs.get(leg.partner)
        if partner is None or not (leg.answered and partner.answered) or leg.told:
            return []
        bridge = bridge_id(leg.who.leg, partner.who.leg)
        found: list[events.Event] = []
        for one, other in ((leg, partner), (partner, leg)):
            one.told = True
            one.talked_with.add(other.who.leg)
            one.who = replace(one.who, ref=leg.ref)
            found.append(events.LegBridged(at, one.who, bridge, holding=False))
        return found

    def unbridged(self, at: datetime, one: str, other: str) -> list[events.Event]:
        """Two legs were parted."""
        bridge = bridge_id(one, other)
        found: list[events.Event] = []
        for leg, partner in ((one, other), (other, one)):
            known = self._legs.get(leg)
            if known is not None and known.partner == partner:
                if known.told:
                    found.append(events.LegUnbridged(at, leg, bridge))
                known.partner, known.told = "", False
        return found

    def moved(self, at: datetime, leg: str, source: str, queue: str = "") -> list[events.Event]:
        """Tell of a transfer, once, when a leg is sent elsewhere.

        One that talks with nobody is moved by its dialplan (`transfer`, a queue, a parking lot), or
        goes on after a conversation: nobody has handed it on. Both legs that an attended transfer
        brings together have had a conversation before.

        Args:
            at: When.
            leg: Which leg.
            source: `epoch:id:kind:target`, FreeSWITCH's `transfer_source`.
            queue: The leg with which a queue brings it together, if it is in one.
        """
        found = self._legs.get(leg)
        if found is None or not source or source == found.source:
            return []
        found.source = source
        kind, _, target = source.partition(":")[2].partition(":")[2].partition(":")
        by = found.partner if found.told and found.partner in self._legs else leg
        if kind == "bl_xfer" and found.told:
            extension, _, place = target.partition("/")
            if extension and not place.endswith("inline"):
                return [events.CallTransferred(at, by, "blind", extension)]
        other = self._legs.get(target)
        if kind != "uuid_br" or other is None or target == queue:
            return []
        if found.brought_to == target:  # the other leg has brought the same news
            return []
        if not (found.talked_with - {target} and other.talked_with - {leg}):
            return []
        other.brought_to = leg
        to = max(found, other, key=lambda one: one.number).who
        return [events.CallTransferred(at, by, "attended", to.line or to.number)]

    def gone(self, leg: str) -> None:
        """Forget a channel that has hung up."""
        self._legs.pop(leg, None)
