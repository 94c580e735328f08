"""AMI messages to events: real calls read like what happened, and what is malformed is named."""

import traceback
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from callrec_pbx.audio import manifest
from callrec_pbx.domain import events as e
from callrec_pbx.domain.words import Consent, ConsentMode, Direction, Key, LegKind
from callrec_pbx.pbx import reports
from callrec_pbx.pbx.asterisk import framing
from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.asterisk.translate import Translator
from callrec_pbx.pbx.errors import MalformedMessageError
from tests.pbx.transcripts import OURS, PAUSE, STAR, TRANSFERS, events_of, messages

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

CREATE = {"Channel", "Uniqueid", "Linkedid"}
NEEDED = {
    "Newchannel": CREATE,
    "BridgeEnter": CREATE | {"BridgeUniqueid"},
    "BridgeLeave": {"Uniqueid", "BridgeUniqueid"},
    "BlindTransfer": {"TransfererUniqueid"},
    "AttendedTransfer": {"OrigTransfererUniqueid"},
    "MixMonitorStart": {"Uniqueid"},
    "MixMonitorStop": {"Uniqueid"},
    "MixMonitorMute": {"Uniqueid", "Direction", "State"},
    "Hangup": {"Uniqueid"},
    "CallrecOffer": CREATE | {"Offer", "UserEvent"},
    "CallrecUnanswered": {"Uniqueid", "UserEvent"},
    "CallrecConsent": {"Uniqueid", "Consent", "UserEvent"},
    "CallrecWhisper": {"Uniqueid", "UserEvent"},
    "CallrecKey": {"Uniqueid", "Key", "UserEvent"},
    "CallrecStopped": {"Uniqueid", "UserEvent"},
    "CallrecVoicemail": CREATE | {"Voicemail", "UserEvent"},
    "CallrecProfile": CREATE | {"Code", "UserEvent"},
}
"""The headers that each message must have."""


@pytest.fixture
def translator() -> Translator:
    """One for which `trunk*` leads outside."""
    return Translator(("trunk*",), lambda: NOW)


def name_of(message: Message) -> str:
    """The kind of a message, where ours go by the name that the dialplan gives them."""
    return message["UserEvent"] if message["Event"] == "UserEvent" else message["Event"]


def samples() -> dict[str, Message]:
    """A real message of each kind; those that no capture has are made of another."""
    found: dict[str, Message] = {}
    for capture in OURS:
        for block in events_of(capture, *{name.partition("Callrec")[0] for name in NEEDED}):
            message = framing.parse(block)
            found.setdefault(name_of(message), message)
        for block in events_of(capture, "UserEvent"):
            message = framing.parse(block)
            found.setdefault(name_of(message), message)
    whisper = found["CallrecWhisper"]
    found["CallrecUnanswered"] = whisper | {"UserEvent": "CallrecUnanswered"}
    found["CallrecStopped"] = whisper | {"UserEvent": "CallrecStopped", "Key": "pause"}
    found["CallrecVoicemail"] = whisper | {
        "UserEvent": "CallrecVoicemail",
        "Voicemail": "302/1795253426123",
    }
    found["CallrecProfile"] = whisper | {"UserEvent": "CallrecProfile", "Code": "42"}
    return {name: found[name] for name in NEEDED}


SAMPLES = samples()


def short(event: e.Event) -> str:
    """An event in short words; a leg by the end of its id, a bridge by its first letters."""
    who = getattr(event, "who", None)
    leg = (who.leg if who else getattr(event, "leg", "")).rpartition(".")[2]
    words = [leg, type(event).__name__]
    if isinstance(event, e.LegCreated):
        words += [event.who.kind, event.who.line or event.who.number]
    elif isinstance(event, e.CallOffered):
        words += [event.direction, event.line or "-", event.dialled]
    elif isinstance(event, e.ConsentReported):
        words += [event.mode, event.key or "-"]
    elif isinstance(event, e.KeyPressed):
        words += [event.key]
    elif isinstance(event, e.CallTransferred):
        words += [event.kind, event.target]
    elif isinstance(event, e.LegBridged | e.LegUnbridged):
        words += [event.bridge[:2]]
    return " ".join(words)


def told(translator: Translator, capture: str) -> list[str]:
    """What a captured call comes to."""
    found = []
    for block in messages(capture):
        message = framing.parse(block)
        event = translator.translate(message) if "Event" in message else None
        if event is not None:
            found.append(short(event))
    return found


def lines(text: str) -> list[str]:
    """The lines of a text, without what is around them."""
    return [line.strip() for line in text.strip().splitlines()]


