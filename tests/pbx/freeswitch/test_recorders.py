"""The recordings that run: what FreeSWITCH is told, and what is made of its answers."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callrec_pbx.domain import events as e
from callrec_pbx.domain.facts import RecordingFacts
from callrec_pbx.domain.words import Channels, RecordingState
from callrec_pbx.pbx.errors import ActionFailedError, ActionTimeoutError, UnsafeValueError
from callrec_pbx.pbx.freeswitch import commands
from tests.pbx.freeswitch.captured import message
from tests.pbx.freeswitch.scripted import AGENT, CALLER, FILE, RECORDING, Pbx, connected

AT = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)
NEXT = "/var/spool/callrec/next.wav"


def facts(
    leg: str = AGENT, recording: str = RECORDING, channels: Channels = Channels.MIXED
) -> RecordingFacts:
    """A recording of that leg."""
    return RecordingFacts(
        recording, "call", leg, "sofia/x", "301", RecordingState.STARTING, AT, channels=channels
    )


async def test_a_recording_is_told_of_on_the_leg_first() -> None:
    """RECORD_START then carries our path, and nothing makes the recording leave its leg."""
    pbx = Pbx()
    async with connected(pbx) as found:
        await found.adapter.start(facts(), FILE, 0)
    tag, start = pbx.asked
    assert tag == (
        f"uuid_setvar_multi {AGENT} callrec_recording={RECORDING};callrec_path={FILE};"
        "callrec_reminder=0;recording_follow_transfer=false;recording_follow_attxfer=false"
    )
    begin, _, braces = start.partition(" {")
    assert begin == f"uuid_record {AGENT} start {FILE} 0"
    settings = dict(pair.split("=") for pair in braces.removesuffix("}").split(","))
    assert settings == {**commands.RECORD, "RECORD_STEREO": "false"}


@pytest.mark.parametrize(
    ("there", "word", "stops"),
    [("false", "no such channel", []), ("true", "-err cannot", [f"stop {FILE}"])],
)
async def test_a_start_that_is_refused_as_the_leg_hangs_up(
    there: str, word: str, stops: list[str]
) -> None:
    """Then the leg is gone, FreeSWITCH has refused nothing, and there is nothing to stop."""
    pbx = Pbx()
    pbx.answers[f"uuid_record {AGENT} start"] = ActionFailedError("-ERR Cannot record session!")
    pbx.answers[f"uuid_exists {AGENT}"] = there
    async with connected(pbx) as found:
        with pytest.raises(ActionFailedError) as error:
            await found.adapter.start(facts(), FILE, 0)
        with suppress(ActionFailedError):
            await found.adapter.stop(facts())
    assert str(error.value).lower().startswith(word)
    assert pbx.asked[3:] == [f"uuid_record {AGENT} {stop}" for stop in stops]


async def test_a_start_on_a_leg_that_has_gone() -> None:
    """FreeSWITCH does not tell of a hangup before it says that there is no such channel."""
    pbx = Pbx()
    del pbx.dumps[AGENT]
    async with connected(pbx) as found:
        with pytest.raises(ActionFailedError, match=r"^no such channel: "):
            await found.adapter.start(facts(), FILE, 0)
        with pytest.raises(ActionFailedError, match=r"^no recording of ours"):
            await found.adapter.stop(facts())
    assert [command.partition(" ")[0] for command in pbx.asked] == ["uuid_setvar_multi"]


async def test_stereo() -> None:
    pbx = Pbx()
    async with connected(pbx) as found:
        await found.adapter.start(facts(channels=Channels.STEREO), FILE, 0)
    assert "RECORD_STEREO=true" in pbx.asked[-1]
    assert "RECORD_STEREO_SWAP=false" in pbx.asked[-1]


async def test_pause_and_resume_are_told_of_when_they_are_answered() -> None:
    """FreeSWITCH has no event for them."""
    pbx = Pbx()
    pbx.ahead_s = 3600
    async with connected(pbx) as found:
        await found.adapter.start(facts(), FILE, 0)
        await found.adapter.pause(facts())
        await found.adapter.resume(facts())
        await found.adapter.stop(facts())
    assert pbx.asked[2:] == [
        f"uuid_record {AGENT} {action} {FILE}" for action in ("mask", "unmask", "stop")
    ]
    paused, resumed = found.heard
    assert isinstance(paused, e.RecordingPaused)
    assert isinstance(resumed, e.RecordingResumed)
    assert {paused.leg, resumed.leg} == {AGENT}
    assert (paused.at - datetime.now(UTC)).total_seconds() > 3000


@pytest.mark.parametrize("action", ["mask", "unmask"])
async def test_what_is_refused_is_not_told_of(action: str) -> None:
    pbx = Pbx()
    pbx.answers[f"uuid_record {AGENT} {action}"] = ActionFailedError(f"-ERR Cannot {action}")
    async with connected(pbx) as found:
        await found.adapter.start(facts(), FILE, 0)
        steer = found.adapter.pause if action == "mask" else found.adapter.resume
        with pytest.raises(ActionFailedError):
            await steer(facts())
    assert found.heard == []


@pytest.mark.parametrize("text", ["-ERR Cannot locate session!", "-ERR No such channel!\n-USAGE"])
async def test_a_leg_that_has_gone(text: str) -> None:
    """In the words by which the recorder knows it."""
    pbx = Pbx()
    pbx.answers["uuid_record"] = ActionFailedError(text)
    async with connected(pbx) as found:
        with pytest.raises(ActionFailedError, match=r"^no such channel: -ERR [^\n]*!$"):
            await found.adapter.start(facts(), FILE, 0)


async def test_a_leg_that_rings_is_left_alone() -> None:
    """It would be given audio; when it was answered at last, calls have ended by that."""
    pbx = Pbx()
    async with connected(pbx) as found:
        called = message("early-media", "CHANNEL_CREATE", 1)
        found.send(called)
        ringing = facts(leg=called["Unique-ID"])
        with pytest.raises(ActionFailedError, match="not been answered"):
            await found.adapter.start(ringing, FILE, 0)
        assert pbx.asked == []
        pbx.dumps[called["Unique-ID"]] = called
        found.send(called | {"Event-Name": "CHANNEL_ANSWER", "Answer-State": "answered"})
        await found.adapter.start(ringing, FILE, 0)


async def test_no_file_is_begun_twice() -> None:
    """FreeSWITCH would say OK, and tell of nothing; another file is begun."""
    pbx = Pbx()
    async with connected(pbx) as found:
        await found.adapter.start(facts(), FILE, 0)
        pbx.asked.clear()
        with pytest.raises(ActionFailedError, match="written before"):
            await found.adapter.start(facts(), FILE, 0)
        assert pbx.asked == []
        await found.adapter.start(facts(recording="next"), NEXT, 0)
        with pytest.raises(ActionFailedError, match="by that id"):
            await found.adapter.stop(facts())
        await found.adapter.stop(facts(recording="next"))
    assert pbx.asked[-1] == f"uuid_record {AGENT} stop {NEXT}"


async def test_one_that_is_not_known() -> None:
    """It may be somebody else's."""
    pbx = Pbx()
    async with connected(pbx) as found:
        for steer in (found.adapter.pause, found.adapter.resume, found.adapter.stop):
            with pytest.raises(ActionFailedError, match="by that id"):
                await steer(facts())
    assert pbx.asked == []


