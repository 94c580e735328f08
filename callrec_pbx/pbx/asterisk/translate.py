"""AMI messages to events. One small function per message; raw names end here."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from callrec_pbx.domain import events
from callrec_pbx.domain.words import Consent, ConsentMode, Direction, Key, LegKind
from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.errors import MalformedMessageError

_LINE_TECHNOLOGIES = frozenset({"PJSIP", "SIP", "IAX2", "DAHDI", "SCCP", "Skinny", "MGCP"})
_REPORT = re.compile(
    r"(announce|opt_out|opt_in)/([A-Za-z0-9-]{0,20})/([a-z0-9_]{0,40})/([0-9*#]?)"
    r"/(\d{1,16})/(\d{1,16})/([01])"
)
_VOICEMAIL = re.compile(r"([0-9A-Za-z_+*.-]{0,80})/(\d{1,16})")
_CODE = re.compile(r"[0-9]{1,20}")
_HELPER = re.compile(r"Local/(?:s@callrec-told|hook@__func_periodic_hook_context__)-[0-9a-f]+;[12]")

MENU_ANSWERS = {"": None, "accepted": Consent.ACCEPTED, "declined": Consent.DECLINED}
"""What the administrator's own menu may have put into `CALLREC_CONSENT`."""


def is_helper(channel: str) -> bool:
    """Whether a channel only plays a notice, or the reminder tone, into a conversation."""
    return channel.startswith("Local/") and _HELPER.fullmatch(channel) is not None


