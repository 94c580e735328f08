"""What a decision may depend on, as asked and as the rules look at it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from callrec_pbx.domain.people import Belonging
from callrec_pbx.domain.words import Direction


@dataclass(frozen=True, slots=True)
class CallInQuestion:
    """A call, as far as one line is concerned.

    Attributes:
        line: The line that would be recorded; None when it is not known yet (a queue), and then
            rules that name lines or people may match, so that the announcement is not left out.
        numbers: The outside numbers of the call.
        trunk: The endpoint of the outside line; None while it is not known: not chosen
            yet (outbound), or not given (a made-up call).
        at: When the call began; without it no schedule fits.
        declined: Who has refused, such as `declined_by_caller`; empty for nobody.
        direct: Whether the line was called itself, and not through a queue; None: as `queue` tells.
        endpoint: Whether `line` is the PBX's endpoint, and not what an offer calls the line.
        demanded: Whether the agent asks for a recording at this moment.
        running: How many recordings of a tenant run now; None: no limit is looked at.
        full: Tenants whose recordings take all the room of their quota, and that stop then.
    """

    direction: Direction | None
    line: str | None
    ddi: str = ""
    queue: str = ""
    numbers: tuple[str, ...] = ()
    trunk: str | None = ""
    at: datetime | None = None
    declined: str = ""
    direct: bool | None = None
    endpoint: bool = False
    demanded: bool = False
    running: Callable[[str], int] | None = field(default=None, compare=False)
    full: frozenset[str] = field(default=frozenset(), compare=False)


PERSONAL = frozenset({"department", "user", "line", "site", "profile", "device"})
"""Criteria that nobody can answer before it is known who takes the call."""


@dataclass(frozen=True, slots=True)
class Looked:
    """A call as criteria see it: for each the values that may fit, empty ones left out.

    Attributes:
        unknown: Whether it is not known yet who takes the call.
        anywhere: Then, the places that may: each site whose clock or holidays may matter.
        open: Criteria that cannot be answered yet.
    """

    values: dict[str, tuple[str, ...]]
    direction: Direction | None
    belonging: Belonging
    at: datetime | None
    unknown: bool
    anywhere: tuple[Belonging, ...]
    open: frozenset[str]


TRUNK = frozenset({"trunk"})
NOTHING: frozenset[str] = frozenset()


def look(
    call: CallInQuestion,
    belonging: Belonging,
    profile: str,
    numbers: set[str],
    anywhere: tuple[Belonging, ...] = (),
) -> Looked:
    """Gather what the criteria ask for.

    Args:
        profile: Name of the user's active profile.
        numbers: The outside numbers as given, and as E.164.
        anywhere: Where the call may be taken, while that is not known.
    """
    line = belonging.line
    user = belonging.user
    values: dict[str, tuple[str, ...]] = {
        "tenant": (belonging.tenant.name,) if belonging.tenant else (),
        "ddi": (call.ddi,) if call.ddi else (),
        "queue": (call.queue,) if call.queue else (),
        "department": (belonging.department,) if belonging.department else (),
        "user": (user.email,) if user else (),
        "line": _known(call.line or "", line.extension if line else ""),
        "site": (belonging.site.name,) if belonging.site else (),
        "trunk": (call.trunk,) if call.trunk else (),
        "profile": (profile,) if profile else (),
        "device": (line.device.value,) if line else (),
        "number": tuple(numbers),
    }
    unknown = call.line is None
    open_ = (PERSONAL if unknown else NOTHING) | (TRUNK if call.trunk is None else NOTHING)
    return Looked(values, call.direction, belonging, call.at, unknown, anywhere, open_)


def _known(*values: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(value for value in values if value))
