"""A MixMonitor is closed and opened anew when somebody else comes to talk, where that is needed."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import Channels, RecordingState
from callrec_pbx.pbx.asterisk.actions import Action, Monitor
from callrec_pbx.pbx.asterisk.framing import Message
from callrec_pbx.pbx.asterisk.link import Reply
from callrec_pbx.pbx.asterisk.monitors import Monitors
from callrec_pbx.pbx.errors import ActionFailedError

PATH = "/rec/one.wav"
FACTS = RecordingFacts(
    recording_id="one",
    call_id="call",
    leg="agent",
    channel="PJSIP/301-1",
    owner="301",
    state=RecordingState.STARTING,
    created_at=datetime(2026, 1, 1, tzinfo=UTC),
)


class Switch:
    """Answers actions and remembers them, as `name options-or-state`."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.closed: list[str] = []
        self.fail: set[str] = set()
        self.ids = 0
        self.monitors = Monitors(self.act, self.closed.append)
        self.monitors.renews = True

    async def act(self, action: Action) -> Reply:
        name, headers = action
        await asyncio.sleep(0)
        what = headers.get("Options") or headers.get("State") or headers.get("MixMonitorID", "")
        self.done.append(f"{name} {what}")
        if name in self.fail:
            raise ActionFailedError("No such channel")
        self.ids += name == "MixMonitor"
        return Reply(Message({"Response": "Success", "MixMonitorID": f"id{self.ids}"}))

    def event(self, name: str, leg: str, bridge: str = "b") -> bool:
        return self.monitors.take(
            Message({"Event": name, "Uniqueid": leg, "BridgeUniqueid": bridge})
        )

    async def recorded(self) -> None:
        """An agent and a caller in a bridge; the agent's leg is recorded."""
        self.event("BridgeEnter", "agent")
        self.event("BridgeEnter", "caller")
        await self.monitors.start(FACTS, PATH, 10)
        self.done.clear()

    async def handed_on(self) -> None:
        """The caller goes, and somebody else comes into the agent's bridge."""
        self.event("BridgeLeave", "caller")
        self.event("BridgeEnter", "other")
        await self.quiet()

    async def quiet(self) -> None:
        """Let all renewals come to their end."""
        await asyncio.gather(*self.monitors._tasks)


@pytest.fixture
def switch() -> Switch:
    return Switch()


async def test_opened_anew_for_somebody_else(switch: Switch) -> None:
    await switch.recorded()
    await switch.handed_on()
    assert switch.done == ["StopMixMonitor id1", "MixMonitor i(CALLREC_MONITOR)B(10)a"]
    # nobody else learns of it, and what comes later is news
    assert switch.event("MixMonitorStop", "agent")
    assert switch.event("MixMonitorStart", "agent")
    assert not switch.event("MixMonitorStop", "agent")
    await switch.monitors.stop(FACTS)
    assert switch.done[-1] == "StopMixMonitor id2"


async def test_the_agent_goes_to_somebody_else(switch: Switch) -> None:
    await switch.recorded()
    switch.event("BridgeLeave", "agent")
    switch.event("BridgeEnter", "agent", "second")
    assert switch.done == []
    switch.event("BridgeEnter", "other", "second")
    await switch.quiet()
    assert len(switch.done) == 2
    switch.event("BridgeLeave", "agent", "second")
    switch.event("BridgeEnter", "agent")  # back to the caller
    await switch.quiet()
    assert len(switch.done) == 4


async def test_left_alone(switch: Switch) -> None:
    """The same two again, an Asterisk that is not patched, and legs that are not recorded."""
    await switch.recorded()
    switch.event("BridgeLeave", "caller")
    switch.event("BridgeEnter", "caller")
    switch.monitors.renews = False
    await switch.handed_on()
    switch.event("Hangup", "agent")
    switch.monitors.renews = True
    switch.event("BridgeEnter", "third")
    await switch.quiet()
    assert switch.done == []
    assert not switch.event("MixMonitorStop", "agent")


async def test_paused_meanwhile(switch: Switch) -> None:
    """A paused recording is not opened before it is resumed."""
    await switch.recorded()
    await switch.monitors.pause(FACTS)
    await switch.handed_on()
    assert switch.done == ["MixMonitorMute 1"]
    await switch.monitors.resume(FACTS)
    assert [word.partition(" ")[0] for word in switch.done[1:]] == [
        "StopMixMonitor",
        "MixMonitor",
        "MixMonitorMute",
    ]
    assert switch.done[-1] == "MixMonitorMute 0"
    await switch.monitors.pause(FACTS)
    await switch.monitors.resume(FACTS)
    assert switch.done[-2:] == ["MixMonitorMute 1", "MixMonitorMute 0"]


