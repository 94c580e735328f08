"""ESL events to events: real calls read like what happened, and what is malformed is named."""

import traceback
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callrec_pbx.domain import events as e
from callrec_pbx.domain.words import Consent, ConsentMode, Direction, Key, LegKind
from callrec_pbx.pbx.errors import MalformedMessageError
from callrec_pbx.pbx.freeswitch.link import Message
from tests.pbx.freeswitch.captured import NOW, message, messages, told, translator

CREATED = message("blind-refer", "CHANNEL_CREATE")
LEG = CREATED["Unique-ID"]

CHANNEL = {"Unique-ID", "Channel-Name"}
BRIDGE = {"Bridge-A-Unique-ID", "Bridge-B-Unique-ID"}

OURS = {
    "callrec::offer": {"Callrec-Offer": "inbound/301/4930/sales/0301/"},
    "callrec::unanswered": {},
    "callrec::consent": {"Callrec-Consent": "opt_out/de/announce/*/1795253416000/1795253424000/1"},
    "callrec::whisper": {},
    "callrec::key": {"Callrec-Key": "pause"},
    "callrec::stopped": {"Callrec-Key": "pause"},
    "callrec::voicemail": {"Callrec-Voicemail": "302/1795253426123"},
    "callrec::profile": {"Callrec-Code": "42"},
}

NEEDED = {
    "CHANNEL_CREATE": CHANNEL,
    "CHANNEL_ORIGINATE": CHANNEL,
    "CHANNEL_ANSWER": CHANNEL,
    "CHANNEL_BRIDGE": CHANNEL | BRIDGE,
    "CHANNEL_UNBRIDGE": BRIDGE,
    "CHANNEL_HANGUP_COMPLETE": {"Unique-ID"},
    "RECORD_START": {"Unique-ID"},
    "RECORD_STOP": {"Unique-ID"},
    "callrec::offer": CHANNEL | {"Callrec-Offer"},
    "callrec::unanswered": {"Unique-ID"},
    "callrec::consent": {"Unique-ID", "Callrec-Consent"},
    "callrec::whisper": {"Unique-ID"},
    "callrec::key": {"Unique-ID", "Callrec-Key"},
    "callrec::stopped": {"Unique-ID"},
    "callrec::voicemail": CHANNEL | {"Callrec-Voicemail"},
    "callrec::profile": CHANNEL | {"Callrec-Code"},
}
"""The headers that each event must have."""


def ours(subclass: str, **headers: str) -> Message:
    """An event of our scripts, with the data of a channel."""
    event = CREATED | {"Event-Name": "CUSTOM", "Event-Subclass": subclass}
    return event | OURS[subclass] | {name.replace("_", "-"): v for name, v in headers.items()}


def sample(name: str) -> Message:
    """An event of that name."""
    if name in OURS:
        return ours(name)
    place = {"RECORD_START": 1}.get(name, 0)  # the one before is the administrator's
    return message("two-recordings", name, place)


def lines(text: str) -> list[str]:
    """The lines of a text, without what is around them."""
    return [line.strip() for line in text.strip().splitlines()]


def test_a_blind_transfer() -> None:
    """The agent's phone sends REFER; the caller goes to somebody else."""
    assert told(translator("internal-trunk"), "blind-refer") == lines(
        """
        a LegCreated line 0551234
        b LegCreated line tone440
        a LegBridged ab
        b LegBridged ab
        b CallTransferred blind 1062
        a LegUnbridged ab
        b LegUnbridged ab
        b LegHungUp
        c LegCreated line tone1000
        a LegBridged ac
        c LegBridged ac
        c LegHungUp
        a LegUnbridged ac
        a LegHungUp
        """
    )


def test_an_attended_transfer() -> None:
    """The agent's phone brings both of its calls together; both agent's legs go."""
    assert told(translator(), "attended-refer") == lines(
        """
        a LegCreated line 0551234
        b LegCreated line tone440
        a LegBridged ab
        b LegBridged ab
        c LegCreated line agentB
        d LegCreated line tone1000
        c LegBridged cd
        d LegBridged cd
        c LegUnbridged cd
        d LegUnbridged cd
        b LegHungUp
        a CallTransferred attended tone1000
        a LegUnbridged ab
        a LegBridged ad
        d LegBridged ad
        c LegHungUp
        d LegHungUp
        a LegUnbridged ad
        a LegHungUp
        """
    )


