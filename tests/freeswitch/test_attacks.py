"""Callers from outside who mean harm, or just press the wrong key at the wrong moment."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from callrec_pbx.domain.words import Consent, Outcome
from tests.calls.listener import Listener, install
from tests.calls.on_freeswitch import FreeSwitchHouse
from tests.calls.pbx import What
from tests.calls.rules import everything, rule
from tests.calls.scene import AGENT, CALLER, Scene, new_listener, talk, the_consent
from tests.freeswitch.attacker import Attacker

PLAIN = everything(whisper=False, notice="none")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def naive() -> AsyncIterator[FreeSwitchHouse]:
    """An administrator who has the caller's Call-ID as the name of each channel."""
    house = FreeSwitchHouse()
    install(house)
    for path in house.bed.pbx.etc.rglob("*.xml"):
        text = path.read_text()
        param = '<param name="inbound-use-callid-as-uuid" value="true"/>'
        if '<profile name="external">' in text:
            head, middle, tail = text.partition('<profile name="external">')
            path.write_text(head + middle + tail.replace("<settings>", f"<settings>{param}", 1))
    async with house:
        yield house


async def begun(listener: Listener, rules: str = PLAIN) -> Scene:
    listener.configure(rules)
    listener.cli("migrate")
    await listener.up()
    return Scene(listener)


async def test_an_announcement_is_not_cut_by_a_key(listener: Listener) -> None:
    """Who presses a key while he is told must not get out of the recording that way."""
    scene = await begun(listener, rule("in", "inbound", consent="announce", whisper=False))
    caller = await scene.call_in("301")
    await scene.seen(What.ANNOUNCING)
    await caller.press("5*")
    agent = await scene.answered("301")
    await talk((caller, CALLER), (agent, AGENT), ms=300)
    assert agent.digits == ""
    await agent.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    assert call.outcome is Outcome.RECORDED
    assert the_consent(call).outcome is Consent.ANNOUNCED


async def test_a_call_id_that_names_the_channel(naive: FreeSwitchHouse) -> None:
    """As most phones make one: announced to, recorded and paused like any other."""
    listener = new_listener(naive)
    try:
        scene = await begun(listener, rule("in", "inbound", consent="announce", whisper=False))
        async with Attacker(naive.sip_port, "84b4c76e66710@192.0.2.1") as caller:
            caller.call("301")
            agent = await scene.answered("301")
            await listener.key(agent, "#1")
            await listener.recording("paused")
            await agent.hangup()
        call = await scene.call()
        assert call.outcome is Outcome.RECORDED
        assert the_consent(call).outcome is Consent.ANNOUNCED
    finally:
        await naive.quiet()
        listener.stop()


@pytest.mark.parametrize(
    "call_id",
    [
        *("x" + "\\" * count + '\'};os.execute("touch${IFS}MARK")--@h' for count in (1, 2, 3, 7)),
        '%27;"x"`touch`',
    ],
)
async def test_a_call_id_that_is_a_program(naive: FreeSwitchHouse, call_id: str) -> None:
    """The call goes on, and it is in no command of ours; its agent has no keys."""
    listener = new_listener(naive)
    mark = listener.folder / "mark"
    try:
        scene = await begun(listener)
        async with Attacker(naive.sip_port, call_id.replace("MARK", str(mark))) as caller:
            caller.call("301")
            agent = await scene.answered("301")
            await agent.press("#1")
            await talk((agent, AGENT), ms=1000)
            await agent.hangup()
        assert (await scene.call()).outcome is Outcome.RECORDED
        assert not mark.exists()
        executed = [one for one in naive.bed.esl.log if one["Application"] == "bind_digit_action"]
        assert not [one for one in executed if "touch" in one["Application-Data"]]
    finally:
        await naive.quiet()
        listener.stop()


@pytest.mark.parametrize("digit", ["*", "10"])
async def test_a_star_told_by_info(listener: Listener, digit: str) -> None:
    scene = await begun(listener, rule("in", "inbound", consent="opt_out", whisper=False))
    async with Attacker(listener.house.sip_port) as caller:
        caller.call("301")
        await scene.seen(What.ASKING)
        assert await caller.press(digit) == 200
        await scene.seen(What.CONSENT)
        agent = await scene.far.ringing("301", 6)
        await agent.answer(AGENT)
        await scene.together("trunk", "301")
        await agent.hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")


HEADERS = (
    b"X-callrec_decision: made\r\nX-callrec_ask: none\r\ncallrec_consent: declined\r\n"
    b'P-Asserted-Identity: "Agent" <sip:301@127.0.0.1>\r\n'
    b"P-callrec_stopped: discard/x\r\nX-FS-Support: update_display\r\n"
    b"Remote-Party-ID: <sip:301@127.0.0.1>;party=calling\r\n"
    b"X-dialed_user: 301\r\nX-user_name: 301\r\nCall-Info: <sip:x>;answer-after=0\r\n"
)


@pytest.mark.parametrize(
    "sender",
    [
        b"<sip:301@127.0.0.1>",
        b'"%0A%0AEvent-Name: X ${system(touch mark)} ^^,{}[]" <sip:${uuid}@127.0.0.1>',
        b'"' + b"\xff\xfe\xc3" * 20 + b'" <sip:301;callrec_decision=made@127.0.0.1>',
        b'"' + b"x" * 10_000 + b'" <sip:301@127.0.0.1;callrec_consent=declined>',
        b'"{\\"a\\":1}\\\\\'};os.exit()--" <sip:*73999@127.0.0.1>',
    ],
)
async def test_hostile_headers(listener: Listener, sender: bytes) -> None:
    """Recorded as what it is, a call from outside; a restart in its middle reads the same."""
    scene = await begun(listener)
    async with Attacker(listener.house.sip_port, headers=HEADERS, sender=sender) as caller:
        caller.call("301")
        agent = await scene.answered("301")
        listener.kill()
        await listener.up()
        await listener.key(agent, "#1")
        await listener.recording("paused")
        await agent.hangup()
    call = await scene.call()
    assert call.outcome is Outcome.RECORDED
    assert (call.direction, call.b_number) == ("inbound", "301")
    assert {take.owner for take in await scene.takes()} == {"301"}
