"""The adapter's clock, heartbeat, answers and notices, and what it makes of events."""

import time
from datetime import UTC, datetime

import pytest

from callrec_pbx.domain import events as e
from callrec_pbx.domain.commands import (
    AnswerKey,
    AnswerOffer,
    HangUpCall,
    SwitchProfile,
    TellParties,
)
from callrec_pbx.domain.words import ConsentMode, KeyResult, LegKind, OnTrouble
from callrec_pbx.pbx.errors import ActionFailedError, LinkDownError, UnsafeValueError
from callrec_pbx.pbx.freeswitch.link import Message
from tests.pbx.freeswitch.captured import message, messages
from tests.pbx.freeswitch.scripted import AGENT, CALLER, SOUNDS, Pbx, connected

HOUR = 3600.0


def report(subclass: str, ago_s: float, **headers: str) -> Message:
    """An event of our scripts, of so long ago by the machine's clock."""
    event = message("authenticated", "CHANNEL_ANSWER")
    event |= {"Event-Name": "CUSTOM", "Event-Subclass": f"callrec::{subclass}"}
    event["Event-Date-Timestamp"] = str(round((time.time() - ago_s) * 1_000_000))
    return event | {name.replace("_", "-"): value for name, value in headers.items()}


async def test_the_heartbeat_is_by_freeswitchs_clock() -> None:
    """Which is asked for each time: it may be set anew while we listen."""
    pbx = Pbx()
    async with connected(pbx) as found:
        pbx.ahead_s = HOUR
        await found.adapter.beat()
    clock, beat = pbx.asked
    assert clock == "strmicroepoch"
    name, _, value = beat.partition("=")
    assert name == "global_setvar callrec_heartbeat"
    assert abs(int(value) - time.time() - HOUR) < 60


@pytest.mark.parametrize("answer", ["", "soon", "-1", "1.5"])
async def test_a_clock_that_does_not_tell(answer: str) -> None:
    """Then the one of before counts, at first the machine's."""
    pbx = Pbx()
    pbx.answers["strmicroepoch"] = answer
    async with connected(pbx) as found:
        await found.adapter.beat()
    assert abs(int(pbx.asked[-1].partition("=")[2]) - time.time()) < 60


async def test_a_connection_of_which_the_clock_cannot_be_asked() -> None:
    pbx = Pbx()
    pbx.answers["strmicroepoch"] = LinkDownError("broken")
    with pytest.raises(LinkDownError):
        async with connected(pbx):
            pass


@pytest.mark.parametrize(
    ("ago_s", "ahead_s", "counts"),
    [(0.1, 0.0, True), (1.0, 0.0, False), (1.0, -HOUR, True), (0.1, HOUR, False)],
)
async def test_a_key_is_answered_in_time_or_not_at_all(
    ago_s: float, ahead_s: float, counts: bool
) -> None:
    """The script has stopped the recording by itself by then; by its clock, not by ours."""
    pbx = Pbx()
    pbx.ahead_s = ahead_s
    async with connected(pbx) as found:
        found.send(report("key", ago_s, Callrec_Key="pause"))
        assert [type(event) for event in found.heard] == ([e.KeyPressed] if counts else [])


@pytest.mark.parametrize(("ago_s", "counts"), [(1.0, True), (3.0, False)])
async def test_a_profile_is_switched_in_time_or_not_at_all(ago_s: float, counts: bool) -> None:
    pbx = Pbx()
    async with connected(pbx) as found:
        found.send(report("profile", ago_s, Callrec_Code="42"))
        assert [type(event) for event in found.heard] == ([e.ProfileDialled] if counts else [])


async def test_an_event_that_cannot_be_read_costs_only_itself() -> None:
    """It is counted, and what came with it goes on."""
    pbx = Pbx()
    broken = report("key", 0, Callrec_Key="0704455667")
    async with connected(pbx) as found:
        found.send(broken, message("authenticated", "CHANNEL_CREATE"), {}, {"Event-Name": "X"})
        assert [type(event) for event in found.heard] == [e.LegCreated]
        assert found.adapter.unread == {"callrec::key": 1}


async def test_nothing_is_given_of_events_that_mean_nothing() -> None:
    pbx = Pbx()
    async with connected(pbx) as found:
        given: list[list[e.Event]] = []
        found.adapter._on_events = given.append
        found.send({"Event-Name": "X"})
        assert given == []


def offer(prompt: str = "announce", refused: bool = False) -> AnswerOffer:
    """An answer to an offer of the caller's leg."""
    return AnswerOffer(
        leg=CALLER,
        channel="sofia/x",
        ask=ConsentMode.OPT_OUT,
        ask_callee=ConsentMode.NONE,
        callee=LegKind.LINE,
        prompt=prompt,
        whisper="",
        language="de",
        on_refusal=OnTrouble.HANG_UP,
        refused=refused,
    )