def test_an_attended_transfer_that_is_given_up() -> None:
    """FreeSWITCH's att_xfer bridges the agent anew, without an end of the bridge before."""
    assert told(translator(), "att-xfer-given-up") == lines(
        """
        a LegCreated line 0551234
        b LegCreated line 301
        a LegBridged ab
        b LegBridged ab
        c LegCreated line 444
        b LegUnbridged ab
        a LegUnbridged ab
        b LegBridged bc
        c LegBridged bc
        c LegHungUp
        b LegUnbridged bc
        b LegBridged ab
        a LegBridged ab
        a LegHungUp
        b LegUnbridged ab
        b LegHungUp
        """
    )


def test_an_attended_transfer_by_freeswitch() -> None:
    """Its att_xfer, and the agent hangs up while he talks with the third: both talk then."""
    found = told(translator("trunk", "external"), "att-xfer")
    assert found[4:15] == lines(
        """
        c LegCreated line 302
        b LegUnbridged ab
        a LegUnbridged ab
        b LegBridged bc
        c LegBridged bc
        b LegUnbridged bc
        c LegUnbridged bc
        a CallTransferred attended 302
        c LegBridged ac
        a LegBridged ac
        b LegHungUp
        """
    )


def test_legs_of_two_calls_are_brought_together() -> None:
    """`uuid_bridge`: whom they talked with is hung up by FreeSWITCH."""
    found = told(translator(), "uuid-bridge")
    assert found[8:] == lines(
        """
        c LegUnbridged cd
        d LegUnbridged cd
        c LegHungUp
        b LegHungUp
        a CallTransferred attended 302
        a LegUnbridged ab
        a LegBridged ad
        d LegBridged ad
        d LegHungUp
        a LegUnbridged ad
        a LegHungUp
        """
    )


def test_a_leg_is_taken_over() -> None:
    """`intercept` is no transfer: nobody has handed the call on."""
    found = told(translator(), "intercept")
    assert not [line for line in found if "Transferred" in line]
    assert found[-6:] == lines(
        """
        a LegHungUp
        c LegBridged bc
        b LegBridged bc
        b LegHungUp
        c LegUnbridged bc
        c LegHungUp
        """
    )


@pytest.mark.parametrize("name", ["queue", "queue-transferred"])
def test_a_queue(name: str) -> None:
    """That mod_callcenter puts its member through to an agent is no transfer; what follows is."""
    found = told(translator(), name)
    assert found[2:4] == ["a LegBridged ab", "b LegBridged ab"]
    transfers = [line for line in found if "Transferred" in line]
    assert transfers == ([] if name == "queue" else ["a CallTransferred blind b302"])


def test_whom_a_queue_calls_belongs_to_the_members_call() -> None:
    """He is called by himself: until he is put through, FreeSWITCH names his leg as his call."""
    member, agent = (message("queue", "CHANNEL_CREATE", place) for place in (0, 1))
    own, called_for = agent["Unique-ID"], member["Unique-ID"]
    assert agent["Channel-Call-UUID"] == own
    queue = {"variable_cc_side": "agent", "variable_cc_member_session_uuid": called_for}
    other = agent | {"Unique-ID": "other"}

    def ref(event: Message) -> str:
        (created,) = translator().translate(event)
        assert isinstance(created, e.LegCreated)
        return created.who.ref

    assert ref(agent | queue) == called_for
    assert ref(agent) == own
    # Whom the agent calls himself has his variables where they are exported.
    assert ref(other | queue | {"variable_cc_side": "member"}) == own
    assert ref(agent | queue | {"variable_cc_member_session_uuid": ""}) == own


def test_an_agent_of_a_queue_who_is_handed_on_belongs_to_his_new_call() -> None:
    """His variables stay; once he talks, FreeSWITCH names the call that he is in."""
    queue = {"variable_cc_side": "agent", "variable_cc_member_session_uuid": "of before"}
    found = translator()
    told_of: list[e.Event] = []
    for one in messages("queue"):
        bridged = queue if one["Event-Name"] == "CHANNEL_BRIDGE" else {}
        told_of += found.translate(one | bridged)
    refs = {one.who.ref for one in told_of if isinstance(one, e.LegBridged)}
    assert refs == {message("queue", "CHANNEL_BRIDGE")["Channel-Call-UUID"]}


