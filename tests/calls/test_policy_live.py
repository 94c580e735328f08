"""The policy changes while calls go on: the listener takes it as it is, and loses nothing."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest_asyncio

from callrec_pbx.domain.people import Department, Line, User
from callrec_pbx.domain.words import Direction, Outcome, RecordingState
from tests.bed import sipp
from tests.bed.far import Phone
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import everything, rule
from tests.calls.scene import Scene, listen, running

RULES = everything(whisper=False, notice="none")
LINES = ("301", "302", "303")


@pytest_asyncio.fixture(loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """A tenant in Sweden; each test changes something about it."""
    async with running(house, RULES) as listener:
        listener.cli("tenant", "set", "default", "--country", "SE")
        await current(listener)
        yield listener


async def current(listener: Listener, version: str = "") -> str:
    """Wait until the listener decides by that version, else the newest, and return it."""
    version = version or listener.cli("policy", "history", "--limit", "1").split()[1]

    def is_loaded() -> bool:
        told = [json.loads(line) for line in listener.log_text().splitlines() if "{" in line]
        return any(
            line["event"] == "policy_loaded" and str(line["version"]) == version for line in told
        )

    await listener.until(is_loaded, f"policy_loaded {version}")
    return version


async def talking(scene: Scene, line: str, number: str = "46701234567") -> tuple[Phone, Phone]:
    """A caller and a line in conversation, recorded or not."""
    caller = await scene.call_in(line, number, hear="")
    agent = await scene.far.ringing(line, timeout=20)
    await agent.answer()
    await scene.together("trunk", line)
    return caller, agent


async def test_a_new_version_counts_from_the_next_call_on(scene: Scene) -> None:
    office = scene.listener
    before = await current(office)
    caller, agent = await scene.conversation()
    after = await current(office, office.apply(rule("never again", "inbound", "never")))
    second, other = await talking(scene, "302")
    await listen(1500)
    for phone in (second, caller):
        await phone.hangup()
    for phone in (other, agent):
        await phone.wait_hangup()
    first, last = await scene.over()
    assert (first.outcome, first.policy_version) == (Outcome.RECORDED, before)
    assert (last.outcome, last.rule, last.policy_version) == (
        Outcome.NOT_SELECTED,
        "never again",
        after,
    )
    (take,) = await scene.takes()
    assert take.facts.policy_version == before
    assert take.facts.state is RecordingState.STORED


async def test_all_recording_off_for_new_calls(scene: Scene) -> None:
    office = scene.listener
    caller, agent = await scene.conversation()
    office.cli("tenant", "recording", "off")
    await current(office)
    second, other = await talking(scene, "302")
    await listen(1500)
    await second.hangup()
    await other.wait_hangup()
    assert scene.events(What.STOPPED) == []
    await caller.hangup()
    await agent.wait_hangup()
    first, last = await scene.over()
    assert (first.outcome, first.reason) == (Outcome.RECORDED, "rule")
    assert (last.outcome, last.reason) == (Outcome.NOT_SELECTED, "recording_off")
    steps = [(step.what, step.result.value) for step in last.explanation.steps]
    assert steps == [("tenant", "stopped")]


async def test_all_recording_off_at_once(scene: Scene) -> None:
    office = scene.listener
    caller, agent = await scene.conversation()
    await listen(1500)
    office.cli("tenant", "recording", "off", "--now")
    await scene.seen(What.STOPPED)
    await listen(300)
    assert caller.is_up
    assert agent.is_up
    await caller.hangup()
    await agent.wait_hangup()
    (call,) = await scene.over()
    assert call.outcome is Outcome.RECORDED
    (take,) = await scene.takes()
    assert take.facts.reason == "recording_off"


async def test_no_more_at_once_than_the_tenant_may_have(scene: Scene) -> None:
    """The one that is too much is neither announced nor recorded, and the account says so."""
    office = scene.listener
    office.cli("tenant", "set", "default", "--concurrent-limit", "1")
    await current(office)
    caller, agent = await scene.conversation()
    second, other = await talking(scene, "302")
    await listen(1500)
    for phone in (second, caller):
        await phone.hangup()
    for phone in (other, agent):
        await phone.wait_hangup()
    await scene.over()
    third, last = await scene.conversation()
    await listen(1500)
    await third.hangup()
    await last.wait_hangup()
    calls = await scene.over()
    assert [(call.outcome, call.reason) for call in calls] == [
        (Outcome.RECORDED, "rule"),
        (Outcome.LIMITED, "concurrent_limit"),
        (Outcome.RECORDED, "rule"),
    ]
    assert "limited" in office.cli("account")


async def test_an_excluded_number_in_any_spelling(scene: Scene) -> None:
    office = scene.listener
    office.cli("policy", "exclude", "add", "070-123 45 6*")
    await current(office)
    for number in ("46701234567", "+46701234568", "0046701234569", "0701234560"):
        caller, agent = await talking(scene, "301", number)
        await caller.hangup()
        await agent.wait_hangup()
    calls = await scene.over()
    outcomes = [(call.a_number, call.outcome.value if call.outcome else "") for call in calls]
    assert outcomes == [
        ("46701234567", "excluded"),
        ("+46701234568", "excluded"),
        ("0046701234569", "excluded"),
        ("0701234560", "excluded"),
    ]


async def test_the_owner_is_the_user_of_the_line(scene: Scene) -> None:
    office = scene.listener
    office.add(
        Department("default", "Sales"),
        User("default", "anna@example.se", department="Sales"),
        Line("default", "301", user="anna@example.se"),
    )
    sales = '[[rule]]\nname = "sales"\ndepartment = "Sales"\nmode = "always"\nconsent = "none"\n'
    version = await current(office, office.apply(sales))
    for line in ("301", "302"):
        caller, agent = await talking(scene, line)
        await listen(1500)
        await caller.hangup()
        await agent.wait_hangup()
    first, last = await scene.over()
    assert (first.outcome, first.rule, first.policy_version) == (Outcome.RECORDED, "sales", version)
    assert (last.outcome, last.reason) == (Outcome.NOT_SELECTED, "no_rule")
    (take,) = await scene.takes()
    assert take.facts.owner == "anna@example.se"
    assert (take.facts.line, take.facts.department, take.facts.tenant) == (
        "301",
        "Sales",
        "default",
    )
    shown = office.cli("recordings", "show", take.facts.recording_id)
    assert "sales" in shown
    assert "rule sales" in shown


async def test_no_event_is_lost_while_versions_come(scene: Scene) -> None:
    """Calls under way, and one version after the other: every call is recorded, whole."""
    office = scene.listener
    await scene.far.answer_by_itself(1000)
    folder = scene.folder / "sipp"
    load = asyncio.create_task(
        sipp.run("caller", "301", office.house.sip_port, folder, calls=20, rate=4, talk_ms=1500)
    )
    versions: set[str] = set()
    while not load.done():
        number = len(versions)
        text = rule(f"rule {number}", "inbound", whisper=False)
        versions.add(await current(office, await asyncio.to_thread(office.apply, text)))
    await scene.far.answer_by_itself(None)
    assert (await load).succeeded == 20
    calls = await scene.over()
    assert len(calls) == 20
    assert {call.outcome for call in calls} == {Outcome.RECORDED}
    assert {call.direction for call in calls} == {Direction.INBOUND}
    decided = {call.policy_version for call in calls}
    assert decided <= versions | {calls[0].policy_version}
    assert len(decided) > 1
    for take in await scene.takes():
        take.whole()
