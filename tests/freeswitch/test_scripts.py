"""What the scripts in dialplan/freeswitch do by themselves, whoever answers them.

What callers and agents notice of them is in tests/calls.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.config.load import parse_config
from callrec_pbx.setup.templates import freeswitch_files
from tests.bed import measure
from tests.bed.bed import Bed, write_tone
from tests.bed.esl import Event
from tests.bed.far import Phone
from tests.bed.pbx_config import MOH_HZ, PbxOptions

CALLER, AGENT, PROMPT, EARLY, RINGBACK = 700, 950, 2650, 1150, 480
"""Tones (Hz): the parties, all prompts, a carrier's before the answer, and the PBX's ringing."""

PROMPT_MS = 600
LATE_S = 7
"""A call to 9206 may ring that long (s)."""

PUBLIC = {
    "9206": [
        ("set", f"call_timeout={LATE_S}"),
        ("lua", "callrec_offer.lua inbound 301 dialled"),
        ("bridge", "sofia/gateway/trunk/8206"),
    ],
    "9300": [
        ("lua", "callrec_offer.lua inbound - dialled"),
        ("set", f"ringback=%(1000,0,{RINGBACK})"),
        ("bridge", "user/301@127.0.0.1,user/302@127.0.0.1"),
    ],
    "9400": [
        ("set", "group_confirm_key=5"),
        ("set", "group_confirm_file=silence_stream://100"),
        ("lua", "callrec_offer.lua inbound 301 dialled"),
        ("bridge", "user/301@127.0.0.1"),
    ],
    "7.*": [
        ("lua", "callrec_offer.lua inbound dialled dialled"),
        ("bridge", "user/301@127.0.0.1"),
    ],
}
USERS = {
    "9500": [
        ("set", "bind_meta_key=*"),
        ("bind_meta_app", "7 ab s sleep::300"),
        ("set", "callrec_realm=own"),
        (
            "bind_digit_action",
            "own,55,exec[H]:event,'Event-Name=CUSTOM,Event-Subclass=own::digits'",
        ),
        ("lua", "callrec_offer.lua internal 301"),
        ("bridge", "user/301@127.0.0.1"),
    ],
    "9600": [
        ("set", "ignore_early_media=false"),
        ("lua", "callrec_offer.lua outbound 303"),
        ("bridge", "sofia/gateway/trunk/9101"),
    ],
}
"""What an administrator has in the two contexts, number to actions."""

CARRIER = (
    "exten => _91X.,1,UserEvent(FarRinging,To: trunk ${EXTEN})\n"
    " same => n,Progress()\n"
    f" same => n,PlayTones({EARLY})\n"
    " same => n,Wait(3600)\n"
)
"""Numbers of a carrier that plays something before the answer."""

CHECK = """
for name in io.popen('ls ' .. argv[1] .. '/callrec_*.lua'):lines() do
  local fine, problem = loadfile(name)
  stream:write(fine and 'fine ' or problem .. ' ')
