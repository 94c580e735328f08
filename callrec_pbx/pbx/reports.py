"""What our own parts on a PBX report, in the same few texts whichever PBX it is."""

import re
from datetime import UTC, datetime

from callrec_pbx.domain import events
from callrec_pbx.domain.words import Consent, ConsentMode, Direction, Key
from callrec_pbx.pbx.errors import MalformedMessageError

_REPORT = re.compile(
    r"(announce|opt_out|opt_in)/([A-Za-z0-9-]{0,20})/([a-z0-9_]{0,40})/([0-9*#]?)"
    r"/(\d{1,16})/(\d{1,16})/([01])"
)
_VOICEMAIL = re.compile(r"([0-9A-Za-z_+*.-]{0,80})/(\d{1,16})")
_CODE = re.compile(r"[0-9]{1,20}")

MENU_ANSWERS = {"": None, "accepted": Consent.ACCEPTED, "declined": Consent.DECLINED}
"""What the administrator's own menu may say that a party has answered there."""


def offer(at: datetime, who: events.Who, text: str) -> events.CallOffered:
    """Read `direction/line/ddi/queue/dialled/menu`, as the call flow reports and keeps it.

    Raises:
        MalformedMessageError: It is no such text.
    """
    parts = text.split("/")
    if len(parts) == 5:  # noqa: PLR2004 - a channel of before the last upgrade
        parts.append("")
    if len(parts) != 6:  # noqa: PLR2004
        raise unreadable("Offer", text, "offer: not six parts")
    direction, line, ddi, queue, dialled, menu = parts
    if menu not in MENU_ANSWERS:
        raise unreadable("Offer", text, "offer: no answer of a menu")
    try:
        where = Direction(direction)
    except ValueError:
        raise unreadable("Offer", text, "offer: no direction") from None
    said = MENU_ANSWERS[menu]
    return events.CallOffered(at, who, where, line or None, ddi, queue, dialled, said)


def consent(at: datetime, leg: str, text: str) -> events.ConsentReported:
    """Read `mode/language/prompt/key/from/to/completed`; times are ms since the epoch.

    Raises:
        MalformedMessageError: It is no such text.
    """
    match = _REPORT.fullmatch(text)
    if match is None:
        raise unreadable("Consent", text, "report")
    mode, language, prompt, key, begin, end, completed = match.groups()
    try:
        played_from, played_to = _from_ms(begin), _from_ms(end)
    except (ValueError, OverflowError, OSError):
        raise unreadable("Consent", text, "report: no times in ms") from None
    return events.ConsentReported(
        at=at,
        leg=leg,
        mode=ConsentMode(mode),
        prompt=prompt,
        language=language,
        key=key,
        played_from=played_from,
        played_to=played_to,
        completed=completed == "1",
    )


def voicemail(who: events.Who, text: str) -> events.VoicemailReached:
    """Read `line/at`, as the call flow reports and keeps it; the time is ms since the epoch.

    Raises:
        MalformedMessageError: It is no such text.
    """
    match = _VOICEMAIL.fullmatch(text)
    if match is None:
        raise unreadable("Voicemail", text, "voicemail")
    try:
        at = _from_ms(match[2])
    except (ValueError, OverflowError, OSError):
        raise unreadable("Voicemail", text, "voicemail: no time in ms") from None
    return events.VoicemailReached(at, who, match[1] or None)


def profile(at: datetime, who: events.Who, code: str) -> events.ProfileDialled:
    """Read the code of a profile that was dialled.

    Raises:
        MalformedMessageError: It is none.
    """
    if not _CODE.fullmatch(code):
        raise unreadable("Code", code, "code of a profile")
    return events.ProfileDialled(at, who, code)


def key(at: datetime, leg: str, text: str) -> events.KeyPressed:
    """Read an in-call key.

    Raises:
        MalformedMessageError: It is none of ours.
    """
    try:
        return events.KeyPressed(at, leg, Key(text))
    except ValueError:
        raise unreadable("Key", text, "key of ours") from None


def unreadable(header: str, value: str, what: str) -> MalformedMessageError:
    """Without the value: these errors are logged, and callers' numbers must not be."""
    return MalformedMessageError(f"{header}: its {len(value)} characters are no {what}")


def _from_ms(text: str) -> datetime:
    return datetime.fromtimestamp(int(text) / 1000, UTC)
