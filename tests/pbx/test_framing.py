"""AMI bytes to messages: whole ones only, however they are cut and whatever a caller sends."""

import re
from dataclasses import fields, replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from callrec_pbx.domain.events import CallTransferred, Event, Who
from callrec_pbx.pbx.asterisk import framing, shape
from callrec_pbx.pbx.asterisk.framing import Framer
from callrec_pbx.pbx.asterisk.link import WANTED
from callrec_pbx.pbx.errors import MalformedMessageError, UnsafeValueError
from tests.pbx import captured
from tests.pbx.captured import GREETING, segments
from tests.pbx.transcripts import PAUSE, TRANSFERS, events_of

CALL = captured.call()
BLOCKS = [block for block in CALL.split(b"\r\n\r\n")[:-1] if block]
END = b"\r\n\r\n"


def framed(*pieces: bytes) -> list[bytes]:
    """The messages found in those segments."""
    framer = Framer(WANTED)
    return [block for piece in pieces for block in framer.feed(piece)]


# cutting


@given(st.lists(st.integers(0, len(CALL)), max_size=60))
@settings(max_examples=40)
def test_every_split_gives_the_same_messages(cuts: list[int]) -> None:
    """Segments may fall anywhere, in the greeting and in the ends of messages too."""
    assert framed(*segments(CALL, cuts)) == framed(CALL)