async def test_one_that_an_earlier_listener_has_begun() -> None:
    """It is known by the snapshot, with the tasks that play its tone."""
    pbx = Pbx()
    async with connected(pbx) as found:
        await found.adapter.look({})
        pbx.asked.clear()
        await found.adapter.stop(facts())
    assert pbx.asked == [
        "sched_del 4",
        "sched_del 5",
        f"uuid_setvar_multi {AGENT} callrec_reminder_tasks=",
        f"uuid_record {AGENT} stop {FILE}",
    ]


async def test_one_that_was_meant_and_is_not_written() -> None:
    """An earlier listener has noted it on the leg, and was killed: it is begun now."""
    pbx = Pbx()
    pbx.bugs = {}
    async with connected(pbx) as found:
        await found.adapter.look({})
        await found.adapter.start(facts(), FILE, 0)
    assert pbx.asked[-1].startswith(f"uuid_record {AGENT} start {FILE} ")


async def test_a_start_of_which_the_answer_is_lost_can_be_stopped() -> None:
    pbx = Pbx()
    pbx.answers[f"uuid_record {AGENT} start"] = ActionTimeoutError("no answer")
    async with connected(pbx) as found:
        with pytest.raises(ActionTimeoutError):
            await found.adapter.start(facts(), FILE, 0)
        await found.adapter.stop(facts())
    assert pbx.asked[-1] == f"uuid_record {AGENT} stop {FILE}"


async def test_what_has_hung_up_is_forgotten() -> None:
    pbx = Pbx()
    async with connected(pbx) as found:
        await found.adapter.start(facts(), FILE, 0)
        ended = message("blind-refer", "CHANNEL_HANGUP_COMPLETE") | {"Unique-ID": AGENT}
        found.send(ended)
        with pytest.raises(ActionFailedError, match="by that id"):
            await found.adapter.stop(facts())


