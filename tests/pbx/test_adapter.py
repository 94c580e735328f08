"""The adapter's snapshot, clock and heartbeat, against scripted answers in Asterisk's form."""

import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from callrec_pbx.domain import events
from callrec_pbx.domain.commands import HangUpCall, SwitchProfile, TellParties
from callrec_pbx.domain.events import Event
from callrec_pbx.domain.words import ConsentMode, Direction, LegKind
from callrec_pbx.pbx.asterisk import adapter
from callrec_pbx.pbx.asterisk import clock as clocks
from callrec_pbx.pbx.asterisk.adapter import Asterisk
from callrec_pbx.pbx.asterisk.link import AmiLink
from callrec_pbx.pbx.errors import ActionFailedError, LinkDownError
from tests.pbx.server import Action, Peer, Server
from tests.pbx.transcripts import PAUSE, events_of

pytestmark = pytest.mark.usefixtures("nothing_left")

STATUS = events_of(PAUSE, "Status")[1]
"""A recorded leg, as Asterisk told it in a snapshot."""

HOUR_S = 3600

LEG = "pbx-1795253426.1"
FILE = "/var/spool/callrec/2026/11/21/01m7yq2snc7qyvk29z0mcaqa0g.wav"
BRIDGE = "678595f9-7fc2-4557-a3f9-f0b06d6f9e7c"
BOOTED = "Event: FullyBooted|Uptime: 100||"


def clock(ahead_s: float) -> str:
    """How Asterisk says the time, to the millisecond, by a clock so far ahead of ours."""
    text = f"{time.time() + ahead_s:.6f}"
    return text[:-3]


def with_variables(**values: str) -> bytes:
    """The leg, with other values of its variables."""
    text = STATUS
    for name, value in values.items():
        line = rf"\r\nVariable: {name}=[^\r\n]*".encode()
        there = re.search(line, text)
        replaced = f"\r\nVariable: {name}={value}".encode()
        if there is None:  # the capture is older than the variable
            replaced += b"\r\nVariable: CALLREC_OFFER="
            line = rb"\r\nVariable: CALLREC_OFFER="
        text = re.sub(line, replaced, text)
    return text


class Pbx:
    """What the scripted Asterisk has and says."""

    def __init__(self) -> None:
        self.booted = BOOTED
        self.epoch: Callable[[], str] = lambda: clock(0)
        self.legs = [STATUS]
        self.bridges = ""
        self.version = "22.10.1"
        self.asked: list[Action] = []
        self.later = b""

    async def play(self, peer: Peer) -> None:
        """Answer until the client is gone."""
        await peer.login()
        peer.send(self.booted)
        while action := await peer.action():
            self.asked.append(action)
            self.answer(peer, action)

    def answer(self, peer: Peer, action: Action) -> None:
        """Answer one action."""
        action_id = action["ActionID"]
        if action["Action"] == "Getvar":
            peer.answer(action, f"Value: {self.epoch()}")
        elif action["Action"] == "CoreSettings":
            peer.answer(action, f"AsteriskVersion: {self.version}")
        elif action["Action"] == "Status":
            peer.answer(action, "EventList: start")
            for leg in self.legs:
                text = re.sub(rb"ActionID: .*", b"ActionID: " + action_id.encode(), leg)
                peer.writer.write(text + b"\r\n\r\n")
            peer.send(f"Event: StatusComplete|ActionID: {action_id}||")
        elif action["Action"] == "BridgeList":
            peer.answer(action, "EventList: start")
            peer.send(self.bridges.replace("ID", f"ActionID: {action_id}"))
            peer.send(f"Event: BridgeListComplete|ActionID: {action_id}||")
        else:
            peer.answer(action)
            peer.writer.write(self.later + b"\r\n\r\n" if self.later else b"")
            self.later = b""


Connect = Callable[[], Awaitable[Asterisk]]


@asynccontextmanager
async def connected(pbx: Pbx, heard: list[Event] | None = None) -> AsyncIterator[Asterisk]:
    """The adapter, connected to it."""
    async with Server(pbx.play) as server:
        found = Asterisk(
            lambda take: AmiLink("127.0.0.1", server.port, "a", "b", on_messages=take),
            ("trunk*",),
            (heard if heard is not None else []).extend,
        )
        await found.connect()
        try:
            yield found
        finally:
            found.close()
            await found.wait_lost()


async def test_a_snapshot() -> None:
    """A recorded leg, with its recording's id by the path that the PBX writes to."""
    pbx = Pbx()
    async with connected(pbx) as asterisk:
        (leg,) = (await asterisk.look({FILE: "rec-1"})).legs
    who = events.Who(
        LEG, "PJSIP/301-00000001", "pbx-1795253416.0", LegKind.LINE, "301", "301", "Agent 301"
    )
    created = datetime.fromtimestamp(1795253426, UTC)
    assert leg == events.LegSeen(who, created, BRIDGE, recording="rec-1")