end
"""


def _extensions(numbers: dict[str, list[tuple[str, str]]]) -> str:
    said = ""
    for number, actions in numbers.items():
        said += f'<extension name="{number}"><condition field="destination_number" '
        said += f'expression="^{number}$">\n'
        said += "".join(f'<action application="{app}" data="{data}"/>\n' for app, data in actions)
        said += "</condition></extension>\n"
    return said


class Decider:
    """Answers the scripts as a listener would, by the bed's event socket."""

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.mark = bed.esl.mark()
        self.decision: dict[str, str] = {}
        self.listens = True
        self._tasks: set[asyncio.Task[str]] = set()
        bed.esl.subscribe(self._take)

    async def beat(self) -> None:
        """Say that somebody listens, for some time to come."""
        await self.bed.esl.api(f"global_setvar callrec_heartbeat={round(time.time()) + 600}")

    def _take(self, found: Event) -> None:
        if self.listens and found.event == "callrec::offer":
            usual = {
                "ask": "none",
                "callee_ask": "none",
                "callee": "outside" if found["Callrec-Offer"].startswith("outbound") else "line",
                "prompt": "announce",
                "whisper": "",
                "language": "zz",
                "on_refusal": "continue",
            }
            self._answer(found, {**usual, **self.decision, "decision": "made"})
        elif self.listens and found.event == "callrec::key":
            self._answer(found, {"key_prompt": "", "tell": "", "key_result": "paused"})

    def _answer(self, found: Event, variables: dict[str, str]) -> None:
        text = ";".join(f"callrec_{name}={value}" for name, value in variables.items())
        command = f"uuid_setvar_multi {found['Unique-ID']} {text}"
        task = asyncio.create_task(self.bed.esl.api(command))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def events(self, name: str) -> list[Event]:
        """The events of that name since this test began."""
        return [found for found in self.bed.esl.since(self.mark) if found.event == name]

    async def seen(self, name: str, count: int = 1) -> Event:
        """Wait for the so-manieth event of that name since this test began."""
        await self.bed.esl.wait_for(lambda _: len(self.events(name)) >= count, 15, since=self.mark)
        return self.events(name)[count - 1]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office() -> AsyncIterator[Decider]:
    """A PBX with the scripts as setup writes them, and an administrator who has his own ways."""
    bed = Bed(PbxOptions(callrec=True), kind="freeswitch")
    bed.prepare()
    server = bed.freeswitch
    text = f'pbx = "freeswitch"\n[freeswitch]\nsounds_dir = "{server.sounds}"\n'
    for name, content in freeswitch_files(parse_config(text, bed.dir / "callrec.toml")).items():
        if name.endswith(".lua"):
            (server.scripts / name).write_bytes(content)
    prompts = server.sounds / "callrec" / "zz"
    prompts.mkdir(parents=True)
    for prompt in ("announce", "declined", "accepted", "whisper"):
        write_tone(prompts / f"{prompt}.wav", PROMPT, PROMPT_MS)
    for context, numbers in (("public", PUBLIC), ("default", USERS)):
        path, head = server.etc / f"dialplan/{context}.xml", f'<context name="{context}">\n'
        path.write_text(path.read_text().replace(head, head + _extensions(numbers), 1))
    carrier, anything = bed.far.server.etc / "extensions.conf", "exten => _[+0-9].,1"
    carrier.write_text(carrier.read_text().replace(anything, CARRIER + anything, 1))
    async with bed:
        yield Decider(bed)


@pytest_asyncio.fixture(loop_scope="session")
async def pbx(office: Decider) -> AsyncIterator[Decider]:
    """The same, with nothing to be played."""
    office.decision, office.listens = {}, True
    await office.beat()
    office.mark = office.bed.esl.mark()
    yield office
    await office.bed.quiet()


async def connected(pbx: Decider, to: str = "301", **decision: str) -> tuple[Phone, Phone]:
    """A caller from outside and agent 301, who talk."""
    pbx.decision = decision
    caller = await pbx.bed.far.call_in("46701", to, tone_hz=CALLER)
    agent = await (await pbx.bed.far.ringing("301")).answer(AGENT)
    await caller.wait_up()
    await pbx.seen("CHANNEL_BRIDGE")
    return caller, agent


def tones(heard: Path, *freqs: int) -> list[tuple[int, float, float]]:
    """The pieces (Hz, from and to in ms) of these tones."""
    return [(one.freq, one.from_ms, one.to_ms) for one in measure.tone_segments(heard, freqs)]


@contextmanager
def instead(path: Path, text: str | None) -> Iterator[None]:
    """That text in place of a script; None: no such file."""
    before = path.read_text()
    if text is None:
        path.unlink()
    else:
        path.write_text(text)
    try:
        yield
    finally:
        path.write_text(before)


async def test_every_script_is_a_program_to_mod_lua(pbx: Decider) -> None:
    scripts = pbx.bed.freeswitch.scripts
    (scripts / "check.lua").write_text(CHECK)
    said = await pbx.bed.esl.api(f"lua check.lua {scripts}")
    assert said.split() == ["fine"] * len([*scripts.glob("callrec_*.lua")])


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("callrec_whisper.lua", None),
        ("callrec_whisper.lua", "this is ( no program"),
        ("callrec_whisper.lua", "error('at once')"),
        ("callrec_common.lua", None),
        ("callrec_ask.lua", "return nil"),
    ],
)
async def test_a_broken_script_lets_the_call_through(
    pbx: Decider, script: str, text: str | None
) -> None:
    with instead(pbx.bed.freeswitch.scripts / script, text):
        caller, agent = await connected(pbx, whisper="whisper", ask="announce")
    assert caller.is_up
    assert agent.is_up
    assert pbx.events("callrec::whisper") == []


async def test_a_whisper_that_is_missing_is_not_reported(pbx: Decider) -> None:
    await connected(pbx, whisper="nothing_of_the_kind")
    assert pbx.events("callrec::whisper") == []