def test_a_call_with_a_pause(translator: Translator) -> None:
    assert told(translator, PAUSE) == lines(
        """
        0 LegCreated outside 46701234567
        0 CallOffered inbound 301 301
        0 ConsentReported opt_out -
        1 LegCreated line 301
        1 WhisperPlayed
        1 LegBridged 67
        0 LegBridged 67
        1 RecordingStarted
        1 KeyPressed pause
        1 RecordingPaused
        1 KeyPressed pause
        1 RecordingResumed
        1 LegUnbridged 67
        1 RecordingStopped
        0 LegUnbridged 67
        1 LegHungUp
        0 LegHungUp
        """
    )


def test_a_caller_presses_star(translator: Translator) -> None:
    assert told(translator, STAR) == lines(
        """
        2 LegCreated outside 46701234567
        2 CallOffered inbound 301 301
        2 ConsentReported opt_out *
        3 LegCreated line 301
        3 LegBridged 66
        2 LegBridged 66
        3 LegUnbridged 66
        2 LegUnbridged 66
        2 LegHungUp
        3 LegHungUp
        """
    )


def test_transfers(translator: Translator) -> None:
    """An agent consults a colleague, hands the call over, and she hands it on."""
    found = told(translator, TRANSFERS)
    assert "5 CallTransferred attended 302" in found
    assert "7 CallTransferred blind 303" in found
    assert [line for line in found if "CallOffered" in line] == [
        "4 CallOffered inbound 301 301",
        "6 CallOffered internal 302 302",
        "4 CallOffered internal 303 303",
    ]
    bridged = [line for line in found if "LegBridged" in line]
    assert bridged[-3:] == ["4 LegBridged 55", "8 LegBridged 83", "4 LegBridged 83"]


def test_who_and_when(translator: Translator) -> None:
    event = translator.translate(SAMPLES["Newchannel"])
    assert event == e.LegCreated(
        at=datetime.fromtimestamp(float(SAMPLES["Newchannel"]["Timestamp"]), UTC),
        who=e.Who(
            leg="pbx-1795253416.0",
            channel="PJSIP/trunk-00000000",
            ref="pbx-1795253416.0",
            kind=LegKind.OUTSIDE,
            number="46701234567",
            name="Bob",
            trunk="trunk",
        ),
    )
    line = translator.who(SAMPLES["CallrecWhisper"])
    assert (line.kind, line.line, line.trunk) == (LegKind.LINE, "301", "")


def test_what_is_not_known_is_empty(translator: Translator) -> None:
    unknown = {"CallerIDNum": "<unknown>", "CallerIDName": "<unknown>"}
    who = translator.who(SAMPLES["Newchannel"] | unknown)
    assert (who.number, who.name) == ("", "")
    bare = {name: SAMPLES["Newchannel"][name] for name in ("Channel", "Uniqueid", "Linkedid")}
    who = translator.who(bare)
    assert (who.number, who.name) == ("", "")


def test_without_a_stamp_it_is_now(translator: Translator) -> None:
    message = {**SAMPLES["Hangup"]}
    del message["Timestamp"]
    event = translator.translate(message)
    assert isinstance(event, e.LegHungUp)
    assert event.at == NOW


@pytest.mark.parametrize("stamp", ["", "soon", "nan", "1e400", "99999999999999"])
def test_a_stamp_that_is_no_time(translator: Translator, stamp: str) -> None:
    with pytest.raises(MalformedMessageError, match="Timestamp: "):
        translator.translate(SAMPLES["Hangup"] | {"Timestamp": stamp})


@pytest.mark.parametrize(("name", "header"), [(n, h) for n in NEEDED for h in sorted(NEEDED[n])])
def test_a_header_that_is_missing_is_named(translator: Translator, name: str, header: str) -> None:
    message = {**SAMPLES[name]}
    del message[header]
    with pytest.raises(MalformedMessageError) as caught:
        translator.translate(message)
    assert str(caught.value) == f"{message['Event']} has no header {header}"


@pytest.mark.parametrize("name", NEEDED)
def test_no_other_header_is_needed(translator: Translator, name: str) -> None:
    kept = NEEDED[name] | {"Event", "UserEvent", "Result"}
    message = {key: value for key, value in SAMPLES[name].items() if key in kept}
    assert translator.translate(message) is not None


@pytest.mark.parametrize(
    ("channel", "kind", "line"),
    [
        ("PJSIP/301-0000002a", LegKind.LINE, "301"),
        ("SIP/desk-7-0000002a", LegKind.LINE, "desk-7"),
        ("IAX2/anna-1", LegKind.LINE, "anna"),
        ("DAHDI/i1/4930-1", LegKind.LINE, "i1/4930"),
        ("PJSIP/trunk-0000002a", LegKind.OUTSIDE, "trunk"),
        ("PJSIP/trunk2-0000002a", LegKind.OUTSIDE, "trunk2"),
        ("Local/301@from-queue-0000002a;1", LegKind.OTHER, ""),
        ("CBAnn/1-0000002a;2", LegKind.OTHER, ""),
        ("Message/ast_msg_queue", LegKind.OTHER, ""),
        ("PJSIP/301", LegKind.OTHER, ""),
        ("", LegKind.OTHER, ""),
    ],
)
def test_what_stands_behind_a_channel(
    translator: Translator, channel: str, kind: LegKind, line: str
) -> None:
    assert translator.kind(channel) == (kind, line)
    assert translator.kind(channel) == (kind, line)