def tones(asked: list[str]) -> list[str]:
    """What was asked for about the tone."""
    return [one for one in asked if not one.startswith("uuid_record")]


async def test_the_reminder_tone() -> None:
    """At the beginning, and from then on by FreeSWITCH itself, to the leg and its partner."""
    pbx = Pbx()
    tone = "start tone_stream://v=-17;%(250,0,1400) 0 m"
    mine = f"uuid_displace {AGENT} {tone}"
    theirs = f"expand uuid:{AGENT} uuid_displace ${{variable_bridge_to}} {tone}"
    async with connected(pbx) as found:
        await found.adapter.start(facts(), FILE, 30)
        assert tones(pbx.asked)[1:] == [
            mine,
            f"sched_api @30 {AGENT} {mine}",
            theirs,
            f"sched_api @30 {AGENT} {theirs}",
            f"uuid_setvar_multi {AGENT} callrec_reminder_tasks=1 2",
        ]
        pbx.asked.clear()
        await found.adapter.pause(facts())
        forgotten = f"uuid_setvar_multi {AGENT} callrec_reminder_tasks="
        assert tones(pbx.asked) == ["sched_del 1", "sched_del 2", forgotten]
        pbx.asked.clear()
        await found.adapter.resume(facts())
        assert tones(pbx.asked) == [
            f"sched_api @30 {AGENT} {mine}",
            f"sched_api @30 {AGENT} {theirs}",
            f"uuid_setvar_multi {AGENT} callrec_reminder_tasks=3 4",
        ]
        await found.adapter.resume(facts())
        pbx.asked.clear()
        await found.adapter.stop(facts())
        assert tones(pbx.asked) == ["sched_del 3", "sched_del 4", forgotten]


async def test_a_tone_that_is_refused_does_not_cost_the_recording() -> None:
    pbx = Pbx()
    pbx.answers["sched_api"] = ActionFailedError("-ERR")
    async with connected(pbx) as found:
        await found.adapter.start(facts(), FILE, 30)
        await found.adapter.stop(facts())
    assert pbx.asked[-1] == f"uuid_record {AGENT} stop {FILE}"


async def test_a_tone_that_cannot_be_ended_does_not_keep_the_file_open() -> None:
    pbx = Pbx()
    pbx.answers["sched_del"] = ActionFailedError("-ERR")
    async with connected(pbx) as found:
        await found.adapter.start(facts(), FILE, 30)
        await found.adapter.stop(facts())
    assert pbx.asked[-1] == f"uuid_record {AGENT} stop {FILE}"


@pytest.mark.parametrize(
    "path",
    [
        "relative.wav",
        "",
        "/a'b.wav",
        '/a"b.wav',
        "/a\\b.wav",
        "/a\nb.wav",
        "/{x=y}a.wav",
        "/$a.wav",
        "/a;b.wav",
        "/a.wav ",
        "/a\0.wav",
    ],
)
async def test_a_path_that_freeswitch_would_read_otherwise(path: str) -> None:
    """Nothing is sent, and nothing is noted on the leg."""
    pbx = Pbx()
    async with connected(pbx) as found:
        with pytest.raises(UnsafeValueError):
            await found.adapter.start(facts(), path, 0)
    assert pbx.asked == []


def test_a_path_with_a_blank() -> None:
    assert commands.record(CALLER, "stop", "/a b.wav") == f"uuid_record {CALLER} stop '/a b.wav'"


@pytest.mark.parametrize("leg", ["", "a b", "a;b", "all\n", "x" * 256, "a'@b", "a\\@b"])
def test_what_is_no_leg(leg: str) -> None:
    with pytest.raises(UnsafeValueError):
        commands.leg_id(leg)


def test_a_call_id_as_a_leg() -> None:
    """`inbound-use-callid-as-uuid` makes it the channel's id."""
    assert commands.leg_id("84b4c76e66710@192.0.2.1:5060") == "84b4c76e66710@192.0.2.1:5060"


@pytest.mark.parametrize("value", ["a;b", "a'b", 'a"b', "a\\b", "a\nb", "$x", " a", "a ", "a\0"])
def test_a_value_that_would_be_read_otherwise(value: str) -> None:
    with pytest.raises(UnsafeValueError, match="callrec_x"):
        commands.set_all(CALLER, {"callrec_x": value})


def test_a_prompt_and_its_file() -> None:
    sounds = Path("/sounds/callrec")
    assert commands.sound(sounds, "de", "started") == "/sounds/callrec/de/started.wav"
    assert commands.sound(sounds, "de", "") == ""