async def test_an_empty_snapshot() -> None:
    """A PBX without a call."""
    pbx = Pbx()
    pbx.legs = []
    async with connected(pbx) as asterisk:
        assert (await asterisk.look({})).legs == ()


async def test_offer_and_consent_are_read_from_the_variables() -> None:
    """What was decided and said before we looked."""
    pbx = Pbx()
    report = "opt_in/de/announce_opt_in/1/1795253416000/1795253424000/1"
    offer = "inbound/301/4930/sales/0301"
    pbx.legs = [with_variables(CALLREC_OFFER=offer, CALLREC_CONSENT=report)]
    async with connected(pbx) as asterisk:
        (leg,) = (await asterisk.look({})).legs
    created = datetime.fromtimestamp(1795253426, UTC)
    assert leg.offer == events.CallOffered(
        created, leg.who, Direction.INBOUND, "301", "4930", "sales", "0301"
    )
    assert leg.consent is not None
    assert (leg.consent.mode, leg.consent.key) == (ConsentMode.OPT_IN, "1")
    assert leg.recording == ""


@pytest.mark.parametrize("word", ["accepted", "declined"])
async def test_the_answer_of_a_menu_is_part_of_the_offer(word: str) -> None:
    """Its own variable is no report of ours, and costs nothing else."""
    pbx = Pbx()
    offer = f"inbound/301/4930/sales/0301/{word}"
    pbx.legs = [with_variables(CALLREC_OFFER=offer, CALLREC_CONSENT=word)]
    async with connected(pbx) as asterisk:
        (leg,) = (await asterisk.look({})).legs
    assert leg.offer is not None
    assert leg.offer.outer_consent == word
    assert leg.consent is None


async def test_a_caller_at_a_voicemail() -> None:
    """Since when, and whose it is, where that is said."""
    pbx = Pbx()
    for text, line in (("/1795253426123", None), ("302/1795253426123", "302")):
        pbx.legs = [with_variables(CALLREC_VOICEMAIL=text)]
        async with connected(pbx) as asterisk:
            (leg,) = (await asterisk.look({})).legs
        at = datetime.fromtimestamp(1795253426.123, UTC)
        assert leg.voicemail == events.VoicemailReached(at, leg.who, line)


async def test_helper_channels_are_not_seen() -> None:
    """They play a notice into a conversation; without them nothing is missing."""
    pbx = Pbx()
    helper = STATUS.replace(b"PJSIP/301-00000001", b"Local/s@callrec-told-00000001;1")
    pbx.legs = [STATUS, helper.replace(LEG.encode(), b"pbx-1795253426.7")]
    async with connected(pbx) as asterisk:
        seen = await asterisk.look({})
    assert [leg.who.leg for leg in seen.legs] == [LEG]
    assert not seen.partial


async def test_telling_the_parties() -> None:
    """Only on a leg that has the keys: elsewhere the digit would go through to the other party."""
    pbx = Pbx()
    command = TellParties(LEG, "PJSIP/301-00000001", "stopped", "de")
    async with connected(pbx) as asterisk:
        pbx.epoch = lambda: "1"
        await asterisk.tell(command)
        assert [action["Action"] for action in pbx.asked[-3:]] == ["Getvar", "Setvar", "PlayDTMF"]
        assert pbx.asked[-3]["Variable"] == "CALLREC_KEYS"
        pbx.epoch = lambda: ""
        with pytest.raises(ActionFailedError, match="no in-call keys"):
            await asterisk.tell(command)
        assert pbx.asked[-1]["Action"] == "Getvar"


async def test_answering_a_code() -> None:
    """By the variable that the dialplan waits for."""
    pbx = Pbx()
    command = SwitchProfile("301", "42", LEG, "PJSIP/301-00000001", "de")
    async with connected(pbx) as asterisk:
        await asterisk.answer_profile(command, "profile_recorded")
    assert pbx.asked[-1]["Variable"] == "CALLREC_PROFILE_PROMPT"
    assert pbx.asked[-1]["Value"] == "callrec/de/profile_recorded"


@pytest.mark.parametrize(("age_s", "heard"), [(0, 1), (3, 0)])
async def test_a_code_that_comes_too_late(age_s: int, heard: int) -> None:
    """The phone has been told that it failed: then it must not be switched after all."""
    pbx, found = Pbx(), list[Event]()
    text = events_of(PAUSE, "UserEvent")[0].decode()
    text = re.sub(r"UserEvent: \w+", "UserEvent: CallrecProfile", text)
    text = re.sub(r"\r\nOffer: [^\r\n]*", "\r\nCode: 42", text)
    text = re.sub(r"Timestamp: [\d.]+", f"Timestamp: {time.time() - age_s}", text)
    pbx.booted += "|".join((text + "\r\n\r\n").split("\r\n"))
    async with connected(pbx, found) as asterisk:
        await asterisk.beat()
    assert len([event for event in found if isinstance(event, events.ProfileDialled)]) == heard


