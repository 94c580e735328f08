"""Switching a profile by a code that a user dials from the own phone."""

from typing import TYPE_CHECKING

from callrec_pbx.domain import events
from callrec_pbx.domain.commands import Command, SwitchProfile
from callrec_pbx.domain.words import LegKind

if TYPE_CHECKING:
    from callrec_pbx.domain.calls import Calls

CONFIRMATION = "profile_recorded"
"""One of the prompts that confirm it; they are all there in the same languages."""


def dialled(calls: "Calls", event: events.ProfileDialled) -> list[Command]:
    """Switch the profile of the line that has dialled.

    Whoever was put through to the code has not dialled it: a colleague who hands a call on to it
    must not switch the profile of the other.
    """
    if calls.has_left(event.who.leg, "profile"):
        return []
    leg = calls.leg_of(event.who, event.at)
    if leg.kind is not LegKind.LINE or leg.bridged_at is not None:
        calls.ignored["profile: not dialled by a line"] += 1
        return []
    language = _language(calls, leg.line)
    return [SwitchProfile(leg.line, event.code, leg.leg, leg.channel, language)]


def switched(calls: "Calls", event: events.ProfileSwitched) -> list[Command]:
    """Decide calls that begin from now on by the new profile."""
    profile = event.profile
    calls.policy = calls.policy.with_profile(profile.tenant, profile.user, profile.name)
    return []


def _language(calls: "Calls", line: str) -> str:
    """The user's, else that of the site, the tenant, the prompts."""
    home = calls.policy.people.belonging(line, "", "")
    known = (part.language for part in (home.user, home.site, home.tenant) if part is not None)
    wanted = next(filter(None, known), calls.prompts.fallback)
    found = calls.prompts.find(CONFIRMATION, wanted)
    return found.language if found else wanted