@pytest.mark.parametrize(("name", "transfers"), [("cc_agent_uuid", 0), ("cc_other", 1)])
def test_an_agent_who_stays_on_the_line_is_given_a_call(name: str, transfers: int) -> None:
    """Both have talked before, and the queue brings them together: nobody hands anything on."""
    found = translator()
    taken = messages("uuid-bridge")
    told_of: list[e.Event] = []
    for one in taken:
        target = one.get("variable_transfer_source", "").rpartition(":")[2]
        told_of += found.translate(one | {f"variable_{name}": target})
    assert len([one for one in told_of if isinstance(one, e.CallTransferred)]) == transfers


def test_early_media_is_no_conversation() -> None:
    """CHANNEL_BRIDGE comes with the first audio, while the phone still rings."""
    found = translator()
    talking: list[str] = []
    for one in messages("early-media"):
        talking += [one["Event-Name"] for event in found.translate(one) if _talks(event)]
    names = [one["Event-Name"] for one in messages("early-media")]
    assert names.index("CHANNEL_BRIDGE") < len(names) - names[::-1].index("CHANNEL_ANSWER")
    assert talking == ["CHANNEL_ANSWER", "CHANNEL_ANSWER"]


def _talks(event: e.Event) -> bool:
    return isinstance(event, e.LegBridged)


def test_only_our_own_recording_is_told_of() -> None:
    """An administrator's dialplan may record the same leg."""
    found = [line for line in told(translator(), "two-recordings") if "Recording" in line]
    assert found == ["b RecordingStarted", "b RecordingStopped"]
    assert len([m for m in messages("two-recordings") if "RECORD" in m["Event-Name"]]) == 4


def test_a_dialplans_own_transfer_is_none() -> None:
    """Of a leg that talks with nobody: before an answer, in a queue, after the conversation."""
    source = "1795246947:9d42fa3f:bl_xfer:1060/default/XML"
    found = translator()
    created = message("blind-refer", "CHANNEL_CREATE")
    found.translate(created)
    answered = created | {"Event-Name": "CHANNEL_ANSWER", "variable_transfer_source": source}
    assert found.translate(answered) == []


def test_what_ends_a_call_after_a_notice_is_no_transfer() -> None:
    """We send the parties there ourselves, to a script."""
    found = translator()
    taken = messages("blind-refer")
    ended = taken.index(message("blind-refer", "CHANNEL_UNBRIDGE"))
    for one in taken[:ended]:
        found.translate(one)
    source = "1795246947:9d42fa3f:bl_xfer:lua:callrec_unavailable.lua//inline"
    sent = found.translate(taken[ended] | {"variable_transfer_source": source})
    assert {type(event) for event in sent} == {e.LegUnbridged}


def test_who_is_a_gateway() -> None:
    """A leg to a gateway is outside, and has no line."""
    (event,) = translator("carr*").translate(message("gateway", "CHANNEL_CREATE", 1))
    assert isinstance(event, e.LegCreated)
    assert event.who.kind is LegKind.OUTSIDE
    assert (event.who.trunk, event.who.line, event.who.number) == ("carrier", "", "tone999")


def test_a_profile_may_lead_outside() -> None:
    """Then all of its legs do, whoever they say they are."""
    taken = message("authenticated", "CHANNEL_CREATE") | {"variable_sofia_profile_name": "external"}
    (event,) = translator("external").translate(taken)
    assert isinstance(event, e.LegCreated)
    assert event.who.kind is LegKind.OUTSIDE
    assert (event.who.trunk, event.who.line) == ("external", "")


def test_a_profile_is_known_by_the_channels_name_too() -> None:
    """Where the variable is missing, it is what stands between the first two slashes."""
    taken = message("blind-refer", "CHANNEL_CREATE")
    del taken["variable_sofia_profile_name"]
    (event,) = translator("internal").translate(taken)
    assert isinstance(event, e.LegCreated)
    assert (event.who.kind, event.who.trunk) == (LegKind.OUTSIDE, "internal")
    taken["Channel-Name"] = "sofia/other/internal/x@127.0.0.1"
    (event,) = translator("internal").translate(taken | {"Unique-ID": "b"})
    assert isinstance(event, e.LegCreated)
    assert event.who.kind is LegKind.LINE