@pytest.mark.parametrize(
    "decision",
    [
        {"ask": "nonsense"},
        {"ask": "announce", "language": "../../../etc", "prompt": "pass/wd"},
        {"ask": "announce", "language": "", "prompt": ""},
        {"callee": "nobody", "callee_ask": "nonsense", "whisper": "a/../b"},
    ],
)
async def test_values_that_nobody_means(pbx: Decider, decision: dict[str, str]) -> None:
    """Nothing is played, what is reported can be read, and the call goes on."""
    caller, _ = await connected(pbx, **decision)
    assert caller.is_up
    for report in pbx.events("callrec::consent"):
        said = re.fullmatch(
            r"announce/[\w-]*/[a-z_]*//(\d+)/(\d+)/1", report["Callrec-Consent"], re.ASCII
        )
        assert said is not None
        assert int(said[2]) - int(said[1]) < PROMPT_MS / 2


@pytest.mark.parametrize(
    "dialled", ["7'/../x", "7\\\\'};os.execute('touch @')--", "7${system(touch @)}", "7,a=b;c"]
)
async def test_the_number_dialled_is_filtered(pbx: Decider, dialled: str) -> None:
    """Whatever it is: `dialled` stands for it in the dialplan, and no argument is made of it."""
    mark = pbx.bed.dir / "mark"
    await pbx.bed.far.call_in("46701", dialled.replace("@", str(mark)))
    offered = (await pbx.seen("callrec::offer"))["Callrec-Offer"]
    assert re.fullmatch(r"inbound/7[\w.*+-]*/7[\w.*+-]*//7[\w.*#+-]*/", offered, re.ASCII)
    assert not mark.exists()


async def test_an_administrators_own_keys_beside_ours(pbx: Decider) -> None:
    """Of both applications that bind keys, on the leg that calls; all other digits go through."""
    caller = await pbx.bed.far.line_calls("303", "9500")
    agent = await (await pbx.bed.far.ringing("301")).answer()
    await pbx.seen("CHANNEL_BRIDGE")
    await caller.press("#1")
    pressed = await pbx.seen("callrec::key")
    assert pressed["Channel-Name"].startswith("sofia/internal/303@")
    await agent.press("#1")
    pressed = await pbx.seen("callrec::key", 2)
    assert pressed["Channel-Name"].startswith("sofia/internal/desk301@")
    await agent.press("46")
    await caller.wait_digits("46")
    await caller.press("55")
    await pbx.seen("own::digits")
    for number, phone in enumerate((caller, agent), start=1):
        await phone.press("*7")
        await pbx.seen("PLAYBACK_STOP", number)  # the other one hears music meanwhile
    executed = [one["Application"] for one in pbx.events("CHANNEL_EXECUTE")]
    assert executed.count("sleep") == 2


async def test_keys_pressed_quickly_and_digits_that_are_none(pbx: Decider) -> None:
    """Each key is seen to once, and what is no key of ours reaches the other party."""
    caller, agent = await connected(pbx)
    await agent.press("#1#24#5")
    await pbx.seen("callrec::key", 2)
    await caller.wait_digits("4#5")
    assert [one["Callrec-Key"] for one in pbx.events("callrec::key")] == ["pause", "start"]
    await caller.press("#1")
    await agent.wait_digits("#1")
    assert len(pbx.events("callrec::key")) == 2


async def test_they_talk_while_nobody_answers_a_key(pbx: Decider, tmp_path: Path) -> None:
    """Neither hears a gap nor music in the half second until the script gives up."""
    caller, agent = await connected(pbx)
    pbx.listens = False
    sides = pbx.bed.dir / "caller.wav", pbx.bed.dir / "agent.wav"
    for phone, path in zip((caller, agent), sides, strict=True):
        await phone.hear(path)
    await agent.press("#1")
    await pbx.seen("callrec::stopped")
    await agent.hangup()
    for phone in (caller, agent):
        await phone.heard()
    assert tones(sides[0], MOH_HZ) == tones(sides[1], MOH_HZ) == []
    heard_ms = measure.tone_ms(sides[1], CALLER)
    assert heard_ms > measure.duration_ms(sides[1]) - 120


async def told_when_answered(pbx: Decider, to: str, hear: Path | None = None) -> Phone:
    """Call a number whose carrier plays something first; see when the called is announced to."""
    pbx.decision = {"callee_ask": "announce"}
    caller = await pbx.bed.far.line_calls("303", to, hear=hear)
    called = await pbx.bed.far.trunk_ringing("9101")
    await pbx.seen("CHANNEL_PROGRESS_MEDIA")
    await asyncio.sleep(0.5)  # the caller listens to it
    assert pbx.events("PLAYBACK_START") == []
    await called.answer()
    report = (await pbx.seen("callrec::consent"))["Callrec-Consent"].split("/")
    answered = next(one for one in pbx.events("CHANNEL_ANSWER") if "9101" in one["Channel-Name"])
    assert int(report[4]) >= int(answered["Event-Date-Timestamp"]) // 1000
    assert int(report[5]) - int(report[4]) > PROMPT_MS - 60
    await caller.wait_up()
    return caller


