"""A call from the first ring to the row, with consent, whisper, pause and refusal."""

from pathlib import Path

from callrec_pbx.domain.words import Consent, Outcome
from tests.bed import measure
from tests.calls.listener import Listener
from tests.calls.pbx import What
from tests.calls.rules import everything, rule

CALLER, AGENT, SECRET, OTHER = 440, 1000, 1500, 2100
TOLERANCE_MS = 40


async def test_announced_paused_and_resumed(listener: Listener, prompts: Path) -> None:
    """The caller hears the announcement, the agent the whisper; the paused talk is not there."""
    far, folder = listener.house.far, listener.folder
    listener.configure(everything("opt_out"))
    listener.cli("migrate")
    await listener.up()
    caller = await far.call_in("46701234567", "301", "Bob", tone_hz=CALLER, hear=folder / "c.wav")
    agent = await far.ringing("301", timeout=20)
    await agent.hear(folder / "a.wav")
    await agent.answer(AGENT)
    await listener.recording("recording")
    await listener.key(agent, "#1")
    await listener.recording("paused")
    await agent.talk(SECRET)
    await agent.talk(AGENT)
    await listener.key(agent, "#1")
    await listener.recording("recording")
    await agent.hangup()
    await caller.wait_hangup()
    (call,) = await listener.ended(1)
    recording = await listener.recording("stored")
    heard = measure.heard(folder / "c.wav", prompts / "announce_opt_out.wav")
    assert heard.score > 0.9
    assert measure.heard(folder / "a.wav", prompts / "whisper.wav").score > 0.9
    audio = listener.audio(recording)
    assert measure.tone_ms(audio, SECRET) <= TOLERANCE_MS
    assert measure.tone_ms(audio, CALLER) > 0
    assert call.outcome is Outcome.RECORDED
    (consent,) = call.consents
    assert (consent.outcome, consent.key) == (Consent.ANNOUNCED, "")
    assert consent.played_ms == consent.prompt_ms > 7000
    assert recording.owner == "301"
    assert len(recording.pauses) == 1


async def test_star_is_believed(listener: Listener, prompts: Path) -> None:
    """After `*` the confirmation is heard, the call goes on, and nothing of it is recorded."""
    far, folder = listener.house.far, listener.folder
    listener.configure(rule("inbound", "inbound", consent="opt_out"))
    await listener.up()
    caller = await far.call_in("46701234567", "301", tone_hz=CALLER, hear=folder / "c.wav")
    await caller.wait_up()
    await caller.press("*")
    agent = await far.ringing("301", timeout=20)
    mark = listener.house.mark()
    await agent.answer(AGENT)
    await listener.told(What.JOINED, mark)
    await agent.hangup()
    await caller.wait_hangup()
    (call,) = await listener.ended(1)
    assert (call.outcome, call.reason) == (Outcome.DECLINED, "declined")
    assert measure.heard(folder / "c.wav", prompts / "declined.wav").score > 0.9
    assert listener.recording_facts() == []
    assert list(listener.recordings.rglob("*.wav")) == []