def test_a_phone_that_has_logged_in_is_nobody_else() -> None:
    """Its From header said 302."""
    taken = message("authenticated", "CHANNEL_CREATE")
    assert (taken["variable_sip_from_user"], taken["Caller-Username"]) == ("302", "302")
    (event,) = translator().translate(taken)
    assert isinstance(event, e.LegCreated)
    assert (event.who.kind, event.who.line) == (LegKind.LINE, "301")
    taken["variable_sip_auth_username"] = "301-at-home"  # the user counts, and not his login
    (event,) = translator().translate(taken)
    assert isinstance(event, e.LegCreated)
    assert event.who.line == "301"
    del taken["variable_user_name"]
    (event,) = translator().translate(taken)
    assert isinstance(event, e.LegCreated)
    assert event.who.line == "301-at-home"


def test_a_line_break_ends_a_number() -> None:
    """FreeSWITCH passes on what a caller has escaped in SIP; nothing after it is a header."""
    forged = "b\r\nUnique-ID: 1\nCall-Direction: outbound"
    (event,) = translator().translate(
        CREATED | {"Caller-Caller-ID-Number": forged, "variable_sip_from_user": forged}
    )
    assert isinstance(event, e.LegCreated)
    assert (event.who.leg, event.who.number, event.who.line) == (LEG, "b", "b")


def test_who_is_called_means_nothing_on_the_callers_leg() -> None:
    """FreeSWITCH leaves `dialed_user` there too."""
    taken = message("authenticated", "CHANNEL_CREATE") | {"variable_dialed_user": "303"}
    (event,) = translator().translate(taken)
    assert isinstance(event, e.LegCreated)
    assert event.who.line == "301"


@pytest.mark.parametrize("name", ["loopback/301-a", "null/x", "conference/1", "x", "Sofia2/x/y"])
def test_what_is_no_phone(name: str) -> None:
    """Neither a line nor an outside party."""
    (event,) = translator("*").translate(CREATED | {"Channel-Name": name})
    assert isinstance(event, e.LegCreated)
    assert (event.who.kind, event.who.line, event.who.trunk) == (LegKind.OTHER, "", "")


def test_what_is_known_of_a_leg_stays() -> None:
    """Being handed on, a leg gets another destination: it is the same phone."""
    found = translator()
    called = message("blind-refer", "CHANNEL_CREATE", 1)
    found.translate(called)
    later = called | {"Event-Name": "CUSTOM", "Event-Subclass": "callrec::voicemail"}
    later |= OURS["callrec::voicemail"] | {"Caller-Destination-Number": "vm", "Channel-Name": "new"}
    (event,) = found.translate(later)
    assert isinstance(event, e.VoicemailReached)
    assert (event.who.line, event.who.channel) == ("tone440", "new")


def test_times_are_freeswitchs() -> None:
    """In microseconds; where it says none, by the clock that is given."""
    (event,) = translator().translate(CREATED | {"Event-Date-Timestamp": "1795253416000123"})
    assert isinstance(event, e.LegCreated)
    assert event.at == datetime(2026, 11, 21, 9, 30, 16, 123, UTC)
    (event,) = translator().translate(CREATED | {"Event-Date-Timestamp": ""})
    assert isinstance(event, e.LegCreated)
    assert event.at == NOW


@pytest.mark.parametrize("stamp", ["x", "1e99", "9" * 40, "-" + "9" * 40])
def test_a_time_that_is_none(stamp: str) -> None:
    with pytest.raises(MalformedMessageError, match="Event-Date-Timestamp: its"):
        translator().translate(CREATED | {"Event-Date-Timestamp": stamp})


