"""What the tests of recordings with two channels have in common."""

from pathlib import Path

from callrec_pbx.audio import wav
from callrec_pbx.domain.words import Channels
from tests.bed import measure
from tests.calls.listener import Listener
from tests.calls.rules import everything
from tests.calls.scene import EDGE_MS, TONES, Scene, Take, Talk

LEFT, RIGHT = 0, 1
STEREO = everything(whisper=False, notice="none", channels="stereo")


async def begun(listener: Listener, rules: str = STEREO) -> Scene:
    """Start a listener of the test's own."""
    listener.configure(rules)
    await listener.up()
    return Scene(listener)


def files(listener: Listener) -> list[str]:
    """Every audio file, and part of one, by what its name has after the id."""
    found = listener.recordings.rglob("*.wav*")
    return sorted(path.name.partition(".")[2] for path in found)


def has(audio: Path, left: Talk, right: Talk, tolerance_ms: float = EDGE_MS) -> None:
    """See that each channel has what was said on its side, as long as it was, and no more."""
    assert wav.inspect(audio).channels == 2
    for channel, talked in ((LEFT, left), (RIGHT, right)):
        for hz in TONES:
            found = measure.tone_ms(audio, hz, channel)
            assert abs(found - talked.get(hz, 0)) <= tolerance_ms, (channel, hz, found, talked)


def only(talked: Talk, *tones: int) -> Talk:
    """The part of what was talked that these tones are."""
    return {hz: ms for hz, ms in talked.items() if hz in tones}


def sound(take: Take) -> Take:
    """See that it is whole, has two channels, and that nothing else of it is left."""
    take.whole()
    assert take.facts.channels is Channels.STEREO
    stem = take.facts.recording_id
    assert {path.name for path in take.audio.parent.glob(f"{stem}*")} == {
        f"{stem}.wav",
        f"{stem}.json",
    }
    return take
