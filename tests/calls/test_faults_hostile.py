"""What comes from the network is data: hostile numbers, names and extensions, and card digits."""

import sqlite3
from pathlib import Path

import pytest_asyncio

from callrec_pbx.domain.words import Outcome
from tests.calls.faults import (
    AGENT,
    CALLER,
    Talk,
    assert_harmless,
    chat,
    recorded_talk,
    running,
    the_call,
    the_recording,
    told,
    tone_ms,
)
from tests.calls.listener import Listener
from tests.calls.pbx import Happening, House, What

CARD = "4111111111111111"


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def any_number(house: House) -> None:
    """The administrator takes calls to whatever was dialled."""
    await house.take_anything("", "301")


def hostile(listener: Listener) -> list[str]:
    """Texts that are a command, a path, a query, a page or rubbish to somebody."""
    pwned = listener.folder / "pwned"
    return [
        "../../etc/x",
        f'"; touch {pwned}; "',
        f"$(touch {pwned})`touch {pwned}`",
        f"${{SHELL(touch {pwned})}}",
        "'; DROP TABLE call; --",
        "<script>alert(1)</script>",
        "a|b&c>d%n%s{0}[bold]",
        "9" * 300,
        "\N{BLACK TELEPHONE}\N{GRINNING FACE}",
        "\udce9t\udce9",
    ]


def numbers(listener: Listener) -> list[str]:
    """Those of them that the PBX takes as a number."""
    refused = listener.house.traits.refused
    return [text for text in hostile(listener) if not any(word in text for word in refused)]


async def short_call(listener: Listener, number: str, name: str, to: str = "301") -> None:
    """A call that is answered, talked in and ended."""
    far = listener.house.far
    caller = await far.call_in(number, to, name, tone_hz=CALLER)
    agent = await far.ringing("301", timeout=20)
    await agent.answer(AGENT)
    await caller.wait_up()
    await listener.recording("recording")
    count = len(listener.recording_facts())
    await chat(0.2)
    await Talk(caller, agent).end()
    await listener.recording("stored", count)


def callers(listener: Listener, mark: int) -> list[Happening]:
    """What the PBX took up of each caller, in order."""
    return [one for one in told(listener, What.CREATED, mark) if one.endpoint == "trunk"]


def as_text(shown: str) -> str:
    """How bytes that are no UTF-8 are shown: as Latin-1."""
    raw = shown.encode("utf-8", "surrogateescape")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


async def test_numbers(listener: Listener) -> None:
    """Recorded, and the number is shown as it came."""
    await running(listener)
    mark = listener.house.mark()
    texts = numbers(listener)
    for number in texts:
        await short_call(listener, number, "")
    calls = await listener.ended(len(texts))
    assert_harmless(listener, calls)
    shown = [as_text(one.number) for one in callers(listener, mark)]
    assert [call.a_number for call in calls] == shown
    for number, seen in zip(texts, shown, strict=True):
        # SIP ends a user part at a semicolon.
        said = as_text(number).replace("${", listener.house.traits.expansion)
        assert said.startswith(seen)
        assert seen or number.startswith(('"', "'"))


async def test_names(listener: Listener) -> None:
    """Recorded, and the name is shown as the PBX took it up."""
    await running(listener)
    mark = listener.house.mark()
    texts = hostile(listener)
    for name in texts:
        await short_call(listener, "46701", name)
    calls = await listener.ended(len(texts))
    assert_harmless(listener, calls)
    shown = [as_text(one.name) for one in callers(listener, mark)]
    assert [call.a_name for call in calls] == shown
    assert all(shown)


async def test_extensions(listener: Listener, any_number: None) -> None:
    """What was dialled is kept as far as it is a number, and nothing else comes of it."""
    await running(listener)
    misread = listener.house.traits.misread
    taken = (text for text in numbers(listener) if not any(word in text for word in misread))
    texts = [f"9{text}"[:60] for text in taken]
    texts += ["9,302,x,y", "9)1(", "9\r\nAction: Originate\r\nX: y", "9/../x"]
    for number in texts:
        await short_call(listener, "46701", "", number)
    calls = await listener.ended(len(texts))
    assert_harmless(listener, calls)
    for call in calls:
        assert call.direction == "inbound"
        assert call.ddi.startswith("9")
        for value in (call.ddi, call.b_number, call.queue):
            assert not set(value) & set("\r\n\"'$`(){}<>|&;/ ")


async def test_a_number_that_adds_headers(listener: Listener) -> None:
    """A line break ends the number; what follows is nobody's header."""
    await running(listener)
    numbers = [
        "a\r\nAction: Originate",
        "b\r\nUniqueid: 1.1\r\nLinkedid: 1.1",
        "c\r\nChannel: PJSIP/999-1\r\nEvent: Hangup",
    ]
    for number in numbers:
        await short_call(listener, number, "x")
    calls = await listener.ended(len(numbers))
    assert_harmless(listener, calls)
    assert [call.a_number for call in calls] == ["a", "b", "c"]
    assert {call.a_name for call in calls} == {"x"}


async def test_card_digits_keyed_during_a_pause(listener: Listener) -> None:
    """They reach the other party, and are in no log, no row and no sidecar."""
    await running(listener)
    async with listener.house.one_clock():
        talk = await recorded_talk(listener)
    await listener.key(talk.agent, "#1")
    await listener.recording("paused")
    await talk.caller.press(CARD, digit_ms=60, gap_ms=40)
    await talk.agent.wait_digits(CARD)
    await chat(0.6)  # a far end's phone takes what comes right after its own key for an echo
    await talk.agent.press(CARD, digit_ms=60, gap_ms=40)
    await talk.caller.wait_digits(CARD)
    await listener.key(talk.agent, "#1")
    await listener.recording("recording")
    await chat(0.3)
    await talk.end()
    call = await the_call(listener)
    recording = await the_recording(listener)
    assert call.outcome is Outcome.RECORDED
    assert tone_ms(listener, recording, CALLER) > 0
    await listener.idle()
    listener.stop()
    with sqlite3.connect(listener.catalogue) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        dump = "\n".join(db.iterdump())
    db.close()
    written = [listener.log, listener.catalogue, *listener.recordings.rglob("*.json")]
    written += [path for path in listener.folder.rglob("*") if path.is_file()]
    spoken = {listener.audio(recording)}
    assert listener.log in written
    for path in set(written) - spoken:
        assert_without_digits(path)
    assert "4111" not in dump
    assert "dtmf" not in listener.log.read_text().lower()


def assert_without_digits(path: Path) -> None:
    """Neither the card's number nor a beginning of it."""
    data = path.read_bytes()
    assert CARD[:6].encode() not in data, path
    assert b'"digit"' not in data.lower(), path