async def test_answering_an_offer() -> None:
    """In one command; what the script waits for comes last."""
    pbx = Pbx()
    async with connected(pbx) as found:
        await found.adapter.answer_offer(offer())
        await found.adapter.answer_offer(offer(refused=True))
    assert pbx.asked[0] == (
        f"uuid_setvar_multi {CALLER} callrec_ask=opt_out;callrec_callee_ask=none;"
        "callrec_callee=line;callrec_prompt=announce;callrec_whisper=;callrec_language=de;"
        "callrec_on_refusal=hang_up;callrec_decision=made"
    )
    assert "callrec_ask=refused;" in pbx.asked[1]


async def test_an_answer_that_could_be_read_as_something_else_is_not_sent() -> None:
    pbx = Pbx()
    async with connected(pbx) as found:
        with pytest.raises(UnsafeValueError, match="callrec_prompt"):
            await found.adapter.answer_offer(offer(prompt="announce;callrec_ask=none"))
    assert pbx.asked == []


async def test_answering_a_key() -> None:
    pbx = Pbx()
    command = AnswerKey(AGENT, "sofia/x", KeyResult.PAUSED, "beep_paused", "en", "stopped")
    async with connected(pbx) as found:
        await found.adapter.answer_key(command)
    assert pbx.asked == [
        f"uuid_setvar_multi {AGENT} callrec_key_prompt={SOUNDS}/en/beep_paused.wav;"
        f"callrec_tell={SOUNDS}/en/stopped.wav;callrec_key_result=paused"
    ]


async def test_answering_a_code() -> None:
    pbx = Pbx()
    command = SwitchProfile("301", "42", CALLER, "sofia/x", "de")
    async with connected(pbx) as found:
        await found.adapter.answer_profile(command, "profile_recorded")
    path = f"{SOUNDS}/de/profile_recorded.wav"
    assert pbx.asked == [f"uuid_setvar_multi {CALLER} callrec_profile_prompt={path}"]


async def test_telling_the_parties() -> None:
    """Each of them in his own ear; whom the leg talks with is asked for then."""
    pbx = Pbx()
    command = TellParties(AGENT, "sofia/x", "stopped", "de")
    async with connected(pbx) as found:
        await found.adapter.tell(command)
    path = f"{SOUNDS}/de/stopped.wav"
    assert sorted(pbx.asked) == sorted(
        [
            f"uuid_getvar {AGENT} bridge_to",
            f"uuid_displace {AGENT} start {path} 0 m",
            f"uuid_displace {CALLER} start {path} 0 m",
        ]
    )


async def test_telling_a_party_that_is_alone() -> None:
    pbx = Pbx()
    pbx.answers["uuid_getvar"] = "_undef_"
    async with connected(pbx) as found:
        await found.adapter.tell(TellParties(AGENT, "sofia/x", "stopped", "de"))
    assert [one for one in pbx.asked if "displace" in one] == [
        f"uuid_displace {AGENT} start {SOUNDS}/de/stopped.wav 0 m"
    ]


async def test_hanging_up_after_a_notice() -> None:
    """FreeSWITCH sends both that talk; a leg that talks with nobody is sent by itself."""
    pbx = Pbx()
    parked = message("authenticated", "CHANNEL_ANSWER")
    pbx.dumps[parked["Unique-ID"]] = parked
    legs = (CALLER, AGENT, parked["Unique-ID"])
    async with connected(pbx) as found:
        await found.adapter.hang_up(HangUpCall(("a", "b", "c"), "unavailable", "de", legs))
    sent = [one for one in pbx.asked if one.startswith("uuid_transfer")]
    assert sent == [
        f"uuid_transfer {leg} -both lua:callrec_unavailable.lua inline"
        for leg in (CALLER, parked["Unique-ID"])
    ]


async def test_hanging_up_nobody() -> None:
    pbx = Pbx()
    async with connected(pbx) as found:
        with pytest.raises(LinkDownError):
            await found.adapter.hang_up(HangUpCall((), "unavailable", "de"))


async def test_another_refusal_keeps_freeswitchs_words() -> None:
    pbx = Pbx()
    pbx.answers["uuid_setvar_multi"] = ActionFailedError("-ERR no reply")
    async with connected(pbx) as found:
        with pytest.raises(ActionFailedError, match=r"^-ERR no reply$"):
            await found.adapter.answer_offer(offer())


async def test_events_of_a_whole_call() -> None:
    """In the order in which FreeSWITCH sent them, by its own clock."""
    pbx = Pbx()
    async with connected(pbx) as found:
        for one in messages("blind-refer"):
            found.send(one)
        times = [event.at for event in found.heard]
    assert times == sorted(times)
    assert times[0].tzinfo is UTC
    assert times[0] < datetime.now(UTC)
    assert isinstance(found.heard[-1], e.LegHungUp)


async def test_closing() -> None:
    pbx = Pbx()
    async with connected(pbx) as found:
        found.adapter.close()
        await found.adapter.wait_lost()
        assert found.closed
