"""The administrator's own announcements, and where none is played."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.audio.prompts import import_prompt
from callrec_pbx.domain.words import Consent, ConsentMode, Outcome
from tests.bed import measure
from tests.bed.bed import write_tone
from tests.bed.far import Phone
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    SHORT,
    Scene,
    add_short_prompts,
    prompt_in_manifest,
    running,
    talk,
    the_consent,
)

TOLD, STAR, AGREE, BUILT_IN, ENGLISH, QUIET, SUPPRESSED, LATER = (
    f"4670{n}000007" for n in range(8)
)
"""Callers of rules with an announcement of one's own in each mode; one whose own is not installed,
or in another language only; whose announcement is switched off, or suppressed; and one whose
announcement is imported while the listener runs."""

OWN_HZ, LATER_HZ = 2650, 2150
"""The tones of the administrator's own announcements (Hz)."""

OWN_MS = 700


def own_prompt(house: House, hz: int) -> Path:
    """A recording of the administrator's."""
    path = house.dir / f"own{hz}.wav"
    write_tone(path, hz, OWN_MS)
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """A rule for each kind of caller."""
    add_short_prompts(house)
    sounds = house.sounds
    tone = own_prompt(house, OWN_HZ)
    for name in ("acme", "acme_opt_out", "acme_opt_in"):
        import_prompt(tone, name=name, language=SHORT, target=sounds, text="We are Acme.")
    short = {"language": SHORT, "whisper": False}
    own = {**short, "announcement": "acme"}
    rules = (
        rule("told", "inbound", consent="announce", number=TOLD, **own)
        + rule("star", "inbound", consent="opt_out", number=STAR, **own)
        + rule("agree", "inbound", consent="opt_in", number=AGREE, **own)
        + rule(
            "built in", "inbound", consent="announce", number=BUILT_IN, announcement="x", **short
        )
        + rule(
            "english",
            "inbound",
            consent="announce",
            number=ENGLISH,
            announcement="acme",
            language="en",
            whisper=False,
        )
        + rule(
            "quiet", "inbound", consent="announce", number=QUIET, announce_inbound=False, **short
        )
        + rule(
            "suppressed",
            "inbound",
            consent="announce",
            number=SUPPRESSED,
            announcement="suppress",
            **short,
        )
        + rule("later", "inbound", consent="announce", number=LATER, announcement="later", **short)
        + rule("out", "outbound", consent="announce", **own)
    )
    async with running(house, rules) as listener:
        yield listener


def own_heard(scene: Scene, hz: int = OWN_HZ, name: str = "caller") -> list[int]:
    """How long (ms) each own announcement was that a phone has heard."""
    return [round(piece.length_ms) for piece in measure.tone_segments(scene.file(name), [hz])]


async def recorded(scene: Scene, number: str, key: str = "") -> Phone:
    """A caller who hears what there is to hear, answers it, and is recorded."""
    caller = await scene.call_in("301", number)
    if key:
        await scene.seen(What.ASKING)
        await caller.press(key)
    agent = await scene.answered("301")
    talked = await talk((caller, CALLER), (agent, AGENT), ms=500)
    await caller.hangup()
    (take,) = await scene.takes()
    take.whole().holds(talked)
    assert measure.tone_ms(take.audio, OWN_HZ) == 0
    return caller