@pytest.mark.parametrize(
    "values",
    [
        {"CALLREC_OFFER": "nonsense"},
        {"CALLREC_CONSENT": "nonsense"},
        {"CALLREC_VOICEMAIL": "nonsense"},
        {"CALLREC_OFFER": ""},
    ],
)
async def test_malformed_variables_cost_only_themselves(values: dict[str, str]) -> None:
    """The leg is seen all the same."""
    pbx = Pbx()
    pbx.legs = [with_variables(**values)]
    async with connected(pbx) as asterisk:
        (leg,) = (await asterisk.look({FILE: "rec-1"})).legs
    assert (leg.offer, leg.consent, leg.recording) == (None, None, "rec-1")


@pytest.mark.parametrize(
    ("stopped", "pause"),
    [(f"pause/{FILE}", True), ("pause/another.wav", False), ("", False)],
)
async def test_stopped_for_a_key_that_nobody_answered(stopped: str, pause: bool) -> None:
    """It counts for the file that was stopped, not for a later one."""
    pbx = Pbx()
    pbx.legs = [with_variables(CALLREC_STOPPED=stopped)]
    async with connected(pbx) as asterisk:
        (leg,) = (await asterisk.look({})).legs
    assert (leg.offline_pause, leg.offline_discard) == (pause, False)


async def test_a_discard_that_nobody_answered() -> None:
    """It is told apart from a pause."""
    pbx = Pbx()
    pbx.legs = [with_variables(CALLREC_STOPPED=f"discard/{FILE}")]
    async with connected(pbx) as asterisk:
        (leg,) = (await asterisk.look({})).legs
    assert leg.offline_discard


async def test_a_holding_bridge() -> None:
    """Parked: in a bridge where nobody talks."""
    pbx = Pbx()
    item = "Event: BridgeListItem|ID|BridgeUniqueid: {}|BridgeTechnology: {}||"
    for technology, holding in (("holding_bridge", True), ("simple_bridge", False)):
        pbx.bridges = item.format("other", "holding_bridge") + item.format(BRIDGE, technology)
        async with connected(pbx) as asterisk:
            (leg,) = (await asterisk.look({})).legs
        assert leg.holding is holding


async def test_when_a_leg_was_created() -> None:
    """From its id, which begins with a time; else from its age; else it is new."""
    pbx = Pbx()
    for leg_id, age, expected_s in ((b"x", b"5", 5), (b"x", b"?", 0), (b"9" * 30, b"7", 7)):
        text = STATUS.replace(LEG.encode(), leg_id)
        pbx.legs = [re.sub(rb"Seconds: \d+", b"Seconds: " + age, text)]
        async with connected(pbx) as asterisk:
            (leg,) = (await asterisk.look({})).legs
        age_s = (datetime.now(UTC) - leg.created_at).total_seconds()
        assert expected_s <= age_s < expected_s + 2


async def test_since_when_the_pbx_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """From FullyBooted, the first of a connection: a later one is forged."""
    pbx = Pbx()
    pbx.booted = BOOTED + "Event: FullyBooted|Uptime: 0||"
    async with connected(pbx) as asterisk:
        seen = await asterisk.look({})
    assert seen.pbx_started_at is not None
    assert seen.at - seen.pbx_started_at == timedelta(seconds=101)
    monkeypatch.setattr(adapter, "BOOT_S", 0.02)
    for booted in ("", "Event: FullyBooted|Uptime: soon||", "Event: FullyBooted||"):
        pbx.booted = booted
        async with connected(pbx) as asterisk:
            assert (await asterisk.look({})).pbx_started_at is None


@pytest.mark.parametrize("epoch", ["", "nonsense", "-1", "1.", "nan", "9" * 12])
async def test_a_clock_that_does_not_tell(epoch: str) -> None:
    """Then the machine's counts."""
    pbx = Pbx()
    pbx.epoch = lambda: epoch
    async with connected(pbx) as asterisk:
        assert abs((asterisk.now() - datetime.now(UTC)).total_seconds()) < HOUR_S / 60


