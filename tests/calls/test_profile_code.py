"""A user switches the profile by dialling *73 and its code from the own phone."""

import signal
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.bed.far import Phone
from tests.calls.balance import balance
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import everything
from tests.calls.scene import AGENT, CALLER, Scene, running, talk, times_heard

ANNA = "anna@example.org"
PROMPTS = Path(__file__).parents[2] / "prompts" / "audio"
NAMES = ("profile_recorded", "profile_not_recorded", "profile_unknown", "profile_failed")

LONGEST_MS = 2100
"""How long (ms) the dialplan waits for an answer, and what it needs to notice."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """Anna has line 301 and two profiles; nobody has 302."""
    async with running(house, everything(whisper=False)) as listener:
        await change(listener, "user", "add", ANNA, "--language", "sv")
        await change(listener, "line", "add", "301", "--user", ANNA)
        await change(listener, "profile", "add", ANNA, "Available", "--code", "1")
        await change(
            listener, "profile", "add", ANNA, "Lunch", "--no-record-direct", "--code", "22"
        )
        yield listener


async def change(listener: Listener, *what: str) -> None:
    """Change people, and wait until the listener knows."""
    before = listener.log_text().count('"policy_loaded"')
    listener.cli(*what, "--author", "test")
    await listener.until(
        lambda: listener.log_text().count('"policy_loaded"') > before, "the new policy"
    )


async def dial(scene: Scene, line: str, code: str, name: str = "phone") -> Phone:
    """Dial a code and listen to the end."""
    phone = await scene.far.line_calls(line, f"*73{code}", hear=scene.file(name))
    await phone.wait_up()
    await phone.wait_hangup(20)
    return phone


def heard(scene: Scene, language: str = "en", name: str = "phone") -> list[str]:
    """Which of the confirmations a phone has heard."""
    return [
        prompt
        for prompt in NAMES
        if times_heard(scene.file(name), PROMPTS / language / f"{prompt}.wav")
    ]


def active(listener: Listener) -> str:
    """Anna's profile, as it is written."""
    (row,) = listener.rows(f"SELECT profile FROM person WHERE email = '{ANNA}'")
    return str(row["profile"])


async def recorded(scene: Scene) -> bool:
    """Whether a call to Anna's line is recorded now."""
    again = Scene(scene.listener)
    caller = await again.call_in("301")
    agent = await (await again.far.ringing("301", timeout=20)).answer()
    await again.together("trunk", "301")
    await talk((caller, CALLER), (agent, AGENT), ms=300)
    await caller.hangup()
    call = await again.call()
    takes = await again.takes()
    assert (call.outcome is Outcome.RECORDED) == bool(takes)
    assert call.reason == ("rule" if takes else "profile")
    return bool(takes)


async def test_there_and_back(scene: Scene) -> None:
    """Confirmed in the user's language; it counts from the next call on, and is in the log."""
    await dial(scene, "301", "22")
    assert heard(scene, "sv") == ["profile_not_recorded"]
    assert active(scene.listener) == "Lunch"
    assert not await recorded(scene)
    back = Scene(scene.listener)
    await dial(back, "301", "1")
    assert heard(back, "sv") == ["profile_recorded"]
    assert active(scene.listener) == "Available"
    assert await recorded(scene)
    log = scene.listener.rows("SELECT profile, by FROM profile_switch ORDER BY id DESC LIMIT 2")
    assert [tuple(row.values()) for row in log] == [
        ("Available", "phone:301"),
        ("Lunch", "phone:301"),
    ]
    call = (await back.over())[0]
    assert (call.outcome, call.reason) == (Outcome.NOT_SELECTED, "no_conversation")


@pytest.mark.parametrize(("line", "code"), [("301", "9"), ("302", "1")])
async def test_a_code_that_is_nobodys(scene: Scene, line: str, code: str) -> None:
    """One that the user does not have; and a phone without a user."""
    before = active(scene.listener)
    await dial(scene, line, code)
    assert heard(scene, "sv" if line == "301" else "en") == ["profile_unknown"]
    assert active(scene.listener) == before


async def test_a_caller_who_is_put_through_to_it(scene: Scene) -> None:
    """Neither a customer nor a colleague dials it who is handed on to it by another."""
    before = active(scene.listener)
    for number in (1, 2):
        own = Scene(scene.listener)
        if number == 1:
            other = await own.call_in("302")
            agent = await own.answered("302")
        else:
            other = await own.far.line_calls("301", "302", hear=own.file("caller"))
            agent = await own.answered("302")
        await agent.blind_transfer("*7322")
        await other.wait_hangup(20)
        await own.over()
        assert heard(own, name="caller") == ["profile_failed"]
    assert active(scene.listener) == before


@pytest.mark.parametrize("code", ["1", "22"])
async def test_digit_by_digit(scene: Scene, code: str) -> None:
    """The PBX waits for the whole code where it collects a transfer's digits."""
    caller = await scene.call_in("302")
    agent = await scene.answered("302")
    await scene.together("trunk", "302")
    await scene.key_transfer(agent, scene.house.traits.blind_key, f"*73{code}")
    await caller.wait_hangup(20)
    await scene.over()
    assert [one.detail for one in scene.events(What.PROFILE)] == [code]


async def test_the_listener_is_frozen(scene: Scene) -> None:
    """The phone hears that it is not confirmed; what comes too late is not done."""
    listener = scene.listener
    before = active(listener)
    listener.send(signal.SIGSTOP)
    try:
        await dial(scene, "301", "22" if before != "Lunch" else "1")
    finally:
        listener.send(signal.SIGCONT)
    assert heard(scene) == ["profile_failed"]
    asked = scene.events(What.PROFILE)
    waited = scene.events(What.PROFILE_ANSWER)
    assert waited[0].at_ms - asked[0].at_ms <= LONGEST_MS
    await scene.over()
    assert active(listener) == before


async def test_no_listener(scene: Scene) -> None:
    """Without a heartbeat nobody waits."""
    listener = scene.listener
    before = active(listener)
    await balance(listener)  # what it still has to write about the calls before
    listener.kill()
    await scene.house.set_heartbeat(1)
    try:
        await dial(scene, "301", "22")
    finally:
        await listener.up()
    assert heard(scene) == ["profile_failed"]
    assert scene.events(What.PROFILE) == []
    assert active(listener) == before


async def test_it_cannot_be_written(scene: Scene) -> None:
    """Somebody else has the catalogue for longer than the phone waits: nothing is confirmed."""
    with sqlite3.connect(scene.listener.catalogue) as db:
        db.execute("BEGIN IMMEDIATE")
        await dial(scene, "301", "22")
        db.rollback()
    db.close()
    assert heard(scene) == ["profile_failed"]