def test_hostile_channel_names_do_not_pile_up(translator: Translator) -> None:
    for number in range(100_002):
        translator.kind(f"PJSIP/{number}-1")
    assert len(translator._kinds) < 10
    assert translator.kind("PJSIP/301-1") == (LegKind.LINE, "301")


def test_parking_is_a_holding_bridge(translator: Translator) -> None:
    message = SAMPLES["BridgeEnter"]
    for technology, holding in (("holding_bridge", True), ("simple_bridge", False)):
        event = translator.translate(message | {"BridgeTechnology": technology})
        assert isinstance(event, e.LegBridged)
        assert event.holding is holding


def test_a_transfer_that_failed_is_none(translator: Translator) -> None:
    for name in ("BlindTransfer", "AttendedTransfer"):
        assert translator.translate(SAMPLES[name] | {"Result": "Fail"}) is None


def test_muting_one_side_is_no_pause(translator: Translator) -> None:
    assert translator.translate(SAMPLES["MixMonitorMute"] | {"Direction": "read"}) is None


@pytest.mark.parametrize("name", ["FullyBooted", "Shutdown", "Newexten", "toString", ""])
def test_others_mean_nothing(translator: Translator, name: str) -> None:
    assert translator.translate({"Event": name}) is None
    assert translator.translate({"Event": "UserEvent", "UserEvent": name}) is None


def test_no_event_at_all(translator: Translator) -> None:
    assert translator.translate({"Response": "Success"}) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inbound/301/4930123/sales/301", (Direction.INBOUND, "301", "4930123", "sales", "301")),
        ("outbound/301///0493012", (Direction.OUTBOUND, "301", "", "", "0493012")),
        ("internal////", (Direction.INTERNAL, None, "", "", "")),
    ],
)
def test_offers(
    translator: Translator, text: str, expected: tuple[Direction, str | None, str, str, str]
) -> None:
    event = translator.translate(SAMPLES["CallrecOffer"] | {"Offer": text})
    assert isinstance(event, e.CallOffered)
    found = (event.direction, event.line, event.ddi, event.queue, event.dialled)
    assert found == expected


@pytest.mark.parametrize(
    ("menu", "expected"),
    [("", None), ("accepted", Consent.ACCEPTED), ("declined", Consent.DECLINED)],
)
def test_offers_after_a_menu(translator: Translator, menu: str, expected: Consent | None) -> None:
    text = f"inbound/301/4930123/sales/301/{menu}"
    event = translator.translate(SAMPLES["CallrecOffer"] | {"Offer": text})
    assert isinstance(event, e.CallOffered)
    assert (event.outer_consent, event.dialled) == (expected, "301")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "inbound/301",
        "inbound/1/2/3/4/5",
        "inbound/1/2/3/4/announced",
        "inbound/1/2/3/4/accepted/",
        "sideways/1/2/3/4",
    ],
)
def test_offers_that_cannot_be_read(translator: Translator, text: str) -> None:
    with pytest.raises(MalformedMessageError, match=f"^Offer: its {len(text)} characters are no"):
        translator.translate(SAMPLES["CallrecOffer"] | {"Offer": text})


@pytest.mark.parametrize(
    ("name", "header", "text"),
    [
        ("Hangup", "Timestamp", "tel:+4930123456"),
        ("CallrecOffer", "Offer", "inbound/+4930123456"),
        ("CallrecOffer", "Offer", "+4930123456/1/2/3/4"),
        ("CallrecConsent", "Consent", "+4930123456"),
        ("CallrecConsent", "Consent", "opt_out/en/announce//4930123456999999/1/1"),
        ("CallrecKey", "Key", "+4930123456"),
        ("CallrecVoicemail", "Voicemail", "+4930123456"),
        ("CallrecVoicemail", "Voicemail", "4930123456/9999999999999999"),
        ("CallrecProfile", "Code", "+4930123456"),
        ("CallrecProfile", "Code", "4930123456" * 3),
        ("CallrecProfile", "Code", ""),
    ],
)
def test_what_cannot_be_read_is_not_repeated(
    translator: Translator, name: str, header: str, text: str
) -> None:
    """These errors are logged, and a caller's number has no business there."""
    with pytest.raises(MalformedMessageError) as caught:
        translator.translate(SAMPLES[name] | {header: text})
    assert "4930123456" not in "".join(traceback.format_exception(caught.value))
    assert str(caught.value).startswith(f"{header}: its {len(text)} characters are no")