async def test_not_opened_anew_when_it_is_to_be_stopped(switch: Switch) -> None:
    """The same event that brings somebody else can be the reason to stop."""
    await switch.recorded()
    switch.event("BridgeLeave", "caller")
    switch.event("BridgeEnter", "other")
    switch.monitors.stop_is_due(FACTS)
    await switch.quiet()
    assert switch.done == []
    await switch.monitors.stop(FACTS)
    assert switch.done == ["StopMixMonitor id1"]
    await switch.recorded()
    switch.event("BridgeEnter", "third")
    await switch.quiet()
    assert switch.done[0] == "StopMixMonitor id2"


async def test_one_at_a_time(switch: Switch) -> None:
    """A pause or stop that comes in the middle waits, and addresses the new MixMonitor."""
    await switch.recorded()
    switch.event("BridgeLeave", "caller")
    switch.event("BridgeEnter", "other")
    await asyncio.sleep(0)
    await asyncio.gather(switch.monitors.pause(FACTS), switch.monitors.stop(FACTS))
    assert [word.partition(" ")[0] for word in switch.done] == [
        "StopMixMonitor",
        "MixMonitor",
        "MixMonitorMute",
        "StopMixMonitor",
    ]
    assert switch.done[-1] == "StopMixMonitor id2"


async def test_the_leg_goes_in_the_middle(switch: Switch) -> None:
    await switch.recorded()
    switch.fail = {"MixMonitor"}
    await switch.handed_on()
    assert switch.closed == ["agent"]
    assert not switch.event("MixMonitorStop", "agent")


async def test_closed_by_others_before(switch: Switch) -> None:
    """The hangup handler was faster: its events are for the others to see."""
    await switch.recorded()
    switch.fail = {"StopMixMonitor"}
    await switch.handed_on()
    assert switch.done == ["StopMixMonitor id1"]
    assert switch.closed == []
    assert not switch.event("MixMonitorStop", "agent")


async def test_the_leg_goes_with_the_reply(switch: Switch) -> None:
    """The hangup is read in one piece with the answer, before the start learns of its answer."""
    starting = asyncio.ensure_future(switch.monitors.start(FACTS, PATH, 0))
    await asyncio.sleep(0)
    switch.event("Hangup", "agent")
    await starting
    assert switch.monitors._running == {}
    await switch.recorded()
    assert list(switch.monitors._running) == ["agent"]


async def test_adopted_after_a_restart(switch: Switch) -> None:
    """With whom an adopted leg talks is nobody new; who comes later is."""
    switch.monitors.adopt("agent", Monitor("PJSIP/301-1", "id7"), PATH)
    switch.monitors.place({"b": {"agent", "caller"}})
    switch.event("BridgeEnter", "caller")
    await switch.quiet()
    assert switch.done == []
    await switch.handed_on()
    assert switch.done == ["StopMixMonitor id7", "MixMonitor i(CALLREC_MONITOR)a"]


async def test_a_reminder_tone_outlives_a_restart(switch: Switch) -> None:
    """The interval is noted on the channel, for an adopted recorder that is opened anew."""
    switch.monitors.adopt("agent", Monitor("PJSIP/301-1", "id7"), PATH, 15)
    switch.monitors.place({"b": {"agent", "caller"}})
    await switch.handed_on()
    assert switch.done == ["StopMixMonitor id7", "MixMonitor i(CALLREC_MONITOR)B(15)a"]


SIDES = "r(/rec/one.left.wav)t(/rec/one.right.wav)"


async def test_both_directions_apart(switch: Switch) -> None:
    """It is noted on the channel before the start, and an opened one anew goes on with all."""
    switch.event("BridgeEnter", "agent")
    switch.event("BridgeEnter", "caller")
    await switch.monitors.start(replace(FACTS, channels=Channels.STEREO), PATH, 0)
    await switch.handed_on()
    assert switch.done == [
        "Setvar ",
        f"MixMonitor i(CALLREC_MONITOR){SIDES}",
        "StopMixMonitor id1",
        f"MixMonitor i(CALLREC_MONITOR){SIDES}a",
    ]


async def test_both_directions_apart_adopted(switch: Switch) -> None:
    switch.monitors.adopt("agent", Monitor("PJSIP/301-1", "id7"), PATH, 15, sides=True)
    switch.monitors.place({"b": {"agent", "caller"}})
    await switch.handed_on()
    assert switch.done == ["StopMixMonitor id7", f"MixMonitor i(CALLREC_MONITOR)B(15){SIDES}a"]


async def test_not_started_when_it_cannot_be_noted(switch: Switch) -> None:
    """Or the next listener would open it anew without its sides."""
    switch.fail = {"Setvar"}
    with pytest.raises(ActionFailedError):
        await switch.monitors.start(replace(FACTS, channels=Channels.STEREO), PATH, 0)
    assert switch.done == ["Setvar "]
    assert switch.monitors._running == {}