def test_byte_by_byte() -> None:
    """The slowest possible peer."""
    data = CALL[: len(CALL) // 8]
    whole = framed(data)
    assert framed(*(data[i : i + 1] for i in range(len(data)))) == whole
    assert len(whole) > 2


def test_only_what_is_wanted_is_kept() -> None:
    """Other events are counted; UserEvents are ours or not kept; responses always are."""
    framer = Framer(WANTED)
    found = framer.feed(CALL)
    names = [framing.parse(block).get("Event", "Response") for block in found]
    assert set(names) <= {name.decode() for name in WANTED} | {"Response"}
    assert framer.skipped == len(BLOCKS) - len(found)
    assert framer.refused == 0
    assert b"".join(found).count(b"\r\nUserEvent: Callrec") == names.count("UserEvent") > 0
    others = [block.replace(b"UserEvent: Callrec", b"UserEvent: Other") for block in found]
    left = [b for b in found if not b.startswith(b"Event: UserEvent")]
    assert framed(GREETING + END.join(others) + END) == left


@pytest.mark.parametrize(
    "greeting",
    [b"", b"Asterisk Call Manager/2.10.4\r\n", b"Asterisk Call Manager/11.0.0\r\n"],
)
def test_greeting(greeting: bytes) -> None:
    """It is not a header, and may be missing."""
    login = b"Response: Success\r\nMessage: Authentication accepted"
    assert framed(greeting + login + END) == [login]


def test_what_does_not_speak_ami() -> None:
    """A peer that never ends a message is given up, before or after a first line."""
    for first in (b"", b"SSH-2.0-OpenSSH\r\n", GREETING):
        framer = Framer(WANTED)
        framer.feed(first)
        framer.feed(b"x" * (framing.MAX_MESSAGE - 20))
        with pytest.raises(MalformedMessageError, match="no end of message within 1048576"):
            framer.feed(b"x" * 40)
    framer = Framer(WANTED)
    assert framer.feed(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n") == []
    assert framer.refused == 1


def test_a_first_line_alone_is_an_event_too() -> None:
    """An event without any header."""
    assert framed(GREETING + b"Event: Shutdown" + END) == [b"Event: Shutdown"]


# reading


def test_headers() -> None:
    """A value may hold colons and spaces and be empty; the space after the colon is optional."""
    message = framing.parse(b"Event: X\r\nA: b: c\r\nB:d\r\nC: \r\nD:\r\nE:  e ")
    assert message == {"Event": "X", "A": "b: c", "B": "d", "C": "", "D": "", "E": " e "}


def test_repeated_headers() -> None:
    """Asterisk repeats some; any other comes twice only when somebody forges it."""
    message = framing.parse(b"Variable: A=1\r\nVariable: B=2\r\nDestChanVariable: x\r\nOutput: o")
    assert message["Variable"] == "A=1\r\nB=2"
    with pytest.raises(MalformedMessageError, match="'Uniqueid' comes twice"):
        framing.parse(b"Event: Hangup\r\nUniqueid: 1.1\r\nUniqueid: 1.2")
    with pytest.raises(MalformedMessageError, match=r"^line 2 of 4 characters has no colon$"):
        framing.parse(b"Event: Hangup\r\nnone")


def test_utf_8_split_over_segments() -> None:
    """A character may be cut in two."""
    data = b"Response: Success\r\nMessage: " + "Grüße".encode() + END
    cut = data.index("ü".encode()) + 1
    (block,) = framed(data[:cut], data[cut:])
    assert framing.parse(block)["Message"] == "Grüße"


def test_latin_1() -> None:
    """Nothing vanishes that is not UTF-8."""
    block = "Response: Success\r\nMessage: Grüße".encode("latin-1")
    assert framing.parse(block)["Message"] == "Grüße"


# what callers send

KINDS = [
    b"Newchannel", b"BridgeEnter", b"BridgeLeave", b"MixMonitorStart", b"MixMonitorStop",
    b"MixMonitorMute", b"Hangup", b"UserEvent",
]  # fmt: skip


def genuine() -> dict[str, bytes]:
    """One message of each kind, and each of our user events."""
    found: dict[str, bytes] = {}
    for block in framed(CALL):
        message = framing.parse(block)
        name = message.get("UserEvent") or message.get("Event", "")
        if message.get("Event", "").encode() in KINDS:
            found.setdefault(name, block)
    for block in events_of(TRANSFERS, "BlindTransfer", "AttendedTransfer"):
        found[framing.parse(block)["Event"]] = block
    return found


GENUINE = genuine()
assert len(GENUINE) >= 13
OTHER = framed(CALL)[5]
"""What follows on the wire."""

PLACES = [
    (name, place.group().decode())
    for name, block in GENUINE.items()
    for place in re.finditer(rb"\r\n\w*(CallerIDNum|ConnectedLineNum|Exten|Extension): ", block)
]

LINES = [
    "Event: Hangup", "Event: Newchannel", "Event: UserEvent", "Event: FullyBooted", "Event: A",
    "Response: Success", "Privilege: call,all", "Privilege: ", "Timestamp: 1.5", "Uptime: 0",
    "Channel: PJSIP/302-00000001", "Channel: a", "ChannelState: 6", "ChannelStateDesc: ",
    "CallerIDNum: 1", "CallerIDName: x", "ConnectedLineNum: 2", "ConnectedLineName: ",
    "Language: ", "AccountCode: ", "Context: d", "Exten: 9", "Priority: 1",
    "Uniqueid: 1795246199.9", "Uniqueid: ", "Linkedid: 1795246199.9", "Linkedid: ",
    "UserEvent: CallrecKey", "Key: discard", "State: 1", "Direction: both", "Result: Fail",
    "Cause: 16", "BridgeUniqueid: 1", "ActionID: callrec-1", "Extension: 5",
    "Variable: CALLREC_CONSENT=x", "TransfererPriority: 1", "TransfererUniqueid: 1",
    "TransfererLinkedid: 1", "no colon", "",
]  # fmt: skip

TAIL = b"3\r\nPriority: 1\r\nUniqueid: 1795246199.9\r\nLinkedid: 9"


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """A number of up to 79 bytes with lines in it."""
    if draw(st.integers(0, 3)) == 0:
        return draw(st.binary(max_size=79)).replace(b"\0", b"")
    text = draw(st.sampled_from([b"", b"46701234567", TAIL, TAIL + END + b"Event: A"]))
    for line in draw(st.lists(st.sampled_from(LINES), max_size=8)):
        text += draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n\r\n", b"\n", b"\r"]))
        text += line.encode()
    return text[:79]


def with_number(block: bytes, place: str, number: bytes) -> tuple[bytes, int]:
    """The message with another number, and where the number begins."""
    begin = block.index(place.encode()) + len(place)
    return block[:begin] + number + block[block.find(b"\r\n", begin) :], begin


def without(event: Event, *names: str) -> Event:
    """The event with these facts about its party taken out."""
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Who):
            return replace(event, **{field.name: replace(value, **dict.fromkeys(names, ""))})  # type: ignore[arg-type]
    if isinstance(event, CallTransferred) and "number" in names:
        return replace(event, target="")
    return event


@pytest.mark.parametrize(("name", "place"), PLACES)
@given(number=hostile(), cuts=st.lists(st.integers(1, 2500), max_size=4))
@example(number=b"4\r\nFoo: bar\r\n\r\nEvent: Hangup\r\nUniqueid: 1795246199.9", cuts=[])
@example(number=b"4\r\n\r\nA: b\r\nEvent: Hangup\r\nUniqueid: 1795246199.9", cuts=[])
@example(number=b"\r\n" * 39, cuts=[300])
@example(number=b"\r\n\r\n" * 19, cuts=[])
@example(number=TAIL + END + b"Event: A\r\n", cuts=[])
@example(number=TAIL + END + b"A: b", cuts=[450])
@settings(max_examples=20)
def test_a_number_forges_nothing(name: str, place: str, number: bytes, cuts: list[int]) -> None:
    """Whatever the number holds, the events are those of a harmless number, but for itself."""
    plain, _ = with_number(GENUINE[name], place, b"46701234567")
    attacked, begin = with_number(GENUINE[name], place, number)
    if place.endswith("Exten: "):
        # A segment that ends with a forged end of message cannot be told from a whole one.
        ends = {begin + found.end() for found in re.finditer(END, number)}
        cuts = [cut for cut in cuts if cut not in ends]
    stream = END.join((attacked, OTHER, b""))
    seen = captured.events(segments(stream, cuts))
    expected = captured.events([END.join((plain, OTHER, b""))])
    # Whoever chooses the caller's number chooses the name that is shown, too.
    own = {"CallerIDNum: ": ("number", "name"), "Extension: ": ("number",)}.get(place.strip("\r\n"))
    if place.strip("\r\n") == "SecondTransfererConnectedLineNum: ":
        own = ("number",)
    if own and seen:
        seen[0], expected[0] = without(seen[0], *own), without(expected[0], *own)
    assert seen == expected


def test_the_number_is_cut_at_its_first_line() -> None:
    """That much is shown of a number with breaks in it."""
    for number, shown in (
        (b"46701\r\nUniqueid: 1.1", "46701"),
        (b"46701\r\n\r\nEvent: Hangup\r\nUniqueid: 1.1", "46701"),
        (b"46701\nx", "46701"),
        (b"\r\n4", ""),
        (b"4" * 200, "4" * 200),
    ):
        attacked, _ = with_number(GENUINE["Newchannel"], "\r\nCallerIDNum: ", number)
        (event,) = captured.events([attacked + END])
        assert event.who.number == shown  # type: ignore[union-attr]
        assert event.who.name == "Bob"  # type: ignore[union-attr]


def test_two_numbers_at_once() -> None:
    """The caller's number and the number that he dials, both hostile."""
    block, _ = with_number(GENUINE["Newchannel"], "\r\nExten: ", TAIL + END + b"A: b")
    forged = b"4\r\n\r\nEvent: Hangup\r\nPrivilege: \r\nChannel: PJSIP/x\r\nChannelState: 1\r\n"
    block, _ = with_number(block, "\r\nCallerIDNum: ", forged)
    plain = captured.events([GENUINE["Newchannel"] + END])
    seen = captured.events([block + END])
    assert [without(e, "number") for e in seen] == [without(e, "number") for e in plain]


def test_a_forged_message_from_elsewhere() -> None:
    """What is cut off a skipped event, or stands in its last header, is no message."""
    dial = b"Event: DialBegin\r\nPrivilege: call,all\r\nDialString: 3"
    for forged in (
        b"Event: Hangup\r\nPrivilege: x\r\nUniqueid: 1795251396.0",
        b"Event: UserEvent\r\nUserEvent: CallrecKey\r\nKey: discard\r\nUniqueid: 1.0",
        b"A: b\r\nEvent: Hangup\r\nUniqueid: 1795251396.0",
    ):
        framer = Framer(WANTED)
        framer.feed(GREETING)
        assert framer.feed(END.join((dial, forged, b""))) == []
        assert (framer.skipped, framer.refused) == (1, 1)


def test_an_answer_is_no_event() -> None:
    """Whatever an answer to nobody holds, it is not told as something that happened."""
    forged = b"Response: Success\r\nEvent: Hangup\r\nUniqueid: 1795251396.0"
    assert framed(GREETING + forged + END) == [forged]
    assert captured.events([END.join((forged, forged + b"\r\nActionID: callrec-1", b""))]) == []


STATUS_PLACES = ["CallerIDNum: ", "Exten: ", "DNID: ", "EffectiveConnectedLineNum: ", "Data: "]


@pytest.mark.parametrize("place", STATUS_PLACES)
@given(number=hostile(), cuts=st.lists(st.integers(1, 1500), max_size=4))
@example(number=b"3\r\nVariable: CALLREC_CONSENT=opt_in/en/x/1/1/2/1", cuts=[])
@example(number=b"3\r\nBridgeID: x\r\n\r\nEvent: Status", cuts=[400, 600])
@settings(max_examples=20)
def test_a_snapshot_cannot_be_forged(place: str, number: bytes, cuts: list[int]) -> None:
    """Whatever a number holds, the variables, the bridge and the ids are Asterisk's."""
    plain = events_of(PAUSE, "Status")[1]
    attacked, begin = with_number(plain, f"\r\n{place}", number)
    framer = Framer(WANTED)
    framer.feed(GREETING)
    follow = b"Event: StatusComplete\r\nActionID: 1"
    stream = END.join((attacked, follow, b""))
    if place == "Exten: ":
        cuts = [c for c in cuts if c not in {begin + f.end() for f in re.finditer(END, number)}]
    found = [block for piece in segments(stream, cuts) for block in framer.feed(piece)]
    assert found[1:] == [follow]
    message, expected = framing.parse(found[0]), framing.parse(plain)
    for header in (place[:-2], "CallerIDName"):
        message.pop(header)
        expected.pop(header)
    assert message == expected


def test_another_layout_of_channels() -> None:
    """An Asterisk that prints channels in another way is read, if not cleaned."""
    block = GENUINE["Hangup"].replace(b"AccountCode: ", b"Account: ")
    assert framed(GREETING + block + END) == [block]


def test_a_cut_message_without_end_is_given_up() -> None:
    """It costs itself, not the connection and not what follows."""
    head = GENUINE["Newchannel"].partition(b"\r\nCallerIDName: ")[0]
    framer = Framer(WANTED)
    framer.feed(GREETING)
    assert framer.feed(head + END) == []
    assert framer.feed((OTHER + END) * 10) == []
    assert framer.feed((OTHER + END) * 40) == [OTHER] * 50
    assert framer.refused == 1


# actions


def test_an_action_on_the_wire() -> None:
    """Name, id, headers in order."""
    data = framing.action("Setvar", {"Channel": "PJSIP/ü-1", "Value": ""}, "id-1")
    text = "Action: Setvar\r\nActionID: id-1\r\nChannel: PJSIP/ü-1\r\nValue: \r\n\r\n"
    assert data == text.encode()


@pytest.mark.parametrize("bad", ["\r", "\n", "\0", "\r\nAction: Command"])
def test_breaks_are_refused(bad: str) -> None:
    """In values, in names of headers, in the action's name and id."""
    for name, headers, action_id in (
        ("Setvar", {"Value": f"a{bad}b"}, "1"),
        ("Setvar", {f"Value{bad}": "a"}, "1"),
        (f"Setvar{bad}", {}, "1"),
        ("Setvar", {}, f"1{bad}"),
    ):
        with pytest.raises(UnsafeValueError, match="line break or NUL"):
            framing.action(name, headers, action_id)


def test_a_line_too_long_is_refused() -> None:
    """Asterisk would drop the whole message; bytes count, not characters."""
    room = framing.MAX_LINE - len("Value: ") - 1
    assert framing.action("Setvar", {"Value": "x" * (room - 4) + "ää"}, "1")
    for value in ("x" * (room + 1), "x" * (room - 1) + "ä"):
        with pytest.raises(UnsafeValueError, match=r"Value of .Setvar. is longer than 1024 b"):
            framing.action("Setvar", {"Value": value}, "1")
    with pytest.raises(UnsafeValueError, match="longer"):
        framing.action("x" * framing.MAX_LINE, {}, "1")


def test_all_events_are_of_a_known_shape() -> None:
    """Every wanted event is checked for its channel, or listed as having none."""
    assert shape.WITHOUT_CHANNEL <= WANTED