def test_our_scripts() -> None:
    """What they report, with the leg that they run on."""
    found = {name: translator().translate(ours(name)) for name in OURS}
    assert all(len(event) == 1 for event in found.values())
    (offer,), (consent,), (voicemail,) = (
        found[f"callrec::{name}"] for name in ("offer", "consent", "voicemail")
    )
    assert isinstance(offer, e.CallOffered)
    assert (offer.direction, offer.line, offer.ddi) == (Direction.INBOUND, "301", "4930")
    assert (offer.queue, offer.dialled, offer.outer_consent) == ("sales", "0301", None)
    assert isinstance(consent, e.ConsentReported)
    assert (consent.mode, consent.key, consent.completed) == (ConsentMode.OPT_OUT, "*", True)
    assert isinstance(voicemail, e.VoicemailReached)
    assert (voicemail.line, voicemail.at.microsecond) == ("302", 123000)
    assert [type(event) for name in OURS for event in found[name]] == [
        e.CallOffered,
        e.OfferUnanswered,
        e.ConsentReported,
        e.WhisperPlayed,
        e.KeyPressed,
        e.RecordingStopped,
        e.VoicemailReached,
        e.ProfileDialled,
    ]


@pytest.mark.parametrize("key", list(Key))
def test_keys(key: Key) -> None:
    (event,) = translator().translate(ours("callrec::key", Callrec_Key=key.value))
    assert isinstance(event, e.KeyPressed)
    assert (event.leg, event.key) == (LEG, key)


@pytest.mark.parametrize(("key", "discard"), [("pause", False), ("discard", True)])
def test_what_a_script_has_stopped_by_itself(key: str, discard: bool) -> None:
    (event,) = translator().translate(ours("callrec::stopped", Callrec_Key=key))
    assert isinstance(event, e.RecordingStopped)
    assert (event.offline_pause, event.offline_discard) == (not discard, discard)


def test_a_menu_of_the_administrators() -> None:
    taken = ours("callrec::offer", Callrec_Offer="inbound/301////declined")
    (event,) = translator().translate(taken)
    assert isinstance(event, e.CallOffered)
    assert event.outer_consent is Consent.DECLINED


@pytest.mark.parametrize(
    ("name", "header", "text"),
    [
        ("callrec::offer", "Callrec-Offer", "inbound/301"),
        ("callrec::offer", "Callrec-Offer", "sideways/301////"),
        ("callrec::offer", "Callrec-Offer", "inbound/301////perhaps"),
        ("callrec::consent", "Callrec-Consent", "opt_out/de/announce/*/1/2"),
        ("callrec::consent", "Callrec-Consent", "opt_out/de/announce/*/1/9999999999999999/1"),
        ("callrec::voicemail", "Callrec-Voicemail", "0704455667"),
        ("callrec::key", "Callrec-Key", "0704455667"),
        ("callrec::profile", "Callrec-Code", "0704455667x"),
    ],
)
def test_what_cannot_be_read_is_not_logged(name: str, header: str, text: str) -> None:
    """The error goes to the log: it has no number in it, and no cause that has one."""
    with pytest.raises(MalformedMessageError) as caught:
        translator().translate(ours(name) | {header: text})
    assert text not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    ("name", "missing"),
    [(name, header) for name, all_ in NEEDED.items() for header in sorted(all_)],
)
def test_a_missing_header_is_named(name: str, missing: str) -> None:
    taken = sample(name)
    del taken[missing]
    with pytest.raises(MalformedMessageError, match=f"{name} has no header {missing}"):
        translator().translate(taken)


@pytest.mark.parametrize(
    "taken",
    [
        {},
        {"Event-Name": "HEARTBEAT"},
        {"Event-Name": "CUSTOM", "Event-Subclass": "sofia::register"},
        {"Event-Name": "callrec::key", "Unique-ID": "1", "Callrec-Key": "pause"},
        {"Event-Name": "CUSTOM", "Event-Subclass": "CHANNEL_CREATE"},
    ],
)
def test_what_means_nothing_to_us(taken: Message) -> None:
    assert translator().translate(taken) == []


@given(st.dictionaries(st.sampled_from(sorted(CREATED)), st.text()), st.sampled_from([*NEEDED]))
def test_whatever_comes_is_read_or_malformed(headers: Message, name: str) -> None:
    """A caller's name and number are data, whatever they are."""
    taken = sample(name) | {k: v for k, v in headers.items() if not k.startswith("Event-")}
    found = translator("trunk*")
    for one in messages("blind-refer")[:6]:
        found.translate(one)
    try:
        found.translate(taken)
    except MalformedMessageError:
        return
