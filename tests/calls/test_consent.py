"""What callers are told and asked, what they answer, and what is kept as evidence of it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from callrec_pbx.domain.facts import ConsentFacts
from callrec_pbx.domain.words import Consent, ConsentMode, Outcome
from tests.bed import measure
from tests.bed.far import Phone
from tests.calls.listener import Listener
from tests.calls.pbx import House, What
from tests.calls.rules import rule
from tests.calls.scene import (
    AGENT,
    CALLER,
    PROMPT_HZ,
    SHORT,
    SHORT_MS,
    Scene,
    length_ms,
    prompt_in_manifest,
    running,
    talk,
    the_consent,
    times_heard,
)

ENGLISH, GERMAN, STAR, SHORT_STAR, AGREE, MUST_AGREE = (f"4670{n}000001" for n in range(6))
"""Callers of different rules: announced in English and German, may refuse (a spoken and a short
announcement), must agree, and are hung up on when they do not."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def office(house: House) -> AsyncIterator[Listener]:
    """A rule for each kind of caller."""
    short = {"language": SHORT}  # which has no whisper
    rules = (
        rule("english", "inbound", consent="announce", number=ENGLISH)
        + rule("german", "inbound", consent="announce", number=GERMAN, language="de")
        + rule("star", "inbound", consent="opt_out", number=STAR)
        + rule("short star", "inbound", consent="opt_out", number=SHORT_STAR, **short)
        + rule("agree", "inbound", consent="opt_in", number=AGREE, **short)
        + rule(
            "must agree",
            "inbound",
            consent="opt_in",
            number=MUST_AGREE,
            on_refusal="hang_up",
            **short,
        )
    )
    async with running(house, rules) as listener:
        yield listener


def evidence(
    scene: Scene, consent: ConsentFacts, name: str, language: str, *, played_ms: float | None
) -> None:
    """See that the evidence says which prompt, and how far it was played by the PBX's clock.

    Args:
        played_ms: None when it was played to its end.
    """
    prompt = prompt_in_manifest(scene.house, name, language)
    assert (consent.prompt, consent.language) == (name, language)
    assert (consent.prompt_sha256, consent.prompt_version) == (prompt.sha256, prompt.version)
    assert consent.prompt_ms == prompt.duration_ms
    assert consent.played_from is not None
    assert consent.played_to is not None
    took_ms = (consent.played_to - consent.played_from).total_seconds() * 1000
    if played_ms is None:
        assert (
            consent.prompt_ms - scene.house.traits.played_ms
            <= consent.played_ms
            <= consent.prompt_ms
        )
        assert consent.played_ms <= took_ms <= consent.prompt_ms + 250
    else:
        assert consent.played_ms == pytest.approx(took_ms, abs=1)
        assert consent.played_ms == pytest.approx(played_ms, abs=250)
    assert consent.party == scene.events(What.CREATED)[0].leg


def prompt_file(name: str, language: str = "en") -> Path:
    """The shipped audio of a prompt."""
    return Path(__file__).parents[2] / "prompts" / "audio" / language / f"{name}.wav"


async def end(scene: Scene, caller: Phone) -> None:
    """The caller hangs up, and all is over."""
    await caller.hangup()
    await scene.over()


@pytest.mark.parametrize(("number", "language"), [(ENGLISH, "en"), (GERMAN, "de")])
async def test_announced(scene: Scene, number: str, language: str) -> None:
    """The caller hears the announcement once and whole, the agent the whisper; each alone."""
    caller, agent = await scene.conversation(number)
    talked = await talk((caller, CALLER), (agent, AGENT))
    await end(scene, caller)

    call = await scene.call()
    consent = the_consent(call)
    assert (consent.mode, consent.outcome) == (ConsentMode.ANNOUNCE, Consent.ANNOUNCED)
    assert (consent.number, consent.key) == (number, "")
    evidence(scene, consent, "announce", language, played_ms=None)
    announcement = prompt_file("announce", language)
    whisper = prompt_file("whisper", language)
    assert times_heard(scene.file("caller"), announcement) == 1
    assert times_heard(scene.file("caller"), whisper) == 0
    assert times_heard(scene.file("agent"), whisper) == 1
    assert times_heard(scene.file("agent"), announcement) == 0
    leg = next(leg for leg in call.legs if leg.line == "301")
    assert leg.whispered_at is not None
    (take,) = await scene.takes()
    take.whole().holds(talked)
    for prompt in (announcement, whisper):
        assert times_heard(take.audio, prompt) == 0
        assert measure.heard(take.audio, prompt).length_ms < 200


