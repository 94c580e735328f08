"""What stands behind a channel of FreeSWITCH, from the headers that it has in every event.

The number, the name and the user of a `From` header are what a caller has chosen. They never make
an outside party a line, and a phone that has logged in is the user as whom it did.

Source: FreeSWITCH 1.11.1: sofia_reg.c sets `sip_auth_username` and `user_name` where a call was
authenticated; mod_sofia.c `sip_gateway_name` and `sofia_profile_name` of a leg it makes; sofia.c
`sip_gateway` of a call that came by a gateway; mod_dptools.c `dialed_user` of what `user/…` calls
(which CHANNEL_BRIDGE copies to the caller's leg, where it means nothing). All are there in
CHANNEL_CREATE already (observed).
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase

from callrec_pbx.domain.events import Who
from callrec_pbx.domain.words import LegKind
from callrec_pbx.pbx.errors import MalformedMessageError
from callrec_pbx.pbx.freeswitch.link import Message

_LINE_TECHNOLOGIES = frozenset(
    {"sofia", "verto.rtc", "verto", "rtc", "skinny", "freetdm", "opal", "h323", "khomp", "gsmopen"}
)

_BREAK = re.compile(r"[\r\n]")

_NO_NAME = frozenset({"", "Outbound Call", "_undef_"})
"""What FreeSWITCH calls a party whose name it does not know."""


@dataclass(frozen=True, slots=True)
class Trunks:
    """Patterns (`*`, `?`) of the gateways and SIP profiles that lead outside."""

    patterns: tuple[str, ...]

    def has(self, name: str) -> bool:
        """Whether that gateway or profile leads outside."""
        return any(fnmatchcase(name, pattern) for pattern in self.patterns)


def header(message: Message, name: str) -> str:
    """A header that must be there.

    Raises:
        MalformedMessageError: It is not, or is empty.
    """
    value = message.get(name, "")
    if not value:
        event = message.get("Event-Subclass") or message.get("Event-Name", "?")
        raise MalformedMessageError(f"{event} has no header {name}")
    return value


def variable(message: Message, name: str) -> str:
    """A variable of the channel that a message speaks of; empty where it is not set."""
    return message.get(f"variable_{name}", "")


def who(message: Message, trunks: Trunks) -> Who:
    """The channel that a message speaks of.

    Raises:
        MalformedMessageError: A header is missing.
    """
    leg = header(message, "Unique-ID")
    channel = header(message, "Channel-Name")
    outbound = message.get("Call-Direction") == "outbound"
    kind, trunk = _kind(message, channel, trunks, outbound=outbound)
    line = _line(message, outbound=outbound) if kind is LegKind.LINE else ""
    called = _called(message)
    return Who(
        leg=leg,
        channel=channel,
        ref=_call(message) or leg,
        kind=kind,
        line=_one_line(line),
        number=_one_line((line or called) if outbound else _caller(message)),
        name=_name(message, called, outbound=outbound),
        trunk=trunk,
    )


def _call(message: Message) -> str:
    """The call that a channel is part of; whom a queue calls belongs to whom it calls for.

    Source: FreeSWITCH 1.11, mod_callcenter.c: each agent is called by himself, and
        Channel-Call-UUID is that of his own leg until he is put through (observed).
    """
    if message.get("Event-Name") == "CHANNEL_CREATE" and variable(message, "cc_side") == "agent":
        return variable(message, "cc_member_session_uuid")
    return message.get("Channel-Call-UUID", "")


def _caller(message: Message) -> str:
    return message.get("Caller-Caller-ID-Number", "")


def _one_line(text: str) -> str:
    """Without what follows a line break: FreeSWITCH passes on what a caller has escaped in SIP."""
    return _BREAK.split(text, maxsplit=1)[0]


def _kind(message: Message, channel: str, trunks: Trunks, *, outbound: bool) -> tuple[LegKind, str]:
    """What it is, and the gateway or profile of an outside party.

    What is between the first two slashes of a channel's name is FreeSWITCH's own.
    """
    technology, _, rest = channel.partition("/")
    if technology.lower() not in _LINE_TECHNOLOGIES:
        return LegKind.OTHER, ""
    gateway = variable(message, "sip_gateway_name" if outbound else "sip_gateway")
    profile = variable(message, "sofia_profile_name") or rest.partition("/")[0]
    if gateway and (trunks.has(gateway) or trunks.has(profile)):
        return LegKind.OUTSIDE, gateway
    if trunks.has(profile):
        return LegKind.OUTSIDE, profile
    return LegKind.LINE, ""


def _line(message: Message, *, outbound: bool) -> str:
    if outbound:
        return variable(message, "dialed_user") or _called(message)
    return (
        variable(message, "user_name")
        or variable(message, "sip_auth_username")
        or variable(message, "sip_from_user")
        or message.get("Caller-Username", "")
    )


def _called(message: Message) -> str:
    """Who is called by a leg of ours: the header changes when the leg itself is handed on."""
    return variable(message, "sip_to_user") or message.get("Caller-Destination-Number", "")


def _name(message: Message, called: str, *, outbound: bool) -> str:
    found = message.get("Caller-Callee-ID-Name" if outbound else "Caller-Caller-ID-Name", "")
    return "" if found in _NO_NAME or (outbound and found == called) else found
