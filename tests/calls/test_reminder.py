"""The reminder tone: everybody in the call hears, every so many seconds, that it is recorded."""

from pathlib import Path

import numpy as np
import pytest

from tests.bed import measure
from tests.calls.listener import Listener
from tests.calls.rules import rule
from tests.calls.scene import AGENT, CALLER, Scene, listen, talk

EVERY_S = 10


def sounds_ms(wav: Path) -> list[float]:
    """When something begins to sound (ms), after 200 ms of silence."""
    samples, rate = measure.read_wav(wav)
    hop = rate // 50
    blocks = np.abs(samples[: len(samples) // hop * hop]).reshape(-1, hop).max(axis=1)
    loud = np.flatnonzero(blocks > 0.03)
    begins = loud[np.diff(loud, prepend=-100) > 10]
    return [float(begin) * 20 for begin in begins]


async def test_every_ten_seconds(listener: Listener) -> None:
    """At the beginning and ten seconds later, while nobody talks; it is not in the recording."""
    listener.configure(rule("in", "inbound", reminder_s=EVERY_S, whisper=False))
    await listener.up()
    scene = Scene(listener)
    caller, agent = await scene.conversation()
    await listen(EVERY_S * 1000 + 700)
    talked = await talk((caller, CALLER), (agent, AGENT), ms=300)
    await agent.hangup()
    await caller.wait_hangup()
    await scene.call()  # what plays the tone is no call
    (take,) = await scene.takes()
    for name in ("caller", "agent"):
        first, second, _talk = sounds_ms(scene.file(name))
        slack_ms = listener.house.traits.reminder_ms
        assert second - first == pytest.approx(EVERY_S * 1000, abs=slack_ms), name
    take.whole().holds(talked)
    assert len(sounds_ms(take.audio)) == 1
