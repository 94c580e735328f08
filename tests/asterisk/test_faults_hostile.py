"""What comes from the network is data: hostile numbers, names and extensions, and card digits."""

import sqlite3
from pathlib import Path

import pytest_asyncio

from callrec_pbx.domain.facts import CallFacts
from callrec_pbx.domain.words import Outcome
from tests.asterisk.faults import (
    AGENT,
    CALLER,
    Talk,
    chat,
    recorded_talk,
    running,
    talk_of,
    the_call,
    the_recording,
    tone_ms,
)
from tests.asterisk.listener import Listener
from tests.bed.ami import event
from tests.bed.bed import Bed

CARD = "4111111111111111"
LONGEST = 79
"""Characters of a number or name that Asterisk keeps."""

ANY_NUMBER = """
[from-trunk](+)
exten => _X.,1,NoOp(anything)
 same => n,Gosub(callrec-offer,s,1(inbound,301,${EXTEN},))
 same => n,Dial(PJSIP/301,30,tkU(callrec-whisper))
 same => n,Hangup()
"""


@pytest_asyncio.fixture(loop_scope="session", scope="module")
async def any_number(installed_bed: Bed) -> None:
    """The administrator takes calls to whatever was dialled."""
    with (installed_bed.pbx.etc / "extensions.conf").open("a") as file:
        file.write(ANY_NUMBER)
    await installed_bed.pbx.rx("dialplan reload")


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


async def short_call(listener: Listener, number: str, name: str, to: str = "301") -> None:
    """A call that is answered, talked in and ended."""
    far = listener.bed.far
    caller = await far.call_in(number, to, name, tone_hz=CALLER)
    agent = await far.ringing("301", timeout=20)
    await agent.answer(AGENT)
    await caller.wait_up()
    await listener.recording("recording")
    count = len(listener.recording_facts())
    await chat(0.2)
    await Talk(caller, agent).end()
    await listener.recording("stored", count)


def told_by_the_pbx(listener: Listener, mark: int, header: str) -> list[str]:
    """What the PBX took up of each caller, in order."""
    created = event("Newchannel")
    return [
        message[header]
        for message in listener.bed.pbx_ami.since(mark)
        if created(message) and message["Channel"].startswith("PJSIP/trunk-")
    ]


def assert_harmless(listener: Listener, calls: list[CallFacts]) -> None:
    """Each call is recorded, and there is nothing but the listener's own files."""
    assert {(call.outcome, call.reason) for call in calls} == {(Outcome.RECORDED, "rule")}
    states = [recording.state.value for recording in listener.recording_facts()]
    assert states == ["stored"] * len(calls)
    known = {"recordings", "callrec.toml", "listener.log", "listener.pid", "catalogue.db"}
    known |= {"catalogue.db-wal", "catalogue.db-shm"}
    assert {path.name for path in listener.folder.iterdir()} <= known
    monitor = listener.bed.pbx.spool / "monitor"
    assert not monitor.exists() or not any(monitor.iterdir())
    assert not any(path.name == "x" for path in listener.recordings.rglob("*"))


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
    mark = listener.bed.pbx_ami.mark()
    texts = hostile(listener)
    for number in texts:
        await short_call(listener, number, "")
    calls = await listener.ended(len(texts))
    assert_harmless(listener, calls)
    shown = [as_text(text) for text in told_by_the_pbx(listener, mark, "CallerIDNum")]
    assert [call.a_number for call in calls] == shown
    for number, seen in zip(texts, shown, strict=True):
        # SIP ends a user part at a semicolon.
        assert as_text(number)[:LONGEST].startswith(seen)
        assert seen or number.startswith(('"', "'"))


async def test_names(listener: Listener) -> None:
    """Recorded, and the name is shown as Asterisk took it up."""
    await running(listener)
    mark = listener.bed.pbx_ami.mark()
    texts = hostile(listener)
    for name in texts:
        await short_call(listener, "46701", name)
    calls = await listener.ended(len(texts))
    assert_harmless(listener, calls)
    shown = [as_text(text) for text in told_by_the_pbx(listener, mark, "CallerIDName")]
    assert [call.a_name for call in calls] == shown
    assert all(shown)


async def test_extensions(listener: Listener, any_number: None) -> None:
    """What was dialled is kept as far as it is a number, and nothing else comes of it."""
    await running(listener)
    texts = [f"9{text}"[:60] for text in hostile(listener)]
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
            far = listener.bed.far
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


async def test_an_extension_that_is_a_message_about_another_call(
    listener: Listener, any_number: None
) -> None:
    """The same by what was dialled."""
    with (listener.bed.pbx.etc / "extensions.conf").open("a") as file:
        file.write(ANY_NUMBER.replace("_X.", "_9X.").replace("301", "302"))
    await listener.bed.pbx.rx("dialplan reload")
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


async def test_card_digits_keyed_during_a_pause(listener: Listener) -> None:
    """They reach the other party, and are in no log, no row and no sidecar."""
    await running(listener)
    talk = await recorded_talk(listener)
    await listener.key(talk.agent, "#1")
    await listener.recording("paused")
    await talk.caller.press(CARD, digit_ms=60, gap_ms=40)
    await talk.agent.wait_digits(CARD)
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