@pytest.mark.parametrize(
    ("number", "key", "name", "mode", "outcome"),
    [
        (TOLD, "", "acme", ConsentMode.ANNOUNCE, Consent.ANNOUNCED),
        (STAR, "", "acme_opt_out", ConsentMode.OPT_OUT, Consent.ANNOUNCED),
        (AGREE, "1", "acme_opt_in", ConsentMode.OPT_IN, Consent.ACCEPTED),
    ],
)
async def test_ones_own(  # noqa: PLR0917
    scene: Scene, number: str, key: str, name: str, mode: ConsentMode, outcome: Consent
) -> None:
    """It is what the caller hears, and what the evidence names."""
    await recorded(scene, number, key)
    call = await scene.call()
    assert call.outcome is Outcome.RECORDED
    consent = the_consent(call)
    assert (consent.mode, consent.outcome) == (mode, outcome)
    prompt = prompt_in_manifest(scene.house, name, SHORT)
    assert (consent.prompt, consent.prompt_sha256) == (name, prompt.sha256)
    assert consent.prompt_version == prompt.version
    heard = own_heard(scene)
    if key:
        assert len(heard) == 1  # and cut short by the key
        assert scene.prompts_heard() == 1  # the confirmation
    else:
        assert heard == [pytest.approx(OWN_MS, abs=60)]
        assert consent.played_ms >= OWN_MS - 60
        assert scene.prompts_heard() == 0


async def test_a_refusal_of_ones_own(scene: Scene) -> None:
    caller = await scene.call_in("301", STAR)
    await scene.seen(What.ASKING)
    await caller.press("*")
    agent = await (await scene.far.ringing("301", timeout=20)).answer()
    await scene.together("trunk", "301")
    await agent.hangup()
    await caller.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    assert (the_consent(call).prompt, the_consent(call).key) == ("acme_opt_out", "*")
    assert await scene.takes() == []


async def test_one_that_is_not_installed(scene: Scene) -> None:
    """The built-in one of that mode is played."""
    await recorded(scene, BUILT_IN)
    assert (the_consent(await scene.call()).prompt, own_heard(scene)) == ("announce", [])
    assert scene.prompts_heard() == 1


async def test_one_in_another_language(scene: Scene, prompts: Path) -> None:
    """Better the built-in one in the caller's language than one that is not understood."""
    await recorded(scene, ENGLISH)
    consent = the_consent(await scene.call())
    assert (consent.prompt, consent.language) == ("announce", "en")
    assert own_heard(scene) == []
    assert measure.heard(scene.file("caller"), prompts / "announce.wav").score > 0.9


@pytest.mark.parametrize("number", [QUIET, SUPPRESSED])
async def test_no_announcement(scene: Scene, number: str) -> None:
    """Switched off for that direction, or suppressed there: recorded, and nobody is told."""
    await recorded(scene, number)
    call = await scene.call()
    assert (call.outcome, call.consents) == (Outcome.RECORDED, ())
    assert (scene.prompts_heard(), own_heard(scene)) == (0, [])


async def test_ones_own_for_the_called(scene: Scene) -> None:
    agent = await scene.far.line_calls("301", "0461234567", hear=scene.file("agent"))
    called = await scene.far.trunk_ringing("461234567")
    await called.hear(scene.file("called"))
    await called.answer()
    await scene.recording("301")
    talked = await talk((called, CALLER), (agent, AGENT), ms=500)
    await called.hangup()
    await agent.wait_hangup()
    assert the_consent(await scene.call()).prompt == "acme"
    (take,) = await scene.takes()
    take.whole().holds(talked)
    assert own_heard(scene, name="called") == [pytest.approx(OWN_MS, abs=60)]
    assert own_heard(scene, name="agent") == []


async def test_one_that_is_imported_while_the_listener_runs(scene: Scene) -> None:
    """Until then the built-in one is played; then, without a restart of anything, one's own."""
    listener = scene.listener
    await recorded(scene, LATER)
    assert the_consent(await scene.call()).prompt == "announce"
    source = own_prompt(scene.house, LATER_HZ)
    said = ("--name", "later", "--language", SHORT, "--text", "We are Acme.")
    listener.cli("prompts", "import", str(source), *said)
    played = ""
    for _ in range(20):  # the listener looks for new prompts every few seconds
        again = Scene(listener)
        await recorded(again, LATER)
        played = the_consent(await again.call()).prompt
        if played == "later":
            assert own_heard(again, LATER_HZ) == [pytest.approx(OWN_MS, abs=60)]
            break
    assert played == "later"