async def test_before_the_answer_nobody_is_told(pbx: Decider) -> None:
    """A carrier's tone before it goes to the caller; the announcement waits for the answer."""
    heard = pbx.bed.dir / "early.wav"
    caller = await told_when_answered(pbx, "09101", heard)
    await caller.hangup()
    await caller.heard()
    assert measure.tone_ms(heard, EARLY) > 400
    assert measure.tone_ms(heard, PROMPT) == 0


async def test_where_early_media_counts_as_an_answer(pbx: Decider) -> None:
    """An administrator has said so; nobody is told before somebody is there to hear it."""
    await told_when_answered(pbx, "9600")


async def test_answered_in_the_last_second(pbx: Decider) -> None:
    """A whisper that would last beyond the time limit of `bridge` is left out; the call is not."""
    pbx.decision = {"whisper": "whisper"}
    caller = await pbx.bed.far.call_in("46701", "9206")
    agent = await pbx.bed.far.trunk_ringing("8206")
    await asyncio.sleep(LATE_S - 1.5)  # the phone rings
    await agent.answer()
    await caller.wait_up()
    await pbx.seen("CHANNEL_BRIDGE")
    assert pbx.events("callrec::whisper") == []


async def test_two_of_a_group_answer(pbx: Decider) -> None:
    """Who has heard the whisper first has the call; the caller hears it ringing meanwhile."""
    pbx.decision = {"whisper": "whisper"}
    heard = pbx.bed.dir / "group.wav"
    caller = await pbx.bed.far.call_in("46701", "9300", hear=heard)
    one = await pbx.bed.far.ringing("301")
    two = await pbx.bed.far.ringing("302")
    await one.answer()
    await pbx.seen("PLAYBACK_START")
    await two.answer()
    await caller.wait_up()
    await two.wait_hangup()
    assert one.is_up
    await caller.hangup()
    await caller.heard()
    assert measure.tone_ms(heard, RINGBACK) > PROMPT_MS - 100
    assert measure.tone_ms(heard, PROMPT) == 0


async def test_who_hangs_up_in_the_whisper_was_not_told(pbx: Decider) -> None:
    """The call ends, as it does when somebody answers and hangs up."""
    pbx.decision = {"whisper": "whisper"}
    caller = await pbx.bed.far.call_in("46701", "301")
    agent = await pbx.bed.far.ringing("301")
    await agent.answer()
    await pbx.seen("PLAYBACK_START")
    await agent.hangup()
    await caller.wait_hangup()
    assert pbx.events("callrec::whisper") == []
    assert pbx.events("CHANNEL_BRIDGE") == []


async def test_an_administrators_own_confirmation(pbx: Decider) -> None:
    """Somebody who has the agent press 5 keeps that; ours is not in its way."""
    pbx.decision = {"whisper": "whisper"}
    caller = await pbx.bed.far.call_in("46701", "9400")
    agent = await pbx.bed.far.ringing("301")
    await agent.answer()
    await pbx.seen("PLAYBACK_START")
    await agent.press("5")
    await caller.wait_up()
    assert pbx.events("callrec::whisper") == []


async def test_a_second_offer_starts_clean(pbx: Decider) -> None:
    """After a transfer nothing is left of the whisper, and nothing has to be confirmed."""
    caller, agent = await connected(pbx, whisper="whisper")
    await pbx.seen("callrec::whisper")
    pbx.decision = {}
    await agent.blind_transfer("302")
    second = await (await pbx.bed.far.ringing("302")).answer()
    await pbx.seen("CHANNEL_BRIDGE", 2)
    assert (caller.is_up, second.is_up) == (True, True)
    assert len(pbx.events("callrec::whisper")) == 1
    last = pbx.events("callrec::offer")[-1]
    assert last["variable_group_confirm_key"] == ""
    assert last["variable_ignore_early_media"] == ""


async def test_outside_parties_who_are_joined_have_no_keys(pbx: Decider) -> None:
    """An agent has put one through to the other: what they press is for each other."""
    caller, agent = await connected(pbx)
    second = await pbx.bed.far.line_calls("301", "0461234567")
    called = await (await pbx.bed.far.trunk_ringing("461234567")).answer()
    await second.wait_up()
    assert await agent.attended_transfer(second) == "SUCCESS"
    await agent.wait_hangup()
    await pbx.seen("CHANNEL_BRIDGE", 3)
    await called.press("#1")
    await caller.wait_digits("#1")
    await caller.press("#1")
    await called.wait_digits("#1")
    assert pbx.events("callrec::key") == []