def test_consent(translator: Translator) -> None:
    text = "opt_in/de/announce_opt_in/1/1795246198300/1795246199550/1"
    event = translator.translate(SAMPLES["CallrecConsent"] | {"Consent": text})
    assert isinstance(event, e.ConsentReported)
    assert (event.mode, event.prompt, event.language, event.key, event.completed) == (
        ConsentMode.OPT_IN,
        "announce_opt_in",
        "de",
        "1",
        True,
    )
    assert (event.played_to - event.played_from).total_seconds() == 1.25


@pytest.mark.parametrize(
    "text",
    [
        "",
        "none/en/announce//1/2/1",
        "opt_out/en/announce//1/2/2",
        "opt_out/en/announce/12/1/2/1",
        "opt_out/en/announce/a/1/2/1",
        "opt_out/en/announce//1/2/1/extra",
        "opt_out/en/announce//1/2/1\n",
        "opt_out/en/../../etc//1/2/1",
        "opt_out/en/announce//-1/2/1",
        "opt_out/en/announce//9999999999999999/1/1",
    ],
)
def test_consent_that_cannot_be_read(translator: Translator, text: str) -> None:
    with pytest.raises(MalformedMessageError, match=r"^Consent: "):
        translator.translate(SAMPLES["CallrecConsent"] | {"Consent": text})


@given(
    st.from_regex(manifest._LANGUAGE, fullmatch=True), st.from_regex(manifest._NAME, fullmatch=True)
)
@example("es-419", "announce_2")
def test_every_prompt_that_can_be_installed_can_be_reported(language: str, name: str) -> None:
    """Otherwise the `*` that a caller pressed is lost."""
    event = reports.consent(NOW, "1.1", f"opt_out/{language}/{name}/*/1/2/1")
    assert (event.language, event.prompt, event.key) == (language, name, "*")


@pytest.mark.parametrize(("text", "line"), [("302/1795253426123", "302"), ("/1795253426123", None)])
def test_voicemail(translator: Translator, text: str, line: str | None) -> None:
    event = translator.translate(SAMPLES["CallrecVoicemail"] | {"Voicemail": text})
    assert isinstance(event, e.VoicemailReached)
    assert event.line == line
    assert event.at == datetime.fromtimestamp(1795253426.123, UTC)


def test_the_code_of_a_profile(translator: Translator) -> None:
    event = translator.translate(SAMPLES["CallrecProfile"])
    assert isinstance(event, e.ProfileDialled)
    assert (event.who.line, event.code) == ("301", "42")


@pytest.mark.parametrize(
    ("channel", "helper"),
    [
        ("Local/s@callrec-told-0000000a;1", True),
        ("Local/s@callrec-told-0000000a;2", True),
        ("Local/hook@__func_periodic_hook_context__-0000000a;1", True),
        ("Local/301@from-queue-0000000a;1", False),
        ("Local/s@callrec-told-0000000a;1@from-internal-0000000b;1", False),
        ("PJSIP/s@callrec-told-0000000a", False),
    ],
)
def test_helper_channels_are_no_calls(translator: Translator, channel: str, helper: bool) -> None:
    """What plays a notice, or the reminder tone, into a conversation is nobody's leg."""
    event = translator.translate(SAMPLES["Newchannel"] | {"Channel": channel})
    assert (event is None) is helper


@pytest.mark.parametrize("key", list(Key))
def test_keys(translator: Translator, key: Key) -> None:
    event = translator.translate(SAMPLES["CallrecKey"] | {"Key": key.value})
    assert isinstance(event, e.KeyPressed)
    assert event.key is key


def test_a_key_that_is_none_of_ours(translator: Translator) -> None:
    with pytest.raises(MalformedMessageError, match=r"^Key: its 5 characters are no"):
        translator.translate(SAMPLES["CallrecKey"] | {"Key": "shout"})


@pytest.mark.parametrize(("key", "discard"), [("pause", False), ("discard", True), ("", False)])
def test_the_dialplan_stopped_by_itself(translator: Translator, key: str, discard: bool) -> None:
    event = translator.translate(SAMPLES["CallrecStopped"] | {"Key": key})
    assert isinstance(event, e.RecordingStopped)
    assert (event.offline_pause, event.offline_discard) == (not discard, discard)


def test_a_stop_of_our_own(translator: Translator) -> None:
    event = translator.translate(SAMPLES["MixMonitorStop"])
    assert isinstance(event, e.RecordingStopped)
    assert (event.offline_pause, event.offline_discard) == (False, False)
