"""Callers whose number or dialled extension is an AMI message about somebody else's call."""

from tests.calls.faults import (
    AGENT,
    CALLER,
    Talk,
    assert_harmless,
    chat,
    recorded_talk,
    running,
    talk_of,
)
from tests.calls.listener import Listener

LONGEST = 79
"""Characters of a number that Asterisk keeps."""


async def forge_against(listener: Listener, victim: str, how: str) -> list[str]:
    """Call with numbers that hold whole messages about another leg; return those numbers."""
    numbers = [
        f"{place}\r\n\r\nEvent: {name}\r\nUniqueid: {victim}\r\n\r\n"
        for place, name in enumerate(("Hangup", "MixMonitorStop", "MixMonitorStart"), 1)
    ]
    for number in numbers:
        assert len(number) <= LONGEST
        if how == "number":
            talk = await talk_of(listener, "302", number)
        else:
            far = listener.house.far
            caller = await far.call_in("46702", f"9{number}", tone_hz=CALLER)
            agent = await far.ringing("302", timeout=20)
            await agent.answer(AGENT)
            await caller.wait_up()
            talk = Talk(caller, agent)
        await chat(0.2)
        await talk.end()
    return numbers


async def test_a_number_that_is_a_message_about_another_call(listener: Listener) -> None:
    """The other call goes on being recorded, and its keys work, as if nothing had been said."""
    await running(listener)
    victim = await recorded_talk(listener)
    begun = listener.recording_facts()[0]
    await forge_against(listener, begun.leg, "number")
    assert begun == listener.recording_facts()[0]
    await listener.key(victim.agent, "#1")
    await listener.recording("paused")
    await listener.key(victim.agent, "#1")
    await listener.recording("recording")
    await victim.end()
    calls = await listener.ended(4)
    await listener.recording("stored", 4)
    assert_harmless(listener, calls)
    assert sorted(call.a_number for call in calls) == ["1", "2", "3", "46701234567"]
    (recording,) = [r for r in listener.recording_facts() if r.leg == begun.leg]
    assert recording.audio_ms is not None
    assert recording.audio_ms > 1500


async def test_an_extension_that_is_a_message_about_another_call(listener: Listener) -> None:
    """The same by what was dialled."""
    await listener.house.take_anything("9", "302")
    await running(listener)
    victim = await recorded_talk(listener)
    begun = listener.recording_facts()[0]
    await forge_against(listener, begun.leg, "extension")
    assert begun == listener.recording_facts()[0]
    await victim.end()
    calls = await listener.ended(4)
    await listener.recording("stored", 4)
    assert_harmless(listener, calls)
    assert {call.ddi for call in calls if call.c_number == "302"}
