"""ESL events to the domain's. One small function per event; raw names end here."""

from collections.abc import Callable
from datetime import UTC, datetime

from callrec_pbx.domain import events
from callrec_pbx.domain.words import Key
from callrec_pbx.pbx import reports
from callrec_pbx.pbx.freeswitch import who as whos
from callrec_pbx.pbx.freeswitch.legs import Legs
from callrec_pbx.pbx.freeswitch.link import Message
from callrec_pbx.pbx.freeswitch.who import Trunks, header, variable

Found = list[events.Event]

PATH = "callrec_path"
"""Variable of a leg: the file that we have had its audio written to, last."""


QUEUES = ("cc_agent_uuid", "cc_member_session_uuid")
"""Variables by which mod_callcenter names, on a leg, the one that it is put through to."""


class Translator:
    """Translates events, and knows the living legs.

    Args:
        trunks: Patterns of the gateways and SIP profiles that lead outside.
        now: The time by FreeSWITCH's clock, for what it does not stamp.
    """

    def __init__(self, trunks: tuple[str, ...], now: Callable[[], datetime]) -> None:
        self._trunks = Trunks(trunks)
        self._now = now
        self.legs = Legs()
        self._handlers: dict[str, Callable[[Message], Found]] = {
            "CHANNEL_CREATE": self._created,
            "CHANNEL_ANSWER": self._known,
            "CHANNEL_ORIGINATE": self._known,
            "CHANNEL_BRIDGE": self._bridged,
            "CHANNEL_UNBRIDGE": self._unbridged,
            "CHANNEL_HANGUP_COMPLETE": self._hung_up,
            "RECORD_START": self._record_started,
            "RECORD_STOP": self._record_stopped,
        }
        self._reports: dict[str, Callable[[Message], Found]] = {
            "callrec::offer": self._offer,
            "callrec::unanswered": self._unanswered,
            "callrec::consent": self._consent,
            "callrec::whisper": self._whisper,
            "callrec::key": self._key,
            "callrec::stopped": self._stopped,
            "callrec::voicemail": self._voicemail,
            "callrec::profile": self._profile,
        }

    @staticmethod
    def name(message: Message) -> str:
        """What a message is called; ours go by the name that the scripts give them."""
        name = message.get("Event-Name", "")
        return message.get("Event-Subclass", "") if name == "CUSTOM" else name

    def translate(self, message: Message) -> Found:
        """The events that a message means, none for one that means nothing to us.

        Raises:
            MalformedMessageError: When a header is missing or cannot be read.
        """
        handlers = self._reports if message.get("Event-Name") == "CUSTOM" else self._handlers
        handler = handlers.get(self.name(message))
        found = self._changed(message)
        return found + handler(message) if handler is not None else found

    def _changed(self, message: Message) -> Found:
        """What any event of a channel may show."""
        leg = message.get("Unique-ID", "")
        if self.legs.get(leg) is None:
            return []
        found: Found = []
        if message.get("Answer-State") == "answered":
            found += self.legs.answered(self.at(message), leg)
        source = variable(message, "transfer_source")
        if source:
            queue = variable(message, QUEUES[0]) or variable(message, QUEUES[1])
            found += self.legs.moved(self.at(message), leg, source, queue)
        return found

    def at(self, message: Message) -> datetime:
        """When it happened, by FreeSWITCH's own clock."""
        stamp = message.get("Event-Date-Timestamp", "")
        if not stamp:
            return self._now()
        try:
            return from_micros(stamp)
        except (ValueError, OverflowError, OSError):
            raise reports.unreadable("Event-Date-Timestamp", stamp, "time") from None

    def who(self, message: Message) -> events.Who:
        """The channel that a message speaks of, as it was when it came into being."""
        return self.legs.note(whos.who(message, self._trunks)).who

    def _created(self, message: Message) -> Found:
        return [events.LegCreated(self.at(message), self.who(message))]

    def _known(self, message: Message) -> Found:
        self.who(message)
        return self._changed(message)

    def _bridged(self, message: Message) -> Found:
        one = header(message, "Bridge-A-Unique-ID")
        other = header(message, "Bridge-B-Unique-ID")
        who = self.who(message)
        return self._changed(message) + self.legs.bridged(self.at(message), one, other, who.ref)

    def _unbridged(self, message: Message) -> Found:
        one = header(message, "Bridge-A-Unique-ID")
        other = header(message, "Bridge-B-Unique-ID")
        return self.legs.unbridged(self.at(message), one, other)

    def _hung_up(self, message: Message) -> Found:
        leg, at = header(message, "Unique-ID"), self.at(message)
        self.legs.gone(leg)
        return [events.LegHungUp(at, leg, message.get("Hangup-Cause", ""))]

    def _record_started(self, message: Message) -> Found:
        if not _is_ours(message):
            return []
        return [events.RecordingStarted(self.at(message), header(message, "Unique-ID"))]

    def _record_stopped(self, message: Message) -> Found:
        if not _is_ours(message):
            return []
        return [events.RecordingStopped(self.at(message), header(message, "Unique-ID"))]

    def _offer(self, message: Message) -> Found:
        text = header(message, "Callrec-Offer")
        return [reports.offer(self.at(message), self.who(message), text)]

    def _unanswered(self, message: Message) -> Found:
        return [events.OfferUnanswered(self.at(message), header(message, "Unique-ID"))]

    def _consent(self, message: Message) -> Found:
        leg, text = header(message, "Unique-ID"), header(message, "Callrec-Consent")
        return [reports.consent(self.at(message), leg, text)]

    def _whisper(self, message: Message) -> Found:
        return [events.WhisperPlayed(self.at(message), header(message, "Unique-ID"))]

    def _voicemail(self, message: Message) -> Found:
        return [reports.voicemail(self.who(message), header(message, "Callrec-Voicemail"))]

    def _profile(self, message: Message) -> Found:
        code = header(message, "Callrec-Code")
        return [reports.profile(self.at(message), self.who(message), code)]

    def _key(self, message: Message) -> Found:
        leg, text = header(message, "Unique-ID"), header(message, "Callrec-Key")
        return [reports.key(self.at(message), leg, text)]

    def _stopped(self, message: Message) -> Found:
        leg, at = header(message, "Unique-ID"), self.at(message)
        discard = message.get("Callrec-Key") == Key.DISCARD
        return [
            events.RecordingStopped(at, leg, offline_pause=not discard, offline_discard=discard)
        ]


def from_micros(text: str) -> datetime:
    """A time as FreeSWITCH writes it, in microseconds since the epoch.

    Raises:
        ValueError: It is none; so do OverflowError and OSError say.
    """
    seconds, micros = divmod(int(text), 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def _is_ours(message: Message) -> bool:
    """Whether it is about our file: an administrator may have others written of the same leg."""
    path = variable(message, PATH)
    return bool(path) and message.get("Record-File-Path") == path