async def test_star_at_once(scene: Scene) -> None:
    """Star after a second: the confirmation is heard, and the agent hears no whisper."""
    caller = await scene.call_in("301", STAR)
    await caller.wait_up()
    began = await scene.seen(What.ASKING)
    await asyncio.sleep(1)  # the caller listens for a second before he presses
    await caller.press("*")
    agent = await scene.far.ringing("301", timeout=20)
    await agent.hear(scene.file("agent"))
    await agent.answer()
    await scene.together("trunk", "301")
    await talk((caller, CALLER), (agent, AGENT), ms=500)
    await end(scene, caller)

    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    consent = the_consent(call)
    assert (consent.mode, consent.outcome) == (ConsentMode.OPT_OUT, Consent.DECLINED)
    assert consent.key == "*"
    pressed = next(one for one in scene.events(What.DIGIT) if one.detail == "*")
    played_ms = pressed.at_ms - began.at_ms
    evidence(scene, consent, "announce_opt_out", "en", played_ms=played_ms)
    assert consent.played_ms < consent.prompt_ms / 2
    assert times_heard(scene.file("caller"), prompt_file("declined")) == 1
    assert times_heard(scene.file("caller"), prompt_file("announce_opt_out")) == 0
    assert times_heard(scene.file("agent"), prompt_file("whisper")) == 0
    assert all(leg.whispered_at is None for leg in call.legs)
    assert await scene.takes() == []


async def test_star_after_the_prompt(scene: Scene) -> None:
    """Star counts for two seconds after the announcement; that was played whole."""
    caller = await scene.call_in("301", SHORT_STAR)
    await caller.wait_up()
    await asyncio.sleep(1.2)  # the caller listens to the end (0.6 s), and thinks
    await caller.press("*")
    agent = await scene.far.ringing("301", timeout=20)
    await agent.answer()
    await end(scene, caller)

    call = await scene.call()
    assert call.outcome is Outcome.DECLINED
    consent = the_consent(call)
    assert (consent.outcome, consent.key) == (Consent.DECLINED, "*")
    evidence(scene, consent, "announce_opt_out", SHORT, played_ms=None)
    # the announcement and the confirmation
    assert scene.prompts_heard() == 2
    assert await scene.takes() == []


async def test_nothing_pressed(scene: Scene) -> None:
    """Announced; a whisper that is missing on the PBX is not claimed to have been heard."""
    caller, agent = await scene.conversation(SHORT_STAR)
    talked = await talk((caller, CALLER), (agent, AGENT))
    await end(scene, caller)
    call = await scene.call()
    consent = the_consent(call)
    assert (consent.outcome, consent.key) == (Consent.ANNOUNCED, "")
    evidence(scene, consent, "announce_opt_out", SHORT, played_ms=None)
    assert all(leg.whispered_at is None for leg in call.legs)
    (take,) = await scene.takes()
    take.whole().holds(talked)


async def cut_short(scene: Scene, caller: Phone, key: str, times: int) -> None:
    """Press a key while the announcement plays for the `times`th time."""
    await scene.seen(What.ASKING, times)
    await caller.press(key)


async def test_another_key_replays(scene: Scene) -> None:
    """A key that means nothing cut the announcement short: it is played again, and whole."""
    caller = await scene.call_in("301", SHORT_STAR)
    await cut_short(scene, caller, "7", 1)
    agent = await scene.answered("301")
    talked = await talk((caller, CALLER), (agent, AGENT))
    await end(scene, caller)
    consent = the_consent(await scene.call())
    assert (consent.outcome, consent.key) == (Consent.ANNOUNCED, "")
    evidence(scene, consent, "announce_opt_out", SHORT, played_ms=None)
    heard_ms = measure.tone_ms(scene.file("caller"), PROMPT_HZ)
    played_ms = scene.house.traits.played_ms
    assert SHORT_MS + played_ms < heard_ms < 2 * SHORT_MS - played_ms
    (take,) = await scene.takes()
    take.whole().holds(talked)


async def test_a_star_counts_after_other_keys(scene: Scene) -> None:
    """Two wrong keys, then the star while the announcement plays for the third time."""
    caller = await scene.call_in("301", SHORT_STAR)
    await cut_short(scene, caller, "7", 1)
    await cut_short(scene, caller, "8", 2)
    await cut_short(scene, caller, "*", 3)
    agent = await scene.far.ringing("301", timeout=20)
    await agent.answer()
    await scene.together("trunk", "301")
    await end(scene, caller)
    consent = the_consent(await scene.call())
    assert (consent.outcome, consent.key) == (Consent.DECLINED, "*")
    assert await scene.takes() == []


async def test_who_cuts_every_announcement_short_was_not_told(scene: Scene) -> None:
    """It was played five times and never to its end: not announced, so not recorded."""
    caller = await scene.call_in("301", SHORT_STAR)
    for count, key in enumerate("78901", start=1):
        await cut_short(scene, caller, key, count)
    agent = await scene.far.ringing("301", timeout=20)
    await agent.answer()
    await scene.together("trunk", "301")
    await talk((caller, CALLER), (agent, AGENT))
    await end(scene, caller)
    call = await scene.call()
    consent = the_consent(call)
    assert consent.outcome is Consent.NO_ANSWER
    assert consent.played_ms < consent.prompt_ms
    assert (call.outcome, call.reason) == (Outcome.MISSED, "consent_missing")
    assert await scene.takes() == []


