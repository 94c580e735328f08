"""What settings come to when it is about asking the other party."""

from typing import NamedTuple

from callrec_pbx.domain.policy.settings import SUPPRESS, Filled, Settings
from callrec_pbx.domain.words import ConsentMode, Direction

STRICTNESS = (ConsentMode.NONE, ConsentMode.ANNOUNCE, ConsentMode.OPT_OUT, ConsentMode.OPT_IN)
"""Modes of consent, from the one that asks least."""


class Asking(NamedTuple):
    """What one level says about asking in one direction; None is open.

    Attributes:
        announces: Whether that direction is announced.
    """

    consent: ConsentMode | None
    suppressed: bool | None
    announces: bool | None


def asking(settings: Settings | Filled, direction: Direction | None) -> Asking:
    """What a level says about asking in a direction."""
    announcement = settings.announcement
    announces: bool | None = True
    if direction is Direction.INBOUND:
        announces = settings.announce_inbound
    elif direction is Direction.OUTBOUND:
        announces = settings.announce_outbound
    suppressed = None if announcement is None else announcement == SUPPRESS
    return Asking(settings.consent, suppressed, announces)


def asked_by(levels: tuple[Asking, ...]) -> ConsentMode:
    """What is asked where these levels count, the first that says something of each."""
    mode = next((level.consent for level in levels if level.consent is not None), ConsentMode.NONE)
    if mode is not ConsentMode.ANNOUNCE:
        return mode
    if next((level.suppressed for level in levels if level.suppressed is not None), False):
        return ConsentMode.NONE
    announces = next((level.announces for level in levels if level.announces is not None), True)
    return mode if announces else ConsentMode.NONE


def announced(settings: Filled, direction: Direction | None) -> tuple[ConsentMode, str]:
    """What consent comes to in a direction, and what makes it less than the settings say."""
    if settings.consent is not ConsentMode.ANNOUNCE:
        return settings.consent, ""
    if settings.announcement == SUPPRESS:
        return ConsentMode.NONE, "announcement suppressed"
    if direction is Direction.INBOUND and not settings.announce_inbound:
        return ConsentMode.NONE, "announce_inbound"
    if direction is Direction.OUTBOUND and not settings.announce_outbound:
        return ConsentMode.NONE, "announce_outbound"
    return settings.consent, ""


def stricter(one: ConsentMode, other: ConsentMode) -> ConsentMode:
    """Of two modes of consent the one that asks for more."""
    return one if STRICTNESS.index(one) >= STRICTNESS.index(other) else other
