"""AMI messages to events. One small function per message; raw names end here."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from fnmatch import fnmatchcase

from callrec_pbx.domain import events
from callrec_pbx.domain.words import Key, LegKind
from callrec_pbx.pbx import reports
from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.errors import MalformedMessageError

_LINE_TECHNOLOGIES = frozenset({"PJSIP", "SIP", "IAX2", "DAHDI", "SCCP", "Skinny", "MGCP"})
_HELPER = re.compile(r"Local/(?:s@callrec-told|hook@__func_periodic_hook_context__)-[0-9a-f]+;[12]")


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
            raise reports.unreadable("Timestamp", stamp, "time") from None

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
        return reports.offer(self.at(message), self.who(message), _header(message, "Offer"))

    def _unanswered(self, message: Message) -> events.Event:
        return events.OfferUnanswered(self.at(message), _header(message, "Uniqueid"))

    def _consent(self, message: Message) -> events.Event:
        leg = _header(message, "Uniqueid")
        return reports.consent(self.at(message), leg, _header(message, "Consent"))

    def _whisper(self, message: Message) -> events.Event:
        return events.WhisperPlayed(self.at(message), _header(message, "Uniqueid"))

    def _voicemail(self, message: Message) -> events.Event:
        return reports.voicemail(self.who(message), _header(message, "Voicemail"))

    def _profile(self, message: Message) -> events.Event:
        return reports.profile(self.at(message), self.who(message), _header(message, "Code"))

    def _key(self, message: Message) -> events.Event:
        leg = _header(message, "Uniqueid")
        return reports.key(self.at(message), leg, _header(message, "Key"))

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