async def test_agreed(scene: Scene) -> None:
    caller = await scene.call_in("301", AGREE)
    await cut_short(scene, caller, "1", 1)
    agent = await scene.answered("301")
    talked = await talk((caller, CALLER), (agent, AGENT))
    await end(scene, caller)
    call = await scene.call()
    consent = the_consent(call)
    assert (consent.mode, consent.outcome) == (ConsentMode.OPT_IN, Consent.ACCEPTED)
    assert consent.key == "1"
    prompt = prompt_in_manifest(scene.house, "announce_opt_in", SHORT)
    assert (consent.prompt, consent.prompt_sha256) == ("announce_opt_in", prompt.sha256)
    (take,) = await scene.takes()
    take.whole().holds(talked)
    assert take.prompts() == 0


@pytest.mark.parametrize("keys", ["2", "", "72"])
async def test_not_agreed(scene: Scene, keys: str) -> None:
    """`2`, silence (asked twice), or another key and then `2`: confirmed, and not recorded."""
    caller = await scene.call_in("301", AGREE)
    for number, key in enumerate(keys, 1):
        await cut_short(scene, caller, key, number)
    agent = await scene.far.ringing("301", timeout=30)
    await agent.answer()
    await scene.together("trunk", "301")
    await end(scene, caller)

    call = await scene.call()
    consent = the_consent(call)
    if keys:
        assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
        assert (consent.outcome, consent.key) == (Consent.DECLINED, "2")
    else:
        assert (call.outcome, call.reason) == (Outcome.DECLINED, "no_answer")
        assert (consent.outcome, consent.key) == (Consent.NO_ANSWER, "")
        evidence(scene, consent, "announce_opt_in", SHORT, played_ms=None)
        # asked twice, and told that it is not recorded
        assert scene.prompts_heard() == 3
    assert await scene.takes() == []


async def test_refusal_ends_the_call(scene: Scene) -> None:
    caller = await scene.call_in("301", MUST_AGREE)
    await cut_short(scene, caller, "2", 1)
    await caller.wait_hangup()
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    assert the_consent(call).key == "2"
    assert [one.endpoint for one in scene.events(What.CREATED)] == ["trunk"]
    assert measure.tone_segments(scene.file("caller"), [PROMPT_HZ])[-1].length_ms > 500


async def test_hangup_during_the_announcement(scene: Scene) -> None:
    """What was not played is not claimed."""
    caller = await scene.call_in("301", STAR)
    await caller.wait_up()
    await scene.seen(What.ASKING)
    await asyncio.sleep(0.5)  # the caller listens for half a second
    await end(scene, caller)
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.NOT_SELECTED, "no_conversation")
    consent = the_consent(call)
    assert consent.outcome is Consent.NO_ANSWER
    evidence(scene, consent, "announce_opt_out", "en", played_ms=500)


async def test_the_whisper_through_a_queue(scene: Scene) -> None:
    """The agent who takes the call hears it, and the caller does not."""
    caller = await scene.call_in("600", ENGLISH)
    other = await scene.far.ringing("301", timeout=20)
    agent = await scene.answered("302", hear="agent")
    await other.wait_hangup()
    talked = await talk((caller, CALLER), (agent, AGENT))
    await end(scene, caller)
    whisper = prompt_file("whisper")
    assert times_heard(scene.file("agent"), whisper) == 1
    assert times_heard(scene.file("caller"), whisper) == 0
    (take,) = await scene.takes()
    take.whole().holds(talked)


async def test_prompt_missing_on_the_pbx(scene: Scene) -> None:
    """Fail closed: a rule whose announcement cannot be played does not record, and says why."""
    folder = scene.house.sounds / SHORT
    files = [*folder.rglob("announce_opt_out.*")]
    assert files
    for file in files:
        file.rename(file.with_name(f"away-{file.name}"))
    try:
        caller = await scene.call_in("301", SHORT_STAR)
        agent = await scene.far.ringing("301", timeout=20)
        await agent.answer()
        await scene.together("trunk", "301")
        await talk((caller, CALLER), (agent, AGENT))
        await end(scene, caller)
    finally:
        for file in files:
            file.with_name(f"away-{file.name}").rename(file)
    call = await scene.call()
    assert (call.outcome, call.reason) == (Outcome.MISSED, "consent_missing")
    consent = the_consent(call)
    assert consent.outcome is not Consent.ANNOUNCED
    assert consent.played_ms < SHORT_MS / 2
    assert await scene.takes() == []
    assert length_ms(scene.talk(scene.events(What.CREATED)[0].leg)) > 900