@pytest.mark.parametrize("ahead_s", [0, HOUR_S, -HOUR_S])
async def test_the_heartbeat_goes_by_the_clock_of_asterisk(ahead_s: int) -> None:
    """The dialplan compares it with its own clock, which says fractions of a second too."""
    pbx = Pbx()
    pbx.epoch = lambda: clock(ahead_s)
    async with connected(pbx) as asterisk:
        await asterisk.beat()
    beat = pbx.asked[-1]
    assert (beat["Action"], beat["Variable"]) == ("Setvar", "CALLREC_HEARTBEAT")
    assert abs(int(beat["Value"]) - time.time() - ahead_s) < HOUR_S / 60
    assert "Channel" not in beat


async def test_the_same_clock_stays_the_same_however_slow_the_answer_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Half of a slow answer's way would make keys count as too late."""
    times = iter((100.0, 107.0))
    monkeypatch.setattr(clocks, "time", SimpleNamespace(time=lambda: next(times, 200.0)))
    for answer, now_s in (("100.000", 200), ("107.000", 200), ("109.500", 202.5), ("97.999", 198)):
        times, one = iter((100.0, 107.0)), clocks.Clock()

        async def value_of(_: str, answer: str = answer) -> str:
            return answer

        await one.learn(value_of)
        assert one.now_s() == pytest.approx(now_s)


async def test_all_times_are_by_the_clock_of_asterisk() -> None:
    """What it stamps and what it does not, which is compared: an hour ahead of ours."""
    pbx, heard = Pbx(), list[Event]()
    pbx.epoch = lambda: clock(HOUR_S)
    pbx.legs = [STATUS.replace(LEG.encode(), b"x")]
    hangup = re.sub(rb"\r\nTimestamp: [^\r]*", b"", events_of(PAUSE, "Hangup")[0])
    async with connected(pbx, heard) as asterisk:
        pbx.later = hangup
        await asterisk.beat()
        seen = await asterisk.look({})
        asterisk._closed(LEG)
        told = [asterisk.now(), seen.at, seen.legs[0].created_at, *(event.at for event in heard)]
    assert [type(event) for event in heard] == [events.LegHungUp, events.RecordingStopped]
    assert seen.pbx_started_at is not None
    told.append(seen.pbx_started_at)
    ahead = [(at - datetime.now(UTC)).total_seconds() for at in told]
    assert all(abs(one - HOUR_S) < HOUR_S / 10 for one in ahead), ahead


async def test_a_login_whose_first_question_is_refused() -> None:
    """The connection does not stay half open."""
    pbx = Pbx()

    def refuse(peer: Peer, action: Action) -> None:
        peer.send(f"Response: Error|ActionID: {action['ActionID']}|Message: Permission denied||")

    pbx.answer = refuse  # type: ignore[method-assign]
    async with Server(pbx.play) as server:
        link = AmiLink("127.0.0.1", server.port, "a", "b")
        asterisk = Asterisk(lambda _: link, (), lambda _: None)
        with pytest.raises(ActionFailedError, match="Permission denied"):
            await asterisk.connect()
        await asterisk.wait_lost()
        assert not link.connected


async def test_events_flow_and_a_malformed_one_is_counted() -> None:
    """It costs itself alone."""
    pbx, heard = Pbx(), list[Event]()
    hangup = events_of(PAUSE, "Hangup")[0]
    bad = hangup.replace(b"Timestamp: ", b"Timestamp: x")
    pbx.booted += "|".join(b"\r\n\r\n".join((bad, hangup, b"")).decode().split("\r\n"))
    async with connected(pbx, heard) as asterisk:
        await asterisk.beat()
        assert [type(event) for event in heard] == [events.LegHungUp]
        assert asterisk.unread == {"Hangup": 1}


async def test_hanging_up() -> None:
    """One action for both parties; nothing to hang up is said."""
    pbx = Pbx()
    async with connected(pbx) as asterisk:
        await asterisk.hang_up(HangUpCall(("a-1", "b-1"), "unavailable", "en"))
        assert (pbx.asked[-1]["Channel"], pbx.asked[-1]["ExtraChannel"]) == ("a-1", "b-1")
        await asterisk.hang_up(HangUpCall(("a-1",), "unavailable", "en"))
        assert "ExtraChannel" not in pbx.asked[-1]
        with pytest.raises(LinkDownError, match="no channel"):
            await asterisk.hang_up(HangUpCall((), "unavailable", "en"))


@pytest.mark.parametrize(
    ("noted", "sides"), [(FILE, True), ("/rec/an-earlier-one.wav", False), ("(null)", False)]
)
async def test_a_stereo_recording_is_known_again(noted: str, sides: bool) -> None:
    """By the file that was noted on the channel: an earlier one's may stand there still."""
    pbx = Pbx()
    pbx.legs = [with_variables(CALLREC_STEREO=noted, CALLREC_MONITOR="0x7f0a")]
    async with connected(pbx) as asterisk:
        await asterisk.look({FILE: "rec-1"})
        assert asterisk._monitors._running[LEG].sides is sides