class Translator:
    """Knows which endpoints are trunks; everything else about an event is in the event.

    Args:
        trunks: Patterns (`*`, `?`) of the names of endpoints that lead outside.
        now: The time to use when Asterisk does not stamp its events (`timestampevents`).
    """

    def __init__(self, trunks: tuple[str, ...], now: Callable[[], datetime]) -> None:
        self._trunks = trunks
        self._now = now
        self._kinds: dict[str, tuple[LegKind, str]] = {}
        self._handlers: dict[str, Callable[[Message], events.Event | None]] = {
            "Newchannel": self._newchannel,
            "BridgeEnter": self._bridge_enter,
            "BridgeLeave": self._bridge_leave,
            "BlindTransfer": self._blind_transfer,
            "AttendedTransfer": self._attended_transfer,
            "MixMonitorStart": self._mixmonitor_start,
            "MixMonitorStop": self._mixmonitor_stop,
            "MixMonitorMute": self._mixmonitor_mute,
            "Hangup": self._hangup,
            "CallrecOffer": self._offer,
            "CallrecUnanswered": self._unanswered,
            "CallrecConsent": self._consent,
            "CallrecWhisper": self._whisper,
            "CallrecKey": self._key,
            "CallrecStopped": self._stopped,
            "CallrecVoicemail": self._voicemail,
            "CallrecProfile": self._profile,
        }

    def translate(self, message: Message) -> events.Event | None:
        """The event that a message means, None for one that means nothing to us.

        Raises:
            MalformedMessageError: When a header is missing or cannot be read.
        """
        name = message.get("Event", "")
        if name == "UserEvent":
            name = _header(message, "UserEvent")
        handler = self._handlers.get(name)
        if handler is None or is_helper(message.get("Channel", "")):
            return None
        return handler(message)

    def at(self, message: Message) -> datetime:
        """When it happened, by Asterisk's own clock where it says so."""
        stamp = message.get("Timestamp")
        if stamp is None:
            return self._now()
        try:
            return datetime.fromtimestamp(float(stamp), UTC)
        except (ValueError, OverflowError, OSError):
            raise _unreadable("Timestamp", stamp, "time") from None

    def kind(self, channel: str) -> tuple[LegKind, str]:
        """What stands behind a channel, and the endpoint.

        `PJSIP/301-0000002a` is endpoint `301`; a `Local/…` channel or a conference announcer is
        neither a line nor an outside party.
        """
        stem = channel.rpartition("-")[0]
        known = self._kinds.get(stem)
        if known is None:
            technology, slash, endpoint = stem.partition("/")
            if not slash or technology not in _LINE_TECHNOLOGIES:
                known = (LegKind.OTHER, "")
            elif any(fnmatchcase(endpoint, pattern) for pattern in self._trunks):
                known = (LegKind.OUTSIDE, endpoint)
            else:
                known = (LegKind.LINE, endpoint)
            if len(self._kinds) > 100_000:  # noqa: PLR2004 - hostile endpoint names must not pile up
                self._kinds.clear()
            self._kinds[stem] = known
        return known

    def who(self, message: Message) -> events.Who:
        """The channel that a message speaks of."""
        channel = _header(message, "Channel")
        kind, endpoint = self.kind(channel)
        return events.Who(
            leg=_header(message, "Uniqueid"),
            channel=channel,
            ref=_header(message, "Linkedid"),
            kind=kind,
            line=endpoint if kind is LegKind.LINE else "",
            number=_known(message.get("CallerIDNum", "")),
            name=_known(message.get("CallerIDName", "")),
            trunk=endpoint if kind is LegKind.OUTSIDE else "",
        )

    def _newchannel(self, message: Message) -> events.Event:
        return events.LegCreated(self.at(message), self.who(message))

    def _bridge_enter(self, message: Message) -> events.Event:
        holding = message.get("BridgeTechnology") == "holding_bridge"
        bridge = _header(message, "BridgeUniqueid")
        return events.LegBridged(self.at(message), self.who(message), bridge, holding)

    def _bridge_leave(self, message: Message) -> events.Event:
        bridge = _header(message, "BridgeUniqueid")
        return events.LegUnbridged(self.at(message), _header(message, "Uniqueid"), bridge)

    def _blind_transfer(self, message: Message) -> events.Event | None:
        if message.get("Result") != "Success":
            return None
        leg = _header(message, "TransfererUniqueid")
        target = message.get("Extension", "")
        return events.CallTransferred(self.at(message), leg, "blind", target)

    def _attended_transfer(self, message: Message) -> events.Event | None:
        if message.get("Result") != "Success":
            return None
        leg = _header(message, "OrigTransfererUniqueid")
        target = message.get("SecondTransfererConnectedLineNum", "")
        return events.CallTransferred(self.at(message), leg, "attended", _known(target))

    def _mixmonitor_start(self, message: Message) -> events.Event:
        return events.RecordingStarted(self.at(message), _header(message, "Uniqueid"))

    def _mixmonitor_stop(self, message: Message) -> events.Event:
        return events.RecordingStopped(self.at(message), _header(message, "Uniqueid"))

    def _mixmonitor_mute(self, message: Message) -> events.Event | None:
        leg, at = _header(message, "Uniqueid"), self.at(message)
        if _header(message, "Direction") != "both":
            return None
        muted = _header(message, "State") == "1"
        return events.RecordingPaused(at, leg) if muted else events.RecordingResumed(at, leg)

    def _hangup(self, message: Message) -> events.Event:
        leg = _header(message, "Uniqueid")
        return events.LegHungUp(self.at(message), leg, message.get("Cause-txt", ""))

    def _offer(self, message: Message) -> events.Event:
        return self.offer(self.at(message), self.who(message), _header(message, "Offer"))

    def offer(self, at: datetime, who: events.Who, text: str) -> events.CallOffered:
        """Read `direction/line/ddi/queue/dialled/menu`, as the dialplan reports and keeps it."""
        parts = text.split("/")
        if len(parts) == 5:  # noqa: PLR2004 - a channel of before the last upgrade
            parts.append("")
        if len(parts) != 6:  # noqa: PLR2004
            raise _unreadable("Offer", text, "offer: not six parts")
        direction, line, ddi, queue, dialled, menu = parts
        if menu not in MENU_ANSWERS:
            raise _unreadable("Offer", text, "offer: no answer of a menu")
        try:
            where = Direction(direction)
        except ValueError:
            raise _unreadable("Offer", text, "offer: no direction") from None
        said = MENU_ANSWERS[menu]
        return events.CallOffered(at, who, where, line or None, ddi, queue, dialled, said)

    def _unanswered(self, message: Message) -> events.Event:
        return events.OfferUnanswered(self.at(message), _header(message, "Uniqueid"))

    def _consent(self, message: Message) -> events.Event:
        leg = _header(message, "Uniqueid")
        return self.consent(self.at(message), leg, _header(message, "Consent"))

    def consent(self, at: datetime, leg: str, text: str) -> events.ConsentReported:
        """Read `mode/language/prompt/key/from/to/completed`; times are ms since the epoch."""
        match = _REPORT.fullmatch(text)
        if match is None:
            raise _unreadable("Consent", text, "report")
        mode, language, prompt, key, begin, end, completed = match.groups()
        try:
            played_from, played_to = _from_ms(begin), _from_ms(end)
        except (ValueError, OverflowError, OSError):
            raise _unreadable("Consent", text, "report: no times in ms") from None
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

    def _whisper(self, message: Message) -> events.Event:
        return events.WhisperPlayed(self.at(message), _header(message, "Uniqueid"))

    def _voicemail(self, message: Message) -> events.Event:
        return self.voicemail(self.who(message), _header(message, "Voicemail"))

    def voicemail(self, who: events.Who, text: str) -> events.VoicemailReached:
        """Read `line/at`, as the dialplan reports and keeps it; the time is ms since the epoch."""
        match = _VOICEMAIL.fullmatch(text)
        if match is None:
            raise _unreadable("Voicemail", text, "voicemail")
        try:
            at = _from_ms(match[2])
        except (ValueError, OverflowError, OSError):
            raise _unreadable("Voicemail", text, "voicemail: no time in ms") from None
        return events.VoicemailReached(at, who, match[1] or None)

    def _profile(self, message: Message) -> events.Event:
        code = _header(message, "Code")
        if not _CODE.fullmatch(code):
            raise _unreadable("Code", code, "code of a profile")
        return events.ProfileDialled(self.at(message), self.who(message), code)

    def _key(self, message: Message) -> events.Event:
        text = _header(message, "Key")
        try:
            key = Key(text)
        except ValueError:
            raise _unreadable("Key", text, "key of ours") from None
        return events.KeyPressed(self.at(message), _header(message, "Uniqueid"), key)

    def _stopped(self, message: Message) -> events.Event:
        leg = _header(message, "Uniqueid")
        discard = message.get("Key") == Key.DISCARD
        return events.RecordingStopped(
            self.at(message), leg, offline_pause=not discard, offline_discard=discard
        )


def _header(message: Message, name: str) -> str:
    try:
        return message[name]
    except KeyError:
        event = message.get("Event", "?")
        raise MalformedMessageError(f"{event} has no header {name}") from None


def _known(value: str) -> str:
    return "" if value == "<unknown>" else value


def _from_ms(text: str) -> datetime:
    return datetime.fromtimestamp(int(text) / 1000, UTC)


def _unreadable(header: str, value: str, what: str) -> MalformedMessageError:
    """Without the value: these errors are logged, and callers' numbers must not be."""
    return MalformedMessageError(f"{header}: its {len(value)} characters are no {what}")
